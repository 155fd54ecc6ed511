//! The aggregates of the ledger, as operators look at them: what each is, where it is kept, and what is shown of it.

use chrono::{DateTime, NaiveDate};
use folio_core::saga::{Saga, SagaEnd, SagaLog, StepProgress};
use folio_core::{Aggregate, Money, RecordedEvent, Timestamp};
use folio_operator::{Aggregates, Dated};
use ledger_example::account::{Account, AccountEvent, Freeze, Kind, Sides};
use ledger_example::hold::{Hold, Resolution};
use ledger_example::journal::{Entry, EntryEvent, Periods, Recording, RecordingEvent};
use ledger_example::payment::{PaymentIn, PaymentOut};
use ledger_example::rails::{Payment, Quote, Screening};
use ledger_example::transfer::Transfer;
use serde::Serialize;
use serde_json::{Value, json};

/// All aggregates of the ledger, whichever service keeps them.
#[must_use]
pub fn aggregates() -> Aggregates {
    Aggregates::new()
        .with_dated::<Account>(
            "an account, without the legs of one that only records",
            account,
            Dated {
                day: account_day,
                view: account_as_of,
            },
        )
        .with_dated::<Recording>(
            "the legs of an account that only records",
            recording,
            Dated {
                day: recording_day,
                view: recording,
            },
        )
        .with_dated::<Entry>(
            "a journal entry",
            entry,
            Dated {
                day: entry_day,
                view: entry,
            },
        )
        .with::<Hold>("a hold on an account", hold)
        .with::<Periods>(
            "up to which day a book is closed",
            |periods| json!({"closed_through": periods.closed_through}),
        )
        .with::<SagaLog<Transfer>>("a transfer between two books", saga)
        .with::<SagaLog<PaymentOut>>("a payment to the outside", saga)
        .with::<SagaLog<PaymentIn>>("a payment from the outside", saga)
        .with::<Payment>("what the payment network made of an order", |payment| {
            json!({"order": shown(&payment.order), "state": shown(&payment.state)})
        })
        .with::<Quote>("what the exchange desk promised", |quote| shown(&quote.0))
        .with::<Screening>("what the fraud screen said", |screening| {
            json!({"request": shown(&screening.request), "decision": shown(&screening.decision)})
        })
}

/// The service whose store has an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// The accounts service of a book.
    Book,
    /// The transfers service.
    Transfers,
    /// The rails.
    Rails,
}

impl Keeper {
    /// Of the streams of a category.
    #[must_use]
    pub fn of(category: &str) -> Self {
        match category {
            Transfer::CATEGORY | PaymentOut::CATEGORY | PaymentIn::CATEGORY => Self::Transfers,
            Payment::CATEGORY | Quote::CATEGORY | Screening::CATEGORY => Self::Rails,
            _ => Self::Book,
        }
    }
}

fn account(account: &Account) -> Value {
    let (posted, pending) = (account.posted(), account.pending());
    let available = account.available();
    let available = available.map(|sum| sum.map(|sum| text(&sum)));
    let holds = account.holds().map(|(id, side, amount)| {
        json!({"hold": id.as_str(), "side": side.as_str(), "amount": amount.amount_text()})
    });
    let mut view = json!({
        "currency": account.currency().code(),
        "kind": account.kind().as_str(),
        "normal_side": account.normal_side().as_str(),
        "status": account.status().as_str(),
        "frozen": account.freeze().map(Freeze::as_str),
        "overdraft": shown(&account.overdraft()),
        "velocity": account.velocity().map(|limit| shown(&limit)).collect::<Vec<_>>(),
        "holds": holds.collect::<Vec<_>>(),
        "metadata": shown(account.metadata()),
        "holder": shown(&account.holder()),
        "debits_pending": text(&pending.debits),
        "credits_pending": text(&pending.credits),
    });
    // Of one that only records, the legs are in another stream, and these would say that there are none.
    if let (Kind::Authorising, Some(view)) = (account.kind(), view.as_object_mut()) {
        let sums = [
            ("balance", json!(text(&account.balance()))),
            ("available", json!(available.unwrap_or(None))),
            ("debits_posted", json!(text(&posted.debits))),
            ("credits_posted", json!(text(&posted.credits))),
        ];
        view.extend(sums.map(|(name, sum)| (name.to_owned(), sum)));
    }
    view
}

