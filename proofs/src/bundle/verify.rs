//! How a bundle is checked, and what is known then.

use super::error::BundleError;
use super::event::BundledEvent;
use super::growth::{head, verify_kept};
use super::signed::{Signed, open};
use super::{Bundle, Stream};
use crate::Hash;
use crate::checkpoint::{Checkpoint, Origin, Through};
use crate::map::Last;
use crate::merkle::TreeHead;
use crate::note::VerifyingKey;

/// What a bundle has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The checkpoint under which it holds.
    pub checkpoint: Checkpoint,
    /// Up to where the store is in the checkpoint.
    pub through: Through,
    /// The known keys that have signed the checkpoint.
    pub signers: Vec<VerifyingKey>,
    /// Whose events they are.
    pub stream: Stream,
    /// How many events the stream has. The bundle has them all: versions 1 to this number.
    pub events: u64,
    /// The position of the first one.
    pub first_position: Option<i64>,
    /// The position of the last one.
    pub last_position: Option<i64>,
    /// The checkpoint in the bundle since which the log has only grown.
    pub earlier: Option<Checkpoint>,
    /// The checkpoint of whoever asked, since which the log has only grown.
    pub kept: Option<Checkpoint>,
}

impl Bundle {
    /// Checks everything: that one of the `keys` has signed the checkpoint, that the events are in its log as they are
    /// here, that they are all of the stream up to there, and that the log has only grown since the checkpoints that are in the
    /// bundle and that were `kept`.
    ///
    /// Without an `origin`, a key that is called as the log has to have signed. What was kept is believed as it is.
    ///
    /// # Errors
    ///
    /// [`BundleError`], the first thing that is wrong. Nothing of the bundle is to be believed then.
    pub fn verify(
        &self,
        keys: &[VerifyingKey],
        origin: Option<&Origin>,
        kept: Option<&Checkpoint>,
    ) -> Result<Verified, BundleError> {
        let signed = open(&self.checkpoint, keys, origin);
        let Signed {
            checkpoint,
            signers,
        } = signed.map_err(BundleError::Checkpoint)?;
        let size = checkpoint.size;
        let map_root = checkpoint.map_root.ok_or(BundleError::NoMap { size })?;
        let through = checkpoint.through.ok_or(BundleError::NoThrough { size })?;
        let earlier = self.growth.as_ref();
        let earlier = earlier.map(|growth| growth.verify(&checkpoint, keys));
        let earlier = earlier.transpose()?;
        if let Some(kept) = kept {
            verify_kept(
                kept,
                earlier.as_ref().zip(self.growth.as_ref()),
                &checkpoint,
            )?;
        }
        self.verify_events(head(&checkpoint), through)?;
        self.verify_end(&map_root)?;
        Ok(Verified {
            checkpoint,
            through,
            signers,
            stream: self.stream.clone(),
            events: self.events.len() as u64,
            first_position: self.events.first().map(|event| event.position),
            last_position: self.events.last().map(|event| event.position),
            earlier,
            kept: kept.cloned(),
        })
    }

    fn verify_events(&self, head: TreeHead, through: Through) -> Result<(), BundleError> {
        let mut before: Option<&BundledEvent> = None;
        for (event, due) in self.events.iter().zip(1..) {
            let (version, position) = (event.version, event.position);
            // First, so that of an event that was altered nothing else is said.
            let included = event.inclusion.verify(event.leaf().hash(), head);
            included.map_err(|source| BundleError::Altered {
                version,
                position,
                source,
            })?;
            if (&event.category, &event.stream_id) != (&self.stream.category, &self.stream.id) {
                return Err(BundleError::Inserted {
                    version,
                    position,
                    category: event.category.clone(),
                    id: event.stream_id.clone(),
                });
            }
            if version != due {
                return Err(self.out_of_order(event, due));
            }
            if before.is_some_and(|before| !event.is_behind(before)) {
                return Err(BundleError::Backwards {
                    version,
                    position,
                    index: event.inclusion.index,
                });
            }
            if position > through.position() {
                return Err(BundleError::Beyond {
                    version,
                    position,
                    through: through.position(),
                });
            }
            before = Some(event);
        }
        Ok(())
    }

