//! By which keys a book is sealed, and where its checkpoints are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use folio_audit::{AnchorError, FileAnchor, LogKeys, LogKeysError};
use folio_proofs::note::{InvalidKeyName, KeyName};
use ledger_example::{BookName, Seals};
use thiserror::Error;

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
    /// The file to which checkpoints are appended, best on another machine's disk: what is in it is believed more than the
    /// database.
    #[arg(
        long,
        env = "FOLIO_ANCHOR",
        requires = "seal_keys",
        value_name = "FILE"
    )]
    anchor: Option<PathBuf>,
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
        let (Some(folder), Some(anchor)) = (&self.seal_keys, &self.anchor) else {
            return Ok(None);
        };
        let name = match &self.log {
            Some(name) => name.clone(),
            None => log_name(book)?,
        };
        if let Some(folder) = anchor.parent() {
            std::fs::create_dir_all(folder).map_err(|source| SealsError::Folder {
                path: folder.to_owned(),
                source,
            })?;
        }
        Ok(Some(Seals {
            keys: LogKeys::in_folder(folder, &name)?,
            anchors: Arc::new(FileAnchor::open(anchor).await?).into(),
        }))
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
    Anchor(#[from] AnchorError),
    /// The folder of the anchor cannot be made.
    #[error("{} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The book's name makes none for a log.
    #[error(transparent)]
    Name(#[from] InvalidKeyName),
}
