//! Taking a build away from its runners for a moment, so that it stands still.

use std::sync::Arc;
use std::time::{Duration, Instant};

use folio_core::Position;
use folio_postgres::{Transaction, commit};
use tokio_postgres::Client;

use crate::build::{BuildState, ModelError};
use crate::lease::{Lease, Terms, checkpoint, ms};
use crate::name::{BuildName, PartitionName};
use crate::operations::OperationError;
use crate::shared::Shared;

// Whether somebody holds them or not. It waits for the batches that are under way.
const SEIZE: &str = "UPDATE projections.checkpoints c \
     SET epoch = c.epoch + 1, owner = 'operator', \
         held_until = now() + $3 * interval '1 millisecond' \
     FROM projections.builds b \
     WHERE b.projection = c.projection AND b.build = c.build \
       AND c.projection = $1 AND c.build = $2 \
       AND ($4 OR NOT (coalesce(c.owner, '') = 'operator' AND c.held_until > now())) \
     RETURNING c.partition, c.epoch, c.store_id, c.position, c.event_hash, b.state, b.effects_done";
// A question of its own, after the leases were taken: taking them may have waited for somebody who paused the build.
const FOUND: &str = "SELECT partitions, paused_at IS NOT NULL FROM projections.builds \
     WHERE projection = $1 AND build = $2";
const EPOCHS: &str = "SELECT partition, epoch FROM projections.checkpoints \
     WHERE projection = $1 AND build = $2 FOR UPDATE";
const RELEASE: &str = "UPDATE projections.checkpoints SET held_until = '-infinity' \
     WHERE projection = $1 AND build = $2 AND partition = $3 AND epoch = $4";

/// Longer than any operation should take, and short enough to wait for after a crash.
const TERM: Duration = Duration::from_secs(30);

/// The leases of all partitions of a build.
pub(crate) struct Seized {
    pub(crate) build: BuildName,
    /// In order.
    pub(crate) partitions: Vec<SeizedPartition>,
    is_paused: bool,
}

pub(crate) struct SeizedPartition {
    pub(crate) number: u16,
    epoch: i64,
    pub(crate) terms: Terms,
}

impl SeizedPartition {
    pub(crate) fn position(&self) -> Position {
        let at = self.terms.checkpoint;
        at.map_or(Position::START, |at| at.position)
    }
}

/// From whom leases are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenFrom {
    /// From whoever holds them. A person may go on where another one, or they themselves, broke off; who is under way is told.
    Anybody,
    /// From runners, and not from an operation that is under way: it is nobody's wish.
    Runners,
}

/// Takes all leases of a build.
pub(crate) async fn seize(
    shared: &Arc<Shared>,
    build: &BuildName,
    from: TakenFrom,
) -> Result<Seized, OperationError> {
    let client = shared.models.get().await.map_err(ModelError::Pool)?;
    let transaction = Transaction::begin(client, "").await?;
    let rows = transaction
        .query(
            SEIZE,
            &[
                &build.projection,
                &build.build,
                &ms(TERM),
                &(from == TakenFrom::Anybody),
            ],
        )
        .await?;
    let mut partitions = Vec::new();
    for row in &rows {
        let number: i16 = row.try_get(0)?;
        partitions.push(SeizedPartition {
            number: u16::try_from(number).unwrap_or(0),
            epoch: row.try_get(1)?,
            terms: Terms {
                checkpoint: checkpoint(row, 2)?,
                state: BuildState::of(row.try_get(5)?),
                effects_done: row.try_get(6)?,
                events_per_second: None,
            },
        });
    }
    let found = transaction
        .query_opt(FOUND, &[&build.projection, &build.build])
        .await?;
    let Some(found) = found else {
        return Err(OperationError::NoBuild {
            build: build.clone(),
        });
    };
    let (size, is_paused): (i16, bool) = (found.try_get(0)?, found.try_get(1)?);
    if usize::try_from(size) != Ok(partitions.len()) {
        transaction.rollback().await?;
        return Err(OperationError::UnderWay {
            build: build.clone(),
            term: TERM,
        });
    }
    commit(transaction).await?;
    partitions.sort_by_key(|partition| partition.number);
    Ok(Seized {
        build: build.clone(),
        partitions,
        is_paused,
    })
}

impl Seized {
    /// Refuses to go on where nobody may write the build. A pause that comes later takes the leases.
    pub(crate) fn may_be_written(&self) -> Result<(), OperationError> {
        if self.is_paused {
            return Err(OperationError::Paused {
                build: self.build.clone(),
            });
        }
        Ok(())
    }

    /// The position of the partition that has come least far.
    pub(crate) fn lowest(&self) -> Position {
        let positions = self.partitions.iter().map(SeizedPartition::position);
        positions.min().unwrap_or(Position::START)
    }

    /// The position of the partition that has come furthest.
    pub(crate) fn highest(&self) -> Position {
        let positions = self.partitions.iter().map(SeizedPartition::position);
        positions.max().unwrap_or(Position::START)
    }

    /// The positions of all partitions, in order.
    pub(crate) fn positions(&self) -> Vec<i64> {
        let positions = self.partitions.iter();
        positions.map(|p| p.position().number()).collect()
    }

    /// One of the leases, to write under.
    pub(crate) fn lease(&self, name: PartitionName, partition: &SeizedPartition) -> Lease {
        Lease {
            name,
            epoch: partition.epoch,
            term: TERM,
            renewed: Instant::now(),
        }
    }

    /// Locks the rows of the leases, and makes sure that they are still these.
    pub(crate) async fn verify(&self, client: &Client) -> Result<(), OperationError> {
        let rows = client
            .query(EPOCHS, &[&self.build.projection, &self.build.build])
            .await?;
        let mut found = Vec::new();
        for row in &rows {
            let number: i16 = row.try_get(0)?;
            let epoch: i64 = row.try_get(1)?;
            found.push((u16::try_from(number).unwrap_or(0), epoch));
        }
        found.sort_unstable();
        let ours = self.partitions.iter().map(|p| (p.number, p.epoch));
        if ours.eq(found) {
            Ok(())
        } else {
            Err(OperationError::Interrupted {
                build: self.build.clone(),
            })
        }
    }

    /// Gives the leases back. Where that fails, they run out.
    pub(crate) async fn release(&self, shared: &Shared) {
        let Ok(mut client) = shared.models.get().await else {
            return;
        };
        for partition in &self.partitions {
            let number = i16::try_from(partition.number).unwrap_or(i16::MAX);
            let (projection, build) = (&self.build.projection, &self.build.build);
            let released = client
                .execute(RELEASE, &[projection, build, &number, &partition.epoch])
                .await;
            if released.is_err() {
                return;
            }
        }
        client.finished();
    }
}
