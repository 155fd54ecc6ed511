//! Following a store: what is wanted, where it goes on, and what stops it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, BatchSize, Checkpoint, CommandContext, CommandId, EventHash, EventStore,
    ExpectedVersion, Filter, Fingerprint, HistoryError, InMemoryStore, Member, NewEvent, Position,
    StreamId,
};
use folio_postgres::{
    Database, PostgresStore, Replay, Role, Subscription, SubscriptionError, SubscriptionSettings,
};
use folio_tests::postgres;
use tokio_postgres::{AsyncMessage, Client};

const PATIENCE: Duration = Duration::from_secs(30);

async fn on_both_stores<F: Future<Output = ()>>(case: impl Fn(Arc<dyn EventStore>) -> F) {
    case(Arc::new(InMemoryStore::default())).await;
    case(Arc::new(postgres::store().await)).await;
}

fn follow(
    store: &Arc<dyn EventStore>,
    filter: Filter,
    batch: u16,
) -> Subscription<Arc<dyn EventStore>> {
    let settings = SubscriptionSettings {
        filter,
        batch: BatchSize::new(batch).unwrap(),
        ..SubscriptionSettings::default()
    };
    Subscription::new(
        Arc::clone(store),
        Checkpoint::start(store.store_id()),
        settings,
    )
}

/// Positions of the events up to `until`.
async fn until(subscription: &mut Subscription<Arc<dyn EventStore>>, until: i64) -> Vec<i64> {
    let mut positions = Vec::new();
    while subscription.position().number() < until {
        let page = tokio::time::timeout(PATIENCE, subscription.next())
            .await
            .expect("it goes on")
            .unwrap();
        positions.extend(page.events.iter().map(|event| event.position.number()));
    }
    positions
}

#[tokio::test]
async fn it_catches_up_and_goes_on_live_and_again_from_its_checkpoint() {
    on_both_stores(|store| async move {
        append(&store, "even/a", 25).await;
        let mut all = follow(&store, Filter::all(), 10);
        assert_eq!(until(&mut all, 25).await, (1..=25).collect::<Vec<_>>());
        let (seen, ()) = tokio::join!(until(&mut all, 30), append(&store, "odd/b", 5));
        assert_eq!(seen, [26, 27, 28, 29, 30]);
        let checkpoint = all.checkpoint();
        append(&store, "even/a", 1).await;
        let settings = SubscriptionSettings::default();
        let mut again = Subscription::new(Arc::clone(&store), checkpoint, settings);
        assert_eq!(until(&mut again, 31).await, [31]);
    })
    .await;
}

/// A limit applies after the filter, and the position moves on past what is not wanted.
#[tokio::test]
async fn it_gives_what_is_wanted_and_moves_on_past_the_rest() {
    on_both_stores(|store| async move {
        for round in 0..10 {
            append(&store, &format!("even/{round}"), 2).await;
            append(&store, "odd/b", 1).await;
        }
        let thirds: Vec<i64> = (1..=10).map(|n| n * 3).collect();
        let mut category = follow(&store, Filter::category("odd"), 4);
        assert_eq!(until(&mut category, 30).await, thirds);
        let stream = StreamId::new("odd", "b").unwrap();
        assert_eq!(
            until(&mut follow(&store, Filter::stream(stream), 100), 30).await,
            thirds
        );
        let nothing = until(&mut follow(&store, Filter::category("none"), 4), 30).await;
        assert!(nothing.is_empty());
        // Nothing to come: a category that ends early holds up nobody.
        assert_eq!(category.position().number(), 30);
    })
    .await;
}