    /// What has happened to the events, of which this one stands where the version `due` should.
    fn out_of_order(&self, event: &BundledEvent, due: i64) -> BundleError {
        let (version, position) = (event.version, event.position);
        if version < due {
            return BundleError::Repeated {
                version,
                position,
                due,
            };
        }
        if self.events.iter().any(|other| other.version == due) {
            return BundleError::Swapped {
                version,
                position,
                due,
            };
        }
        BundleError::Missing {
            due,
            version,
            position,
        }
    }

    /// That the last event is the last one of the stream.
    fn verify_end(&self, map_root: &Hash) -> Result<(), BundleError> {
        let Stream { category, id } = &self.stream;
        let proven = self.map.last_of(category, id, map_root);
        let proven = proven.map_err(BundleError::Map)?;
        let shown = self.events.last().map(BundledEvent::last);
        if shown == proven {
            return Ok(());
        }
        let Last { version, position } = shown.unwrap_or(Last {
            version: 0,
            position: 0,
        });
        match proven {
            Some(last) if last.version > version => Err(BundleError::Truncated {
                shown: version,
                version: last.version,
                position: last.position,
            }),
            Some(_) | None => Err(BundleError::Contradiction {
                version,
                position,
                map: proven,
            }),
        }
    }
}

impl BundledEvent {
    /// Where its stream ends, if it is the last one.
    const fn last(&self) -> Last {
        Last {
            version: self.version,
            position: self.position,
        }
    }

