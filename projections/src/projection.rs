//! A projection of this process: its builds, and the runners that fill them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use folio_core::{Position, error_chain};
use folio_postgres::{Database, PoolError, Role};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use crate::build::{Build, BuildState, ModelError, builds_of};
use crate::create::{CreateError, ensure};
use crate::name::{PartitionName, ProjectionName};
use crate::operations::upgrader;
use crate::progress::{Progress, Status, channel};
use crate::projector::Projector;
use crate::reader::Reader;
use crate::runner::{Ended, Runner, members};
use crate::seize::TakenFrom;
use crate::settings::{Settings, Upgrade};
use crate::shared::Shared;
use crate::source::Source;

/// Connections for writing models: those of a few runners, and one to look after them.
const CONNECTIONS: usize = 4;

/// A projection of this process. Clones are the same one.
///
/// Any number of processes may run it: each partition of each build is filled by one of them at a
/// time, under a lease. What operators do with it is under [Operations](#operations).
#[derive(Clone)]
pub struct Projection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) database: Database,
    progress: Progress,
}

impl Projection {
    /// Makes ready what `projector` fills from `source` in `models`, a database that was
    /// [migrated](crate::migrations()). The first time, a build is made and is live at once; where the
    /// live one is of an older revision than the projector, one of this revision is begun beside it.
    ///
    /// # Errors
    ///
    /// [`OpenProjectionError`].
    pub async fn open(
        projector: impl Projector,
        source: Arc<dyn Source>,
        models: &Database,
        settings: Settings,
    ) -> Result<Self, OpenProjectionError> {
        Self::open_with(projector, source, models, settings, CONNECTIONS).await
    }

    /// As [`open`](Self::open), with at most `connections` connections to write with.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(
        projector: impl Projector,
        source: Arc<dyn Source>,
        models: &Database,
        settings: Settings,
        connections: usize,
    ) -> Result<Self, OpenProjectionError> {
        ensure(&projector, models).await?;
        let (report, progress) = channel(projector.name());
        let shared = Shared {
            projector: Arc::new(projector),
            source,
            models: models.pool(Role::Projector, connections)?,
            settings,
            report,
        };
        Ok(Self {
            shared: Arc::new(shared),
            database: models.clone(),
            progress,
        })
    }

    /// Its name and the revision of its projector.
    #[must_use]
    pub fn name(&self) -> ProjectionName {
        self.shared.name()
    }

    /// How far it has come.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Where its events come from.
    #[must_use]
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.shared.source
    }

    /// Reads its live model, over at most `connections` connections.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn reader(&self, connections: usize) -> Result<Reader, PoolError> {
        let pool = self.database.pool(Role::Reader, connections)?;
        Ok(Reader::new(pool, self.name()).woken_by(self.progress.clone()))
    }

    /// Its builds.
    ///
    /// # Errors
    ///
    /// [`ModelError`].
    pub async fn builds(&self) -> Result<Vec<Build>, ModelError> {
        builds_of(&self.shared.models, self.name().name).await
    }

    /// Fills its builds, as far as other processes do not, until `stop` is true or its sender is
    /// gone. How it fares meanwhile, [`progress`](Self::progress) tells: a partition that fails for
    /// good stops alone, and is started again when somebody [resumes](Self::resume) it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a batch is in the model with its checkpoint or not at all.
    /// Leases that are not given back are taken over when their term is over.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        self.shared.report.started();
        let mut crew = Crew::default();
        tokio::select! {
            () = self.look_after(&mut crew) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        crew.stop().await;
        self.shared
            .report
            .whole(Some(Status::Stopped { error: None }));
    }

    async fn look_after(&self, crew: &mut Crew) {
        let settings = self.shared.settings;
        let between = settings.lease / 6;
        let mut live_before = None;
        loop {
            match self.builds().await {
                Ok(builds) => {
                    self.tell(&builds);
                    crew.fit(&self.shared, &builds);
                    self.upgrade(&builds, live_before).await;
                    live_before = live(&builds).map(Build::position);
                }
                Err(error) => {
                    // The runners tell on their own what it means to them.
                    tracing::warn!(projection = %self.name(), error = error_chain(&error), "the builds of a projection cannot be read");
                }
            }
            let _ = tokio::time::timeout(between, crew.ended(&self.shared)).await;
        }
    }

    fn tell(&self, builds: &[Build]) {
        let Some(live) = live(builds) else { return };
        self.shared.report.live(live.name.build, live.size());
        let other = live.revision != self.name().revision;
        self.shared
            .report
            .whole(other.then_some(Status::OtherRevision {
                live: live.revision,
            }));
    }

    /// Makes a build of this revision live that has come nearly as far as the older one, and as far as that had come
    /// when it was looked at before: so it is being filled.
    async fn upgrade(&self, builds: &[Build], live_before: Option<Position>) {
        let ours = self.name().revision;
        let (Some(live), Some(live_before)) = (live(builds), live_before) else {
            return;
        };
        if self.shared.settings.upgrade == Upgrade::ByHand || live.revision >= ours {
            return;
        }
        // Beside traffic it is always a little behind. What is left is filled while the live one stands
        // still for the swap.
        let near = self.shared.settings.batch.events();
        let filled = builds.iter().find(|build| {
            build.revision == ours
                && build.state == BuildState::Building
                && build.position() >= live_before
                && live.position().events_since(build.position()) <= near
        });
        if let Some(filled) = filled
            && let Err(error) = self
                .swap_from(TakenFrom::Runners, filled.name.build, &upgrader())
                .await
        {
            tracing::warn!(projection = %self.name(), error = error_chain(&error), "the new revision is not live yet");
        }
    }
}

