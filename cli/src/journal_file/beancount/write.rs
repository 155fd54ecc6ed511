//! Writing a journal in beancount's format.

use std::io::{self, Write};

use super::AccountNames;
use super::quotes::quoted;
use crate::journal_file::amount::signed;
use crate::journal_file::{JournalAccount, Transaction};

/// The first day that beancount knows, on which every account is opened.
const FIRST_DAY: &str = "0001-01-01";

/// Writes the head of a journal, its accounts, and tells by which names; `note` is a comment on its
/// first line.
///
/// # Errors
///
/// When `out` fails.
pub fn head(
    out: &mut impl Write,
    note: &str,
    accounts: &[JournalAccount],
) -> io::Result<AccountNames> {
    writeln!(out, "; {note}\n")?;
    let names = AccountNames::of(accounts);
    for account in accounts {
        write!(out, "{FIRST_DAY} open {}", name(&names, &account.id)?)?;
        if let Some(currency) = account.currency {
            write!(out, " {}", currency.code())?;
        }
        writeln!(out)?;
        writeln!(out, "  folio-account: {}", quoted(&account.id))?;
        writeln!(out, "  folio-kind: {}", quoted(&account.kind))?;
    }
    Ok(names)
}

/// Writes a transaction.
///
/// # Errors
///
/// When `out` fails, and when an account has no name.
pub fn write(
    out: &mut impl Write,
    names: &AccountNames,
    transaction: &Transaction,
) -> io::Result<()> {
    write!(out, "\n{} *", transaction.date)?;
    let reference = transaction.reference.as_deref();
    let description = transaction.description.as_deref();
    // Of two texts the first is the reference, so there is a second one, be it empty.
    let second = description.or(reference.map(|_| ""));
    for text in [reference, second].into_iter().flatten() {
        write!(out, " {}", quoted(text))?;
    }
    writeln!(out)?;
    // A text that is empty stands for none.
    let texts = [("reference", reference), ("description", description)];
    let empty = texts.into_iter().filter(|(_, text)| *text == Some(""));
    let empty = empty.map(|(name, _)| (name, String::new()));
    for (name, text) in transaction.notes()?.into_iter().chain(empty) {
        writeln!(out, "  folio-{name}: {}", quoted(&text))?;
    }
    for leg in &transaction.legs {
        writeln!(out, "  {}  {}", name(names, &leg.account_id)?, signed(leg))?;
    }
    Ok(())
}

fn name<'a>(names: &'a AccountNames, id: &str) -> io::Result<&'a str> {
    names.name(id).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("account {id} is not one of those that the journal begins with"),
        )
    })
}
