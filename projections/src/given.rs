//! The events of one call of the projector.

use folio_core::RecordedEvent;

use crate::tally::{Tallies, taken, taken_late};

/// Events that the projector is given in one call, and the record that it was given them.
///
/// The one is made of the other, here alone, and what fills a build calls its projector with nothing else. So
/// the record says what it was really given, and not what it should have been.
#[derive(Debug, Default)]
pub(crate) struct Given {
    events: Vec<RecordedEvent>,
    tallies: Tallies,
}

impl Given {
    /// Events whose turn it is.
    pub(crate) fn in_turn(events: Vec<RecordedEvent>) -> Self {
        let tallies = taken(&events);
        Self { events, tallies }
    }

    /// An event that had been parked.
    pub(crate) fn late(event: RecordedEvent) -> Self {
        let tallies = taken_late(&event);
        let events = vec![event];
        Self { events, tallies }
    }

    pub(crate) fn events(&self) -> &[RecordedEvent] {
        &self.events
    }

    pub(crate) const fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
