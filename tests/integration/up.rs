//! The main job, as a new user would run it: one command, nothing configured.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use folio_postgres::cluster::LocalCluster;
use folio_tests::process::{PATIENCE, Program, command, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

#[tokio::test]
async fn one_command_serves_a_demo_book_and_keeps_it() {
    let folder = data_folder();
    let first = up(folder.path(), &[]).await;
    let lines = first.curl_lines();
    assert_eq!(lines.len(), 6, "{lines:?}");

    // Each line works when pasted.
    let balance = first.pasted(&lines[0]).await;
    assert_eq!(balance["balance"], "1386.73");
    let credited = first.pasted(&lines[1]).await;
    assert_eq!(credited["balance"], "1411.73");
    let events = first.pasted(&lines[2]).await;
    assert_eq!(events["events"].as_array().unwrap().len(), 5);
    let transfer = first.pasted(&lines[4]).await;
    assert_eq!(
        (&transfer["state"], &transfer["money_is"]),
        (&"completed".into(), &"destination".into()),
        "{transfer}"
    );

    first.shell(&lines[5], folder.path()).await;
    let statement = std::fs::read_to_string(folder.path().join("statement.html")).unwrap();
    assert!(statement.contains("Statement of "), "{statement}");
    assert!(!statement.contains("This may not be all"), "{statement}");

    // The page is there as soon as what it tells is sealed.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let told = first.shell(&lines[3], folder.path()).await;
        let page = std::fs::read_to_string(folder.path().join("checking.html"));
        let page = page.unwrap_or_default();
        if page.contains("all 8 events") {
            break;
        }
        assert!(Instant::now() < deadline, "{told} {page}");
    }

    // An audit runs beside it.
    let audit = run(command(
        program(),
        &["audit", "--data-dir", text(folder.path())],
    ))
    .await;
    assert!(audit.status.success(), "{}", audit.stderr);
    assert!(
        audit.stdout.contains("11 accounts compared, 0 differences"),
        "{}",
        audit.stdout
    );

    // So does what operators do.
    assert!(all_is_well(folder.path()).await);

    // A second one on the same data is told, and does no harm.
    let second = run(command(
        program(),
        &["up", "--data-dir", text(folder.path())],
    ))
    .await;
    assert!(!second.status.success());
    assert!(second.stderr.contains("error: "), "{}", second.stderr);

    first.stops(Signal::SIGINT).await;
    assert!(LocalCluster::attach(folder.path()).await.unwrap().is_none());

    let again = up(folder.path(), &[]).await;
    let lines = again.curl_lines();
    let balance = again.pasted(&lines[0]).await;
    assert_eq!(
        (&balance["balance"], &balance["version"]),
        (&"1371.73".into(), &8.into())
    );
    again.stops(Signal::SIGTERM).await;

    // What operators do without it starts the cluster for itself, and stops it.
    assert!(all_is_well(folder.path()).await);
    assert!(LocalCluster::attach(folder.path()).await.unwrap().is_none());

    // And so does an audit.
    let audit = run(command(
        program(),
        &["audit", "--data-dir", text(folder.path())],
    ))
    .await;
    assert!(
        audit.stdout.contains("0 differences"),
        "{}{}",
        audit.stdout,
        audit.stderr
    );
    assert!(LocalCluster::attach(folder.path()).await.unwrap().is_none());
}

/// A program that was killed leaves its PostgreSQL running; the next start takes it over.
#[tokio::test]
async fn a_killed_program_loses_nothing() {
    let folder = data_folder();
    let first = up(folder.path(), &[]).await;
    let lines = first.curl_lines();
    first.pasted(&lines[1]).await;
    first.program.signal(Signal::SIGKILL);
    first.program.end().await;
    let again = up(folder.path(), &["--empty"]).await;
    let balance = again.pasted(&again.curl_lines()[0]).await;
    assert_eq!(balance["balance"], "1411.73");
    again.stops(Signal::SIGINT).await;
    assert!(LocalCluster::attach(folder.path()).await.unwrap().is_none());
}

