//! That the log of a bundle has only grown.

use serde::{Deserialize, Serialize};

use super::error::BundleError;
use super::signed::open;
use crate::checkpoint::{Checkpoint, Through};
use crate::merkle::{ConsistencyProof, Size, TreeHead};
use crate::note::{SignedNote, VerifyingKey};

/// An older checkpoint, and the proof that the log of the bundle begins with what it had then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// The older checkpoint.
    pub since: SignedNote,
    /// From the size that the log had then to the one it has in the bundle.
    pub proof: ConsistencyProof,
}

impl Growth {
    /// The older checkpoint, if the log has only grown from there to the `new` one.
    pub(crate) fn verify(
        &self,
        new: &Checkpoint,
        keys: &[VerifyingKey],
    ) -> Result<Checkpoint, BundleError> {
        let signed = open(&self.since, keys, Some(&new.origin));
        let old = signed.map_err(BundleError::Since)?.checkpoint;
        verify_growth(&self.proof, &old, new)?;
        Ok(old)
    }
}

/// That the log has only grown from the checkpoint that somebody keeps to the `new` one. `earlier` is the one in the
/// bundle, from which that is proved already.
pub(crate) fn verify_kept(
    kept: &Checkpoint,
    earlier: Option<(&Checkpoint, &Growth)>,
    new: &Checkpoint,
) -> Result<(), BundleError> {
    if kept.origin != new.origin {
        return Err(BundleError::KeptOther {
            kept: kept.origin.clone(),
            origin: new.origin.clone(),
        });
    }
    if kept.size > new.size {
        return Err(BundleError::KeptNewer {
            kept: kept.size,
            size: new.size,
        });
    }
    // Between these nothing needs to be shown but the roots.
    if kept.size == 0 || kept.size == new.size {
        let proof = ConsistencyProof {
            from: Size::new(kept.size),
            to: Size::new(new.size),
            path: Vec::new(),
        };
        return verify_growth(&proof, kept, new);
    }
    match earlier {
        Some((earlier, growth)) if earlier.size == kept.size => {
            verify_growth(&growth.proof, kept, new)?;
            // Both were signed. What is not in the root is nowhere else compared.
            let is_same = earlier.map_root == kept.map_root && earlier.through == kept.through;
            let size = kept.size;
            if is_same {
                Ok(())
            } else {
                Err(BundleError::TwoStates { size })
            }
        }
        Some(_) | None => Err(BundleError::NoGrowth {
            kept: kept.size,
            size: new.size,
        }),
    }
}

pub(crate) const fn head(checkpoint: &Checkpoint) -> TreeHead {
    TreeHead {
        size: Size::new(checkpoint.size),
        root: checkpoint.root,
    }
}

fn verify_growth(
    proof: &ConsistencyProof,
    old: &Checkpoint,
    new: &Checkpoint,
) -> Result<(), BundleError> {
    let size = old.size;
    let grown = proof.verify(head(old), head(new));
    grown.map_err(|source| BundleError::Forked { size, source })?;
    let is_same = old.map_root == new.map_root && old.through == new.through;
    if old.size == new.size && !is_same {
        return Err(BundleError::TwoStates { size });
    }
    if old.through.zip(new.through).is_some_and(goes_back) {
        return Err(BundleError::GoesBack { size });
    }
    Ok(())
}

