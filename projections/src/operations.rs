//! What people do with a projection.

use std::time::Duration;

use folio_core::filter::Member;
use folio_core::{Actor, Checkpoint, Position, StreamId};
use folio_postgres::{CommitError, Transaction, commit};
use thiserror::Error;
use tokio_postgres::Client;

use crate::build::{Build, BuildState, ModelError, builds};
use crate::create::{Begun, CreateError, Filling, begin_build, check_partitions, remove};
use crate::dead_letters::{DeadLetter, DeadLetterError, dead_letters, retry, skip};
use crate::name::{BuildName, PartitionName};
use crate::projection::{Projection, live};
use crate::projector::ProjectorError;
use crate::runner::{Runner, RunnerError};
use crate::seize::{Seized, TakenFrom, seize};
use crate::taken::{forget, share_out};

const RECORD: &str = "INSERT INTO projections.operations \
     (projection, build, operation, actor, detail) VALUES ($1, $2, $3, $4, $5)";
const LOCK_BUILDS: &str =
    "SELECT FROM projections.builds WHERE projection = $1 ORDER BY build FOR UPDATE";
const LOWEST: &str = "SELECT min(position) FROM \
     (SELECT position FROM projections.checkpoints WHERE projection = $1 AND build = $2 FOR UPDATE) c";
const SET_KEPT: &str =
    "UPDATE projections.builds SET state = 'kept' WHERE projection = $1 AND state = 'live'";
const SET_LIVE: &str = "UPDATE projections.builds \
     SET state = 'live', live_since = now(), effects_done = $3 WHERE projection = $1 AND build = $2";
// Whoever is called by this comes back for the lease, and reads what has changed.
const CALL: &str = "UPDATE projections.checkpoints SET epoch = epoch + 1, held_until = '-infinity' \
     WHERE projection = $1 AND ($2::integer IS NULL OR build = $2)";
const PAUSE: &str = "UPDATE projections.builds \
     SET paused_by = $2, pause_reason = $3, paused_at = now() WHERE projection = $1";
const RESUME: &str = "UPDATE projections.builds \
     SET paused_by = NULL, pause_reason = NULL, paused_at = NULL, resumed = resumed + 1 \
     WHERE projection = $1";
const REMOVE_PARTITIONS: &str =
    "DELETE FROM projections.checkpoints WHERE projection = $1 AND build = $2";
const PUT_PARTITIONS: &str = "INSERT INTO projections.checkpoints \
     (projection, build, partition, store_id, position, event_hash) \
     SELECT $1, $2, number, $4, $5, $6 FROM generate_series(0, $3::integer - 1) number";
const SET_PARTITIONS: &str = "UPDATE projections.builds SET partitions = $3 \
     WHERE projection = $1 AND build = $2";
const RESET_CHECKPOINTS: &str = "UPDATE projections.checkpoints \
     SET position = 0, event_hash = NULL, store_id = NULL, epoch = epoch + 1, \
         held_until = '-infinity' WHERE projection = $1 AND build = $2";
const RESET_LETTERS: &str =
    "DELETE FROM projections.dead_letters WHERE projection = $1 AND build = $2";

/// Longest wait for a build to come to where the live one is stopped for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// # Operations
///
/// Whatever is done here is recorded in `projections.operations`, with who has done it.
impl Projection {
    /// Begins a build beside the live one, or goes on with one of this revision that was begun.
    /// Whoever [runs](Self::run) the projection fills it; [`swap`](Self::swap) makes it live.
    ///
    /// # Errors
    ///
    /// [`CreateError`].
    pub async fn rebuild(&self, filling: Filling, by: &Actor) -> Result<Begun, CreateError> {
        begin_build(&*self.shared.projector, &self.database, filling, by).await
    }

