//! Payments with people on their other side: their names are sealed in the logs, and the network alone is told them.

use folio_postgres::Database;
use folio_tests::api::Answer;
use folio_tests::postgres;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};
use tokio_postgres::NoTls;

use super::canary::{places, shows};
use super::{history_in, reason};
use crate::services::orders::Orders;

const PATIENCE: Duration = Duration::from_secs(60);

/// A payment to a person, by a name that is nowhere else.
fn out(system: &Orders, id: &str, subject: &str) -> (Value, [String; 1]) {
    let name = format!("CanaryPayee{}Xyzzy", subject.replace('-', ""));
    let book = system.a.databases.book.as_str();
    let body = json!({"id": id, "from": {"book": book, "account_id": "alice"}, "payee": name,
        "payee_subject": subject, "amount": "10.00", "currency": "EUR"});
    (body, [name])
}

/// A payment from a person, by a name that is nowhere else.
fn from(system: &Orders, id: &str, subject: &str) -> (Value, [String; 1]) {
    let (mut order, name) = out(system, id, subject);
    let fields = order.as_object_mut().unwrap();
    for (from, to) in [
        ("from", "to"),
        ("payee", "payer"),
        ("payee_subject", "payer_subject"),
    ] {
        let field = fields.remove(from).unwrap();
        fields.insert(to.to_owned(), field);
    }
    (order, name)
}

fn databases(system: &Orders) -> [Database; 3] {
    let of = &system.databases;
    [&of.logs, &of.timers, &of.vault].map(Clone::clone)
}

async fn forget(system: &Orders, subject: &str) {
    let path = format!("/v1/subjects/{subject}/forget");
    let forgotten = system.post(&path, &reason()).await;
    assert_eq!(forgotten.status, 200, "{forgotten:?}");
}

/// Looks at a payment out, in a hurry, until it is so.
async fn until(system: &Orders, id: &str, is_so: impl Fn(&Value) -> bool) -> Answer {
    until_at(system, &format!("/v1/payments-out/{id}"), is_so).await
}

/// The same of the payment at this path.
async fn until_at(system: &Orders, path: &str, is_so: impl Fn(&Value) -> bool) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let payment = system.get(path).await;
        if payment.status == 200 && is_so(&payment.body) {
            return payment;
        }
        assert!(Instant::now() < deadline, "{payment:?}");
        let hurry = json!({"reason": "hurry"});
        system.post(&format!("{path}/retry"), &hurry).await;
        sleep(Duration::from_millis(20)).await;
    }
}

fn is_at(payment: &Value, step: &str) -> bool {
    let mut steps = payment["steps"].as_array().unwrap().iter();
    steps.any(|found| found["step"] == step)
}

/// A payment `p1` to `c-1` that is not screened yet, and cannot be until the screen works. Answers with the name.
async fn begin_to_be_screened(system: &Orders) -> [String; 1] {
    let error = json!({"kind": "error"});
    system.outside.fails("fraud", error, 100_000).await;
    let (order, name) = out(system, "p1", "c-1");
    let begun = system
        .post_waiting("/v1/payments-out", &order, "wait=0")
        .await;
    assert_eq!(begun.status, 202, "{begun:?}");
    until(system, "p1", |payment| is_at(payment, "screen")).await;
    name
}

/// Begins two payments, `p1` and `p2`, and has `c-1` forgotten at this step of theirs. The network has carried out the first one
/// and its answer was lost; of the second it knows nothing. Then it works again.
async fn forget_in_the_middle(system: &Orders, path: &str, orders: [&Value; 2], step: &str) {
    let [first, second] = orders;
    let lost = json!({"kind": "lose_answer"});
    system.outside.fails("payments", lost, 100_000).await;
    system.post_waiting(path, first, "wait=0").await;
    let deadline = Instant::now() + PATIENCE;
    while system.outside.payments().await == 0 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(20)).await;
    }
    let error = json!({"kind": "error"});
    system.outside.fails("payments", error, 100_000).await;
    system.post_waiting(path, second, "wait=0").await;
    until_at(system, &format!("{path}/p2"), |payment| {
        is_at(payment, step)
    })
    .await;
    forget(system, "c-1").await;
    system.outside.works("payments").await;
}

fn somebody_has_to_decide(payment: &Value) -> bool {
    let failure = payment["attention"]["failure"].as_str().unwrap_or_default();
    failure.contains("c-1 was forgotten") && failure.contains("an operator has to decide")
}

