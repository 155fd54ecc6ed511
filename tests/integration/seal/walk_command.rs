//! `ledger verify`.

use std::sync::Arc;

use folio_audit::{FileAnchor, LogKeys, Sealer, SealerSettings};
use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, CommandContext, CommandId, EventStore as _, ExpectedVersion, Fingerprint, NewEvent,
    StreamId,
};
use folio_postgres::PostgresStore;
use folio_tests::postgres;
use serde_json::Value;
use tokio::process::Command;

/// Runs the program. Answers with its exit code and what it has written.
async fn verify(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ledger-under-test"))
        .args(["verify", "--database-url", &postgres::url().await])
        .args(arguments)
        .output()
        .await
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[tokio::test]
async fn the_command_says_what_is_not_as_it_was_sealed() {
    let databases = postgres::book().await;
    let events = &databases.accounts.events;
    folio_audit::prepare(&postgres::server().await, events.name())
        .await
        .unwrap();
    let store = PostgresStore::open(events, 1).await.unwrap();
    let event = NewEvent {
        event_type: "Noted".to_owned(),
        schema_version: 1,
        payload: b"{}".to_vec(),
    };
    let write = StreamWrite {
        stream: StreamId::new("account", "x").unwrap(),
        expected: ExpectedVersion::Any,
        events: vec![event; 3],
    };
    let context = CommandContext::new(CommandId::derived(&["verify"]), Actor::anonymous());
    let append = Append::events(context, Fingerprint::of(&[b"x"]), vec![write]);
    store.append(append).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let name = "ledger.example/a".parse().unwrap();
    let keys = LogKeys::in_folder(folder.path(), &name).unwrap();
    let anchor = folder.path().join("anchor");
    let file = Arc::new(FileAnchor::open(&anchor).await.unwrap());
    let settings = SealerSettings::default();
    let sealer = Sealer::open(events, keys.signing, keys.log, settings, file);
    sealer.await.unwrap().seal_once().await.unwrap();

    let public = folder.path().join(LogKeys::PUBLIC_FILE);
    let key = std::fs::read_to_string(&public).unwrap();
    let (public, anchor) = (public.display().to_string(), anchor.display().to_string());
    let book = databases.book.as_str();
    let of_book = ["--book", book, "--anchor", anchor.as_str(), "--key"];
    for key in [public.as_str(), key.trim()] {
        let (found, text) = verify(&[&of_book[..], &[key]].concat()).await;
        assert_eq!(found, Some(0), "{text}");
        assert!(
            text.starts_with("read 3 events and 0 outcomes; 3 leaves"),
            "{text}"
        );
    }

    let owner = postgres::superuser(events).await;
    let tamper = "ALTER TABLE store.events DISABLE TRIGGER append_only; \
         UPDATE store.events SET payload = '{ }' WHERE position = 2";
    owner.batch_execute(tamper).await.unwrap();
    let (found, text) = verify(&[&of_book[..], &[public.as_str()]].concat()).await;
    assert_eq!(found, Some(1));
    let first = "position 2 (account/x version 2) was altered after it was sealed\n";
    assert!(text.starts_with(first), "{text}");
    let (found, text) = verify(&[&of_book[..], &[public.as_str(), "--json"]].concat()).await;
    assert_eq!(found, Some(1));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["finding"], "altered");
    assert_eq!(lines[0]["row"]["position"], 2);
    assert_eq!(lines[1]["found"], 1);

    let none = verify(&[
        "--book",
        book,
        "--anchor",
        "/nowhere",
        "--key",
        public.as_str(),
    ])
    .await;
    assert_eq!(
        none,
        (Some(1), String::new()),
        "an anchor that is not there is no anchor"
    );
}
