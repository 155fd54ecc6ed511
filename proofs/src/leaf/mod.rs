//! The leaves of the log: every column of a row of the event store, as bytes that can be read in one way only.
//!
//! ```text
//! leaf     = kind { field }
//! kind     = "folio event v1" | "folio outcome v1"
//! field    = length bytes            of a column that always has a value
//!          | %x00                    of a column that has none here
//!          | %x01 length bytes       of a column that may have none
//! length   = 8 bytes, big endian
//! ```
//!
//! Fields stand in the order in which the struct has them. Integers are big endian, in as many bytes as their type
//! has. As every length stands before its bytes, no byte can move to the next field and leave the leaf the same.

mod read;

pub use read::{Leaf, MalformedLeaf};

use crate::Hash;
use crate::merkle::LeafHasher;

const EVENT: &[u8] = b"folio event v1";
const OUTCOME: &[u8] = b"folio outcome v1";

/// A row of `store.events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventLeaf<'a> {
    /// Where it stands in the store: 1, 2, 3 …
    pub position: i64,
    /// Where it stands in its stream: 1, 2, 3 …
    pub version: i64,
    /// When it was recorded, since 1970-01-01 UTC.
    pub recorded_at_micros: i64,
    /// The event's id.
    pub event_id: [u8; 16],
    /// The command that caused it.
    pub command_id: [u8; 16],
    /// On the first event of a command only: how many the command has.
    pub command_events: Option<i32>,
    /// The version of the payload's schema.
    pub schema_version: i32,
    /// The category of its stream.
    pub category: &'a str,
    /// Its stream within the category.
    pub stream_id: &'a str,
    /// What happened.
    pub event_type: &'a str,
    /// On the first event of a command only: what the command asked for.
    pub fingerprint: Option<&'a [u8]>,
    /// Its JSON, as it was written.
    pub payload: &'a [u8],
    /// The JSON beside it, as it was written.
    pub metadata: &'a [u8],
}

/// A row of `store.outcomes`: a command that caused no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeLeaf<'a> {
    /// Where it stands among the outcomes: 1, 2, 3 …
    pub number: i64,
    /// The command.
    pub command_id: [u8; 16],
    /// When it was recorded, since 1970-01-01 UTC.
    pub recorded_at_micros: i64,
    /// What the command asked for.
    pub fingerprint: &'a [u8],
    /// The refusal's JSON; none when the command was accepted and changed nothing.
    pub refusal: Option<&'a [u8]>,
    /// The JSON beside it, as it was written.
    pub metadata: &'a [u8],
}

impl EventLeaf<'_> {
    /// Its leaf hash (RFC 9162, section 2.1.1), without a copy of the payload.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut hasher = LeafHasher::new();
        self.encode(|part| hasher.update(part));
        hasher.finish()
    }

    /// The bytes that are hashed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(|part| bytes.extend_from_slice(part));
        bytes
    }

    fn encode(&self, put: impl FnMut(&[u8])) {
        let command_events = self.command_events.map(i32::to_be_bytes);
        Encoder::new(EVENT, put)
            .field(&self.position.to_be_bytes())
            .field(&self.version.to_be_bytes())
            .field(&self.recorded_at_micros.to_be_bytes())
            .field(&self.event_id)
            .field(&self.command_id)
            .optional(command_events.as_ref().map(<[u8; 4]>::as_slice))
            .field(&self.schema_version.to_be_bytes())
            .field(self.category.as_bytes())
            .field(self.stream_id.as_bytes())
            .field(self.event_type.as_bytes())
            .optional(self.fingerprint)
            .field(self.payload)
            .field(self.metadata);
    }
}

