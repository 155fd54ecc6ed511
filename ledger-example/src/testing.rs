//! A book without a store, for tests: commands are decided on states in memory, one after another.

use std::any::TypeId;
use std::collections::HashMap;

use folio_core::joint::{AnyState, JointCommand, Kind, States};
use folio_core::{Aggregate, Amount, Currency, Money, Timestamp};

use crate::account::{
    Account, AccountCommand, AccountId, AccountRefusal, Opening, Overdraft, Side, Sides,
};
use crate::hold::{CaptureHold, Hold, HoldId, PlaceHold};
use crate::journal::{Entry, EntryDraft, EntryId, Leg, PostEntries, Recording, ReverseEntry};
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// A book.
pub(crate) struct TestBook {
    states: HashMap<(TypeId, String), AnyState>,
    /// What time it is.
    pub(crate) now: Moment,
}

impl TestBook {
    /// An empty one, on a morning in 2026.
    pub(crate) fn new() -> Self {
        Self {
            states: HashMap::new(),
            now: morning(),
        }
    }

    /// Carries out a command.
    pub(crate) fn run<C>(&mut self, command: &C) -> Result<(), LedgerRefusal>
    where
        C: JointCommand<Refusal = LedgerRefusal>,
    {
        let participants = command.participants();
        let key = |kind: Kind, id: &str| (kind.type_id, id.to_owned());
        let states = participants.iter().map(|participant| {
            let known = self.states.get(&key(participant.kind(), participant.id()));
            let known = known.filter(|_| participant.part().is_read());
            known.cloned().unwrap_or_default()
        });
        let states = States::new(&participants, states.collect());
        let decided = command.decide(&states);
        states.check().unwrap();
        for caused in decided? {
            let of = &participants[caused.participant(&participants).unwrap()];
            let state = self.states.entry(key(of.kind(), of.id())).or_default();
            *state = caused.evolve(std::mem::take(state));
        }
        Ok(())
    }

    /// Asks something of one account.
    pub(crate) fn ask(&mut self, id: &str, command: AccountCommand) -> Result<(), AccountRefusal> {
        let key = (TypeId::of::<Account>(), id.to_owned());
        let before = self
            .states
            .get(&key)
            .and_then(|state| state.of::<Account>());
        let events = Account::decide(before, command)?;
        let mut account = before.cloned();
        for event in &events {
            account = Account::evolve(account, event);
        }
        self.states.insert(key, AnyState::new(account));
        Ok(())
    }

    /// Opens an account in EUR.
    pub(crate) fn open(&mut self, id: &str, overdraft: Overdraft) {
        let opening = Opening {
            overdraft,
            ..Opening::new(currency("EUR"))
        };
        self.ask(id, AccountCommand::OpenAccount(opening)).unwrap();
    }

    /// Posts an entry.
    pub(crate) fn post(&mut self, id: &str, legs: Vec<Leg>) -> Result<(), LedgerRefusal> {
        let now = self.now;
        self.run(&PostEntries {
            entries: vec![draft(id, legs)],
            now,
        })
    }

    /// Has cash paid in.
    pub(crate) fn pay_in(&mut self, id: &str, amount: &str) {
        let entry = format!("paid-in-{}", self.states.len());
        let legs = vec![credit(id, amount), debit("contra.cash.EUR", amount)];
        self.post(&entry, legs).unwrap();
    }

    /// Holds money to go out, for an hour.
    pub(crate) fn hold(
        &mut self,
        hold: &str,
        account: &str,
        amount: &str,
    ) -> Result<(), LedgerRefusal> {
        self.hold_on(Side::Debit, hold, account, amount)
    }

    /// Holds for an hour.
    pub(crate) fn hold_on(
        &mut self,
        side: Side,
        hold: &str,
        account: &str,
        amount: &str,
    ) -> Result<(), LedgerRefusal> {
        self.run(&PlaceHold {
            hold: hold.parse().unwrap(),
            account: account.parse().unwrap(),
            side,
            amount: eur(amount),
            lifetime_seconds: 3_600,
            reference: None,
            now: self.now,
        })
    }

    /// Captures a hold, against cards.
    pub(crate) fn capture(
        &mut self,
        hold: &str,
        amount: Option<&str>,
        entry: &str,
    ) -> Result<(), LedgerRefusal> {
        let command = CaptureHold {
            hold: hold.parse().unwrap(),
            account: self.account_of(hold),
            amount: amount.map(eur),
            counter_account: "contra.cards.EUR".parse().unwrap(),
            entry: entry.parse().unwrap(),
            exchange: None,
            effective_date: None,
            reference: None,
            description: None,
            now: self.now,
        };
        self.run(&command)
    }

