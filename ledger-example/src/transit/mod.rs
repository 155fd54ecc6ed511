//! Reconciles all books with the sagas that move money between them.
//!
//! What is on clearing accounts, over all books, has to be what is on its way: of each saga past its pivot and not yet
//! at its end the amount, and nothing else. No two stores are read at the same moment, and need not be: every event that
//! another service has caused names its cause, so events are taken in in an order in which each comes after its cause,
//! and what has been taken in is at every moment a **cut that is closed under causation**. What must be so is so at every
//! such cut, and is looked at after every event:
//!
//! * in each entry, debits are credits in each currency, so each book nets to zero;
//! * what a saga has a book post was asked for before, once, in the right book, of the right amount, and on the clearing
//!   account of the right peer; what it has on record as done is in the book;
//! * nothing else moves money on clearing accounts;
//! * a saga that has ended has nothing on clearing accounts and no open hold, all of its entries or none;
//! * the sum over clearing accounts is the sum of what is on its way, by the orders.
//!
//! # Layout
//!
//! * `causal.rs`: the order.
//! * `watched.rs`: a saga, as its log and the books tell of it.
//! * `follow.rs`: reads the stores, all the time or once.

mod causal;
mod follow;
#[cfg(test)]
mod tests;
mod watched;

pub use follow::{FollowError, Followed, InTransit, Told, reconcile};

use std::collections::{BTreeMap, HashMap};

use folio_core::event::DecodeError;
use folio_core::{
    Aggregate as _, Amount, Cause, Currency, Money, MoneyError, Position, RecordedEvent, StoreId,
};

use crate::account::{ContraAccount, Peer, Side};
use crate::balances::BookName;
use crate::hold::{Hold, HoldEvent};
use crate::journal::{Entry, EntryEvent, Leg, PostedEntry};
use crate::transfer::taken_apart;
use crate::transit::causal::CausalOrder;
use crate::transit::watched::{Kind, Logged, Watched, Way, kind_of_hold, move_named};

/// Findings that are kept; all are counted.
const KEPT: usize = 100;

/// Whose store is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A book.
    Book(BookName),
    /// The service that carries out sagas.
    Sagas,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose event it was found at.
    pub owner: Owner,
    /// The event's place there.
    pub position: Position,
    /// What it is of: the id of the saga, or of the stream.
    pub of: String,
    /// What was found.
    pub what: String,
}

/// An event that waits for its cause in another store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Whose event.
    pub owner: Owner,
    /// The event's place there.
    pub position: Position,
    /// What it waits for.
    pub cause: Cause,
}

/// What is so at a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The cut: up to where the events of each store were taken in.
    pub cut: Vec<(Owner, StoreId, Position)>,
    /// What customers have, over all books.
    pub customers: BTreeMap<Currency, Money>,
    /// What has come in from outside, over all books, less what has gone there: what customers have and what is on its way
    /// together.
    pub from_outside: BTreeMap<Currency, Money>,
    /// What is on clearing accounts, over all books.
    pub clearing: BTreeMap<Currency, Money>,
    /// What is on its way, by what was ordered.
    pub in_transit: BTreeMap<Currency, Money>,
    /// The sagas whose money that is, in the order of their ids.
    pub on_the_way: Vec<String>,
    /// How many sagas have not ended.
    pub under_way: usize,
    /// How many have, and left nothing behind.
    pub settled: u64,
    /// What is read and not taken in, since it waits for its cause.
    pub waiting: Vec<Waiting>,
    /// How many findings there were.
    pub found: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether all is as it must be.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.found == 0 && self.agrees()
    }

    /// Whether what is on clearing accounts is what is on its way.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let not_zero = |sums: &BTreeMap<Currency, Money>| {
            let sums = sums.iter().filter(|(_, sum)| !sum.is_zero());
            sums.map(|(currency, sum)| (*currency, *sum))
                .collect::<Vec<_>>()
        };
        not_zero(&self.clearing) == not_zero(&self.in_transit)
    }
}

/// Takes the events of all stores in, and tells what is so at the cut that it is at.
#[derive(Debug)]
pub struct Reconciler {
    stores: Vec<(Owner, StoreId)>,
    order: CausalOrder,
    sagas: HashMap<(Kind, String), Watched>,
    customers: BTreeMap<Currency, Money>,
    from_outside: BTreeMap<Currency, Money>,
    clearing: BTreeMap<Currency, Money>,
    settled: u64,
    found: u64,
    findings: Vec<Finding>,
}

impl Reconciler {
    /// One that has taken in nothing of these stores.
    #[must_use]
    pub fn new(stores: Vec<(Owner, StoreId)>) -> Self {
        let ids: Vec<StoreId> = stores.iter().map(|(_, id)| *id).collect();
        Self {
            stores,
            order: CausalOrder::new(&ids),
            sagas: HashMap::new(),
            customers: BTreeMap::new(),
            from_outside: BTreeMap::new(),
            clearing: BTreeMap::new(),
            settled: 0,
            found: 0,
            findings: Vec::new(),
        }
    }

