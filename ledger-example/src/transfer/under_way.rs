//! How far each saga is, and when it is to be looked at: lists of sagas, and their durable timers.

use std::collections::BTreeMap;

use async_trait::async_trait;
use folio_core::saga::{Saga, SagaEvent};
use folio_core::{RecordedEvent, Timestamp};
use folio_projections::{
    ModelTransaction, ProjectionName, Projector, ProjectorError, Reader, Wanted,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::types::ToSql;

use crate::payment::{PaymentIn, PaymentOut};
use crate::read_model::QueryError;
use crate::transfer::Transfer;

/// How long after its last event a saga is looked at that nobody waits for: by then whoever drove it has gone.
const GRACE_MICROS: i64 = 2_000_000;

const KNOWN: &str = "SELECT kind, saga_id, progress FROM sagas \
     JOIN unnest($1::text[], $2::text[]) wanted (kind, saga_id) USING (kind, saga_id)";
const DUE: &str = "SELECT kind, saga_id FROM sagas WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
const LISTED: &str = "SELECT saga_id, progress FROM sagas \
     WHERE kind = $1 AND saga_id > $2 AND ($3::text IS NULL OR state = $3) \
     ORDER BY saga_id LIMIT $4";
const OPEN: &str = "SELECT saga_id, progress FROM sagas \
     WHERE kind = $1 AND saga_id > $2 AND due_at IS NOT NULL ORDER BY saga_id LIMIT $3";
const STUCK: &str = "SELECT saga_id, progress FROM sagas \
     WHERE kind = $1 AND saga_id > $2 AND stuck_since IS NOT NULL ORDER BY saga_id LIMIT $3";
const COUNTED: &str = "SELECT count(*) FILTER (WHERE due_at IS NOT NULL), \
     count(*) FILTER (WHERE stuck_since IS NOT NULL), min(stuck_since) FROM sagas \
     WHERE due_at IS NOT NULL";

/// Projects sagas into the table of `sql/tables.sql`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SagasProjector;

/// Reads how far sagas are.
#[derive(Debug, Clone)]
pub(crate) struct SagasUnderWay {
    reader: Reader,
}

/// Which sagas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SagasFilter<'a> {
    All,
    /// Those that have not ended.
    Open,
    /// Those that somebody should look at.
    Stuck,
    /// Those in this state.
    In(&'a str),
}

/// How far a saga is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SagaRow {
    /// `under_way`, `turning_back`, `completed` or `undone`.
    pub(crate) state: String,
    pub(crate) begun_at: Timestamp,
    /// What it is at: a step, or one whose undo it is at.
    pub(crate) step: Option<String>,
    /// What is done and not undone.
    pub(crate) done: Vec<String>,
    pub(crate) tries: u32,
    pub(crate) failure: Option<String>,
    /// Until when it does not try, since who is to be asked gives no answer.
    pub(crate) parked_until: Option<Timestamp>,
    pub(crate) stuck_since: Option<Timestamp>,
    due_at: Option<i64>,
}

/// How many sagas there are to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SagaCounts {
    pub(crate) open: i64,
    pub(crate) stuck: i64,
    /// Since when the oldest of these is.
    pub(crate) stuck_since: Option<Timestamp>,
}

/// The kind of a saga and its id.
pub(super) type Key = (String, String);
/// Whatever was ordered, and whatever steps came to: that is for those who know the kind.
type Event = SagaEvent<Value, Value>;

impl SagasProjector {
    pub(crate) const NAME: ProjectionName = ProjectionName::new("sagas", 1);
}

#[async_trait]
impl Projector for SagasProjector {
    fn name(&self) -> ProjectionName {
        Self::NAME
    }

    fn wants(&self) -> Wanted {
        Wanted::category(Transfer::CATEGORY)
            .and_category(PaymentOut::CATEGORY)
            .and_category(PaymentIn::CATEGORY)
    }

