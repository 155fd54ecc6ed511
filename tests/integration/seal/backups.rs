//! A base backup that is restored to a moment of before, by the server's own log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use folio_audit::{
    Anchor as _, FileAnchor, Finding, LogKeys, Prover, SealError, Sealer, SealerSettings,
    TrustedLog, Walk, WalkReport, Walked,
};
use folio_postgres::Database;
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_proofs::checkpoint::Checkpoint;
use folio_tests::api::Api;
use folio_tests::postgres::{self, BookDatabases};
use ledger_example::AccountsDatabases;
use ledger_example::balances::prepare_balances;
use tempfile::TempDir;
use tokio::time::sleep;

use super::service::seals;
use crate::audit::audit;
use crate::conformance::beside::{Beside, Programs};
use crate::conformance::{superuser, until};

const ACCOUNTS: [&str; 3] = ["1", "2", "3"];
const PATIENCE: Duration = Duration::from_secs(60);

/// A book that is sealed on a server of its own, which keeps its log in an archive.
struct Archived {
    cluster: ThrowawayCluster,
    api: Api,
    folder: TempDir,
}

impl Archived {
    async fn start() -> Self {
        let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
            .await
            .unwrap();
        let server = cluster.connection_config();
        let archive = cluster.address().data_folder.join("archive");
        std::fs::create_dir(&archive).unwrap();
        Programs::of(&server).await.give(&archive);
        let archive = archive.to_str().unwrap();
        let client = superuser(&server, "postgres").await;
        for setting in [
            "archive_mode = on".to_owned(),
            format!("archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'"),
        ] {
            let set = format!("ALTER SYSTEM SET {setting}");
            client.batch_execute(&set).await.unwrap();
        }
        cluster.restart().await.unwrap();

        let folder = tempfile::tempdir().unwrap();
        let databases = postgres::book_on(&server, "kept").await;
        let api = Api::sealed(databases, seals(&folder).await).await;
        for account in ACCOUNTS {
            api.open(account, "none").await;
        }
        Self {
            cluster,
            api,
            folder,
        }
    }

    async fn post(&self, rounds: u64) {
        for round in 0..rounds {
            for (number, account) in (1..).zip(ACCOUNTS) {
                let amount = format!("{}.{:02}", number * 10, round % 100);
                let posted = self.api.posting(account, "credits", &amount).await;
                assert_eq!(posted.status, 201, "{posted:?}");
            }
            // Is refused: an outcome.
            self.api.posting("1", "debits", "1000000.00").await;
        }
    }

    fn log(&self) -> TrustedLog {
        let public = self.folder.path().join("keys").join(LogKeys::PUBLIC_FILE);
        LogKeys::trusted(&public).unwrap()
    }

