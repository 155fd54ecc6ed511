//! Where an event stands: its stream and version, and its position in the whole store.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::EventId;

/// Longest id of a stream, in bytes. A B-tree page must hold it beside its category and version.
const ID_BYTES_MAX: usize = 255;
/// Longest category, in bytes.
const CATEGORY_BYTES_MAX: usize = 63;

/// Names a stream: a category such as `account`, and the id within it.
///
/// The id is data: any text without NUL, up to 255 bytes. The two halves are kept apart, so no
/// separator has to be parsed back out of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    // Shared: every event carries its stream's name, and a page of a stream has thousands.
    category: Arc<str>,
    id: Arc<str>,
}

impl StreamId {
    /// The stream `id` of `category`.
    ///
    /// # Errors
    ///
    /// [`InvalidStreamId`] when the category is not `[a-z][a-z0-9_]*` within 63 bytes, or the id is
    /// empty, longer than 255 bytes or contains NUL.
    pub fn new(
        category: impl Into<Arc<str>>,
        id: impl Into<Arc<str>>,
    ) -> Result<Self, InvalidStreamId> {
        let (category, id): (Arc<str>, Arc<str>) = (category.into(), id.into());
        let named = || String::from(&*category);
        let mut letters = category.chars();
        let starts_well = letters.next().is_some_and(|c| c.is_ascii_lowercase());
        let goes_on_well =
            letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !starts_well || !goes_on_well || category.len() > CATEGORY_BYTES_MAX {
            return Err(InvalidStreamId::Category { category: named() });
        }
        if id.is_empty() {
            return Err(InvalidStreamId::Empty { category: named() });
        }
        if id.len() > ID_BYTES_MAX {
            return Err(InvalidStreamId::TooLong {
                category: named(),
                bytes: id.len(),
            });
        }
        if id.contains('\0') {
            return Err(InvalidStreamId::Nul { category: named() });
        }
        Ok(Self { category, id })
    }

    /// The category.
    #[must_use]
    pub fn category(&self) -> &str {
        &self.category
    }

    /// The id within the category.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.category, self.id)
    }
}

/// Why a name cannot name a stream.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidStreamId {
    /// The category has characters that a category cannot have.
    #[error(
        "category {category:?} is not lower-case letters, digits and _ within {CATEGORY_BYTES_MAX} bytes"
    )]
    Category {
        /// The refused category.
        category: String,
    },
    /// The id is empty.
    #[error("a stream of category {category} needs an id that is not empty")]
    Empty {
        /// The category of the stream.
        category: String,
    },
    /// The id is too long.
    #[error(
        "the id of a stream of category {category} has {bytes} bytes, at most {ID_BYTES_MAX} are allowed"
    )]
    TooLong {
        /// The category of the stream.
        category: String,
        /// Length of the refused id in bytes.
        bytes: usize,
    },
    /// The id contains NUL, which PostgreSQL cannot store in text.
    #[error("the id of a stream of category {category} contains a NUL character")]
    Nul {
        /// The category of the stream.
        category: String,
    },
}

/// How many events a stream has, and the number of its last one: 1, 2, 3 … without gaps.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(i64);

impl Version {
    /// Before the first event.
    pub const NONE: Self = Self(0);
    /// After any event that there can be.
    pub const MAX: Self = Self(i64::MAX);

