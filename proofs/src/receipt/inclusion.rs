//! That a row is in a log.

use serde::{Deserialize, Serialize};

use super::error::ReceiptError;
use crate::bundle::base64_text;
use crate::bundle::growth::{head, verify_kept};
use crate::bundle::signed::{Signed, open};
use crate::checkpoint::{Checkpoint, Origin, Through};
use crate::leaf::Leaf;
use crate::merkle::{InclusionProof, LeafHasher};
use crate::note::{SignedNote, VerifyingKey};

/// A row of a store as its leaf, and the proof that this is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InclusionReceipt {
    /// The checkpoint under which it is proved.
    pub checkpoint: SignedNote,
    /// The [leaf](crate::leaf), in base64.
    #[serde(with = "base64_text")]
    pub leaf: Vec<u8>,
    /// Where in the log it is, and the path from there to the root.
    pub inclusion: InclusionProof,
}

/// What a receipt of inclusion has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedRow<'a> {
    /// The checkpoint under which it holds.
    pub checkpoint: Checkpoint,
    /// The known keys that have signed it.
    pub signers: Vec<VerifyingKey>,
    /// The row.
    pub row: Leaf<'a>,
    /// Which leaf of the log it is, from 0 on.
    pub index: u64,
    /// The checkpoint of whoever asked, since which the log has only grown.
    pub kept: Option<Checkpoint>,
}

impl InclusionReceipt {
    /// Checks that one of the `keys` has signed the checkpoint and that the row is in its log as it is here. A checkpoint
    /// that was `kept` has to be this one, or empty: how a log has grown is proved by a receipt of its own. Without an `origin`, a
    /// key that is called as the log has to have signed.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`], the first thing that is wrong.
    pub fn verify(
        &self,
        keys: &[VerifyingKey],
        origin: Option<&Origin>,
        kept: Option<&Checkpoint>,
    ) -> Result<VerifiedRow<'_>, ReceiptError> {
        let signed = open(&self.checkpoint, keys, origin);
        let Signed {
            checkpoint,
            signers,
        } = signed.map_err(ReceiptError::Checkpoint)?;
        if let Some(kept) = kept {
            verify_kept(kept, None, &checkpoint).map_err(ReceiptError::Growth)?;
        }
        let mut hasher = LeafHasher::new();
        hasher.update(&self.leaf);
        let included = self.inclusion.verify(hasher.finish(), head(&checkpoint));
        included.map_err(ReceiptError::Altered)?;
        // What is in the log was written by whoever sealed it. What it says is read only now.
        let row = Leaf::read(&self.leaf).map_err(ReceiptError::Leaf)?;
        let is_beyond = |through: Through| match row {
            Leaf::Event(event) => event.position > through.position(),
            Leaf::Outcome(outcome) => outcome.number > through.outcome(),
        };
        if checkpoint.through.is_some_and(is_beyond) {
            return Err(ReceiptError::Beyond);
        }
        Ok(VerifiedRow {
            checkpoint,
            signers,
            row,
            index: self.inclusion.index,
            kept: kept.cloned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::BundleError;
    use crate::bundle::testing::Log;

    const STREAMS: [&str; 6] = ["ada", "bob", "-", "ada", "-", "cyd"];

    #[test]
    fn every_row_is_proven_as_what_it_is() {
        let mut log = Log::with(&STREAMS);
        for (index, stream) in (0..).zip(STREAMS) {
            let receipt = log.receipt(index);
            let verified = receipt.verify(&log.keys(), None, None).unwrap();
            assert_eq!(verified.index, index);
            match verified.row {
                Leaf::Event(event) => assert_eq!(event.stream_id, stream),
                Leaf::Outcome(outcome) => assert_eq!((stream, outcome.refusal), ("-", None)),
            }
        }
    }

    /// Each byte of each leaf, and each hash beside its way.
    #[test]
    fn a_row_that_was_altered_is_refused() {
        let mut log = Log::with(&STREAMS);
        let keys = log.keys();
        for index in [0, 2] {
            let whole = log.receipt(index);
            for at in 0..whole.leaf.len() {
                let mut receipt = whole.clone();
                receipt.leaf[at] ^= 1;
                let refused = receipt.verify(&keys, None, None);
                assert!(matches!(refused, Err(ReceiptError::Altered(_))), "{at}");
            }
            let mut receipt = whole.clone();
            receipt.inclusion.index += 1;
            let refused = receipt.verify(&keys, None, None);
            assert!(matches!(refused, Err(ReceiptError::Altered(_))));
            let other = Log::new("ledger.example/a", 9);
            let refused = whole.verify(&other.keys(), None, None);
            assert!(matches!(refused, Err(ReceiptError::Checkpoint(_))));
        }
    }

    #[test]
    fn a_leaf_that_says_nothing_is_told_from_one_that_is_not_there() {
        let mut log = Log::with(&["ada"]);
        log.push_leaf(b"folio event v9");
        let receipt = log.receipt(1);
        let refused = receipt.verify(&log.keys(), None, None);
        assert!(matches!(refused, Err(ReceiptError::Leaf(_))), "{refused:?}");
    }

    /// Whoever signs has put something into the log that the store does not have by then.
    #[test]
    fn a_row_behind_the_end_that_is_stated_is_refused() {
        let mut log = Log::with(&STREAMS);
        for (index, through) in [(5, Through::new(3, 2)), (4, Through::new(4, 1))] {
            let mut receipt = log.receipt(index);
            let stated = Checkpoint {
                through,
                ..log.seal()
            };
            receipt.checkpoint = log.sign(&stated);
            let refused = receipt.verify(&log.keys(), None, None);
            assert_eq!(refused, Err(ReceiptError::Beyond));
        }
    }

    #[test]
    fn a_checkpoint_that_was_kept_is_the_same_one_or_nothing_is_shown() {
        let mut log = Log::with(&STREAMS);
        let old = log.seal();
        let receipt = log.receipt(0);
        let verified = receipt.verify(&log.keys(), None, Some(&old)).unwrap();
        assert_eq!(verified.kept, Some(old.clone()));
        log.extend(&["ada"]);
        let receipt = log.receipt(0);
        let refused = receipt.verify(&log.keys(), None, Some(&old));
        let expected = BundleError::NoGrowth { kept: 6, size: 7 };
        assert_eq!(refused, Err(ReceiptError::Growth(expected)));
    }
}