    /// Takes in what was read of the store with this number, up to a position.
    ///
    /// # Errors
    ///
    /// When an event cannot be read.
    pub fn take_in(
        &mut self,
        store: usize,
        events: Vec<RecordedEvent>,
        through: Position,
    ) -> Result<(), DecodeError> {
        self.order.put(store, events, through)?;
        while let Some((store, event)) = self.order.next() {
            self.take(store, &event)?;
        }
        Ok(())
    }

    /// Takes note that the store with this number has no more events than were read of it, all others having been read
    /// before: a cause that is beyond that does not exist.
    ///
    /// # Errors
    ///
    /// As [`take_in`](Self::take_in).
    pub fn ended(&mut self, store: usize) -> Result<(), DecodeError> {
        for orphan in self.order.orphaned_by(store) {
            let what = format!(
                "its cause, position {} of store {}, is not there: that store has lost events, or is another one",
                orphan.cause.position, orphan.cause.store_id
            );
            self.find(orphan.store, orphan.position, "its cause", what);
        }
        self.take_in(store, Vec::new(), Position::START)
    }

    /// Takes note that all of every store was taken in. What an ended saga has not released by now is not released.
    pub fn complete(&mut self) {
        let left = self.sagas.iter().filter(|(_, saga)| saga.end.is_some());
        let left: Vec<(Kind, String)> = left.map(|(key, _)| key.clone()).collect();
        for key in left {
            let Some(saga) = self.sagas.remove(&key) else {
                continue;
            };
            let sagas = self
                .stores
                .iter()
                .position(|(owner, _)| *owner == Owner::Sagas);
            let at = sagas.unwrap_or_default();
            let held: Vec<String> = saga
                .held
                .iter()
                .map(|held| format!("{}.{held}", key.1))
                .collect();
            let what = format!("it has ended, and {} is still open", held.join(" and "));
            self.find(at, self.order.given(at), &key.1, what);
        }
    }

    /// Up to where a store was read.
    pub(crate) fn read(&self, store: usize) -> Position {
        self.order.read(store)
    }

    /// How many events of a store wait for their cause, or behind one that does.
    pub(crate) fn waiting(&self, store: usize) -> usize {
        self.order.waiting(store)
    }

    /// What is so at the cut that it is at.
    ///
    /// # Errors
    ///
    /// When sums are too large to hold.
    pub fn report(&self) -> Result<Report, MoneyError> {
        let mut in_transit = BTreeMap::new();
        let mut on_the_way = Vec::new();
        for ((_, id), saga) in &self.sagas {
            if saga.is_in_transit() {
                add(&mut in_transit, saga.amount, Way::Onto)?;
                on_the_way.push(id.clone());
            }
        }
        on_the_way.sort_unstable();
        let stores = self.stores.iter().enumerate();
        let waits = self.order.waits().into_iter();
        Ok(Report {
            cut: stores
                .map(|(number, (owner, id))| (owner.clone(), *id, self.order.given(number)))
                .collect(),
            customers: self.customers.clone(),
            from_outside: self.from_outside.clone(),
            clearing: self.clearing.clone(),
            in_transit,
            on_the_way,
            under_way: self
                .sagas
                .values()
                .filter(|saga| saga.end.is_none())
                .count(),
            settled: self.settled,
            waiting: waits
                .filter_map(|waits| {
                    let (owner, _) = self.stores.get(waits.store)?;
                    Some(Waiting {
                        owner: owner.clone(),
                        position: waits.position,
                        cause: waits.cause,
                    })
                })
                .collect(),
            found: self.found,
            findings: self.findings.clone(),
        })
    }

    fn take(&mut self, store: usize, event: &RecordedEvent) -> Result<(), DecodeError> {
        let Some((owner, _)) = self.stores.get(store) else {
            return Ok(());
        };
        match (owner.clone(), event.stream.category()) {
            (Owner::Book(book), Entry::CATEGORY) => {
                for happened in event.decode::<EntryEvent>()? {
                    if let EntryEvent::EntryPosted(entry) = happened {
                        self.posted(store, event, &book, &entry);
                    }
                }
            }
            (Owner::Book(_), Hold::CATEGORY) => {
                for happened in event.decode::<HoldEvent>()? {
                    self.held(store, event, &happened);
                }
            }
            (Owner::Book(_), _) => {}
            (Owner::Sagas, category) => {
                if let Some(kind) = Kind::of_category(category) {
                    for logged in kind.read(event)? {
                        self.logged(store, event, kind, logged);
                    }
                }
            }
        }
        Ok(())
    }

