//! Names of accounts.

use std::collections::{HashMap, HashSet};

use crate::journal_file::{JournalAccount, Line};

/// By which name each account of a journal is written.
#[derive(Debug, Default)]
pub struct AccountNames {
    by_id: HashMap<String, String>,
}

impl AccountNames {
    /// Gives each account a name of its own.
    pub(super) fn of(accounts: &[JournalAccount]) -> Self {
        let mut taken = HashSet::new();
        let named = accounts.iter().map(|account| {
            let plain = plain(account);
            let mut name = plain.clone();
            let mut number: u32 = 1;
            while !taken.insert(name.clone()) {
                number = number.saturating_add(1);
                name = format!("{plain}-{number}");
            }
            (account.id.clone(), name)
        });
        Self {
            by_id: named.collect(),
        }
    }

    /// The name of an account.
    pub(super) fn name(&self, id: &str) -> Option<&str> {
        self.by_id.get(id).map(String::as_str)
    }
}

/// The side on which an account grows, by its name.
pub(super) fn normal_side(name: &str) -> Line<&'static str> {
    let mut parts = name.split(':');
    let side = match parts.next() {
        Some("Assets" | "Expenses") => "debit",
        Some("Liabilities" | "Equity" | "Income") => "credit",
        _ => {
            return Err(format!(
                "{name} cannot be an account: one begins with Assets, Expenses, Liabilities, Equity or Income, \
                 and a colon"
            ));
        }
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() || !parts.all(is_part) {
        return Err(format!(
            "{name} cannot be an account: behind its first colon come letters, digits and hyphens, and behind \
             each colon a capital letter or a digit first"
        ));
    }
    Ok(side)
}

/// The id of an account whose metadata names none.
pub(super) fn id(name: &str) -> String {
    name.replace(':', ".")
}

/// The name that an account would have if it were alone.
fn plain(account: &JournalAccount) -> String {
    let root = if account.normal_side == "credit" {
        "Liabilities"
    } else {
        "Assets"
    };
    let mut name = root.to_owned();
    for part in account.id.split('.') {
        let part: String = part
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .skip_while(|c| *c == '-')
            .collect();
        let mut chars = part.chars();
        if let Some(first) = chars.next() {
            name.extend([':', first.to_ascii_uppercase()]);
            name.push_str(chars.as_str());
        }
    }
    name
}

fn is_part(part: &str) -> bool {
    part.starts_with(|c: char| c.is_uppercase() || c.is_numeric())
        && part.chars().all(|c| c.is_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str, normal_side: &str) -> JournalAccount {
        JournalAccount {
            normal_side: normal_side.to_owned(),
            ..JournalAccount::undeclared(id)
        }
    }

    #[test]
    fn each_account_has_a_name_of_its_own() {
        let expected = [
            ("1", "credit", "Liabilities:1"),
            ("Alice", "debit", "Assets:Alice"),
            ("alice", "debit", "Assets:Alice-2"),
            ("ALICE", "credit", "Liabilities:ALICE"),
            ("alice-2", "debit", "Assets:Alice-2-2"),
            ("contra.bank-AB.CZK", "debit", "Assets:Contra:Bank-AB:CZK"),
            ("a..b._c.-", "debit", "Assets:A:B:C"),
            ("a_b-", "debit", "Assets:A-b-"),
        ];
        let accounts: Vec<_> = expected
            .iter()
            .map(|(id, side, _)| account(id, side))
            .collect();
        let mut taken = HashSet::new();
        let names = AccountNames::of(&accounts);
        for (id, side, name) in expected {
            assert_eq!(names.name(id), Some(name));
            assert_eq!(normal_side(name).as_deref(), Ok(side));
            assert!(taken.insert(name), "{name}");
        }
    }

    #[test]
    fn a_name_tells_its_side_or_is_none() {
        for name in ["Expenses:Café:1-a", "Equity:Ä", "Income:2026"] {
            assert!(normal_side(name).is_ok(), "{name}");
        }
        for name in [
            "Assets",
            "Assets:",
            "assets:A",
            "Cash:A",
            "Assets:a",
            "Assets:A:",
            "Assets:A_b",
            "Assets:-A",
            "A",
        ] {
            let refused = normal_side(name).unwrap_err();
            assert!(refused.contains("cannot be an account"), "{refused}");
        }
    }
}
