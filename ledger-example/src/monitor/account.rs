//! What is remembered of an account.

use folio_core::{Amount, Currency, Money, MoneyError};
use serde::{Deserialize, Serialize};

use crate::account::{AccountEvent, Kind, Overdraft, Side};

/// An account, as far as it is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WatchedAccount {
    pub(super) currency: Currency,
    kind: Kind,
    normal_side: Side,
    overdraft: Overdraft,
    is_closed: bool,
    /// Credits less debits, as the account says, and as the entries say.
    pub(super) said: Money,
    pub(super) by_entries: Money,
    /// What is held, as the account says: debits and credits.
    pub(super) pending: (Money, Money),
    /// The same, as the holds say.
    pub(super) held: (Money, Money),
}

impl WatchedAccount {
    /// One that nothing is known of but its currency: a contra account that was not opened.
    pub(super) fn new(currency: Currency) -> Self {
        let zero = Money::zero(currency);
        Self {
            currency,
            kind: Kind::Recording,
            normal_side: Side::Debit,
            overdraft: Overdraft::Unlimited,
            is_closed: false,
            said: zero,
            by_entries: zero,
            pending: (zero, zero),
            held: (zero, zero),
        }
    }

    /// After an event of its own. Tells what cannot be, where that shows at once.
    pub(super) fn apply(
        &mut self,
        event: &AccountEvent,
    ) -> Result<Option<&'static str>, MoneyError> {
        if self.is_closed {
            return Ok(Some("it happens after the account was closed"));
        }
        match event {
            AccountEvent::AccountOpened(opening) => {
                self.kind = opening.kind;
                self.normal_side = opening.normal_side.0;
                self.overdraft = opening.overdraft;
            }
            AccountEvent::LegPosted(leg) => self.say(leg.side, leg.amount)?,
            AccountEvent::AccountCredited(posting) => self.say(Side::Credit, posting.amount)?,
            AccountEvent::AccountDebited(posting) => self.say(Side::Debit, posting.amount)?,
            AccountEvent::FundsHeld(held) => {
                let sum = on(&mut self.pending, held.side);
                *sum = sum.checked_add(held.amount.money())?;
            }
            AccountEvent::FundsReleased(held) => {
                let sum = on(&mut self.pending, held.side);
                *sum = sum.checked_sub(held.amount.money())?;
            }
            AccountEvent::LimitsSet(limits) => self.overdraft = limits.overdraft,
            AccountEvent::AccountClosed => {
                self.is_closed = true;
                let (debits, credits) = &self.pending;
                if !(self.said.is_zero() && debits.is_zero() && credits.is_zero()) {
                    return Ok(Some("it is closed, and not empty"));
                }
            }
            AccountEvent::AccountFrozen { .. }
            | AccountEvent::AccountUnfrozen { .. }
            | AccountEvent::MetadataChanged(_)
            | AccountEvent::HolderNamed(_)
            | AccountEvent::ClosingBegun => {}
        }
        Ok(None)
    }

    /// After a leg, as the account says.
    pub(super) fn say(&mut self, side: Side, amount: Amount) -> Result<(), MoneyError> {
        self.said = added(self.said, side, amount)?;
        Ok(())
    }

    /// After a leg, as an entry says.
    pub(super) fn enter(&mut self, side: Side, amount: Amount) -> Result<(), MoneyError> {
        self.by_entries = added(self.by_entries, side, amount)?;
        Ok(())
    }

    /// After a hold was placed.
    pub(super) fn hold(&mut self, side: Side, amount: Amount) -> Result<(), MoneyError> {
        let sum = on(&mut self.held, side);
        *sum = sum.checked_add(amount.money())?;
        Ok(())
    }

    /// After a hold was resolved.
    pub(super) fn free(&mut self, side: Side, amount: Amount) -> Result<(), MoneyError> {
        let sum = on(&mut self.held, side);
        *sum = sum.checked_sub(amount.money())?;
        Ok(())
    }

    /// By how much it is below its limit, if it is.
    pub(super) fn below_limit(&self) -> Result<Option<Money>, MoneyError> {
        let limit = match (self.kind, self.overdraft) {
            (Kind::Recording, _) | (_, Overdraft::Unlimited) => return Ok(None),
            (Kind::Authorising, Overdraft::None) => Money::zero(self.currency),
            (Kind::Authorising, Overdraft::Limit { limit }) => limit.money(),
        };
        let (balance, outgoing) = match self.normal_side {
            Side::Credit => (self.said, self.pending.0),
            Side::Debit => (self.said.negated(), self.pending.1),
        };
        let left = balance.checked_sub(outgoing)?.checked_add(limit)?;
        Ok(left.is_negative().then(|| left.negated()))
    }
}

fn added(sum: Money, side: Side, amount: Amount) -> Result<Money, MoneyError> {
    match side {
        Side::Credit => sum.checked_add(amount.money()),
        Side::Debit => sum.checked_sub(amount.money()),
    }
}

const fn on(sides: &mut (Money, Money), side: Side) -> &mut Money {
    match side {
        Side::Debit => &mut sides.0,
        Side::Credit => &mut sides.1,
    }
}