    /// Lets a build that is being filled begin again, from the first event.
    ///
    /// # Errors
    ///
    /// [`OperationError`]; only a build in the state [`Building`](BuildState::Building) can.
    pub async fn restart(&self, build: i32, by: &Actor) -> Result<(), OperationError> {
        let name = self.build_name(build);
        let transaction = self.begin(&self.shared.opening(&name)).await?;
        // Before it is looked at, so that nobody makes it live meanwhile.
        transaction.query(LOCK_BUILDS, &[&name.projection]).await?;
        let found = self.find(&transaction, build).await?;
        if found.state != BuildState::Building {
            return Err(OperationError::NotBuilding { build: name });
        }
        let (projection, number) = (&name.projection, &name.build);
        // First of all, so that no runner is in the middle of a batch.
        transaction
            .execute(RESET_CHECKPOINTS, &[projection, number])
            .await?;
        transaction
            .execute(RESET_LETTERS, &[projection, number])
            .await?;
        forget(&transaction, &name).await?;
        let size = i16::try_from(found.size()).unwrap_or(i16::MAX);
        share_out(&transaction, &name, 0, size).await?;
        let mut model = crate::model::ModelTransaction { transaction };
        self.shared.projector.reset(&mut model).await?;
        record(&model, &name, "restart", by, "from the first event").await?;
        Ok(commit(model.transaction).await?)
    }

    /// Makes a build live that has come as far as the live one, which is kept. Readers see the one
    /// model or the other, never a mixture; each effect is written once.
    ///
    /// The live build stands still for the moment that this takes.
    ///
    /// # Errors
    ///
    /// [`OperationError`]; then the live build is still live.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves one of the two live; the live build may stand still until a lease
    /// has run out.
    pub async fn swap(&self, build: i32, by: &Actor) -> Result<(), OperationError> {
        self.swap_from(TakenFrom::Anybody, build, by).await
    }

    pub(crate) async fn swap_from(
        &self,
        from: TakenFrom,
        build: i32,
        by: &Actor,
    ) -> Result<(), OperationError> {
        let all = self.builds().await?;
        let (Some(live), Some(next)) = (live(&all), named(&all, build)) else {
            return Err(OperationError::NoBuild {
                build: self.build_name(build),
            });
        };
        if live.name == next.name {
            return Ok(());
        }
        if next.pause.is_some() {
            return Err(OperationError::Paused {
                build: next.name.clone(),
            });
        }
        if next.dead_letters > live.dead_letters {
            return Err(OperationError::DeadLetters {
                build: next.name.clone(),
                count: next.dead_letters,
            });
        }
        // Else a third build would have to know of effects from two before it.
        let settled = live.effects_done.iter().max().copied().unwrap_or(0);
        if live.position().number() < settled {
            return Err(OperationError::NotFilled {
                build: live.name.clone(),
                position: live.position(),
                wanted: Position::START.plus(settled),
            });
        }
        // Before the live one stands still: one that nobody fills, or that is stuck, would have it stand still for nothing.
        self.wait_until_filled(&next.name, live.position()).await?;
        let seized = seize(&self.shared, &live.name, from).await?;
        let swapped = self.swap_seized(&seized, &next.name, by).await;
        if swapped.is_err() {
            seized.release(&self.shared).await;
        }
        swapped
    }

    /// Makes the build live again that was live before.
    ///
    /// # Errors
    ///
    /// As [`swap`](Self::swap); [`OperationError::NothingKept`] when there is none.
    pub async fn roll_back(&self, by: &Actor) -> Result<BuildName, OperationError> {
        let builds = self.builds().await?;
        let kept = builds.iter().rev().find(|b| b.state == BuildState::Kept);
        let Some(kept) = kept else {
            return Err(OperationError::NothingKept {
                projection: self.name().name,
            });
        };
        self.swap(kept.name.build, by).await?;
        Ok(kept.name.clone())
    }

    /// Removes a build that is not live, with its tables.
    ///
    /// # Errors
    ///
    /// [`CreateError`].
    pub async fn drop_build(&self, build: i32, by: &Actor) -> Result<(), CreateError> {
        remove(&self.database, &self.build_name(build), by).await
    }