    fn tables(&self) -> &str {
        include_str!("sql/tables.sql")
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let mut rows = known(events, model).await?;
        for recorded in events {
            for event in recorded.decode::<Event>()? {
                let key = key(recorded);
                let row = SagaRow::evolved(rows.remove(&key), &event, recorded.recorded_at);
                if let Some(row) = row {
                    rows.insert(key, row);
                }
            }
        }
        let (keys, rows): (Vec<Key>, Vec<SagaRow>) = rows.into_iter().unzip();
        let (kinds, ids): (Vec<String>, Vec<String>) = keys.into_iter().unzip();
        let progress = rows.iter().map(|row| {
            serde_json::to_string(row)
                .map_err(|error| ProjectorError::Contradiction(error.to_string()))
        });
        let states: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
        let due: Vec<Option<i64>> = rows.iter().map(|row| row.due_at).collect();
        let stuck = rows
            .iter()
            .map(|row| row.stuck_since.map(Timestamp::micros));
        let stuck: Vec<Option<i64>> = stuck.collect();
        model
            .upsert("sagas")
            .key("kind", &kinds)
            .key("saga_id", &ids)
            .set("state", &states)
            .set("due_at", &due)
            .set("stuck_since", &stuck)
            .set("progress", &progress.collect::<Result<Vec<_>, _>>()?)
            .execute()
            .await
    }
}

async fn known(
    events: &[RecordedEvent],
    model: &ModelTransaction,
) -> Result<BTreeMap<Key, SagaRow>, ProjectorError> {
    let (kinds, ids): (Vec<String>, Vec<String>) = events.iter().map(key).unzip();
    let statement = model.prepare_cached(KNOWN).await?;
    let rows = model.query(&statement, &[&kinds, &ids]).await?;
    let rows = rows.iter().map(|row| {
        let progress = serde_json::from_str(row.try_get(2)?);
        let progress =
            progress.map_err(|error| ProjectorError::Contradiction(error.to_string()))?;
        Ok(((row.try_get(0)?, row.try_get(1)?), progress))
    });
    rows.collect()
}

fn key(event: &RecordedEvent) -> Key {
    let (kind, id) = (event.stream.category(), event.stream.id());
    (kind.to_owned(), id.to_owned())
}

impl SagaRow {
    /// The row after an event. None where a saga was not begun.
    fn evolved(row: Option<Self>, event: &Event, at: Timestamp) -> Option<Self> {
        let mut row = match (row, event) {
            (_, SagaEvent::SagaBegun { .. }) => Self::begun(at),
            (row, _) => row?,
        };
        row.due_at = Some(at.micros().saturating_add(GRACE_MICROS));
        match event {
            SagaEvent::SagaBegun { .. } => {}
            SagaEvent::StepAsked { step } => row.is_at(step),
            SagaEvent::StepDone { step, .. } => {
                row.has_moved();
                row.done.push(step.clone());
            }
            SagaEvent::StepRefused { .. } => row.has_moved(),
            SagaEvent::StepUndone { step } => {
                row.has_moved();
                row.done.retain(|done| done != step);
            }
            SagaEvent::TryFailed {
                step,
                tries,
                failure,
                retry_at,
                ..
            } => {
                row.step = Some(step.clone());
                row.tries = *tries;
                row.failure = Some(failure.clone());
                row.parked_until = None;
                row.due_at = Some(retry_at.micros());
            }
            SagaEvent::Parked {
                step,
                failure,
                until,
            } => {
                row.step = Some(step.clone());
                row.failure = Some(failure.clone());
                row.parked_until = Some(*until);
                row.due_at = Some(until.micros());
            }
            SagaEvent::UndoingBegun { .. } => {
                row.has_moved();
                "turning_back".clone_into(&mut row.state);
            }
            // Its try has failed with the event before this one, which says when it is due.
            SagaEvent::AttentionNeeded { .. } => row.stuck_since = row.stuck_since.or(Some(at)),
            SagaEvent::OperatorActed { .. } => {
                row.due_at = Some(at.micros());
                row.parked_until = None;
            }
            SagaEvent::SagaCompleted => row.has_ended("completed"),
            SagaEvent::SagaUndone => row.has_ended("undone"),
        }
        Some(row)
    }

    fn begun(at: Timestamp) -> Self {
        Self {
            state: "under_way".to_owned(),
            begun_at: at,
            step: None,
            done: Vec::new(),
            tries: 0,
            failure: None,
            parked_until: None,
            stuck_since: None,
            due_at: None,
        }
    }

    fn is_at(&mut self, step: &str) {
        self.has_moved();
        self.step = Some(step.to_owned());
    }

    fn has_moved(&mut self) {
        self.tries = 0;
        self.failure = None;
        self.parked_until = None;
        self.stuck_since = None;
    }