#[tokio::test]
async fn a_person_who_is_paid_is_told_to_the_network_and_forgotten_by_the_log() {
    let system = Orders::start().await;
    let (order, name) = out(&system, "p1", "c-1");
    let paid = system.post("/v1/payments-out", &order).await;
    assert_eq!(paid.text("state"), "completed", "{paid:?}");
    assert_eq!(
        (&paid.body["payee"], &paid.body["payee_subject"]),
        (&json!(name[0]), &json!("c-1"))
    );
    assert_eq!(paid.body.get("payee_erased"), None);
    let again = system.post("/v1/payments-out", &order).await;
    assert_eq!((again.status, &again.body), (200, &paid.body));
    let rails = [system.outside.database.clone()];
    assert!(!places(&rails, &name).await.is_empty());
    assert_eq!(places(&databases(&system), &name).await, [""; 0]);
    let feed = system.get("/v1/feed").await;
    assert!(!shows(&feed.body.to_string(), &name), "{feed:?}");

    // The control: whoever is no person is in the log.
    let (mut clear, _) = out(&system, "p2", "none");
    let company = ["CompanyInTheClearXyzzy".to_owned()];
    clear["payee"] = json!(company[0]);
    clear["payee_subject"] = Value::Null;
    let paid_company = system.post("/v1/payments-out", &clear).await;
    assert_eq!(paid_company.text("payee"), company[0], "{paid_company:?}");
    let found = places(&databases(&system), &company).await;
    let is_log = |found: &String| found.ends_with("store.events");
    assert!(found.iter().any(is_log), "{found:?}");

    for (field, other) in [
        ("payee", json!("Another")),
        ("payee_subject", json!("c-2")),
        ("payee_subject", Value::Null),
    ] {
        let mut changed = order.clone();
        changed[field] = other;
        let refused = system.post("/v1/payments-out", &changed).await;
        assert_eq!(refused.code(), "payment_exists", "{field}");
    }

    let recorded = history_in(&system.databases.logs).await;
    let events = system.get("/v1/feed").await.body["events"].take();
    forget(&system, "c-1").await;
    assert_eq!(history_in(&system.databases.logs).await, recorded);
    let told = system.get("/v1/payments-out/p1").await;
    assert_eq!(told.body.get("payee"), None);
    assert_eq!(
        (&told.body["payee_erased"], &told.body["payee_subject"]),
        (&json!(true), &json!("c-1"))
    );
    let again = system.post("/v1/payments-out", &order).await;
    assert_eq!((again.status, &again.body), (200, &told.body));
    let mut other = order.clone();
    other["amount"] = json!("10.01");
    let refused = system.post("/v1/payments-out", &other).await;
    assert_eq!(refused.code(), "payment_exists");
    other["id"] = json!("p3");
    let late = system.post("/v1/payments-out", &other).await;
    assert_eq!(
        (late.status, late.code().as_str()),
        (409, "subject_forgotten")
    );
    let kept = system.get("/v1/payments-out/p2").await;
    assert_eq!(kept.text("payee"), company[0]);
    // What came again, or too late, is no event.
    assert_eq!(system.get("/v1/feed").await.body["events"], events);
    assert_eq!(system.balance("alice").await, "980.00");
    system.in_transit_is_settled().await;
    system.stop().await;
}

/// Who pays is sealed as who is paid; and what comes back is from whom it had gone to, who stays sealed.
#[tokio::test]
async fn a_person_who_pays_is_forgotten_by_the_log_too() {
    let system = Orders::start().await;
    let (order, name) = from(&system, "p1", "c-1");
    let collected = system.post("/v1/payments-in", &order).await;
    assert_eq!(collected.text("state"), "completed", "{collected:?}");
    assert_eq!(collected.text("payer"), name[0]);

    let denies = json!({"kind": "accept_then_deny"});
    system.outside.fails("payments", denies, 2).await;
    for id in ["p2", "p3"] {
        let (order, _) = out(&system, id, "c-1");
        let paid = system.post("/v1/payments-out", &order).await;
        assert_eq!(paid.text("state"), "completed", "{paid:?}");
    }
    let back = system.post("/v1/payments-out/p2/return", &json!({})).await;
    assert_eq!(
        (back.text("state"), back.text("payer")),
        ("completed".to_owned(), name[0].clone()),
        "{back:?}"
    );
    assert_eq!(places(&databases(&system), &name).await, [""; 0]);

    let recorded = history_in(&system.databases.logs).await;
    let events = system.get("/v1/feed").await.body["events"].take();
    forget(&system, "c-1").await;
    assert_eq!(history_in(&system.databases.logs).await, recorded);
    let again = system.post("/v1/payments-in", &order).await;
    assert_eq!(
        (again.status, &again.body["payer_erased"]),
        (200, &json!(true))
    );
    let again = system.post("/v1/payments-out/p2/return", &json!({})).await;
    assert_eq!(
        (again.status, &again.body["payer_erased"]),
        (200, &json!(true))
    );
    let late = system.post("/v1/payments-out/p3/return", &json!({})).await;
    assert_eq!(late.code(), "subject_forgotten", "{late:?}");
    // What came again, or too late, is no event.
    assert_eq!(system.get("/v1/feed").await.body["events"], events);
    system.stop().await;
}

