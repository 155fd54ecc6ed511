//! Two books and the log of a transfer, event after event.

use folio_core::saga::{SagaEvent, Turned};
use folio_core::{
    Actor, CommandContext, CommandId, Event, EventId, NewEvent, StreamId, Timestamp, Version,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::transfer::{Place, TransferAnswer, TransferOrder};

type Logged = SagaEvent<TransferOrder, TransferAnswer>;

const STORES: [u128; 3] = [1, 2, 3];
const A: usize = 0;
const B: usize = 1;
const SAGAS: usize = 2;

struct World {
    reconciler: Reconciler,
    heads: [i64; 3],
}

impl World {
    fn new() -> Self {
        let id = |store: u128| StoreId::from_uuid(Uuid::from_u128(store));
        let book = |name: &str| Owner::Book(name.parse().unwrap());
        let owners = [book("a"), book("b"), Owner::Sagas];
        let stores = owners.into_iter().zip(STORES.map(id));
        Self {
            reconciler: Reconciler::new(stores.collect()),
            heads: [0; 3],
        }
    }

    /// An event in a store, with its cause in another one. Answers where it is.
    fn happens<E: Event>(
        &mut self,
        store: usize,
        (category, id): (&str, &str),
        event: &E,
        cause: Option<(usize, i64)>,
    ) -> i64 {
        self.heads[store] += 1;
        let position = Position::START.plus(self.heads[store]);
        let command = CommandId::derived(&[category, id, &position.to_string()]);
        let context = CommandContext {
            cause: cause.map(|(store, number)| Cause {
                store_id: StoreId::from_uuid(Uuid::from_u128(STORES[store])),
                position: Position::START.plus(number),
            }),
            ..CommandContext::new(command, Actor::anonymous())
        };
        let new = NewEvent::encode(event).unwrap();
        let recorded = RecordedEvent {
            position,
            stream: StreamId::new(category, id).unwrap(),
            version: Version::NONE.plus(1),
            event_id: EventId::of_command(command, 0),
            event_type: new.event_type.into(),
            schema_version: new.schema_version,
            command_id: command,
            recorded_at: Timestamp::from_micros(0),
            payload: new.payload.into(),
            metadata: serde_json::to_vec(&context.metadata()).unwrap().into(),
        };
        self.reconciler
            .take_in(store, vec![recorded], position)
            .unwrap();
        self.heads[store]
    }

    fn log(&mut self, event: &Logged, cause: Option<(usize, i64)>) -> i64 {
        self.happens(SAGAS, ("transfer", "t"), event, cause)
    }

    fn asked(&mut self, step: &str) -> i64 {
        let step = step.to_owned();
        self.log(&SagaEvent::StepAsked { step }, None)
    }

    fn done(&mut self, step: &str, cause: (usize, i64)) {
        let (step, answer) = (step.to_owned(), TransferAnswer::Screened);
        self.log(&SagaEvent::StepDone { step, answer }, Some(cause));
    }

    fn begun(&mut self) {
        let place = |book: &str, account: &str| Place {
            book: book.parse().unwrap(),
            account: account.parse().unwrap(),
        };
        let order = TransferOrder {
            from: place("a", "alice"),
            to: place("b", "bob"),
            amount: Amount::parse("10.00", eur()).unwrap(),
            into: None,
            reverses: None,
        };
        let begun = SagaEvent::SagaBegun {
            version: 2,
            order,
            deadline: Timestamp::from_micros(60),
        };
        self.log(&begun, None);
    }

    fn posts(&mut self, book: usize, id: &str, legs: &Value, cause: Option<(usize, i64)>) -> i64 {
        let entry: PostedEntry =
            serde_json::from_value(json!({"legs": legs, "effective_date": "2026-11-29"})).unwrap();
        let posted = EntryEvent::EntryPosted(entry);
        self.happens(book, ("entry", id), &posted, cause)
    }

    fn captured(&mut self, cause: i64) -> i64 {
        let legs = legs("alice", "contra.clearing-b.EUR", "10.00");
        self.posts(A, "t.captured", &legs, Some((SAGAS, cause)))
    }

    fn credited(&mut self, cause: i64) -> i64 {
        let legs = legs("contra.clearing-a.EUR", "bob", "10.00");
        self.posts(B, "t.credited", &legs, Some((SAGAS, cause)))
    }

    fn report(&self) -> Report {
        self.reconciler.report().unwrap()
    }

    fn finds(&self, what: &str) {
        let report = self.report();
        assert!(!report.holds());
        let found = report
            .findings
            .iter()
            .any(|finding| finding.what.contains(what));
        assert!(found, "{report:#?}");
    }
}

fn eur() -> Currency {
    Currency::from_code("EUR").unwrap()
}

/// An entry that debits one account and credits another.
fn legs(debited: &str, credited: &str, amount: &str) -> Value {
    let leg = |account: &str, side: &str| json!({"account": account, "side": side, "amount": {"amount": amount, "currency": "EUR"}});
    json!([leg(debited, "debit"), leg(credited, "credit")])
}

#[test]
fn what_is_on_clearing_accounts_is_on_its_way_and_comes_to_nothing() {
    let mut world = World::new();
    world.begun();
    let asked = world.asked("capture");
    let captured = world.captured(asked);
    let report = world.report();
    assert!(report.holds(), "{report:#?}");
    assert_eq!(report.on_the_way, ["t"]);
    assert_eq!(report.clearing[&eur()].amount_text(), "10.00");
    world.done("capture", (A, captured));
    let asked = world.asked("credit");
    let credited = world.credited(asked);
    world.done("credit", (B, credited));
    world.log(&SagaEvent::SagaCompleted, None);
    let report = world.report();
    assert!(report.holds(), "{report:#?}");
    assert_eq!((report.under_way, report.settled), (0, 1));
    assert_eq!(report.clearing[&eur()].amount_text(), "0.00");
}

/// Without the order by causes this looked as if money had been made: the second book is read ahead of the first.
#[test]
fn what_is_credited_is_not_looked_at_before_it_was_captured() {
    let mut world = World::new();
    world.begun();
    let asked = world.asked("capture");
    // The capture is in the first book's store, and was not read yet.
    let captured = 1;
    world.done("capture", (A, captured));
    let asked_credit = world.asked("credit");
    world.credited(asked_credit);
    let report = world.report();
    assert!(report.holds(), "{report:#?}");
    assert_eq!(report.waiting.len(), 2);
    assert!(report.clearing.is_empty());
    assert_eq!(world.captured(asked), captured);
    let report = world.report();
    assert!(report.holds() && report.waiting.is_empty(), "{report:#?}");
    assert_eq!(report.clearing[&eur()].amount_text(), "0.00");
}

#[test]
fn money_that_is_made_or_lost_is_found() {
    // Credited twice, the second time under another name.
    let mut world = World::new();
    world.begun();
    let asked = world.asked("capture");
    let captured = world.captured(asked);
    world.done("capture", (A, captured));
    let asked = world.asked("credit");
    world.credited(asked);
    let twice = legs("contra.clearing-a.EUR", "bob", "10.00");
    world.posts(B, "t-again", &twice, None);
    world.finds("for no saga under way");
    assert!(!world.report().agrees());

    // On record as captured, and not in the book.
    let mut world = World::new();
    world.begun();
    world.asked("capture");
    let other = world.posts(A, "rent", &legs("alice", "landlord", "10.00"), None);
    world.done("capture", (A, other));
    world.finds("the book has no captured");

    // Captured without being asked for.
    let mut world = World::new();
    world.begun();
    world.captured(1);
    world.finds("without being asked for");

    // Another amount than was ordered, or the wrong peer.
    for (peer, amount) in [("b", "10.01"), ("c", "10.00"), ("rail", "10.00")] {
        let mut world = World::new();
        world.begun();
        let asked = world.asked("capture");
        let legs = legs("alice", &format!("contra.clearing-{peer}.EUR"), amount);
        world.posts(A, "t.captured", &legs, Some((SAGAS, asked)));
        world.finds("is not what was ordered");
    }

    // Posted in the other book.
    let mut world = World::new();
    world.begun();
    let asked = world.asked("capture");
    let wrong_book = legs("alice", "contra.clearing-b.EUR", "10.00");
    world.posts(B, "t.captured", &wrong_book, Some((SAGAS, asked)));
    world.finds("in another book");

    // An entry that does not net to zero.
    let mut world = World::new();
    let mut unequal = legs("alice", "bob", "10.00");
    unequal[0]["amount"]["amount"] = json!("10.01");
    world.posts(A, "e", &unequal, None);
    world.finds("its debits are not its credits in EUR: -0.01");
}

#[test]
fn a_saga_that_ends_with_something_left_is_found() {
    // Carried out, it says, and the money is on its way.
    let mut world = World::new();
    world.begun();
    let asked = world.asked("capture");
    let captured = world.captured(asked);
    world.done("capture", (A, captured));
    world.log(&SagaEvent::SagaCompleted, None);
    world.finds("its money is on clearing");

    // Undone, it says, and its hold is open.
    let mut world = World::new();
    world.begun();
    let asked = world.asked("hold");
    let placed: HoldEvent = serde_json::from_value(json!({"HoldPlaced": {
        "account": "alice", "side": "debit", "amount": {"amount": "10.00", "currency": "EUR"},
        "expires_at": 100,
    }}))
    .unwrap();
    world.happens(A, ("hold", "t.hold"), &placed, Some((SAGAS, asked)));
    let turned = Turned::Late;
    world.log(&SagaEvent::UndoingBegun { turned }, None);
    world.log(&SagaEvent::SagaUndone, None);
    // Its release may not have been read yet.
    assert!(world.report().holds());
    let mut lost = World {
        reconciler: world.reconciler,
        heads: world.heads,
    };
    lost.reconciler.complete();
    lost.finds("t.hold is still open");
}

#[test]
fn a_store_that_has_lost_what_others_were_caused_by_is_found() {
    let mut world = World::new();
    world.begun();
    world.asked("capture");
    world.done("capture", (A, 7));
    assert!(world.report().holds());
    world.reconciler.ended(A).unwrap();
    world.finds("that store has lost events");
}
