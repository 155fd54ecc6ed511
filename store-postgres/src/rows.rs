//! From rows to events. What a page of events holds is small, or the same in many of them, so they
//! share it: an allocation for each piece would cost more than to read it.

use std::fmt::Display;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use folio_core::store::ReadError;
use folio_core::stream::InvalidStreamId;
use folio_core::{CommandId, EventId, Position, RecordedEvent, StreamId, Timestamp, Version};
use tokio_postgres::Row;

use crate::read::failed;

/// The types that are remembered. A store mostly has fewer; if it has more, looking through them
/// would cost more than a copy.
const TYPES: usize = 16;

/// The first buffer of a read, which is enough for a few events, and the largest one.
const BUFFER_BYTES: (usize, usize) = (1 << 10, 64 << 10);

/// The rows of one read.
pub(crate) struct Rows {
    streams: Streams,
    types: Vec<Arc<str>>,
    buffer: BytesMut,
    buffer_bytes: usize,
}

/// Where the stream of a row is known from.
enum Streams {
    /// All are of this one, and do not tell.
    One(StreamId),
    /// Each tells. One read mostly meets few, and the last one again and again.
    Told { last: Option<StreamId> },
}

impl Rows {
    /// Rows of `stream`, which do not tell so.
    pub(crate) fn of(stream: StreamId) -> Self {
        Self::new(Streams::One(stream))
    }

    /// Rows that each tell their stream.
    pub(crate) fn of_any_stream() -> Self {
        Self::new(Streams::Told { last: None })
    }

    fn new(streams: Streams) -> Self {
        Self {
            streams,
            types: Vec::new(),
            buffer: BytesMut::new(),
            buffer_bytes: BUFFER_BYTES.0,
        }
    }

    /// The event of a row. By index, in the order of the statements: looking a column up by its name
    /// would compare names once a column and row.
    pub(crate) fn event(&mut self, row: &Row) -> Result<RecordedEvent, ReadError> {
        let number: i64 = row.try_get(0).map_err(failed)?;
        let position = Position::START.plus(number);
        let corrupt = |what: &dyn Display| ReadError::Corrupt {
            position,
            what: what.to_string(),
        };
        let column = |error: tokio_postgres::Error| corrupt(&error);
        let schema_version: i32 = row.try_get(5).map_err(column)?;
        let stream = match &mut self.streams {
            Streams::One(stream) => stream.clone(),
            Streams::Told { last } => {
                let category = row.try_get(9).map_err(column)?;
                let id = row.try_get(10).map_err(column)?;
                told(last, category, id).map_err(|error| corrupt(&error))?
            }
        };
        Ok(RecordedEvent {
            position,
            stream,
            version: Version::NONE.plus(row.try_get(1).map_err(column)?),
            event_id: EventId::from_uuid(row.try_get(3).map_err(column)?),
            event_type: self.event_type(row.try_get(6).map_err(column)?),
            schema_version: u16::try_from(schema_version)
                .map_err(|_| corrupt(&format_args!("schema version {schema_version}")))?,
            command_id: CommandId::from_uuid(row.try_get(4).map_err(column)?),
            recorded_at: Timestamp::from_micros(row.try_get(2).map_err(column)?),
            payload: self.bytes(row.try_get(7).map_err(column)?),
            metadata: self.bytes(row.try_get(8).map_err(column)?),
        })
    }

    fn event_type(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.types.iter().find(|known| ***known == *name) {
            return Arc::clone(known);
        }
        let new = Arc::from(name);
        if self.types.len() < TYPES {
            self.types.push(Arc::clone(&new));
        }
        new
    }

    /// A copy of `bytes` in a buffer that many share.
    fn bytes(&mut self, bytes: &[u8]) -> Bytes {
        if self.buffer.capacity() < bytes.len() {
            self.buffer = BytesMut::with_capacity(bytes.len().max(self.buffer_bytes));
            // Twice as large each time: a read of one event shall not take what a page takes.
            self.buffer_bytes = self.buffer_bytes.saturating_mul(2).min(BUFFER_BYTES.1);
        }
        self.buffer.extend_from_slice(bytes);
        self.buffer.split().freeze()
    }
}

/// The stream of a row, without a copy of what it shares with the row before.
fn told(
    last: &mut Option<StreamId>,
    category: &str,
    id: &str,
) -> Result<StreamId, InvalidStreamId> {
    if let Some(last) = last
        && last.id() == id
        && last.category() == category
    {
        return Ok(last.clone());
    }
    let stream = StreamId::new(category, id)?;
    *last = Some(stream.clone());
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_comes_back_byte_for_byte() {
        let mut rows = Rows::of_any_stream();
        let wanted: Vec<Vec<u8>> = (0..500_usize)
            .map(|length| (0..=u8::MAX).cycle().skip(length).take(length).collect())
            .chain([vec![7; BUFFER_BYTES.1 + 1], Vec::new()])
            .collect();
        let got: Vec<Bytes> = wanted.iter().map(|bytes| rows.bytes(bytes)).collect();
        assert_eq!(got, wanted);
    }

    #[test]
    fn events_of_one_type_share_its_name_and_more_types_than_are_remembered_are_right() {
        let mut rows = Rows::of_any_stream();
        let first = rows.event_type("Opened");
        assert!(Arc::ptr_eq(&first, &rows.event_type("Opened")));
        for number in (0..TYPES * 2).chain(0..TYPES * 2) {
            let name = format!("Type{number}");
            assert_eq!(*rows.event_type(&name), *name);
        }
    }

    #[test]
    fn rows_of_several_streams_are_told_apart() {
        let mut last = None;
        for (category, id) in [("a", "1"), ("a", "1"), ("b", "1"), ("b", "2"), ("a", "1")] {
            let stream = told(&mut last, category, id).unwrap();
            assert_eq!((stream.category(), stream.id()), (category, id));
        }
        assert!(told(&mut last, "A", "1").is_err());
    }
}
