//! As many requests as there can be, and what they cost whoever is asked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::OTHER_CORE;
use crate::server::Server;

/// Connections of the closed loop.
const CONNECTIONS: &str = "32";

/// What is asked for, and how.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) path: &'static str,
    /// The value of the header `authorization`.
    pub(crate) authorization: Option<String>,
    /// By which wrk makes each request another one.
    script: Option<PathBuf>,
}

/// What came of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    requests: f64,
    seconds: f64,
    cpu_seconds: f64,
}

impl Target {
    /// For whoever asks.
    pub(crate) const fn plain(port: u16) -> Self {
        Self {
            port,
            path: "/v1/plain/a",
            authorization: None,
            script: None,
        }
    }

    /// For who has to be known, and is.
    pub(crate) fn known(port: u16, token: &str) -> Self {
        Self {
            authorization: Some(format!("Bearer {token}")),
            ..Self::each_another(port, None)
        }
    }

    /// For who has to be known, each time somebody else.
    pub(crate) fn each_another(port: u16, script: impl Into<Option<PathBuf>>) -> Self {
        Self {
            port,
            path: "/v1/known/a",
            authorization: None,
            script: script.into(),
        }
    }
}

impl Load {
    pub(crate) fn a_second(self) -> f64 {
        self.requests / self.seconds
    }

    pub(crate) fn a_cpu_second(self) -> f64 {
        self.requests / self.cpu_seconds
    }

    pub(crate) fn micros_each(self) -> f64 {
        self.cpu_seconds * 1_000_000.0 / self.requests
    }

    /// How much of its core the proxy had.
    pub(crate) fn core_percent(self) -> f64 {
        self.cpu_seconds * 100.0 / self.seconds
    }
}

/// Asks as often as it is answered.
pub(crate) fn full(server: &Server, target: &Target) -> Load {
    let (before, began) = (server.cpu_seconds(), Instant::now());
    let text = wrk(target, seconds(), target.script.as_deref());
    let seconds = began.elapsed().as_secs_f64();
    let cpu_seconds = server.cpu_seconds() - before;
    let is_fine = !text.contains("Non-2xx") && !text.contains("Socket errors");
    assert!(is_fine, "{target:?}: {text}{}", statuses(target));
    let mut lines = text.lines();
    let requests = lines.find_map(|line| line.trim().split_once(" requests in "));
    let requests = requests.unwrap_or_else(|| panic!("{target:?}: {text}"));
    Load {
        requests: requests.0.parse().unwrap(),
        seconds,
        cpu_seconds,
    }
}

/// What is answered to the same load, asked once more for a second.
fn statuses(target: &Target) -> String {
    const COUNTING: &str = "local all = {}\ncounts = {}\nsample = ''\n\
        function setup(thread) table.insert(all, thread) end\n\
        function response(status, headers, body)\n  \
          counts[tostring(status)] = (counts[tostring(status)] or 0) + 1\n  \
          if status >= 400 then sample = body end\nend\n\
        function done()\n  for _, thread in ipairs(all) do\n    \
          for status, count in pairs(thread:get('counts')) do print('status ' .. status .. ': ' .. count) end\n    \
          print(thread:get('sample'))\n  end\nend\n";
    let asking = target.script.as_ref();
    let asking = asking.map(|script| std::fs::read_to_string(script).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("statuses.lua");
    std::fs::write(&script, asking.unwrap_or_default() + COUNTING).unwrap();
    format!("asked once more: {}", wrk(target, 1, Some(&script)))
}

fn wrk(target: &Target, seconds: u64, script: Option<&Path>) -> String {
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", OTHER_CORE, "wrk", "-t1", "-c", CONNECTIONS]);
    wrk.arg(format!("-d{seconds}s"));
    if let Some(authorization) = &target.authorization {
        wrk.arg("-H").arg(format!("authorization: {authorization}"));
    }
    if let Some(script) = script {
        wrk.arg("-s").arg(script);
    }
    wrk.arg(format!("http://127.0.0.1:{}{}", target.port, target.path));
    let output = wrk.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one in the middle.
pub(crate) fn median(all: impl IntoIterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = all.into_iter().collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The least and the most.
pub(crate) fn extent(all: &[f64]) -> (f64, f64) {
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    (least, all.iter().copied().fold(0.0, f64::max))
}

pub(crate) fn seconds() -> u64 {
    setting("FOLIO_BENCH_SECONDS", 4)
}

pub(crate) fn rounds() -> u64 {
    setting("FOLIO_BENCH_RUNS", 5)
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}
