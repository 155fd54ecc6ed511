//! Closing an account, which asks for all of its legs.

use folio_core::joint::{Caused, JointCommand, Participant, States};
use folio_core::{Aggregate, Fingerprint, Money};
use serde::Serialize;

use crate::account::{Account, AccountId, AccountRefusal, Kind};
use crate::journal::Recording;
use crate::refusal::LedgerRefusal;

/// Closes an account for good. It has no balance, and nothing is held on it or expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloseAccount {
    /// The account.
    pub account: AccountId,
}

impl JointCommand for CloseAccount {
    const NAME: &'static str = "close_account";
    type Refusal = LedgerRefusal;

    /// As the first version took it; see [`PostOne`](super::PostOne).
    fn fingerprint(&self) -> Result<Fingerprint, serde_json::Error> {
        let (category, id) = (
            Account::CATEGORY.as_bytes(),
            self.account.as_str().as_bytes(),
        );
        Ok(Fingerprint::of(&[category, id, br#""CloseAccount""#]))
    }

    fn participants(&self) -> Vec<Participant> {
        let id = self.account.as_str();
        vec![
            Participant::read::<Account>(id),
            Participant::read::<Recording>(id),
        ]
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        let id = self.account.as_str();
        let refused = LedgerRefusal::of(&self.account);
        self.account.check_chosen().map_err(refused)?;
        let Some(account) = states.of::<Account>(id) else {
            return Err(refused(AccountRefusal::NotOpened));
        };
        let balance = match (account.kind(), states.of::<Recording>(id)) {
            (Kind::Authorising, _) => account.balance(),
            (Kind::Recording, None) => Money::zero(account.currency()),
            (Kind::Recording, Some(recording)) => recording
                .posted
                .and_then(|posted| posted.balance(account.normal_side()).ok())
                .ok_or_else(|| refused(AccountRefusal::Inconsistent))?,
        };
        let closed = account.decide_close(balance).map_err(refused)?;
        Ok(vec![Caused::on::<Account>(id, closed)])
    }
}