    fn posted(
        &mut self,
        store: usize,
        event: &RecordedEvent,
        book: &BookName,
        entry: &PostedEntry,
    ) {
        let id = event.stream.id();
        let mut wrong = Vec::new();
        let on_clearing = match self.add_up(entry) {
            Ok(on_clearing) => on_clearing,
            Err(what) => {
                self.find(store, event.position, id, what);
                return;
            }
        };
        let parts = taken_apart(id).and_then(|(saga, name)| Some((saga, move_named(name)?)));
        let saga = parts.and_then(|(saga, moved)| {
            let key = (moved.kind, saga.to_owned());
            Some((self.sagas.get_mut(&key)?, moved))
        });
        match saga {
            Some((saga, moved)) => {
                wrong.extend(saga.post(moved));
                let right = saga.peer(moved).map(|peer| (peer, saga.amount, moved.way));
                if saga.book(moved.book) != Some(book) {
                    wrong.push("it was posted in another book than was ordered".to_owned());
                } else if right.is_none_or(|right| on_clearing != [right]) {
                    wrong.push(
                        "what it moves on clearing accounts is not what was ordered".to_owned(),
                    );
                }
            }
            None if on_clearing.is_empty() => {}
            None => {
                wrong.push("money is moved on a clearing account for no saga under way".to_owned())
            }
        }
        for what in wrong {
            self.find(store, event.position, id, what);
        }
    }

    /// Adds the legs of an entry up, and answers those on clearing accounts, when it nets to zero.
    fn add_up(&mut self, entry: &PostedEntry) -> Result<Vec<(Peer, Amount, Way)>, String> {
        let told = |error: MoneyError| error.to_string();
        let mut sums = BTreeMap::new();
        let mut on_clearing = Vec::new();
        for Leg {
            account,
            side,
            amount,
        } in &entry.legs
        {
            let (way, opposite) = match side {
                Side::Credit => (Way::Onto, Way::From),
                Side::Debit => (Way::From, Way::Onto),
            };
            add(&mut sums, *amount, way).map_err(told)?;
            match ContraAccount::of_account(account).map(|(contra, _)| contra.peer()) {
                None => add(&mut self.customers, *amount, way).map_err(told)?,
                Some(None) => add(&mut self.from_outside, *amount, opposite).map_err(told)?,
                Some(Some(peer)) => {
                    add(&mut self.clearing, *amount, way).map_err(told)?;
                    on_clearing.push((peer, *amount, way));
                }
            }
        }
        match sums.values().find(|sum| !sum.is_zero()) {
            None => Ok(on_clearing),
            Some(sum) => Err(format!(
                "its debits are not its credits in {}: {} too much",
                sum.currency().code(),
                sum.amount_text()
            )),
        }
    }

    fn held(&mut self, store: usize, event: &RecordedEvent, happened: &HoldEvent) {
        let id = event.stream.id();
        let parts = taken_apart(id).and_then(|(saga, name)| {
            let key = (kind_of_hold(name)?, saga.to_owned());
            Some((key, name))
        });
        let Some((key, name)) = parts else {
            return;
        };
        // Of no saga: somebody else's hold is called so.
        let Some(saga) = self.sagas.get_mut(&key) else {
            return;
        };
        match happened {
            HoldEvent::HoldPlaced(_) => {
                saga.held.insert(name.to_owned());
                if saga.end.is_some() {
                    let what = "it was placed after its saga had ended".to_owned();
                    self.find(store, event.position, id, what);
                }
            }
            HoldEvent::HoldCaptured { .. }
            | HoldEvent::HoldReleased
            | HoldEvent::HoldExpired
            | HoldEvent::HoldRuledOut => {
                saga.held.remove(name);
                self.settle(&key);
            }
        }
    }

    fn logged(&mut self, store: usize, event: &RecordedEvent, kind: Kind, logged: Logged) {
        let key = (kind, event.stream.id().to_owned());
        let wrong = match (self.sagas.get_mut(&key), logged) {
            (None, Logged::Begun(saga)) => {
                self.sagas.insert(key.clone(), saga);
                None
            }
            (Some(saga), logged) => saga.log(logged),
            (None, Logged::Nothing) => None,
            (None, _) => Some("it goes on, and has ended or was not begun".to_owned()),
        };
        if let Some(what) = wrong {
            self.find(store, event.position, &key.1, what);
        }
        self.settle(&key);
    }

    /// Forgets a saga that has left nothing behind.
    fn settle(&mut self, key: &(Kind, String)) {
        let is_settled =
            |saga: &Watched| saga.end.is_some() && saga.held.is_empty() && !saga.is_in_transit();
        if self.sagas.get(key).is_some_and(is_settled) {
            self.sagas.remove(key);
            self.settled = self.settled.saturating_add(1);
        }
    }

    fn find(&mut self, store: usize, position: Position, of: &str, what: String) {
        self.found = self.found.saturating_add(1);
        let owner = self.stores.get(store).map(|(owner, _)| owner.clone());
        if let Some(owner) = owner.filter(|_| self.findings.len() < KEPT) {
            self.findings.push(Finding {
                owner,
                position,
                of: of.to_owned(),
                what,
            });
        }
    }
}

fn add(sums: &mut BTreeMap<Currency, Money>, amount: Amount, way: Way) -> Result<(), MoneyError> {
    let currency = amount.currency();
    let sum = sums
        .entry(currency)
        .or_insert_with(|| Money::zero(currency));
    *sum = match way {
        Way::Onto => sum.checked_add(amount.money())?,
        Way::From => sum.checked_sub(amount.money())?,
    };
    Ok(())
}
