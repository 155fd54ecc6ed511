//! Events of several stores, each given on after its cause.

use std::collections::VecDeque;

use folio_core::event::DecodeError;
use folio_core::{Cause, Position, RecordedEvent, StoreId};

/// Events of several stores in an order in which each comes after what caused it, in whatever store that was.
///
/// What was given on so far is, at every moment, a cut that is closed under causation: it holds no effect without its
/// cause.
#[derive(Debug)]
pub(super) struct CausalOrder {
    stores: Vec<Queue>,
}

/// The events of a store that were read and not given on.
#[derive(Debug)]
struct Queue {
    store: StoreId,
    /// Up to here all is given on.
    given: Position,
    /// Up to here all is read.
    read: Position,
    waiting: VecDeque<(RecordedEvent, Option<Cause>)>,
}

/// An event that waits for its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waits {
    /// The number of the event's store.
    pub(super) store: usize,
    pub(super) position: Position,
    pub(super) cause: Cause,
}

impl CausalOrder {
    pub(super) fn new(stores: &[StoreId]) -> Self {
        let queue = |store: &StoreId| Queue {
            store: *store,
            given: Position::START,
            read: Position::START,
            waiting: VecDeque::new(),
        };
        Self {
            stores: stores.iter().map(queue).collect(),
        }
    }

    /// Takes events in that were read of a store up to a position.
    pub(super) fn put(
        &mut self,
        store: usize,
        events: Vec<RecordedEvent>,
        through: Position,
    ) -> Result<(), DecodeError> {
        let Some(queue) = self.stores.get_mut(store) else {
            return Ok(());
        };
        for event in events {
            let cause = event.decode_metadata()?.cause;
            queue.waiting.push_back((event, cause));
        }
        queue.read = queue.read.max(through);
        if queue.waiting.is_empty() {
            queue.given = queue.read;
        }
        Ok(())
    }

    /// The next event whose cause was given on, and the number of its store.
    pub(super) fn next(&mut self) -> Option<(usize, RecordedEvent)> {
        let next = self.fronts().find(|(_, _, cause)| self.is_given(*cause));
        let (store, _, _) = next?;
        let queue = self.stores.get_mut(store)?;
        let (event, _) = queue.waiting.pop_front()?;
        queue.given = if queue.waiting.is_empty() {
            queue.read
        } else {
            event.position
        };
        Some((store, event))
    }

    /// Events whose cause its store does not have, whose end is known to be where it was read to last: they do not wait
    /// any more.
    pub(super) fn orphaned_by(&mut self, ended: usize) -> Vec<Waits> {
        let Some(end) = self.stores.get(ended) else {
            return Vec::new();
        };
        let (store_id, end) = (end.store, end.read);
        let waits = self.waits().into_iter();
        let orphans: Vec<Waits> = waits
            .filter(|waits| waits.cause.store_id == store_id && waits.cause.position > end)
            .collect();
        for orphan in &orphans {
            let queue = self.stores.get_mut(orphan.store);
            if let Some((_, cause)) = queue.and_then(|queue| queue.waiting.front_mut()) {
                *cause = None;
            }
        }
        orphans
    }

    /// What waits for its cause, at most one event of each store.
    pub(super) fn waits(&self) -> Vec<Waits> {
        let waiting = self.fronts().filter(|(_, _, cause)| !self.is_given(*cause));
        let waiting = waiting.filter_map(|(store, event, cause)| {
            Some(Waits {
                store,
                position: event.position,
                cause: cause?,
            })
        });
        waiting.collect()
    }

    /// Up to where the events of a store were given on.
    pub(super) fn given(&self, store: usize) -> Position {
        let queue = self.stores.get(store);
        queue.map_or(Position::START, |queue| queue.given)
    }

    /// Up to where the events of a store were read.
    pub(super) fn read(&self, store: usize) -> Position {
        let queue = self.stores.get(store);
        queue.map_or(Position::START, |queue| queue.read)
    }

    /// How many events of a store wait.
    pub(super) fn waiting(&self, store: usize) -> usize {
        let queue = self.stores.get(store);
        queue.map_or(0, |queue| queue.waiting.len())
    }