impl OutcomeLeaf<'_> {
    /// Its leaf hash (RFC 9162, section 2.1.1).
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut hasher = LeafHasher::new();
        self.encode(|part| hasher.update(part));
        hasher.finish()
    }

    /// The bytes that are hashed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(|part| bytes.extend_from_slice(part));
        bytes
    }

    fn encode(&self, put: impl FnMut(&[u8])) {
        Encoder::new(OUTCOME, put)
            .field(&self.number.to_be_bytes())
            .field(&self.command_id)
            .field(&self.recorded_at_micros.to_be_bytes())
            .field(self.fingerprint)
            .optional(self.refusal)
            .field(self.metadata);
    }
}

struct Encoder<P>(P);

impl<P: FnMut(&[u8])> Encoder<P> {
    fn new(kind: &[u8], mut put: P) -> Self {
        put(kind);
        Self(put)
    }

    fn field(&mut self, bytes: &[u8]) -> &mut Self {
        (self.0)(&(bytes.len() as u64).to_be_bytes());
        (self.0)(bytes);
        self
    }

    fn optional(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => {
                (self.0)(&[0]);
                self
            }
            Some(bytes) => {
                (self.0)(&[1]);
                self.field(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    pub(super) const EVENT_LEAF: EventLeaf<'static> = EventLeaf {
        position: 7,
        version: 2,
        recorded_at_micros: 1_700_000_000_123_456,
        event_id: [0x11; 16],
        command_id: [0x22; 16],
        command_events: Some(3),
        schema_version: 1,
        category: "account",
        stream_id: "ä-42",
        event_type: "Deposited",
        fingerprint: Some(&[0x33; 32]),
        payload: br#"{"amount":"12.50"}"#,
        metadata: b"{}",
    };

    pub(super) const OUTCOME_LEAF: OutcomeLeaf<'static> = OutcomeLeaf {
        number: 7,
        command_id: [0x22; 16],
        recorded_at_micros: 1_700_000_000_123_456,
        fingerprint: &[0x33; 32],
        refusal: Some(br#"{"refused":"overdrawn"}"#),
        metadata: b"{}",
    };

    /// The values were computed by another program, from the grammar above.
    #[test]
    fn leaves_hash_to_the_values_that_were_published() {
        assert_eq!(
            EVENT_LEAF.hash().to_string(),
            "m8jtmbz30539IJe33MBfQk7xNtyuOzQJ9sCs//323J4="
        );
        assert_eq!(
            OUTCOME_LEAF.hash().to_string(),
            "dvJyaay4SvXOdc3CD3W6Tydc7BMOfe+KVfcSylem4zg="
        );
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        assert_eq!(EVENT_LEAF.hash(), Hash::of(&[&[0], &EVENT_LEAF.to_bytes()]));
        assert_eq!(
            OUTCOME_LEAF.hash(),
            Hash::of(&[&[0], &OUTCOME_LEAF.to_bytes()])
        );
    }

    #[test]
    fn an_event_with_any_other_column_has_another_hash() {
        let leaf = EVENT_LEAF;
        let leaves = [
            leaf,
            EventLeaf {
                position: 8,
                ..leaf
            },
            EventLeaf { version: 3, ..leaf },
            EventLeaf {
                recorded_at_micros: 1,
                ..leaf
            },
            EventLeaf {
                event_id: [0x12; 16],
                ..leaf
            },
            EventLeaf {
                command_id: [0x23; 16],
                ..leaf
            },
            EventLeaf {
                command_events: Some(4),
                ..leaf
            },
            EventLeaf {
                command_events: None,
                ..leaf
            },
            EventLeaf {
                schema_version: 2,
                ..leaf
            },
            EventLeaf {
                category: "accounts",
                ..leaf
            },
            EventLeaf {
                stream_id: "a-42",
                ..leaf
            },
            EventLeaf {
                event_type: "deposited",
                ..leaf
            },
            EventLeaf {
                fingerprint: Some(&[0x34; 32]),
                ..leaf
            },
            EventLeaf {
                fingerprint: Some(&[]),
                ..leaf
            },
            EventLeaf {
                fingerprint: None,
                ..leaf
            },
            EventLeaf {
                payload: b"{ }",
                ..leaf
            },
            EventLeaf {
                metadata: b"{ }",
                ..leaf
            },
        ];
        assert_all_differ(leaves.iter().map(EventLeaf::hash));
    }

    #[test]
    fn an_outcome_with_any_other_column_has_another_hash() {
        let leaf = OUTCOME_LEAF;
        let leaves = [
            leaf,
            OutcomeLeaf { number: 8, ..leaf },
            OutcomeLeaf {
                command_id: [0x23; 16],
                ..leaf
            },
            OutcomeLeaf {
                recorded_at_micros: 1,
                ..leaf
            },
            OutcomeLeaf {
                fingerprint: &[0x34; 32],
                ..leaf
            },
            OutcomeLeaf {
                refusal: Some(&[]),
                ..leaf
            },
            OutcomeLeaf {
                refusal: None,
                ..leaf
            },
            OutcomeLeaf {
                metadata: b"{ }",
                ..leaf
            },
        ];
        assert_all_differ(leaves.iter().map(OutcomeLeaf::hash));
    }

    #[track_caller]
    fn assert_all_differ(hashes: impl ExactSizeIterator<Item = Hash>) {
        let count = hashes.len();
        assert_eq!(hashes.collect::<BTreeSet<_>>().len(), count);
    }

    /// The columns of an event that can be of any length, in their order.
    fn event(columns: &[Vec<u8>; 6]) -> EventLeaf<'_> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let [
            category,
            stream_id,
            event_type,
            fingerprint,
            payload,
            metadata,
        ] = columns;
        EventLeaf {
            category: text(category),
            stream_id: text(stream_id),
            event_type: text(event_type),
            fingerprint: Some(fingerprint),
            payload,
            metadata,
            ..EVENT_LEAF
        }
    }

