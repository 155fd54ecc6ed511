//! What a proof of a build came to.

use std::fmt;

use folio_core::{Position, StoreId};

use crate::name::BuildName;

/// Whether a build was given each event once, as the record says that was written with its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The build.
    pub build: BuildName,
    /// The store that it was compared with; none before its first event.
    pub store_id: Option<StoreId>,
    /// The first position that it is about. What comes before was not recorded.
    pub from: Position,
    /// All events up to and including this one were compared.
    pub position: Position,
    /// Of some partitions later ones were, up to this one: each as far as it has come.
    pub furthest: Position,
    /// How many events it was to be given.
    pub wanted: i64,
    /// How many it was given.
    pub taken: i64,
    /// Of these, how many after they had been parked.
    pub late: i64,
    /// How many are parked.
    pub parked: i64,
    /// Which were passed over by a person.
    pub skipped: Vec<Skipped>,
    /// What is wrong: the first ranges.
    pub flaws: Vec<Flaw>,
    /// In how many ranges something is wrong.
    pub flaws_found: usize,
}

/// An event that was passed over for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it stands in the store.
    pub position: Position,
    /// Who has said so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A range of which a partition was not given what it should have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The partition, from 0.
    pub partition: u16,
    /// How many partitions there were at these positions.
    pub of: u16,
    /// The first position of the range.
    pub first: Position,
    /// The last position of the range.
    pub last: Position,
    /// How many events it should have been given.
    pub expected: i64,
    /// How many it was given.
    pub found: i64,
    /// What is wrong.
    pub kind: FlawKind,
}

/// What is wrong with a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// Events were not taken in, nor are they parked or were skipped.
    Missing {
        /// How many.
        events: i64,
        /// Which it is, where it is one.
        event: Option<Position>,
    },
    /// Events were taken in more than once, or are not in the source.
    Surplus {
        /// How many.
        events: i64,
        /// Which it is, where one was taken in twice.
        event: Option<Position>,
    },
    /// An event was taken in that should not have been: nobody wants it, it is another partition's, it is
    /// parked or was skipped.
    Stray {
        /// Which it is.
        event: Position,
    },
    /// As many as there should be, but others.
    Others,
    /// Events came before others that stand before them.
    OutOfOrder {
        /// How many.
        events: i64,
    },
    /// Others were parked than there are dead letters of.
    Letters {
        /// How many were parked.
        parked: i64,
        /// How many dead letters there are.
        known: i64,
    },
}

impl Proof {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.flaws_found == 0
    }

    /// Whether it is about all that the build has, from the first event on.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.from <= Position::START.plus(1)
    }

    /// Whether it is about nothing, though there is something: the record has only just begun.
    #[must_use]
    pub fn is_void(&self) -> bool {
        !self.is_whole() && self.from > self.position
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "positions {} to {}", self.first, self.last)?;
        if self.of > 1 {
            let number = self.partition.saturating_add(1);
            write!(f, ", partition {number} of {}", self.of)?;
        }
        let (expected, found) = (self.expected, self.found);
        write!(f, ": {found} taken in, {expected} expected: {}", self.kind)
    }
}

impl fmt::Display for FlawKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing {
                event: Some(event), ..
            } => write!(f, "position {event} is missing"),
            Self::Missing { events, .. } => write!(f, "{events} missing"),
            Self::Surplus {
                event: Some(event), ..
            } => write!(f, "position {event} was taken in twice"),
            Self::Surplus { events, .. } => write!(f, "{events} too many"),
            Self::Stray { event } => {
                write!(f, "position {event} was taken in and should not have been")
            }
            Self::Others => f.write_str("some are missing and others are there in their place"),
            Self::OutOfOrder { events } => write!(f, "{events} came out of order"),
            Self::Letters { parked, known } => {
                write!(
                    f,
                    "{parked} were parked, and there are {known} dead letters"
                )
            }
        }
    }
}
