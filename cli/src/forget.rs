//! `ledger forget`: destroys the key of a subject, beside a running service or without one.

use std::fmt;

use clap::Args;
use folio_core::Actor;
use folio_erasure::{Reason, SubjectId, Vault, VaultError};
use folio_postgres::{Database, PoolError};
use ledger_example::transfer::service::TransfersDatabases;
use ledger_example::{AccountsDatabases, BookName};
use thiserror::Error;

use crate::accounts::BOOK;
use crate::output::{OutputError, answer};
use crate::server::{Server, ServerArgs, ServerError};
use crate::transfers;

/// Arguments of `ledger forget`.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Whom to forget, by its pseudonym.
    subject: SubjectId,
    /// The book in whose vault the key is.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: BookName,
    /// The key is in the vault of the payments instead; of those in this database, where it has a name of its own.
    #[arg(
        long, value_name = "DATABASE", conflicts_with = "book",
        num_args = 0..=1, require_equals = true, default_missing_value = transfers::DATABASE
    )]
    payments: Option<String>,
    /// Why. It stays, so it should not say who the subject is.
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
    /// Who asks for it.
    #[arg(long, value_name = "NAME", value_parser = |name: &str| Actor::new(name))]
    by: Actor,
}

/// Whose vault has the key.
enum Of {
    Book(BookName),
    /// Those whose logs are in this database.
    Payments(String),
}

/// Forgets a subject. It can be repeated, and answers as it did first.
///
/// # Errors
///
/// [`ForgetError`].
pub async fn run(arguments: ForgetArgs) -> Result<(), ForgetError> {
    let server = Server::join(&arguments.server, Vault::CONNECTIONS).await?;
    let done = forget(&server, &arguments).await;
    server.stop().await?;
    done
}

async fn forget(server: &Server, arguments: &ForgetArgs) -> Result<(), ForgetError> {
    let ForgetArgs {
        subject,
        reason,
        by,
        ..
    } = arguments;
    let of = arguments.of();
    let vault = Vault::new(&of.vault(server))?;
    let forgotten = vault.forget(subject, by, reason).await?;
    let (by, reason) = (&forgotten.by, forgotten.reason.as_str());
    answer(format_args!(
        "{subject} of {of} is forgotten, as {by} asked: {reason}"
    ))?;
    answer("backups of the vault from before still have the key, until they are thrown away")?;
    Ok(())
}

impl ForgetArgs {
    fn of(&self) -> Of {
        match &self.payments {
            Some(database) => Of::Payments(database.clone()),
            None => Of::Book(self.book.clone()),
        }
    }
}

impl Of {
    fn vault(&self, server: &Server) -> Database {
        match self {
            Self::Book(book) => AccountsDatabases::existing(&server.config, book).vault,
            Self::Payments(name) => TransfersDatabases::existing(&server.config, name).vault,
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Book(book) => write!(f, "book {book}"),
            Self::Payments(_) => f.write_str("payments"),
        }
    }
}

/// Why nobody was forgotten, or that is not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A pool cannot be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The vault knows no such subject, or gave no answer.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        forget: ForgetArgs,
    }

    fn of(words: &str) -> Option<String> {
        let always = ["forget", "c-1", "--reason", "asked", "--by", "ann"];
        let words = always.into_iter().chain(words.split_whitespace());
        let words = Words::try_parse_from(words).ok()?;
        Some(match words.forget.of() {
            Of::Book(book) => format!("book {book}"),
            Of::Payments(database) => format!("payments in {database}"),
        })
    }

    #[test]
    fn a_key_is_in_the_vault_of_one_book_or_of_payments() {
        for (words, found) in [
            ("", Some("book a")),
            ("--book b", Some("book b")),
            ("--payments", Some("payments in folio_transfers")),
            ("--payments=other", Some("payments in other")),
            ("--payments --book b", None),
        ] {
            assert_eq!(of(words).as_deref(), found, "{words}");
        }
    }
}
