//! The programs of the auditor's guide, run as an auditor runs them: beside the running system, and one of them without it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use folio_tests::process::{Ended, command, run};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::system::{PATIENCE, System};

/// Nothing of it but the bundle, and the key.
async fn verified(bundle: &Path, key: &str, more: &[&str]) -> Ended {
    let program = Path::new(env!("CARGO_BIN_EXE_folio-verify-under-test"));
    let words = [&[bundle.to_str().unwrap(), "--key", key], more].concat();
    let mut program = command(program, &words);
    program.env_clear().current_dir("/");
    run(program).await
}

#[tokio::test]
async fn the_programs_of_the_guide_answer() {
    let system = System::start().await;
    let post = async |path: &str, key: &str, body: Value| {
        let url = format!("{}{path}", system.url("gateway"));
        let request = system
            .client
            .post(url)
            .bearer_auth(system.token("operator"));
        let request = request.header("Idempotency-Key", key).json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    };
    let account = json!({"id": "checking", "currency": "EUR"});
    post("/v1/books/a/accounts", "open", account).await;
    for number in 1..=3 {
        let credit = json!({"amount": format!("{number}.00"), "currency": "EUR", "contra": "cash"});
        let path = "/v1/books/a/accounts/checking/credits";
        post(path, &format!("credit-{number}"), credit).await;
    }

    // All four events, once they are sealed.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("checking.json");
    let words = [
        "bundle",
        "checking",
        "--book",
        "a",
        "--output",
        file.to_str().unwrap(),
    ];
    let deadline = Instant::now() + PATIENCE;
    let bundle: Value = loop {
        system.command(&words).await;
        let bundle: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        if bundle["events"].as_array().unwrap().len() == 4 {
            break bundle;
        }
        assert!(Instant::now() < deadline, "{bundle}");
        sleep(Duration::from_millis(100)).await;
    };
    let key = system.data_folder().join("keys/sealer-a/public");
    let key = fs::read_to_string(key).unwrap();
    let key = key.lines().next().unwrap();
    let ended = verified(&file, key, &[]).await;
    assert!(
        ended.status.success() && ended.stdout.contains("VERIFIED"),
        "{ended:?}"
    );
    let ended = verified(&file, key, &["--page"]).await;
    assert!(
        ended.status.success() && ended.stdout.contains("<html"),
        "{ended:?}"
    );
    // Without its last event, with one that was changed, by the key of the other book.
    let mut without_last = bundle.clone();
    without_last["events"].as_array_mut().unwrap().pop();
    let mut changed = bundle.clone();
    changed["events"][3]["payload"] = "e30=".into();
    for refused in [without_last, changed] {
        fs::write(&file, refused.to_string()).unwrap();
        let ended = verified(&file, key, &[]).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    }
    fs::write(&file, bundle.to_string()).unwrap();
    let other = system.data_folder().join("keys/sealer-b/public");
    let other = fs::read_to_string(other).unwrap();
    let ended = verified(&file, other.lines().next().unwrap(), &[]).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");

    system.verify(&["a"]).await;
    let replayed = system
        .command(&["replay", "account/checking", "--book", "a"])
        .await;
    assert!(replayed.contains("6.00"), "{replayed}");
    let listed = [
        "events",
        "--book",
        "a",
        "--stream",
        "account/checking",
        "--format",
        "json",
    ];
    assert_eq!(system.command(&listed).await.lines().count(), 4);
    for words in [
        &["audit", "--book", "a"][..],
        &["check", "--book", "a"],
        &["diff", "balances_a"],
        &["projections", "prove"],
    ] {
        system.command(words).await;
    }
    system.stop().await;
}