fn goes_back((old, new): (Through, Through)) -> bool {
    old.position() > new.position() || old.outcome() > new.outcome()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Bundle;
    use crate::bundle::testing::Log;
    use crate::checkpoint::OpenCheckpointError;
    use crate::note::VerifyError;

    const BEGIN: [&str; 5] = ["ada", "bob", "-", "ada", "bob"];

    /// A log that has grown, the checkpoint before, and the bundle with the growth since.
    fn grown() -> (Log, Checkpoint, Bundle) {
        let mut log = Log::with(&BEGIN);
        let kept = log.seal();
        log.extend(&["bob", "-", "ada"]);
        let mut bundle = log.bundle("ada");
        bundle.growth = Some(log.growth_from(&kept));
        (log, kept, bundle)
    }

    fn refused(log: &Log, bundle: &Bundle, kept: Option<&Checkpoint>) -> BundleError {
        bundle.verify(&log.keys(), None, kept).unwrap_err()
    }

    #[test]
    fn whoever_kept_a_checkpoint_sees_that_the_log_has_only_grown() {
        let (log, kept, bundle) = grown();
        let verified = bundle.verify(&log.keys(), None, Some(&kept)).unwrap();
        assert_eq!(verified.kept.as_ref(), Some(&kept));
        assert_eq!(verified.earlier.as_ref(), Some(&kept));
        let verified = bundle.verify(&log.keys(), None, None).unwrap();
        assert_eq!((verified.kept, verified.earlier), (None, Some(kept)));
    }

    #[test]
    fn a_log_is_checked_against_each_of_its_earlier_checkpoints() {
        let mut log = Log::with(&[]);
        let mut kept = vec![log.seal()];
        for number in 0..24 {
            log.extend(&[["ada", "bob", "-"][number % 3]]);
            kept.push(log.seal());
            let mut bundle = log.bundle("ada");
            for kept in &kept {
                bundle.growth = Some(log.growth_from(kept));
                let verified = bundle.verify(&log.keys(), None, Some(kept));
                assert_eq!(verified.unwrap().kept.as_ref(), Some(kept));
            }
        }
    }

    #[test]
    fn the_same_checkpoint_and_the_empty_one_need_no_proof() {
        let mut log = Log::with(&[]);
        let empty = log.seal();
        log.extend(&BEGIN);
        let same = log.seal();
        let bundle = log.bundle("ada");
        for kept in [&empty, &same] {
            assert!(bundle.verify(&log.keys(), None, Some(kept)).is_ok());
        }
        let not_empty = Checkpoint {
            root: same.root,
            ..empty
        };
        let forked = refused(&log, &bundle, Some(&not_empty));
        assert!(
            matches!(forked, BundleError::Forked { size: 0, .. }),
            "{forked}"
        );
    }

    #[test]
    fn a_log_that_was_rewritten_is_seen_by_whoever_kept_a_checkpoint() {
        let (_, kept, _) = grown();
        // The same key signs another history, with one event of somebody else.
        let mut log = Log::with(&["ada", "bob", "-", "eve", "bob"]);
        let begin = log.seal();
        log.extend(&["bob", "-", "ada"]);
        let mut bundle = log.bundle("ada");
        bundle.growth = Some(log.growth_from(&begin));
        assert!(bundle.verify(&log.keys(), None, None).is_ok());
        let forked = refused(&log, &bundle, Some(&kept));
        assert!(
            matches!(forked, BundleError::Forked { size: 5, .. }),
            "{forked}"
        );
        // Nor does the old checkpoint fit into the bundle.
        bundle.growth = Some(Growth {
            since: log.sign(&kept),
            ..log.growth_from(&begin)
        });
        let forked = refused(&log, &bundle, None);
        assert!(
            matches!(forked, BundleError::Forked { size: 5, .. }),
            "{forked}"
        );
        // Of equal size, no proof is needed to see it.
        let mut log = Log::with(&["ada", "bob", "-", "eve", "bob"]);
        let bundle = log.bundle("ada");
        let forked = refused(&log, &bundle, Some(&kept));
        assert!(
            matches!(forked, BundleError::Forked { size: 5, .. }),
            "{forked}"
        );
    }

    #[test]
    fn a_bundle_that_does_not_reach_back_to_what_was_kept_is_refused() {
        let (mut log, kept, mut bundle) = grown();
        bundle.growth = None;
        let no_growth = BundleError::NoGrowth { kept: 5, size: 8 };
        assert_eq!(refused(&log, &bundle, Some(&kept)), no_growth);
        log.extend(&["bob"]);
        let other = log.seal();
        let mut bundle = log.bundle("ada");
        bundle.growth = Some(log.growth_from(&other));
        let no_growth = BundleError::NoGrowth { kept: 5, size: 9 };
        assert_eq!(refused(&log, &bundle, Some(&kept)), no_growth);
    }

    #[test]
    fn a_bundle_that_is_older_than_what_was_kept_is_refused() {
        let mut log = Log::with(&BEGIN);
        let bundle = log.bundle("ada");
        log.extend(&["ada"]);
        let newer = BundleError::KeptNewer { kept: 6, size: 5 };
        let kept = log.seal();
        assert_eq!(refused(&log, &bundle, Some(&kept)), newer);
    }

    #[test]
    fn a_checkpoint_of_another_log_was_kept_for_nothing() {
        let (log, kept, bundle) = grown();
        let kept = Checkpoint {
            origin: "ledger.example/b".parse().unwrap(),
            ..kept
        };
        let other = refused(&log, &bundle, Some(&kept));
        assert!(matches!(other, BundleError::KeptOther { .. }), "{other}");
    }

    #[test]
    fn an_older_checkpoint_that_is_not_signed_is_refused() {
        let (log, kept, mut bundle) = grown();
        let other = Log::new("ledger.example/a", 9);
        let growth = bundle.growth.as_mut().unwrap();
        growth.since = other.sign(&kept);
        let unknown = refused(&log, &bundle, None);
        let expected = |error: &OpenCheckpointError| {
            matches!(
                error,
                OpenCheckpointError::Signature(VerifyError::Unknown { .. })
            )
        };
        assert!(
            matches!(&unknown, BundleError::Since(error) if expected(error)),
            "{unknown}"
        );
    }

    #[test]
    fn who_signs_cannot_have_two_maps_or_a_shorter_store() {
        let mut log = Log::with(&BEGIN);
        let (bundle, sealed) = (log.bundle("ada"), log.seal());
        let other_map = Checkpoint {
            map_root: Some(sealed.root),
            ..sealed.clone()
        };
        let other_end = Checkpoint {
            through: Through::new(3, 1),
            ..sealed
        };
        for kept in [other_map, other_end] {
            let refused = refused(&log, &bundle, Some(&kept));
            assert_eq!(refused, BundleError::TwoStates { size: 5 });
        }
        let (log, kept, bundle) = grown();
        for through in [Through::new(7, 1), Through::new(4, 3)] {
            let kept = Checkpoint {
                through,
                ..kept.clone()
            };
            let refused = refused(&log, &bundle, Some(&kept));
            assert_eq!(refused, BundleError::GoesBack { size: 5 });
        }
        // The older one that comes with it has another map than the one that was kept, and the newer tells nothing of either.
        let other_map = Checkpoint {
            map_root: Some(kept.root),
            ..kept.clone()
        };
        let other_end = Checkpoint {
            through: Through::new(3, 1),
            ..kept
        };
        for kept in [other_map, other_end] {
            let refused = refused(&log, &bundle, Some(&kept));
            assert_eq!(refused, BundleError::TwoStates { size: 5 });
        }
    }
}
