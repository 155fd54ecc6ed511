//! Giving a hold up, and ending one whose time is over.

use folio_core::joint::{Caused, JointCommand, Participant, States};
use serde::Serialize;

use crate::account::{Account, AccountId, AccountRefusal};
use crate::hold::{Hold, HoldEvent, HoldId, PlacedHold, Resolution};
use crate::moment::Moment;
use crate::refusal::LedgerRefusal;

/// Gives a hold up. One that was never placed cannot be placed any more: whoever does not know whether
/// the request to place it arrived can be sure of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseHold {
    /// The hold.
    pub hold: HoldId,
    /// Its account; none where there was no such hold when it was looked for.
    #[serde(skip)]
    pub account: Option<AccountId>,
}

/// Ends a hold whose time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpireHold {
    /// The hold.
    pub hold: HoldId,
    /// Its account.
    pub account: AccountId,
    /// When.
    #[serde(skip)]
    pub now: Moment,
}

impl JointCommand for ReleaseHold {
    const NAME: &'static str = "release_hold";
    type Refusal = LedgerRefusal;

    fn participants(&self) -> Vec<Participant> {
        participants(&self.hold, self.account.as_ref())
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        let hold = states.of::<Hold>(self.hold.as_str());
        match hold {
            None => {
                let ruled_out = HoldEvent::HoldRuledOut;
                Ok(vec![Caused::on::<Hold>(self.hold.as_str(), ruled_out)])
            }
            // It is given up, as it was asked for: by another request with another key.
            Some(Hold {
                resolution: Some(Resolution::RuledOut),
                ..
            }) => Ok(Vec::new()),
            Some(_) => {
                let placed = Hold::open(hold)?;
                release(states, &self.hold, placed, HoldEvent::HoldReleased)
            }
        }
    }
}

impl JointCommand for ExpireHold {
    const NAME: &'static str = "expire_hold";
    type Refusal = LedgerRefusal;

    fn participants(&self) -> Vec<Participant> {
        participants(&self.hold, Some(&self.account))
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        let placed = Hold::open(states.of::<Hold>(self.hold.as_str()))?;
        if self.now.0 < placed.expires_at {
            return Err(LedgerRefusal::HoldNotExpired);
        }
        release(states, &self.hold, placed, HoldEvent::HoldExpired)
    }
}

fn participants(hold: &HoldId, account: Option<&AccountId>) -> Vec<Participant> {
    let account = account.map(|account| Participant::read::<Account>(account.as_str()));
    let hold = Participant::read::<Hold>(hold.as_str());
    std::iter::once(hold).chain(account).collect()
}

/// What is held is free again, on the account as well.
fn release(
    states: &States<'_>,
    id: &HoldId,
    placed: &PlacedHold,
    event: HoldEvent,
) -> Result<Vec<Caused>, LedgerRefusal> {
    let refused = LedgerRefusal::of(&placed.account);
    let Some(account) = states.of::<Account>(placed.account.as_str()) else {
        return Err(refused(AccountRefusal::NotOpened));
    };
    let released = account.decide_release(id).map_err(refused)?;
    Ok(vec![
        Caused::on::<Hold>(id.as_str(), event),
        Caused::on::<Account>(placed.account.as_str(), released),
    ])
}
