//! The program as a process: started, waited for, interrupted, killed.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Longest wait for anything that a process should do.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    output: Vec<String>,
}

/// What a program that ended has said.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A command that runs `program` and knows nothing of this machine's own settings.
pub fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env_remove("FOLIO_DATA_DIR")
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

impl Program {
    /// Starts a command, its standard error among the test's own output.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a piped standard output");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
            output: Vec::new(),
        }
    }

    /// Waits for a line that contains `text`, and returns it.
    pub async fn line_with(&mut self, text: &str) -> String {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.expect("readable output") {
                self.output.push(line.clone());
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        });
        match found.await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("ended without {text:?}: {:#?}", self.output),
            Err(_) => panic!("no {text:?} within {PATIENCE:?}: {:#?}", self.output),
        }
    }

    /// All lines so far.
    pub fn output(&self) -> &[String] {
        &self.output
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it is running")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = self.id();
        let id = Pid::from_raw(i32::try_from(id).expect("a process id"));
        kill(id, signal).expect("the signal is sent");
    }

    /// Waits for its end, and returns how it ended and what else it said.
    pub async fn end(mut self) -> (ExitStatus, Vec<String>) {
        timeout(PATIENCE, async {
            while let Some(line) = self.lines.next_line().await.expect("readable output") {
                self.output.push(line);
            }
            let status = self.child.wait().await.expect("it ends");
            (status, self.output)
        })
        .await
        .expect("it ends in time")
    }
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Ended {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdout = child.stdout.take().expect("a piped standard output");
    let mut stderr = child.stderr.take().expect("a piped standard error");
    let (mut out, mut err) = (String::new(), String::new());
    let work = async {
        let (read_out, read_err) = tokio::join!(
            stdout.read_to_string(&mut out),
            stderr.read_to_string(&mut err)
        );
        read_out.expect("readable output");
        read_err.expect("readable output");
        child.wait().await.expect("it ends")
    };
    let status = timeout(PATIENCE * 5, work).await.expect("it ends in time");
    Ended {
        status,
        stdout: out,
        stderr: err,
    }
}
