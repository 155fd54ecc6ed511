//! A book whose own service seals it, and what its service proves over HTTP.

use std::sync::Arc;
use std::time::Duration;

use folio_audit::{FileAnchor, LogKeys};
use folio_proofs::answer::{Form, Question, Verdict};
use folio_proofs::bundle::Bundle;
use folio_tests::api::{Answer, Api};
use folio_tests::postgres;
use ledger_example::Seals;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(30);

/// Keys and an anchor in a folder.
pub(crate) async fn seals(folder: &TempDir) -> Seals {
    let keys = folder.path().join("keys");
    let anchor = FileAnchor::open(folder.path().join("anchor"));
    Seals {
        keys: LogKeys::in_folder(&keys, &"ledger.example/a".parse().unwrap()).unwrap(),
        anchors: Arc::new(anchor.await.unwrap()).into(),
    }
}

/// What somebody asks who has the public key, and nothing else of the ledger.
pub(crate) fn question(folder: &TempDir, kept: Option<&str>) -> Question {
    let public = folder.path().join("keys").join(LogKeys::PUBLIC_FILE);
    Question {
        keys: LogKeys::public(&public).unwrap(),
        origin: None,
        kept: kept.map(|note| note.as_bytes().to_vec()),
        form: Form::Sentences,
    }
}

/// The bundle of an account, once all its events are sealed.
pub(crate) async fn bundle(api: &Api, path: &str, events: usize) -> Value {
    let sealed = |answer: &Answer| {
        let found = answer.body["events"].as_array().map(Vec::len);
        answer.status == 200 && found == Some(events)
    };
    wait(api, path, sealed).await.body
}

async fn wait(api: &Api, path: &str, is_there: impl Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = api.get(path).await;
        if is_there(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn verdict(question: &Question, bundle: &Value) -> Verdict {
    question.answer(bundle.to_string().as_bytes()).verdict
}

async fn sealed_book() -> (Api, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::sealed(postgres::book().await, seals(&folder).await).await;
    api.open("1", "none").await;
    api.posting("1", "credits", "10.00").await;
    (api, folder)
}

#[tokio::test]
async fn an_account_is_proven_to_whoever_has_the_public_key_alone() {
    let (api, folder) = sealed_book().await;
    let path = "/v1/audit/accounts/1/bundle";
    bundle(&api, path, 2).await;
    let kept = api.get("/v1/audit/checkpoint").await;
    assert!(kept.content_type.starts_with("text/plain"), "{kept:?}");
    let kept = kept.body.as_str().unwrap().to_owned();
    let size = kept.lines().nth(1).unwrap();
    api.posting("1", "debits", "2.50").await;
    api.posting("1", "debits", "2.50").await;

    let since = format!("{path}?since={size}");
    let whole = bundle(&api, &since, 4).await;
    assert_eq!(
        verdict(&question(&folder, Some(&kept)), &whole),
        Verdict::Verified
    );
    // Without its last event it is refused, as it is with one more, or with another amount.
    let mut short = whole.clone();
    short["events"].as_array_mut().unwrap().pop();
    let mut doubled = whole.clone();
    let last = doubled["events"][3].clone();
    doubled["events"].as_array_mut().unwrap().push(last);
    let mut altered = whole.clone();
    altered["events"][3]["payload"] = whole["events"][1]["payload"].clone();
    for wrong in [short, doubled, altered] {
        assert_eq!(verdict(&question(&folder, None), &wrong), Verdict::Refused);
    }
    // Of an account that there is not, it is proven that there is not.
    let nobody = bundle(&api, "/v1/audit/accounts/nobody/bundle", 0).await;
    assert_eq!(
        verdict(&question(&folder, None), &nobody),
        Verdict::Verified
    );
    let stream = bundle(&api, "/v1/audit/streams/account/1/bundle", 4).await;
    assert_eq!(
        verdict(&question(&folder, None), &stream),
        Verdict::Verified
    );

    let page = api.get("/v1/audit/accounts/1").await;
    assert!(page.content_type.starts_with("text/html"), "{page:?}");
    let text = page.body.as_str().unwrap();
    // Not the seconds of a time, such as 02.501.
    let is_amount = |(at, _): &(usize, &str)| !text[..*at].ends_with(|c: char| c.is_ascii_digit());
    let amounts = text.match_indices("2.50").filter(is_amount);
    assert_eq!(amounts.count(), 2, "{text}");

    let growth = api.get(&format!("/v1/audit/growth?since={size}")).await;
    assert_eq!(growth.body["growth"]["since"], json!(kept));
    let auditor = question(&folder, Some(&kept));
    assert_eq!(verdict(&auditor, &growth.body), Verdict::Verified);
    let mut other = growth.body.clone();
    other["growth"]["proof"]["path"]
        .as_array_mut()
        .unwrap()
        .pop();
    assert_eq!(verdict(&auditor, &other), Verdict::Refused);
    api.stop().await;
}

#[tokio::test]
async fn an_event_and_a_refusal_are_proven_one_by_one() {
    let (api, folder) = sealed_book().await;
    let body = json!({"amount": "99.00", "currency": "EUR", "contra": "cash"});
    let refused = api.post_as("/v1/accounts/1/debits", "k", &body).await;
    assert_eq!(refused.code(), "insufficient_funds");
    let outcome = api.get("/v1/outcomes/k").await;
    let command = outcome.body["outcomes"][0]["command_id"].as_str().unwrap();
    let auditor = question(&folder, None);
    let command_of = format!("command={command}");
    for (of, told) in [
        (command_of.as_str(), "was refused"),
        ("position=2", ": EntryPosted, recorded at "),
    ] {
        let path = format!("/v1/audit/inclusion?{of}");
        let receipt = wait(&api, &path, |answer| answer.status == 200).await.body;
        let answer = auditor.answer(receipt.to_string().as_bytes());
        assert_eq!(answer.verdict, Verdict::Verified, "{answer:?}");
        assert!(answer.output.contains(told), "{answer:?}");
        let mut altered = receipt.clone();
        altered["leaf"] = json!(receipt["leaf"].as_str().unwrap().replacen('Z', "Y", 1));
        assert_ne!(altered, receipt);
        assert_eq!(verdict(&auditor, &altered), Verdict::Refused);
    }
    for (query, status) in [
        ("position=999", 409),
        ("position=0", 409),
        ("command=00000000-0000-0000-0000-000000000000", 404),
        ("", 422),
        (
            "position=1&command=00000000-0000-0000-0000-000000000000",
            422,
        ),
    ] {
        let answer = api.get(&format!("/v1/audit/inclusion?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {answer:?}");
    }
    let answer = api.get("/v1/audit/checkpoint?size=1000000").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (404, "checkpoint_not_found")
    );
    let answer = api.get("/v1/audit/streams/Account/1/bundle").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "invalid_stream")
    );
    api.stop().await;
}

