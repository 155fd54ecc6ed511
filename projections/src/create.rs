//! Making builds, with their tables, and removing them.

use folio_core::Actor;
use folio_postgres::{CommitError, Database, PoolError, Role, Transaction, commit};
use thiserror::Error;

use crate::build::{BuildState, builds};
use crate::name::{BuildName, ProjectionName};
use crate::operations::{record, upgrader};
use crate::projector::{Projector, Sharing};
use crate::taken::share_out;

// Two processes that start at once would both make the first build.
const LOCK: &str = "LOCK TABLE projections.builds IN SHARE ROW EXCLUSIVE MODE";
// A build that is begun while its projection is paused is paused as the live one is.
const INSERT: &str = "INSERT INTO projections.builds \
     (projection, build, revision, state, partitions, events_per_second, live_since, \
      paused_by, pause_reason, paused_at) \
     SELECT $1::text, $2::integer, $3::integer, $4::text, $5::smallint, $6::integer, \
            CASE WHEN $4 = 'live' THEN now() END, \
            live.paused_by, live.pause_reason, live.paused_at \
     FROM (SELECT) one \
     LEFT JOIN projections.builds live ON live.projection = $1 AND live.state = 'live'";
const CHECKPOINTS: &str = "INSERT INTO projections.checkpoints \
     (projection, build, partition, position) \
     SELECT $1, $2, number, 0 FROM generate_series(0, $3::integer - 1) number";
// A number is never given twice, so that what was done to a build is never read as another's.
const LAST: &str = "SELECT max(build) FROM projections.operations WHERE projection = $1";
const DELETE: &str = "DELETE FROM projections.builds WHERE projection = $1 AND build = $2";

/// How a build is to be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filling {
    /// By how many runners at once, each with the streams that fall to it: at least 1.
    pub partitions: u16,
    /// The most that is read for it in a second; no bound where there is none.
    pub events_per_second: Option<u32>,
}

impl Default for Filling {
    /// One runner, as fast as it goes.
    fn default() -> Self {
        Self {
            partitions: 1,
            events_per_second: None,
        }
    }
}

/// Makes sure that there is a live build, and one of the projector's revision where that is newer.
pub(crate) async fn ensure(
    projector: &dyn Projector,
    database: &Database,
) -> Result<(), CreateError> {
    let name = projector.name();
    if !name.is_plain() {
        return Err(CreateError::InvalidName { name });
    }
    let transaction = begin(database).await?;
    let builds = builds(&**transaction, Some(name.name)).await?;
    let live = builds.iter().find(|build| build.state == BuildState::Live);
    let state = match live {
        None => BuildState::Live,
        Some(live) if live.revision < name.revision => BuildState::Building,
        Some(_) => return Ok(transaction.rollback().await?),
    };
    if state == BuildState::Building && builds.iter().any(|build| build.revision == name.revision) {
        return Ok(transaction.rollback().await?);
    }
    let build = insert(&transaction, database, projector, state, Filling::default()).await?;
    record(
        &transaction,
        &build,
        "create",
        &upgrader(),
        "at the start of a program",
    )
    .await?;
    Ok(commit(transaction).await?)
}

/// Begins a build beside the live one, or goes on with one that was begun.
pub(crate) async fn begin_build(
    projector: &dyn Projector,
    database: &Database,
    filling: Filling,
    by: &Actor,
) -> Result<Begun, CreateError> {
    let name = projector.name();
    let transaction = begin(database).await?;
    let builds = builds(&**transaction, Some(name.name)).await?;
    let begun = builds
        .iter()
        .find(|build| build.state == BuildState::Building && build.revision == name.revision);
    if let Some(begun) = begun {
        transaction.rollback().await?;
        return Ok(Begun::Before(begun.name.clone()));
    }
    check_partitions(projector, filling.partitions)?;
    let state = BuildState::Building;
    let build = insert(&transaction, database, projector, state, filling).await?;
    let rate = match filling.events_per_second {
        Some(rate) => format!("at most {rate} events per second"),
        None => "as fast as it goes".to_owned(),
    };
    let what = format!("{name}, partitions {}, {rate}", filling.partitions);
    record(&transaction, &build, "rebuild", by, &what).await?;
    commit(transaction).await?;
    Ok(Begun::Now(build))
}

/// How many partitions, as the database counts them, if a build of this projector can have so many.
pub(crate) fn check_partitions(
    projector: &dyn Projector,
    partitions: u16,
) -> Result<i16, CreateError> {
    if partitions > 1 && projector.sharing() == Sharing::Undivided {
        return Err(CreateError::Undivided {
            projection: projector.name().name,
            partitions,
        });
    }
    let size = i16::try_from(partitions).ok().filter(|size| *size > 0);
    size.ok_or(CreateError::InvalidPartitions { partitions })
}

/// Whether a build was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It was begun by this call.
    Now(BuildName),
    /// It had been begun before, by its own settings, and is gone on with.
    Before(BuildName),
}

impl Begun {
    /// The build.
    #[must_use]
    pub const fn build(&self) -> &BuildName {
        match self {
            Self::Now(build) | Self::Before(build) => build,
        }
    }
}

