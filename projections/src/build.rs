//! The builds of projections, as the database knows them.

use std::time::SystemTime;

use folio_core::{Checkpoint, Position};
use folio_postgres::Pool;
use thiserror::Error;
use tokio_postgres::GenericClient;

use crate::lease::checkpoint;
use crate::name::BuildName;

const BUILDS: &str = include_str!("sql/builds.sql");

/// A build of a projection: a copy of its model, in tables of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Its name.
    pub name: BuildName,
    /// The revision of the code that fills it.
    pub revision: i32,
    /// What it is for.
    pub state: BuildState,
    /// Its partitions, in order; at least one.
    pub partitions: Vec<Partition>,
    /// The most that is read for it in a second while it is being filled.
    pub events_per_second: Option<u32>,
    /// Who has paused it, and why.
    pub pause: Option<Pause>,
    /// How often what had stopped was started again.
    pub resumed: i64,
    /// Events that it could not take in, and those that wait behind them.
    pub dead_letters: i64,
    /// How far effects were written before it was live.
    pub(crate) effects_done: Vec<i64>,
}

/// What a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BuildState {
    /// It is being filled, up to where the live one is.
    Building,
    /// Readers see it.
    Live,
    /// It was live, and is kept up to date to go back to.
    Kept,
}

/// One of the parts that a build is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// How far it has come; none before the first event.
    pub checkpoint: Option<Checkpoint>,
    /// The process that writes it, while its lease lasts.
    pub owner: Option<String>,
    /// When it last moved.
    pub moved_at: SystemTime,
}

/// A build that nobody may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Who has paused it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Build {
    /// All events up to and including this one are in the model. Of some streams later ones may be.
    #[must_use]
    pub fn position(&self) -> Position {
        let positions = self.partitions.iter().map(Partition::position);
        positions.min().unwrap_or(Position::START)
    }

    /// The number of its partitions.
    #[must_use]
    pub fn size(&self) -> u16 {
        u16::try_from(self.partitions.len()).unwrap_or(u16::MAX)
    }

    /// How much of `head` events is in it, in percent, rounded down.
    #[must_use]
    pub fn percent_of(&self, head: Position) -> u8 {
        if head <= self.position() {
            return 100;
        }
        let share = self.position().number().saturating_mul(100) / head.number().max(1);
        u8::try_from(share).unwrap_or(0)
    }
}

impl Partition {
    /// How far it has come.
    #[must_use]
    pub fn position(&self) -> Position {
        self.checkpoint.map_or(Position::START, |at| at.position)
    }
}

impl BuildState {
    pub(crate) fn of(text: &str) -> Self {
        // The table admits these three alone.
        match text {
            "live" => Self::Live,
            "kept" => Self::Kept,
            _ => Self::Building,
        }
    }

    /// `building`, `live` or `kept`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Live => "live",
            Self::Kept => "kept",
        }
    }
}

/// The builds of one projection, or of all, in the order of their names, as of one moment.
///
/// # Errors
///
/// When the database fails.
pub async fn builds(
    client: &impl GenericClient,
    projection: Option<&str>,
) -> Result<Vec<Build>, tokio_postgres::Error> {
    let rows = client.query(BUILDS, &[&projection]).await?;
    let mut builds: Vec<Build> = Vec::new();
    for row in &rows {
        let name = BuildName::new(row.try_get::<_, String>(0)?, row.try_get(1)?);
        let is_next = builds.last().is_none_or(|last| last.name != name);
        if is_next {
            let rate: Option<i32> = row.try_get(4)?;
            let (by, reason): (Option<String>, Option<String>) = (row.try_get(5)?, row.try_get(6)?);
            builds.push(Build {
                name,
                revision: row.try_get(2)?,
                state: BuildState::of(row.try_get(3)?),
                partitions: Vec::new(),
                events_per_second: rate.and_then(|rate| u32::try_from(rate).ok()),
                pause: by.zip(reason).map(|(by, reason)| Pause { by, reason }),
                resumed: row.try_get(7)?,
                dead_letters: row.try_get(8)?,
                effects_done: row.try_get(9)?,
            });
        }
        let partition = Partition {
            checkpoint: checkpoint(row, 10)?,
            owner: row.try_get(13)?,
            moved_at: row.try_get(14)?,
        };
        if let Some(build) = builds.last_mut() {
            build.partitions.push(partition);
        }
    }
    Ok(builds)
}

/// The builds of a projection, over a pooled connection.
pub(crate) async fn builds_of(pool: &Pool, projection: &str) -> Result<Vec<Build>, ModelError> {
    let mut client = pool.get().await.map_err(ModelError::Pool)?;
    let builds = builds(&***client, Some(projection)).await?;
    client.finished();
    Ok(builds)
}

/// Why the models' database gave no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No connection.
    #[error("no connection to the read model's database")]
    Pool(#[source] deadpool_postgres::PoolError),
    /// The database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
}
