//! A witness as a process, which is killed and comes back, and who anchors at it.

mod protocol;
mod sealing;
mod verify;

use std::path::Path;
use std::sync::Arc;

use folio_audit::{Anchor as _, WitnessAnchor};
use folio_proofs::note::{SignedNote, VerifyingKey, WitnessKey};
use folio_tests::process::{Program, command, run};
use nix::sys::signal::Signal;
use reqwest::{Client, Response};
use tempfile::TempDir;

use super::book::Book;
use crate::kill::free_address;

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ledger-under-test"))
}

/// A witness of one log.
pub(crate) struct WitnessProcess {
    program: Program,
    folder: TempDir,
    address: String,
    log: VerifyingKey,
    key: WitnessKey,
    http: Client,
}

impl WitnessProcess {
    /// Of the log that [`Book`]s are sealed as.
    pub(crate) async fn start() -> Self {
        Self::of(Book::key().verifying_key().clone()).await
    }

    pub(crate) async fn of(log: VerifyingKey) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address().await;
        let (program, key) = begun(folder.path(), &address, &log).await;
        Self {
            program,
            folder,
            address,
            log,
            key,
            http: Client::new(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As a command line names it.
    pub(crate) fn at(&self) -> String {
        format!("{}#{}", self.url(), self.key)
    }

    pub(crate) fn anchor(&self) -> Arc<WitnessAnchor> {
        let origin = Book::log().origin().clone();
        Arc::new(WitnessAnchor::at(&self.url(), vec![self.key.clone()], origin).unwrap())
    }

    /// Kills it, whatever it is at.
    pub(crate) fn kill(&self) {
        self.program.signal(Signal::SIGKILL);
    }

    /// Starts it again, in the same folder and at the same address.
    pub(crate) async fn restart(mut self) -> Self {
        let (status, _) = self.program.end().await;
        assert!(!status.success(), "it was killed");
        let (program, key) = begun(self.folder.path(), &self.address, &self.log).await;
        assert_eq!(key, self.key, "it is the same one");
        self.program = program;
        self
    }

    pub(crate) async fn post(&self, body: String) -> Response {
        let request = self.http.post(format!("{}/add-checkpoint", self.url()));
        request.body(body).send().await.unwrap()
    }

    /// Its last checkpoint's size, as it says itself.
    pub(crate) async fn size(&self) -> Option<u64> {
        let last = self.anchor().last().await.unwrap()?;
        Some(Book::log().open(&last).unwrap().size)
    }

    /// The sizes of all checkpoints that it has signed.
    pub(crate) async fn sizes(&self) -> Vec<u64> {
        let records = self.anchor().records().await.unwrap();
        let size = |note: SignedNote| Book::log().open(&note).unwrap().size;
        let all = move || records.map(|note| size(note.unwrap())).collect();
        tokio::task::spawn_blocking(all).await.unwrap()
    }
}

async fn begun(folder: &Path, address: &str, log: &VerifyingKey) -> (Program, WitnessKey) {
    let (folder, log) = (folder.to_str().unwrap(), log.to_string());
    let words = [
        "witness", "--state", folder, "--log", &log, "--listen", address,
    ];
    let mut program = Program::start(command(program(), &words));
    let line = program.line_with("the witness is").await;
    let (_, key) = line.split_once('#').unwrap();
    (program, key.parse().unwrap())
}

#[tokio::test]
async fn a_folder_has_one_witness_at_a_time() {
    let witness = WitnessProcess::start().await;
    let folder = witness.folder.path().to_str().unwrap();
    let log = witness.log.to_string();
    let second = [
        "witness",
        "--state",
        folder,
        "--log",
        &log,
        "--listen",
        "127.0.0.1:0",
    ];
    let ended = run(command(program(), &second)).await;
    assert!(!ended.status.success());
    assert!(
        ended.stderr.contains("belongs to a witness that runs"),
        "{}",
        ended.stderr
    );
}
