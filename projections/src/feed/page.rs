//! A page of a feed, and what must be true of it.

use folio_core::{
    Filter, Page, Position, ReadError, RecordedEvent, StoreId, Timestamp, error_chain,
};
use serde::{Deserialize, Serialize};

use crate::feed::error::FeedError;
use crate::feed::event::{FeedEvent, position};
use crate::feed::request::FeedRequest;

/// Most events of a page.
pub const PAGE_EVENTS_MAX: u16 = 1_000;

/// Most bytes of the events of a page, as they are stored. An event that is larger has a page alone.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a feed answers: the next events, and how far they go. See [`feed`](crate::feed) for its rules.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedPage {
    /// The store that the events are of.
    pub store_id: StoreId,
    /// Changes, to whatever, when the store's past may have changed.
    pub history: String,
    /// The position of the store's last event.
    #[serde(deserialize_with = "position")]
    pub head: Position,
    /// Up to here the reader has what it wants.
    #[serde(deserialize_with = "position")]
    pub through: Position,
    /// The events.
    pub events: Vec<FeedEvent>,
    /// What time it was by the store's clock before the head was looked up, in microseconds since 1970 in
    /// UTC, where the feed tells it: whatever was recorded by then is up to `head`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at_us: Option<i64>,
}

impl FeedPage {
    /// The page, with what time it was by the store's clock before it was asked for.
    #[must_use]
    pub fn told_at(self, time: Timestamp) -> Self {
        Self {
            told_at_us: Some(time.micros()),
            ..self
        }
    }

    /// The page as an answer to `asked`, the store and its end being known to be right.
    ///
    /// It is made sure that it skips nothing, as far as a reader can tell.
    pub(crate) fn checked(self, asked: &FeedRequest) -> Result<Page, ReadError> {
        let (after, head, through) = (asked.after, self.head, self.through);
        let contradicts = |what: String| Err(FeedError::Contradiction { what }.into());
        if through < after || through > head {
            return contradicts(format!(
                "after {after} it goes up to {through}, and the store to {head}"
            ));
        }
        if through == after && head > after {
            return contradicts(format!(
                "there is nothing after {after}, and the store goes up to {head}"
            ));
        }
        let events = self.events.len();
        if i64::try_from(events).is_ok_and(|events| events > asked.limit.events()) {
            return contradicts(format!("it has {events} events"));
        }
        let is_whole = asked.filter == Filter::all();
        let mut last = after;
        let mut wanted = Vec::with_capacity(events);
        for event in self.events {
            let position = event.position();
            if position <= last || position > through || is_whole && position != last.plus(1) {
                return Err(misplaced(position, last, through));
            }
            last = position;
            let event = RecordedEvent::try_from(event).map_err(|error| ReadError::Corrupt {
                position,
                what: error_chain(&error),
            })?;
            wanted.push(event);
        }
        if is_whole && last != through {
            return Err(misplaced(through, last, through));
        }
        wanted.retain(|event| asked.filter.admits(event));
        Ok(Page {
            events: wanted,
            through,
        })
    }
}

fn misplaced(position: Position, last: Position, through: Position) -> ReadError {
    ReadError::Corrupt {
        position,
        what: format!("in a page up to {through} of the feed, {last} comes before it"),
    }
}

#[cfg(test)]
mod tests {
    use folio_core::{BatchSize, CommandId, EventId, InMemoryStore, Member, StreamId, Version};

    use super::*;

    fn page(head: i64, through: i64, positions: &[i64]) -> FeedPage {
        let at = |number| Position::new(number).unwrap();
        let event = |number| {
            let id = CommandId::derived(&["page"]);
            FeedEvent::from(RecordedEvent {
                position: at(number),
                stream: StreamId::new("account", number.to_string()).unwrap(),
                version: Version::NONE.plus(1),
                event_id: EventId::of_command(id, 0),
                event_type: "Opened".into(),
                schema_version: 1,
                command_id: id,
                recorded_at: Timestamp::from_micros(0),
                payload: b"null".to_vec().into(),
                metadata: b"{}".to_vec().into(),
            })
        };
        FeedPage {
            store_id: folio_core::EventStore::store_id(&InMemoryStore::default()),
            history: String::new(),
            head: at(head),
            through: at(through),
            events: positions.iter().map(|number| event(*number)).collect(),
            told_at_us: None,
        }
    }

    fn after(number: i64) -> FeedRequest {
        FeedRequest {
            after: Position::new(number).unwrap(),
            limit: BatchSize::new(3).unwrap(),
            ..FeedRequest::head(None)
        }
    }

    #[test]
    fn what_is_right_is_taken() {
        for (asked, head, through, positions) in [
            (after(0), 0, 0, &[][..]),
            (after(5), 5, 5, &[]),
            (after(5), 8, 6, &[6]),
            (after(5), 8, 8, &[6, 7, 8]),
        ] {
            let page = page(head, through, positions).checked(&asked).unwrap();
            let found = page.events.iter().map(|event| event.position.number());
            assert!(found.eq(positions.iter().copied()));
            assert_eq!(page.through.number(), through);
        }
    }

    #[test]
    fn with_a_filter_there_may_be_gaps_and_what_is_not_wanted_is_left_out() {
        let all = Filter::all();
        let asked = FeedRequest {
            filter: all.for_member(Member::new(0, 1).unwrap()),
            ..after(5)
        };
        let taken = page(20, 12, &[7, 9]).checked(&asked).unwrap();
        assert_eq!(
            (taken.events.len(), taken.through.number()),
            (2, 12),
            "{taken:?}"
        );
        let taken = page(20, 12, &[]).checked(&asked).unwrap();
        assert_eq!(taken.through.number(), 12);

        let other = FeedRequest {
            filter: Filter::category("transfer"),
            ..after(5)
        };
        let taken = page(20, 12, &[7, 9]).checked(&other).unwrap();
        assert_eq!((taken.events.len(), taken.through.number()), (0, 12));
        assert!(page(20, 12, &[9, 7]).checked(&other).is_err());
        assert!(page(20, 12, &[13]).checked(&other).is_err());
        assert!(page(20, 5, &[]).checked(&other).is_err());
    }

    #[test]
    fn what_would_skip_an_event_is_an_error() {
        for (head, through, positions) in [
            // Nothing, where there is something.
            (8, 5, &[][..]),
            (8, 8, &[]),
            // Backwards, beyond the end, too much.
            (8, 4, &[]),
            (6, 7, &[6, 7]),
            (9, 9, &[6, 7, 8, 9]),
            // A hole at the start, in the midst, at the end; twice; from before; out of order.
            (8, 8, &[7, 8]),
            (8, 8, &[6, 8]),
            (8, 8, &[6, 7]),
            (8, 7, &[6, 6, 7]),
            (8, 7, &[5, 6, 7]),
            (8, 7, &[7, 6]),
            (8, 6, &[6, 7]),
        ] {
            let checked = page(head, through, positions).checked(&after(5));
            assert!(checked.is_err(), "{head} {through} {positions:?}");
        }
    }
}
