//! The checkpoints in the database.

use folio_postgres::{Database, Role};
use folio_proofs::Hash;
use folio_proofs::checkpoint::{Checkpoint, OpenCheckpointError};
use folio_proofs::map::MapTree;
use folio_proofs::merkle::{Size, TreeHead, empty_root};
use folio_proofs::note::SignedNote;
use tokio_postgres::{Client, Error, Row};

use crate::altered::Altered;
use crate::error::{Fault, SealError};
use crate::trusted::TrustedLog;

const LAST: &str = "SELECT size, events, outcomes, sealed_at, note FROM audit.checkpoints \
     ORDER BY size DESC LIMIT 1";
const OF_SIZE: &str =
    "SELECT size, events, outcomes, sealed_at, note FROM audit.checkpoints WHERE size = $1";
const IS_BEGUN: &str = "SELECT EXISTS (SELECT FROM audit.checkpoints)";
const INSERT: &str = "INSERT INTO audit.checkpoints (size, events, outcomes, sealed_at, note) \
     VALUES ($1, $2, $3, $4, $5)";

/// A checkpoint that is kept, and is to be believed.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) note: SignedNote,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) end: LogEnd,
}

/// Whether there is anything in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// Nothing was sealed yet.
    NotBegun,
    /// There are checkpoints.
    Begun,
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub(crate) head: TreeHead,
    pub(crate) map_root: Hash,
    /// The position of the last event.
    pub(crate) events: i64,
    /// The number of the last outcome.
    pub(crate) outcomes: i64,
    pub(crate) sealed_at_micros: i64,
}

impl LogState {
    /// That of the log in this database. Ask before you look for what has to be there once it is begun.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub async fn read(database: &Database) -> Result<Self, SealError> {
        let connection = database.pool(Role::Sealer, 1)?.get().await;
        let mut client = connection.map_err(|error| SealError::Unavailable(error.into()))?;
        let is_begun = client.query_one(IS_BEGUN, &[]).await?.try_get(0)?;
        client.finished();
        Ok(if is_begun {
            Self::Begun
        } else {
            Self::NotBegun
        })
    }
}

impl LogEnd {
    /// That of a log without leaves.
    pub(crate) fn empty() -> Self {
        Self {
            head: TreeHead {
                size: Size::EMPTY,
                root: empty_root(),
            },
            map_root: MapTree::empty().root(),
            events: 0,
            outcomes: 0,
            sealed_at_micros: 0,
        }
    }

    fn of(checkpoint: &Checkpoint) -> Option<Self> {
        let through = checkpoint.through?;
        Some(Self {
            head: TreeHead {
                size: Size::new(checkpoint.size),
                root: checkpoint.root,
            },
            map_root: checkpoint.map_root?,
            events: through.position(),
            outcomes: through.outcome(),
            sealed_at_micros: checkpoint.sealed_at_micros?,
        })
    }
}

/// The last one.
pub(crate) async fn last(client: &Client, log: &TrustedLog) -> Result<Option<Kept>, Fault> {
    let row = client.query_opt(LAST, &[]).await?;
    row.map(|row| kept(&row, log)).transpose()
}

/// The one of this size.
pub(crate) async fn of_size(
    client: &Client,
    log: &TrustedLog,
    size: Size,
) -> Result<Option<Kept>, Fault> {
    let row = client.query_opt(OF_SIZE, &[&number(size)]).await?;
    row.map(|row| kept(&row, log)).transpose()
}

/// Keeps a new one.
pub(crate) async fn keep(client: &Client, end: LogEnd, note: &SignedNote) -> Result<(), Error> {
    let size = number(end.head.size);
    let LogEnd {
        events,
        outcomes,
        sealed_at_micros,
        ..
    } = end;
    let note = note.to_string();
    client
        .execute(
            INSERT,
            &[&size, &events, &outcomes, &sealed_at_micros, &note],
        )
        .await?;
    Ok(())
}

/// A size as the database has it. None gets to where it would not fit.
pub(crate) fn number(size: Size) -> i64 {
    i64::try_from(size.number()).unwrap_or(i64::MAX)
}

fn kept(row: &Row, log: &TrustedLog) -> Result<Kept, Fault> {
    let size: i64 = row.try_get("size")?;
    let (note, checkpoint) = opened(row.try_get("note")?, log).map_err(|error| {
        let source = Box::new(error);
        Altered::Checkpoint { size, source }
    })?;
    let end = LogEnd::of(&checkpoint).ok_or(Altered::Columns { size })?;
    let said = (number(end.head.size), end.events, end.outcomes);
    let beside = (size, row.try_get("events")?, row.try_get("outcomes")?);
    if said != beside || end.sealed_at_micros != row.try_get::<_, i64>("sealed_at")? {
        return Err(Altered::Columns { size }.into());
    }
    Ok(Kept {
        note,
        checkpoint,
        end,
    })
}

fn opened(note: &str, log: &TrustedLog) -> Result<(SignedNote, Checkpoint), OpenCheckpointError> {
    let note = SignedNote::parse(note)?;
    let checkpoint = log.open(&note)?;
    Ok((note, checkpoint))
}
