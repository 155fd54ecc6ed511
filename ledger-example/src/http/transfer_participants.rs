//! The participants of a transfer over HTTP: the books, and the fraud screen.

use std::collections::BTreeMap;
use std::time::Duration;

use folio_core::saga::{Heard, StepId};
use folio_mesh::{CircuitBreaker, Deadline};
use folio_runtime::{Participants, StepCall};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::account::{AccountId, BoundedText, ContraAccount, Side};
use crate::balances::BookName;
use crate::hold::HoldId;
use crate::http::outside::{
    Outside, OutsideClientError, OutsideError, OutsideRequest, OutsideSettings,
};
use crate::http::rails::client::RailsClient;
use crate::journal::EntryId;
use crate::rails::{Decision, ScreeningRequest};
use crate::transfer::{
    HOLDS_LAST, Place, Transfer, TransferAnswer, TransferId, TransferIdTooLong, TransferOrder, step,
};

/// As whom the books know a transfer.
const ACTOR: &str = "folio-transfers";
/// How long one call may take, with all its tries.
const CALL: Duration = Duration::from_secs(10);
/// When asking again may help where nobody has said when.
const LATER: Duration = Duration::from_secs(1);

/// The books and the fraud screen, as a transfer asks them.
#[derive(Debug, Clone)]
pub struct TransferParticipants {
    books: BTreeMap<BookName, Outside>,
    rails: RailsClient,
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
    NoBook(BookName),
    Id(TransferIdTooLong),
}

impl TransferParticipants {
    /// The accounts services of these books, and the rails.
    ///
    /// # Errors
    ///
    /// [`OutsideClientError`].
    pub fn new(
        books: &[(BookName, String)],
        rails: RailsClient,
        settings: OutsideSettings,
    ) -> Result<Self, OutsideClientError> {
        let outside = |(book, url): &(BookName, String)| {
            let name = format!("accounts-{book}");
            Ok((book.clone(), Outside::new(&name, url, settings)?))
        };
        Ok(Self {
            books: books
                .iter()
                .map(outside)
                .collect::<Result<_, OutsideClientError>>()?,
            rails,
        })
    }

    /// The breaker of a book's accounts service.
    #[must_use]
    pub fn breaker(&self, book: &BookName) -> Option<&CircuitBreaker> {
        self.books.get(book).map(Outside::breaker)
    }

    async fn asked(&self, call: &StepCall<'_, Transfer>) -> Result<Answered, Failed> {
        let TransferOrder { from, to, amount } = &call.saga.order;
        let transfer = transfer_id(call.id)?;
        let done = match call.step {
            step::HOLD => {
                let body = hold(&transfer.hold()?, from, Side::Debit, call);
                TransferAnswer::Held(
                    self.hold_command(&from.book, "/v1/holds", body, call)
                        .await?,
                )
            }
            step::SCREEN => return self.screened(&transfer, call).await,
            step::EXPECT => {
                let body = hold(&transfer.expected()?, to, Side::Credit, call);
                TransferAnswer::Expected(
                    self.hold_command(&to.book, "/v1/holds", body, call).await?,
                )
            }
            step::CAPTURE => {
                let clearing = ContraAccount::Clearing(to.book.clone()).account(amount.currency());
                let body = capture(&clearing, &transfer.captured()?);
                let hold = transfer.hold()?;
                TransferAnswer::Captured(self.captured(&from.book, &hold, body, call).await?)
            }
            step::CREDIT => {
                let clearing = ContraAccount::Clearing(from.book.clone());
                let body = capture(&clearing.account(amount.currency()), &transfer.credited()?);
                let expected = transfer.expected()?;
                TransferAnswer::Credited(self.captured(&to.book, &expected, body, call).await?)
            }
            other => {
                return Ok(Answered::Refused(format!("unknown_step_{other}")));
            }
        };
        Ok(Answered::Done(done))
    }

    async fn screened(
        &self,
        transfer: &TransferId,
        call: &StepCall<'_, Transfer>,
    ) -> Result<Answered, Failed> {
        let TransferOrder { from, to, amount } = &call.saga.order;
        let request = ScreeningRequest {
            payer: BoundedText::from(&from.account),
            payee: BoundedText::from(&to.account),
            amount: *amount,
        };
        let id = transfer.screening()?;
        let screened = self.rails.screen(&id, &request, deadline()).await;
        Ok(match screened.map_err(Failed::Outside)? {
            Decision::Accept => Answered::Done(TransferAnswer::Screened),
            Decision::Decline => Answered::Refused("fraud_suspected".to_owned()),
        })
    }

