//! The appender's connection, and how it makes sure that the one before it is gone.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::batch::{STATEMENT, TYPES};
use crate::database::{Database, Role};

/// Two numbers name an advisory lock. This is the first of those that sessions of appenders hold;
/// nothing else in Folio uses it.
const SESSIONS: i32 = 0x666f_6c61;

const HOLD: &str = "SELECT pg_advisory_lock($1, $2)";
/// Granted when no session holds the lock any more. As a lock of the transaction it is given back
/// at the end of this statement.
const OUTWAIT: &str = "SELECT pg_advisory_xact_lock($1, $2)";

/// A session that appends. For as long as the server keeps it, it holds an advisory lock of its own.
///
/// When its connection breaks, a statement may still be on its way to the server's process, which
/// carries it out before it notices. Only when that process has gone does "not on record" mean
/// "will never be", and then its lock can be had.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statement: Statement,
    pub(super) name: SessionName,
}

/// The lock that names a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionName(i32);

impl SessionName {
    fn next() -> Self {
        // Drawn once a process and counted from there: two processes hardly meet, and where they
        // do, one waits a little longer than it has to.
        static NEXT: AtomicI32 = AtomicI32::new(0);
        let mut drawn = NEXT.fetch_add(1, Ordering::Relaxed);
        if drawn == 0 {
            let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
            drawn = i32::from_be_bytes([a, b, c, d]);
            NEXT.store(drawn.wrapping_add(1), Ordering::Relaxed);
        }
        Self(drawn)
    }
}

impl Session {
    /// Connects, and waits until the session `after` has gone.
    pub(super) async fn open(
        database: &Database,
        after: Option<SessionName>,
        patience: Duration,
    ) -> Result<Self, SessionError> {
        let opened = async {
            let client = database.connect(Role::Appender).await?;
            let name = SessionName::next();
            client.execute(HOLD, &[&SESSIONS, &name.0]).await?;
            if let Some(SessionName(before)) = after {
                client.execute(OUTWAIT, &[&SESSIONS, &before]).await?;
            }
            let statement = client.prepare_typed(STATEMENT, &TYPES).await?;
            Ok(Self {
                client,
                statement,
                name,
            })
        };
        tokio::time::timeout(patience, opened)
            .await
            .unwrap_or(Err(SessionError::Patience(patience)))
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("no session for appending")]
    Database(#[from] tokio_postgres::Error),
    #[error("no session for appending within {0:?}")]
    Patience(Duration),
}
