//! How an account, and what it may let out, is written.

use folio_core::{Currency, Money, MoneyError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account::{Account, AccountId, AccountMetadata, Overdraft, Sides, VelocityLimit};
use crate::balances::BookName;
use crate::http::input::AmountText;
use crate::http::problem::Problem;
use crate::http::times::time_text;
use crate::read_model::AccountRow;

/// How far below zero an account may go.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OverdraftRequest {
    /// Not at all.
    #[default]
    None,
    /// To minus the limit.
    Limit {
        /// A decimal string in the account's currency.
        #[schema(value_type = String, example = "500.00")]
        limit: AmountText,
    },
    /// As far as it goes.
    Unlimited,
}

/// A bound on what goes out within a window of time. At least one of `amount` and `count`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VelocityRequest {
    /// How long a window is, in seconds: 1 s to 366 days. Windows lie end to end from 1970-01-01 in UTC,
    /// so 86400 is a day.
    #[schema(example = 86400)]
    window_seconds: u32,
    /// The most that may go out, together: a decimal string in the account's currency.
    #[schema(value_type = Option<String>, example = "1000.00")]
    amount: Option<AmountText>,
    /// The most times that something may go out.
    count: Option<u32>,
}

impl OverdraftRequest {
    pub(super) fn overdraft(&self, currency: Currency) -> Result<Overdraft, Problem> {
        Ok(match self {
            Self::None => Overdraft::None,
            Self::Limit { limit } => Overdraft::Limit {
                limit: limit.amount(currency)?,
            },
            Self::Unlimited => Overdraft::Unlimited,
        })
    }
}

impl VelocityRequest {
    pub(super) fn limits(
        requests: &[Self],
        currency: Currency,
    ) -> Result<Vec<VelocityLimit>, Problem> {
        let limit = |request: &Self| {
            let amount = request.amount.as_ref();
            Ok(VelocityLimit {
                window_seconds: request.window_seconds,
                amount: amount.map(|amount| amount.amount(currency)).transpose()?,
                count: request.count,
            })
        };
        requests.iter().map(limit).collect()
    }
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountBody {
    /// The book that it is in. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    book: Option<String>,
    /// Its id.
    id: String,
    /// ISO 4217 code of its currency.
    currency: String,
    /// `authorising`: its limits are checked. `recording`: they are not, and it never makes a request
    /// wait for another.
    kind: &'static str,
    /// The side on which its balance grows: `credit` or `debit`.
    normal_side: &'static str,
    /// `open`, `closing`, `closed`, or `inconsistent` when its history was altered.
    status: String,
    /// What it refuses: `debits`, `credits` or `both`; null where it is not frozen.
    frozen: Option<&'static str>,
    /// How far below zero it may go.
    overdraft: OverdraftBody,
    /// How fast money may go out.
    velocity: Vec<VelocityBody>,
    /// What is noted about it.
    #[schema(value_type = Object)]
    metadata: AccountMetadata,
    /// What was posted on its normal side less what was posted on the other, as a decimal string. Not
    /// told of a recording account in answer to a command, which does not look at it.
    balance: Option<String>,
    /// What may still go out: the balance and the overdraft less what is held; null where there is no
    /// bound.
    available: Option<String>,
    /// All debits.
    debits_posted: Option<String>,
    /// All credits.
    credits_posted: Option<String>,
    /// Debits that are held.
    debits_pending: String,
    /// Credits that are expected.
    credits_pending: String,
    /// How many events it has.
    version: i64,
    /// When it was opened, in UTC. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_at: Option<String>,
    /// When its last event was recorded, in UTC. Not told in answer to a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
    /// True where an event of the account could not be taken in by the read model, and what came
    /// after it is missing here. Left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) parked: bool,
}

/// How far below zero an account may go.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OverdraftBody {
    /// Not at all.
    None,
    /// To minus the limit.
    Limit {
        /// A decimal string.
        limit: String,
    },
    /// As far as it goes.
    Unlimited,
}

/// A bound on what goes out within a window of time.
#[derive(Debug, Serialize, ToSchema)]
pub struct VelocityBody {
    /// How long a window is, in seconds.
    window_seconds: u32,
    /// The most that may go out, together.
    amount: Option<String>,
    /// The most times that something may go out.
    count: Option<u32>,
}

impl AccountBody {
    pub(super) fn of_state(id: &AccountId, account: &Account, version: i64) -> Self {
        let (posted, pending) = (account.posted(), account.pending());
        let of_its_own = account.kind() == crate::account::Kind::Authorising;
        let told = |money: Money| of_its_own.then(|| money.amount_text());
        Self {
            book: None,
            id: id.to_string(),
            currency: account.currency().code().to_owned(),
            kind: account.kind().as_str(),
            normal_side: account.normal_side().as_str(),
            status: account.status().as_str().to_owned(),
            frozen: account.freeze().map(crate::account::Freeze::as_str),
            overdraft: account.overdraft().into(),
            velocity: account.velocity().map(VelocityBody::from).collect(),
            metadata: account.metadata().clone(),
            balance: told(account.balance()),
            available: available_text(account.available()),
            debits_posted: told(posted.debits),
            credits_posted: told(posted.credits),
            debits_pending: pending.debits.amount_text(),
            credits_pending: pending.credits.amount_text(),
            version,
            opened_at: None,
            updated_at: None,
            parked: false,
        }
    }

    /// An account of this book.
    pub(super) fn of_row(row: &AccountRow, book: &BookName) -> Self {
        let Sides { debits, credits } = row.posted;
        Self {
            book: Some(book.to_string()),
            id: row.account_id.to_string(),
            currency: row.currency.code().to_owned(),
            kind: row.kind.as_str(),
            normal_side: row.normal_side.as_str(),
            status: row.status.clone(),
            frozen: row.freeze.map(crate::account::Freeze::as_str),
            overdraft: row.overdraft.into(),
            velocity: row
                .velocity
                .iter()
                .copied()
                .map(VelocityBody::from)
                .collect(),
            metadata: row.metadata.clone(),
            balance: Some(row.balance.amount_text()),
            available: available_text(row.available()),
            debits_posted: Some(debits.amount_text()),
            credits_posted: Some(credits.amount_text()),
            debits_pending: row.pending.debits.amount_text(),
            credits_pending: row.pending.credits.amount_text(),
            version: row.version.number(),
            opened_at: Some(time_text(row.opened_at)),
            updated_at: Some(time_text(row.updated_at)),
            parked: false,
        }
    }
}

/// What may still go out; none where there is no bound, or it is too far away to be told.
pub(super) fn available_text(available: Result<Option<Money>, MoneyError>) -> Option<String> {
    available.ok().flatten().map(|money| money.amount_text())
}

impl From<Overdraft> for OverdraftBody {
    fn from(overdraft: Overdraft) -> Self {
        match overdraft {
            Overdraft::None => Self::None,
            Overdraft::Limit { limit } => Self::Limit {
                limit: limit.amount_text(),
            },
            Overdraft::Unlimited => Self::Unlimited,
        }
    }
}

impl From<VelocityLimit> for VelocityBody {
    fn from(limit: VelocityLimit) -> Self {
        Self {
            window_seconds: limit.window_seconds,
            amount: limit.amount.map(|amount| amount.amount_text()),
            count: limit.count,
        }
    }
}
