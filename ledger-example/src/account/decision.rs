//! What an account lets happen to it.

use folio_core::{Amount, Money, MoneyError, Timestamp};

use crate::account::posting::CONTRA_PREFIX;
use crate::account::velocity::Velocity;
use crate::account::{
    Account, AccountCommand, AccountEvent, AccountId, AccountRefusal, HeldFunds, InvalidPosting,
    Kind, Limits, Opening, Overdraft, Side, Status, VelocityLimit,
};
use crate::hold::HoldId;

/// Most open holds on one account: each is in the account's state.
const HOLDS_MAX: usize = 1_000;
/// Most limits of velocity on one account.
const VELOCITY_MAX: usize = 10;

/// Decides a command that concerns one account alone.
pub(super) fn decide(
    state: Option<&Account>,
    command: AccountCommand,
) -> Result<AccountEvent, AccountRefusal> {
    if let AccountCommand::OpenAccount(opening) = command {
        if state.is_some() {
            return Err(AccountRefusal::AlreadyOpened);
        }
        check_opening(&opening)?;
        return Ok(AccountEvent::AccountOpened(opening));
    }
    let account = state.ok_or(AccountRefusal::NotOpened)?;
    account.check_alive()?;
    match command {
        AccountCommand::OpenAccount(_) => Err(AccountRefusal::AlreadyOpened),
        AccountCommand::SetLimits(limits) => account.decide_limits(limits),
        AccountCommand::FreezeAccount { freeze, reason } => {
            Ok(AccountEvent::AccountFrozen { freeze, reason })
        }
        AccountCommand::UnfreezeAccount { reason } => match account.freeze {
            Some(_) => Ok(AccountEvent::AccountUnfrozen { reason }),
            None => Err(AccountRefusal::NotFrozen),
        },
        AccountCommand::ChangeMetadata(change) => match account.metadata.changed(&change) {
            Ok(_) => Ok(AccountEvent::MetadataChanged(change)),
            Err(error) => Err(too_much_metadata(error)),
        },
        AccountCommand::NameHolder(holder) => Ok(AccountEvent::HolderNamed(holder)),
        AccountCommand::BeginClosing => match account.status {
            Status::Closing => Err(AccountRefusal::Closing),
            Status::Open | Status::Closed | Status::Inconsistent => Ok(AccountEvent::ClosingBegun),
        },
    }
}

impl AccountId {
    /// Whether it may be chosen by a client.
    pub(crate) fn check_chosen(&self) -> Result<(), AccountRefusal> {
        if self.as_str().starts_with(CONTRA_PREFIX) {
            Err(AccountRefusal::Contra)
        } else {
            Ok(())
        }
    }
}

impl Account {
    /// Lets a leg be posted that nothing was held for.
    ///
    /// # Errors
    ///
    /// [`AccountRefusal`].
    pub(crate) fn decide_leg(
        &self,
        side: Side,
        amount: Amount,
        at: Timestamp,
    ) -> Result<Option<Timestamp>, AccountRefusal> {
        self.check_alive()?;
        self.check_currency(amount)?;
        if self.status == Status::Closing && side == self.normal_side {
            return Err(AccountRefusal::Closing);
        }
        self.check_freeze(side)?;
        match self.kind {
            Kind::Recording => Ok(None),
            Kind::Authorising => {
                self.check_sums(side, amount)?;
                self.check_outgoing(side, amount, at)
            }
        }
    }

    /// Lets a hold be placed.
    pub(crate) fn decide_hold(
        &self,
        hold: &HoldId,
        side: Side,
        amount: Amount,
        at: Timestamp,
    ) -> Result<AccountEvent, AccountRefusal> {
        self.check_alive()?;
        self.check_currency(amount)?;
        if self.kind == Kind::Recording {
            return Err(AccountRefusal::NoHolds);
        }
        if self.status == Status::Closing {
            return Err(AccountRefusal::Closing);
        }
        self.check_freeze(side)?;
        if self.holds.len() >= HOLDS_MAX {
            return Err(AccountRefusal::TooManyHolds { most: HOLDS_MAX });
        }
        // What is held can always be posted: it is checked against the sums that there would be then.
        self.check_sums(side, amount)?;
        let counted_at = self.check_outgoing(side, amount, at)?;
        Ok(AccountEvent::FundsHeld(HeldFunds {
            hold: hold.clone(),
            side,
            amount,
            counted_at,
        }))
    }

    /// Ends a hold, and posts what is captured of it. A freeze that came after the hold does not stop
    /// it: the money was promised before.
    pub(crate) fn decide_release(&self, hold: &HoldId) -> Result<AccountEvent, AccountRefusal> {
        self.check_alive()?;
        let (side, amount) = *self.holds.get(hold).ok_or(AccountRefusal::Inconsistent)?;
        Ok(AccountEvent::FundsReleased(HeldFunds {
            hold: hold.clone(),
            side,
            amount,
            counted_at: None,
        }))
    }

    /// Lets it be closed. `balance` is that of its legs, wherever they are.
    pub(crate) fn decide_close(&self, balance: Money) -> Result<AccountEvent, AccountRefusal> {
        self.check_alive()?;
        let on = |wanted: Side| -> Vec<HoldId> {
            let holds = self.holds.iter().filter(|(_, (side, _))| *side == wanted);
            holds.map(|(id, _)| id.clone()).collect()
        };
        let (expected, held) = (on(self.normal_side), on(self.outgoing()));
        if !held.is_empty() {
            return Err(AccountRefusal::OpenHolds { holds: held });
        }
        if !expected.is_empty() {
            return Err(AccountRefusal::ExpectedCredits { holds: expected });
        }
        if !balance.is_zero() {
            return Err(AccountRefusal::BalanceNotZero { balance });
        }
        Ok(AccountEvent::AccountClosed)
    }

