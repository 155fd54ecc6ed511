//! A service that is gone takes nobody with it, and what was missed meanwhile is caught up.

use std::time::Duration;

use folio_core::breaker::Phase;
use folio_tests::api::{Api, Reads};
use folio_tests::postgres;
use ledger_example::balances::GuardedFeed;
use tokio::time::{Instant, sleep};

use crate::kill::free_address;

const PATIENCE: Duration = Duration::from_secs(30);

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reads go on with what was known last, and say how old that may be; the other book goes on whole; and when
/// the service returns, exactly what was missed comes in.
#[tokio::test]
async fn a_book_whose_service_is_gone_is_read_as_it_was_known() {
    let address = free_address().await;
    let a = Api::at(postgres::book().await, &address).await;
    let b = Api::start().await;
    a.open("1", "none").await;
    b.open("2", "none").await;
    let posted = a.posting("1", "credits", "10.00").await;
    let reads = Reads::over(&[&a, &b]).await;
    assert_eq!(reads.balance("1", posted.token()).await, "10.00");
    let known = posted.token().to_owned();
    let age = async || {
        let balance = reads.get("/v1/accounts/1/balance").await;
        assert_eq!(
            (balance.status, balance.text("balance")),
            (200, "10.00".to_owned())
        );
        balance.age_ms
    };
    until("its age is measured", async || age().await.is_some()).await;

    let databases = a.stop().await;
    until("it gets old", async || {
        age().await.is_some_and(|age_ms| age_ms > 2_000)
    })
    .await;
    // The other one does not, and takes commands.
    let posted = b.posting("2", "credits", "5.00").await;
    assert_eq!(reads.balance("2", posted.token()).await, "5.00");
    assert!(reads.get("/v1/accounts/2").await.age_ms < Some(2_000));
    // It is ready, and says which book it cannot follow.
    until("it is told", async || {
        let ready = reads.get("/readyz").await;
        assert_eq!(ready.status, 200, "{ready:?}");
        let books = ready.body["books"].as_array().unwrap();
        books.iter().filter(|book| book["follows"] == true).count() == 1
    })
    .await;
    // So does a statement that people read, and that of the other book does not.
    let mark = "This may not be all.";
    let page = async |id: &str, more: &str| {
        let path = format!("/v1/accounts/{id}/statement?format=html{more}");
        let page = reads.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        page.body.as_str().unwrap().to_owned()
    };
    let (of_a, of_b) = (page("1", "").await, page("2", "").await);
    assert!(of_a.contains(mark) && of_a.contains(">10.00<"), "{of_a}");
    assert!(!of_b.contains(mark), "{of_b}");
    // What was known at a position lacks nothing.
    let past = page("1", &format!("&known_at={known}")).await;
    assert!(!past.contains(mark), "{past}");
    // A moment since then is known to nobody here: that is said, and not guessed.
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let then = reads
        .get(&format!("/v1/accounts/1/balance?known_at={now}"))
        .await;
    assert_eq!(
        (then.status, then.code().as_str()),
        (503, "book_unavailable")
    );

    let a = Api::at(databases, &address).await;
    let posted = a.posting("1", "debits", "2.50").await;
    until("what was missed comes in", async || {
        let path = format!("/v1/accounts/1/balance?min_position={}", posted.token());
        let balance = reads.get(&path).await;
        balance.status == 200 && balance.text("balance") == "7.50"
    })
    .await;
    let statement = reads.get("/v1/accounts/1/statement").await;
    assert_eq!(statement.body["lines"].as_array().unwrap().len(), 2);
    until("the statement is whole", async || {
        !page("1", "").await.contains(mark)
    })
    .await;
    reads.stop().await;
    a.stop().await;
    b.stop().await;
}

/// Who asks a feed that does not answer is told so at once after a while, and nobody waits for it.
#[tokio::test]
async fn a_feed_that_does_not_answer_is_left_alone_for_a_while() {
    let address = free_address().await;
    let url = format!("http://{address}");
    let feed = GuardedFeed::new("feed-of-nobody", &url, "/v1/feed").unwrap();
    for _ in 0..5 {
        assert_eq!(feed.breaker().phase(), Phase::Closed);
        assert!(feed.present().await.is_err());
    }
    assert_eq!(feed.breaker().phase(), Phase::Open);
    // Before it is open for the shortest time there is, whoever asks gets no further than the breaker.
    let told = folio_core::error_chain(&feed.present().await.unwrap_err());
    assert!(told.contains("circuit breaker"), "{told}");
    assert!(!told.contains("gave no answer"), "it was asked: {told}");

    let api = Api::at(postgres::book().await, &address).await;
    api.open("1", "none").await;
    until("it is asked again", async || {
        let present = feed.present().await;
        present.is_ok_and(|present| present.head.number() == 1)
    })
    .await;
    assert_eq!(feed.breaker().phase(), Phase::Closed);
    api.stop().await;
}

/// Whatever the query side has is in the feeds.
#[tokio::test]
async fn a_database_of_balances_that_is_lost_is_filled_from_the_feeds() {
    let [a, b] = [Api::start().await, Api::start().await];
    for (api, id) in [(&a, "1"), (&b, "2")] {
        api.open(id, "unlimited").await;
        for amount in 1..=30 {
            let side = if amount % 3 == 0 { "debits" } else { "credits" };
            api.posting(id, side, &format!("{amount}.01")).await;
        }
    }
    let everything = async |reads: &Reads| {
        assert!(reads.caught_up(PATIENCE).await);
        let mut all = Vec::new();
        for path in [
            "/v1/accounts",
            "/v1/journal-entries?limit=1000",
            "/v1/trial-balance",
            "/v1/trial-balance/accounts",
            "/v1/accounts/1/statement",
            "/v1/accounts/2/statement",
        ] {
            all.push(reads.get(path).await.body);
        }
        all
    };
    let reads = Reads::over(&[&a, &b]).await;
    let before = everything(&reads).await;
    let database = reads.stop().await;
    let owner = postgres::superuser(&postgres::store_database().await).await;
    let drop = format!("DROP DATABASE {} WITH (FORCE)", database.name());
    owner.batch_execute(&drop).await.unwrap();

    let reads = Reads::over(&[&a, &b]).await;
    assert_eq!(everything(&reads).await, before);
    reads.stop().await;
    a.stop().await;
    b.stop().await;
}