/// The live one of a projection's builds.
pub(crate) fn live(builds: &[Build]) -> Option<&Build> {
    builds.iter().find(|build| build.state == BuildState::Live)
}

impl fmt::Debug for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projection")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// The runners of a projection in this process. They end with it.
#[derive(Default)]
struct Crew {
    tasks: JoinSet<Ended>,
    members: BTreeMap<(i32, u16), Crewman>,
}

struct Crewman {
    task: Id,
    /// Of how many partitions it has taken its for one.
    of: u16,
    /// Of which `resumed` it was started.
    resumed: i64,
    stop: watch::Sender<bool>,
    work: Work,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Runs,
    HasFailed,
}

impl Crew {
    /// Starts the runners that are missing, and stops those whose partition is no more.
    fn fit(&mut self, shared: &Arc<Shared>, builds: &[Build]) {
        let ours: Vec<&Build> = builds
            .iter()
            .filter(|build| build.revision == shared.name().revision)
            .collect();
        self.members.retain(|(number, _), crewman| {
            let is_there = ours.iter().any(|build| {
                build.name.build == *number
                    && build.size() == crewman.of
                    && (crewman.work == Work::Runs || build.resumed == crewman.resumed)
            });
            if !is_there {
                crewman.stop.send_replace(true);
            }
            is_there
        });
        for build in ours {
            for member in members(build.size()) {
                let key = (build.name.build, member.number());
                if self.members.contains_key(&key) {
                    continue;
                }
                let name = PartitionName {
                    build: build.name.clone(),
                    member,
                };
                let (stop, stopped) = watch::channel(false);
                let runner = Runner::new(Arc::clone(shared), name);
                let task = self.tasks.spawn(runner.run(stopped)).id();
                let crewman = Crewman {
                    task,
                    of: build.size(),
                    resumed: build.resumed,
                    stop,
                    work: Work::Runs,
                };
                self.members.insert(key, crewman);
            }
        }
    }

    /// Waits until a runner ends; for ever when there is none.
    async fn ended(&mut self, shared: &Shared) {
        let (task, ended) = match self.tasks.join_next_with_id().await {
            Some(Ok((task, ended))) => (task, ended),
            // A defect of ours: what a projector panics with is caught.
            Some(Err(error)) => (error.id(), Ended::Failed),
            None => return std::future::pending().await,
        };
        let key = self.members.iter().find(|(_, member)| member.task == task);
        let Some(key) = key.map(|(key, _)| *key) else {
            return;
        };
        match ended {
            Ended::Gone => {
                self.members.remove(&key);
                shared.report.forget(key);
            }
            Ended::Failed => {
                if let Some(member) = self.members.get_mut(&key) {
                    member.work = Work::HasFailed;
                }
            }
        }
    }

    async fn stop(mut self) {
        for crewman in self.members.values() {
            crewman.stop.send_replace(true);
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Why a projection could not be made ready.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenProjectionError {
    /// It has no build, and none could be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// No pool could be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
}
