//! Hears that there is something to see.
//!
//! A hint that is lost costs no more than the time to the next look, so nothing here has to be perfect.

use std::future::poll_fn;
use std::time::Duration;

use folio_postgres::{Database, Role};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::Failure;

/// What its session is called, so that an administrator can tell it from the others.
const LISTENER: &str = "folio registry listener";
/// Between two tries to connect: twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often it is made sure that the server is still at the other end, and how long that may take.
const ASKED_EVERY: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);

/// Hints at every change, for ever.
pub(super) async fn listen(database: &Database, hint: &Notify) {
    let mut pause = PAUSE_MIN;
    loop {
        let began = Instant::now();
        if let Err(error) = connected(database, hint).await {
            tracing::debug!(error, "nothing is heard from the registry for a while");
        }
        if began.elapsed() > PAUSE_MAX {
            pause = PAUSE_MIN;
        }
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

async fn connected(database: &Database, hint: &Notify) -> Result<(), Failure> {
    let mut config = database.config(Role::Reader);
    config.application_name(LISTENER);
    let (client, mut connection) = timeout(ANSWER, config.connect(NoTls)).await??;
    let role = Role::Reader.name(database.name()).replace('\'', "''");
    let opening = format!("SET role = '{role}'; LISTEN folio_registry");
    let hear = async {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(_))) => hint.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            }
        }
    };
    tokio::select! {
        heard = hear => heard,
        asked = keep_asking(&client, &opening, hint) => asked,
    }
}

/// Ends with an error when the server does not answer. One that is gone says nothing by itself.
async fn keep_asking(client: &Client, opening: &str, hint: &Notify) -> Result<(), Failure> {
    timeout(ANSWER, client.batch_execute(opening)).await??;
    // What was told before is not heard any more.
    hint.notify_one();
    loop {
        sleep(ASKED_EVERY).await;
        timeout(ANSWER, client.batch_execute("")).await??;
    }
}
