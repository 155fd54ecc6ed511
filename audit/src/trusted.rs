//! Whose checkpoints are believed.

use folio_proofs::checkpoint::{Checkpoint, OpenCheckpointError, Origin};
use folio_proofs::note::{SignedNote, VerifyingKey};

/// A log as those know it who trust it: what it is called, and by which keys it is signed.
#[derive(Debug, Clone)]
pub struct TrustedLog {
    origin: Origin,
    keys: Vec<VerifyingKey>,
}

impl TrustedLog {
    /// The log of this name, which this key signs.
    #[must_use]
    pub fn new(origin: Origin, key: VerifyingKey) -> Self {
        let keys = vec![key];
        Self { origin, keys }
    }

    /// The same, and this key signs it too, or did so before it was replaced.
    #[must_use]
    pub fn also_signed_by(mut self, key: VerifyingKey) -> Self {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
        self
    }

    /// What it is called.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// By which keys it is signed.
    #[must_use]
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// What a checkpoint says, if one of the keys has signed it and it is of this log.
    ///
    /// # Errors
    ///
    /// [`OpenCheckpointError`].
    pub fn open(&self, note: &SignedNote) -> Result<Checkpoint, OpenCheckpointError> {
        let checkpoint = Checkpoint::parse(note.verify(&self.keys)?.text())?;
        if checkpoint.origin == self.origin {
            return Ok(checkpoint);
        }
        Err(OpenCheckpointError::Origin {
            expected: self.origin.clone(),
            actual: checkpoint.origin,
        })
    }
}

#[cfg(test)]
mod tests {
    use folio_proofs::Hash;
    use folio_proofs::note::SigningKey;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[seed; 32]).unwrap()
    }

    fn signed(origin: &str, key: &SigningKey) -> SignedNote {
        let checkpoint = Checkpoint {
            origin: origin.parse().unwrap(),
            size: 7,
            root: Hash::of(&[]),
            map_root: None,
            through: None,
            sealed_at_micros: None,
            extensions: Vec::new(),
        };
        checkpoint.sign(key).unwrap()
    }

    #[test]
    fn a_checkpoint_by_the_key_of_before_is_believed_and_one_by_another_is_not() {
        let origin: Origin = "ledger.example/a".parse().unwrap();
        let log = TrustedLog::new(origin, key(2).verifying_key().clone());
        let old = signed("ledger.example/a", &key(1));
        assert!(matches!(
            log.open(&old),
            Err(OpenCheckpointError::Signature(_))
        ));
        let log = log.also_signed_by(key(1).verifying_key().clone());
        assert_eq!(log.open(&old).unwrap().size, 7);
        let foreign = signed("ledger.example/a", &key(3));
        assert!(log.open(&foreign).is_err());
    }

    #[test]
    fn a_checkpoint_of_another_log_is_not_believed() {
        let origin: Origin = "ledger.example/a".parse().unwrap();
        let log = TrustedLog::new(origin, key(1).verifying_key().clone());
        let refused = log.open(&signed("ledger.example/b", &key(1)));
        assert!(matches!(refused, Err(OpenCheckpointError::Origin { .. })));
    }
}
