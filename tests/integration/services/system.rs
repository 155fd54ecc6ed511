//! Everything, as the program starts it: a process for each service, one of which can be killed at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use folio_tests::process::{Program, command, run};
use folio_tests::scale;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use crate::up::{data_folder, program, text};

pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Everything, started by one command.
pub(super) struct System {
    program: Program,
    pub(super) client: Client,
    urls: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
    /// The folder of the server's socket.
    socket: PathBuf,
    folder: TempDir,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// Where more is asked for than in every run, one system has the machine at a time: two that are asked hundreds of times a
/// second would be waiting for each other's processors, and what clients see of a restart would be that.
static TURN: Mutex<()> = Mutex::const_new(());

impl System {
    pub(super) async fn start() -> Self {
        Self::start_within(&[]).await
    }

    /// The same, with these variables in the environment of all of it.
    pub(super) async fn start_within(environment: &[(&str, &str)]) -> Self {
        let turn = match scale() {
            1 => None,
            _ => Some(TURN.lock().await),
        };
        let folder = data_folder();
        let arguments = [
            "up",
            "--data-dir",
            text(folder.path()),
            "--free-ports",
            "--empty",
        ];
        let mut command = command(program(), &arguments);
        command.envs(environment.iter().copied());
        let mut started = Program::start(command);
        started.line_with("Ctrl-C stops").await;
        let urls = started.output().iter().filter_map(|line| {
            let (name, url) = line.trim().split_once(' ')?;
            let url = url.trim();
            url.starts_with("http://")
                .then(|| (name.to_owned(), url.to_owned()))
        });
        let tokens = started.output().iter().filter_map(|line| {
            let (role, token) = line.trim().strip_prefix("export ")?.split_once('=')?;
            Some((role.to_lowercase(), token.to_owned()))
        });
        let server = started.output().iter().find_map(|line| {
            let (_, socket) = line.split_once(", socket ")?;
            line.starts_with("PostgreSQL")
                .then(|| PathBuf::from(socket.trim()))
        });
        Self {
            socket: server.unwrap(),
            urls: urls.collect(),
            tokens: tokens.collect(),
            client: Client::builder().no_proxy().build().unwrap(),
            program: started,
            folder,
            _turn: turn,
        }
    }

    pub(super) fn url(&self, service: &str) -> &str {
        &self.urls[service]
    }

    /// Where all its data is.
    pub(super) fn data_folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command on the same data, and answers what it prints.
    pub(super) async fn command(&self, words: &[&str]) -> String {
        let folder = ["--data-dir", text(self.folder.path())];
        let ended = run(command(program(), &[words, &folder].concat())).await;
        assert!(ended.status.success(), "{}", ended.stderr);
        ended.stdout.trim().to_owned()
    }

    /// Nothing that these books have recorded is altered, lost or doubled, by their logs and anchors.
    pub(super) async fn verify(&self, books: &[&str]) {
        for book in books {
            self.verify_log(&["--book", book]).await;
        }
    }

    /// As [`verify`](Self::verify), of one log.
    pub(super) async fn verify_log(&self, log: &[&str]) {
        let report = self.command(&[&["verify", "--json"], log].concat()).await;
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["found"], 0, "{log:?}: {report}");
        assert!(report["events"].as_i64() > Some(0), "{log:?}: {report}");
        assert!(report["anchored"].as_i64() > Some(0), "{log:?}: {report}");
    }

    /// A token of the gateway, for somebody of this role.
    pub(super) fn token(&self, role: &str) -> &str {
        &self.tokens[role]
    }

    /// Sends a signal to a service, as it is running now.
    pub(super) fn signal(&self, service: &str, signal: Signal) -> bool {
        let process = process_of(self.program.id(), service);
        process.is_some_and(|id| kill(id, signal).is_ok())
    }

    /// Tells a service to stop, and waits until it was started again and is there.
    pub(super) async fn restart(&self, service: &str) {
        let process = || process_of(self.program.id(), service);
        let before = process();
        assert!(
            self.signal(service, Signal::SIGTERM),
            "there is no {service}"
        );
        let deadline = Instant::now() + PATIENCE;
        while process().is_none() || process() == before {
            assert!(Instant::now() < deadline, "{service} is not restarted");
            sleep(Duration::from_millis(20)).await;
        }
        let name = service.strip_suffix("-1").unwrap_or(service);
        self.answers(name).await;
    }

    /// A connection to the server, as its superuser.
    pub(super) async fn server(&self) -> tokio_postgres::Client {
        let config = self.server_config();
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// How its superuser connects to the server.
    pub(super) fn server_config(&self) -> tokio_postgres::Config {
        let names = fs::read_dir(&self.socket).unwrap();
        let mut names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let port = names.find_map(|name| name.strip_prefix(".s.PGSQL.")?.parse().ok());
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.socket)
            .port(port.unwrap())
            .user("folio")
            .dbname("postgres");
        config
    }

    /// The passwords of the services' logins, which they are told in their environments.
    pub(super) fn passwords(&self) -> BTreeSet<String> {
        let told = children_of(self.program.id()).flat_map(|id| {
            let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let text = String::from_utf8_lossy(&environment).replace('\0', " ");
            let words = text.split(' ');
            let passwords = words.filter_map(|word| word.strip_prefix("password="));
            passwords.map(str::to_owned).collect::<Vec<_>>()
        });
        told.collect()
    }

    /// Kills a service, as it is running now.
    pub(super) async fn kill(&self, service: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(id) = process_of(self.program.id(), service) {
                kill(id, Signal::SIGKILL).unwrap();
                return;
            }
            assert!(Instant::now() < deadline, "there is no {service}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a service is there.
    pub(super) async fn answers(&self, service: &str) {
        // Whether the gateway is ready is told on its other address.
        let path = match service {
            "gateway" | "gateway-2" => "/openapi.json",
            _ => "/readyz",
        };
        let deadline = Instant::now() + PATIENCE;
        while self.get(service, path).await.is_none() {
            assert!(Instant::now() < deadline, "{service} does not come back");
        }
    }

    pub(super) async fn get(&self, service: &str, path: &str) -> Option<Value> {
        let url = format!("{}{path}", self.url(service));
        let sent = self.client.get(url).timeout(Duration::from_secs(10)).send();
        let answer = sent.await.ok()?.error_for_status().ok()?;
        answer.json().await.ok()
    }

    pub(super) async fn stop(self) {
        self.program.signal(Signal::SIGINT);
        let (status, output) = self.program.end().await;
        assert!(status.success(), "{output:?}");
    }
}

/// The child of `parent` that is this service: its first instance, unless it is named by its number.
fn process_of(parent: u32, service: &str) -> Option<Pid> {
    let is_numbered = service.ends_with(|last: char| last.is_ascii_digit());
    let instance = if is_numbered {
        service.to_owned()
    } else {
        format!("{service}-1")
    };
    children_of(parent)
        .find(|id| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let named = words.windows(2).find(|pair| pair[0] == b"--instance");
            named.is_some_and(|pair| pair[1] == instance.as_bytes())
        })
        .map(Pid::from_raw)
}

fn children_of(parent: u32) -> impl Iterator<Item = i32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_name().to_str()?.parse::<i32>().ok()
    });
    processes.filter(move |id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name, which may hold anything: the state, then the parent.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        after.split(' ').nth(1) == Some(&parent.to_string())
    })
}