/// As behind `| head -1`. The next line that was printed then made it panic, and PostgreSQL ran on.
#[tokio::test]
async fn it_stops_in_good_order_when_nobody_reads_what_it_prints() {
    let folder = data_folder();
    let words = ["up", "--data-dir", text(folder.path())];
    let mut up = command(
        program(),
        &[&words[..], &["--free-ports", "--empty"]].concat(),
    );
    let (reader, writer) = std::io::pipe().unwrap();
    let mut running = up.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(reader).read_line(&mut first).unwrap();
    assert!(first.starts_with("Starting PostgreSQL"), "{first}");

    let started = folder.path().join("logs/gateway.log");
    let deadline = Instant::now() + PATIENCE;
    while !started.exists() {
        assert!(Instant::now() < deadline, "{:?}", running.try_wait());
        sleep(Duration::from_millis(20)).await;
    }
    let process = Pid::from_raw(running.id().unwrap().try_into().unwrap());
    // Some of the services are about to serve. One that missed being told was killed in the end.
    kill(process, Signal::SIGTERM).unwrap();
    let ended = running.wait_with_output().await.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && said.is_empty(), "{said}");
    assert!(LocalCluster::attach(folder.path()).await.unwrap().is_none());
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let mut wrong_url = command(program(), &["up"]);
    wrong_url.env("DATABASE_URL", "not a url");
    let ended = run(wrong_url).await;
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("DATABASE_URL"), "{}", ended.stderr);

    let mut nobody_there = command(program(), &["up"]);
    nobody_there.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/postgres");
    let ended = run(nobody_there).await;
    assert!(
        ended.stderr.contains("cannot be reached"),
        "{}",
        ended.stderr
    );

    let ended = run(command(program(), &["dance"])).await;
    assert_eq!(ended.status.code(), Some(2));
    let ended = run(command(program(), &["--help"])).await;
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stdout.contains("import") && ended.stdout.contains("audit"));
}

struct Up {
    program: Program,
}

async fn up(folder: &Path, more: &[&str]) -> Up {
    let mut arguments = vec!["up", "--data-dir", text(folder), "--free-ports"];
    arguments.extend(more);
    let mut started = Program::start(command(program(), &arguments));
    started.line_with("Ctrl-C stops").await;
    Up { program: started }
}

impl Up {
    fn curl_lines(&self) -> Vec<String> {
        let lines = self.program.output().iter();
        lines
            .map(|line| line.trim())
            .filter(|line| line.starts_with("curl "))
            .map(str::to_owned)
            .collect()
    }

    /// Runs a line that answers JSON.
    async fn pasted(&self, line: &str) -> Value {
        let answer = self.shell(line, &std::env::temp_dir()).await;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{line}: {error}: {answer}"))
    }

    /// Runs a line as a shell would into which the tokens were pasted before it, in this folder.
    async fn shell(&self, line: &str, folder: &Path) -> String {
        let lines = self.program.output().iter().map(|line| line.trim());
        let tokens = lines.filter(|line| line.starts_with("export "));
        let pasted = tokens.chain([line]).collect::<Vec<_>>().join("; ");
        let words = ["-c", &format!("{pasted} --silent --show-error")];
        let mut shell = command(Path::new("/bin/sh"), &words);
        shell.env("no_proxy", "127.0.0.1").current_dir(folder);
        let ended = run(shell).await;
        assert!(ended.status.success(), "{line}: {}", ended.stderr);
        ended.stdout
    }

    async fn stops(self, signal: Signal) {
        self.program.signal(signal);
        let (status, output) = self.program.end().await;
        assert!(status.success(), "{output:?}");
        assert!(
            output.iter().any(|line| line.contains("The data is kept")),
            "{output:?}"
        );
    }
}

/// What `projections status` says of a book in this folder.
async fn all_is_well(folder: &Path) -> bool {
    let arguments = ["projections", "status", "--data-dir", text(folder)];
    let status = run(command(program(), &arguments)).await;
    let is_well = status.stdout.ends_with("\nall is well\n");
    assert_eq!(is_well, status.status.success(), "{status:?}");
    is_well
}

/// A folder that PostgreSQL's own account can reach when the tests run as root.
pub(crate) fn data_folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("folio-up-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ledger-under-test"))
}