    fn fronts(&self) -> impl Iterator<Item = (usize, &RecordedEvent, Option<Cause>)> {
        let stores = self.stores.iter().enumerate();
        stores.filter_map(|(number, queue)| {
            let (event, cause) = queue.waiting.front()?;
            Some((number, event, *cause))
        })
    }

    /// What is of a store that nobody reads here cannot be waited for.
    fn is_given(&self, cause: Option<Cause>) -> bool {
        let Some(cause) = cause else {
            return true;
        };
        let mut stores = self.stores.iter();
        let store = stores.find(|queue| queue.store == cause.store_id);
        store.is_none_or(|queue| queue.given >= cause.position)
    }
}

#[cfg(test)]
mod tests {
    use folio_core::{Actor, CommandContext, CommandId, EventId, StreamId, Timestamp, Version};
    use uuid::Uuid;

    use super::*;

    const A: StoreId = StoreId::from_uuid(Uuid::from_u128(1));
    const B: StoreId = StoreId::from_uuid(Uuid::from_u128(2));

    fn at(number: i64) -> Position {
        Position::START.plus(number)
    }

    fn event(position: i64, cause: Option<(StoreId, i64)>) -> RecordedEvent {
        let id = CommandId::derived(&["test"]);
        let context = CommandContext {
            cause: cause.map(|(store_id, position)| Cause {
                store_id,
                position: at(position),
            }),
            ..CommandContext::new(id, Actor::anonymous())
        };
        RecordedEvent {
            position: at(position),
            stream: StreamId::new("test", "1").unwrap(),
            version: Version::NONE.plus(position),
            event_id: EventId::of_command(id, 0),
            event_type: "Tested".into(),
            schema_version: 1,
            command_id: id,
            recorded_at: Timestamp::from_micros(0),
            payload: "null".into(),
            metadata: serde_json::to_vec(&context.metadata()).unwrap().into(),
        }
    }

    fn given(order: &mut CausalOrder) -> Vec<(usize, i64)> {
        let next = std::iter::from_fn(|| order.next());
        let next = next.map(|(store, event)| (store, event.position.number()));
        next.collect()
    }

    #[test]
    fn an_effect_comes_after_its_cause_and_what_is_behind_it_waits_too() {
        let mut order = CausalOrder::new(&[A, B]);
        let effects = vec![event(1, None), event(2, Some((B, 3))), event(3, None)];
        order.put(0, effects, at(3)).unwrap();
        assert_eq!(given(&mut order), [(0, 1)]);
        assert_eq!(order.given(0), at(1));
        let waits = order.waits();
        assert_eq!((waits[0].position, waits[0].cause.position), (at(2), at(3)));
        order.put(1, vec![event(2, None)], at(2)).unwrap();
        assert_eq!(given(&mut order), [(1, 2)]);
        // A cause that is no event that one is given counts by its position.
        order.put(1, Vec::new(), at(4)).unwrap();
        assert_eq!(given(&mut order), [(0, 2), (0, 3)]);
        assert_eq!((order.given(0), order.given(1)), (at(3), at(4)));
        assert_eq!(order.waits(), []);
    }

    /// As after a restore of that store from an older backup.
    #[test]
    fn what_has_its_cause_beyond_the_end_of_a_store_is_found_once() {
        let mut order = CausalOrder::new(&[A, B]);
        let effects = vec![event(1, Some((B, 3)))];
        order.put(0, effects, at(1)).unwrap();
        order.put(1, Vec::new(), at(2)).unwrap();
        assert_eq!(order.orphaned_by(0), []);
        let orphans = order.orphaned_by(1);
        assert_eq!(orphans.len(), 1);
        assert_eq!(orphans[0].position, at(1));
        assert_eq!(given(&mut order), [(0, 1)]);
        assert_eq!(order.orphaned_by(1), []);
    }

    #[test]
    fn a_cause_in_a_store_that_is_not_read_is_not_waited_for() {
        let elsewhere = StoreId::from_uuid(Uuid::from_u128(3));
        let mut order = CausalOrder::new(&[A]);
        let effects = vec![event(1, Some((elsewhere, 9)))];
        order.put(0, effects, at(1)).unwrap();
        assert_eq!(given(&mut order), [(0, 1)]);
    }
}