    /// The checkpoint that all there is has been sealed into, once it is anchored.
    async fn anchored(&self) -> Checkpoint {
        let events = &self.api.databases.accounts.events;
        let client = superuser(&self.cluster.connection_config(), events.name()).await;
        let all =
            "SELECT (SELECT count(*) FROM store.events) + (SELECT count(*) FROM store.outcomes)";
        let all: i64 = client.query_one(all, &[]).await.unwrap().get(0);
        let (anchor, deadline) = (self.anchor(), Instant::now() + PATIENCE);
        loop {
            let last = anchor.last().await.unwrap();
            let last = last.map(|note| self.log().open(&note).unwrap());
            if let Some(last) = last
                && last.size == all.cast_unsigned()
            {
                return last;
            }
            assert!(Instant::now() < deadline, "{all} leaves are not anchored");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn anchor(&self) -> FileAnchor {
        FileAnchor::at(self.folder.path().join("anchor"))
    }

    /// What the accounts have behind one more posting, and where that is.
    async fn balances(&self) -> (Vec<String>, String) {
        let posted = self.api.posting("1", "credits", "0.01").await;
        let position = posted.token().to_owned();
        (balances(&self.api, &position).await, position)
    }

    /// Returns once the archive has all that the server has logged by now.
    async fn is_archived(&self) {
        let client = superuser(&self.cluster.connection_config(), "postgres").await;
        let file = "SELECT pg_walfile_name(pg_switch_wal())";
        let file: String = client.query_one(file, &[]).await.unwrap().get(0);
        let archived =
            format!("SELECT coalesce(last_archived_wal, '') >= '{file}' FROM pg_stat_archiver");
        until(&client, &archived).await;
    }
}

async fn balances(api: &Api, position: &str) -> Vec<String> {
    let mut balances = Vec::new();
    for account in ACCOUNTS {
        balances.push(api.balance(account, position).await);
    }
    balances
}

async fn walked(
    database: &Database,
    log: TrustedLog,
    anchor: FileAnchor,
) -> (Vec<Finding>, WalkReport) {
    let walk = Walk::open(database, log).unwrap();
    let walk = walk.anchored_in(Arc::new(anchor));
    let mut findings = Vec::new();
    let report = walk.run(100, |walked| {
        if let Walked::Found(finding) = walked {
            findings.push(*finding);
        }
    });
    let report = report.await.unwrap();
    (findings, report)
}

/// The base backup is taken while the book is written and sealed, and replayed to where a checkpoint was the last thing that was
/// anchored. What comes up is that log to the byte: its head is the signed checkpoint of that time. Whoever has a later one sees
/// what the backup does not have, and nobody seals other events over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_restored_to_a_moment_is_the_log_that_was_signed_then() {
    let archived = Archived::start().await;
    let (api, log) = (&archived.api, archived.log());
    archived.post(5).await;
    let (mut copied, ()) = tokio::join!(Beside::copy(&archived.cluster, &[]), archived.post(20));
    let (known, position) = archived.balances().await;
    let then = archived.anchored().await;
    let anchor_then = archived.folder.path().join("anchor-then");
    std::fs::copy(archived.folder.path().join("anchor"), &anchor_then).unwrap();
    let client = superuser(&archived.cluster.connection_config(), "postgres").await;
    let point = "SELECT pg_create_restore_point('then')";
    client.batch_execute(point).await.unwrap();

    archived.post(10).await;
    assert_ne!(archived.balances().await.0, known);
    let later = archived.anchored().await;
    assert!(later.size > then.size);
    archived.is_archived().await;
    let archive = archived.cluster.address().data_folder.join("archive");
    copied.recovers_to("then", &archive);
    let restored = copied.start(5433).await;
    let client = superuser(&restored, "postgres").await;
    until(&client, "SELECT NOT pg_is_in_recovery()").await;

    let book = api.databases.book.clone();
    let accounts = AccountsDatabases::existing(&restored, &book);
    let events = &accounts.events;
    let (findings, report) = walked(events, log.clone(), FileAnchor::at(&anchor_then)).await;
    assert_eq!(findings, []);
    assert_eq!((report.leaves, report.unsealed_events), (then.size, 0));
    let through = then.through.unwrap();
    assert_eq!(report.events, through.position().cast_unsigned());
    let prover = Prover::open(events, log.clone(), 1).unwrap();
    let head = prover.checkpoint_latest().await.unwrap().unwrap();
    assert_eq!(log.open(&head).unwrap(), then);

    // The control: by what was anchored later the same database has lost its end.
    let (findings, _) = walked(events, log.clone(), archived.anchor()).await;
    let is_cut = |finding: &Finding| {
        let Finding::Truncated { last, sealed } = finding else {
            return false;
        };
        (*last, *sealed) == (through.position(), later.through.unwrap().position())
    };
    let is_lost = |finding: &Finding| matches!(finding, Finding::NotInLog { agreed, .. } if *agreed == through.position());
    assert!(findings.iter().any(is_cut), "{findings:?}");
    assert!(findings.iter().any(is_lost), "{findings:?}");
    let keys = archived.folder.path().join("keys");
    let keys = LogKeys::in_folder(&keys, &"ledger.example/a".parse().unwrap()).unwrap();
    let anchor = Arc::new(archived.anchor());
    let settings = SealerSettings::default();
    let refused = Sealer::open(events, keys.signing, log, settings, anchor).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, SealError::NotAsAnchored(_)), "{error:?}");

    // A read model that is made of it is the one of that time.
    let name = postgres::unique("balances");
    let anew = prepare_balances(&postgres::server().await, &name).await;
    let databases = BookDatabases {
        book,
        accounts,
        balances: anew.unwrap(),
    };
    let there = Api::on(databases).await;
    assert_eq!(balances(&there, &position).await, known);
    let compared = audit(&there.databases).await.unwrap();
    assert_eq!(compared.differences, []);
    there.stop().await;
    copied.stop().await;
    let Archived { cluster, api, .. } = archived;
    api.stop().await;
    cluster.remove().await.unwrap();
}