    /// Has a build filled by another number of runners at once. Nothing is lost and nothing comes
    /// twice: its partitions are first brought to one position, by this process.
    ///
    /// # Errors
    ///
    /// [`OperationError`]; the build is shared out as before then.
    ///
    /// # Cancel safety
    ///
    /// As [`swap`](Self::swap).
    pub async fn repartition(
        &self,
        build: i32,
        partitions: u16,
        by: &Actor,
    ) -> Result<(), OperationError> {
        let size = check_partitions(&*self.shared.projector, partitions)?;
        let all = self.builds().await?;
        let Some(found) = named(&all, build) else {
            return Err(OperationError::NoBuild {
                build: self.build_name(build),
            });
        };
        let seized = seize(&self.shared, &found.name, TakenFrom::Anybody).await?;
        let done = self.repartition_seized(&seized, found, size, by).await;
        if done.is_err() {
            seized.release(&self.shared).await;
        }
        done
    }

    /// Lets nobody fill any build of it, neither its runners nor a person who
    /// [retries](Self::retry), [shares out](Self::repartition) or [swaps](Self::swap), until it is
    /// [resumed](Self::resume). When this returns, no batch is under way.
    ///
    /// # Errors
    ///
    /// [`OperationError`]; a reason is required.
    pub async fn pause(&self, by: &Actor, reason: &str) -> Result<(), OperationError> {
        if reason.trim().is_empty() {
            return Err(OperationError::NoReason);
        }
        let projection = self.name().name;
        let transaction = self.begin("").await?;
        transaction
            .execute(PAUSE, &[&projection, &by.name(), &reason])
            .await?;
        transaction
            .execute(CALL, &[&projection, &None::<i32>])
            .await?;
        self.record_of_live(&transaction, "pause", by, reason)
            .await?;
        Ok(commit(transaction).await?)
    }

    /// Lets it be written again, and starts again what has stopped for an error.
    ///
    /// # Errors
    ///
    /// [`OperationError`].
    pub async fn resume(&self, by: &Actor) -> Result<(), OperationError> {
        let projection = self.name().name;
        let transaction = self.begin("").await?;
        transaction.execute(RESUME, &[&projection]).await?;
        transaction
            .execute(CALL, &[&projection, &None::<i32>])
            .await?;
        self.record_of_live(&transaction, "resume", by, "").await?;
        Ok(commit(transaction).await?)
    }

