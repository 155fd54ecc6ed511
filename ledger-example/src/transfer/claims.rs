//! Which of several instances looks after a saga that is due.

use std::error::Error;
use std::time::Duration;

use folio_postgres::migrate::Migrations;
use folio_postgres::{Database, Pool, PoolError, Role};
use uuid::Uuid;

use crate::transfer::under_way::Key;

/// Why nothing was claimed; the log is told.
type Failure = Box<dyn Error + Send + Sync>;

/// How long a claim lasts that its owner does not make again: after that an instance that has died is replaced.
const TERM: Duration = Duration::from_secs(3);

/// A claim can be made again by its owner, so that an instance keeps what it has begun to look after.
const TAKE: &str = "INSERT INTO transfers.claims AS held (kind, saga_id, owner, epoch, held_until) \
     SELECT kind, saga_id, $3, 1, now() + $4 * interval '1 second' \
     FROM unnest($1::text[], $2::text[]) due (kind, saga_id) ORDER BY kind, saga_id \
     ON CONFLICT (kind, saga_id) DO UPDATE SET owner = excluded.owner, \
         held_until = excluded.held_until, \
         epoch = held.epoch + CASE WHEN held.owner = excluded.owner THEN 0 ELSE 1 END \
     WHERE held.owner = excluded.owner OR held.held_until < now() \
     RETURNING kind, saga_id";
const GIVE_BACK: &str = "DELETE FROM transfers.claims WHERE owner = $1";
const FORGET: &str = "DELETE FROM transfers.claims WHERE held_until < now() - interval '1 hour'";

mod embedded {
    refinery::embed_migrations!("migrations-transfers");
}

/// The claims of an instance.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    pool: Pool,
    owner: Uuid,
}

/// The migrations of the table of claims, for the database of the timers.
pub(super) fn migrations() -> Migrations {
    Migrations::new("ledger_transfers", embedded::migrations::runner())
}

impl Claims {
    /// Connections that it opens at most.
    pub(super) const CONNECTIONS: usize = 1;

    /// Those of an instance that starts now.
    pub(super) fn new(timers: &Database) -> Result<Self, PoolError> {
        Ok(Self {
            pool: timers.pool(Role::Projector, Self::CONNECTIONS)?,
            owner: Uuid::now_v7(),
        })
    }

    /// Claims what is due. Answers with what nobody else looks after.
    pub(super) async fn take(&self, due: Vec<Key>) -> Result<Vec<Key>, Failure> {
        if due.is_empty() {
            return Ok(due);
        }
        let (kinds, ids): (Vec<String>, Vec<String>) = due.into_iter().unzip();
        let mut client = self.pool.get().await?;
        let statement = client.prepare_cached(TAKE).await?;
        let seconds = TERM.as_secs_f64();
        let rows = client
            .query(&statement, &[&kinds, &ids, &self.owner, &seconds])
            .await?;
        client.finished();
        let keys = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        keys.collect()
    }

    /// Lets others look after all of it at once.
    pub(super) async fn give_back(&self) -> Result<(), Failure> {
        let mut client = self.pool.get().await?;
        client.execute(GIVE_BACK, &[&self.owner]).await?;
        client.finished();
        Ok(())
    }

    /// Removes claims that are long over, those of sagas that have ended.
    pub(super) async fn forget(&self) -> Result<(), Failure> {
        let mut client = self.pool.get().await?;
        client.execute(FORGET, &[]).await?;
        client.finished();
        Ok(())
    }
}
