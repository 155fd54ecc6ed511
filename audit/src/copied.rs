//! Rows as the server copies them out.
//!
//! Whoever seals reads every event that there is, and looks at each once. A row of an ordinary query is a piece of memory of its own, of
//! which each column is looked up, converted and checked, beside whoever appends and on the same cores. Of what is copied out a leaf can be
//! read where it lies.
//!
//! What comes is PostgreSQL's [binary format of COPY](https://www.postgresql.org/docs/15/sql-copy.html): a head, the rows, and an end. A
//! row is the number of its columns in two bytes, and each column its length in four, -1 where it has no value, and its bytes.

use std::pin::Pin;

use bytes::Bytes;
use folio_proofs::leaf::EventLeaf;
use futures_util::TryStreamExt as _;
use thiserror::Error;
use tokio_postgres::{Client, CopyOutStream};

use crate::error::SealError;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// What stands in the place of a number of columns behind the last row.
const END: i16 = -1;
/// The columns of an event.
const EVENT_COLUMNS: i16 = 13;

/// The events of a query.
pub(crate) struct CopiedEvents {
    stream: Pin<Box<CopyOutStream>>,
    /// What came last, and how much of it was taken.
    came: Bytes,
    taken: usize,
    has_begun: bool,
}

/// What the server sent is not the format, or not the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the server has copied out what are no rows of the event store")]
pub(crate) struct NotAsCopied;

impl CopiedEvents {
    /// Has these copied out: all columns of an event, in the order in which [`EventLeaf`] has them. The statement has no parameters.
    pub(crate) async fn of(client: &Client, select: &str) -> Result<Self, tokio_postgres::Error> {
        let copy = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
        Ok(Self {
            stream: Box::pin(client.copy_out(&copy).await?),
            came: Bytes::new(),
            taken: 0,
            has_begun: false,
        })
    }

    /// The leaf that the next one is. None behind the last one, with which the statement is over.
    pub(crate) async fn next(&mut self) -> Result<Option<EventLeaf<'_>>, SealError> {
        while self.taken == self.came.len() {
            let Some(came) = self.stream.try_next().await? else {
                return Ok(None);
            };
            let has_begun = std::mem::replace(&mut self.has_begun, true);
            self.taken = if has_begun { 0 } else { head(&came)? };
            self.came = came;
        }
        let mut rest = self.came.get(self.taken..).ok_or(NotAsCopied)?;
        let leaf = match i16::from_be_bytes(*chunk(&mut rest)?) {
            EVENT_COLUMNS => Some(leaf(&mut rest)?),
            END => None,
            _ => return Err(NotAsCopied.into()),
        };
        self.taken = self.came.len().saturating_sub(rest.len());
        // The end of the statement comes behind that of the rows, and the connection is not free before.
        if leaf.is_none() && self.stream.try_next().await?.is_some() {
            return Err(NotAsCopied.into());
        }
        Ok(leaf)
    }
}

fn leaf<'a>(rest: &mut &'a [u8]) -> Result<EventLeaf<'a>, NotAsCopied> {
    Ok(EventLeaf {
        position: i64::from_be_bytes(fixed(rest)?),
        version: i64::from_be_bytes(fixed(rest)?),
        recorded_at_micros: i64::from_be_bytes(fixed(rest)?),
        event_id: fixed(rest)?,
        command_id: fixed(rest)?,
        command_events: match column(rest)? {
            Some(count) => Some(i32::from_be_bytes(as_fixed(count)?)),
            None => None,
        },
        schema_version: i32::from_be_bytes(fixed(rest)?),
        category: text(rest)?,
        stream_id: text(rest)?,
        event_type: text(rest)?,
        fingerprint: column(rest)?,
        payload: present(rest)?,
        metadata: present(rest)?,
    })
}

