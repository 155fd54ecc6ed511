//! Reads proofs.

use std::collections::BTreeSet;

use folio_core::{BatchSize, CommandId, Position, StreamId, Version};
use folio_postgres::{Database, Pool, PoolError, Role, Transaction};
use folio_proofs::map::{MapProof, StreamKey};
use folio_proofs::merkle::{
    ConsistencyPlan, ConsistencyProof, InclusionPlan, InclusionProof, Size,
};
use folio_proofs::note::SignedNote;
use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::altered::Altered;
use crate::checkpoints::{self, Kept};
use crate::error::{Fault, ProveError};
use crate::map::StreamMap;
use crate::past_map;
use crate::rows::{StoredEvent, StoredOutcome};
use crate::tiles;
use crate::trusted::TrustedLog;

// All of one proof is read as it was at one moment.
const OPENING: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
// Where the seal began that a position is in. Its events come first.
const LEAF: &str = "SELECT coalesce( \
         (SELECT size - events FROM audit.checkpoints WHERE events < $1 \
          ORDER BY events DESC, size DESC LIMIT 1), 0) + $1 - 1";
const EVENTS: &str = "SELECT e.position, e.version, e.recorded_at, e.event_id, e.command_id, \
         e.command_events, e.schema_version, e.category, e.stream_id, e.event_type, \
         e.fingerprint, e.payload, e.metadata, \
         coalesce(before.offset_by, 0) + e.position - 1 AS leaf \
     FROM store.events e LEFT JOIN LATERAL ( \
         SELECT size - events AS offset_by FROM audit.checkpoints WHERE events < e.position \
         ORDER BY events DESC, size DESC LIMIT 1) before ON true \
     WHERE e.category = $1 AND e.stream_id = $2 AND e.version > $3 AND e.position <= $4 \
     ORDER BY e.version LIMIT $5";
const EVENT: &str = "SELECT position, version, recorded_at, event_id, command_id, command_events, \
         schema_version, category, stream_id, event_type, fingerprint, payload, metadata \
     FROM store.events WHERE position = $1";
// The outcomes of a seal are its last leaves. Their numbers have gaps, so they are counted.
const OUTCOME: &str = "SELECT o.number, o.command_id, o.recorded_at, o.fingerprint, o.refusal, \
         o.metadata, \
         sealed.size - (SELECT count(*) FROM store.outcomes later \
                        WHERE later.number BETWEEN o.number AND sealed.outcomes) AS leaf \
     FROM store.outcomes o CROSS JOIN LATERAL ( \
         SELECT size, outcomes FROM audit.checkpoints WHERE outcomes >= o.number \
         ORDER BY outcomes, size LIMIT 1) sealed \
     WHERE o.command_id = $1";

/// Proves what is in a sealed store. It reads, and waits for nobody.
#[derive(Debug)]
pub struct Prover {
    log: TrustedLog,
    readers: Pool,
    map: Mutex<Option<StreamMap>>,
}

/// A row of the store, and what shows that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven<T> {
    /// The row.
    pub row: T,
    /// That it is in the log, at the size that was asked for.
    pub inclusion: InclusionProof,
}

