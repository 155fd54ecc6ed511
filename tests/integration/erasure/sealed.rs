//! Nothing but an answer has a personal text.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use folio_postgres::Database;
use folio_tests::api::Api;
use folio_tests::postgres;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::canary::{places, shows};
use super::{databases, holder, opening};

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// Waits until the read model has parked an event.
async fn until_parked(balances: &Database) {
    let client = postgres::superuser(balances).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let sql = "SELECT count(*) FROM projections.dead_letters WHERE error IS NOT NULL";
    while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(Instant::now() < deadline, "no event was parked");
        sleep(Duration::from_millis(20)).await;
    }
}

/// One thread, so that all that is logged of it is in the log.
#[tokio::test(flavor = "current_thread")]
async fn nothing_but_an_answer_holds_a_personal_text() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // Other tests may have met these events before, and found nobody who wants them. Beside a single subscriber, what another
    // thread meets first is asked of that thread's, which has none, and is then told to nobody: so there is a second one.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    tracing::callsite::rebuild_interest_cache();
    let api = Api::start().await;
    let [(first, texts), (second, of_second), (third, of_third)] =
        ["c-1", "c-2", "c-3"].map(holder);
    let all = [&texts[..], &of_second, &of_third].concat();

    // Recorded, changed, refused, and asked of an account that is not there.
    let note = "CanaryNoteInTheClearXyzzy";
    let mut body = opening("1", &first);
    body["metadata"] = json!({"note": note});
    let opened = api.post("/v1/accounts", &body).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    let refused = api.post("/v1/accounts", &opening("1", &second)).await;
    assert_eq!(refused.code(), "account_already_open");
    let named = api.send("PUT", "/v1/accounts/1/holder", &second).await;
    assert_eq!(named.status, 200, "{named:?}");
    let nowhere = api.send("PUT", "/v1/accounts/none/holder", &third).await;
    assert_eq!(nowhere.code(), "account_not_found");
    let wrong = json!({"subject": "c-3", "name": 7, "street": texts[1]});
    let wrong = api.send("PUT", "/v1/accounts/1/holder", &wrong).await;
    assert_eq!(wrong.code(), "invalid_request");
    let posted = api.posting("1", "credits", "5.00").await;
    assert_eq!(api.balance("1", posted.token()).await, "5.00");

    // An event that no read model can take in: a holder of an account that was not opened.
    let events = postgres::superuser(&api.databases.accounts.events).await;
    let sql = "SELECT payload FROM store.events WHERE event_type = 'HolderNamed'";
    let payload: Vec<u8> = events.query_one(sql, &[]).await.unwrap().get(0);
    let append = postgres::append_by_sql("account", "ghost", &payload);
    let append = append.replace("{Slow}", "{HolderNamed}");
    events.batch_execute(&append).await.unwrap();
    until_parked(&api.databases.balances).await;

    let found = places(&databases(&api), &all).await;
    assert_eq!(found, Vec::<String>::new());
    for path in ["/v1/feed", "/v1/accounts/1/events", "/v1/outcomes/sent-1"] {
        let answer = api.get(path).await;
        assert!(!shows(&answer.body.to_string(), &all), "{path}: {answer:?}");
    }
    for answer in [&opened, &refused, &nowhere] {
        assert!(!shows(&answer.body.to_string(), &all), "{answer:?}");
    }
    assert!(!shows(&log.text(), &all), "it is logged");
    let told = api.get("/v1/accounts/1/holder").await;
    assert_eq!(told.body["holder"]["name"], second["name"], "{told:?}");

    // The control: what is not sealed is found, in every database that has the account and in what is told of it.
    let note = [note.to_owned()];
    let found = places(&databases(&api), &note).await;
    let table = |database: &Database, table: &str| {
        let place = format!("{} {table}", database.name());
        assert!(
            found.iter().any(|found| found.starts_with(&place)),
            "{place}: {found:?}"
        );
    };
    table(&api.databases.accounts.events, "store.events");
    table(&api.databases.balances, "balances_");
    assert!(shows(
        &api.get("/v1/accounts/1/events").await.body.to_string(),
        &note
    ));
    let logged = log.text();
    let is_logged = ["append", "an event was parked"].map(|word| logged.contains(word));
    assert!(is_logged.contains(&true), "nothing was logged");
    api.stop().await;
}