/// How long the head is: its signature, flags, and what it is followed by, which is for later versions of the format.
fn head(bytes: &[u8]) -> Result<usize, NotAsCopied> {
    let mut rest = bytes.strip_prefix(SIGNATURE).ok_or(NotAsCopied)?;
    let flags = u32::from_be_bytes(*chunk(&mut rest)?);
    let extension = u32::from_be_bytes(*chunk(&mut rest)?);
    let extension = usize::try_from(extension).map_err(|_| NotAsCopied)?;
    // The upper half of the flags is what a reader has to understand.
    if flags >> 16 != 0 || rest.len() < extension {
        return Err(NotAsCopied);
    }
    Ok(bytes
        .len()
        .saturating_sub(rest.len())
        .saturating_add(extension))
}

fn chunk<'a, const LENGTH: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; LENGTH], NotAsCopied> {
    let (chunk, after) = rest.split_first_chunk().ok_or(NotAsCopied)?;
    *rest = after;
    Ok(chunk)
}

fn column<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, NotAsCopied> {
    let length = i32::from_be_bytes(*chunk(rest)?);
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| NotAsCopied)?;
    let (column, after) = rest.split_at_checked(length).ok_or(NotAsCopied)?;
    *rest = after;
    Ok(Some(column))
}

fn present<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], NotAsCopied> {
    column(rest)?.ok_or(NotAsCopied)
}

fn fixed<const LENGTH: usize>(rest: &mut &[u8]) -> Result<[u8; LENGTH], NotAsCopied> {
    as_fixed(present(rest)?)
}

fn as_fixed<const LENGTH: usize>(column: &[u8]) -> Result<[u8; LENGTH], NotAsCopied> {
    column.try_into().map_err(|_| NotAsCopied)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, NotAsCopied> {
    std::str::from_utf8(present(rest)?).map_err(|_| NotAsCopied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_row_are_those_of_the_leaf() {
        let mut row = Vec::new();
        let mut put = |column: Option<&[u8]>| {
            let length = column.map_or(-1, |column| i32::try_from(column.len()).unwrap());
            row.extend_from_slice(&length.to_be_bytes());
            row.extend_from_slice(column.unwrap_or_default());
        };
        put(Some(&7_i64.to_be_bytes()));
        put(Some(&2_i64.to_be_bytes()));
        put(Some(&1_700_000_000_123_456_i64.to_be_bytes()));
        put(Some(&[0x11; 16]));
        put(Some(&[0x22; 16]));
        put(None);
        put(Some(&1_i32.to_be_bytes()));
        put(Some(b"account"));
        put(Some("ä-42".as_bytes()));
        put(Some(b"Deposited"));
        put(None);
        put(Some(b"{}"));
        put(Some(b""));
        let read = leaf(&mut &*row).unwrap();
        let expected = EventLeaf {
            position: 7,
            version: 2,
            recorded_at_micros: 1_700_000_000_123_456,
            event_id: [0x11; 16],
            command_id: [0x22; 16],
            command_events: None,
            schema_version: 1,
            category: "account",
            stream_id: "ä-42",
            event_type: "Deposited",
            fingerprint: None,
            payload: b"{}",
            metadata: b"",
        };
        assert_eq!(read, expected);
        for length in 0..row.len() {
            assert_eq!(leaf(&mut &row[..length]), Err(NotAsCopied), "{length}");
        }
    }

    #[test]
    fn a_head_is_left_out_and_one_of_another_format_refused() {
        let head_of = |flags: u32, extension: &[u8]| {
            let mut bytes = SIGNATURE.to_vec();
            bytes.extend_from_slice(&flags.to_be_bytes());
            let length = u32::try_from(extension.len()).unwrap();
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(extension);
            bytes
        };
        let plain = head_of(0, &[]);
        assert_eq!(head(&plain), Ok(plain.len()));
        let extended = [head_of(3, b"more"), b"row".to_vec()].concat();
        assert_eq!(head(&extended), Ok(extended.len() - 3));
        for refused in [&head_of(1 << 16, &[]), &plain[1..], &plain[..18], b""] {
            assert_eq!(head(refused), Err(NotAsCopied));
        }
    }
}