    fn decide_limits(&self, limits: Limits) -> Result<AccountEvent, AccountRefusal> {
        if self.kind == Kind::Recording {
            return Err(AccountRefusal::NoLimits);
        }
        check_limits(self.currency(), limits.overdraft, &limits.velocity)?;
        let uncommitted = self.uncommitted().map_err(|error| self.refusal(&error))?;
        let admits = limits.overdraft.admits(uncommitted);
        if !admits.map_err(|error| self.refusal(&error))? {
            return Err(AccountRefusal::LimitPassed {
                balance: uncommitted,
            });
        }
        Ok(AccountEvent::LimitsSet(limits))
    }

    fn check_alive(&self) -> Result<(), AccountRefusal> {
        match self.status {
            Status::Open | Status::Closing => Ok(()),
            Status::Closed => Err(AccountRefusal::Closed),
            Status::Inconsistent => Err(AccountRefusal::Inconsistent),
        }
    }

    fn check_currency(&self, amount: Amount) -> Result<(), AccountRefusal> {
        if amount.currency() == self.currency() {
            return Ok(());
        }
        Err(AccountRefusal::CurrencyMismatch {
            account: self.currency(),
            amount: amount.currency(),
        })
    }

    fn check_freeze(&self, side: Side) -> Result<(), AccountRefusal> {
        match self.freeze {
            Some(freeze) if freeze.refuses(side) => Err(AccountRefusal::Frozen { freeze }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a side's sum can be held with `amount` more on it, and with all that is pending there.
    fn check_sums(&self, side: Side, amount: Amount) -> Result<(), AccountRefusal> {
        let sums = || {
            let pending = self.pending.on(side).checked_add(amount.money())?;
            let with_all = self.posted.on(side).checked_add(pending)?;
            with_all.checked_sub(self.posted.on(side.opposite()))
        };
        sums().map(drop).map_err(|error| self.refusal(&error))
    }

    /// Whether `amount` may go out, if it does. Tells when it is counted, where it is.
    fn check_outgoing(
        &self,
        side: Side,
        amount: Amount,
        at: Timestamp,
    ) -> Result<Option<Timestamp>, AccountRefusal> {
        if side != self.outgoing() {
            return Ok(None);
        }
        let refusal = |error| self.refusal(&error);
        let before = self.uncommitted().map_err(refusal)?;
        let after = before.checked_sub(amount.money()).map_err(refusal)?;
        if !self.overdraft.admits(after).map_err(refusal)? {
            let available = self.overdraft.available(before).map_err(refusal)?;
            return Err(AccountRefusal::InsufficientFunds {
                available: available.unwrap_or(before),
            });
        }
        for usage in &self.velocity {
            if let Velocity::Exceeded(resets_at) = usage.check(amount, at).map_err(refusal)? {
                let VelocityLimit {
                    window_seconds,
                    amount,
                    count,
                } = usage.limit;
                return Err(AccountRefusal::LimitExceeded {
                    window_seconds,
                    amount,
                    count,
                    resets_at,
                });
            }
        }
        Ok((!self.velocity.is_empty()).then_some(at))
    }

    /// Sums on an account's own figures fail in two ways only.
    fn refusal(&self, error: &MoneyError) -> AccountRefusal {
        if let MoneyError::CurrencyMismatch { left, right } = error {
            let account = self.currency();
            let amount = if *left == account { *right } else { *left };
            AccountRefusal::CurrencyMismatch { account, amount }
        } else {
            AccountRefusal::Overflow
        }
    }
}

fn check_opening(opening: &Opening) -> Result<(), AccountRefusal> {
    if opening.kind == Kind::Recording
        && (opening.overdraft != Overdraft::None || !opening.velocity.is_empty())
    {
        return Err(AccountRefusal::NoLimits);
    }
    check_limits(opening.currency, opening.overdraft, &opening.velocity)?;
    let nothing = crate::account::MetadataChange::default();
    let counted = opening.metadata.changed(&nothing);
    counted.map(drop).map_err(too_much_metadata)
}

fn check_limits(
    currency: folio_core::Currency,
    overdraft: Overdraft,
    velocity: &[VelocityLimit],
) -> Result<(), AccountRefusal> {
    let limit = match overdraft {
        Overdraft::Limit { limit } => Some(limit),
        Overdraft::None | Overdraft::Unlimited => None,
    };
    let amounts = velocity.iter().filter_map(|limit| limit.amount);
    for amount in limit.into_iter().chain(amounts) {
        if amount.currency() != currency {
            return Err(AccountRefusal::CurrencyMismatch {
                account: currency,
                amount: amount.currency(),
            });
        }
    }
    if velocity.len() > VELOCITY_MAX || !velocity.iter().all(VelocityLimit::is_sound) {
        return Err(AccountRefusal::LimitNotSound);
    }
    Ok(())
}

fn too_much_metadata(error: InvalidPosting) -> AccountRefusal {
    let most = if let InvalidPosting::Metadata { most } = error {
        most
    } else {
        0
    };
    AccountRefusal::TooMuchMetadata { most }
}
