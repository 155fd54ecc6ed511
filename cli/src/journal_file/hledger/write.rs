//! Writing a journal in hledger's format.

use std::collections::BTreeSet;
use std::io::{self, Write};

use folio_core::{Currency, Money};

use crate::journal_file::amount::signed;
use crate::journal_file::{JournalAccount, Transaction};

/// Writes the head of a journal: its currencies and accounts; `note` is a comment on its first line.
///
/// # Errors
///
/// When `out` fails.
pub fn head(out: &mut impl Write, note: &str, accounts: &[JournalAccount]) -> io::Result<()> {
    writeln!(out, "; {note}\n")?;
    let currencies: BTreeSet<&str> = accounts
        .iter()
        .filter_map(|account| account.currency.as_ref().map(Currency::code))
        .collect();
    for code in currencies {
        let zero = Currency::from_code(code).map(|currency| Money::zero(currency).amount_text());
        let zero = zero.unwrap_or_default();
        // hledger wants a decimal mark, also where there are no decimals.
        let decimals = zero.strip_prefix('0').unwrap_or_default();
        let decimals = if decimals.is_empty() { "." } else { decimals };
        writeln!(out, "commodity 1000{decimals} {code}")?;
    }
    writeln!(out)?;
    for account in accounts {
        write!(
            out,
            "account {}  ; kind: {}, normal-side: {}",
            account.id, account.kind, account.normal_side
        )?;
        match account.currency {
            Some(currency) => writeln!(out, ", currency: {}", currency.code())?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// Writes a transaction.
///
/// # Errors
///
/// When `out` fails.
pub fn write(out: &mut impl Write, transaction: &Transaction) -> io::Result<()> {
    let reference = transaction.reference.as_deref();
    let description = transaction.description.as_deref();
    write!(out, "\n{} *", transaction.date)?;
    if let Some(reference) = reference.filter(|text| fits_code(text)) {
        write!(out, " ({reference})")?;
    }
    if let Some(description) = description.filter(|text| fits_line(text)) {
        write!(out, " {description}")?;
    }
    writeln!(out)?;
    for (name, text) in transaction.notes()? {
        writeln!(out, "    ; folio-{name}: {text}")?;
    }
    // As JSON, which has no line breaks: texts that would mean something else where they belong.
    let texts = [
        ("reference", reference.filter(|text| !fits_code(text))),
        ("description", description.filter(|text| !fits_line(text))),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            writeln!(out, "    ; folio-{name}: {}", serde_json::to_string(text)?)?;
        }
    }
    for leg in &transaction.legs {
        writeln!(out, "    {}  {}", leg.account_id, signed(leg))?;
    }
    Ok(())
}

/// Whether a text may stand between brackets.
fn fits_code(text: &str) -> bool {
    fits(text) && !text.contains(['(', ')'])
}

/// Whether a text may stand at the end of a transaction's line.
fn fits_line(text: &str) -> bool {
    fits(text) && !text.contains('|') && !text.starts_with(['(', '*', '!'])
}

/// Whether a text may be a part of a line, and comes back as it is.
fn fits(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(|c: char| c == ';' || c.is_control())
}
