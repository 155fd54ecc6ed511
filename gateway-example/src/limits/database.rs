//! The buckets of a shared limit in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use folio_core::error_chain;
use folio_postgres::migrate::Migrations;
use folio_postgres::{
    Database, MigrateError, Pool, PoolError, ProvisionError, Role, migrate, provision,
    provision_login,
};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use super::lease::Grant;
use super::shared::{Asked, SourceError, TokenSource};

/// Takes as many tokens as are wanted or there are: $3 of a burst of $6, of which $5 come back in $4 microseconds.
///
/// `tat` is when all of them will be back. Each that is taken moves it on by what one takes to come back, rounded up for
/// all of them together; it may not lie further ahead than what the whole burst takes. If it does, the policy has changed
/// or the server's clock was put back, and it counts as a burst that is gone. The row is locked before the clock is read
/// and anything computed, so whoever waits for it computes with what the one before has left.
const TAKE: &str = "INSERT INTO limits.buckets AS held (policy, key, tat, granted) \
     SELECT $1::text, $2::text, clock_timestamp() \
         + (wanted * $4::bigint + $5::bigint - 1) / $5::bigint * interval '1 microsecond', wanted \
     FROM (SELECT least($3::bigint, $6::bigint) AS wanted) AS new \
     ON CONFLICT (policy, key) DO UPDATE SET (tat, granted) = ( \
         SELECT moment + (ahead + (room * $4::bigint + $5::bigint - 1) / $5::bigint) * interval '1 microsecond', room \
         FROM (SELECT clock_timestamp() AS moment) AS clock, \
              LATERAL (SELECT least( \
                  greatest(0, (extract(epoch FROM held.tat - moment) * 1000000)::bigint), \
                  ($6::bigint * $4::bigint + $5::bigint - 1) / $5::bigint) AS ahead) AS before, \
              LATERAL (SELECT greatest(0, least( \
                  $3::bigint, ($6::bigint * $4::bigint - ahead * $5::bigint) / $4::bigint)) AS room) AS after) \
     RETURNING granted, (extract(epoch FROM tat - clock_timestamp()) * 1000000)::bigint";
const FORGET: &str = "DELETE FROM limits.buckets WHERE tat < now() - interval '1 day'";

/// How often old rows are removed.
const EVERY: Duration = Duration::from_secs(600);
const ROLES: &[Role] = &[Role::Projector];

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The database in which gateways keep limits together.
#[derive(Debug, Clone)]
pub struct LimitsDatabase {
    /// The database.
    pub database: Database,
}

impl LimitsDatabase {
    /// The one of this name, which was made before.
    #[must_use]
    pub fn new(server: Config, name: &str) -> Self {
        Self {
            database: Database::new(server, name),
        }
    }

    /// Makes the database and its roles on a server, and migrates it. What is there already is kept.
    ///
    /// # Errors
    ///
    /// [`PrepareLimitsError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves some of it made; calling again makes the rest.
    pub async fn prepare(server: &Config, name: &str) -> Result<Self, PrepareLimitsError> {
        let database = provision(server, name, ROLES).await?;
        let migrations = Migrations::new("limits", embedded::migrations::runner());
        migrate(&database, migrations).await?;
        Ok(Self { database })
    }

    /// Makes the database and its roles on a server, and the login of gateways, which can connect to no other database.
    /// Answers how they connect.
    ///
    /// # Errors
    ///
    /// [`PrepareLimitsError`].
    ///
    /// # Cancel safety
    ///
    /// As [`prepare`](Self::prepare).
    pub async fn provision(server: &Config, name: &str) -> Result<Config, PrepareLimitsError> {
        let database = provision(server, name, ROLES).await?;
        let roles = [&[Role::Owner], ROLES].concat();
        let login = format!("{name}_gateway");
        Ok(provision_login(server, &login, &[(&database, &roles)]).await?)
    }
}

/// Why the database of limits could not be made.
#[derive(Debug, Error)]
pub enum PrepareLimitsError {
    /// Not made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// Not migrated.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// The buckets, each of which is a row. As long as it lives, it removes old ones.
#[derive(Debug)]
pub struct SqlBuckets {
    pool: Pool,
    sweeping: JoinHandle<()>,
}

impl SqlBuckets {
    /// Connections that it opens at most.
    pub const CONNECTIONS: usize = 4;

    /// Those in this database. It is connected to at once, so that who asks first need not wait for it, and nobody waits
    /// for that here. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn new(database: &LimitsDatabase) -> Result<Self, PoolError> {
        let pool = database.database.pool(Role::Projector, Self::CONNECTIONS)?;
        let sweeping = tokio::spawn(sweep(pool.clone()));
        Ok(Self { pool, sweeping })
    }

    /// Removes rows that have said nothing for a day. It does so by itself every ten minutes.
    ///
    /// # Errors
    ///
    /// What the database says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it to the next time.
    pub async fn forget(&self) -> Result<(), SourceError> {
        forget(&self.pool).await
    }
}

impl Drop for SqlBuckets {
    fn drop(&mut self) {
        self.sweeping.abort();
    }
}

#[async_trait]
impl TokenSource for SqlBuckets {
    async fn take(&self, asked: Asked<'_>) -> Result<Grant, SourceError> {
        let mut client = self.pool.get().await?;
        let statement = client.prepare_cached(TAKE).await?;
        let policy = asked.policy;
        let window_us = i64::try_from(policy.window().as_micros())?;
        let quota = i64::from(policy.quota().get());
        let burst = i64::from(asked.burst);
        let wanted = i64::from(asked.wanted.get());
        let name = policy.name();
        let row = client
            .query_one(
                &statement,
                &[&name, &asked.key, &wanted, &window_us, &quota, &burst],
            )
            .await?;
        client.finished();
        let (granted, ahead_us): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        // No overflow: the policy bounds each of them.
        let left = burst
            .saturating_mul(window_us)
            .saturating_sub(ahead_us.saturating_mul(quota))
            / window_us.max(1);
        Ok(Grant {
            granted: u32::try_from(granted)?,
            left: u32::try_from(left.max(0))?,
            full_in: Duration::from_micros(u64::try_from(ahead_us.max(0))?),
        })
    }
}

async fn sweep(pool: Pool) {
    loop {
        if let Err(error) = forget(&pool).await {
            tracing::warn!(cause = error_chain(&*error), "old limits were not removed");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn forget(pool: &Pool) -> Result<(), SourceError> {
    let mut client = pool.get().await?;
    client.execute(FORGET, &[]).await?;
    client.finished();
    Ok(())
}
