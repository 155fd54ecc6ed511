//! Callers who leave at every moment of a call that there is. Whoever comes next finds a store that
//! works, and what was left is there as a whole or not at all.

use std::pin::Pin;

use folio_core::store::{AppendStatus, EventStore};
use folio_core::{BatchSize, EventHash, Filter, Position, Snapshot, StreamId, Version};
use folio_postgres::PostgresStore;
use folio_tests::postgres;
use futures_util::poll;
use tokio_postgres::Client;

use super::{events_by_command, read_all, request, wait_until};

const EVENTS: usize = 3;
/// How many calls in a row must have come to their end before it is believed that there is no later
/// moment to leave at: how often a call is polled is not the same each time.
const DONE: usize = 5;

/// On a store with one connection for reading, alone and with others in the same batch.
#[tokio::test]
async fn a_caller_may_leave_at_any_moment() {
    for others in [0, 3] {
        let database = postgres::store_database().await;
        let store = PostgresStore::open(&database, 1).await.unwrap();
        let watching = postgres::superuser(&database).await;
        let (mut recorded, mut not_recorded) = (0, 0);
        let mut moments = Moments::default();
        while let Some(polls) = moments.next() {
            let append = request("left", EVENTS);
            // Polled first, so that they wait for the appender beside the one that is left.
            let mut beside: Vec<_> = (0..others)
                .map(|_| Box::pin(store.append(request("beside", EVENTS))))
                .collect();
            for other in &mut beside {
                assert!(poll!(other.as_mut()).is_pending());
            }
            moments.was(leave(Box::pin(store.append(append.clone())), polls).await);
            for other in beside {
                assert_eq!(other.await.unwrap().status, AppendStatus::Executed);
            }
            match store.append(append).await.unwrap().status {
                AppendStatus::AlreadyApplied => recorded += 1,
                AppendStatus::Executed => not_recorded += 1,
            }
            nothing_is_left(&watching).await;
        }
        eprintln!("{polls} polls, {recorded} recorded", polls = moments.polls);
        // Else it was not left at moments of both kinds, and nothing was shown.
        assert!(recorded > DONE && not_recorded > 1);
        let events = events_by_command(&read_all(&store).await);
        assert_eq!(events.len(), (1 + others) * (recorded + not_recorded));
        assert!(events.values().all(|count| *count == EVENTS));
    }
}

/// Every read, and the one write that is no append. The next caller gets the same connection if the
/// last one had been answered, and else one of its own.
#[tokio::test]
async fn a_reader_may_leave_at_any_moment() {
    let database = postgres::store_database().await;
    let watching = postgres::superuser(&database).await;
    let store = PostgresStore::open(&database, 1).await.unwrap();
    let append = request("read", EVENTS);
    let command = append.context.id;
    store.append(append).await.unwrap();
    let stream = StreamId::new("fault", "read").unwrap();
    let limit = BatchSize::default();
    let kept = Snapshot {
        state_version: 1,
        version: Version::new(1).unwrap(),
        event: EventHash::NONE,
        state: b"{}".to_vec(),
    };

    macro_rules! left {
        ($call:expr, $is_right:expr) => {
            let mut moments = Moments::default();
            while let Some(polls) = moments.next() {
                moments.was(leave(Box::pin($call), polls).await);
                assert!($is_right($call.await.unwrap()), "{}", stringify!($call));
                nothing_is_left(&watching).await;
            }
            eprintln!("{} polls: {}", moments.polls, stringify!($call));
            assert!(moments.left > 0, "{}", stringify!($call));
        };
    }
    left!(
        store.read_stream(&stream, Version::NONE, limit),
        |events: Vec<_>| events.len() == EVENTS
    );
    left!(
        store.read_all(Position::START, limit),
        |events: Vec<_>| events.len() == EVENTS
    );
    left!(
        store.read_filtered(&Filter::category("fault"), Position::START, limit),
        |page: folio_core::Page| page.events.len() == EVENTS
    );
    left!(store.outcome(command), |outcome: Option<_>| outcome
        .is_some());
    left!(store.head(), |head: Position| head.number() == 3);
    left!(store.keep_snapshot(&stream, kept.clone()), |()| true);
    left!(store.snapshot(&stream, 1), |snapshot| snapshot
        == Some(kept.clone()));
    drop(store);
    sessions_end(&watching).await;
}

/// After how many polls to leave: after none, one, two and so on, until the call is done by then.
#[derive(Default)]
struct Moments {
    polls: usize,
    /// How many calls were left before their end.
    left: usize,
    done_in_a_row: usize,
}

impl Moments {
    fn next(&mut self) -> Option<usize> {
        let polls = self.polls;
        self.polls += 1;
        (self.done_in_a_row < DONE).then_some(polls)
    }

    fn was(&mut self, call: Call) {
        match call {
            Call::Done => self.done_in_a_row += 1,
            Call::Left => {
                self.left += 1;
                self.done_in_a_row = 0;
            }
        }
    }
}

enum Call {
    Done,
    Left,
}

/// Polls a call so often, lets everybody else go one step in between, and drops it.
async fn leave<F: Future>(mut call: Pin<Box<F>>, polls: usize) -> Call {
    for poll in 0..polls {
        if poll > 0 {
            tokio::task::yield_now().await;
        }
        if poll!(call.as_mut()).is_ready() {
            return Call::Done;
        }
    }
    Call::Left
}

/// Waits until no session of the store is in a transaction or holds a lock, but for the advisory lock
/// by which an appender's session is known.
async fn nothing_is_left(watching: &Client) {
    wait_until("sessions without transactions and locks", async || {
        let row = watching
            .query_one(
                "SELECT (SELECT count(*) FROM pg_stat_activity \
                         WHERE datname = current_database() AND pid <> pg_backend_pid() \
                           AND (state <> 'idle' OR backend_xid IS NOT NULL)) \
                      + (SELECT count(*) FROM pg_locks \
                         WHERE pid IN (SELECT pid FROM pg_stat_activity \
                                       WHERE datname = current_database()) \
                           AND pid <> pg_backend_pid() AND locktype <> 'advisory')",
                &[],
            )
            .await
            .unwrap();
        row.get::<_, i64>(0) == 0
    })
    .await;
}

/// Waits until the store, which is gone, has left no session behind.
async fn sessions_end(watching: &Client) {
    const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity \
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";
    wait_until("the end of all sessions", async || {
        let row = watching.query_one(OTHERS, &[]).await.unwrap();
        row.get::<_, i64>(0) == 0
    })
    .await;
}