    fn outcome(columns: &[Vec<u8>; 6]) -> OutcomeLeaf<'_> {
        let [fingerprint, refusal, metadata, ..] = columns;
        OutcomeLeaf {
            fingerprint,
            refusal: Some(refusal),
            metadata,
            ..OUTCOME_LEAF
        }
    }

    proptest! {
        #[test]
        fn a_byte_that_moves_to_the_next_column_changes_the_hash(
            columns in prop::array::uniform6(prop::collection::vec(0_u8..0x80, 1..12)),
            column in 0_usize..5,
        ) {
            let mut forward = columns.clone();
            let last = forward[column].pop().unwrap();
            forward[column + 1].insert(0, last);
            prop_assert_ne!(event(&forward).hash(), event(&columns).hash());

            let mut back = columns.clone();
            let first = back[column + 1].remove(0);
            back[column].push(first);
            prop_assert_ne!(event(&back).hash(), event(&columns).hash());

            if column < 2 {
                prop_assert_ne!(outcome(&forward).hash(), outcome(&columns).hash());
                prop_assert_ne!(outcome(&back).hash(), outcome(&columns).hash());
            }
        }

        #[test]
        fn a_leaf_is_read_back_in_one_way_only(
            columns in prop::array::uniform6(prop::collection::vec(0_u8..0x80, 0..12)),
            others in prop::array::uniform6(prop::collection::vec(0_u8..0x80, 0..12)),
        ) {
            prop_assert_eq!(event(&columns).to_bytes() == event(&others).to_bytes(), columns == others);
        }

        #[test]
        fn an_event_is_never_an_outcome(
            columns in prop::array::uniform6(prop::collection::vec(0_u8..0x80, 0..12)),
            others in prop::array::uniform6(prop::collection::vec(any::<u8>(), 0..12)),
        ) {
            let (event, outcome) = (event(&columns).to_bytes(), outcome(&others).to_bytes());
            prop_assert!(!event.starts_with(OUTCOME) && !outcome.starts_with(EVENT));
            prop_assert_ne!(event, outcome);
        }
    }
}
