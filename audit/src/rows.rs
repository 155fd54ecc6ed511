//! Rows of the store, and the leaves that they are.

use folio_proofs::leaf::{EventLeaf, OutcomeLeaf};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// A row of `store.events`, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "they are the columns, which EventLeaf explains"
)]
pub struct StoredEvent {
    pub position: i64,
    pub version: i64,
    pub recorded_at_micros: i64,
    pub event_id: Uuid,
    pub command_id: Uuid,
    pub command_events: Option<i32>,
    pub schema_version: i32,
    pub category: String,
    pub stream_id: String,
    pub event_type: String,
    pub fingerprint: Option<Vec<u8>>,
    pub payload: Vec<u8>,
    pub metadata: Vec<u8>,
}

/// A row of `store.outcomes`, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "they are the columns, which OutcomeLeaf explains"
)]
pub struct StoredOutcome {
    pub number: i64,
    pub command_id: Uuid,
    pub recorded_at_micros: i64,
    pub fingerprint: Vec<u8>,
    pub refusal: Option<Vec<u8>>,
    pub metadata: Vec<u8>,
}

impl StoredEvent {
    /// The leaf that it is in the log.
    #[must_use]
    pub fn leaf(&self) -> EventLeaf<'_> {
        EventLeaf {
            position: self.position,
            version: self.version,
            recorded_at_micros: self.recorded_at_micros,
            event_id: self.event_id.into_bytes(),
            command_id: self.command_id.into_bytes(),
            command_events: self.command_events,
            schema_version: self.schema_version,
            category: &self.category,
            stream_id: &self.stream_id,
            event_type: &self.event_type,
            fingerprint: self.fingerprint.as_deref(),
            payload: &self.payload,
            metadata: &self.metadata,
        }
    }

    pub(crate) fn of(row: &Row) -> Result<Self, Error> {
        let leaf = event_leaf(row)?;
        Ok(Self {
            position: leaf.position,
            version: leaf.version,
            recorded_at_micros: leaf.recorded_at_micros,
            event_id: Uuid::from_bytes(leaf.event_id),
            command_id: Uuid::from_bytes(leaf.command_id),
            command_events: leaf.command_events,
            schema_version: leaf.schema_version,
            category: leaf.category.to_owned(),
            stream_id: leaf.stream_id.to_owned(),
            event_type: leaf.event_type.to_owned(),
            fingerprint: leaf.fingerprint.map(<[u8]>::to_vec),
            payload: leaf.payload.to_vec(),
            metadata: leaf.metadata.to_vec(),
        })
    }
}

impl StoredOutcome {
    /// The leaf that it is in the log.
    #[must_use]
    pub fn leaf(&self) -> OutcomeLeaf<'_> {
        OutcomeLeaf {
            number: self.number,
            command_id: self.command_id.into_bytes(),
            recorded_at_micros: self.recorded_at_micros,
            fingerprint: &self.fingerprint,
            refusal: self.refusal.as_deref(),
            metadata: &self.metadata,
        }
    }

    pub(crate) fn of(row: &Row) -> Result<Self, Error> {
        let leaf = outcome_leaf(row)?;
        Ok(Self {
            number: leaf.number,
            command_id: Uuid::from_bytes(leaf.command_id),
            recorded_at_micros: leaf.recorded_at_micros,
            fingerprint: leaf.fingerprint.to_vec(),
            refusal: leaf.refusal.map(<[u8]>::to_vec),
            metadata: leaf.metadata.to_vec(),
        })
    }
}

/// The leaf in a row that has all columns of an event, in the order in which [`EventLeaf`] has them.
pub(crate) fn event_leaf(row: &Row) -> Result<EventLeaf<'_>, Error> {
    Ok(EventLeaf {
        position: row.try_get(0)?,
        version: row.try_get(1)?,
        recorded_at_micros: row.try_get(2)?,
        event_id: row.try_get::<_, Uuid>(3)?.into_bytes(),
        command_id: row.try_get::<_, Uuid>(4)?.into_bytes(),
        command_events: row.try_get(5)?,
        schema_version: row.try_get(6)?,
        category: row.try_get(7)?,
        stream_id: row.try_get(8)?,
        event_type: row.try_get(9)?,
        fingerprint: row.try_get(10)?,
        payload: row.try_get(11)?,
        metadata: row.try_get(12)?,
    })
}

/// The leaf in a row that has all columns of an outcome, in the order in which [`OutcomeLeaf`] has them.
pub(crate) fn outcome_leaf(row: &Row) -> Result<OutcomeLeaf<'_>, Error> {
    Ok(OutcomeLeaf {
        number: row.try_get(0)?,
        command_id: row.try_get::<_, Uuid>(1)?.into_bytes(),
        recorded_at_micros: row.try_get(2)?,
        fingerprint: row.try_get(3)?,
        refusal: row.try_get(4)?,
        metadata: row.try_get(5)?,
    })
}
