//! Who may write a partition of a build, and from where: the row of its checkpoint, with its lease.
//!
//! The lease does not stop a runner that has slept through the end of its own: it may wake up in the
//! middle of its work and know nothing of it. What stops it is the epoch, which is compared by the
//! statement that moves the checkpoint, the first one of each transaction that writes. The row stays
//! locked by it, so nobody takes the lease over before that transaction has ended.
//!
//! The epoch is also how the runners of a build are called when something about it changes: whoever
//! pauses it, makes it live or shares it out anew counts the epochs up, and its runners come back to
//! read what has become of it.

use std::time::{Duration, Instant};

use deadpool_postgres::ClientWrapper;
use folio_core::{Checkpoint, EventHash, Position, StoreId};
use tokio_postgres::{Error, Row};

use crate::build::BuildState;
use crate::name::PartitionName;

const TAKE: &str = "UPDATE projections.checkpoints \
     SET epoch = epoch + 1, owner = $4, held_until = now() + $5 * interval '1 millisecond' \
     WHERE projection = $1 AND build = $2 AND partition = $3 AND held_until < now() \
       AND EXISTS (SELECT FROM projections.builds \
                   WHERE projection = $1 AND build = $2 AND partitions = $6 \
                     AND paused_at IS NULL) \
     RETURNING epoch, store_id, position, event_hash";
// A question of its own, after the lease was taken: taking it may have waited for somebody who was
// changing the build, and have looked at the build as it was before.
const TERMS: &str = "SELECT state, effects_done, events_per_second FROM projections.builds \
     WHERE projection = $1 AND build = $2 AND partitions = $3 AND paused_at IS NULL";
const LOOK: &str = "SELECT c.position, b.paused_at IS NOT NULL, b.partitions = $4 \
     FROM projections.builds b JOIN projections.checkpoints c USING (projection, build) \
     WHERE b.projection = $1 AND b.build = $2 AND c.partition = $3";
const RENEW: &str = "UPDATE projections.checkpoints \
     SET held_until = now() + $5 * interval '1 millisecond' \
     WHERE projection = $1 AND build = $2 AND partition = $3 AND epoch = $4";
const RELEASE: &str = "UPDATE projections.checkpoints SET held_until = '-infinity' \
     WHERE projection = $1 AND build = $2 AND partition = $3 AND epoch = $4";

/// The right to write a partition, until somebody else takes it over.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) name: PartitionName,
    pub(crate) epoch: i64,
    pub(crate) term: Duration,
    pub(crate) renewed: Instant,
}

/// What a runner has to know of its build.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    /// None before the first event, when the store is not known yet.
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) state: BuildState,
    /// How far effects were written before this build was live, by the partitions of those days.
    pub(crate) effects_done: Vec<i64>,
    pub(crate) events_per_second: Option<u32>,
}

/// How a partition is that somebody else writes, or nobody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// Its lease is held, or was just given back.
    Held(Position),
    /// It is paused.
    Paused(Position),
    /// There is no such partition any more.
    Gone,
}

impl Lease {
    /// Takes the lease, unless somebody holds it or nobody may.
    pub(crate) async fn take(
        client: &ClientWrapper,
        name: &PartitionName,
        term: Duration,
    ) -> Result<Option<(Self, Terms)>, Error> {
        let (projection, build) = (name.build.projection.as_str(), name.build.build);
        let owner = format!("process {}", std::process::id());
        let of = i16::try_from(name.member.of()).unwrap_or(i16::MAX);
        // Before it is asked for: what is counted here ends sooner than what the server counts.
        let renewed = Instant::now();
        let statement = client.prepare_cached(TAKE).await?;
        let taken = client
            .query_opt(
                &statement,
                &[&projection, &build, &name.number(), &owner, &ms(term), &of],
            )
            .await?;
        let Some(taken) = taken else { return Ok(None) };
        let lease = Self {
            name: name.clone(),
            epoch: taken.try_get(0)?,
            term,
            renewed,
        };
        let statement = client.prepare_cached(TERMS).await?;
        let terms = client
            .query_opt(&statement, &[&projection, &build, &of])
            .await?;
        let Some(terms) = terms else {
            lease.release(client).await?;
            return Ok(None);
        };
        let rate: Option<i32> = terms.try_get(2)?;
        let terms = Terms {
            checkpoint: checkpoint(&taken, 1)?,
            state: BuildState::of(terms.try_get(0)?),
            effects_done: terms.try_get(1)?,
            events_per_second: rate.and_then(|rate| u32::try_from(rate).ok()),
        };
        Ok(Some((lease, terms)))
    }

    /// Why it could not be taken.
    pub(crate) async fn look(
        client: &ClientWrapper,
        name: &PartitionName,
    ) -> Result<Elsewhere, Error> {
        let of = i16::try_from(name.member.of()).unwrap_or(i16::MAX);
        let row = client
            .query_opt(
                LOOK,
                &[
                    &name.build.projection,
                    &name.build.build,
                    &name.number(),
                    &of,
                ],
            )
            .await?;
        let Some(row) = row else {
            return Ok(Elsewhere::Gone);
        };
        let position = Position::START.plus(row.try_get(0)?);
        Ok(match (row.try_get(1)?, row.try_get(2)?) {
            (_, false) => Elsewhere::Gone,
            (true, true) => Elsewhere::Paused(position),
            (false, true) => Elsewhere::Held(position),
        })
    }

    /// Makes it last from now on. False when somebody else has it now.
    pub(crate) async fn renew(&mut self, client: &ClientWrapper) -> Result<bool, Error> {
        let renewed = Instant::now();
        let (projection, build) = (&self.name.build.projection, self.name.build.build);
        let rows = client
            .execute(
                RENEW,
                &[
                    projection,
                    &build,
                    &self.name.number(),
                    &self.epoch,
                    &ms(self.term),
                ],
            )
            .await?;
        self.renewed = renewed;
        Ok(rows == 1)
    }

    /// Whether it is time to renew it.
    pub(crate) fn is_due(&self) -> bool {
        self.renewed.elapsed() >= self.term / 3
    }

    /// Lets somebody else take it at once.
    pub(crate) async fn release(&self, client: &ClientWrapper) -> Result<(), Error> {
        let (projection, build) = (&self.name.build.projection, self.name.build.build);
        client
            .execute(
                RELEASE,
                &[projection, &build, &self.name.number(), &self.epoch],
            )
            .await?;
        Ok(())
    }
}

/// The checkpoint in three columns from `first` on; none where the store is not known yet.
pub(crate) fn checkpoint(row: &Row, first: usize) -> Result<Option<Checkpoint>, Error> {
    let store_id: Option<uuid::Uuid> = row.try_get(first)?;
    let position: i64 = row.try_get(first.saturating_add(1))?;
    let hash: Option<&[u8]> = row.try_get(first.saturating_add(2))?;
    Ok(store_id.map(|store_id| Checkpoint {
        store_id: StoreId::from_uuid(store_id),
        position: Position::START.plus(position),
        event: hash
            .and_then(EventHash::from_slice)
            .unwrap_or(EventHash::NONE),
    }))
}

/// Milliseconds, as the factor of an interval.
pub(crate) fn ms(term: Duration) -> f64 {
    f64::from(u32::try_from(term.as_millis()).unwrap_or(u32::MAX))
}
