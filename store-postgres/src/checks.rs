//! What a server must be like to be trusted with a ledger.

use std::time::Duration;

use thiserror::Error;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::database::{Database, Role, connect};

/// The level of the store's tables that this program works with: its highest migration.
pub(crate) const LEVEL: i32 = 8;

/// Read in one statement. A setting that the server does not know is missing from the answer.
const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)";
const LEVEL_IN_DATABASE: &str = "SELECT store.level()";

/// What a setting must be, and why.
const REQUIRED: [(&str, &str, &str); 4] = [
    (
        "fsync",
        "on",
        "a crash would lose commits, or the whole cluster",
    ),
    (
        "full_page_writes",
        "on",
        "a crash could leave half-written pages",
    ),
    (
        "synchronous_commit",
        "on",
        "an append would be acknowledged before it is safe",
    ),
    (
        "server_encoding",
        "UTF8",
        "names of streams and events could not be stored",
    ),
];

/// A server that throws its data away says so in its own configuration, and is let off what only
/// data that is kept needs.
const THROWAWAY: &str = "folio.throwaway";

/// How long two sessions may take to answer. Past that one waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes sure that the server keeps what it commits, that sessions are sessions, and that the tables
/// are those that this program knows.
pub(crate) async fn check(database: &Database) -> Result<(), UnfitServer> {
    let failed = |source| UnfitServer::Database {
        database: database.name().to_owned(),
        source,
    };
    // First, because a pooler that mixes sessions could mix up what the others are told.
    tokio::time::timeout(PATIENCE, check_sessions(database))
        .await
        .unwrap_or_else(|_| Err(pooler(database)))?;
    let client = database.connect(Role::Appender).await.map_err(failed)?;
    let names: Vec<&str> = REQUIRED.iter().map(|(name, ..)| *name).collect();
    let rows = client.query(SETTINGS, &[&names]).await.map_err(failed)?;
    let throwaway: Option<String> = client
        .query_one("SELECT current_setting($1, true)", &[&THROWAWAY])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    for (name, required, reason) in REQUIRED {
        let row = rows
            .iter()
            .find(|row| row.try_get(0).is_ok_and(|found: &str| found == name));
        let actual: &str = match row {
            Some(row) => row.try_get(1).map_err(failed)?,
            None => "unknown",
        };
        let durability = name != "server_encoding";
        if actual != required && !(durability && throwaway.as_deref() == Some("on")) {
            return Err(UnfitServer::Setting {
                name,
                actual: actual.to_owned(),
                required,
                reason,
            });
        }
    }
    let level: i32 = client
        .query_one(LEVEL_IN_DATABASE, &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|source| UnfitServer::NoStore {
            database: database.name().to_owned(),
            source,
        })?;
    if level != LEVEL {
        return Err(UnfitServer::Level {
            database: database.name().to_owned(),
            level,
        });
    }
    Ok(())
}

/// A pooler that gives each transaction another session of the server would lose our settings and
/// our locks. While a second connection holds a transaction open, such a pooler cannot give the
/// first one the session that it had, or has none to give.
///
/// In simple statements only: a prepared one may be gone, or be there already, in another session.
async fn check_sessions(database: &Database) -> Result<(), UnfitServer> {
    let failed = |source| UnfitServer::Database {
        database: database.name().to_owned(),
        source,
    };
    // The role is not taken on. It would stay with a session that is not ours alone.
    let config = database.config(Role::Appender);
    let first = connect(&config).await.map_err(failed)?;
    let second = connect(&config).await.map_err(failed)?;
    first
        .batch_execute("SET folio.session = 'first'")
        .await
        .map_err(failed)?;
    let before = session(&first).await.map_err(failed)?;
    second.batch_execute("BEGIN").await.map_err(failed)?;
    let other = session(&second).await.map_err(failed)?;
    let after = session(&first).await.map_err(failed)?;
    let is_first = |session: &Named| session.name.as_deref() == Some("first");
    if before != after || before.process == other.process || !is_first(&after) {
        return Err(pooler(database));
    }
    Ok(())
}

/// A session of the server, and what the connection has called it.
#[derive(PartialEq, Eq)]
struct Named {
    process: Option<String>,
    name: Option<String>,
}

async fn session(client: &Client) -> Result<Named, tokio_postgres::Error> {
    let asked = "SELECT pg_backend_pid(), current_setting('folio.session', true)";
    let messages = client.simple_query(asked).await?;
    let row = messages.iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else {
            return None;
        };
        Some(row)
    });
    let column = |index| row.and_then(|row| row.get(index)).map(str::to_owned);
    Ok(Named {
        process: column(0),
        name: column(1),
    })
}

fn pooler(database: &Database) -> UnfitServer {
    UnfitServer::Pooler {
        database: database.name().to_owned(),
    }
}

/// Why a server or its database is not fit to hold a store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnfitServer {
    /// A setting is not what it must be.
    #[error("the server has {name} = {actual}, and must have {required}: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it is.
        actual: String,
        /// What it must be.
        required: &'static str,
        /// What would happen.
        reason: &'static str,
    },
    /// Statements of one connection go to different sessions, or wait for those of another.
    #[error(
        "statements of one connection to {database} go to different sessions of the server, or wait \
         for those of another; connect past the pooler, or set it to pool sessions \
         (pool_mode = session), as many as there are connections"
    )]
    Pooler {
        /// The database.
        database: String,
    },
    /// The tables are of another program version.
    #[error(
        "database {database} is at level {level} and this program works with level {LEVEL}; {}",
        if *level < LEVEL { "migrate it" } else { "use the program that migrated it" }
    )]
    Level {
        /// The database.
        database: String,
        /// Its level.
        level: i32,
    },
    /// There is no store, or one from before levels could be asked.
    #[error("database {database} holds no event store of this version; migrate it")]
    NoStore {
        /// The database.
        database: String,
        /// What the driver said.
        source: tokio_postgres::Error,
    },
    /// The database cannot be asked.
    #[error("database {database} cannot be asked whether it is fit to hold a store")]
    Database {
        /// The database.
        database: String,
        /// What the driver said.
        source: tokio_postgres::Error,
    },
}
