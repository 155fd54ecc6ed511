//! Feeds a projector from a store: first to catch up, then live.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use folio_core::store::{EventStore, ReadError};
use folio_core::{BatchSize, Checkpoint, HistoryError, Position, RecordedEvent, error_chain};
use folio_postgres::{CommitError, Pool, commit};
use thiserror::Error;
use tokio::sync::watch;

use crate::checkpoint::{CheckpointError, advance, lock, read_checkpoint, read_or_start};
use crate::dead_letters::{park, parked_streams};
use crate::lease::Lease;
use crate::progress::{Progress, Report, Status, channel};
use crate::projector::{Projector, ProjectorError};

/// How a runner reads and waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most events in one transaction.
    pub batch: BatchSize,
    /// Longest wait before the store is asked again. Appends of this process wake the runner at
    /// once; this bounds the delay for those of others.
    pub poll: Duration,
    /// First wait after a failure; it doubles with each further one, up to 32 times this.
    pub backoff: Duration,
    /// How long the lease on the projection lasts that is not renewed. After a crash, another runner
    /// takes over when that is over.
    pub lease: Duration,
    /// What becomes of an event that cannot be taken in.
    pub poison: Poison,
}

/// What becomes of an event that trying again does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    /// The runner stops in front of it: whoever reads the model sees by its position that it is old.
    Stop,
    /// It is parked, and with it whatever comes on its stream; the other streams go on. What the model
    /// says of that stream is old then, and whoever reads it should look into the
    /// [dead letters](crate::dead_letters()).
    Park,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: BatchSize::default(),
            poll: Duration::from_millis(250),
            backoff: Duration::from_millis(100),
            lease: Duration::from_secs(3),
            poison: Poison::Stop,
        }
    }
}

/// Runs one projector on one store, into one database.
#[derive(Debug)]
pub struct Runner<P, S> {
    projector: P,
    store: S,
    models: Pool,
    settings: Settings,
    report: Report,
    // Kept beside the future that works with it, so that a runner that is stopped can give it back.
    // The std mutex: it is never held across an await.
    lease: Mutex<Option<Lease>>,
}

impl<P: Projector, S: EventStore> Runner<P, S> {
    /// A runner that writes through `models`, and a view of its progress.
    #[must_use]
    pub fn new(projector: P, store: S, models: Pool, settings: Settings) -> (Self, Progress) {
        let (report, progress) = channel(projector.name(), store.store_id());
        let runner = Self {
            projector,
            store,
            models,
            settings,
            report,
            lease: Mutex::default(),
        };
        (runner, progress)
    }

    /// Runs the projection, or stands by while another runner does.
    ///
    /// Ends when `stop` is true or its sender is gone, or with an error that trying again does not
    /// mend.
    ///
    /// # Errors
    ///
    /// [`RunnerError`]: an event that cannot be read or projected, or a checkpoint of another
    /// store. Connection losses and deadlocks are retried.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a batch is in the model with its checkpoint or not at all.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), RunnerError> {
        let name = self.projector.name();
        let result = tokio::select! {
            result = self.follow() => result,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        self.give_back().await;
        let error = result.as_ref().err().map(|error| error_chain(error));
        match &error {
            Some(error) => tracing::error!(projection = %name, error, "projection stopped"),
            None => tracing::debug!(projection = %name, "projection stopped"),
        }
        self.report.status(Status::Stopped { error });
        result
    }

    async fn follow(&self) -> Result<(), RunnerError> {
        let mut failures = 0_u32;
        loop {
            match self.follow_until_failure(&mut failures).await {
                Err(error) if error.is_transient() => {
                    let wait = self.settings.backoff * 2_u32.saturating_pow(failures.min(5));
                    failures = failures.saturating_add(1);
                    let error = error_chain(&error);
                    tracing::warn!(projection = %self.projector.name(), error, ?wait, "projection waits to try again");
                    self.report.status(Status::Retrying { error });
                    tokio::time::sleep(wait).await;
                }
                Err(error) => return Err(error),
                Ok(never) => match never {},
            }
        }
    }

    /// `failures` goes back to 0 with every read that works.
    async fn follow_until_failure(&self, failures: &mut u32) -> Result<Infallible, RunnerError> {
        let mut appended = self.store.appended();
        self.lead(failures).await?;
        loop {
            self.follow_until_reconnected(&mut appended, failures)
                .await?;
        }
    }

