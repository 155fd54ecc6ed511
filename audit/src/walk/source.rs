//! Where a walk reads.

use folio_proofs::leaf::{EventLeaf, OutcomeLeaf};
use folio_proofs::merkle::{TileId, Tiles};
use tokio_postgres::{Error, Row};

use super::ends::Unproven;
use super::error::WalkError;

use crate::rows::{StoredEvent, StoredOutcome, event_leaf, outcome_leaf};

/// What is walked, in pages. None behind the last one.
pub(crate) trait Source {
    type Event: EventRow;
    type Outcome: OutcomeRow;

    /// The next events, in the order of their positions.
    fn events(&mut self) -> Result<Option<Vec<Self::Event>>, WalkError>;

    /// The next outcomes, in the order of their numbers.
    fn outcomes(&mut self) -> Result<Option<Vec<Self::Outcome>>, WalkError>;

    /// The next checkpoints, in the order of their sizes.
    fn checkpoints(&mut self) -> Result<Option<Vec<Unproven>>, WalkError>;

    /// The text of the checkpoint of this size.
    fn checkpoint(&mut self, size: u64) -> Result<Option<String>, WalkError>;

    /// Those of these tiles that there are.
    fn tiles(&mut self, tiles: Vec<TileId>) -> Result<Tiles, WalkError>;
}

/// An event that was read.
pub(crate) trait EventRow {
    fn position(&self) -> Result<i64, Error>;
    fn leaf(&self) -> Result<EventLeaf<'_>, Error>;
    fn to_stored(&self) -> Result<StoredEvent, Error>;
}

/// An outcome that was read.
pub(crate) trait OutcomeRow {
    fn number(&self) -> Result<i64, Error>;
    fn leaf(&self) -> Result<OutcomeLeaf<'_>, Error>;
}

impl EventRow for Row {
    fn position(&self) -> Result<i64, Error> {
        self.try_get(0)
    }

    fn leaf(&self) -> Result<EventLeaf<'_>, Error> {
        event_leaf(self)
    }

    fn to_stored(&self) -> Result<StoredEvent, Error> {
        StoredEvent::of(self)
    }
}

impl OutcomeRow for Row {
    fn number(&self) -> Result<i64, Error> {
        self.try_get(0)
    }

    fn leaf(&self) -> Result<OutcomeLeaf<'_>, Error> {
        outcome_leaf(self)
    }
}

impl EventRow for StoredEvent {
    fn position(&self) -> Result<i64, Error> {
        Ok(self.position)
    }

    fn leaf(&self) -> Result<EventLeaf<'_>, Error> {
        Ok(self.leaf())
    }

    fn to_stored(&self) -> Result<StoredEvent, Error> {
        Ok(self.clone())
    }
}

impl OutcomeRow for StoredOutcome {
    fn number(&self) -> Result<i64, Error> {
        Ok(self.number)
    }

    fn leaf(&self) -> Result<OutcomeLeaf<'_>, Error> {
        Ok(self.leaf())
    }
}
