//! A process of the server that is held still.

use std::time::Duration;

use folio_postgres::cluster::{Durability, ThrowawayCluster};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::{PATIENCE, store_database, superuser, wait_until};

const WRITER: &str =
    "SELECT pid, wait_event FROM pg_stat_activity WHERE backend_type = 'walwriter'";

/// Held until this is dropped, or it is killed.
pub(crate) struct Held(Pid);

impl Held {
    /// The process that writes the log in the background, for commits that do not wait for it. Held in
    /// its sleep: where it writes, it has the lock that every commit needs.
    pub(crate) async fn writer_of_the_log(superuser: &Client) -> Self {
        loop {
            let (held, waits_for) = Self::anywhere(superuser).await;
            if waits_for.as_deref() == Some("WalWriterMain") {
                return held;
            }
            drop(held);
            tokio::task::yield_now().await;
        }
    }

    /// Wherever it is, and what it says that it waits for there.
    async fn anywhere(superuser: &Client) -> (Self, Option<String>) {
        let writer: i32 = superuser.query_one(WRITER, &[]).await.unwrap().get(0);
        let held = Self::process(writer).await;
        let waits_for = superuser.query_one(WRITER, &[]).await.unwrap().get(1);
        (held, waits_for)
    }
}

impl Held {
    /// This one, once it stands still.
    pub(crate) async fn process(process: i32) -> Self {
        let held = Self(Pid::from_raw(process));
        kill(held.0, Signal::SIGSTOP).unwrap();
        wait_until("a process that stands still", async || stopped(process)).await;
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let continued = kill(self.0, Signal::SIGCONT);
        assert!(
            matches!(continued, Ok(()) | Err(Errno::ESRCH)),
            "{continued:?}"
        );
    }
}

/// Whether the system has stopped the process: a signal arrives some time after it was sent.
fn stopped(process: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    status.contains(") T ")
}

/// Taken wherever it stood, the writer now and then kept the lock of the log, and the appends that were
/// to go on without it waited for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_held_holds_up_no_commit() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let server = cluster.connection_config();
    let database = store_database(&server).await;
    let watching = superuser(&server, &database).await;
    let writing = keep_the_writer_busy(superuser(&server, &database).await).await;
    let committing = superuser(&server, &database).await;
    for _ in 0..50 {
        let held = Held::writer_of_the_log(&watching).await;
        assert!(commits_within(PATIENCE, &committing).await);
        drop(held);
    }
    // The control: without a look at what it waits for, it is soon taken where it must not be.
    wait_until("a commit that is held up", async || {
        let (held, _) = Held::anywhere(&watching).await;
        let commits = commits_within(Duration::from_secs(1), &committing).await;
        drop(held);
        !commits
    })
    .await;
    drop(writing);
    cluster.remove().await.unwrap();
}

/// Commits that do not wait for the log, for as long as what is answered is kept.
async fn keep_the_writer_busy(session: Client) -> JoinSet<()> {
    let begin = "CREATE TABLE public.written (what text NOT NULL); SET synchronous_commit = off";
    session.batch_execute(begin).await.unwrap();
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        let write = "INSERT INTO public.written
                     SELECT repeat(n::text, 200) FROM generate_series(1, 200) AS n";
        loop {
            session.batch_execute(write).await.unwrap();
        }
    });
    writing
}

/// Whether a commit that waits for the log has ended by then.
async fn commits_within(time: Duration, session: &Client) -> bool {
    let commit = session.batch_execute("INSERT INTO public.written VALUES ('a little')");
    match tokio::time::timeout(time, commit).await {
        Ok(committed) => committed.is_ok(),
        Err(_) => false,
    }
}