    /// Waits until this runner may write, and tells meanwhile how far the one that may has come.
    async fn lead(&self, failures: &mut u32) -> Result<(), RunnerError> {
        let name = self.projector.name();
        loop {
            let mut client = self.models.get().await.map_err(RunnerError::Pool)?;
            if let Some(mut lease) = self.held()
                && lease
                    .renew(&***client)
                    .await
                    .map_err(CheckpointError::from)?
            {
                self.hold(Some(lease));
                client.finished();
                return Ok(());
            }
            let taken = Lease::take(&***client, name, self.settings.lease).await;
            self.hold(taken.map_err(CheckpointError::from)?);
            if self.held().is_some() {
                client.finished();
                tracing::debug!(projection = %name, "projection taken over");
                return Ok(());
            }
            let checkpoint = read_checkpoint(&***client, name).await;
            let checkpoint = checkpoint.map_err(CheckpointError::from)?;
            client.finished();
            drop(client);
            *failures = 0;
            self.report
                .standby(checkpoint.map(|checkpoint| checkpoint.position));
            tokio::time::sleep(self.settings.poll.min(self.settings.lease / 3)).await;
        }
    }

    /// Renews the lease when it is due, whatever else there is to do.
    async fn renew(&self) -> Result<(), RunnerError> {
        let Some(mut lease) = self.held().filter(Lease::is_due) else {
            return Ok(());
        };
        let mut client = self.models.get().await.map_err(RunnerError::Pool)?;
        let is_ours = lease
            .renew(&***client)
            .await
            .map_err(CheckpointError::from)?;
        client.finished();
        if is_ours {
            self.hold(Some(lease));
            Ok(())
        } else {
            Err(self.deposed().into())
        }
    }

    /// Whoever stands by need not wait for the end of the term.
    async fn give_back(&self) {
        let Some(lease) = self.held() else { return };
        self.hold(None);
        if let Ok(mut client) = self.models.get().await
            && lease.release(&***client).await.is_ok()
        {
            client.finished();
        }
    }

    fn held(&self) -> Option<Lease> {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, lease: Option<Lease>) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    fn deposed(&self) -> CheckpointError {
        self.hold(None);
        let name = self.projector.name();
        CheckpointError::Deposed { name }
    }

    /// Ends when the store was read over a connection that was opened meanwhile. Behind that may be
    /// a server that was restored or promoted, so the checkpoint has to be compared again.
    async fn follow_until_reconnected(
        &self,
        appended: &mut watch::Receiver<Position>,
        failures: &mut u32,
    ) -> Result<(), RunnerError> {
        let opened = self.store.connections_opened();
        let mut client = self.models.get().await.map_err(RunnerError::Pool)?;
        let mut checkpoint = read_or_start(&***client, self.projector.name(), &self.store).await?;
        client.finished();
        drop(client);
        self.report.at(checkpoint);
        loop {
            self.renew().await?;
            // Before the read: an append that comes after it must still wake us.
            appended.mark_unchanged();
            let events = self
                .store
                .read_all(checkpoint.position, self.settings.batch)
                .await?;
            *failures = 0;
            if self.store.connections_opened() != opened {
                return Ok(());
            }
            if events.is_empty() {
                // Timed out or woken or (the store is gone) neither: the next read decides.
                let wait = self.settings.poll.min(self.settings.lease / 3);
                if let Ok(Err(_)) = tokio::time::timeout(wait, appended.changed()).await {
                    tokio::time::sleep(wait).await;
                }
            } else {
                checkpoint = self.project(checkpoint, &events).await?;
                self.report.at(checkpoint);
            }
        }
    }

    /// Writes one batch. Where the projector fails for good, its events are tried one by one, and the
    /// one that fails is parked.
    async fn project(
        &self,
        mut checkpoint: Checkpoint,
        events: &[RecordedEvent],
    ) -> Result<Checkpoint, RunnerError> {
        match self.write(checkpoint, events, None).await {
            Err(RunnerError::Projector(error))
                if self.settings.poison == Poison::Park && !is_transient_in(&error) => {}
            written => return written,
        }
        for event in events {
            let alone = std::slice::from_ref(event);
            checkpoint = match self.write(checkpoint, alone, None).await {
                Err(RunnerError::Projector(error)) if !is_transient_in(&error) => {
                    let error = error_chain(&error);
                    let (name, position) = (self.projector.name(), event.position);
                    tracing::error!(projection = %name, stream = %event.stream, %position, error, "event parked");
                    metrics::counter!("folio_projection_parked_total", "projection" => name.name)
                        .increment(1);
                    self.write(checkpoint, alone, Some(&error)).await?
                }
                written => written?,
            };
        }
        Ok(checkpoint)
    }

