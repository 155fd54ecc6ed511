//! Those whom sagas ask, over HTTP: the books, and the world outside.
//!
//! * this file: what a saga asks of a book, under the id of its step.
//! * `transfer.rs`, `outward.rs`, `inward.rs`: what each step asks of whom, by way of `network.rs` where a payment tells who is
//!   on its other side.
//!
//! Every command tells which event of the saga's log it is for, and every answer which event of the book it is of: so
//! whoever reads the logs of several services knows what has to come before what.

mod inward;
mod network;
mod outward;
mod transfer;

pub use inward::InwardParticipants;
pub use outward::OutwardParticipants;
pub use transfer::TransferParticipants;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDate;
use folio_core::saga::{Heard, Saga, StepId};
use folio_core::{Amount, Cause, CorrelationId};
use folio_erasure::VaultError;
use folio_mesh::{CircuitBreaker, Deadline};
use folio_runtime::{Said, StepCall};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::account::{AccountId, Side};
use crate::balances::BookName;
use crate::hold::HoldId;
use crate::http::address::ServiceAddress;
use crate::http::layer::{TRACEPARENT, Trace};
use crate::http::outside::{
    Answered, Outside, OutsideClientError, OutsideError, OutsideRequest, OutsideSettings,
};
use crate::http::parties::PartyError;
use crate::http::position::{CAUSE, PositionToken};
use crate::journal::{EntryId, Exchange};
use crate::rails::Decision;
use crate::transfer::{HOLDS_LAST, IdTooLong, Place};

/// As whom the books know a saga.
const ACTOR: &str = "folio-transfers";
/// How long one call may take, with all its tries.
const CALL: Duration = Duration::from_secs(10);
/// How long something is expected: the most that a book takes. Whatever was captured in the other book has to be credited,
/// however long this one is away.
const EXPECTED_LASTS: Duration = Duration::from_secs(366 * 24 * 3_600);
/// When asking again may help where nobody has said when.
const LATER: Duration = Duration::from_secs(1);

/// The accounts services of the books. Clones share breakers and budgets.
#[derive(Debug, Clone)]
pub struct Books(BTreeMap<BookName, Outside>);

/// In whose name a participant is asked.
#[derive(Clone, Copy)]
struct Asking<'a> {
    id: StepId<'a>,
    cause: Cause,
    correlation_id: CorrelationId,
}

/// What was set aside or expected, and is to be posted.
struct Capture<'a> {
    hold: &'a HoldId,
    counter: AccountId,
    entry: &'a EntryId,
    exchange: Option<Exchange>,
}

/// An entry of two legs.
struct Entry<'a> {
    id: &'a EntryId,
    debited: AccountId,
    credited: AccountId,
    amount: Amount,
}

/// What there is of a hold after it was released.
enum Released {
    /// It holds nothing, whoever has seen to that.
    Gone { by: Option<Cause> },
    /// It was captured before.
    Captured,
}

/// What is read of the answer to a command about a hold.
#[derive(Deserialize)]
struct HoldAnswer {
    hold_id: HoldId,
}

/// What is read of the answer to a command that posted an entry.
#[derive(Deserialize)]
struct EntryAnswer {
    entry_id: EntryId,
}

/// Why a step has no answer of its participant.
enum Failed {
    Outside(OutsideError),
    Refused(String),
    /// Nobody was asked for now.
    NotAsked(String),
    /// It is not known what has come of it.
    Unknown(String),
    NoBook(BookName),
    Id(IdTooLong),
}

impl Books {
    /// The accounts services at these addresses.
    ///
    /// # Errors
    ///
    /// [`OutsideClientError`].
    pub fn new<A: Clone + Into<ServiceAddress>>(
        books: &[(BookName, A)],
        settings: OutsideSettings,
    ) -> Result<Self, OutsideClientError> {
        let outside = |(book, address): &(BookName, A)| {
            let (name, address) = (format!("accounts-{book}"), address.clone().into());
            Ok((book.clone(), Outside::new(&name, &address, settings)?))
        };
        let books = books.iter().map(outside);
        Ok(Self(books.collect::<Result<_, OutsideClientError>>()?))
    }

    /// The breaker of a book's accounts service.
    #[must_use]
    pub fn breaker(&self, book: &BookName) -> Option<&CircuitBreaker> {
        self.0.get(book).map(Outside::breaker)
    }

