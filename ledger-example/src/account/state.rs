//! The account itself: what it is, and how events change it.

use std::collections::BTreeMap;

use folio_core::{Aggregate, Amount, Currency, Money, MoneyError};

use crate::account::velocity::Usage;
use crate::account::{
    AccountCommand, AccountEvent, AccountMetadata, AccountRefusal, Freeze, HeldFunds, Holder, Kind,
    Opening, Overdraft, Side, VelocityLimit,
};
use crate::hold::HoldId;

/// An account, as its events left it.
///
/// It has four counters, none ever negative: what was posted and what is pending, on each side. The
/// balance is derived. Of a [recording](Kind::Recording) account the legs lie in another stream, and
/// these counters stay at zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub(super) kind: Kind,
    pub(super) normal_side: Side,
    pub(super) overdraft: Overdraft,
    pub(super) velocity: Vec<Usage>,
    pub(super) status: Status,
    pub(super) freeze: Option<Freeze>,
    pub(super) posted: Sides,
    pub(super) pending: Sides,
    pub(super) holds: BTreeMap<HoldId, (Side, Amount)>,
    pub(super) metadata: AccountMetadata,
    pub(super) holder: Option<Holder>,
}

/// A sum on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// All debits.
    pub debits: Money,
    /// All credits.
    pub credits: Money,
}

/// Where an account is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It takes legs and holds.
    Open,
    /// It takes what empties it and what is expected.
    Closing,
    /// It takes nothing, for good.
    Closed,
    /// Its events contradict each other. No decision ever leads here, so the store was altered.
    Inconsistent,
}

impl Status {
    /// `open`, `closing`, `closed` or `inconsistent`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Inconsistent => "inconsistent",
        }
    }
}

impl Sides {
    /// Nothing on either.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self {
            debits: zero,
            credits: zero,
        }
    }

    /// With `amount` more on a side.
    ///
    /// # Errors
    ///
    /// When the amount is in another currency, or the sum is too large to hold.
    pub fn plus(self, side: Side, amount: Amount) -> Result<Self, MoneyError> {
        self.changed(side, |sum| sum.checked_add(amount.money()))
    }

    fn minus(self, side: Side, amount: Amount) -> Result<Self, MoneyError> {
        self.changed(side, |sum| sum.checked_sub(amount.money()))
    }

    fn changed(
        self,
        side: Side,
        change: impl Fn(Money) -> Result<Money, MoneyError>,
    ) -> Result<Self, MoneyError> {
        Ok(match side {
            Side::Debit => Self {
                debits: change(self.debits)?,
                ..self
            },
            Side::Credit => Self {
                credits: change(self.credits)?,
                ..self
            },
        })
    }

    /// The sum on a side.
    #[must_use]
    pub const fn on(self, side: Side) -> Money {
        match side {
            Side::Debit => self.debits,
            Side::Credit => self.credits,
        }
    }

    /// The balance of an account that grows on `normal_side`.
    ///
    /// # Errors
    ///
    /// When the difference is too large to hold.
    pub fn balance(self, normal_side: Side) -> Result<Money, MoneyError> {
        self.on(normal_side)
            .checked_sub(self.on(normal_side.opposite()))
    }
}