impl Prover {
    /// Proves what is in the store of this database, by checkpoints of `log`. No connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn open(
        database: &Database,
        log: TrustedLog,
        connections: usize,
    ) -> Result<Self, PoolError> {
        Ok(Self {
            log,
            readers: database.pool(Role::Auditor, connections)?,
            map: Mutex::default(),
        })
    }

    /// Whose checkpoints it goes by.
    #[must_use]
    pub const fn log(&self) -> &TrustedLog {
        &self.log
    }

    /// The last checkpoint, if anything was sealed.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn checkpoint_latest(&self) -> Result<Option<SignedNote>, ProveError> {
        let snapshot = self.snapshot().await?;
        let last = checkpoints::last(&snapshot, &self.log).await?;
        snapshot.rollback().await?;
        Ok(last.map(|kept| kept.note))
    }

    /// The last checkpoint, and the leaves of the log then.
    ///
    /// # Errors
    ///
    /// [`ProveError`], also when nothing was sealed yet.
    pub async fn end(&self) -> Result<(SignedNote, Size), ProveError> {
        let snapshot = self.snapshot().await?;
        let last = self.last(&snapshot).await?;
        snapshot.rollback().await?;
        Ok((last.note, last.end.head.size))
    }

    /// The checkpoint of this size.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn checkpoint_of_size(&self, size: Size) -> Result<SignedNote, ProveError> {
        let snapshot = self.snapshot().await?;
        let kept = self.of_size(&snapshot, size).await?;
        snapshot.rollback().await?;
        Ok(kept.note)
    }

    /// Which leaf of the log the event at this position is.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn leaf_of_position(&self, position: Position) -> Result<u64, ProveError> {
        let snapshot = self.snapshot().await?;
        let last = self.last(&snapshot).await?;
        let leaf = leaf_of(&snapshot, position, &last).await?;
        snapshot.rollback().await?;
        Ok(leaf)
    }

    /// That the event at this position is in the log of the last checkpoint.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn inclusion(
        &self,
        position: Position,
    ) -> Result<(InclusionProof, SignedNote), ProveError> {
        let snapshot = self.snapshot().await?;
        let last = self.last(&snapshot).await?;
        let leaf = leaf_of(&snapshot, position, &last).await?;
        let proof = inclusions(&snapshot, vec![(leaf, ())], last.end.head.size).await?;
        snapshot.rollback().await?;
        let proof = proof.into_iter().next().ok_or(ProveError::NothingSealed)?;
        Ok((proof.inclusion, last.note))
    }

    /// The event at this position, and that it is in the log of the last checkpoint.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn event(
        &self,
        position: Position,
    ) -> Result<(Proven<StoredEvent>, SignedNote), ProveError> {
        let snapshot = self.snapshot().await?;
        let last = self.last(&snapshot).await?;
        let leaf = leaf_of(&snapshot, position, &last).await?;
        let row = snapshot.query_opt(EVENT, &[&position.number()]).await?;
        let row = row.ok_or(Altered::MissingEvent { position })?;
        let event = StoredEvent::of(&row)?;
        let size = last.end.head.size;
        let proven = inclusions(&snapshot, vec![(leaf, event)], size).await?;
        snapshot.rollback().await?;
        let proven = proven.into_iter().next();
        Ok((proven.ok_or(ProveError::NothingSealed)?, last.note))
    }

    /// The outcome of a command that has caused no event, such as a refusal, and that it is in the log of the last checkpoint.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn outcome(
        &self,
        command: CommandId,
    ) -> Result<(Proven<StoredOutcome>, SignedNote), ProveError> {
        let snapshot = self.snapshot().await?;
        let last = self.last(&snapshot).await?;
        let row = snapshot.query_opt(OUTCOME, &[&command.as_uuid()]).await?;
        let row = row.ok_or(ProveError::NoOutcome { command })?;
        let size = last.end.head.size;
        let leaf = leaf(row.try_get("leaf")?, size)?;
        let outcome = StoredOutcome::of(&row)?;
        let proven = inclusions(&snapshot, vec![(leaf, outcome)], size).await?;
        snapshot.rollback().await?;
        let proven = proven.into_iter().next();
        Ok((proven.ok_or(ProveError::NoOutcome { command })?, last.note))
    }

    /// The events of a stream with versions above `after`, and that they are in the log of this checkpoint. Those that
    /// came later are not among them.
    ///
    /// # Errors
    ///
    /// [`ProveError`], also when there is no checkpoint of this size.
    pub async fn events_of_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: BatchSize,
        checkpoint: Size,
    ) -> Result<Vec<Proven<StoredEvent>>, ProveError> {
        let snapshot = self.snapshot().await?;
        let end = self.of_size(&snapshot, checkpoint).await?.end;
        let (category, id) = (stream.category(), stream.id());
        let (after, limit) = (after.number(), limit.events());
        let rows = snapshot
            .query(EVENTS, &[&category, &id, &after, &end.events, &limit])
            .await?;
        let mut events = Vec::new();
        for row in rows {
            let leaf = leaf(row.try_get("leaf")?, checkpoint)?;
            events.push((leaf, StoredEvent::of(&row)?));
        }
        let proven = inclusions(&snapshot, events, checkpoint).await?;
        snapshot.rollback().await?;
        Ok(proven)
    }

    /// That the log of one size begins with that of the other. Any sizes up to the last checkpoint's will do.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn consistency(&self, from: Size, to: Size) -> Result<ConsistencyProof, ProveError> {
        let plan = ConsistencyPlan::new(from, to)?;
        let snapshot = self.snapshot().await?;
        let last = self.last(&snapshot).await?;
        if to > last.end.head.size {
            return Err(ProveError::NoCheckpoint { size: to });
        }
        let tiles = tiles::read(&snapshot, &plan.tiles()).await?;
        let proof = plan.prove(&tiles).map_err(Altered::from)?;
        snapshot.rollback().await?;
        Ok(proof)
    }

    /// Where a stream ended at the last checkpoint, or that there was none.
    ///
    /// The first one reads the whole map, which is kept; later ones read what has changed.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn map_proof(&self, stream: &StreamId) -> Result<(MapProof, SignedNote), ProveError> {
        let (proof, last) = self.map_and_end(stream).await?;
        Ok((proof, last.note))
    }

    /// The same, with the checkpoint that it is of.
    pub(crate) async fn map_and_end(
        &self,
        stream: &StreamId,
    ) -> Result<(MapProof, Kept), ProveError> {
        // Before the moment at which all is read: what is known is never newer than that.
        let mut known = self.map.lock().await;
        let snapshot = self.snapshot().await?;
        let last = self.last(&snapshot).await?;
        let mut map = StreamMap::read(&snapshot, known.take(), last.end).await?;
        let bucket = StreamKey::of(stream.category(), stream.id()).bucket();
        let proof = map.prove(&snapshot, bucket).await?;
        *known = Some(map);
        snapshot.rollback().await?;
        Ok((proof, last))
    }

    /// The same, as it was at the checkpoint of this size.
    pub(crate) async fn past_map_and_end(
        &self,
        stream: &StreamId,
        checkpoint: Size,
    ) -> Result<(MapProof, Kept), ProveError> {
        let snapshot = self.snapshot().await?;
        let kept = self.of_size(&snapshot, checkpoint).await?;
        let bucket = StreamKey::of(stream.category(), stream.id()).bucket();
        let proof = past_map::prove(&snapshot, &kept.end, bucket).await?;
        snapshot.rollback().await?;
        Ok((proof, kept))
    }

    async fn snapshot(&self) -> Result<Transaction, ProveError> {
        let connection = self.readers.get().await;
        let connection = connection.map_err(|error| ProveError::Unavailable(error.into()))?;
        Ok(Transaction::begin(connection, OPENING).await?)
    }

    async fn last(&self, client: &Client) -> Result<Kept, ProveError> {
        let last = checkpoints::last(client, &self.log).await?;
        last.ok_or(ProveError::NothingSealed)
    }

    async fn of_size(&self, client: &Client, size: Size) -> Result<Kept, ProveError> {
        let kept = checkpoints::of_size(client, &self.log, size).await?;
        kept.ok_or(ProveError::NoCheckpoint { size })
    }
}

