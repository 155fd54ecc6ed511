//! The commands: a service that anchors in three places, and who verifies it by each.

use std::path::Path;
use std::time::Duration;

use folio_audit::{DatabaseAnchor, FileAnchor, LogKeys, Sealer, SealerSettings};
use folio_postgres::{Database, Role};
use folio_tests::postgres::{self, BookDatabases};
use folio_tests::process::{Ended, Program, command, run};
use ledger::anchor_database::{self, Purpose};
use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{WitnessProcess, program};
use crate::kill::free_address;

const PATIENCE: Duration = Duration::from_secs(30);
const PRIVILEGE: &str = "42501";

/// Runs the program on the server of the tests.
async fn ledger(words: &[&str]) -> Ended {
    let mut command = command(program(), words);
    command.env("DATABASE_URL", postgres::url().await);
    run(command).await
}

/// A book that its service seals, as a process.
struct SealedBook {
    databases: BookDatabases,
    folder: TempDir,
    keys: LogKeys,
    url: String,
    http: Client,
}

impl SealedBook {
    async fn new() -> Self {
        let databases = postgres::book().await;
        let folder = tempfile::tempdir().unwrap();
        let name = format!("ledger.local/{}", databases.book).parse().unwrap();
        Self {
            keys: LogKeys::in_folder(&folder.path().join("keys"), &name).unwrap(),
            databases,
            folder,
            url: format!("http://{}", free_address().await),
            http: Client::new(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// With what its service is started.
    fn words<'a>(&'a self, keys: &'a str, anchors: &[&'a str]) -> Vec<&'a str> {
        let address = self.url.trim_start_matches("http://");
        let book = self.databases.book.as_str();
        let mut words = vec!["accounts", "--listen", address, "--book", book];
        words.extend(["--seal-keys", keys]);
        for anchor in anchors {
            words.extend(["--anchor", *anchor]);
        }
        words
    }

    async fn start(&self, anchors: &[&str]) -> Program {
        let keys = self.path("keys");
        let mut command = command(program(), &self.words(&keys, anchors));
        command.env("DATABASE_URL", postgres::url().await);
        let mut service = Program::start(command);
        service.line_with("listens at").await;
        service
    }

    async fn open_account(&self, id: &str) {
        let body = json!({"id": id, "currency": "EUR", "overdraft": {"kind": "none"}});
        let request = self.http.post(format!("{}/v1/accounts", self.url));
        let answer = request
            .header("Idempotency-Key", id)
            .json(&body)
            .send()
            .await;
        assert_eq!(answer.unwrap().status().as_u16(), 201);
    }

    /// Waits until the metrics say that so many leaves are sealed, and of each of these anchors whether it has all of them.
    async fn sealed(&self, leaves: u64, anchors: &[(&str, bool)]) {
        let metrics = format!("{}/metrics", self.url);
        let is_so = async || {
            let text = self
                .http
                .get(&metrics)
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            let value = |name: &str, of: &str| {
                let is_it = |line: &&str| line.starts_with(name) && line.contains(of);
                let line = text.lines().find(is_it)?;
                line.rsplit_once(' ')?.1.parse::<f64>().ok()
            };
            #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
            let has_sealed = value("folio_sealed_leaves_total", "") == Some(leaves as f64);
            let lag = |anchor: &str| value("folio_anchor_lag_leaves", anchor);
            let is_anchored =
                |(anchor, has): &(&str, bool)| lag(anchor).is_some_and(|lag| (lag == 0.0) == *has);
            has_sealed && anchors.iter().all(is_anchored)
        };
        let waited = async {
            while !is_so().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, waited).await.unwrap();
    }

    /// Verifies the book by this anchor: whether all is well, and what was said.
    async fn verify(&self, anchor: &str) -> (Option<i32>, String) {
        let (key, book) = (self.path("keys/public"), self.databases.book.as_str());
        let words = ["verify", "--book", book, "--key", &key, "--anchor", anchor];
        let ended = ledger(&words).await;
        (ended.status.code(), ended.stdout + &ended.stderr)
    }

    /// Changes an event and makes the whole log anew, by whoever has the server and the key.
    async fn make_anew(&self, anchor: &str) {
        let events = &self.databases.accounts.events;
        let owner = postgres::superuser(events).await;
        let anew = "ALTER TABLE store.events DISABLE TRIGGER append_only; \
             ALTER TABLE audit.checkpoints DISABLE TRIGGER append_only; \
             UPDATE store.events SET payload = payload || ' ' WHERE position = 1; \
             DELETE FROM audit.tiles; DELETE FROM audit.buckets; DELETE FROM audit.checkpoints";
        owner.batch_execute(anew).await.unwrap();
        let file = FileAnchor::open(Path::new(anchor)).await.unwrap();
        let (key, log) = (self.keys.signing.clone(), self.keys.log.clone());
        let settings = SealerSettings::default();
        let file = std::sync::Arc::new(file);
        let mut sealer = Sealer::open(events, key, log, settings, file)
            .await
            .unwrap();
        assert!(sealer.seal_once().await.unwrap().leaves() > 0);
    }
}