    /// What a build could not take in, and what waits behind that, in position order.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError`].
    pub async fn dead_letters(&self, build: i32) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let pool = &self.shared.models;
        let mut client = pool.get().await.map_err(DeadLetterError::Pool)?;
        let letters = dead_letters(&***client, &self.build_name(build)).await?;
        client.finished();
        Ok(letters)
    }

    /// Takes in what is parked of a stream, in order, up to the first event that fails again. Answers
    /// how many were taken in. When it was all of them, the stream is parked no more.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError::StillFails`] names the event that failed again; those before it are in the
    /// model.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the letters as they were, or resolved.
    pub async fn retry(
        &self,
        build: i32,
        stream: &StreamId,
        by: &Actor,
    ) -> Result<usize, DeadLetterError> {
        retry(&self.shared, &self.build_name(build), stream, by).await
    }

    /// Passes an event over for good. Those behind it on its stream stay parked until they are
    /// [retried](Self::retry).
    ///
    /// # Errors
    ///
    /// [`DeadLetterError::NotParked`] when it is no open letter, [`DeadLetterError::NoReason`] when
    /// the reason is empty.
    pub async fn skip(
        &self,
        build: i32,
        position: Position,
        by: &Actor,
        reason: &str,
    ) -> Result<(), DeadLetterError> {
        skip(&self.shared, &self.build_name(build), position, by, reason).await
    }

    async fn swap_seized(
        &self,
        live: &Seized,
        next: &BuildName,
        by: &Actor,
    ) -> Result<(), OperationError> {
        live.may_be_written()?;
        let at = live.lowest();
        self.wait_until_filled(next, at).await?;
        let transaction = self.begin("").await?;
        let (projection, number) = (&next.projection, &next.build);
        transaction.query(LOCK_BUILDS, &[projection]).await?;
        live.verify(&transaction).await?;
        let lowest: Option<i64> = transaction
            .query_one(LOWEST, &[projection, number])
            .await?
            .try_get(0)?;
        let position = Position::START.plus(lowest.unwrap_or(0));
        if position < at {
            return Err(OperationError::NotFilled {
                build: next.clone(),
                position,
                wanted: at,
            });
        }
        transaction.execute(SET_KEPT, &[projection]).await?;
        transaction
            .execute(SET_LIVE, &[projection, number, &live.positions()])
            .await?;
        transaction
            .execute(CALL, &[projection, &None::<i32>])
            .await?;
        let what = format!("in place of build {}, at position {at}", live.build.build);
        record(&transaction, next, "swap", by, &what).await?;
        Ok(commit(transaction).await?)
    }

    async fn repartition_seized(
        &self,
        seized: &Seized,
        build: &Build,
        size: i16,
        by: &Actor,
    ) -> Result<(), OperationError> {
        seized.may_be_written()?;
        let at = self.level(seized, build).await?;
        let transaction = self.begin("").await?;
        let (projection, number) = (&build.name.projection, &build.name.build);
        transaction.query(LOCK_BUILDS, &[projection]).await?;
        seized.verify(&transaction).await?;
        transaction
            .execute(REMOVE_PARTITIONS, &[projection, number])
            .await?;
        let (store_id, position, hash) = (
            at.map(|at| at.store_id.as_uuid()),
            at.map_or(0, |at| at.position.number()),
            at.map(|at| at.event.as_bytes().to_vec()),
        );
        transaction
            .execute(
                PUT_PARTITIONS,
                &[
                    projection,
                    number,
                    &i32::from(size),
                    &store_id,
                    &position,
                    &hash,
                ],
            )
            .await?;
        transaction
            .execute(SET_PARTITIONS, &[projection, number, &size])
            .await?;
        share_out(&transaction, &build.name, position, size).await?;
        let what = format!(
            "from {} partitions to {size}, at position {position}",
            build.size()
        );
        record(&transaction, &build.name, "repartition", by, &what).await?;
        Ok(commit(transaction).await?)
    }

    /// Brings all partitions of a seized build to the position of the one that has come furthest.
    pub(crate) async fn level(
        &self,
        seized: &Seized,
        build: &Build,
    ) -> Result<Option<Checkpoint>, OperationError> {
        let furthest = seized.highest();
        let lags = |position: Position| position < furthest;
        if !seized
            .partitions
            .iter()
            .any(|partition| lags(partition.position()))
        {
            return Ok(seized
                .partitions
                .first()
                .and_then(|first| first.terms.checkpoint));
        }
        seized.may_be_written()?;
        if build.revision != self.name().revision {
            return Err(OperationError::OtherRevision {
                build: build.name.clone(),
                revision: build.revision,
            });
        }
        let mut at = None;
        for partition in &seized.partitions {
            let Some(member) = Member::new(partition.number, build.size()).ok() else {
                continue;
            };
            let name = PartitionName {
                build: build.name.clone(),
                member,
            };
            let lease = seized.lease(name.clone(), partition);
            let runner = Runner::new(self.shared.clone(), name);
            at = Some(runner.fill_to(lease, &partition.terms, furthest).await?);
        }
        Ok(at)
    }

    pub(crate) async fn wait_until_filled(
        &self,
        build: &BuildName,
        wanted: Position,
    ) -> Result<(), OperationError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let builds = self.builds().await?;
            let found = named(&builds, build.build);
            let position = found.map_or(Position::START, Build::position);
            if position >= wanted {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(OperationError::NotFilled {
                    build: build.clone(),
                    position,
                    wanted,
                });
            }
            tokio::time::sleep(self.shared.settings.poll.min(PATIENCE / 100)).await;
        }
    }

    pub(crate) async fn begin(&self, opening: &str) -> Result<Transaction, OperationError> {
        let client = self.shared.models.get().await.map_err(ModelError::Pool)?;
        Ok(Transaction::begin(client, opening).await?)
    }

    async fn find(&self, transaction: &Client, build: i32) -> Result<Build, OperationError> {
        let builds = builds(transaction, Some(self.name().name)).await?;
        let found = builds.into_iter().find(|found| found.name.build == build);
        found.ok_or_else(|| OperationError::NoBuild {
            build: self.build_name(build),
        })
    }

    async fn record_of_live(
        &self,
        client: &Client,
        operation: &str,
        by: &Actor,
        detail: &str,
    ) -> Result<(), OperationError> {
        let builds = builds(client, Some(self.name().name)).await?;
        let live = live(&builds).map_or_else(|| self.build_name(0), |live| live.name.clone());
        Ok(record(client, &live, operation, by, detail).await?)
    }

    pub(crate) fn build_name(&self, build: i32) -> BuildName {
        BuildName::new(self.name().name, build)
    }
}

