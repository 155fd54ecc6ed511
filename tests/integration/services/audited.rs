//! The programs of the auditor's guide, run as an auditor runs them: beside the running system, and one of them without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use folio_tests::process::{Ended, command, run};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;

use super::system::{PATIENCE, System};
use crate::up::{program, text};

/// A system, and what an auditor has of it: a folder for what was handed out, and the public keys of its books.
struct Audit {
    system: System,
    folder: TempDir,
}

#[tokio::test]
async fn the_programs_of_the_guide_answer() {
    let audit = Audit {
        system: System::start().await,
        folder: TempDir::new().unwrap(),
    };
    audit.post_some().await;
    audit.one_account().await;
    audit.one_event_one_refusal_and_growth().await;
    audit.with_a_login().await;
    audit.a_subject_is_forgotten().await;
    audit.what_the_operator_runs().await;
    audit.what_is_done_between_books().await;
    audit.system.stop().await;
}

impl Audit {
    async fn post_some(&self) {
        let account = json!({"id": "checking", "currency": "EUR"});
        self.write(Method::POST, "accounts", "open", account).await;
        for number in 1..=3 {
            let credit =
                json!({"amount": format!("{number}.00"), "currency": "EUR", "contra": "cash"});
            let key = format!("credit-{number}");
            let path = "accounts/checking/credits";
            self.write(Method::POST, path, &key, credit).await;
        }
    }

