//! `given(events).then(rows)`, for what a projector makes of events.

use std::collections::BTreeMap;

use folio_core::stream::InvalidStreamId;
use folio_core::{
    CommandId, Event, EventId, NewEvent, Position, RecordedEvent, StreamId, Timestamp, Version,
};

use crate::fold::{Fold, Rows};

/// Starts a scenario from what has happened.
///
/// ```
/// use folio_core::{Event, RecordedEvent};
/// use folio_projections::testing::{History, given};
/// use folio_projections::{Fold, ProjectorError};
/// # use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// enum AccountEvent {
///     Deposited { cents: i64 },
///     Withdrawn { cents: i64 },
/// }
/// impl Event for AccountEvent {}
///
/// /// The balance of each account.
/// struct Balance;
/// impl Fold for Balance {
///     type Row = i64;
///     fn fold(row: Option<i64>, event: &RecordedEvent) -> Result<Option<i64>, ProjectorError> {
///         let mut cents = row.unwrap_or(0);
///         for event in event.decode()? {
///             cents += match event {
///                 AccountEvent::Deposited { cents } => cents,
///                 AccountEvent::Withdrawn { cents } => -cents,
///             };
///         }
///         Ok(Some(cents))
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let history = History::new()
///     .happened("account", "savings", &AccountEvent::Deposited { cents: 500 })?
///     .happened("account", "checking", &AccountEvent::Deposited { cents: 20 })?
///     .happened("account", "savings", &AccountEvent::Withdrawn { cents: 80 })?;
/// given::<Balance>(history).then([("savings", 420), ("checking", 20)]);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn given<F: Fold>(history: History) -> Given<F> {
    let mut rows = Rows::default();
    let folded = history
        .events
        .iter()
        .try_for_each(|event| rows.fold(event).map(|_| ()));
    Given {
        rows: folded.map(|()| rows),
    }
}

/// A scenario whose past is set.
#[derive(Debug)]
pub struct Given<F: Fold> {
    rows: Result<Rows<F>, crate::ProjectorError>,
}

#[expect(clippy::panic, reason = "these are assertions, for tests")]
impl<F: Fold> Given<F> {
    /// Expects these rows, by their keys, and no others.
    ///
    /// # Panics
    ///
    /// When there are others, or an event could not be folded.
    pub fn then<'k>(self, rows: impl IntoIterator<Item = (&'k str, F::Row)>) {
        let expected: BTreeMap<&str, F::Row> = rows.into_iter().collect();
        let found = match &self.rows {
            Ok(rows) => rows,
            Err(error) => panic!("an event could not be folded: {error}"),
        };
        let found: BTreeMap<&str, F::Row> = found
            .changed()
            .map(|(key, row)| (key, row.clone()))
            .collect();
        assert_eq!(found, expected, "what was folded is not what was expected");
    }

    /// Expects that an event cannot be folded, with an error that says `what`.
    ///
    /// # Panics
    ///
    /// When all could, or the error says something else.
    pub fn then_fails(self, what: &str) {
        match self.rows {
            Ok(rows) => panic!(
                "all events were folded: {rows:?}",
                rows = rows.changed().collect::<Vec<_>>()
            ),
            Err(error) => {
                let said = folio_core::error_chain(&error);
                assert!(said.contains(what), "{said:?} does not say {what:?}");
            }
        }
    }
}

/// Events as a store would hold them, numbered in the order in which they are told.
#[derive(Debug, Clone, Default)]
pub struct History {
    events: Vec<RecordedEvent>,
}

impl History {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And then `event` happened on the stream `category`/`id`. It goes through the codec, as it
    /// would on its way through a store.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] when it cannot be encoded, or the names are no stream's.
    pub fn happened<E: Event>(
        mut self,
        category: &str,
        id: &str,
        event: &E,
    ) -> Result<Self, HistoryError> {
        let stream = StreamId::new(category, id)?;
        let NewEvent {
            event_type,
            schema_version,
            payload,
        } = NewEvent::encode(event)?;
        let before = self.events.iter().filter(|event| event.stream == stream);
        let count = |events: usize| i64::try_from(events).unwrap_or(i64::MAX);
        let version = Version::NONE.plus(count(before.count())).plus(1);
        let position = Position::START.plus(count(self.events.len())).plus(1);
        let command_id = CommandId::derived(&["history", &position.to_string()]);
        self.events.push(RecordedEvent {
            position,
            stream,
            version,
            event_id: EventId::of_command(command_id, 0),
            event_type: event_type.into(),
            schema_version,
            command_id,
            recorded_at: Timestamp::from_micros(position.number()),
            payload: payload.into(),
            metadata: b"{}".to_vec().into(),
        });
        Ok(self)
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[RecordedEvent] {
        &self.events
    }
}

/// Why an event cannot have happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It names no stream.
    #[error(transparent)]
    Stream(#[from] InvalidStreamId),
    /// It cannot be stored.
    #[error(transparent)]
    Encode(#[from] folio_core::event::EncodeError),
}
