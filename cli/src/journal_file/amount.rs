//! Amounts as journals have them: positive for a debit, the currency behind the number.

use folio_core::{Currency, Money};

use super::Line;
use crate::client::{EntryLeg, Side};

/// The amount of a leg.
pub(super) fn signed(leg: &EntryLeg) -> String {
    let sign = match leg.side {
        Side::Debit => "",
        Side::Credit => "-",
    };
    let amount = leg.amount;
    format!(
        "{sign}{} {}",
        amount.amount_text(),
        amount.currency().code()
    )
}

/// The money of a number, which may have a sign, and a currency's code.
pub(super) fn money(number: &str, code: &str) -> Line<Money> {
    let number = number.strip_prefix('+').unwrap_or(number);
    Money::parse(number, currency(code)?).map_err(|error| error.to_string())
}

/// The currency of a code.
pub(super) fn currency(code: &str) -> Line<Currency> {
    Currency::from_code(code).map_err(|error| error.to_string())
}

/// Refuses an amount with a sign of what is outside of what is read, each given with its name.
pub(super) fn has_none_of(text: &str, outside: &[(char, &str)]) -> Line<()> {
    match outside.iter().find(|(sign, _)| text.contains(*sign)) {
        Some((sign, what)) => Err(format!("{what} ({sign}) is outside of what is read")),
        None => Ok(()),
    }
}
