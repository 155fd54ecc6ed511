//! How far projections are behind, measured apart from what fills them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use folio_core::{BatchSize, Filter, Position, ReadError, Timestamp, error_chain};
use folio_postgres::{Database, Pool, PoolError, Role};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::build::{Build, BuildState, ModelError, builds_of};
use crate::projection::Projection;
use crate::source::Source;

/// How far a build is behind, in both units that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The build as the database knows it.
    pub build: Build,
    /// Events that are in the store and not in the build.
    pub events: i64,
    /// How long the oldest of them has been waiting; zero when there is none.
    pub age: Duration,
}

/// What was found of a projection at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// The store's last position.
    pub head: Position,
    /// Every build.
    pub lags: Vec<Lag>,
}

impl Measurement {
    /// Asks the store how far it is, and the models' database how far the builds are: a process that
    /// fills them and has died, or stands still, shows.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    pub async fn take(
        projection: &str,
        source: &dyn Source,
        models: &Pool,
    ) -> Result<Self, MeasureError> {
        let builds = builds_of(models, projection).await?;
        // Asked afterwards, or a build would seem to be ahead.
        let head = source.head().await?;
        let mut lags = Vec::new();
        for build in builds {
            let events = head.events_since(build.position());
            let age = match events {
                0 => Duration::ZERO,
                _ => age_after(build.position(), source).await?,
            };
            lags.push(Lag { build, events, age });
        }
        Ok(Self { head, lags })
    }

    /// The live build's.
    #[must_use]
    pub fn live(&self) -> Option<&Lag> {
        let is_live = |lag: &&Lag| lag.build.state == BuildState::Live;
        self.lags.iter().find(is_live)
    }
}

impl Projection {
    /// How far its builds are behind, as a [`Detector`] would find it now.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    pub async fn measure(&self) -> Result<Measurement, MeasureError> {
        let shared = &self.shared;
        Measurement::take(self.name().name, &*shared.source, &shared.models).await
    }
}

async fn age_after(position: Position, source: &dyn Source) -> Result<Duration, ReadError> {
    let page = source
        .read(&Filter::all(), position, BatchSize::ONE)
        .await?;
    Ok(page.events.first().map_or(Duration::ZERO, |oldest| {
        let micros = now().micros().saturating_sub(oldest.recorded_at.micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }))
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = now.unwrap_or_default().as_micros();
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// Measures a projection again and again, for metrics and for those who have to know whether its
/// model can be relied on. It ends with the last of its clones.
#[derive(Clone)]
pub struct Detector {
    last: watch::Receiver<Option<(Instant, Measurement)>>,
    settings: DetectorSettings,
    _task: Arc<Ends>,
}

/// When a projection is said not to keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetectorSettings {
    /// Time between two measurements.
    pub every: Duration,
    /// The last measurement is too old to be relied on after this.
    pub stalled_after: Duration,
    /// The oldest event that is not in the live build has been waiting too long after this.
    pub age_max: Duration,
}

impl Default for DetectorSettings {
    /// Every second; 10 s without a measurement and 30 s behind are too long.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            stalled_after: Duration::from_secs(10),
            age_max: Duration::from_secs(30),
        }
    }
}

impl Detector {
    /// Starts measuring `projection`, whose builds are in `models`.
    ///
    /// Each measurement sets the metrics `folio_projection_lag_events`, `folio_projection_lag_seconds`
    /// and `folio_projection_dead_letters` by projection, build and state, and
    /// `folio_projection_measured_timestamp_seconds`, which stands still when the detector does.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn start(
        projection: &'static str,
        source: Arc<dyn Source>,
        models: &Database,
        settings: DetectorSettings,
    ) -> Result<Self, PoolError> {
        let pool = models.pool(Role::Reader, 1)?;
        let (sender, last) = watch::channel(None);
        let task = tokio::spawn(async move {
            loop {
                let measuring = Measurement::take(projection, &*source, &pool);
                // What hangs is no measurement.
                match tokio::time::timeout(settings.stalled_after, measuring).await {
                    Ok(Ok(measurement)) => {
                        publish(projection, &measurement);
                        sender.send_replace(Some((Instant::now(), measurement)));
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(
                            projection,
                            error = error_chain(&error),
                            "the lag cannot be measured"
                        );
                    }
                    Err(_) => tracing::warn!(projection, "measuring the lag takes too long"),
                }
                tokio::time::sleep(settings.every).await;
            }
        });
        Ok(Self {
            last,
            settings,
            _task: Arc::new(Ends(task)),
        })
    }

    /// What was found last, and how long ago.
    #[must_use]
    pub fn last(&self) -> Option<(Duration, Measurement)> {
        let last = self.last.borrow();
        last.as_ref()
            .map(|(at, measurement)| (at.elapsed(), measurement.clone()))
    }

    /// Waits for the next measurement.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn next(&mut self) {
        // The task lives as long as this does.
        let _ = self.last.changed().await;
    }

    /// Makes sure that the live model keeps up, by a measurement that is not old.
    ///
    /// # Errors
    ///
    /// [`Alarm`].
    pub fn check(&self) -> Result<(), Alarm> {
        let Some((since, measurement)) = self.last() else {
            return Err(Alarm::NotMeasured);
        };
        if since > self.settings.stalled_after {
            return Err(Alarm::Stalled { since });
        }
        let Some(live) = measurement.live() else {
            return Err(Alarm::NoBuild);
        };
        if live.age > self.settings.age_max {
            return Err(Alarm::Behind {
                events: live.events,
                age: live.age,
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector")
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}

/// Ends the task when nobody looks any more.
struct Ends(JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn publish(projection: &'static str, measurement: &Measurement) {
    // A gauge takes a float; what is beyond 32 bits would be rounded, and nobody would care.
    let rounded = |count: i64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    for lag in &measurement.lags {
        let labels = [
            ("projection", projection.to_owned()),
            ("build", lag.build.name.build.to_string()),
            ("state", lag.build.state.as_str().to_owned()),
        ];
        metrics::gauge!("folio_projection_lag_events", &labels).set(rounded(lag.events));
        metrics::gauge!("folio_projection_lag_seconds", &labels).set(lag.age.as_secs_f64());
        metrics::gauge!("folio_projection_dead_letters", &labels)
            .set(rounded(lag.build.dead_letters));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    metrics::gauge!("folio_projection_measured_timestamp_seconds", "projection" => projection)
        .set(now.unwrap_or_default().as_secs_f64());
}

/// Why a model cannot be relied on to be up to date.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Alarm {
    /// It was not measured yet.
    #[error("how far the model is was not measured yet")]
    NotMeasured,
    /// Nobody knows: what measures has come to a stop itself.
    #[error("how far the model is was last measured {} s ago", since.as_secs())]
    Stalled {
        /// How long ago.
        since: Duration,
    },
    /// There is no live build.
    #[error("the projection has no live build")]
    NoBuild,
    /// The live build is too far behind.
    #[error("the read model is {events} events behind, the oldest for {} s", age.as_secs())]
    Behind {
        /// Events that are not in it.
        events: i64,
        /// How long the oldest of them has been waiting.
        age: Duration,
    },
}

/// Why nothing could be measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The store gave no answer.
    #[error("the store cannot be asked for its last position")]
    Read(#[from] ReadError),
    /// The models' database gave no answer.
    #[error(transparent)]
    Model(#[from] ModelError),
}
