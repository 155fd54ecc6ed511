//! How an entry is asked for, and how it is told.

use chrono::NaiveDate;
use folio_core::{Aggregate, CommandId, RecordedEvent};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account::AccountId;
use crate::balances::BookName;
use crate::http::input::{AmountText, ClientId, currency, text, word};
use crate::http::problem::Problem;
use crate::http::times::time_text;
use crate::journal::{Entry, EntryDraft, EntryEvent, EntryId, Exchange, Leg, Rate};
use crate::read_model::EntryRow;

/// A request to post an entry.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntryRequest {
    /// Its id, 1 to 64 letters, digits, `.`, `_` or `-`, which names it for ever; made for you when left
    /// out.
    pub(super) id: Option<String>,
    /// Two legs to 500. Debits equal credits in each currency.
    legs: Vec<LegRequest>,
    /// The day on which it takes effect, where that is not today: `2026-03-31`.
    effective_date: Option<NaiveDate>,
    /// Your own name for it, 1 to 64 characters.
    reference: Option<String>,
    /// What it was for, 1 to 200 characters.
    description: Option<String>,
    /// At what one currency was exchanged for another, where it has legs in two.
    exchange: Option<ExchangeRequest>,
}

/// A leg.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LegRequest {
    /// The account; `contra.` and a name and a currency for the book's own, such as `contra.fees.EUR`.
    account_id: String,
    /// `credit` or `debit`.
    side: String,
    /// How much: a decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code; must be the account's.
    #[schema(example = "EUR")]
    currency: String,
}

/// An exchange.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeRequest {
    /// What is given; a leg has this amount.
    sold: MoneyRequest,
    /// What is got for it; a leg has this amount.
    bought: MoneyRequest,
    /// How much of the bought currency one unit of the sold one is: a decimal string.
    #[schema(example = "1.0842")]
    rate: String,
    /// What the market asked, where that is known.
    market_rate: Option<String>,
}

/// An amount in a currency.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoneyRequest {
    /// A decimal string.
    #[schema(value_type = String, example = "12.50")]
    amount: AmountText,
    /// ISO 4217 code.
    #[schema(example = "EUR")]
    currency: String,
}

/// An entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryBody {
    /// The book that it is in. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    book: Option<String>,
    /// Its id; null of a posting of the ledger's first version.
    entry_id: Option<String>,
    /// Its place in the store.
    position: i64,
    /// When it was recorded, in UTC.
    recorded_at: String,
    /// When it takes effect.
    effective_date: NaiveDate,
    /// Its legs.
    legs: Vec<LegBody>,
    /// The client's name for it.
    reference: Option<String>,
    /// What it was for.
    description: Option<String>,
    /// At what one currency was exchanged for another.
    exchange: Option<ExchangeBody>,
    /// The entry that it undoes.
    reverses: Option<String>,
    /// The entry that undid it.
    reversed_by: Option<String>,
    /// The hold that it captures.
    captures: Option<String>,
    /// Who posted it.
    actor: String,
    /// The request that it belongs to.
    correlation_id: String,
}

/// A leg.
#[derive(Debug, Serialize, ToSchema)]
pub struct LegBody {
    /// The account.
    account_id: String,
    /// `credit` or `debit`.
    side: &'static str,
    /// How much.
    amount: String,
    /// ISO 4217 code.
    currency: &'static str,
}

/// An exchange.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExchangeBody {
    /// What is given.
    sold: MoneyBody,
    /// What is got for it.
    bought: MoneyBody,
    /// How much of the bought currency one unit of the sold one is.
    rate: String,
    /// What the market asked.
    market_rate: Option<String>,
    /// How much more would have been got at the market's rate, in the bought currency, unrounded.
    spread: Option<String>,
}

/// An amount in a currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct MoneyBody {
    /// A decimal string.
    pub(super) amount: String,
    /// ISO 4217 code.
    pub(super) currency: &'static str,
}

impl EntryRequest {
    /// The entry that is asked for; where it has no id, that of the command that posts it.
    pub(super) fn draft(self, command: CommandId) -> Result<EntryDraft, Problem> {
        let id = match self.id {
            Some(id) => EntryId::parse_text(&id)?,
            None => EntryId::of_command(command),
        };
        let legs = self.legs.into_iter().enumerate().map(|(index, leg)| {
            let leg = leg.leg();
            leg.map_err(|problem: Problem| problem.within(&format!("legs[{index}]")))
        });
        Ok(EntryDraft {
            id,
            legs: legs.collect::<Result<_, _>>()?,
            effective_date: self.effective_date,
            reference: text(self.reference, "reference")?,
            description: text(self.description, "description")?,
            exchange: self.exchange.map(ExchangeRequest::exchange).transpose()?,
        })
    }
}

