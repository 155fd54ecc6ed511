//! The monitor itself.

use std::collections::BTreeMap;

use folio_core::{CommandId, Currency, Money, MoneyError, Position, RecordedEvent, Version};

use crate::account::{AccountEvent, Side};
use crate::hold::HoldEvent;
use crate::journal::{EntryEvent, Leg, RecordingEvent};
use crate::monitor::account::WatchedAccount;
use crate::monitor::content::Content;
use crate::monitor::memory::{Memory, Place};
use crate::monitor::{Invariant, Violation};

/// Watches a book. See [`Invariant`] for what it watches over.
#[derive(Debug, Clone, Default)]
pub struct Monitor {
    pub(super) place: Place,
    pub(super) memory: Memory,
}

type Found = Vec<(Invariant, String)>;

impl Monitor {
    /// The last position that it was given.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.place.position
    }

    /// What is no longer so after this event, or was not after the command before it.
    pub fn take_in(&mut self, event: &RecordedEvent) -> Vec<Violation> {
        self.take_in_read(event, Content::of(event))
    }

    /// As [`take_in`](Self::take_in), of an event that was read already.
    pub(super) fn take_in_read(
        &mut self,
        event: &RecordedEvent,
        content: Content,
    ) -> Vec<Violation> {
        let mut violations = Vec::new();
        let last = self.place.last.as_ref().map(|(command, _)| *command);
        if last != Some(event.command_id) {
            violations.extend(self.end_command());
        }
        let mut found = self.check_order(event, last);
        self.place.position = event.position;
        self.place.last = Some((event.command_id, event.stream.clone()));
        let checked = match content {
            Content::Account(events) => self.account(event, events),
            Content::Recording(events) => self.recording(event, events),
            Content::Entry(events) => self.entry(event, events),
            Content::Hold(events) => self.hold(event, events),
            Content::Other => Ok(Vec::new()),
            Content::Unreadable(error) => Err(error),
        };
        match checked {
            Ok(content) => found.extend(content),
            Err(error) => found.push((Invariant::Readable, error)),
        }
        violations.extend(found.into_iter().map(|(invariant, what)| Violation {
            invariant,
            position: event.position,
            stream: event.stream.clone(),
            what,
        }));
        violations
    }

    /// What is not so after a whole command: some of it cannot be so in the middle of one.
    pub fn end_command(&mut self) -> Vec<Violation> {
        let open = &mut self.place.open;
        let touched = std::mem::take(&mut open.touched);
        let undoing = std::mem::take(&mut open.undoing);
        let mut found = Found::new();
        for id in touched {
            if let Some(account) = self.memory.accounts.get(&id) {
                check_account(&id, account, &mut found);
            }
        }
        for (of, by) in undoing {
            let what = format!("entry {by} undoes entry {of}, which does not say so");
            found.push((Invariant::ReversedOnce, what));
        }
        let off = open.net.values().filter(|net| !net.is_zero());
        found.extend(off.map(|net| {
            let what = format!("credits less debits of all accounts are {net}");
            (Invariant::TrialBalance, what)
        }));
        // Told once: from there on the difference is known.
        open.net.retain(|_, net| net.is_zero());
        let Some((_, stream)) = self.place.last.take() else {
            return Vec::new();
        };
        let violation = |(invariant, what)| Violation {
            invariant,
            position: self.place.position,
            stream: stream.clone(),
            what,
        };
        found.into_iter().map(violation).collect()
    }

    fn check_order(&mut self, event: &RecordedEvent, last: Option<CommandId>) -> Found {
        let mut found = Found::new();
        let before = self.place.position;
        if event.position != before.plus(1) {
            let what = format!("it comes after position {before}");
            found.push((Invariant::NoGap, what));
        }
        let memory = &mut self.memory;
        let now = (event.version, event.recorded_at);
        let before = memory.streams.insert(event.stream.clone(), now);
        let (version, time) = before.unwrap_or((Version::NONE, event.recorded_at));
        if event.version != version.plus(1) {
            let what = format!("it is version {} after version {version}", event.version);
            found.push((Invariant::NoGap, what));
        }
        if event.recorded_at < time {
            let what = "it was recorded before the event before it".to_owned();
            found.push((Invariant::TimeRises, what));
        }
        if last != Some(event.command_id) && !memory.commands.insert(event.command_id) {
            let what = format!("command {} was recorded before", event.command_id);
            found.push((Invariant::CommandOnce, what));
        }
        found
    }

    fn account(
        &mut self,
        event: &RecordedEvent,
        events: Vec<AccountEvent>,
    ) -> Result<Found, String> {
        let id = event.stream.id();
        let mut found = Found::new();
        for happened in events {
            let is_first = event.version == Version::NONE.plus(1);
            let account = match (&happened, self.memory.accounts.get_mut(id)) {
                (AccountEvent::AccountOpened(opening), known) => {
                    if !is_first {
                        found.push((Invariant::Lifecycle, "it is opened twice".to_owned()));
                    }
                    if known.is_none() {
                        let new = WatchedAccount::new(opening.currency);
                        self.memory.accounts.insert(id.to_owned(), new);
                    }
                    self.memory.accounts.get_mut(id)
                }
                (_, known) => known,
            };
            let Some(account) = account else {
                found.push((Invariant::Lifecycle, "it was never opened".to_owned()));
                continue;
            };
            let before = account.said;
            if let Some(what) = account.apply(&happened).map_err(text)? {
                found.push((Invariant::Lifecycle, what.to_owned()));
            }
            let change = account.said.checked_sub(before).map_err(text)?;
            self.add_to_net(change).map_err(text)?;
            self.place.open.touched.insert(id.to_owned());
            self.first_version(id, &happened).map_err(text)?;
        }
        Ok(found)
    }

    /// A posting of the first version is an entry as well, and its contra account says nothing.
    fn first_version(&mut self, id: &str, happened: &AccountEvent) -> Result<(), MoneyError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all that later versions record of accounts has its entry apart"
        )]
        let (side, posting) = match happened {
            AccountEvent::AccountCredited(posting) => (Side::Credit, posting),
            AccountEvent::AccountDebited(posting) => (Side::Debit, posting),
            _ => return Ok(()),
        };
        let currency = posting.amount.currency();
        let contra = posting.contra.account(currency).to_string();
        let other = side.opposite();
        self.watched(&contra, currency).say(other, posting.amount)?;
        let change = match other {
            Side::Credit => posting.amount.money(),
            Side::Debit => posting.amount.money().negated(),
        };
        self.add_to_net(change)?;
        self.watched(&contra, currency)
            .enter(other, posting.amount)?;
        self.watched(id, currency).enter(side, posting.amount)?;
        self.place.open.touched.insert(contra);
        Ok(())
    }

    fn recording(
        &mut self,
        event: &RecordedEvent,
        events: Vec<RecordingEvent>,
    ) -> Result<Found, String> {
        let id = event.stream.id();
        for happened in events {
            let RecordingEvent::LegRecorded(leg) = happened;
            let account = self.watched(id, leg.amount.currency());
            let before = account.said;
            account.say(leg.side, leg.amount).map_err(text)?;
            let change = account.said.checked_sub(before).map_err(text)?;
            self.add_to_net(change).map_err(text)?;
            self.place.open.touched.insert(id.to_owned());
        }
        Ok(Found::new())
    }

    fn entry(&mut self, event: &RecordedEvent, events: Vec<EntryEvent>) -> Result<Found, String> {
        let id = event.stream.id();
        let mut found = Found::new();
        for happened in events {
            match happened {
                EntryEvent::EntryPosted(entry) => {
                    if event.version != Version::NONE.plus(1) {
                        found.push((Invariant::CommandOnce, "it is posted twice".to_owned()));
                    }
                    found.extend(self.legs(&entry.legs).map_err(text)?);
                    if let Some(of) = entry.reverses {
                        self.place
                            .open
                            .undoing
                            .insert(of.to_string(), id.to_owned());
                    }
                }
                EntryEvent::EntryReversed { by } => {
                    let said = self.place.open.undoing.remove(id);
                    if said.as_deref() != Some(by.as_str())
                        || !self.memory.undone.insert(id.to_owned())
                    {
                        let what = format!("it is reversed by {by}, which does not, or again");
                        found.push((Invariant::ReversedOnce, what));
                    }
                }
            }
        }
        Ok(found)
    }

    fn legs(&mut self, legs: &[Leg]) -> Result<Found, MoneyError> {
        let mut nets: BTreeMap<Currency, Money> = BTreeMap::new();
        for leg in legs {
            let (currency, id) = (leg.amount.currency(), leg.account.as_str());
            let net = nets
                .entry(currency)
                .or_insert_with(|| Money::zero(currency));
            *net = match leg.side {
                Side::Credit => net.checked_add(leg.amount.money())?,
                Side::Debit => net.checked_sub(leg.amount.money())?,
            };
            self.watched(id, currency).enter(leg.side, leg.amount)?;
            self.place.open.touched.insert(id.to_owned());
        }
        let off = nets.into_values().filter(|net| !net.is_zero());
        let what = |net: Money| format!("its credits less its debits are {net}");
        Ok(off
            .map(|net| (Invariant::EntryBalances, what(net)))
            .collect())
    }

    fn hold(&mut self, event: &RecordedEvent, events: Vec<HoldEvent>) -> Result<Found, String> {
        let id = event.stream.id();
        let mut found = Found::new();
        for happened in events {
            let captured = match happened {
                HoldEvent::HoldPlaced(placed) => {
                    let (account, side) = (placed.account.to_string(), placed.side);
                    let watched = self.watched(&account, placed.amount.currency());
                    watched.hold(side, placed.amount).map_err(text)?;
                    self.place.open.touched.insert(account);
                    if self
                        .memory
                        .holds
                        .insert(id.to_owned(), Some(placed))
                        .is_some()
                    {
                        found.push((Invariant::HoldOnce, "it is placed again".to_owned()));
                    }
                    continue;
                }
                HoldEvent::HoldRuledOut => {
                    if self.memory.holds.insert(id.to_owned(), None).is_some() {
                        let what = "it is ruled out, and was there".to_owned();
                        found.push((Invariant::HoldOnce, what));
                    }
                    continue;
                }
                HoldEvent::HoldCaptured { amount, .. } => Some(amount),
                HoldEvent::HoldReleased | HoldEvent::HoldExpired => None,
            };
            let Some(placed) = self.memory.holds.insert(id.to_owned(), None).flatten() else {
                found.push((Invariant::HoldOnce, "it is not open".to_owned()));
                continue;
            };
            if let Some(amount) = captured
                && amount
                    .money()
                    .compare(&placed.amount.money())
                    .map_err(text)?
                    .is_gt()
            {
                let what = format!("{amount} are captured of {}", placed.amount);
                found.push((Invariant::HoldOnce, what));
            }
            let account = placed.account.to_string();
            let watched = self.watched(&account, placed.amount.currency());
            watched.free(placed.side, placed.amount).map_err(text)?;
            self.place.open.touched.insert(account);
        }
        Ok(found)
    }

    fn watched(&mut self, id: &str, currency: Currency) -> &mut WatchedAccount {
        self.memory
            .accounts
            .entry(id.to_owned())
            .or_insert_with(|| WatchedAccount::new(currency))
    }

    fn add_to_net(&mut self, change: Money) -> Result<(), MoneyError> {
        let currency = change.currency();
        let net = self
            .place
            .open
            .net
            .entry(currency)
            .or_insert_with(|| Money::zero(currency));
        *net = net.checked_add(change)?;
        Ok(())
    }
}

/// What of an account is not so after a command.
fn check_account(id: &str, account: &WatchedAccount, found: &mut Found) {
    if account.said != account.by_entries {
        let what = format!(
            "account {id} says {}, its entries {}",
            account.said, account.by_entries
        );
        found.push((Invariant::LegsAgree, what));
    }
    if account.pending != account.held {
        let (debits, credits) = account.held;
        let what = format!(
            "account {id} says {} and {} are pending, its holds {debits} and {credits}",
            account.pending.0, account.pending.1
        );
        found.push((Invariant::HoldsAgree, what));
    }
    match account.below_limit() {
        Ok(None) => {}
        Ok(Some(by)) => {
            let what = format!("account {id} is {by} below its limit");
            found.push((Invariant::WithinLimit, what));
        }
        Err(error) => found.push((Invariant::WithinLimit, format!("{id}: {error}"))),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
