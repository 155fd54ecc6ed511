//! The accounts of a journal that is being read.

use std::collections::BTreeMap;

use ledger_example::account::AccountId;

use super::{JournalAccount, Line};
use crate::client::EntryLeg;

/// The accounts that were met by now, declared or not.
#[derive(Default)]
pub(super) struct Accounts {
    by_id: BTreeMap<String, JournalAccount>,
    /// By which name each id was written first.
    names: BTreeMap<String, String>,
}

impl Accounts {
    /// Takes in an account that is declared.
    pub(super) fn declare(&mut self, account: JournalAccount) -> Line<()> {
        let id = account.id.clone();
        match self.by_id.insert(id.clone(), account) {
            Some(_) => Err(format!(
                "account {id} is declared twice, or after its first posting"
            )),
            None => Ok(()),
        }
    }

    /// Notes by which name an account is written: under one id, there is one.
    pub(super) fn named(&mut self, id: &str, name: &str) -> Line<()> {
        let known = self
            .names
            .entry(id.to_owned())
            .or_insert_with(|| name.to_owned());
        if known == name {
            Ok(())
        } else {
            Err(format!("accounts {known} and {name} would be one, {id}"))
        }
    }

    /// Notes that something is posted to an account.
    pub(super) fn occurs(&mut self, leg: &EntryLeg) -> Line<()> {
        let id = &leg.account_id;
        let account = self
            .by_id
            .entry(id.clone())
            .or_insert_with(|| JournalAccount::undeclared(id));
        let currency = leg.amount.currency();
        match account.currency {
            Some(known) if known != currency => Err(format!(
                "account {id} has postings in {known} and {currency}; an account has one currency"
            )),
            Some(_) | None => {
                account.currency = Some(currency);
                Ok(())
            }
        }
    }

    /// All of them, by their ids.
    pub(super) fn into_vec(self) -> Vec<JournalAccount> {
        self.by_id.into_values().collect()
    }
}

/// Whether a text can be the id of an account.
pub(super) fn is_id(text: &str) -> bool {
    text.parse::<AccountId>().is_ok()
}

/// The kind of an account, by its name.
pub(super) fn kind(text: &str) -> Line<String> {
    match text {
        "authorising" | "recording" => Ok(text.to_owned()),
        _ => Err(format!("{text} is no kind")),
    }
}