#[tokio::test]
async fn members_of_a_group_share_the_streams() {
    on_both_stores(|store| async move {
        for name in 0..40 {
            append(&store, &format!("even/{name}"), 2).await;
        }
        let mut seen = Vec::new();
        for number in 0..3 {
            let member = Member::new(number, 3).unwrap();
            let filter = Filter::category("even").for_member(member);
            let positions = until(&mut follow(&store, filter, 7), 80).await;
            // Both events of a stream fall to the same member.
            assert!(positions.chunks(2).all(|pair| pair[1] == pair[0] + 1));
            assert!(!positions.is_empty());
            seen.extend(positions);
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=80).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_store_with_another_history_stops_it() {
    on_both_stores(|store| async move {
        append(&store, "even/a", 3).await;
        let at = |position, event| Checkpoint {
            store_id: store.store_id(),
            position: Position::new(position).unwrap(),
            event,
        };
        let forked = at(2, EventHash::NONE);
        let ahead = at(9, EventHash::NONE);
        let mut other = at(2, EventHash::NONE);
        other.store_id = folio_core::StoreId::from_uuid(uuid::Uuid::from_u128(9));
        for (checkpoint, expected) in [(forked, "forked"), (ahead, "went back"), (other, "other")] {
            let settings = SubscriptionSettings::default();
            let mut subscription = Subscription::new(Arc::clone(&store), checkpoint, settings);
            let error = subscription.next().await.unwrap_err();
            let as_expected = match expected {
                "forked" => matches!(
                    error,
                    SubscriptionError::History(HistoryError::Forked { .. })
                ),
                "went back" => {
                    matches!(
                        error,
                        SubscriptionError::History(HistoryError::WentBack { .. })
                    )
                }
                _ => matches!(
                    error,
                    SubscriptionError::History(HistoryError::OtherStore { .. })
                ),
            };
            assert!(as_expected, "{expected}: {error:?}");
            assert!(!error.is_transient());
        }
    })
    .await;
}

/// Its connections are ended again and again; what is read goes on where it was.
#[tokio::test]
async fn lost_connections_lose_nothing() {
    let database = postgres::store_database().await;
    let store: Arc<dyn EventStore> = Arc::new(PostgresStore::open(&database, 1).await.unwrap());
    let mut subscription = follow(&store, Filter::all(), 10);
    let mut seen = Vec::new();
    for round in 1..=5 {
        append(&store, "even/a", 20).await;
        postgres::end_all_sessions(&database).await;
        while subscription.position().number() < round * 20 {
            match tokio::time::timeout(PATIENCE, subscription.next())
                .await
                .unwrap()
            {
                Ok(page) => seen.extend(page.events.iter().map(|event| event.position.number())),
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
        }
    }
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
}

/// A replay reads ahead. The page that is ahead must not keep the only connection from a reader that
/// asks the store for something else meanwhile.
#[tokio::test]
async fn a_replay_that_reads_ahead_keeps_no_connection_from_its_reader() {
    let database = postgres::store_database().await;
    let postgres = Arc::new(PostgresStore::open(&database, 1).await.unwrap());
    let store: Arc<dyn EventStore> = Arc::clone(&postgres) as _;
    append(&store, "even/a", 95).await;
    let page = BatchSize::new(10).unwrap();
    let until = Position::new(95).unwrap();
    let mut replay = Replay::new(postgres, Position::START, until, page);
    let mut seen = Vec::new();
    while let Some(events) = tokio::time::timeout(PATIENCE, replay.next())
        .await
        .expect("it goes on")
        .unwrap()
    {
        let head = tokio::time::timeout(PATIENCE, store.head()).await;
        assert_eq!(head.expect("a connection").unwrap(), until);
        seen.extend(events.iter().map(|event| event.position.number()));
    }
    assert_eq!(seen, (1..=95).collect::<Vec<_>>());
}

/// With an hour between two polls only the notification can have woken it.
#[tokio::test]
async fn an_append_of_another_process_wakes_it() {
    let database = postgres::store_database().await;
    let here = Arc::new(PostgresStore::open(&database, 1).await.unwrap());
    let there: Arc<dyn EventStore> = Arc::new(PostgresStore::open(&database, 1).await.unwrap());
    let settings = SubscriptionSettings {
        poll: Duration::from_secs(3_600),
        ..SubscriptionSettings::default()
    };
    let mut subscription = Subscription::new(
        Arc::clone(&here),
        Checkpoint::start(here.store_id()),
        settings,
    );
    for round in 1..=3 {
        // The first may be heard of by asking for the head when the listener connects.
        let (page, ()) = tokio::join!(
            tokio::time::timeout(PATIENCE, subscription.next()),
            append(&there, "even/a", 1)
        );
        assert_eq!(page.expect("it is woken").unwrap().through.number(), round);
    }
}

/// Each is a transaction of its own, for nobody.
#[tokio::test]
async fn few_notifications_go_out_where_nobody_is_known_to_listen() {
    let database = postgres::store_database().await;
    let here: Arc<dyn EventStore> = Arc::new(PostgresStore::open(&database, 1).await.unwrap());
    let (_listening, heard) = notifications(&database).await;
    let since = Instant::now();
    while heard.load(Ordering::Relaxed) == 0 {
        assert!(since.elapsed() < PATIENCE, "none at all");
        append(&here, "even/a", 1).await;
    }
    let (alone, time) = heard_in_a_second(&here, &heard).await;
    let most = usize::try_from(time.as_millis() / 100).unwrap() + 2;
    assert!(alone <= most, "{alone} in {time:?}");

    let _there = PostgresStore::open(&database, 1).await.unwrap();
    let since = Instant::now();
    while heard_in_a_second(&here, &heard).await.0 < 2 * most {
        assert!(since.elapsed() < PATIENCE, "as few as before");
    }
}

/// Counts what a session hears whose name nobody knows.
async fn notifications(database: &Database) -> (Client, Arc<AtomicUsize>) {
    let config = database.config(Role::Reader);
    let (client, mut connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|task| connection.poll_message(task)).await {
            if let AsyncMessage::Notification(_) = message.unwrap() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    client.batch_execute("LISTEN folio_appended").await.unwrap();
    (client, heard)
}

async fn heard_in_a_second(store: &Arc<dyn EventStore>, heard: &AtomicUsize) -> (usize, Duration) {
    let (since, before) = (Instant::now(), heard.load(Ordering::Relaxed));
    while since.elapsed() < Duration::from_secs(1) {
        append(store, "even/a", 1).await;
    }
    (heard.load(Ordering::Relaxed) - before, since.elapsed())
}

async fn append(store: &Arc<dyn EventStore>, stream: &str, events: usize) {
    let (category, id) = stream.split_once('/').unwrap();
    let event = NewEvent {
        event_type: "Happened".to_owned(),
        schema_version: 1,
        payload: b"{}".to_vec(),
    };
    let write = StreamWrite {
        stream: StreamId::new(category, id).unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event; events],
    };
    let command = CommandId::derived(&["subscriptions", &postgres::unique("command")]);
    let context = CommandContext::new(command, Actor::anonymous());
    let request = Append::events(context, Fingerprint::of(&[]), vec![write]);
    // A connection that was ended is replaced, and nothing was recorded on it.
    while let Err(error) = store.append(request.clone()).await {
        assert!(
            matches!(error, folio_core::AppendError::Unavailable(_)),
            "{error:?}"
        );
    }
}
