//! Copies of the log's database, which are kept for longer than anybody may be known: what they hold of a person is nothing
//! without a key, and the key is in none of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use folio_audit::{FileAnchor, LogKeys, Walk, Walked};
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{Database, Role};
use folio_tests::api::Api;
use folio_tests::postgres::{self, BookDatabases};
use ledger_example::AccountsDatabases;
use ledger_example::balances::prepare_balances;
use serde_json::{Value, json};

use super::canary::{as_text, holds};
use super::{holder, opening, reason};
use crate::conformance::beside::Programs;
use crate::conformance::dumps::{dump, load};
use crate::seal::service::{bundle, seals};

/// The key under which what is recorded of a subject is sealed.
async fn key_of(vault: &Database, subject: &str) -> Vec<u8> {
    let client = postgres::superuser(vault).await;
    let key = "SELECT key FROM vault.subjects WHERE subject_id = $1";
    client.query_one(key, &[&subject]).await.unwrap().get(0)
}

/// The bytes of all files in which the server has a database.
async fn files_of(database: &Database) -> String {
    let client = postgres::superuser(database).await;
    client.batch_execute("CHECKPOINT").await.unwrap();
    let folder = "SELECT current_setting('data_directory') || '/base/' || oid \
         FROM pg_database WHERE datname = current_database()";
    let folder: String = client.query_one(folder, &[]).await.unwrap().get(0);
    let files = fs::read_dir(folder).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let mut all = String::new();
    for path in paths.filter(|path| path.is_file()) {
        // One that is not needed any more may have been removed.
        all.push_str(&as_text(&fs::read(path).unwrap_or_default()));
    }
    all
}

async fn dumped(database: &Database, folder: &Path, name: &str) -> (PathBuf, String) {
    let file = folder.join(name);
    dump(&postgres::server().await, database.name(), &file).await;
    let text = as_text(&fs::read(&file).unwrap());
    (file, text)
}

/// Who the accounts service says holds the account, on this history and with these keys.
async fn told(databases: BookDatabases) -> Value {
    let api = Api::on(databases).await;
    let told = api.get("/v1/accounts/1/holder").await;
    assert_eq!(told.status, 200, "{told:?}");
    api.stop().await;
    told.body["holder"].clone()
}

/// The keys are in a database of their own. So whoever gets a dump or the files of the log's database reads nothing of a person
/// there; and a backup that was made before a subject was forgotten has nothing to open what it holds either, and is verified as
/// before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_backup_of_the_log_opens_what_is_recorded_of_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let server = postgres::server().await;
    Programs::of(&server).await.give(folder.path());
    let api = Api::sealed(postgres::book().await, seals(&folder).await).await;
    let (ada, texts) = holder("c-1");
    let note = "CanaryNoteInTheClearXyzzy";
    let mut body = opening("1", &ada);
    body["metadata"] = json!({"note": note});
    let opened = api.post("/v1/accounts", &body).await;
    assert_eq!(opened.status, 201, "{opened:?}");
    for amount in ["12.50", "7.50"] {
        api.posting("1", "credits", amount).await;
    }
    bundle(&api, "/v1/audit/accounts/1/bundle", 3).await;
    let AccountsDatabases { events, vault, .. } = api.databases.accounts.clone();

    let key = key_of(&vault, "c-1").await;
    assert_eq!(key.len(), 32);
    let secrets: Vec<&[u8]> = texts
        .iter()
        .map(String::as_bytes)
        .chain([&key[..]])
        .collect();
    let (before, text) = dumped(&events, folder.path(), "before.sql").await;
    for (what, text) in [("dump", &text), ("files", &files_of(&events).await)] {
        for secret in &secrets {
            assert!(!holds(text, secret), "the log's {what}: {secret:?}");
        }
        // The control: what is in the clear is found there, and the key where it is.
        assert!(holds(text, note.as_bytes()), "the log's {what}");
    }
    let (_, of_vault) = dumped(&vault, folder.path(), "vault.sql").await;
    assert!(holds(&of_vault, &key));
    assert!(holds(&files_of(&vault).await, &key));

    // Restored elsewhere, it is opened by the keys as long as they are there.
    let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
        .await
        .unwrap();
    let (there, name) = (cluster.connection_config(), events.name());
    let roles = [Role::Appender, Role::Reader, Role::Sealer, Role::Auditor];
    load(&before, &there, name, &roles).await;
    let book = api.databases.book.clone();
    let made = AccountsDatabases::prepare(&there, &book).await.unwrap();
    let restored = BookDatabases {
        balances: prepare_balances(&there, "balances_restored").await.unwrap(),
        accounts: AccountsDatabases { vault, ..made },
        book,
    };
    assert_eq!(told(restored.clone()).await["name"], ada["name"]);

    let forgotten = api.post("/v1/subjects/c-1/forget", &reason()).await;
    assert_eq!(forgotten.status, 200, "{forgotten:?}");
    let holder = told(restored.clone()).await;
    assert_eq!(holder["erased"], true, "{holder}");
    assert!(!texts.iter().any(|text| holder.to_string().contains(text)));
    let (_, after) = dumped(&events, folder.path(), "after.sql").await;
    for secret in secrets {
        assert!(!holds(&after, secret), "{secret:?}");
    }
    let public = folder.path().join("keys").join(LogKeys::PUBLIC_FILE);
    let log = LogKeys::trusted(&public).unwrap();
    let walk = Walk::open(&restored.accounts.events, log).unwrap();
    let walk = walk.anchored_in(Arc::new(FileAnchor::at(folder.path().join("anchor"))));
    let mut findings = Vec::new();
    let report = walk.run(10, |walked| {
        if let Walked::Found(finding) = walked {
            findings.push(*finding);
        }
    });
    let report = report.await.unwrap();
    assert_eq!((findings, report.unsealed_events), (Vec::new(), 0));
    assert!(report.events >= 3 && report.anchored > 0, "{report:?}");
    api.stop().await;
    cluster.remove().await.unwrap();
}