/// Removes a build that is not live, with its tables.
pub(crate) async fn remove(
    database: &Database,
    build: &BuildName,
    by: &Actor,
) -> Result<(), CreateError> {
    let transaction = begin(database).await?;
    let builds = builds(&**transaction, Some(&build.projection)).await?;
    let found = builds.iter().find(|candidate| candidate.name == *build);
    match found.map(|found| found.state) {
        None => {
            return Err(CreateError::NoBuild {
                build: build.clone(),
            });
        }
        Some(BuildState::Live) => {
            return Err(CreateError::IsLive {
                build: build.clone(),
            });
        }
        Some(BuildState::Building | BuildState::Kept) => {}
    }
    // Its checkpoints go with it. A runner in the middle of a batch holds one of them, so this waits for
    // it, and nobody writes into tables that are gone.
    transaction
        .execute(DELETE, &[&build.projection, &build.build])
        .await?;
    transaction
        .batch_execute(&format!("DROP SCHEMA \"{}\" CASCADE", build.schema()))
        .await?;
    record(&transaction, build, "drop", by, "with its tables").await?;
    Ok(commit(transaction).await?)
}

async fn begin(database: &Database) -> Result<Transaction, CreateError> {
    let pool = database.pool(Role::Owner, 1)?;
    let client = pool.get().await.map_err(CreateError::Connect)?;
    Ok(Transaction::begin(client, LOCK).await?)
}

async fn insert(
    transaction: &Transaction,
    database: &Database,
    projector: &dyn Projector,
    state: BuildState,
    filling: Filling,
) -> Result<BuildName, CreateError> {
    let name = projector.name();
    let last: Option<i32> = transaction
        .query_one(LAST, &[&name.name])
        .await?
        .try_get(0)?;
    let build = BuildName::new(name.name, last.unwrap_or(0).saturating_add(1));
    let schema = build.schema();
    let (projector_role, reader) = (
        Role::Projector.name(database.name()),
        Role::Reader.name(database.name()),
    );
    let refused = |source| CreateError::Tables {
        build: build.clone(),
        source,
    };
    transaction
        .batch_execute(&format!(
            "CREATE SCHEMA \"{schema}\"; SET LOCAL search_path = \"{schema}\""
        ))
        .await
        .map_err(refused)?;
    transaction
        .batch_execute(projector.tables())
        .await
        .map_err(refused)?;
    transaction
        .batch_execute(&format!(
            "SET LOCAL search_path = DEFAULT; \
             GRANT USAGE ON SCHEMA \"{schema}\" TO \"{projector_role}\", \"{reader}\"; \
             GRANT SELECT ON ALL TABLES IN SCHEMA \"{schema}\" TO \"{reader}\"; \
             GRANT ALL ON ALL TABLES IN SCHEMA \"{schema}\" TO \"{projector_role}\"; \
             GRANT ALL ON ALL SEQUENCES IN SCHEMA \"{schema}\" TO \"{projector_role}\""
        ))
        .await?;
    let partitions = i16::try_from(filling.partitions).unwrap_or(i16::MAX);
    let rate = filling
        .events_per_second
        .map(|rate| i32::try_from(rate).unwrap_or(i32::MAX));
    transaction
        .execute(
            INSERT,
            &[
                &build.projection,
                &build.build,
                &name.revision,
                &state.as_str(),
                &partitions,
                &rate,
            ],
        )
        .await?;
    transaction
        .execute(
            CHECKPOINTS,
            &[&build.projection, &build.build, &i32::from(partitions)],
        )
        .await?;
    share_out(transaction, &build, 0, partitions).await?;
    Ok(build)
}

/// Why a build could not be made or removed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The name is not a plain one.
    #[error("projection name {:?} is not lower-case letters, digits and _ within 48 bytes", name.name)]
    InvalidName {
        /// The refused name.
        name: ProjectionName,
    },
    /// A number of partitions that there cannot be.
    #[error("a build has between 1 and 32767 partitions, not {partitions}")]
    InvalidPartitions {
        /// The refused number.
        partitions: u16,
    },
    /// More than one partition of what cannot be shared out.
    #[error(
        "the events of projection {projection} cannot be shared out among {partitions} partitions; it has one"
    )]
    Undivided {
        /// The projection.
        projection: &'static str,
        /// The refused number.
        partitions: u16,
    },
    /// No pool could be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No connection.
    #[error("no connection to the read model's database")]
    Connect(#[source] deadpool_postgres::PoolError),
    /// The database failed.
    #[error("the read model's database failed; was it migrated?")]
    Database(#[from] tokio_postgres::Error),
    /// The projector's tables could not be made.
    #[error("the tables of {build} cannot be made; see the SQL that its projector gives")]
    Tables {
        /// The build.
        build: BuildName,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// The transaction did not commit, or it is not known whether it did.
    #[error("the transaction failed; list the builds to see what has become of it")]
    Commit(#[from] CommitError),
    /// There is no such build.
    #[error("there is no {build}")]
    NoBuild {
        /// Its name.
        build: BuildName,
    },
    /// Readers see it.
    #[error("{build} is live; make another one live before it is dropped")]
    IsLive {
        /// Its name.
        build: BuildName,
    },
}
