//! The aggregate that is measured: a small account whose events have some 170 bytes.

use folio_core::{Aggregate, Event};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) balance: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Credited(Posting),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Posting {
    pub(crate) amount: String,
    pub(crate) currency: String,
    pub(crate) contra: String,
    pub(crate) effective_date: String,
    pub(crate) reference: String,
    pub(crate) description: String,
}

impl Posting {
    pub(crate) fn sample() -> Self {
        Self {
            amount: "1250".to_owned(),
            currency: "CZK".to_owned(),
            contra: "bank:AB".to_owned(),
            effective_date: "1993-04-12".to_owned(),
            reference: "1034217".to_owned(),
            description: "transfer in, household payment".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub(crate) enum AccountCommand {
    Credit(Posting),
}

#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("the balance leaves its range")]
pub(crate) struct OutOfRange;

impl Event for AccountEvent {}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Refusal = OutOfRange;

    fn decide(
        state: Option<&Self>,
        AccountCommand::Credit(posting): AccountCommand,
    ) -> Result<Vec<AccountEvent>, OutOfRange> {
        let amount: i64 = posting.amount.parse().map_err(|_| OutOfRange)?;
        let balance = state.map_or(0, |account| account.balance);
        balance.checked_add(amount).ok_or(OutOfRange)?;
        Ok(vec![AccountEvent::Credited(posting)])
    }

    fn evolve(state: Option<Self>, AccountEvent::Credited(posting): &AccountEvent) -> Option<Self> {
        let balance = state.map_or(0, |account| account.balance);
        let amount: i64 = posting.amount.parse().unwrap_or(0);
        Some(Self {
            balance: balance + amount,
        })
    }
}