#[tokio::test]
async fn a_book_without_keys_says_that_it_is_not_sealed() {
    let api = Api::start().await;
    let answer = api.get("/v1/audit/checkpoint").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "not_sealed"));
    api.stop().await;
}

/// What a service tells of an altered history does not hold. It goes on with its work, whatever becomes of its seals.
#[tokio::test]
async fn what_was_altered_is_not_proven_and_the_service_goes_on() {
    let (api, folder) = sealed_book().await;
    let path = "/v1/audit/accounts/1/bundle";
    let before = bundle(&api, path, 2).await;
    let database = &api.databases.accounts.events;
    let client = postgres::superuser(database).await;
    let alter = "ALTER TABLE store.events DISABLE TRIGGER append_only; \
         UPDATE store.events SET payload = convert_to(replace(convert_from(payload, 'UTF8'), '10.00', '11.00'), 'UTF8'); \
         ALTER TABLE store.events ENABLE ALWAYS TRIGGER append_only";
    client.batch_execute(alter).await.unwrap();
    let after = api.get(path).await.body;
    let page = api.get("/v1/audit/accounts/1").await;
    assert_eq!(
        (page.status, page.code().as_str()),
        (500, "history_altered")
    );
    assert_eq!(verdict(&question(&folder, None), &after), Verdict::Refused);
    assert_eq!(
        verdict(&question(&folder, None), &before),
        Verdict::Verified
    );

    let tiles = "UPDATE audit.tiles SET hashes = set_byte(hashes, 0, 1 # get_byte(hashes, 0))";
    client.batch_execute(tiles).await.unwrap();
    let posted = api.posting("1", "debits", "1.00").await;
    assert_eq!(posted.status, 201, "{posted:?}");
    api.stop().await;
}

#[tokio::test]
async fn a_service_goes_on_with_the_log_that_it_has() {
    let (api, folder) = sealed_book().await;
    let path = "/v1/audit/accounts/1/bundle";
    let old = bundle(&api, path, 2).await;
    let databases = api.stop().await;
    let api = Api::sealed(databases, seals(&folder).await).await;
    api.posting("1", "credits", "1.00").await;
    let new = bundle(&api, path, 3).await;
    let old: Bundle = serde_json::from_value(old).unwrap();
    let kept = old.checkpoint.to_string();
    let size = kept.lines().nth(1).unwrap();
    let since = bundle(&api, &format!("{path}?since={size}"), 3).await;
    assert_eq!(
        verdict(&question(&folder, Some(&kept)), &since),
        Verdict::Verified
    );
    // What was on record then, asked for now.
    let then = bundle(&api, &format!("{path}?until={size}"), 2).await;
    assert_eq!(then["checkpoint"], kept);
    assert_eq!(verdict(&question(&folder, None), &then), Verdict::Verified);
    // Whoever has kept a checkpoint does not take a bundle's word that the log has grown from there.
    assert_ne!(
        verdict(&question(&folder, Some(&kept)), &new),
        Verdict::Verified
    );
    api.stop().await;
}