#[tokio::test]
async fn a_log_that_was_made_anew_is_found_by_each_kind_of_anchor() {
    let book = SealedBook::new().await;
    let log = book.keys.log.keys()[0].clone();
    let witness = WitnessProcess::of(log).await;
    let name = postgres::unique("anchor");
    let made = ledger(&["anchor-database", "--database", &name]).await;
    assert!(made.status.success(), "{}", made.stderr);
    let (file, database, at) = (book.path("anchor"), made.stdout.trim(), witness.at());
    let service = book.start(&[&file, database, &at]).await;
    book.open_account("1").await;
    let url = witness.url();
    let lag = [
        (file.as_str(), true),
        (name.as_str(), true),
        (url.as_str(), true),
    ];
    book.sealed(1, &lag).await;

    // The witness goes; the others have what is sealed, and it gets that when it is back.
    witness.kill();
    book.open_account("2").await;
    book.sealed(2, &[lag[0], lag[1], (url.as_str(), false)])
        .await;
    let (code, said) = book.verify(&at).await;
    assert_eq!(code, Some(1), "whoever is not there has verified nothing");
    assert!(
        said.contains(&format!("the anchor {url} cannot be read")),
        "{said}"
    );
    let witness = witness.restart().await;
    book.sealed(2, &lag).await;
    drop(service);

    let verifying = ledger(&["anchor-database", "--database", &name, "--for", "verifying"]).await;
    let verifying = verifying.stdout.trim();
    let keys = book.path("witness-keys");
    std::fs::write(&keys, format!("# of the witness\n{}\n", witness.key)).unwrap();
    let by_file = format!("{url}#{keys}");
    let anchors = [file.as_str(), database, verifying, &at, &by_file];
    for anchor in anchors {
        let (code, said) = book.verify(anchor).await;
        assert_eq!(code, Some(0), "{anchor}: {said}");
        // How many seals it took is a matter of time.
        let compared = said.contains(" anchored ones compared, 0 findings");
        assert!(
            compared && !said.contains(" 0 anchored"),
            "{anchor}: {said}"
        );
    }

    let anew = book.path("anew");
    book.make_anew(&anew).await;
    let (code, said) = book.verify(&anew).await;
    assert_eq!(
        code,
        Some(0),
        "the control, without what was anchored before: {said}"
    );
    for anchor in anchors {
        let (code, said) = book.verify(anchor).await;
        assert_eq!(code, Some(1), "{anchor}: {said}");
        assert!(
            said.contains("forked") || said.contains("made anew"),
            "{anchor}: {said}"
        );
    }
}

#[tokio::test]
async fn an_anchor_s_file_that_is_empty_or_gone_is_named() {
    let book = SealedBook::new().await;
    let file = book.path("anchor");
    let service = book.start(&[&file]).await;
    book.open_account("1").await;
    book.sealed(1, &[(file.as_str(), true)]).await;
    drop(service);
    let held = std::fs::read(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    // The log is young: what was sealed first may be on its way there. How far the anchors go is said.
    let (code, said) = book.verify(&file).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("what was sealed behind 0 leaves"), "{said}");

    std::fs::remove_file(&file).unwrap();
    let keys = book.path("keys");
    let words = book.words(&keys, &[&file]);
    let ended = timeout(PATIENCE, ledger(&words)).await.unwrap();
    assert!(!ended.status.success());
    let told = format!("there is no file {file}");
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
    assert!(!Path::new(&file).exists());

    std::fs::write(&file, held).unwrap();
    let _service = book.start(&[&file]).await;
    let (code, said) = book.verify(&file).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn the_logins_of_an_anchors_database_append_or_read_and_do_nothing_else() {
    let (server, name) = (postgres::server().await, postgres::unique("anchor"));
    let change = "DELETE FROM anchor.checkpoints";
    let insert = "INSERT INTO anchor.checkpoints (log, note) VALUES ('a', 'b')";
    for purpose in [Purpose::Sealing, Purpose::Verifying] {
        let login = anchor_database::make(&server, &name, purpose)
            .await
            .unwrap();
        let database = Database::new(login, &name);
        let auditor = database.connect(Role::Auditor).await.unwrap();
        let read = "SELECT FROM anchor.checkpoints";
        auditor.batch_execute(read).await.unwrap();
        let refused = auditor.batch_execute(insert).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), PRIVILEGE);
        match (purpose, database.connect(Role::Sealer).await) {
            (Purpose::Sealing, sealer) => {
                let sealer = sealer.unwrap();
                sealer.batch_execute(insert).await.unwrap();
                let refused = sealer.batch_execute(change).await.unwrap_err();
                assert_eq!(refused.code().unwrap().code(), PRIVILEGE);
            }
            (Purpose::Verifying, sealer) => {
                assert_eq!(sealer.err().unwrap().code().unwrap().code(), PRIVILEGE);
            }
        }
        let owner = database.connect(Role::Owner).await.err().unwrap();
        assert_eq!(owner.code().unwrap().code(), PRIVILEGE);
    }
    // What is there already is kept.
    let database = DatabaseAnchor::prepare(&server, &name).await.unwrap();
    let owner = postgres::superuser(&database).await;
    let count = owner
        .query_one("SELECT count(*) FROM anchor.checkpoints", &[])
        .await;
    assert_eq!(count.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn an_anchor_that_is_none_of_the_three_is_refused_and_the_forms_are_told() {
    for anchor in ["http://127.0.0.1:1", "ftp://x", "postgres://h"] {
        let ended = ledger(&["verify", "--anchor", anchor]).await;
        assert_eq!(ended.status.code(), Some(2), "{anchor}");
        let told = "name a file, a database as postgres://user:password@host/database, \
                    or a witness as http://host:port#KEY";
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
}