    /// All of an account, once it is sealed.
    async fn one_account(&self) {
        let file = self.folder.path().join("checking.json");
        let bundle = self.bundle(&file, 4).await;
        let key = self.key("a");
        let ended = checked(&file, &key, &[]).await;
        assert!(is_verified(&ended), "{ended:?}");
        let ended = checked(&file, &key, &["--page"]).await;
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
            let ended = checked(&file, &key, &[]).await;
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        }
        fs::write(&file, bundle.to_string()).unwrap();
        let ended = checked(&file, &self.key("b"), &[]).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    }

    /// What the gateway answers to an auditor, saved and checked.
    async fn one_event_one_refusal_and_growth(&self) {
        let key = self.key("a");
        let kept = self.read("auditor", "audit/checkpoint").await.unwrap();
        let size = kept.lines().nth(1).unwrap();
        let kept_file = self.saved("kept.txt", &kept);

        let debit = json!({"amount": "99.00", "currency": "EUR", "contra": "cash"});
        let path = "accounts/checking/debits";
        let refused = self.ask(Method::POST, path, "debit", debit).await;
        assert_eq!(refused.status(), 422, "{refused:?}");
        let outcome = self.read("operator", "outcomes/debit").await.unwrap();
        let outcome: Value = serde_json::from_str(&outcome).unwrap();
        let command = outcome["outcomes"][0]["command_id"].as_str().unwrap();
        for (query, told) in [
            ("position=1".to_owned(), "AccountOpened"),
            (format!("command={command}"), "was refused"),
        ] {
            let receipt = self.sealed(&format!("audit/inclusion?{query}")).await;
            let file = self.saved("receipt.json", &receipt);
            let ended = checked(&file, &key, &[]).await;
            assert!(is_verified(&ended), "{ended:?}");
            assert!(ended.stdout.contains(told), "{ended:?}");
            let ended = checked(&file, &self.key("b"), &[]).await;
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        }
        let growth = self.sealed(&format!("audit/growth?since={size}")).await;
        let file = self.saved("growth.json", &growth);
        let ended = checked(&file, &key, &["--since", text(&kept_file)]).await;
        assert!(is_verified(&ended), "{ended:?}");
        // Of a receipt there is no page; that is no word on whether it holds.
        let ended = checked(&file, &key, &["--page"]).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    }

    /// A login that may read and nothing else is enough to walk the book and to make a bundle.
    async fn with_a_login(&self) {
        let login = self.system.command(&["auditor-login", "--book", "a"]).await;
        let keys = self.key_file("a");
        let anchor = self.system.data_folder().join("anchors/a");
        let ledger = async |words: &[&str]| {
            let mut command = command(program(), words);
            command.env("DATABASE_URL", &login);
            run(command).await
        };
        let walk = ["verify", "--book", "a", "--key", text(&keys)];
        let ended = ledger(&[&walk[..], &["--anchor", text(&anchor)]].concat()).await;
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.stdout.starts_with("read "), "{ended:?}");
        let bundle = ["bundle", "checking", "--book", "a", "--keys", text(&keys)];
        let ended = ledger(&bundle).await;
        assert!(ended.status.success(), "{ended:?}");
        let file = self.saved("by-the-login.json", &ended.stdout);
        let ended = checked(&file, &self.key("a"), &[]).await;
        assert!(is_verified(&ended), "{ended:?}");
        let forget = ["forget", "c-1", "--reason", "none", "--by", "auditor"];
        let ended = ledger(&forget).await;
        assert!(!ended.status.success(), "{ended:?}");
    }

    /// Nobody knows the holder any more, and what is on record is proven as it was.
    async fn a_subject_is_forgotten(&self) {
        let path = "accounts/checking/holder";
        let holder = json!({"subject": "c-1", "name": "Ada Lovelace"});
        self.write(Method::PUT, path, "holder", holder).await;
        let shown = self.read("reader", path).await.unwrap();
        assert!(shown.contains("Ada Lovelace"), "{shown}");
        let before = self.saved("before.json", "");
        self.bundle(&before, 5).await;

        let forget = ["forget", "c-1", "--reason", "asked for it", "--by", "ann"];
        let told = self.system.command(&forget).await;
        let first = "c-1 of book a is forgotten, as ann asked: asked for it";
        assert_eq!(told.lines().next(), Some(first));
        // Said again by somebody else, it answers as it did first.
        let again = ["forget", "c-1", "--reason", "another", "--by", "bob"];
        assert_eq!(self.system.command(&again).await, told);

        let shown = self.read("reader", path).await.unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["holder"]["erased"], true, "{shown}");
        assert_eq!(shown["holder"].get("name"), None, "{shown}");
        let ended = checked(&before, &self.key("a"), &[]).await;
        assert!(is_verified(&ended), "{ended:?}");
        self.system.verify(&["a"]).await;
    }

    async fn what_the_operator_runs(&self) {
        let system = &self.system;
        let replay = ["replay", "account/checking", "--book", "a"];
        let replayed = system.command(&replay).await;
        assert!(replayed.contains("6.00"), "{replayed}");
        let stream = ["--stream", "account/checking", "--format", "json"];
        let listed = [&["events", "--book", "a"], &stream[..]].concat();
        assert_eq!(system.command(&listed).await.lines().count(), 5);
        for words in [
            &["audit", "--book", "a"][..],
            &["check", "--book", "a"],
            &["diff", "balances_a"],
            &["projections", "prove"],
            &["projections", "list"],
            &["verify", "--book", "a"],
            &["bundle", "checking", "--book", "a"],
            &["auditor-login", "--book", "a"],
            &listed,
            &replay,
        ] {
            system.command(words).await;
            self.unread(words).await;
        }
    }

    /// The log of transfers and payments is sealed as those of the books are, and tells if a step of one is altered.
    async fn what_is_done_between_books(&self) {
        let url = format!("{}/v1/transfers", self.system.url("gateway"));
        let order = json!({"id": "sealed", "from": {"book": "a", "account_id": "checking"},
            "to": {"book": "b", "account_id": "nobody"}, "amount": "1.00", "currency": "EUR"});
        let request = self.system.client.post(url).json(&order);
        let request = request.bearer_auth(self.system.token("operator"));
        let answer = request.header("Prefer", "wait=20").send().await.unwrap();
        let transfer: Value = answer.json().await.unwrap();
        assert_eq!(transfer["state"], "undone", "{transfer}");

        let mut owner = self.system.server_config();
        let (owner, connection) = owner
            .dbname("folio_transfers")
            .connect(NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        // All of it is sealed, and that is anchored.
        let sealed = "SELECT max(size) FROM audit.checkpoints \
                      WHERE events = (SELECT count(*) FROM store.events)";
        let anchor = self.system.data_folder().join("anchors/transfers");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let size: Option<i64> = owner.query_one(sealed, &[]).await.unwrap().get(0);
            let anchored = fs::read_to_string(&anchor).unwrap_or_default();
            if size.is_some_and(|size| anchored.contains(&format!("\n{size}\n"))) {
                break;
            }
            assert!(Instant::now() < deadline, "{size:?} in {anchored}");
            sleep(Duration::from_millis(100)).await;
        }
        self.system.verify_log(&["--transfers"]).await;
        let login = self.system.command(&["auditor-login", "--transfers"]).await;
        let keys = self.key_file("transfers");
        let walk = async || {
            let words = [
                "verify",
                "--transfers",
                "--key",
                text(&keys),
                "--anchor",
                text(&anchor),
            ];
            let mut walk = command(program(), &words);
            walk.env("DATABASE_URL", &login);
            run(walk).await
        };
        let clean = walk().await;
        assert!(clean.status.success(), "{clean:?}");
        let alter = "ALTER TABLE store.events DISABLE TRIGGER ALL; \
                     UPDATE store.events SET payload = '{}' WHERE position = 1";
        owner.batch_execute(alter).await.unwrap();
        let altered = walk().await;
        assert_eq!(altered.status.code(), Some(1), "{altered:?}");
        assert!(altered.stdout.contains("transfer/sealed"), "{altered:?}");
    }

    /// Whoever has seen enough closes the pipe, as `head` does. What was found is told by the exit code all the same.
    async fn unread(&self, words: &[&str]) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let folder = ["--data-dir", text(self.system.data_folder())];
        let mut command = command(program(), &[words, &folder].concat());
        command.stdout(writer).stderr(Stdio::piped());
        let ended = command.spawn().unwrap().wait_with_output().await.unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{words:?}: {told}");
    }

    /// Has the bundle of the account written to this file, as soon as so many events of it are sealed.
    async fn bundle(&self, file: &Path, events: usize) -> Value {
        let words = ["bundle", "checking", "--book", "a", "--output", text(file)];
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.system.command(&words).await;
            let bundle: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            if bundle["events"].as_array().unwrap().len() == events {
                return bundle;
            }
            assert!(Instant::now() < deadline, "{bundle}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What an auditor is answered, as soon as it is sealed.
    async fn sealed(&self, path: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.read("auditor", path).await;
            match answer {
                Ok(body) => return body,
                Err(answer) => assert!(Instant::now() < deadline, "{answer}"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn read(&self, role: &str, path: &str) -> Result<String, String> {
        let request = self.system.client.get(self.url(path));
        let answer = request.bearer_auth(self.system.token(role)).send().await;
        let answer = answer.unwrap();
        let is_good = answer.status().is_success();
        let body = answer.text().await.unwrap();
        if is_good { Ok(body) } else { Err(body) }
    }

    async fn write(&self, method: Method, path: &str, key: &str, body: Value) {
        let answer = self.ask(method, path, key, body).await;
        assert!(answer.status().is_success(), "{answer:?}");
    }

    async fn ask(&self, method: Method, path: &str, key: &str, body: Value) -> reqwest::Response {
        let request = self.system.client.request(method, self.url(path));
        let request = request.bearer_auth(self.system.token("operator"));
        let request = request.header("Idempotency-Key", key).json(&body);
        request.send().await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/books/a/{path}", self.system.url("gateway"))
    }

    fn saved(&self, name: &str, what: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, what).unwrap();
        file
    }

    fn key_file(&self, book: &str) -> PathBuf {
        let keys = self.system.data_folder().join("keys");
        keys.join(format!("sealer-{book}/public"))
    }

    fn key(&self, book: &str) -> String {
        let keys = fs::read_to_string(self.key_file(book)).unwrap();
        keys.lines().next().unwrap().to_owned()
    }
}

/// Checked with nothing of the system but the file and the key.
async fn checked(file: &Path, key: &str, more: &[&str]) -> Ended {
    let program = Path::new(env!("CARGO_BIN_EXE_folio-verify-under-test"));
    let words = [&[text(file), "--key", key], more].concat();
    let mut program = command(program, &words);
    program.env_clear().current_dir("/");
    run(program).await
}

fn is_verified(ended: &Ended) -> bool {
    ended.status.success() && ended.stdout.starts_with("VERIFIED")
}