    /// The version with this number; none when it is negative.
    #[must_use]
    pub const fn new(number: i64) -> Option<Self> {
        if number < 0 { None } else { Some(Self(number)) }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The version after `events` more events.
    #[must_use]
    pub const fn plus(self, events: i64) -> Self {
        Self(self.0.saturating_add(events))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The place of an event among all events of its store: 1, 2, 3 … without gaps, in commit order.
///
/// A reader that has seen position n has seen every event up to n, and no smaller position can
/// appear later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(i64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);
    /// After any event that there can be.
    pub const MAX: Self = Self(i64::MAX);

    /// The position with this number; none when it is negative.
    #[must_use]
    pub const fn new(number: i64) -> Option<Self> {
        if number < 0 { None } else { Some(Self(number)) }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The position `events` further on.
    #[must_use]
    pub const fn plus(self, events: i64) -> Self {
        Self(self.0.saturating_add(events))
    }

    /// How many events lie after `earlier`, up to this one; 0 when `earlier` is later.
    #[must_use]
    pub const fn events_since(self, earlier: Self) -> i64 {
        let distance = self.0.saturating_sub(earlier.0);
        if distance < 0 { 0 } else { distance }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a writer believes about a stream; the append is refused when it is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// Whatever is there.
    Any,
    /// The stream has no event yet.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream's last version is this one. [`Version::NONE`] is the same as `NoStream`.
    Exact(Version),
    /// The stream's last event is this one, at this version.
    ///
    /// Ids of events are known before they are committed, so a writer can decide on events that are
    /// still on their way. A version would not do for that: if those are refused and another
    /// writer's take their versions, the number is as expected and the history is not.
    LastEvent {
        /// Its version.
        version: Version,
        /// Its id.
        event_id: EventId,
    },
}

impl ExpectedVersion {
    /// Whether a stream whose last event is `last_event`, at version `actual`, is as expected.
    #[must_use]
    pub fn admits(self, actual: Version, last_event: Option<EventId>) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == Version::NONE,
            Self::StreamExists => actual > Version::NONE,
            Self::Exact(version) => actual == version,
            Self::LastEvent { version, event_id } => {
                actual == version && last_event == Some(event_id)
            }
        }
    }

    /// What it says as bytes, of which no two expectations have the same.
    pub(crate) fn to_bytes(self) -> [u8; 25] {
        let (kind, version, event_id) = match self {
            Self::Any => (0, Version::NONE, None),
            Self::NoStream => (1, Version::NONE, None),
            Self::StreamExists => (2, Version::NONE, None),
            Self::Exact(version) => (3, version, None),
            Self::LastEvent { version, event_id } => (4, version, Some(event_id)),
        };
        let mut bytes = [kind; 25];
        let (_, rest) = bytes.split_at_mut(1);
        let (number, event) = rest.split_at_mut(8);
        number.copy_from_slice(&version.number().to_be_bytes());
        event.copy_from_slice(&event_id.map_or([0; 16], |id| *id.as_uuid().as_bytes()));
        bytes
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream | Self::Exact(Version::NONE) => f.write_str("no stream"),
            Self::StreamExists => f.write_str("an existing stream"),
            Self::Exact(version) => write!(f, "version {version}"),
            Self::LastEvent { version, event_id } => {
                write!(f, "event {event_id} at version {version}")
            }
        }
    }
}

/// How many events one read may return: 1 to 65,535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSize(NonZeroU16);

impl BatchSize {
    /// One event.
    pub const ONE: Self = Self(NonZeroU16::MIN);

    /// A batch of at most `events` events; none when it is 0.
    #[must_use]
    pub const fn new(events: u16) -> Option<Self> {
        match NonZeroU16::new(events) {
            Some(events) => Some(Self(events)),
            None => None,
        }
    }

    /// Its number of events.
    #[must_use]
    pub const fn events(self) -> i64 {
        self.0.get() as i64
    }
}

impl Default for BatchSize {
    /// 1,000 events: large enough that the round trip no longer counts, small enough to hold.
    fn default() -> Self {
        const DEFAULT: BatchSize = match BatchSize::new(1_000) {
            Some(size) => size,
            None => BatchSize(NonZeroU16::MIN),
        };
        DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CommandId;

    #[test]
    fn a_stream_id_is_data() {
        let id = StreamId::new("account", "x' OR '1'='1").unwrap();
        assert_eq!(id.id(), "x' OR '1'='1");
        assert_eq!(id.to_string(), "account/x' OR '1'='1");
    }

    #[test]
    fn names_that_cannot_name_a_stream_are_refused() {
        assert!(matches!(
            StreamId::new("Account", "1"),
            Err(InvalidStreamId::Category { .. })
        ));
        assert!(matches!(
            StreamId::new("", "1"),
            Err(InvalidStreamId::Category { .. })
        ));
        assert!(matches!(
            StreamId::new("account", ""),
            Err(InvalidStreamId::Empty { .. })
        ));
        assert!(matches!(
            StreamId::new("account", "a\0b"),
            Err(InvalidStreamId::Nul { .. })
        ));
        assert!(matches!(
            StreamId::new("account", "x".repeat(256)),
            Err(InvalidStreamId::TooLong { bytes: 256, .. })
        ));
    }

    #[test]
    fn expected_versions_admit_what_they_say() {
        let at = |n| Version::new(n).unwrap();
        assert!(ExpectedVersion::Any.admits(at(0), None));
        assert!(ExpectedVersion::NoStream.admits(at(0), None));
        assert!(!ExpectedVersion::NoStream.admits(at(1), None));
        assert!(!ExpectedVersion::StreamExists.admits(at(0), None));
        assert!(ExpectedVersion::StreamExists.admits(at(9), None));
        assert!(ExpectedVersion::Exact(at(3)).admits(at(3), None));
        assert!(!ExpectedVersion::Exact(at(3)).admits(at(2), None));
        assert!(!ExpectedVersion::Exact(at(3)).admits(at(4), None));
        let event = |name| EventId::of_command(CommandId::derived(&[name]), 0);
        let expected = ExpectedVersion::LastEvent {
            version: at(3),
            event_id: event("mine"),
        };
        assert!(expected.admits(at(3), Some(event("mine"))));
        assert!(!expected.admits(at(3), Some(event("another's"))));
        assert!(!expected.admits(at(4), Some(event("mine"))));
    }
}