    /// Reverses an entry, as of today.
    pub(crate) fn reverse(&mut self, entry: &str, reversal: &str) -> Result<(), LedgerRefusal> {
        let posted = self.of::<Entry>(entry);
        let legs = posted.map_or_else(Vec::new, |entry| entry.posted.legs.clone());
        self.run(&ReverseEntry {
            entry: entry.parse().unwrap(),
            legs,
            reversal: reversal.parse().unwrap(),
            effective_date: self.now.date(),
            description: None,
            now: self.now,
        })
    }

    /// The account that a hold is on, if it was placed.
    pub(crate) fn account_of(&self, hold: &str) -> Option<AccountId> {
        let placed = self.of::<Hold>(hold)?.placed.as_ref()?;
        Some(placed.account.clone())
    }

    /// A state.
    pub(crate) fn of<A: Aggregate>(&self, id: &str) -> Option<&A> {
        let key = (TypeId::of::<A>(), id.to_owned());
        self.states.get(&key)?.of::<A>()
    }

    /// An account.
    pub(crate) fn account(&self, id: &str) -> &Account {
        self.of(id).unwrap()
    }

    /// The balance of an account.
    pub(crate) fn balance(&self, id: &str) -> String {
        self.account(id).balance().amount_text()
    }

    /// All of one kind, with their ids.
    pub(crate) fn all<A: Aggregate>(&self) -> impl Iterator<Item = (&str, &A)> {
        let of_it = |((type_id, id), state)| {
            let (type_id, id): (&TypeId, &String) = (type_id, id);
            let state: &AnyState = state;
            let state = state.of::<A>().filter(|_| *type_id == TypeId::of::<A>())?;
            Some((id.as_str(), state))
        };
        self.states
            .iter()
            .map(|((type_id, id), state)| ((type_id, id), state))
            .filter_map(of_it)
    }

    /// All debits and credits of a currency.
    pub(crate) fn trial_balance(&self, currency: Currency) -> Sides {
        let own = self.all::<Account>().map(|(_, account)| account.posted());
        let recorded = self
            .all::<Recording>()
            .map(|(_, recording)| recording.posted.unwrap());
        let add = |sum: Money, other: Money| sum.checked_add(other).unwrap();
        own.chain(recorded)
            .filter(|sides| sides.debits.currency() == currency)
            .fold(Sides::zero(currency), |sum, sides| Sides {
                debits: add(sum.debits, sides.debits),
                credits: add(sum.credits, sides.credits),
            })
    }

    /// Lets time go by.
    pub(crate) fn wait(&mut self, seconds: u32) {
        self.now = Moment(self.now.plus_seconds(seconds));
    }
}

/// A moment in 2026.
pub(crate) fn morning() -> Moment {
    Moment(Timestamp::from_micros(1_780_000_000_000_000))
}

pub(crate) fn currency(code: &str) -> Currency {
    Currency::from_code(code).unwrap()
}

pub(crate) fn amount(text: &str, code: &str) -> Amount {
    Amount::parse(text, currency(code)).unwrap()
}

pub(crate) fn eur(text: &str) -> Amount {
    amount(text, "EUR")
}

pub(crate) fn limit(text: &str) -> Overdraft {
    Overdraft::Limit { limit: eur(text) }
}

pub(crate) fn leg(account: &str, side: Side, amount: Amount) -> Leg {
    Leg {
        account: account.parse().unwrap(),
        side,
        amount,
    }
}

pub(crate) fn debit(account: &str, text: &str) -> Leg {
    leg(account, Side::Debit, eur(text))
}

pub(crate) fn credit(account: &str, text: &str) -> Leg {
    leg(account, Side::Credit, eur(text))
}

pub(crate) fn draft(id: &str, legs: Vec<Leg>) -> EntryDraft {
    EntryDraft {
        id: id.parse().unwrap(),
        legs,
        effective_date: None,
        reference: None,
        description: None,
        exchange: None,
    }
}

pub(crate) fn hold_id(id: &str) -> HoldId {
    id.parse().unwrap()
}

pub(crate) fn entry_id(id: &str) -> EntryId {
    id.parse().unwrap()
}

/// What a refusal of an account is as one of the ledger.
pub(crate) fn of_account(id: &str, refusal: AccountRefusal) -> LedgerRefusal {
    LedgerRefusal::Account {
        account: id.parse().unwrap(),
        refusal,
    }
}
