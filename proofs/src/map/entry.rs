//! Where one stream ends.

use serde::{Deserialize, Serialize};

use super::key::StreamKey;

/// The last event of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// Its version, which is how many events the stream has.
    pub version: i64,
    /// Its position in the store.
    pub position: i64,
}

/// What the map holds of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Which stream.
    pub key: StreamKey,
    /// The version of its last event.
    pub version: i64,
    /// The position of its last event.
    pub position: i64,
}

impl Entry {
    /// Bytes of an entry.
    pub const LENGTH: usize = 48;

    /// Where its stream ends.
    #[must_use]
    pub const fn last(&self) -> Last {
        Last {
            version: self.version,
            position: self.position,
        }
    }

    /// Whether there is an event that it tells of: both count from 1, and a stream has no more events than the store.
    pub(super) const fn is_of_an_event(&self) -> bool {
        1 <= self.version && self.version <= self.position
    }

    /// Whether the stream of `before` can have come to this: by no event, or by as many positions as versions at least.
    pub(super) const fn can_follow(&self, before: &Self) -> bool {
        let versions = self.version.saturating_sub(before.version);
        let positions = self.position.saturating_sub(before.position);
        (versions == 0 && positions == 0) || (1 <= versions && versions <= positions)
    }

    pub(super) fn write_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.position.to_be_bytes());
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let (key, numbers) = bytes.split_first_chunk()?;
        let (version, position) = numbers.split_first_chunk()?;
        Some(Self {
            key: StreamKey::from_bytes(*key),
            version: i64::from_be_bytes(*version),
            position: i64::from_be_bytes(position.try_into().ok()?),
        })
    }
}
