//! The states that entries are decided on, one after another.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet};

use folio_core::joint::{Caused, Participant, States};

use crate::account::{
    Account, AccountEvent, AccountId, AccountRefusal, ContraAccount, Kind, NormalSide, Opening,
    PostedLeg, Side,
};
use crate::hold::HoldId;
use crate::journal::draft::{check_date, check_legs};
use crate::journal::periods::BOOK;
use crate::journal::{
    Entry, EntryEvent, EntryId, Leg, Periods, PostedEntry, Recording, RecordingEvent,
};
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// What takes part in posting new entries with legs on these accounts, always in this order: the store
/// locks the streams of an append in one order whatever it is, and readers of the log find the entry
/// before its legs.
pub(crate) fn participants<'a>(
    entries: impl IntoIterator<Item = &'a EntryId>,
    accounts: impl IntoIterator<Item = &'a AccountId>,
) -> Vec<Participant> {
    let mut accounts: Vec<&AccountId> = accounts.into_iter().collect();
    accounts.sort_unstable();
    accounts.dedup();
    // One id twice is refused when it comes to that; a participant is named once.
    let mut known = BTreeSet::new();
    let mut participants: Vec<Participant> = entries
        .into_iter()
        .filter(|id| known.insert(*id))
        .map(|id| Participant::create::<Entry>(id.as_str()))
        .collect();
    participants.push(Participant::read::<Periods>(BOOK));
    let own = accounts
        .iter()
        .map(|id| Participant::read::<Account>(id.as_str()));
    let recorded = accounts
        .iter()
        .map(|id| Participant::append_only::<Recording>(id.as_str()));
    participants.extend(own.chain(recorded));
    participants
}

/// The accounts as they are after what was decided so far, and what that causes.
pub(crate) struct Book<'a> {
    states: &'a States<'a>,
    now: Moment,
    accounts: BTreeMap<AccountId, Account>,
    posted: BTreeSet<EntryId>,
    caused: Vec<Caused>,
}

/// A hold whose capture an entry is: its leg was let through when the hold was placed.
pub(crate) struct Captured<'a> {
    pub(crate) hold: &'a HoldId,
    pub(crate) account: &'a AccountId,
}

impl<'a> Book<'a> {
    pub(crate) const fn new(states: &'a States<'a>, now: Moment) -> Self {
        Self {
            states,
            now,
            accounts: BTreeMap::new(),
            posted: BTreeSet::new(),
            caused: Vec::new(),
        }
    }

    /// What was decided.
    pub(crate) fn into_caused(self) -> Vec<Caused> {
        self.caused
    }

    /// Puts down an event that another rule has led to.
    pub(crate) fn cause(&mut self, caused: Caused) {
        self.caused.push(caused);
    }

    /// Posts an entry that nobody has posted yet.
    pub(crate) fn post(
        &mut self,
        id: &EntryId,
        entry: PostedEntry,
        captured: Option<&Captured<'_>>,
    ) -> Result<(), LedgerRefusal> {
        if self.states.of::<Entry>(id.as_str()).is_some() || !self.posted.insert(id.clone()) {
            return Err(LedgerRefusal::EntryExists { entry: id.clone() });
        }
        // What was balanced in two currencies is so the other way round, at whatever rate.
        if entry.reverses.is_none() {
            check_legs(&entry.legs, entry.exchange.as_ref())?;
        }
        check_date(entry.effective_date)?;
        if let Some(periods) = self.states.of::<Periods>(BOOK)
            && entry.effective_date <= periods.closed_through
        {
            return Err(LedgerRefusal::PeriodClosed {
                through: periods.closed_through,
            });
        }
        let (legs, effective_date) = (entry.legs.clone(), entry.effective_date);
        let posted = EntryEvent::EntryPosted(entry);
        self.cause(Caused::on::<Entry>(id.as_str(), posted));
        for leg in legs {
            let hold = captured
                .filter(|captured| *captured.account == leg.account)
                .map(|captured| captured.hold);
            self.post_leg(id, &leg, effective_date, hold)?;
        }
        Ok(())
    }

    /// The account, with all that was decided on it before. Contra accounts are opened by the first leg
    /// on them.
    fn account(&mut self, id: &AccountId) -> Result<&Account, LedgerRefusal> {
        let place = match self.accounts.entry(id.clone()) {
            Place::Occupied(account) => return Ok(account.into_mut()),
            Place::Vacant(place) => place,
        };
        let account = match (
            self.states.of::<Account>(id.as_str()),
            ContraAccount::of_account(id),
        ) {
            (Some(account), _) => account.clone(),
            (None, Some((_, currency))) => {
                let opening = Opening {
                    kind: Kind::Recording,
                    normal_side: NormalSide(Side::Debit),
                    ..Opening::new(currency)
                };
                let account = Account::opened(&opening);
                let opened = AccountEvent::AccountOpened(opening);
                self.caused.push(Caused::on::<Account>(id.as_str(), opened));
                account
            }
            (None, None) => {
                return Err(LedgerRefusal::of(id)(AccountRefusal::NotOpened));
            }
        };
        Ok(place.insert(account))
    }

    /// Has an event happen to an account.
    fn happen(&mut self, id: &AccountId, event: AccountEvent) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.change(&event);
        }
        self.cause(Caused::on::<Account>(id.as_str(), event));
    }

    fn post_leg(
        &mut self,
        entry: &EntryId,
        leg: &Leg,
        effective_date: chrono::NaiveDate,
        captured: Option<&HoldId>,
    ) -> Result<(), LedgerRefusal> {
        let refused = LedgerRefusal::of(&leg.account);
        let now = self.now.0;
        let account = self.account(&leg.account)?;
        let kind = account.kind();
        let counted_at = match captured {
            Some(hold) => {
                let released = account.decide_release(hold).map_err(refused)?;
                self.happen(&leg.account, released);
                None
            }
            None => account
                .decide_leg(leg.side, leg.amount, now)
                .map_err(refused)?,
        };
        let posted = PostedLeg {
            entry: entry.clone(),
            side: leg.side,
            amount: leg.amount,
            effective_date,
            counted_at,
        };
        match kind {
            Kind::Authorising => self.happen(&leg.account, AccountEvent::LegPosted(posted)),
            Kind::Recording => {
                let recorded = RecordingEvent::LegRecorded(posted);
                self.cause(Caused::on::<Recording>(leg.account.as_str(), recorded));
            }
        }
        Ok(())
    }
}