    /// Writes events, or parks them with `failed`: the model and the checkpoint, in one transaction.
    async fn write(
        &self,
        checkpoint: Checkpoint,
        events: &[RecordedEvent],
        failed: Option<&str>,
    ) -> Result<Checkpoint, RunnerError> {
        let Some(last) = events.last() else {
            return Ok(checkpoint);
        };
        let name = self.projector.name();
        let mut client = self.models.get().await.map_err(RunnerError::Pool)?;
        let transaction = client.transaction().await.map_err(CheckpointError::from)?;
        let lease = self.held().ok_or_else(|| self.deposed())?;
        if !lease
            .hold(&transaction)
            .await
            .map_err(CheckpointError::from)?
        {
            return Err(self.deposed().into());
        }
        lock(&transaction, name, checkpoint).await?;
        let parked = parked_streams(&transaction, name).await;
        let parked = parked.map_err(CheckpointError::from)?;
        let waits = |event: &&RecordedEvent| {
            failed.is_some()
                || (!parked.is_empty() && {
                    let (category, id) = (event.stream.category(), event.stream.id());
                    parked.contains(&(category.to_owned(), id.to_owned()))
                })
        };
        if events.iter().any(|event| waits(&event)) {
            for event in events.iter().filter(waits) {
                let parked = park(&transaction, name, event, failed).await;
                parked.map_err(CheckpointError::from)?;
            }
            let rest: Vec<_> = events
                .iter()
                .filter(|event| !waits(event))
                .cloned()
                .collect();
            if !rest.is_empty() {
                self.projector.handle(&rest, &transaction).await?;
            }
        } else {
            self.projector.handle(events, &transaction).await?;
        }
        let checkpoint = checkpoint.after(last);
        advance(&transaction, name, checkpoint).await?;
        commit(transaction).await?;
        client.finished();
        metrics::counter!("folio_projection_events_total", "projection" => name.name)
            .increment(u64::try_from(events.len()).unwrap_or(u64::MAX));
        Ok(checkpoint)
    }
}

/// Why a runner stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// No connection to the model's database.
    #[error("no connection to the read model's database")]
    Pool(#[source] deadpool_postgres::PoolError),
    /// The store cannot be read.
    #[error("the projection's source cannot be read")]
    Read(#[from] ReadError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The projector failed.
    #[error("the projector failed")]
    Projector(#[from] ProjectorError),
    /// The transaction did not commit, or it is not known whether it did. Reading the checkpoint
    /// again tells.
    #[error("the projection's transaction failed")]
    Commit(#[from] CommitError),
}

impl RunnerError {
    /// Whether trying again may help.
    fn is_transient(&self) -> bool {
        match self {
            Self::Pool(_) | Self::Commit(_) => true,
            Self::Read(error) => !matches!(error, ReadError::Corrupt { .. }),
            Self::Checkpoint(error) => match error {
                CheckpointError::Database(error) => is_transient(error),
                CheckpointError::Moved { .. } | CheckpointError::Deposed { .. } => true,
                CheckpointError::History {
                    source: HistoryError::Read(error),
                    ..
                } => !matches!(error, ReadError::Corrupt { .. }),
                CheckpointError::History { .. } | CheckpointError::Vanished { .. } => false,
            },
            Self::Projector(error) => is_transient_in(error),
        }
    }
}

fn is_transient_in(error: &ProjectorError) -> bool {
    match error {
        ProjectorError::Database(error) => is_transient(error),
        ProjectorError::Decode(_) | ProjectorError::Contradiction(_) => false,
    }
}

/// A lost connection, a server that shuts down or starts up, a deadlock, a full server.
fn is_transient(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => {
            error.is_closed()
                || std::error::Error::source(error).is_some_and(|e| e.is::<std::io::Error>())
        }
        Some(code) => ["08", "40", "53", "57"]
            .iter()
            .any(|class| code.code().starts_with(class)),
    }
}