impl Account {
    /// Its currency.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.posted.credits.currency()
    }

    /// Whether its limits are checked.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// On which side it grows.
    #[must_use]
    pub const fn normal_side(&self) -> Side {
        self.normal_side
    }

    /// How far below zero it may go.
    #[must_use]
    pub const fn overdraft(&self) -> Overdraft {
        self.overdraft
    }

    /// How fast money may go out.
    pub fn velocity(&self) -> impl Iterator<Item = VelocityLimit> {
        self.velocity.iter().map(|usage| usage.limit)
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// What it refuses while it is frozen.
    #[must_use]
    pub const fn freeze(&self) -> Option<Freeze> {
        self.freeze
    }

    /// What was posted.
    #[must_use]
    pub const fn posted(&self) -> Sides {
        self.posted
    }

    /// What is held: debits that are to go out, credits that are expected.
    #[must_use]
    pub const fn pending(&self) -> Sides {
        self.pending
    }

    /// The open holds, each with its side and amount.
    pub fn holds(&self) -> impl Iterator<Item = (&HoldId, Side, Amount)> {
        self.holds
            .iter()
            .map(|(id, (side, amount))| (id, *side, *amount))
    }

    /// What is noted about it.
    #[must_use]
    pub const fn metadata(&self) -> &AccountMetadata {
        &self.metadata
    }

    /// Who holds it, where that was said.
    #[must_use]
    pub const fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// What was posted on its normal side less what was posted on the other.
    ///
    /// Its events are admitted only where this can be held, so it is zero nowhere else than where the
    /// history was altered and the account is [`Status::Inconsistent`].
    #[must_use]
    pub fn balance(&self) -> Money {
        let balance = self.posted.balance(self.normal_side);
        balance.unwrap_or(Money::zero(self.currency()))
    }

    /// What may still go out: the balance and the overdraft, less what is held. None where there is no
    /// bound.
    ///
    /// # Errors
    ///
    /// When the figure is too large to hold.
    pub fn available(&self) -> Result<Option<Money>, MoneyError> {
        match self.kind {
            Kind::Authorising => self.overdraft.available(self.uncommitted()?),
            Kind::Recording => Ok(None),
        }
    }

    /// The side on which it shrinks.
    pub(super) const fn outgoing(&self) -> Side {
        self.normal_side.opposite()
    }

    /// The balance less what is held to go out. What is expected does not count before it is there.
    pub(super) fn uncommitted(&self) -> Result<Money, MoneyError> {
        self.posted
            .balance(self.normal_side)?
            .checked_sub(self.pending.on(self.outgoing()))
    }

    /// A new account.
    pub(crate) fn opened(opening: &Opening) -> Self {
        let zero = Money::zero(opening.currency);
        Self {
            kind: opening.kind,
            normal_side: opening.normal_side.0,
            overdraft: opening.overdraft,
            velocity: opening
                .velocity
                .iter()
                .map(|limit| Usage::new(*limit, zero))
                .collect(),
            status: Status::Open,
            freeze: None,
            posted: Sides::zero(opening.currency),
            pending: Sides::zero(opening.currency),
            holds: BTreeMap::new(),
            metadata: opening.metadata.clone(),
            holder: opening.holder.clone(),
        }
    }

    /// Has an event happen to it. What does not follow from the events before marks it, so that it refuses
    /// everything from here on and an audit names it; its figures stay as they were.
    pub(crate) fn change(&mut self, event: &AccountEvent) {
        let changed = match self.status {
            Status::Open | Status::Closing => self.apply(event),
            Status::Closed | Status::Inconsistent => {
                self.status = Status::Inconsistent;
                Ok(())
            }
        };
        if changed.is_err() {
            self.status = Status::Inconsistent;
        }
    }

    /// Where a figure cannot be held, none has changed: they are put in place when all are there.
    fn apply(&mut self, event: &AccountEvent) -> Result<(), MoneyError> {
        match event {
            // Twice.
            AccountEvent::AccountOpened(_) => self.status = Status::Inconsistent,
            AccountEvent::LegPosted(leg) => {
                let posted = self.posted_with(leg.side, leg.amount)?;
                if let Some(at) = leg.counted_at {
                    self.velocity = self.counted(leg.amount, at)?;
                }
                self.posted = posted;
            }
            AccountEvent::FundsHeld(held) => {
                let pending = self.pending.plus(held.side, held.amount)?;
                if let Some(at) = held.counted_at {
                    self.velocity = self.counted(held.amount, at)?;
                }
                self.pending = pending;
                let funds = (held.side, held.amount);
                if self.holds.insert(held.hold.clone(), funds).is_some() {
                    self.status = Status::Inconsistent;
                }
            }
            AccountEvent::FundsReleased(held) => self.release(held)?,
            AccountEvent::LimitsSet(limits) => {
                let zero = Money::zero(self.currency());
                let before = std::mem::take(&mut self.velocity);
                self.overdraft = limits.overdraft;
                // What has gone out still counts, also where a limit was made tighter: else two limits could be used up in one window.
                self.velocity = limits
                    .velocity
                    .iter()
                    .map(|limit| Usage::of(*limit, &before).unwrap_or(Usage::new(*limit, zero)))
                    .collect();
            }
            AccountEvent::AccountFrozen { freeze, .. } => self.freeze = Some(*freeze),
            AccountEvent::AccountUnfrozen { .. } => self.freeze = None,
            AccountEvent::MetadataChanged(change) => match self.metadata.changed(change) {
                Ok(metadata) => self.metadata = metadata,
                Err(_) => self.status = Status::Inconsistent,
            },
            AccountEvent::HolderNamed(holder) => self.holder = Some(holder.clone()),
            AccountEvent::ClosingBegun => self.status = Status::Closing,
            AccountEvent::AccountClosed => self.status = Status::Closed,
            AccountEvent::AccountCredited(posting) => {
                self.posted = self.posted_with(Side::Credit, posting.amount)?;
            }
            AccountEvent::AccountDebited(posting) => {
                self.posted = self.posted_with(Side::Debit, posting.amount)?;
            }
        }
        Ok(())
    }

    /// The sums after a leg. Both can be held, and so can their difference.
    fn posted_with(&self, side: Side, amount: Amount) -> Result<Sides, MoneyError> {
        let posted = self.posted.plus(side, amount)?;
        posted.balance(self.normal_side)?;
        Ok(posted)
    }

    fn counted(&self, amount: Amount, at: folio_core::Timestamp) -> Result<Vec<Usage>, MoneyError> {
        let usages = self.velocity.iter();
        usages.map(|usage| usage.with(amount, at)).collect()
    }

    fn release(&mut self, held: &HeldFunds) -> Result<(), MoneyError> {
        if self.holds.get(&held.hold) == Some(&(held.side, held.amount)) {
            self.pending = self.pending.minus(held.side, held.amount)?;
        } else {
            self.status = Status::Inconsistent;
        }
        self.holds.remove(&held.hold);
        Ok(())
    }
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";

    type Command = AccountCommand;
    type Event = AccountEvent;
    type Refusal = AccountRefusal;

    fn decide(
        state: Option<&Self>,
        command: AccountCommand,
    ) -> Result<Vec<AccountEvent>, AccountRefusal> {
        super::decision::decide(state, command).map(|event| vec![event])
    }

    fn evolve(state: Option<Self>, event: &AccountEvent) -> Option<Self> {
        match (state, event) {
            (None, AccountEvent::AccountOpened(opening)) => Some(Self::opened(opening)),
            // Nothing can be said of an account that was never opened: it has no currency.
            (None, _) => None,
            (Some(mut account), _) => {
                account.change(event);
                Some(account)
            }
        }
    }

    fn weight(&self) -> usize {
        let holds = self.holds.len().saturating_mul(128);
        let usages = self.velocity.len().saturating_mul(size_of::<Usage>());
        size_of::<Self>()
            .saturating_add(holds)
            .saturating_add(usages)
            .saturating_add(self.metadata.weight())
            .saturating_add(self.holder.as_ref().map_or(0, Holder::weight))
    }
}
