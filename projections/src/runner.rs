//! Fills one partition of a build: first to catch up, then live.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use folio_core::filter::Member;
use folio_core::store::ReadError;
use folio_core::{Checkpoint, Filter, HistoryError, Position, RecordedEvent, error_chain};
use folio_postgres::{CommitError, commit};
use futures_util::future::{BoxFuture, join};
use thiserror::Error;
use tokio::sync::watch;

use crate::build::BuildState;
use crate::dead_letters::{park, parked_streams};
use crate::given::Given;
use crate::lease::{Elsewhere, Lease, Terms};
use crate::model::ModelTransaction;
use crate::name::PartitionName;
use crate::progress::Status;
use crate::projector::{ProjectorError, is_transient};
use crate::settings::Poison;
use crate::shared::Shared;
use crate::source::{checkpoint_at, verify};
use crate::taken::record;
use crate::tally::parked;

// Read for every batch of a build that is not live, and never by the live one.
const LIVE_POSITION: &str = "SELECT min(c.position) FROM projections.builds b \
     JOIN projections.checkpoints c USING (projection, build) \
     WHERE b.projection = $1 AND b.state = 'live'";

/// Fills one partition, for as long as it holds its lease.
pub(crate) struct Runner {
    shared: Arc<Shared>,
    name: PartitionName,
    filter: Filter,
    // Kept beside the future that works with it, so that a runner that is stopped can give it back.
    // The std mutex: it is never held across an await.
    lease: Mutex<Option<Lease>>,
    // A lease that is asked for. Kept here as well: a runner that is stopped before the answer is there
    // may have the lease all the same, and somebody has to hear of it to give it back.
    asked: tokio::sync::Mutex<Option<BoxFuture<'static, Asked>>>,
    // Whether streams of the build were parked when last looked at. Only a guess of how the next batch
    // is best begun; what it is written by is looked at in its own transaction.
    is_parking: AtomicBool,
}

/// How a runner ended that was not stopped.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its partition is no more.
    Gone,
    /// Trying again does not help.
    Failed,
}

/// What asking for a lease comes to.
type Asked = Result<Option<(Lease, Terms)>, RunnerError>;

/// What was read, and the checkpoint behind it.
struct Batch {
    given: Given,
    to: Checkpoint,
    /// Whether there is most likely more behind it.
    is_full: bool,
}

impl Runner {
    pub(crate) fn new(shared: Arc<Shared>, name: PartitionName) -> Self {
        let filter = shared.projector.wants().filter();
        let filter = if name.member.of() > 1 {
            filter.for_member(name.member)
        } else {
            filter
        };
        Self {
            shared,
            name,
            filter,
            lease: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
            is_parking: AtomicBool::default(),
        }
    }

    /// Fills the partition, or stands by while another runner does, until `stop` is true or its
    /// sender is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a batch is in the model with its checkpoint or not at all.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) -> Ended {
        let result = tokio::select! {
            result = self.follow() => result,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        self.give_back().await;
        let error = result.as_ref().err().map(|error| error_chain(error));
        match &error {
            Some(error) => {
                tracing::error!(partition = %self.name, error, "projection stopped");
            }
            None => tracing::debug!(partition = %self.name, "projection stopped"),
        }
        self.tell(Status::Stopped { error });
        result.map_or(Ended::Failed, |()| Ended::Gone)
    }

    /// Fills the partition up to `position` under a lease that somebody else has taken for it.
    pub(crate) async fn fill_to(
        &self,
        lease: Lease,
        terms: &Terms,
        position: Position,
    ) -> Result<Checkpoint, RunnerError> {
        self.hold(Some(lease));
        let mut at = self.start(terms).await?;
        while at.position < position {
            let batch = self.read(at, Some(position)).await?;
            if batch.to.position == at.position {
                return Err(RunnerError::Read(ReadError::Failed(
                    "the source ends before the position that was asked for".into(),
                )));
            }
            at = self.project(terms, at, &batch).await?;
        }
        Ok(at)
    }

