//! What a witness has seen of one log, and what it makes of more.

use std::path::Path;

use folio_proofs::checkpoint::Checkpoint;
use folio_proofs::merkle::{Size, TreeHead, empty_root};
use folio_proofs::note::{NoteSignature, SignedNote, SigningKey};
use folio_proofs::witness::AddCheckpoint;
use tokio::sync::Mutex;

use super::begun::BegunLogs;
use super::{OpenWitnessError, Refusal};
use crate::anchor::{Anchor as _, AnchorError, FileAnchor, Piece};
use crate::trusted::TrustedLog;

/// A log, and the checkpoints of it that were signed.
#[derive(Debug)]
pub(super) struct WitnessedLog {
    log: TrustedLog,
    file: FileAnchor,
    /// Held from the reading of what was seen last until the next is on the disk: of two at once, the one that is decided on
    /// what the other has changed would take the log back.
    deciding: Mutex<()>,
}

impl WitnessedLog {
    pub(super) async fn open(
        folder: &Path,
        log: TrustedLog,
        begun: &mut BegunLogs,
    ) -> Result<Self, OpenWitnessError> {
        let origin = log.origin();
        let path = folder.join(file_name(origin.as_str()));
        let file = match FileAnchor::of(&path, begun.state(origin)).await {
            Err(AnchorError::Gone { .. }) => return Err(OpenWitnessError::Gone { path }),
            file => file?,
        };
        begun.add(origin)?;
        Ok(Self {
            log,
            file,
            deciding: Mutex::default(),
        })
    }

    /// Signs a checkpoint, if its log begins with the one that was seen last.
    pub(super) async fn witness(
        &self,
        key: &SigningKey,
        request: AddCheckpoint,
        now: u64,
    ) -> Result<NoteSignature, Refusal> {
        let checkpoint = self.log.open(&request.note)?;
        let new = head(&checkpoint);
        if request.old > new.size {
            return Err(Refusal::OldIsLarger {
                old: request.old,
                new: new.size,
            });
        }
        let _deciding = self.deciding.lock().await;
        let last = self.last_opened().await?;
        let seen = last.as_ref().map_or_else(nothing, head);
        if request.old != seen.size {
            return Err(Refusal::Stale { size: seen.size });
        }
        let grown = if new.size == seen.size && new.root != seen.root {
            Err(Refusal::Forked {
                size: seen.size,
                seen: seen.root,
                new: new.root,
            })
        } else {
            let growth = request.growth(new.size);
            growth.verify(seen, new).map_err(Refusal::NotGrown)
        };
        if let Err(refusal) = grown {
            // The log has signed it: whoever has this line can show what it has done.
            let (log, note) = (self.log.origin(), request.note.to_string());
            tracing::error!(%log, %refusal, note, "a log was shown that is not the one that was seen");
            return Err(refusal);
        }
        // Lines of others would be kept for ever, and nobody has looked at them.
        let note = request.note.only_by(self.log.keys());
        let cosigned = note.witnessed_by(key, now).map_err(Refusal::state)?;
        let signature = cosigned.signatures().last().cloned();
        let signature = signature.ok_or_else(|| Refusal::state("it was not signed"))?;
        if last.as_ref() != Some(&checkpoint) {
            self.file.keep(&cosigned).await.map_err(Refusal::state)?;
        }
        Ok(signature)
    }

    pub(super) async fn last(&self) -> Result<Option<SignedNote>, Refusal> {
        self.file.last().await.map_err(Refusal::state)
    }

    pub(super) async fn piece(&self, from: u64) -> Result<Piece, Refusal> {
        self.file.piece(from).await.map_err(Refusal::state)
    }

    async fn last_opened(&self) -> Result<Option<Checkpoint>, Refusal> {
        let last = self.last().await?;
        let opened = last.map(|note| self.log.open(&note)).transpose();
        opened.map_err(Refusal::state)
    }
}

fn head(checkpoint: &Checkpoint) -> TreeHead {
    TreeHead {
        size: Size::new(checkpoint.size),
        root: checkpoint.root,
    }
}

/// What is seen of a log before anything is.
fn nothing() -> TreeHead {
    TreeHead {
        size: Size::EMPTY,
        root: empty_root(),
    }
}

/// The name of the file of a log: no two logs have the same one, and none leads out of the folder.
fn file_name(origin: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let mut name = String::new();
    for byte in origin.bytes() {
        if is_plain(byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name + ".checkpoints"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_log_has_a_file_of_its_own_in_the_folder() {
        assert_eq!(file_name("ledger.local/a"), "ledger.local%2fa.checkpoints");
        assert_eq!(file_name(".."), "...checkpoints");
        assert_eq!(file_name("ä%2f"), "%c3%a4%252f.checkpoints");
    }
}