/// What follows from the legs that take effect by a day. Holds and limits have no such day.
fn account_as_of(account: &Account) -> Value {
    let mut view = json!({
        "currency": account.currency().code(),
        "kind": account.kind().as_str(),
        "normal_side": account.normal_side().as_str(),
    });
    if let (Kind::Authorising, Some(view)) = (account.kind(), view.as_object_mut()) {
        let posted = account.posted();
        let sums = [
            ("balance", text(&account.balance())),
            ("debits_posted", text(&posted.debits)),
            ("credits_posted", text(&posted.credits)),
        ];
        view.extend(sums.map(|(name, sum)| (name.to_owned(), Value::String(sum))));
    }
    view
}

fn account_day(event: &AccountEvent, recorded: &RecordedEvent) -> Option<NaiveDate> {
    match event {
        AccountEvent::LegPosted(leg) => Some(leg.effective_date),
        AccountEvent::AccountCredited(posting) | AccountEvent::AccountDebited(posting) => posting
            .effective_date
            .or_else(|| day_of(recorded.recorded_at)),
        AccountEvent::AccountOpened(_)
        | AccountEvent::FundsHeld(_)
        | AccountEvent::FundsReleased(_)
        | AccountEvent::LimitsSet(_)
        | AccountEvent::AccountFrozen { .. }
        | AccountEvent::AccountUnfrozen { .. }
        | AccountEvent::MetadataChanged(_)
        | AccountEvent::HolderNamed(_)
        | AccountEvent::ClosingBegun
        | AccountEvent::AccountClosed => None,
    }
}

fn recording(recording: &Recording) -> Value {
    match recording.posted {
        Some(Sides { debits, credits }) => json!({
            "currency": debits.currency().code(),
            "debits_posted": text(&debits),
            "credits_posted": text(&credits),
        }),
        None => json!({"posted": "its sums cannot be held"}),
    }
}

fn recording_day(event: &RecordingEvent, _: &RecordedEvent) -> Option<NaiveDate> {
    let RecordingEvent::LegRecorded(leg) = event;
    Some(leg.effective_date)
}

fn entry(entry: &Entry) -> Value {
    let reversed_by = entry.reversed_by.as_ref();
    let reversed_by = reversed_by.map(|id| id.as_str());
    json!({"posted": shown(&entry.posted), "reversed_by": reversed_by})
}

fn entry_day(event: &EntryEvent, _: &RecordedEvent) -> Option<NaiveDate> {
    match event {
        EntryEvent::EntryPosted(posted) => Some(posted.effective_date),
        EntryEvent::EntryReversed { .. } => None,
    }
}

fn hold(hold: &Hold) -> Value {
    let resolution = hold.resolution.as_ref();
    let (captured, entry) = match resolution {
        Some(Resolution::Captured { amount, entry }) => {
            (Some(amount.amount_text()), Some(entry.as_str()))
        }
        Some(Resolution::Released | Resolution::Expired | Resolution::RuledOut) | None => {
            (None, None)
        }
    };
    json!({
        "placed": shown(&hold.placed),
        "state": resolution.map_or("open", Resolution::as_str),
        "captured": captured,
        "entry": entry,
    })
}

fn saga<S: Saga>(saga: &SagaLog<S>) -> Value {
    let definition = saga.definition();
    let steps = definition.map_or(&[][..], |definition| definition.steps());
    let steps = steps.iter().filter_map(|step| {
        let (progress, answer) = match saga.step(step.name())? {
            StepProgress::Asked => ("asked", None),
            StepProgress::Done(answer) => ("done", Some(shown(answer))),
            StepProgress::Refused => ("refused", None),
            StepProgress::Undone => ("undone", None),
        };
        Some(json!({"step": step.name(), "progress": progress, "answer": answer}))
    });
    let end = saga.end.map(|end| match end {
        SagaEnd::Completed => "completed",
        SagaEnd::Undone => "undone",
    });
    let attention = saga.attention();
    let attention = attention.map(|(tries, failure)| json!({"tries": tries, "failure": failure}));
    json!({
        "definition": definition.map(|definition| definition.version()),
        "order": shown(&saga.order),
        "deadline": shown(&saga.deadline),
        "steps": steps.collect::<Vec<_>>(),
        "turned": shown(&saga.turned),
        "attention": attention,
        "end": end,
    })
}

fn text(sum: &Money) -> String {
    sum.amount_text()
}

fn day_of(at: Timestamp) -> Option<NaiveDate> {
    DateTime::from_timestamp_micros(at.micros()).map(|at| at.date_naive())
}

/// What serialises as JSON, which all that is recorded does.
fn shown(what: &impl Serialize) -> Value {
    serde_json::to_value(what).unwrap_or_else(|error| json!({"cannot_be_shown": error.to_string()}))
}