    /// Ends when there is no such partition any more.
    async fn follow(&self) -> Result<(), RunnerError> {
        let mut failures = 0_u32;
        loop {
            match self.follow_until_failure(&mut failures).await {
                // Called by the epoch: what has become of the build is to be read anew.
                Err(RunnerError::Deposed { .. }) => {}
                Err(error) if error.is_transient() => {
                    let wait = self.shared.settings.backoff * 2_u32.saturating_pow(failures.min(5));
                    failures = failures.saturating_add(1);
                    let error = error_chain(&error);
                    tracing::warn!(partition = %self.name, error, ?wait, "projection waits to try again");
                    self.tell(Status::Retrying { error });
                    tokio::time::sleep(wait).await;
                }
                Err(error) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// `failures` goes back to 0 with every read that works.
    async fn follow_until_failure(&self, failures: &mut u32) -> Result<(), RunnerError> {
        let mut appended = self.shared.source.appended();
        let Some(terms) = self.lead(failures).await? else {
            return Ok(());
        };
        let source = &*self.shared.source;
        // Before each comparison: what is opened right after it was not compared with.
        let mut opened = source.connections_opened();
        let mut at = self.start(&terms).await?;
        loop {
            at = self
                .follow_until_reconnected(at, opened, &terms, &mut appended, failures)
                .await?;
            opened = source.connections_opened();
            verify(at, source).await?;
        }
    }

    /// Waits until this runner may write, and tells meanwhile how far the one that may has come.
    /// None when there is nothing to write any more.
    async fn lead(&self, failures: &mut u32) -> Result<Option<Terms>, RunnerError> {
        let settings = self.shared.settings;
        loop {
            // After a failure. It waits for a transaction of ours whose end was not seen, and does
            // nothing to a lease that is another's by now.
            if let Some(lease) = self.held() {
                let mut client = self.shared.models.get().await.map_err(RunnerError::Pool)?;
                lease.release(&client).await?;
                client.finished();
                self.hold(None);
            }
            if let Some((lease, terms)) = self.take().await? {
                self.hold(Some(lease));
                tracing::debug!(partition = %self.name, "partition taken over");
                return Ok(Some(terms));
            }
            let mut client = self.shared.models.get().await.map_err(RunnerError::Pool)?;
            let elsewhere = Lease::look(&client, &self.name).await?;
            client.finished();
            drop(client);
            *failures = 0;
            let (position, status) = match elsewhere {
                Elsewhere::Gone => return Ok(None),
                Elsewhere::Held(position) => (position, Status::Standby),
                Elsewhere::Paused(position) => (position, Status::Paused),
            };
            let (report, key) = (&self.shared.report, self.key());
            report.partition(key, Some(position), status);
            tokio::time::sleep(settings.poll.min(settings.lease / 3)).await;
        }
    }

    /// Takes the lease, unless somebody holds it or nobody may.
    async fn take(&self) -> Asked {
        let mut asked = self.asked.lock().await;
        let (shared, name) = (Arc::clone(&self.shared), self.name.clone());
        let answer = asked.insert(Box::pin(async move {
            let mut client = shared.models.get().await.map_err(RunnerError::Pool)?;
            let taken = Lease::take(&client, &name, shared.settings.lease).await?;
            client.finished();
            Ok(taken)
        }));
        let answer = answer.await;
        *asked = None;
        answer
    }

    /// Where to go on. Makes sure that the source still has the history that the model was filled
    /// from.
    async fn start(&self, terms: &Terms) -> Result<Checkpoint, RunnerError> {
        let at = match terms.checkpoint {
            Some(at) => at,
            None => Checkpoint::start(self.shared.source.identify().await?),
        };
        verify(at, &*self.shared.source).await?;
        Ok(at)
    }

    /// Ends when the source was read over another connection than those that were `opened`. Behind that
    /// may be a server that was restored or promoted, so the checkpoint has to be compared again.
    async fn follow_until_reconnected(
        &self,
        mut at: Checkpoint,
        opened: u64,
        terms: &Terms,
        appended: &mut watch::Receiver<Position>,
        failures: &mut u32,
    ) -> Result<Checkpoint, RunnerError> {
        self.tell_at(at);
        let mut ahead = None;
        loop {
            self.renew().await?;
            let limit = self.limit(terms).await?;
            // Before the read: an append that comes after it must still wake us.
            appended.mark_unchanged();
            let batch = match ahead.take() {
                Some(batch) => batch,
                None => self.read(at, limit).await?,
            };
            *failures = 0;
            if self.shared.source.connections_opened() != opened {
                return Ok(at);
            }
            if batch.to.position == at.position {
                self.wait(appended).await;
                continue;
            }
            if batch.is_full {
                // Behind: the next batch is on its way while this one is written.
                let (written, next) =
                    join(self.project(terms, at, &batch), self.read(batch.to, limit)).await;
                at = written?;
                // What was not read now is read in its turn.
                ahead = next.ok().filter(|next| next.to.position > at.position);
            } else {
                at = self.project(terms, at, &batch).await?;
            }
            self.tell_at(at);
            self.pace(terms, batch.given.events().len()).await?;
        }
    }

    /// A build that is not live comes no further than the live one: what is beyond that still has its
    /// effects to come, and they are the live build's.
    async fn limit(&self, terms: &Terms) -> Result<Option<Position>, RunnerError> {
        if terms.state == BuildState::Live {
            return Ok(None);
        }
        let mut client = self.shared.models.get().await.map_err(RunnerError::Pool)?;
        let statement = client.prepare_cached(LIVE_POSITION).await?;
        let row = client
            .query_one(&statement, &[&self.name.build.projection])
            .await?;
        client.finished();
        let position: Option<i64> = row.try_get(0)?;
        Ok(Some(Position::START.plus(position.unwrap_or(0))))
    }

    /// The next events after `at`, up to `limit`.
    async fn read(&self, at: Checkpoint, limit: Option<Position>) -> Result<Batch, RunnerError> {
        let nothing = |to| Batch {
            given: Given::default(),
            to,
            is_full: false,
        };
        if limit.is_some_and(|limit| limit <= at.position) {
            return Ok(nothing(at));
        }
        let source = &*self.shared.source;
        let size = self.shared.settings.batch;
        let mut page = source.read(&self.filter, at.position, size).await?;
        let is_full = page.through.events_since(at.position) >= size.events();
        let through = limit.map_or(page.through, |limit| page.through.min(limit));
        if through == at.position {
            return Ok(nothing(at));
        }
        page.events.retain(|event| event.position <= through);
        // Of the last event, whether it is wanted or not.
        let to = match page.events.last() {
            Some(last) if last.position == through => Some(at.after(last)),
            _ => checkpoint_at(at, through, source).await?,
        };
        let Some(to) = to else {
            return Err(RunnerError::History(HistoryError::WentBack {
                checkpoint: at,
                head: source.head().await?,
            }));
        };
        let wanted = self.shared.projector.wants();
        page.events.retain(|event| wanted.admits(event));
        Ok(Batch {
            given: Given::in_turn(page.events),
            to,
            is_full,
        })
    }

    /// Writes one batch. Where the projector fails for good, its events are tried one by one, and the
    /// one that fails is parked.
    async fn project(
        &self,
        terms: &Terms,
        mut at: Checkpoint,
        batch: &Batch,
    ) -> Result<Checkpoint, RunnerError> {
        match self.write(terms, at, &batch.given, batch.to, None).await {
            Err(RunnerError::Projector(error))
                if self.shared.settings.poison == Poison::Park && !error.is_transient() => {}
            written => return written.map(|()| batch.to),
        }
        for event in batch.given.events() {
            let (alone, to) = (Given::in_turn(vec![event.clone()]), at.after(event));
            match self.write(terms, at, &alone, to, None).await {
                Err(RunnerError::Projector(error)) if !error.is_transient() => {
                    let error = error_chain(&error);
                    tracing::error!(partition = %self.name, stream = %event.stream, position = %event.position, error, "event parked");
                    metrics::counter!("folio_projection_parked_total", "projection" => self.shared.name().name)
                        .increment(1);
                    self.write(terms, at, &alone, to, Some(&error)).await?;
                }
                written => written?,
            }
            at = to;
        }
        if at.position < batch.to.position {
            self.write(terms, at, &Given::default(), batch.to, None)
                .await?;
        }
        Ok(batch.to)
    }

    /// Writes events, or parks them with `failed`: the model and the checkpoint, in one transaction.
    async fn write(
        &self,
        terms: &Terms,
        from: Checkpoint,
        given: &Given,
        to: Checkpoint,
        failed: Option<&str>,
    ) -> Result<(), RunnerError> {
        let Some(lease) = self.held() else {
            return Err(RunnerError::Deposed {
                partition: self.name.clone(),
            });
        };
        if failed.is_none() && !given.is_empty() && !self.is_parking.load(Ordering::Relaxed) {
            let (model, is_parking) = self
                .shared
                .begin_and_handle(&lease, (from, to), terms, given)
                .await?;
            if !is_parking {
                return self.commit_batch(model, given).await;
            }
            model.transaction.rollback().await?;
        }
        let (mut model, is_parking) = self.shared.begin_batch(&lease, from, to).await?;
        self.is_parking.store(is_parking, Ordering::Relaxed);
        let (build, number) = (&self.name.build, self.name.number());
        let streams = if is_parking {
            parked_streams(&model, build).await?
        } else {
            Vec::new()
        };
        let waits = |event: &RecordedEvent| failed.is_some() || streams.contains(&event.stream);
        let (waiting, free): (Vec<_>, Vec<_>) = given
            .events()
            .iter()
            .cloned()
            .partition(|event| waits(event));
        for event in &waiting {
            park(&model, build, event, failed).await?;
        }
        record(&model, build, number, from.position, &parked(&waiting)).await?;
        let free = Given::in_turn(free);
        if !free.is_empty() {
            record(&model, build, number, from.position, free.tallies()).await?;
            self.shared.handle(terms, free.events(), &mut model).await?;
        }
        self.commit_batch(model, given).await
    }

    async fn commit_batch(
        &self,
        model: ModelTransaction,
        given: &Given,
    ) -> Result<(), RunnerError> {
        commit(model.transaction).await.map_err(refused)?;
        metrics::counter!("folio_projection_events_total", "projection" => self.shared.name().name)
            .increment(u64::try_from(given.events().len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Timed out or woken or (the source is gone) neither: the next read decides.
    async fn wait(&self, appended: &mut watch::Receiver<Position>) {
        let settings = self.shared.settings;
        let wait = settings.poll.min(settings.lease / 3);
        if let Ok(Err(_)) = tokio::time::timeout(wait, appended.changed()).await {
            tokio::time::sleep(wait).await;
        }
    }

    /// Keeps to the rate that a build is filled at, whose share each partition has.
    async fn pace(&self, terms: &Terms, events: usize) -> Result<(), RunnerError> {
        let (BuildState::Building, Some(rate)) = (terms.state, terms.events_per_second) else {
            return Ok(());
        };
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let share = u32::from(self.name.member.of());
        let mut left = Duration::from_secs(1) * events.saturating_mul(share) / rate.max(1);
        while !left.is_zero() {
            let step = left.min(self.shared.settings.lease / 3);
            tokio::time::sleep(step).await;
            self.renew().await?;
            left = left.saturating_sub(step);
        }
        Ok(())
    }

    /// Renews the lease when it is due, whatever else there is to do.
    async fn renew(&self) -> Result<(), RunnerError> {
        let Some(mut lease) = self.held().filter(Lease::is_due) else {
            return Ok(());
        };
        let mut client = self.shared.models.get().await.map_err(RunnerError::Pool)?;
        let is_ours = lease.renew(&client).await?;
        client.finished();
        if is_ours {
            self.hold(Some(lease));
            Ok(())
        } else {
            Err(RunnerError::Deposed {
                partition: self.name.clone(),
            })
        }
    }

    /// Whoever stands by need not wait for the end of the term.
    async fn give_back(&self) {
        if let Some(asked) = self.asked.lock().await.take() {
            // No longer than the lease itself would last.
            let term = self.shared.settings.lease;
            if let Ok(Ok(Some((lease, _)))) = tokio::time::timeout(term, asked).await {
                self.hold(Some(lease));
            }
        }
        let Some(lease) = self.held() else { return };
        self.hold(None);
        if let Ok(mut client) = self.shared.models.get().await
            && lease.release(&client).await.is_ok()
        {
            client.finished();
        }
    }

    fn held(&self) -> Option<Lease> {
        self.lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn hold(&self, lease: Option<Lease>) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    fn key(&self) -> (i32, u16) {
        (self.name.build.build, self.name.member.number())
    }

    fn tell(&self, status: Status) {
        self.shared.report.status(self.key(), status);
    }

    fn tell_at(&self, at: Checkpoint) {
        let (report, key) = (&self.shared.report, self.key());
        report.partition(key, Some(at.position), Status::Running);
    }
}

/// What is refused at the commit is what was written, as if it had been refused before.
fn refused(error: CommitError) -> RunnerError {
    if let CommitError::RolledBack(source) = error {
        return ProjectorError::Database(source).into();
    }
    RunnerError::Commit(error)
}

/// The partitions of a build of this size.
pub(crate) fn members(of: u16) -> impl Iterator<Item = Member> {
    (0..of).filter_map(move |number| Member::new(number, of).ok())
}

/// Why a partition is not filled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// No connection to the model's database.
    #[error("no connection to the read model's database")]
    Pool(#[source] deadpool_postgres::PoolError),
    /// The model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The source cannot be read.
    #[error("the projection's source cannot be read")]
    Read(#[from] ReadError),
    /// The source is not, or not any more, the one that the model was filled from.
    #[error("the projection cannot go on; point it to the right store or rebuild it")]
    History(#[from] HistoryError),
    /// The projector failed.
    #[error("the projector failed")]
    Projector(#[from] ProjectorError),
    /// Another runner has taken the partition over, or somebody has changed its build.
    #[error("another runner has taken over {partition}")]
    Deposed {
        /// The partition.
        partition: PartitionName,
    },
    /// It is not known whether the transaction was committed. Reading the checkpoint again tells.
    #[error("the projection's transaction failed")]
    Commit(#[from] CommitError),
}

impl RunnerError {
    /// Whether trying again may help.
    fn is_transient(&self) -> bool {
        match self {
            Self::Pool(_) | Self::Commit(_) | Self::Deposed { .. } => true,
            Self::Database(error) => is_transient(error),
            Self::Read(error) | Self::History(HistoryError::Read(error)) => {
                !matches!(error, ReadError::Corrupt { .. })
            }
            Self::History(_) => false,
            Self::Projector(error) => error.is_transient(),
        }
    }
}