#[tokio::test]
async fn a_payment_to_whoever_is_forgotten_before_it_is_screened_is_undone() {
    let system = Orders::start().await;
    let name = begin_to_be_screened(&system).await;
    forget(&system, "c-1").await;
    let undone = until(&system, "p1", |payment| payment["state"] == "undone").await;
    assert_eq!(undone.body["turned"]["code"], "payee_forgotten");
    assert_eq!(undone.body["money_is"], "source");
    assert_eq!(system.balance("alice").await, "1000.00");
    let hold = system.reads.get("/v1/holds/p1.out-hold").await;
    assert_eq!(hold.text("state"), "released", "{hold:?}");
    assert_eq!(places(&databases(&system), &name).await, [""; 0]);
    system.in_transit_is_settled().await;
    system.stop().await;
}

/// Whether the network was asked is not known: what it tells counts, and where it knows nothing, somebody decides.
#[tokio::test]
async fn a_payment_to_whoever_is_forgotten_while_it_is_submitted_goes_by_what_the_network_knows() {
    let system = Orders::start().await;
    let (first, name) = out(&system, "p1", "c-1");
    let (second, _) = out(&system, "p2", "c-1");
    forget_in_the_middle(&system, "/v1/payments-out", [&first, &second], "submit").await;

    let paid = until(&system, "p1", |payment| payment["state"] == "completed").await;
    assert_eq!(paid.body["payee_erased"], true);
    let stuck = until(&system, "p2", somebody_has_to_decide).await;
    assert_eq!(
        (&stuck.body["state"], &stuck.body["money_is"]),
        (&json!("under_way"), &json!("clearing"))
    );
    assert_eq!(system.outside.payments().await, 1);
    assert_eq!(places(&databases(&system), &name).await, [""; 0]);
    system.stop().await;
}

/// The same of who pays: the network may have collected from them, and then the money is theirs no more.
#[tokio::test]
async fn a_payment_from_whoever_is_forgotten_while_it_is_collected_goes_by_what_the_network_knows()
{
    let system = Orders::start().await;
    let (first, name) = from(&system, "p1", "c-1");
    let (second, _) = from(&system, "p2", "c-1");
    forget_in_the_middle(&system, "/v1/payments-in", [&first, &second], "collect").await;

    let collected = until_at(&system, "/v1/payments-in/p1", |payment| {
        payment["state"] == "completed"
    });
    assert_eq!(collected.await.body["payer_erased"], true);
    let stuck = until_at(&system, "/v1/payments-in/p2", somebody_has_to_decide).await;
    assert_eq!(stuck.body["state"], json!("under_way"));
    assert_eq!(system.outside.payments().await, 1);
    assert_eq!(system.balance("alice").await, "1010.00");
    assert_eq!(places(&databases(&system), &name).await, [""; 0]);
    system.stop().await;
}

/// Whether the keys' database takes connections. Those that there are end where it does not.
async fn keys_are(system: &Orders, there: &str) {
    let mut server = postgres::server().await;
    server.dbname("postgres");
    let (client, connection) = server.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let name = system.databases.vault.name();
    let allowed = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {there}");
    client.batch_execute(&allowed).await.unwrap();
    if there == "false" {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        client.query(end, &[&name]).await.unwrap();
    }
}

/// Nobody is paid under a name that cannot be opened, and what is under way waits for the keys.
#[tokio::test]
async fn while_the_keys_are_away_persons_are_not_paid_and_companies_are() {
    let system = Orders::start().await;
    begin_to_be_screened(&system).await;
    keys_are(&system, "false").await;
    system.outside.works("fraud").await;
    for _ in 0..3 {
        let hurry = json!({"reason": "hurry"});
        system.post("/v1/payments-out/p1/retry", &hurry).await;
    }
    let (second, _) = out(&system, "p2", "c-2");
    let refused = system.post("/v1/payments-out", &second).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "database_unavailable"),
        "{refused:?}"
    );
    let told = system.get("/v1/payments-out/p1").await;
    assert_eq!(told.status, 503, "{told:?}");
    let (mut company, _) = out(&system, "p3", "none");
    company["payee_subject"] = Value::Null;
    let paid = system.post("/v1/payments-out", &company).await;
    assert_eq!(paid.text("state"), "completed", "{paid:?}");
    assert_eq!(system.outside.payments().await, 1);

    keys_are(&system, "true").await;
    until(&system, "p1", |payment| payment["state"] == "completed").await;
    let paid = system.post("/v1/payments-out", &second).await;
    assert_eq!(paid.text("state"), "completed", "{paid:?}");
    assert_eq!(system.outside.payments().await, 3);
    system.in_transit_is_settled().await;
    system.stop().await;
}
