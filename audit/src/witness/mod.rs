//! A witness: sees the checkpoints of logs that others keep, and signs that each log has only grown.

mod begun;
mod http;
mod refusal;
mod state;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use folio_proofs::checkpoint::Origin;
use folio_proofs::note::{KeyName, NoteSignature, SignedNote, SigningKey, WitnessKey};
use folio_proofs::witness::AddCheckpoint;
use thiserror::Error;

use begun::BegunLogs;
pub(crate) use http::{ADD_CHECKPOINT, CHECKPOINT, CHECKPOINTS, END, SIZE_TYPE};
pub use refusal::Refusal;
use state::WitnessedLog;

use crate::anchor::{AnchorError, Piece};
use crate::keys::{self, LogKeysError};
use crate::trusted::TrustedLog;

/// Signs the checkpoints of logs that it knows, in the protocol of <https://c2sp.org/tlog-witness>: those alone whose log begins
/// with the one that it has signed last. Each is on its disk before anybody has its signature.
///
/// A folder has all that it needs: its key, as that of a log has, a file of checkpoints for each log, as a
/// [`FileAnchor`](crate::FileAnchor) has, and which logs those are: one whose file is gone is not begun anew. Whoever has lost the folder begins anew with another key, so that nobody takes the
/// one for the other.
#[derive(Debug, Clone)]
pub struct Witness {
    key: Arc<SigningKey>,
    logs: Arc<BTreeMap<Origin, Arc<WitnessedLog>>>,
    /// Nobody else decides by the same folder.
    _locked: Arc<File>,
}

/// Why a witness does not begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenWitnessError {
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] LogKeysError),
    /// A file of checkpoints cannot be had.
    #[error(transparent)]
    State(#[from] AnchorError),
    /// The file in which logs are written down that were begun cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    Begun {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What it has signed of a log is gone.
    #[error(
        "{} is gone, with all that this witness has signed of a log: put it back as it was last, or begin anew in another folder, \
         with another key; an older copy would let it sign another history", path.display()
    )]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// Another process is this witness.
    #[error("{} belongs to a witness that runs; stop it first, or name another folder", folder.display())]
    Running {
        /// The folder.
        folder: PathBuf,
    },
    /// The lock of the folder cannot be had.
    #[error("{} cannot be locked", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Witness {
    /// The witness of this name, whose folder this is, for these logs. What is missing in the folder is made, but not what it has
    /// signed of a log that it knew. Logs of one name
    /// are one, by all of their keys.
    ///
    /// # Errors
    ///
    /// [`OpenWitnessError`].
    pub async fn open(
        folder: &Path,
        name: &KeyName,
        logs: impl IntoIterator<Item = TrustedLog>,
    ) -> Result<Self, OpenWitnessError> {
        let key = keys::signing_key(folder, name)?;
        let locked = lock(folder)?;
        keys::publish(folder, &key.witness_key())?;
        let mut by_origin: BTreeMap<Origin, TrustedLog> = BTreeMap::new();
        for log in logs {
            let known = match by_origin.remove(log.origin()) {
                Some(known) => log
                    .keys()
                    .iter()
                    .cloned()
                    .fold(known, TrustedLog::also_signed_by),
                None => log,
            };
            by_origin.insert(known.origin().clone(), known);
        }
        let mut begun = BegunLogs::read(folder)?;
        let mut logs = BTreeMap::new();
        for (origin, log) in by_origin {
            let log = Arc::new(WitnessedLog::open(folder, log, &mut begun).await?);
            logs.insert(origin, log);
        }
        Ok(Self {
            key: Arc::new(key),
            logs: Arc::new(logs),
            _locked: Arc::new(locked),
        })
    }

    /// The public keys of a witness, in this file, one a line.
    ///
    /// # Errors
    ///
    /// [`LogKeysError`], also when there is none.
    pub fn public(path: &Path) -> Result<Vec<WitnessKey>, LogKeysError> {
        keys::public(path)
    }

    /// The key that whoever relies on it has to know.
    #[must_use]
    pub fn key(&self) -> WitnessKey {
        self.key.witness_key()
    }

    /// Signs a checkpoint whose log has only grown since the one before.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it to be carried out.
    pub async fn add_checkpoint(&self, request: AddCheckpoint) -> Result<NoteSignature, Refusal> {
        let log = Arc::clone(self.log(&origin_of(&request.note))?);
        let key = Arc::clone(&self.key);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_err(|_| Refusal::Clock)?.as_secs();
        // Not dropped with whoever asks: half-way through, the next one would be decided on what is about to change.
        let witnessed = tokio::spawn(async move { log.witness(&key, request, now).await });
        witnessed.await.map_err(Refusal::state)?
    }

    /// The last checkpoint of a log that it has signed, with its signature.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn last(&self, origin: &str) -> Result<Option<SignedNote>, Refusal> {
        self.log(origin)?.last().await
    }

    /// A part of the file of all checkpoints of a log that it has signed, from this byte on.
    pub(crate) async fn piece(&self, origin: &str, from: u64) -> Result<Piece, Refusal> {
        self.log(origin)?.piece(from).await
    }

    fn log(&self, origin: &str) -> Result<&Arc<WitnessedLog>, Refusal> {
        let known = origin.parse().ok();
        let known = known.and_then(|origin: Origin| self.logs.get(&origin));
        known.ok_or_else(|| Refusal::UnknownLog {
            origin: origin.to_owned(),
        })
    }
}

/// Which log it says it is of, whoever has signed it.
fn origin_of(note: &SignedNote) -> String {
    note.to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn lock(folder: &Path) -> Result<File, OpenWitnessError> {
    let path = folder.join("lock");
    let mut options = File::options();
    let opened = options.create(true).append(true).open(&path);
    let locked = opened.map_err(TryLockError::Error).and_then(|file| {
        file.try_lock()?;
        Ok(file)
    });
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => OpenWitnessError::Running {
            folder: folder.to_owned(),
        },
        TryLockError::Error(source) => OpenWitnessError::Lock { path, source },
    })
}