impl LegRequest {
    fn leg(self) -> Result<Leg, Problem> {
        Ok(Leg {
            account: AccountId::parse_text(&self.account_id)?,
            side: word(&self.side, "invalid_side", "Not a side")?,
            amount: self.amount.amount(currency(&self.currency)?)?,
        })
    }
}

impl ExchangeRequest {
    pub(super) fn exchange(self) -> Result<Exchange, Problem> {
        let rate = |text: String| {
            Rate::try_from(text).map_err(|error| {
                Problem::unprocessable("invalid_rate", "Not a rate", error.to_string())
            })
        };
        Ok(Exchange {
            sold: self.sold.amount.amount(currency(&self.sold.currency)?)?,
            bought: self
                .bought
                .amount
                .amount(currency(&self.bought.currency)?)?,
            rate: rate(self.rate)?,
            market_rate: self.market_rate.map(rate).transpose()?,
        })
    }
}

impl EntryBody {
    /// The entry `id`, as one of the events of the command that posted it.
    pub(super) fn of_events(events: &[RecordedEvent], id: &EntryId) -> Result<Self, Problem> {
        let is_it = |event: &&RecordedEvent| {
            event.stream.category() == Entry::CATEGORY && event.stream.id() == id.as_str()
        };
        let recorded = events.iter().find(is_it).ok_or_else(missing)?;
        let decoded = recorded
            .decode()
            .map_err(|error| Problem::internal(&error))?;
        let posted = decoded.into_iter().find_map(|event| match event {
            EntryEvent::EntryPosted(posted) => Some(posted),
            EntryEvent::EntryReversed { .. } => None,
        });
        let posted = posted.ok_or_else(missing)?;
        let metadata = recorded.decode_metadata();
        let metadata = metadata.map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            book: None,
            entry_id: Some(id.to_string()),
            position: recorded.position.number(),
            recorded_at: time_text(recorded.recorded_at),
            effective_date: posted.effective_date,
            legs: posted.legs.iter().map(LegBody::from).collect(),
            reference: posted.reference.map(String::from),
            description: posted.description.map(String::from),
            exchange: posted.exchange.as_ref().map(ExchangeBody::from),
            reverses: posted.reverses.map(String::from),
            reversed_by: None,
            captures: posted.captures.map(String::from),
            actor: metadata.actor.to_string(),
            correlation_id: metadata.correlation_id.to_string(),
        })
    }
}

impl EntryBody {
    /// An entry of this book.
    pub(super) fn of_row(row: EntryRow, book: &BookName) -> Self {
        Self {
            book: Some(book.to_string()),
            entry_id: row.entry_id,
            position: row.position.number(),
            recorded_at: time_text(row.recorded_at),
            effective_date: row.effective_date,
            legs: row.legs.iter().map(LegBody::from).collect(),
            reference: row.reference,
            description: row.description,
            exchange: row.exchange.as_ref().map(ExchangeBody::from),
            reverses: row.reverses,
            reversed_by: row.reversed_by,
            captures: row.captures,
            actor: row.actor,
            correlation_id: row.correlation_id,
        }
    }
}

impl From<&Leg> for LegBody {
    fn from(leg: &Leg) -> Self {
        Self {
            account_id: leg.account.to_string(),
            side: leg.side.as_str(),
            amount: leg.amount.amount_text(),
            currency: leg.amount.currency().code(),
        }
    }
}

impl From<&Exchange> for ExchangeBody {
    fn from(exchange: &Exchange) -> Self {
        let money = |amount: folio_core::Amount| MoneyBody {
            amount: amount.amount_text(),
            currency: amount.currency().code(),
        };
        Self {
            sold: money(exchange.sold),
            bought: money(exchange.bought),
            rate: exchange.rate.to_string(),
            market_rate: exchange.market_rate.map(|rate| rate.to_string()),
            spread: exchange.spread().map(|spread| spread.to_string()),
        }
    }
}

fn missing() -> Problem {
    Problem::internal(&Missing)
}

#[derive(Debug, thiserror::Error)]
#[error("a command that posts an entry was accepted, and there is no such event")]
struct Missing;
