//! Processes that are measured, or answer for those that are. They end with their value.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Parts of a second in which the system counts processor time.
pub(crate) const TICKS: f64 = 100.0;
const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// A process that listens.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts it on one core, and waits until it listens at this port.
    pub(crate) fn start(core: &str, program: &mut Command, port: u16) -> Self {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", core]).arg(program.get_program());
        pinned.args(program.get_args()).stdout(Stdio::null());
        let mut server = Self {
            process: pinned.spawn().unwrap(),
            port,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                let ended = server.process.try_wait().unwrap();
                assert!(ended.is_none(), "{program:?} has ended: {ended:?}");
                sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = runtime
            .unwrap()
            .block_on(async { timeout(STARTED_WITHIN, listens).await });
        in_time.unwrap_or_else(|_| panic!("nobody listens at {port}"));
        server
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// What all its threads have had of processors so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = self.read("stat");
        // After the name, which may hold anything: the state is the third field, the times the 14th and 15th.
        let after = stat.rsplit_once(") ").unwrap().1;
        let fields: Vec<&str> = after.split(' ').collect();
        let ticks = [11, 12].map(|field| fields[field].parse::<f64>().unwrap());
        (ticks[0] + ticks[1]) / TICKS
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let text = line.unwrap().trim().trim_end_matches(" kB");
        text.parse().unwrap()
    }

    fn read(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.process.id());
        std::fs::read_to_string(path).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port at which nobody listens just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn is_there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    found.is_ok_and(|found| found.status.success())
}

/// As many files as the system lets us have, for us and whom we start.
pub(crate) fn raise_files_max() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

pub(crate) fn files_max() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).unwrap().0
}

/// Whoever asks is where the service is.
pub(crate) fn pin_ourselves(core: &str) {
    let id = std::process::id().to_string();
    let mut command = Command::new("taskset");
    let pinned = command.args(["-acp", core, &id]).stdout(Stdio::null());
    assert!(pinned.status().unwrap().success());
}
