//! The appender's connection, and how it makes sure that the one before it is gone.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_postgres::{Client, NoTls, Row, Statement};
use uuid::Uuid;

use super::answer::Recorded;
use super::batch::{Parameters, STATEMENT, TYPES};
use super::ends::Ends;
use super::single::{ALONE, ALONE_TYPES, NEXT, NEXT_TYPES, Single};
use crate::database::{Database, Role};
use crate::wakes::Wakes;

/// Two numbers name an advisory lock. This is the first of those that sessions of appenders hold;
/// nothing else in Folio uses it.
const SESSIONS: i32 = 0x666f_6c61;

static SESSIONS_OPENED: AtomicU64 = AtomicU64::new(1);

/// What `store.append_next` leaves to the session: a plan that is made once, and, as it may be made while a table is empty, one that
/// is right for the rows that come.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off";

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
    client: Client,
    driver: Driver,
    many: Statement,
    alone: Statement,
    next: Statement,
    pub(super) name: SessionName,
    /// A later one of this process has a higher number.
    pub(super) number: u64,
    /// What it has written. It goes with the session: see there.
    pub(super) ends: Ends,
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
            let config = database.config(Role::Appender);
            let (client, connection) = config.connect(NoTls).await?;
            let mut driver = Driver::new(connection);
            let name = SessionName::next();
            let prepared = async {
                client
                    .batch_execute(&database.opening(Role::Appender))
                    .await?;
                client.batch_execute(SETTINGS).await?;
                client.execute(HOLD, &[&SESSIONS, &name.0]).await?;
                if let Some(SessionName(before)) = after {
                    client.execute(OUTWAIT, &[&SESSIONS, &before]).await?;
                }
                let many = client.prepare_typed(STATEMENT, &TYPES).await?;
                let alone = client.prepare_typed(ALONE, &ALONE_TYPES).await?;
                let next = client.prepare_typed(NEXT, &NEXT_TYPES).await?;
                Ok::<_, tokio_postgres::Error>((many, alone, next))
            };
            let (many, alone, next) = driver.drive(prepared).await?;
            Ok(Self {
                client,
                driver,
                many,
                alone,
                next,
                name,
                number: SESSIONS_OPENED.fetch_add(1, Ordering::Relaxed),
                ends: Ends::default(),
            })
        };
        tokio::time::timeout(patience, opened)
            .await
            .unwrap_or(Err(SessionError::Patience(patience)))
    }

    /// Sends a batch, and waits for its rows.
    pub(super) async fn send_many(
        &mut self,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let parameters = parameters.as_sql();
        let rows = self.client.query(&self.many, &parameters);
        self.driver.drive(rows).await
    }

    /// Sends a command by itself: what was recorded, if it was.
    pub(super) async fn send_single(
        &mut self,
        single: &Single<'_>,
    ) -> Result<Option<Recorded>, tokio_postgres::Error> {
        let statement = match single {
            Single::Alone(_) => &self.alone,
            Single::Next(_) => &self.next,
        };
        let parameters = single.as_sql();
        let rows = self.client.query(statement, &parameters);
        single.recorded(&self.driver.drive(rows).await?)
    }

    /// Returns when the connection has ended, for as long as nothing is asked of it.
    pub(super) async fn ended(&mut self) {
        self.driver.ended().await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// The half of a connection that reads and writes. It is driven by whoever waits for an answer, and
/// not by a task of its own: alone, an append would otherwise wait four times for another thread to
/// wake up, and not twice.
struct Driver {
    connection: Option<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    /// A request that is put in and an answer that comes out are news of the connection, to the task that sees to both already.
    wakes: Wakes,
}

/// How a connection has ended.
type Ended = Result<(), tokio_postgres::Error>;

impl Driver {
    fn new(connection: impl Future<Output = Ended> + Send + 'static) -> Self {
        Self {
            connection: Some(Box::pin(connection)),
            wakes: Wakes::new(),
        }
    }

    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let Self { connection, wakes } = self;
        let both = poll_fn(|context| {
            // First the work, which has something to send; then the connection; then what has come.
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            go_on(connection, context);
            work.as_mut().poll(context)
        });
        wakes.drive(both).await
    }

    async fn ended(&mut self) {
        let Self { connection, wakes } = self;
        let end = poll_fn(|context| {
            go_on(connection, context);
            if connection.is_none() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        wakes.drive(end).await;
    }
}

/// Lets a connection go on. Once it has ended it is dropped, which tells the client.
fn go_on(
    connection: &mut Option<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    context: &mut Context<'_>,
) {
    let Some(going_on) = connection else {
        return;
    };
    if let Poll::Ready(ended) = going_on.as_mut().poll(context) {
        if let Err(error) = ended {
            tracing::debug!(%error, "the appender's connection ended");
        }
        *connection = None;
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
