//! By which keys a book is sealed, and where its checkpoints are kept.

use std::path::{Path, PathBuf};

use clap::Args;
use folio_audit::{LogKeys, LogKeysError};
use folio_proofs::note::{InvalidKeyName, KeyName};
use ledger_example::{BookName, Seals};
use thiserror::Error;

use crate::anchors::{self, AnchorAt, AnchorAtError};

/// Whether and how a book is sealed.
#[derive(Debug, Default, Args)]
pub struct SealArgs {
    /// The folder of the key by which the book's history is sealed; made where there is none. Without it, nothing is sealed.
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
    /// What the book's log is called, a URL without its scheme. `ledger.local/` and the book, unless it is said.
    #[arg(long, requires = "seal_keys", value_name = "NAME")]
    log: Option<KeyName>,
}

impl SealArgs {
    /// By what the book is sealed, if it is.
    ///
    /// # Errors
    ///
    /// [`SealsError`].
    pub async fn open(&self, book: &BookName) -> Result<Option<Seals>, SealsError> {
        let Some(folder) = &self.seal_keys else {
            return Ok(None);
        };
        let name = match &self.log {
            Some(name) => name.clone(),
            None => log_name(book)?,
        };
        let keys = LogKeys::in_folder(folder, &name)?;
        let anchors = anchors::open_all(&self.anchors, keys.log.origin()).await?;
        Ok(anchors.map(|anchors| Seals { keys, anchors }))
    }
}

/// Where a private installation keeps the keys of a book's log.
#[must_use]
pub fn keys_folder(data_folder: &Path, book: &BookName) -> PathBuf {
    data_folder.join("keys").join(format!("sealer-{book}"))
}

/// The file where a private installation keeps the checkpoints of a book's log.
#[must_use]
pub fn anchor_file(data_folder: &Path, book: &BookName) -> PathBuf {
    data_folder.join("anchors").join(book.as_str())
}

fn log_name(book: &BookName) -> Result<KeyName, SealsError> {
    Ok(format!("ledger.local/{book}").parse()?)
}

/// Why a book cannot be sealed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealsError {
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] LogKeysError),
    /// The anchor cannot be had.
    #[error(transparent)]
    Anchor(#[from] AnchorAtError),
    /// The book's name makes none for a log.
    #[error(transparent)]
    Name(#[from] InvalidKeyName),
}