async fn leaf_of(client: &Client, position: Position, last: &Kept) -> Result<u64, ProveError> {
    let sealed = Position::START.plus(last.end.events);
    if position == Position::START || position > sealed {
        return Err(ProveError::NotSealed { position, sealed });
    }
    let row = client.query_one(LEAF, &[&position.number()]).await?;
    Ok(leaf(row.try_get(0)?, last.end.head.size)?)
}

fn leaf(number: i64, size: Size) -> Result<u64, Altered> {
    let leaf = u64::try_from(number).ok();
    leaf.filter(|leaf| *leaf < size.number())
        .ok_or(Altered::OutsideLog { leaf: number, size })
}

/// That these leaves are in the log of this size. The tiles of all of them are read at once.
async fn inclusions<T>(
    client: &Client,
    leaves: Vec<(u64, T)>,
    size: Size,
) -> Result<Vec<Proven<T>>, Fault> {
    let mut plans = Vec::with_capacity(leaves.len());
    for (leaf, row) in leaves {
        let plan = InclusionPlan::new(leaf, size).map_err(|_| Altered::OutsideLog {
            leaf: i64::try_from(leaf).unwrap_or(i64::MAX),
            size,
        })?;
        plans.push((plan, row));
    }
    let needed: BTreeSet<_> = plans.iter().flat_map(|(plan, _)| plan.tiles()).collect();
    let needed: Vec<_> = needed.into_iter().collect();
    let tiles = tiles::read(client, &needed).await?;
    let prove = |(plan, row): (InclusionPlan, T)| {
        let inclusion = plan.prove(&tiles)?;
        Ok(Proven { row, inclusion })
    };
    let proven: Result<_, _> = plans.into_iter().map(prove).collect();
    proven.map_err(|error| Altered::Tile(error).into())
}
