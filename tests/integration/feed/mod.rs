//! A service projects another one's events over HTTP.

mod answers;
mod stand_in;

use std::sync::Arc;
use std::time::Duration;

use folio_core::{BatchSize, EventStore, Filter, Member, RecordedEvent};
use folio_postgres::PostgresStore;
use folio_projections::feed::{FeedPage, FeedSource};
use folio_projections::{Projection, Settings, Source, StoreSource};
use folio_tests::api::{Answer, Api};
use folio_tests::{postgres, scale};
use ledger_example::AccountsDatabases;
use ledger_example::read_model::BalancesProjector;
use nix::sys::signal::Signal;
use tokio::time::{Instant, timeout};

use crate::kill::{free_address, start};
use crate::projections::kit::{
    Models, PATIENCE, Positions, Running, SETTINGS, append, append_over, at, one_to,
};

/// All of a model, and the checkpoint that it was filled up to.
const MODEL: &str = "SELECT a::text FROM balances_1.accounts a \
     UNION ALL SELECT l::text FROM balances_1.legs l \
     UNION ALL SELECT (store_id, position, event_hash)::text FROM projections.checkpoints \
     ORDER BY 1";

#[tokio::test]
async fn a_projection_of_a_feed_is_the_one_of_the_store() {
    let api = Api::start().await;
    for account in ["1", "2", "3"] {
        api.open(account, "unlimited").await;
    }
    for amount in 1..=20 {
        let account = if amount % 3 == 0 { "1" } else { "2" };
        let side = if amount % 2 == 0 { "credits" } else { "debits" };
        api.posting(account, side, &amount.to_string()).await;
    }
    let models = Models::new().await;
    let running = Running::from(
        BalancesProjector::of(&api.databases.book),
        StoreSource::new(Arc::new(beside(&api).await)),
        &models,
        SETTINGS,
    )
    .await;
    running.reaches(64).await;
    let last = api.posting("1", "credits", "7.07").await;
    running.reaches(67).await;
    api.balance("1", last.token()).await;
    running.stop().await;

    let over_http = rows(&api.databases.balances, &api).await;
    assert_eq!(over_http, rows(models.database(), &api).await);
    // With the contra account, and a leg on it for each on the others.
    assert_eq!(over_http.len(), 4 + 2 * 21 + 1);
    api.stop().await;
}

