//! Wake-ups between processes: a NOTIFY after appends of ours, and a LISTEN for those of others.
//!
//! Both go over a connection of their own. NOTIFY within the appending transaction would take a lock
//! of the whole database for the commit. A notification is a hint: one that is lost costs readers
//! nothing but the time to their next poll.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use folio_core::Position;
use tokio::sync::watch;
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement};

use crate::database::{Database, Role};
use crate::wakes::Wakes;

/// One NOTIFY for all appends of this time. The first goes out at once.
const PAUSE: Duration = Duration::from_millis(5);
/// The same where nobody is known to listen: each NOTIFY is a transaction, and beside a caller who is alone those of
/// every few milliseconds were a fiftieth of what he could do.
const PAUSE_UNHEARD: Duration = Duration::from_millis(100);
/// What its session is called, so that an administrator can tell it from those that read.
const LISTENER: &str = "folio listener";
const OTHERS: &str = include_str!("sql/others_listen.sql");
/// Between two tries to connect.
const RECONNECT: Duration = Duration::from_millis(500);

/// Tells the others of `here`, what this process has appended, and puts into `appended` what is heard
/// of theirs. Ends when the appender does.
pub(crate) async fn exchange(
    database: Database,
    mut here: watch::Receiver<Position>,
    appended: watch::Sender<Position>,
) {
    loop {
        if let Err(error) = connected(&database, &mut here, &appended).await {
            tracing::debug!(%error, "no wake-ups between processes for a while");
        }
        // The appender's end is all that ends this.
        tokio::select! {
            () = tokio::time::sleep(RECONNECT) => {}
            () = ended(&mut here) => return,
        }
        if here.has_changed().is_err() {
            return;
        }
    }
}

/// Where the appender tells how far it has come.
#[derive(Debug, Clone)]
pub(crate) struct Hints {
    /// What this process has appended, for the others to be told.
    pub(crate) here: watch::Sender<Position>,
    /// What anybody is known to have appended, for the readers here.
    pub(crate) appended: watch::Sender<Position>,
}

impl Hints {
    pub(crate) fn appended_here(&self, position: Position) {
        raise(&self.here, position);
        raise(&self.appended, position);
    }
}

/// Raises the hint of how far the store has come.
pub(crate) fn raise(appended: &watch::Sender<Position>, position: Position) {
    // Hints may come in any order; this one only ever grows.
    appended.send_if_modified(|head| {
        let grows = *head < position;
        *head = (*head).max(position);
        grows
    });
}

async fn ended(here: &mut watch::Receiver<Position>) {
    while here.changed().await.is_ok() {}
}

async fn connected(
    database: &Database,
    here: &mut watch::Receiver<Position>,
    appended: &watch::Sender<Position>,
) -> Result<(), tokio_postgres::Error> {
    let mut config = database.config(Role::Reader);
    config.application_name(LISTENER);
    let (client, mut connection) = config.connect(NoTls).await?;
    let hear = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    let position = notification.payload().parse().ok();
                    if let Some(position) = position.and_then(Position::new) {
                        raise(appended, position);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    };
    let opening = database.opening(Role::Reader);
    let both = async {
        tokio::select! {
            heard = hear => heard,
            told = tell(&client, &opening, here, appended) => told,
        }
    };
    Wakes::new().drive(both).await
}

async fn tell(
    client: &Client,
    opening: &str,
    here: &mut watch::Receiver<Position>,
    appended: &watch::Sender<Position>,
) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(opening).await?;
    // A NOTIFY is written to the log like any commit. It need not be waited for.
    client
        .batch_execute("SET synchronous_commit = off; LISTEN folio_appended")
        .await?;
    // Listening first and asking then: what is appended in between is heard, and in the other order
    // it would not be.
    let head: i64 = client.query_one(crate::read::HEAD, &[]).await?.try_get(0)?;
    raise(appended, Position::START.plus(head));
    let mut audience = Audience::new(client).await?;
    loop {
        if here.changed().await.is_err() {
            return Ok(());
        }
        let position = *here.borrow_and_update();
        client
            .batch_execute(&format!("NOTIFY folio_appended, '{position}'"))
            .await?;
        tokio::time::sleep(audience.pause(client).await?).await;
    }
}

/// Whether others listen, and how often they are told then.
struct Audience {
    others: Statement,
    /// What was found, and when.
    found: Option<(Instant, Duration)>,
}

impl Audience {
    async fn new(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            others: client.prepare(OTHERS).await?,
            found: None,
        })
    }

    /// How long to wait before the next NOTIFY. One who begins to listen meanwhile asks where the store ends, so that
    /// he misses nothing.
    async fn pause(&mut self, client: &Client) -> Result<Duration, tokio_postgres::Error> {
        if let Some((at, pause)) = self.found
            && at.elapsed() < PAUSE_UNHEARD
        {
            return Ok(pause);
        }
        let others = client.query_one(&self.others, &[&LISTENER]).await?;
        let pause = match others.try_get(0)? {
            true => PAUSE,
            false => PAUSE_UNHEARD,
        };
        self.found = Some((Instant::now(), pause));
        Ok(pause)
    }
}
