//! `ledger forget`: destroys the key of a subject, beside a running service or without one.

use clap::Args;
use folio_core::Actor;
use folio_erasure::{Reason, SubjectId, Vault, VaultError};
use folio_postgres::PoolError;
use ledger_example::{AccountsDatabases, BookName};
use thiserror::Error;

use crate::accounts::BOOK;
use crate::server::{Server, ServerArgs, ServerError};

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
    /// Why. It stays, so it should not say who the subject is.
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
    /// Who asks for it.
    #[arg(long, value_name = "NAME", value_parser = |name: &str| Actor::new(name))]
    by: Actor,
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
    let databases = AccountsDatabases::existing(&server.config, &arguments.book);
    let vault = Vault::new(&databases.vault)?;
    let ForgetArgs {
        subject,
        book,
        reason,
        by,
        ..
    } = arguments;
    let forgotten = vault.forget(subject, by, reason).await?;
    let (by, reason) = (&forgotten.by, forgotten.reason.as_str());
    println!("{subject} of book {book} is forgotten, as {by} asked: {reason}");
    println!("backups of the vault from before still have the key, until they are thrown away");
    Ok(())
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
}