async fn rows(models: &folio_postgres::Database, api: &Api) -> Vec<String> {
    let client = postgres::superuser(models).await;
    let rows = client.query(&api.databases.sql(MODEL), &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn source(service: &str) -> std::sync::Arc<FeedSource> {
    FeedSource::new(&format!("{service}/v1/feed")).unwrap()
}

/// A store beside the service, on the same database.
async fn beside(api: &Api) -> PostgresStore {
    PostgresStore::open(&api.databases.accounts.events, 2)
        .await
        .unwrap()
}

#[tokio::test]
async fn every_event_comes_as_it_is_stored() {
    let api = Api::start().await;
    let store = beside(&api).await;
    append_over(&store, 5, 40).await;
    api.open("1", "none").await;
    // By hand, past all that a program would write.
    let client = postgres::superuser(&api.databases.accounts.events).await;
    for payload in [&b" {}"[..], b"{} ", b"\"\xff\"", b"", b"{\"a\" : 1e999}"] {
        let statement = postgres::append_by_sql("odd", "ä&=/?", payload);
        client.batch_execute(&statement).await.unwrap();
    }
    let source = source(&api.url);
    assert_eq!(source.identify().await.unwrap(), store.store_id());
    assert_eq!(source.head().await.unwrap(), at(46));
    let all = store.read_all(at(0), BatchSize::default()).await.unwrap();
    for filter in [
        Filter::all(),
        Filter::category("odd"),
        Filter::category("test"),
        Filter::stream(all[45].stream.clone()),
        Filter::all().for_member(Member::new(0, 2).unwrap()),
        Filter::category("test").for_member(Member::new(1, 2).unwrap()),
    ] {
        let wanted: Vec<_> = all.iter().filter(|event| filter.admits(event)).collect();
        for limit in [1, 7, 1_000, 65_535] {
            let read = all_of(&*source, &filter, BatchSize::new(limit).unwrap()).await;
            assert_eq!(read.iter().collect::<Vec<_>>(), wanted, "{filter:?}");
        }
    }
    api.stop().await;
}

async fn all_of(source: &dyn Source, filter: &Filter, limit: BatchSize) -> Vec<RecordedEvent> {
    let (mut events, mut after) = (Vec::new(), at(0));
    loop {
        let page = source.read(filter, after, limit).await.unwrap();
        events.extend(page.events);
        if page.through == after {
            return events;
        }
        after = page.through;
    }
}

#[tokio::test]
async fn a_service_that_is_killed_and_comes_back_is_gone_on_with() {
    let (book, address) = (postgres::unique("fed"), free_address().await);
    let mut service = start(&book, &address).await;
    let databases = AccountsDatabases::existing(&postgres::server().await, &book.parse().unwrap());
    let store = PostgresStore::open(&databases.events, 2).await.unwrap();
    let models = Models::new().await;
    let source = source(&format!("http://{address}"));
    let running = Running::from(Positions::default(), source, &models, SETTINGS).await;
    let rounds = i64::try_from(4 * scale()).unwrap();
    for round in 1..=rounds {
        append(&store, 1_000).await;
        // Somewhere within.
        running.reaches(round * 1_000 - 700).await;
        service.signal(Signal::SIGKILL);
        service.end().await;
        append(&store, 10).await;
        append_over(&store, 1, 10).await;
        service = start(&book, &address).await;
    }
    let head = store.head().await.unwrap().number();
    assert_eq!(head, rounds * 1_020);
    running.reaches(head).await;
    assert_eq!(models.positions().await, one_to(head));
    running.stop().await;
    service.signal(Signal::SIGTERM);
    assert!(service.end().await.0.success());
}

#[tokio::test]
async fn a_service_of_another_book_at_the_same_address_stops_the_reader() {
    let address = free_address().await;
    let api = Api::at(postgres::book().await, &address).await;
    append(&beside(&api).await, 10).await;
    let models = Models::new().await;
    let running = Running::from(Positions::default(), source(&api.url), &models, SETTINGS).await;
    running.reaches(10).await;
    api.stop().await;

    let api = Api::at(postgres::book().await, &address).await;
    let other = beside(&api).await;
    append(&other, 20).await;
    let error = running.fails().await;
    let named = format!("up to position 10, this is store {}", other.store_id());
    assert!(error.contains(&named), "{error}");
    assert_eq!(models.positions().await, one_to(10));
    running.stop().await;
    api.stop().await;
}

#[tokio::test]
async fn a_reader_is_woken_by_an_append_of_the_service() {
    let api = Api::start().await;
    let models = Models::new().await;
    let settings = Settings {
        poll: PATIENCE * 10,
        lease: PATIENCE * 30,
        ..SETTINGS
    };
    let source = source(&api.url);
    let database = models.database();
    let projection = Projection::open(Positions::default(), source, database, settings);
    let running = Running::run(projection.await.unwrap());
    for account in 1..=5 {
        api.open(&account.to_string(), "none").await;
        running.reaches(account).await;
    }
    running.stop().await;
    api.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_is_answered_by_an_append_or_the_time() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let begun = Instant::now();
    let waited = page(&api.get("/v1/feed?after=1&wait_ms=50").await);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert_eq!((waited.events.len(), waited.through), (0, at(1)));

    let mut waiting = Box::pin(api.get("/v1/feed?after=1&wait_ms=30000"));
    // The control: it is held back as long as there is nothing.
    assert!(
        timeout(Duration::from_millis(300), &mut waiting)
            .await
            .is_err()
    );
    api.open("2", "none").await;
    let answer = timeout(Duration::from_secs(10), waiting).await;
    assert_eq!(page(&answer.expect("at once")).through, at(2));
    api.stop().await;
}

#[tokio::test]
async fn stopping_is_not_held_up_by_a_request_that_waits() {
    let api = Api::start().await;
    let url = format!("{}/v1/feed?wait_ms=30000", api.url);
    let mut waiting = tokio::spawn(reqwest::get(url));
    assert!(
        timeout(Duration::from_millis(300), &mut waiting)
            .await
            .is_err()
    );
    let stopping = Instant::now();
    api.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(8));
    // It was answered, and not cut off.
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let page: FeedPage = answer.json().await.unwrap();
    assert_eq!((page.head, page.events.len()), (at(0), 0));
}

#[tokio::test]
async fn the_route_answers_within_its_rules() {
    let api = Api::start().await;
    let store = beside(&api).await;
    append(&store, 1_200).await;
    let get = async |query: &str| api.get(&format!("/v1/feed{query}")).await;
    for (query, events, through) in [
        ("", 500, 500),
        ("?limit=1000", 1_000, 1_000),
        ("?after=1000&limit=1000", 200, 1_200),
        ("?after=1200", 0, 1_200),
        // Beyond the end, the true end.
        ("?after=1201", 0, 1_200),
        ("?after=9223372036854775807&wait_ms=30000", 0, 1_200),
        ("?category=other", 0, 1_200),
        ("?category=test&stream=stream&limit=3", 3, 3),
        (&format!("?limit=1&store={}", store.store_id()), 1, 1),
    ] {
        let answer = get(query).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let page = page(&answer);
        let found = (page.events.len(), page.through, page.head);
        assert_eq!(found, (events, at(through), at(1_200)), "{query}");
        assert_eq!(page.store_id, store.store_id());
    }
    for (query, status, code) in [
        ("?after=-1", 422, "invalid_query"),
        ("?after=x", 422, "invalid_query"),
        ("?after=9223372036854775808", 422, "invalid_query"),
        ("?limit=0", 422, "invalid_limit"),
        ("?limit=1001", 422, "invalid_limit"),
        ("?stream=1", 422, "invalid_query"),
        ("?category=Test&stream=1", 422, "invalid_query"),
        ("?member=0", 422, "invalid_query"),
        ("?of=2", 422, "invalid_query"),
        ("?member=2&of=2", 422, "invalid_query"),
        ("?wait_ms=30001", 422, "invalid_query"),
        ("?wait_ms=-1", 422, "invalid_query"),
        ("?store=7", 422, "invalid_query"),
        ("?offset=7", 422, "invalid_query"),
        (
            "?store=00000000-0000-0000-0000-000000000007",
            409,
            "other_store",
        ),
    ] {
        let answer = get(query).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{query}");
    }
    api.stop().await;
}

fn page(answer: &Answer) -> FeedPage {
    serde_json::from_value(answer.body.clone()).unwrap()
}
