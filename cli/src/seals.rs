//! By which keys a log is sealed, which one that is, and where its checkpoints are kept.

use std::path::{Path, PathBuf};

use clap::Args;
use folio_audit::{LogKeys, LogKeysError, LogState, SealError};
use folio_postgres::Database;
use folio_proofs::note::{InvalidKeyName, KeyName};
use ledger_example::transfer::service::TransfersDatabases;
use ledger_example::{AccountsDatabases, BookName, Seals};
use thiserror::Error;
use tokio_postgres::Config;

use crate::accounts::BOOK;
use crate::anchors::{self, AnchorAt, AnchorAtError};
use crate::transfers;

/// What the log of the transfers service is called, among those of books.
pub const TRANSFERS: &str = "transfers";

/// Which log is meant.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// The book whose log it is.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: BookName,
    /// The log of the transfers service, in place of a book's: what became of transfers and payments, step by step.
    #[arg(long, conflicts_with = "book")]
    transfers: bool,
}

impl LogArgs {
    /// That of a book.
    #[must_use]
    pub const fn of_book(book: BookName) -> Self {
        Self {
            book,
            transfers: false,
        }
    }

    /// What it is called: after its book, or [`TRANSFERS`].
    #[must_use]
    pub fn name(&self) -> &str {
        match self.transfers {
            true => TRANSFERS,
            false => self.book.as_str(),
        }
    }

    /// The database of what it was sealed of, which was made before.
    #[must_use]
    pub fn database(&self, server: &Config) -> Database {
        match self.transfers {
            true => TransfersDatabases::existing(server, transfers::DATABASE).logs,
            false => AccountsDatabases::existing(server, &self.book).events,
        }
    }
}

/// Whether and how a service's store is sealed.
#[derive(Debug, Default, Args)]
pub struct SealArgs {
    /// The folder of the key by which the history is sealed; made where there is none. Without it, nothing is sealed.
    #[arg(
        long,
        env = "FOLIO_SEAL_KEYS",
        requires = "anchor",
        value_name = "FOLDER"
    )]
    seal_keys: Option<PathBuf>,
    /// Where checkpoints are anchored, best on another machine: what is there is believed more than the database. A file, a
    /// database as `postgres://user:password@host/database`, or a witness as `http://host:port#KEY`, with its public key or a
    /// file of its keys. Once for each; one a line of FOLIO_ANCHOR.
    #[arg(
        long = "anchor",
        id = "anchor",
        env = "FOLIO_ANCHOR",
        hide_env_values = true,
        value_delimiter = '\n',
        requires = "seal_keys",
        value_name = "WHERE"
    )]
    anchors: Vec<AnchorAt>,
    /// What the log is called, a URL without its scheme. `ledger.local/` and the book, or `transfers`, unless it is said.
    #[arg(long, requires = "seal_keys", value_name = "NAME")]
    log: Option<KeyName>,
}

impl SealArgs {
    /// By what the store in this database is sealed, which is that of the book, or service, of this name, if it is.
    ///
    /// # Errors
    ///
    /// [`SealsError`].
    pub async fn open(&self, of: &str, store: &Database) -> Result<Option<Seals>, SealsError> {
        let Some(folder) = &self.seal_keys else {
            return Ok(None);
        };
        let name = match &self.log {
            Some(name) => name.clone(),
            None => format!("ledger.local/{of}").parse()?,
        };
        let keys = LogKeys::in_folder(folder, &name)?;
        let state = LogState::read(store).await?;
        let anchors = anchors::open_all(&self.anchors, keys.log.origin(), state).await?;
        Ok(anchors.map(|anchors| Seals { keys, anchors }))
    }
}

/// Where a private installation keeps the keys of the log of this name.
#[must_use]
pub fn keys_folder(data_folder: &Path, of: &str) -> PathBuf {
    data_folder.join("keys").join(format!("sealer-{of}"))
}

/// The file where a private installation keeps the checkpoints of the log of this name.
#[must_use]
pub fn anchor_file(data_folder: &Path, of: &str) -> PathBuf {
    data_folder.join("anchors").join(of)
}

/// Why a store cannot be sealed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealsError {
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] LogKeysError),
    /// Nobody knows whether the log was begun.
    #[error(transparent)]
    Log(#[from] SealError),
    /// The anchor cannot be had.
    #[error(transparent)]
    Anchor(#[from] AnchorAtError),
    /// The name of a book makes none for a log.
    #[error(transparent)]
    Name(#[from] InvalidKeyName),
}