    /// Sets money aside, or has it expected.
    async fn hold(
        &self,
        asking: Asking<'_>,
        place: &Place,
        (hold, side, amount): (&HoldId, Side, Amount),
    ) -> Result<Answered<HoldId>, Failed> {
        let lasts = match side {
            Side::Debit => HOLDS_LAST,
            Side::Credit => EXPECTED_LASTS,
        };
        let body = json!({
            "id": hold, "account_id": place.account, "side": side.as_str(),
            "amount": amount.amount_text(), "currency": amount.currency().code(),
            "expires_in_seconds": lasts.as_secs(), "reference": asking.id.saga,
        });
        let path = "/v1/holds".to_owned();
        self.hold_command(asking, &place.book, path, body).await
    }

    /// Gives a hold up, or what is expected; what was never placed is never placed then.
    async fn release(
        &self,
        asking: Asking<'_>,
        book: &BookName,
        hold: &HoldId,
    ) -> Result<Released, Failed> {
        let path = format!("/v1/holds/{hold}/release");
        match self.hold_command(asking, book, path, json!({})).await {
            Ok(Answered { by, .. }) => Ok(Released::Gone { by }),
            Err(Failed::Outside(OutsideError::Refused { code, .. }))
                if ["already_released", "hold_expired"].contains(&code.as_str()) =>
            {
                Ok(Released::Gone { by: None })
            }
            Err(Failed::Outside(OutsideError::Refused { code, .. }))
                if code == "already_captured" =>
            {
                Ok(Released::Captured)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Posts what was set aside, or expected.
    async fn capture(
        &self,
        asking: Asking<'_>,
        book: &BookName,
        capture: Capture<'_>,
    ) -> Result<Answered<EntryId>, Failed> {
        let exchange = capture.exchange.map(|exchange| {
            json!({
                "sold": money(exchange.sold), "bought": money(exchange.bought),
                "rate": exchange.rate, "market_rate": exchange.market_rate,
            })
        });
        let body = json!({
            "counter_account_id": capture.counter, "entry_id": capture.entry, "exchange": exchange,
        });
        let path = format!("/v1/holds/{}/capture", capture.hold);
        self.entry_command(asking, book, path, body).await
    }

    /// Posts an entry.
    async fn post(
        &self,
        asking: Asking<'_>,
        book: &BookName,
        entry: Entry<'_>,
    ) -> Result<Answered<EntryId>, Failed> {
        let (amount, code) = (entry.amount.amount_text(), entry.amount.currency().code());
        let leg = |account: &AccountId, side: Side| json!({"account_id": account, "side": side.as_str(), "amount": amount, "currency": code});
        let legs = [
            leg(&entry.debited, Side::Debit),
            leg(&entry.credited, Side::Credit),
        ];
        let body = json!({"id": entry.id, "legs": legs, "reference": asking.id.saga});
        let path = "/v1/journal-entries".to_owned();
        self.entry_command(asking, book, path, body).await
    }

    /// Takes an entry back by another one. None where it was taken back before.
    async fn reverse(
        &self,
        asking: Asking<'_>,
        book: &BookName,
        (entry, reversal, date): (&EntryId, &EntryId, NaiveDate),
    ) -> Result<Option<Cause>, Failed> {
        let body = json!({"id": reversal, "effective_date": date});
        let path = format!("/v1/journal-entries/{entry}/reverse");
        match self.entry_command(asking, book, path, body).await {
            Ok(answered) => Ok(answered.by),
            Err(Failed::Outside(OutsideError::Refused { code, .. }))
                if code == "already_reversed" =>
            {
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }

    async fn hold_command(
        &self,
        asking: Asking<'_>,
        book: &BookName,
        path: String,
        body: Value,
    ) -> Result<Answered<HoldId>, Failed> {
        let Answered { body, by } = self
            .command::<HoldAnswer>(asking, book, path, body, "hold_id")
            .await?;
        let body = body.hold_id;
        Ok(Answered { body, by })
    }

    async fn entry_command(
        &self,
        asking: Asking<'_>,
        book: &BookName,
        path: String,
        body: Value,
    ) -> Result<Answered<EntryId>, Failed> {
        let Answered { body, by } = self
            .command::<EntryAnswer>(asking, book, path, body, "entry_id")
            .await?;
        let body = body.entry_id;
        Ok(Answered { body, by })
    }

    /// A command of a saga. Its key is the step's own id, so whoever sends it again gets the first answer.
    async fn command<T: DeserializeOwned>(
        &self,
        asking: Asking<'_>,
        book: &BookName,
        path: String,
        body: Value,
        answered_by: &'static str,
    ) -> Result<Answered<T>, Failed> {
        let mut headers = asking.headers();
        headers.push(("Idempotency-Key", asking.id.command().to_string()));
        let request = OutsideRequest {
            path,
            headers,
            body: Some(body),
            answered_by,
            deadline: deadline(),
        };
        let outside = self.0.get(book);
        let outside = outside.ok_or_else(|| Failed::NoBook(book.clone()))?;
        outside.send(request).await.map_err(Failed::Outside)
    }
}

impl<'a> Asking<'a> {
    fn of<S: Saga>(call: &StepCall<'a, S>) -> Self {
        Self {
            id: call.id,
            cause: call.cause,
            correlation_id: call.correlation_id,
        }
    }

    /// Who asks, for which event, and in which trace.
    fn headers(&self) -> Vec<(&'static str, String)> {
        let Cause { store_id, position } = self.cause;
        vec![
            ("Folio-Actor", ACTOR.to_owned()),
            (CAUSE, PositionToken::of(store_id, position).encode()),
            (TRACEPARENT, Trace::traceparent_of(self.correlation_id)),
        ]
    }
}

impl Failed {
    fn unknown_step(step: &str) -> Self {
        Self::Refused(format!("unknown_step_{step}"))
    }

    fn heard<A>(self) -> Heard<A> {
        match self {
            Self::Refused(code) | Self::Outside(OutsideError::Refused { code, .. }) => {
                Heard::Refused { code }
            }
            Self::Outside(OutsideError::Open { name, retry_after }) => Heard::NotAsked {
                failure: format!("{name} does not answer at present"),
                after: retry_after.unwrap_or(LATER),
            },
            Self::Outside(OutsideError::Full { name }) => Heard::NotAsked {
                failure: format!("too many calls to {name} are under way"),
                after: LATER,
            },
            Self::Outside(error) => Heard::Unknown {
                failure: folio_core::error_chain(&error),
            },
            Self::NotAsked(failure) => Heard::NotAsked {
                failure,
                after: LATER,
            },
            Self::Unknown(failure) => Heard::Unknown { failure },
            Self::NoBook(book) => Heard::Refused {
                code: format!("unknown_book_{book}"),
            },
            Self::Id(IdTooLong { .. }) => Heard::Refused {
                code: "id_too_long".to_owned(),
            },
        }
    }
}

impl From<IdTooLong> for Failed {
    fn from(error: IdTooLong) -> Self {
        Self::Id(error)
    }
}

impl From<PartyError> for Failed {
    /// A vault that does not answer is asked later. One that lacks a key or has another one does not mend itself, and
    /// somebody has to look; it is no reason to refuse either.
    fn from(error: PartyError) -> Self {
        let failure = folio_core::error_chain(&error);
        match error {
            PartyError::Vault(VaultError::Database(_)) => Self::NotAsked(failure),
            PartyError::Vault(_) | PartyError::Cipher(_) | PartyError::Name(_) => {
                Self::Unknown(failure)
            }
        }
    }
}

/// What a step came to, to which a book has answered.
fn done<T, A>(answered: Answered<T>, answer: impl FnOnce(T) -> A) -> Said<A> {
    Said {
        heard: Heard::Done(answer(answered.body)),
        by: answered.by,
    }
}

/// That something was taken back.
const fn undone<A>(by: Option<Cause>) -> Said<A> {
    Said {
        heard: Heard::Undone,
        by,
    }
}

fn said<A>(result: Result<Said<A>, Failed>) -> Said<A> {
    result.unwrap_or_else(|failed| failed.heard().into())
}

/// What a screening comes to.
fn screened<A>(decision: Result<Decision, OutsideError>, answer: A) -> Result<Said<A>, Failed> {
    match decision.map_err(Failed::Outside)? {
        Decision::Accept => Ok(Heard::Done(answer).into()),
        Decision::Decline => Err(Failed::Refused("fraud_suspected".to_owned())),
    }
}

/// The id of a saga, as one of its kind.
fn own_id<T: std::str::FromStr>(id: StepId<'_>) -> Result<T, IdTooLong> {
    let id = id.saga;
    id.parse().map_err(|_| IdTooLong { id: id.to_owned() })
}

fn money(amount: Amount) -> Value {
    json!({"amount": amount.amount_text(), "currency": amount.currency().code()})
}

fn deadline() -> Deadline {
    Deadline::within(CALL)
}
