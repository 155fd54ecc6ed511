//! That a log has only grown.

use serde::{Deserialize, Serialize};

use super::error::ReceiptError;
use crate::bundle::Growth;
use crate::bundle::growth::verify_kept;
use crate::bundle::signed::{Signed, open};
use crate::checkpoint::{Checkpoint, Origin};
use crate::note::{SignedNote, VerifyingKey};

/// An older checkpoint, a newer one, and the proof that the log of the newer begins with that of the older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthReceipt {
    /// The newer checkpoint.
    pub checkpoint: SignedNote,
    /// The older one, and what leads from it to the newer.
    pub growth: Growth,
}

/// What a receipt of growth has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedGrowth {
    /// The newer checkpoint.
    pub checkpoint: Checkpoint,
    /// The known keys that have signed it.
    pub signers: Vec<VerifyingKey>,
    /// The older checkpoint, since which the log has only grown.
    pub earlier: Checkpoint,
    /// The checkpoint of whoever asked, since which the log has only grown.
    pub kept: Option<Checkpoint>,
}

impl GrowthReceipt {
    /// Checks that some of the `keys` have signed both checkpoints, and that the log has only grown since the older one and
    /// the one that was `kept`. Without an `origin`, a key that is called as the log has to have signed.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`], the first thing that is wrong.
    pub fn verify(
        &self,
        keys: &[VerifyingKey],
        origin: Option<&Origin>,
        kept: Option<&Checkpoint>,
    ) -> Result<VerifiedGrowth, ReceiptError> {
        let signed = open(&self.checkpoint, keys, origin);
        let Signed {
            checkpoint,
            signers,
        } = signed.map_err(ReceiptError::Checkpoint)?;
        let earlier = self.growth.verify(&checkpoint, keys);
        let earlier = earlier.map_err(ReceiptError::Growth)?;
        if let Some(kept) = kept {
            let shown = Some((&earlier, &self.growth));
            verify_kept(kept, shown, &checkpoint).map_err(ReceiptError::Growth)?;
        }
        Ok(VerifiedGrowth {
            checkpoint,
            signers,
            earlier,
            kept: kept.cloned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::BundleError;
    use crate::bundle::testing::Log;

    const BEGIN: [&str; 5] = ["ada", "bob", "-", "ada", "bob"];

    fn grown() -> (Log, Checkpoint, GrowthReceipt) {
        let mut log = Log::with(&BEGIN);
        let kept = log.seal();
        log.extend(&["bob", "-", "ada"]);
        let growth = log.growth_from(&kept);
        let new = log.seal();
        let checkpoint = log.sign(&new);
        (log, kept, GrowthReceipt { checkpoint, growth })
    }

    #[test]
    fn a_log_that_has_only_grown_is_told_from_one_that_was_changed() {
        let (log, kept, receipt) = grown();
        let verified = receipt.verify(&log.keys(), None, Some(&kept)).unwrap();
        assert_eq!((verified.earlier.size, verified.checkpoint.size), (5, 8));
        // Somebody who was shown another log of that size.
        let mut other = Log::with(&["ada", "bob", "-", "bob", "ada"]);
        let other = other.seal();
        let refused = receipt.verify(&log.keys(), None, Some(&other));
        let Err(ReceiptError::Growth(BundleError::Forked { size: 5, .. })) = refused else {
            panic!("{refused:?}");
        };
    }

    #[test]
    fn a_checkpoint_that_nobody_known_has_signed_proves_no_growth() {
        let (log, _, mut receipt) = grown();
        let other = Log::new("ledger.example/a", 9);
        let refused = receipt.verify(&other.keys(), None, None);
        assert!(
            matches!(refused, Err(ReceiptError::Checkpoint(_))),
            "{refused:?}"
        );
        receipt.growth.proof.path.pop();
        let refused = receipt.verify(&log.keys(), None, None);
        assert!(
            matches!(refused, Err(ReceiptError::Growth(_))),
            "{refused:?}"
        );
    }
}