    /// Gives a hold up, or what is expected; what was never placed is never placed then.
    async fn undone(&self, call: &StepCall<'_, Transfer>) -> Result<(), Failed> {
        let TransferOrder { from, to, .. } = &call.saga.order;
        let transfer = transfer_id(call.id)?;
        let (book, hold) = match call.step {
            step::HOLD => (&from.book, transfer.hold()?),
            _ => (&to.book, transfer.expected()?),
        };
        let path = format!("/v1/holds/{}/release", hold.as_str());
        match self.hold_command(book, &path, json!({}), call).await {
            // It holds nothing any more, whoever has seen to that.
            Err(Failed::Outside(OutsideError::Refused { code, .. }))
                if ["already_released", "hold_expired"].contains(&code.as_str()) =>
            {
                Ok(())
            }
            result => result.map(|_| ()),
        }
    }

    async fn hold_command(
        &self,
        book: &BookName,
        path: &str,
        body: Value,
        call: &StepCall<'_, Transfer>,
    ) -> Result<HoldId, Failed> {
        let request = request(path.to_owned(), body, "hold_id", call);
        let answer: HoldAnswer = self
            .book(book)?
            .send(request)
            .await
            .map_err(Failed::Outside)?;
        Ok(answer.hold_id)
    }

    async fn captured(
        &self,
        book: &BookName,
        hold: &HoldId,
        body: Value,
        call: &StepCall<'_, Transfer>,
    ) -> Result<EntryId, Failed> {
        let path = format!("/v1/holds/{}/capture", hold.as_str());
        let request = request(path, body, "entry_id", call);
        let answer: EntryAnswer = self
            .book(book)?
            .send(request)
            .await
            .map_err(Failed::Outside)?;
        Ok(answer.entry_id)
    }

    fn book(&self, name: &BookName) -> Result<&Outside, Failed> {
        let book = self.books.get(name);
        book.ok_or_else(|| Failed::NoBook(name.clone()))
    }
}

/// What a participant has said.
enum Answered {
    Done(TransferAnswer),
    Refused(String),
}

impl Participants<Transfer> for TransferParticipants {
    async fn ask(&self, call: StepCall<'_, Transfer>) -> Heard<TransferAnswer> {
        match self.asked(&call).await {
            Ok(Answered::Done(answer)) => Heard::Done(answer),
            Ok(Answered::Refused(code)) => Heard::Refused { code },
            Err(failed) => failed.heard(),
        }
    }

    async fn undo(&self, call: StepCall<'_, Transfer>) -> Heard<TransferAnswer> {
        match self.undone(&call).await {
            Ok(()) => Heard::Undone,
            Err(failed) => failed.heard(),
        }
    }
}

impl Failed {
    fn heard(self) -> Heard<TransferAnswer> {
        match self {
            Self::Outside(OutsideError::Refused { code, .. }) => Heard::Refused { code },
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
            Self::NoBook(book) => Heard::Refused {
                code: format!("unknown_book_{book}"),
            },
            Self::Id(TransferIdTooLong { .. }) => Heard::Refused {
                code: "transfer_id_too_long".to_owned(),
            },
        }
    }
}

impl From<TransferIdTooLong> for Failed {
    fn from(error: TransferIdTooLong) -> Self {
        Self::Id(error)
    }
}

fn transfer_id(id: StepId<'_>) -> Result<TransferId, TransferIdTooLong> {
    let id = id.saga;
    id.parse()
        .map_err(|_| TransferIdTooLong { id: id.to_owned() })
}

fn deadline() -> Deadline {
    Deadline::within(CALL)
}

/// A command of a transfer. Its key is the step's own id, so whoever sends it again gets the first answer.
fn request(
    path: String,
    body: Value,
    answered_by: &'static str,
    call: &StepCall<'_, Transfer>,
) -> OutsideRequest<'static> {
    OutsideRequest {
        path,
        headers: vec![
            ("Idempotency-Key", call.id.command().to_string()),
            ("Folio-Actor", ACTOR.to_owned()),
        ],
        body: Some(body),
        answered_by,
        deadline: deadline(),
    }
}

fn hold(id: &HoldId, place: &Place, side: Side, call: &StepCall<'_, Transfer>) -> Value {
    let amount = &call.saga.order.amount;
    json!({
        "id": id, "account_id": place.account, "side": side.as_str(),
        "amount": amount.amount_text(), "currency": amount.currency().code(),
        "expires_in_seconds": HOLDS_LAST.as_secs(), "reference": call.id.saga,
    })
}

fn capture(counter: &AccountId, entry: &EntryId) -> Value {
    json!({"counter_account_id": counter, "entry_id": entry})
}