/// Of a projection's builds, the one with this number.
pub(crate) fn named(builds: &[Build], build: i32) -> Option<&Build> {
    builds.iter().find(|found| found.name.build == build)
}

/// Writes down what was done to a build, in the transaction that does it.
pub(crate) async fn record(
    client: &Client,
    build: &BuildName,
    operation: &str,
    by: &Actor,
    detail: &str,
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            RECORD,
            &[
                &build.projection,
                &build.build,
                &operation,
                &by.name(),
                &detail,
            ],
        )
        .await?;
    Ok(())
}

/// Who does what nobody has asked for.
pub(crate) fn upgrader() -> Actor {
    Actor::new("program").unwrap_or_else(|_| Actor::anonymous())
}

/// Why an operation was not carried out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The models' database gave no answer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The models' database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The transaction did not commit, or it is not known whether it did.
    #[error("the transaction failed; list the builds to see what has become of it")]
    Commit(#[from] CommitError),
    /// A build could not be made as was asked.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// There is no such build.
    #[error("there is no {build}; list the builds to see which there are")]
    NoBuild {
        /// Its name.
        build: BuildName,
    },
    /// There is no build to go back to.
    #[error("no build of {projection} is kept to go back to")]
    NothingKept {
        /// The projection.
        projection: &'static str,
    },
    /// Only a build that is being filled can begin again.
    #[error("{build} is not being filled; rebuild the projection beside it")]
    NotBuilding {
        /// The build.
        build: BuildName,
    },
    /// A build is not where the live one is.
    #[error("{build} is at position {position} and did not come to {wanted} in time; is it run?")]
    NotFilled {
        /// The build.
        build: BuildName,
        /// Where it is.
        position: Position,
        /// Where it has to be.
        wanted: Position,
    },
    /// A build is paused.
    #[error("{build} is paused; resume it first")]
    Paused {
        /// The build.
        build: BuildName,
    },
    /// A build could not take in all that the live one has.
    #[error("{build} has {count} dead letters, more than the live one; retry or skip them first")]
    DeadLetters {
        /// The build.
        build: BuildName,
        /// How many.
        count: i64,
    },
    /// A build is of another revision, whose code this is not.
    #[error("{build} is of revision {revision}; let a program of that revision do it")]
    OtherRevision {
        /// The build.
        build: BuildName,
        /// Its revision.
        revision: i32,
    },
    /// Somebody has the build stand still.
    #[error("somebody is at work on {build}, or was broken off within the last {term:?}")]
    UnderWay {
        /// The build.
        build: BuildName,
        /// How long one that was broken off keeps it.
        term: Duration,
    },
    /// Somebody else has changed the build meanwhile.
    #[error("{build} was changed by somebody else meanwhile; try again")]
    Interrupted {
        /// The build.
        build: BuildName,
    },
    /// A partition could not be filled.
    #[error("a partition could not be brought to the position of the others")]
    Fill(#[from] RunnerError),
    /// The model could not be emptied.
    #[error("the model could not be emptied")]
    Reset(#[from] ProjectorError),
    /// Two builds could not be compared.
    #[error("the source cannot be read")]
    Read(#[from] folio_core::ReadError),
    /// Nobody could later tell why.
    #[error("to pause a projection takes a reason")]
    NoReason,
}