    /// Whether it was recorded after the other one and is in the log after it.
    const fn is_behind(&self, other: &Self) -> bool {
        self.position > other.position && self.inclusion.index > other.inclusion.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::testing::{Log, bundled};
    use crate::checkpoint::OpenCheckpointError;
    use crate::note::VerifyError;

    const STREAMS: [&str; 9] = ["ada", "bob", "-", "ada", "cyd", "bob", "-", "ada", "ada"];

    fn refused(log: &Log, bundle: &Bundle) -> BundleError {
        bundle.verify(&log.keys(), None, None).unwrap_err()
    }

    #[test]
    fn every_bundle_is_verified_at_every_size_of_the_log() {
        let mut log = Log::with(&[]);
        for (size, stream) in (0..300).zip(STREAMS.into_iter().cycle()) {
            for id in ["ada", "bob", "cyd", "eve"] {
                let bundle = log.bundle(id);
                let verified = bundle.verify(&log.keys(), None, None).unwrap();
                assert_eq!(verified.checkpoint.size, size);
                assert_eq!(verified.stream.id, id);
                assert_eq!(verified.events, bundle.events.len() as u64);
                let json = serde_json::to_string(&bundle).unwrap();
                assert_eq!(serde_json::from_str::<Bundle>(&json).unwrap(), bundle);
            }
            log.extend(&[stream]);
        }
    }

    #[test]
    fn what_was_verified_is_told() {
        let mut log = Log::with(&STREAMS);
        let verified = log.bundle("ada").verify(&log.keys(), None, None).unwrap();
        assert_eq!(verified.checkpoint, log.seal());
        assert_eq!(verified.through.position(), 7);
        assert_eq!(verified.signers, log.keys());
        assert_eq!(verified.stream.to_string(), "account/ada");
        assert_eq!(verified.events, 4);
        assert_eq!(
            (verified.first_position, verified.last_position),
            (Some(1), Some(7))
        );
        let verified = log.bundle("eve").verify(&log.keys(), None, None).unwrap();
        assert_eq!(verified.events, 0);
        assert_eq!(
            (verified.first_position, verified.last_position),
            (None, None)
        );
    }

    /// The log alone would let it pass: all that is there is in it, and in order.
    #[test]
    fn a_bundle_without_its_last_events_is_refused_by_the_map_alone() {
        let mut log = Log::with(&STREAMS);
        let whole = log.bundle("ada");
        let head = head(&log.seal());
        for shown in 0..4_u8 {
            let mut bundle = whole.clone();
            bundle.events.truncate(shown.into());
            for (event, version) in bundle.events.iter().zip(1..) {
                assert_eq!(event.inclusion.verify(event.leaf().hash(), head), Ok(()));
                assert_eq!(event.version, version);
            }
            let truncated = BundleError::Truncated {
                shown: shown.into(),
                version: 4,
                position: 7,
            };
            assert_eq!(refused(&log, &bundle), truncated);
        }
    }

    #[test]
    fn an_event_that_is_missing_is_named() {
        let mut log = Log::with(&STREAMS);
        let whole = log.bundle("ada");
        for (at, due, position) in [(0, 1, 3), (1, 2, 6), (2, 3, 7)] {
            let mut bundle = whole.clone();
            bundle.events.remove(at);
            let missing = BundleError::Missing {
                due,
                version: due + 1,
                position,
            };
            assert_eq!(refused(&log, &bundle), missing);
        }
    }

    #[test]
    fn events_that_were_swapped_are_named() {
        let mut log = Log::with(&STREAMS);
        let mut bundle = log.bundle("ada");
        bundle.events.swap(1, 3);
        let swapped = BundleError::Swapped {
            version: 4,
            position: 7,
            due: 2,
        };
        assert_eq!(refused(&log, &bundle), swapped);
    }

    #[test]
    fn an_event_that_was_inserted_is_named() {
        let mut log = Log::with(&STREAMS);
        let whole = log.bundle("ada");
        let mut bundle = whole.clone();
        bundle.events.insert(3, whole.events[1].clone());
        let repeated = BundleError::Repeated {
            version: 2,
            position: 3,
            due: 4,
        };
        assert_eq!(refused(&log, &bundle), repeated);
        // One that is in the log, has the version that is due, and is another account's.
        let mut bundle = whole;
        bundle.events[1] = log.bundle("bob").events[1].clone();
        let inserted = BundleError::Inserted {
            version: 2,
            position: 5,
            category: "account".to_owned(),
            id: "bob".to_owned(),
        };
        assert_eq!(refused(&log, &bundle), inserted);
    }

    #[test]
    fn an_event_that_was_altered_is_named() {
        let mut log = Log::with(&STREAMS);
        let mut bundle = log.bundle("ada");
        bundle.events[1].payload = br#"{"amount":"9.50"}"#.to_vec();
        let altered = refused(&log, &bundle);
        let expected = "the event of version 2, position 3 is not in the log like this";
        assert!(altered.to_string().starts_with(expected), "{altered}");
    }

    #[test]
    fn events_of_one_stream_do_not_pass_for_another_s() {
        let mut log = Log::with(&STREAMS);
        let mut bundle = log.bundle("ada");
        bundle.stream.id = "bob".to_owned();
        let inserted = refused(&log, &bundle);
        assert!(
            matches!(inserted, BundleError::Inserted { version: 1, .. }),
            "{inserted}"
        );
        let mut bundle = log.bundle("ada");
        bundle.map = log.bundle("bob").map;
        let map = refused(&log, &bundle);
        assert!(matches!(map, BundleError::Map(_)), "{map}");
        // An account that has events does not pass for one that has none.
        let mut bundle = log.bundle("eve");
        bundle.stream.id = "ada".to_owned();
        let map = refused(&log, &bundle);
        assert!(matches!(map, BundleError::Map(_)), "{map}");
    }

    #[test]
    fn a_checkpoint_that_no_known_key_has_signed_is_refused() {
        let mut log = Log::with(&STREAMS);
        let mut bundle = log.bundle("ada");
        let other = Log::new("ledger.example/a", 9);
        for keys in [other.keys(), Vec::new()] {
            let unknown = bundle.verify(&keys, None, None).unwrap_err();
            let BundleError::Checkpoint(OpenCheckpointError::Signature(unknown)) = unknown else {
                panic!("{unknown}");
            };
            assert!(matches!(unknown, VerifyError::Unknown { .. }), "{unknown}");
        }
        bundle.checkpoint = other.sign(&log.seal());
        let unknown = refused(&log, &bundle);
        assert!(matches!(unknown, BundleError::Checkpoint(_)), "{unknown}");
    }

    #[test]
    fn a_key_speaks_for_the_log_of_its_name_unless_another_is_asked_for() {
        let mut log = Log::with(&STREAMS);
        let other = Log::new("ledger.example/b", 9);
        let mut bundle = log.bundle("ada");
        bundle.checkpoint = other.sign(&log.seal());
        // Both keys are known, and it is the wrong one that has signed.
        let keys = [log.keys(), other.keys()].concat();
        let refused = bundle.verify(&keys, None, None).unwrap_err();
        let origin = OpenCheckpointError::Origin {
            expected: "ledger.example/b".parse().unwrap(),
            actual: "ledger.example/a".parse().unwrap(),
        };
        assert_eq!(refused, BundleError::Checkpoint(origin));
        let a = "ledger.example/a".parse().unwrap();
        assert!(bundle.verify(&keys, Some(&a), None).is_ok());
        let b = "ledger.example/b".parse().unwrap();
        assert!(bundle.verify(&keys, Some(&b), None).is_err());
        // A witness signs beside the log, before it or behind it.
        let sealed = log.seal();
        let by_both = log.sign(&sealed).cosigned_by(other.signing_key());
        bundle.checkpoint = by_both.unwrap();
        for keys in [keys, [other.keys(), log.keys()].concat()] {
            let verified = bundle.verify(&keys, None, None).unwrap();
            assert_eq!(verified.signers.len(), 2);
        }
    }

    #[test]
    fn a_checkpoint_without_a_map_or_an_end_proves_nothing() {
        let mut log = Log::with(&STREAMS);
        let (mut bundle, sealed) = (log.bundle("ada"), log.seal());
        bundle.checkpoint = log.sign(&Checkpoint {
            map_root: None,
            ..sealed.clone()
        });
        assert_eq!(refused(&log, &bundle), BundleError::NoMap { size: 9 });
        bundle.checkpoint = log.sign(&Checkpoint {
            through: None,
            ..sealed
        });
        assert_eq!(refused(&log, &bundle), BundleError::NoThrough { size: 9 });
    }

    #[test]
    fn an_event_behind_the_checkpoint_is_refused() {
        let mut log = Log::with(&STREAMS);
        let (mut bundle, sealed) = (log.bundle("ada"), log.seal());
        bundle.checkpoint = log.sign(&Checkpoint {
            through: Through::new(6, 2),
            ..sealed
        });
        let beyond = BundleError::Beyond {
            version: 4,
            position: 7,
            through: 6,
        };
        assert_eq!(refused(&log, &bundle), beyond);
    }

    #[test]
    fn a_log_that_is_not_in_the_order_of_the_store_is_refused() {
        let (one, two) = (bundled("ada", 1, 1), bundled("ada", 2, 2));
        let mut leaves = Log::with(&[]);
        leaves.push_beside_map(two.clone());
        leaves.push_beside_map(one.clone());
        let mut bundle = leaves.bundle("ada");
        bundle.events.swap(0, 1);
        let backwards = BundleError::Backwards {
            version: 2,
            position: 2,
            index: 0,
        };
        assert_eq!(refused(&leaves, &bundle), backwards);
        let mut positions = Log::with(&[]);
        positions.push_beside_map(BundledEvent { position: 2, ..one });
        positions.push_beside_map(BundledEvent { position: 1, ..two });
        let backwards = BundleError::Backwards {
            version: 2,
            position: 1,
            index: 1,
        };
        assert_eq!(
            {
                let bundle = positions.bundle("ada");
                refused(&positions, &bundle)
            },
            backwards
        );
    }

    #[test]
    fn a_map_that_knows_less_than_the_log_is_refused() {
        let mut log = Log::with(&["ada"]);
        log.push_beside_map(bundled("ada", 2, 2));
        log.push_beside_map(bundled("bob", 1, 3));
        let last = Last {
            version: 1,
            position: 1,
        };
        for (id, version, position, map) in [("ada", 2, 2, Some(last)), ("bob", 1, 3, None)] {
            let contradiction = BundleError::Contradiction {
                version,
                position,
                map,
            };
            assert_eq!(
                {
                    let bundle = log.bundle(id);
                    refused(&log, &bundle)
                },
                contradiction
            );
        }
    }
}
