//! Placing a hold.

use folio_core::Amount;
use folio_core::joint::{Caused, JointCommand, Participant, States};
use serde::Serialize;

use crate::account::{Account, AccountId, AccountRefusal, Reference, Side};
use crate::hold::{Hold, HoldEvent, HoldId, PlacedHold};
use crate::journal::draft::check_size;
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// Longest lifetime of a hold: a year of 366 days.
const LIFETIME_SECONDS_MAX: u32 = 366 * 86_400;

/// Sets money aside on an account, or has it expect some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlaceHold {
    /// The id of the new hold.
    pub hold: HoldId,
    /// On which account.
    pub account: AccountId,
    /// Debit: money that is to go out. Credit: money that is expected.
    pub side: Side,
    /// How much.
    pub amount: Amount,
    /// How long it lasts, in seconds.
    pub lifetime_seconds: u32,
    /// The client's own name for it.
    pub reference: Option<Reference>,
    /// When.
    #[serde(skip)]
    pub now: Moment,
}

impl JointCommand for PlaceHold {
    const NAME: &'static str = "place_hold";
    type Refusal = LedgerRefusal;

    fn participants(&self) -> Vec<Participant> {
        vec![
            Participant::create::<Hold>(self.hold.as_str()),
            Participant::read::<Account>(self.account.as_str()),
        ]
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        match states.of::<Hold>(self.hold.as_str()) {
            Some(Hold { placed: None, .. }) => return Err(LedgerRefusal::HoldRuledOut),
            Some(Hold {
                placed: Some(_), ..
            }) => return Err(LedgerRefusal::HoldExists),
            None => {}
        }
        if !(1..=LIFETIME_SECONDS_MAX).contains(&self.lifetime_seconds) {
            return Err(LedgerRefusal::LifetimeNotSound {
                most: LIFETIME_SECONDS_MAX,
            });
        }
        check_size(self.amount)?;
        let refused = LedgerRefusal::of(&self.account);
        let id = self.account.as_str();
        let Some(account) = states.of::<Account>(id) else {
            return Err(refused(AccountRefusal::NotOpened));
        };
        let held = account
            .decide_hold(&self.hold, self.side, self.amount, self.now.0)
            .map_err(refused)?;
        let placed = HoldEvent::HoldPlaced(PlacedHold {
            account: self.account.clone(),
            side: self.side,
            amount: self.amount,
            expires_at: self.now.plus_seconds(self.lifetime_seconds),
            reference: self.reference.clone(),
        });
        Ok(vec![
            Caused::on::<Hold>(self.hold.as_str(), placed),
            Caused::on::<Account>(id, held),
        ])
    }
}