    fn has_ended(&mut self, state: &str) {
        self.has_moved();
        state.clone_into(&mut self.state);
        self.step = None;
        self.due_at = None;
    }
}

impl SagasUnderWay {
    pub(crate) const fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The sagas that are due at `now`, by their kinds and ids, the oldest first.
    pub(crate) async fn due(&self, now: Timestamp, most: i64) -> Result<Vec<Key>, QueryError> {
        let reading = self.reader.read().await?;
        let statement = reading.prepare_cached(DUE).await?;
        let rows = reading.query(&statement, &[&now.micros(), &most]).await?;
        reading.close().await?;
        let keys = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        keys.collect()
    }

    /// Sagas of a kind, in the order of their ids, after one.
    pub(crate) async fn list(
        &self,
        kind: &str,
        filter: SagasFilter<'_>,
        after: &str,
        most: i64,
    ) -> Result<Vec<(String, SagaRow)>, QueryError> {
        let reading = self.reader.read().await?;
        let state = match filter {
            SagasFilter::In(state) => Some(state),
            SagasFilter::All | SagasFilter::Open | SagasFilter::Stuck => None,
        };
        let (query, asked): (_, Vec<&(dyn ToSql + Sync)>) = match filter {
            SagasFilter::Open => (OPEN, vec![&kind, &after, &most]),
            SagasFilter::Stuck => (STUCK, vec![&kind, &after, &most]),
            SagasFilter::All | SagasFilter::In(_) => (LISTED, vec![&kind, &after, &state, &most]),
        };
        let statement = reading.prepare_cached(query).await?;
        let rows = reading.query(&statement, &asked).await?;
        reading.close().await?;
        let rows = rows.iter().map(|row| {
            let progress = serde_json::from_str(row.try_get(1)?);
            let progress = progress.map_err(QueryError::corrupt)?;
            Ok((row.try_get(0)?, progress))
        });
        rows.collect()
    }

    /// How many there are to look at.
    pub(crate) async fn counts(&self) -> Result<SagaCounts, QueryError> {
        let reading = self.reader.read().await?;
        let statement = reading.prepare_cached(COUNTED).await?;
        let row = reading.query_one(&statement, &[]).await?;
        reading.close().await?;
        let stuck_since: Option<i64> = row.try_get(2)?;
        Ok(SagaCounts {
            open: row.try_get(0)?,
            stuck: row.try_get(1)?,
            stuck_since: stuck_since.map(Timestamp::from_micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn after(events: &[Event]) -> SagaRow {
        let mut row = None;
        for (event, second) in events.iter().zip(0..) {
            row = SagaRow::evolved(row, event, at(second));
        }
        row.unwrap()
    }

    fn begun() -> Event {
        SagaEvent::SagaBegun {
            version: 1,
            order: Value::Null,
            deadline: at(60),
        }
    }

    fn asked(step: &str) -> Event {
        SagaEvent::StepAsked {
            step: step.to_owned(),
        }
    }

    fn failed(tries: u32) -> Event {
        SagaEvent::TryFailed {
            step: "credit".to_owned(),
            tries,
            failure: "no answer".to_owned(),
            retry_at: at(100),
            refused: None,
        }
    }

    #[test]
    fn a_saga_that_is_stuck_says_since_when_and_where_until_it_moves() {
        let attention = SagaEvent::AttentionNeeded {
            step: "credit".to_owned(),
            failure: "no answer".to_owned(),
        };
        let mut log = vec![begun(), asked("credit"), failed(8), attention, failed(9)];
        let row = after(&log);
        assert_eq!((row.stuck_since, row.tries), (Some(at(3)), 9));
        assert_eq!(row.step.as_deref(), Some("credit"));
        assert_eq!(row.due_at, Some(100_000_000));
        log.push(SagaEvent::StepDone {
            step: "credit".to_owned(),
            answer: Value::Null,
        });
        let row = after(&log);
        assert_eq!(
            (row.stuck_since, row.tries, &*row.done),
            (None, 0, &["credit".to_owned()][..])
        );
        log.push(SagaEvent::SagaCompleted);
        let row = after(&log);
        assert_eq!((&*row.state, row.due_at), ("completed", None));
    }

    /// Whoever drove it may be gone: then its timer has it looked at.
    #[test]
    fn what_is_being_driven_is_due_a_while_after_its_last_event() {
        assert_eq!(after(&[begun(), asked("hold")]).due_at, Some(3_000_000));
    }
}
