//! A subject that is forgotten, and a history that does not change.

use std::sync::Arc;

use folio_audit::{FileAnchor, Prover, Sealer, SealerSettings, TrustedLog};
use folio_core::{BatchSize, StreamId, Version};
use folio_proofs::checkpoint::Checkpoint;
use folio_proofs::merkle::{Size, TreeHead};
use folio_proofs::note::SigningKey;
use folio_tests::api::{Api, Reads};
use folio_tests::postgres;
use serde_json::json;

use super::canary::{places, shows};
use super::{databases, history, holder, opening, reason};
use crate::audit::audit;

fn signing_key() -> SigningKey {
    SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[7; 32]).unwrap()
}

fn log() -> TrustedLog {
    let key = signing_key();
    TrustedLog::new(key.name().into(), key.verifying_key().clone())
}

#[tokio::test]
async fn a_forgotten_subject_is_erased_and_history_is_as_it_was() {
    let api = Api::start().await;
    let (ada, texts) = holder("c-1");
    let (bob, _) = holder("c-2");
    for (id, holder) in [("1", &ada), ("2", &bob)] {
        let opened = api.post("/v1/accounts", &opening(id, holder)).await;
        assert_eq!(opened.status, 201, "{opened:?}");
    }
    let posted = api.posting("1", "credits", "12.50").await;
    let token = posted.token();
    let before = api
        .get(&format!("/v1/accounts/1?min_position={token}"))
        .await;
    let told = api.get("/v1/accounts/1/holder").await;
    let shown = json!({
        "subject": "c-1", "erased": false,
        "name": ada["name"], "address": ada["address"], "email": ada["email"],
    });
    assert_eq!(told.body["holder"], shown, "{told:?}");

    // It is sealed into a log, whose checkpoint somebody else keeps.
    let store = &api.databases.accounts.events;
    let server = postgres::server().await;
    folio_audit::prepare(&server, store.name()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let anchor = FileAnchor::open(folder.path().join("checkpoints")).await;
    let anchor = Arc::new(anchor.unwrap());
    let settings = SealerSettings::default();
    let sealer = Sealer::open(store, signing_key(), log(), settings, anchor).await;
    let mut sealer = sealer.unwrap();
    sealer.seal_once().await.unwrap();
    let prover = Prover::open(store, log(), 1).unwrap();
    let note = prover.checkpoint_latest().await.unwrap().unwrap();
    let recorded = history(&api).await;

    let forget = "/v1/subjects/c-1/forget";
    let forgotten = api.post(forget, &reason()).await;
    assert_eq!(forgotten.status, 200, "{forgotten:?}");
    let again = api.post(forget, &json!({"reason": "another"})).await;
    assert_eq!(again.body, forgotten.body);
    assert_eq!(again.text("reason"), "asked for it, ticket 812");

    let told = api.get("/v1/accounts/1/holder").await;
    let erased = json!({
        "subject": "c-1", "erased": true, "forgotten_at": forgotten.body["forgotten_at"],
    });
    assert_eq!((told.status, &told.body["holder"]), (200, &erased));
    let other = api.get("/v1/accounts/2/holder").await;
    assert_eq!(other.body["holder"]["name"], bob["name"]);
    let found = places(&databases(&api), &texts).await;
    assert_eq!(found, Vec::<String>::new());
    let feed = api.get("/v1/feed").await;
    assert!(!shows(&feed.body.to_string(), &texts), "{feed:?}");

    // Every byte of the history is as it was, and in the log whose checkpoint was taken before.
    assert_eq!(history(&api).await, recorded);
    sealer.seal_once().await.unwrap();
    let checkpoint = Checkpoint::open(note.to_string(), signing_key().verifying_key()).unwrap();
    let head = TreeHead {
        size: Size::new(checkpoint.size),
        root: checkpoint.root,
    };
    let stream = StreamId::new("account", "1").unwrap();
    let limit = BatchSize::new(10).unwrap();
    let events = prover.events_of_stream(&stream, Version::NONE, limit, head.size);
    let events = events.await.unwrap();
    assert_eq!(events.len(), 2);
    for event in &events {
        let leaf = event.row.leaf().hash();
        assert_eq!(event.inclusion.verify(leaf, head), Ok(()));
    }

    // And it means the same: to the audit, the watch, and a model that is made anew of it.
    let after = api.get("/v1/accounts/1").await;
    assert_eq!(after.body, before.body);
    assert_eq!(audit(&api.databases).await.unwrap().differences, []);
    let watched = api
        .get(&format!("/v1/invariants?min_position={token}"))
        .await;
    assert_eq!(watched.body["hold"], true, "{watched:?}");
    let anew = Reads::over(&[&api]).await;
    assert_eq!(anew.balance("1", token).await, "12.50");
    anew.stop().await;
    let posted = api.posting("1", "debits", "2.50").await;
    assert_eq!(api.balance("1", posted.token()).await, "10.00");
    api.stop().await;
}
