//! Runs the services as child processes: starts again what has died, and stops them together.
//!
//! A service is handed its socket as its standard input. So its port stays the same whatever becomes of the
//! process, and who connects while it is started again waits in place of being refused.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::output::remark;

/// Wait before a service is started again; it doubles each time in a row.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest such wait.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Whoever has run for that long has not failed in a row.
const RAN_WELL: Duration = Duration::from_secs(30);
/// Longest wait for a service that was told to stop: it lets its requests finish.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// A log that is longer is set aside when its service is started.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A service to be run.
#[derive(Debug)]
pub struct Service {
    /// What it is called, and its log.
    pub name: String,
    /// The arguments of this program that make it the service.
    pub arguments: Vec<String>,
    /// What it is told in its environment, where nobody else reads it.
    pub environment: Vec<(&'static str, String)>,
    /// Where it listens.
    pub listener: TcpListener,
}

/// Services that run.
#[derive(Debug)]
pub struct Supervisor {
    program: PathBuf,
    logs: PathBuf,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// A service that was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// What it is called.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it writes what it has to say.
    pub log: PathBuf,
    /// How often it has ended by itself.
    ends: watch::Receiver<u32>,
}

impl Supervisor {
    /// A supervisor that runs this very program, with a log for each service in the folder `logs`.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn new(logs: &Path) -> Result<Self, SuperviseError> {
        fs::create_dir_all(logs).map_err(|source| SuperviseError::Logs {
            folder: logs.to_owned(),
            source,
        })?;
        Ok(Self {
            program: std::env::current_exe().map_err(SuperviseError::Program)?,
            logs: logs.to_owned(),
            tasks: JoinSet::new(),
            stop: watch::Sender::new(false),
        })
    }

    /// The folder of the logs.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Runs a service from now on.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn start(&mut self, service: Service) -> Result<Started, SuperviseError> {
        let log = self.logs.join(format!("{}.log", service.name));
        let address = service.listener.local_addr();
        let address = address.map_err(|source| SuperviseError::start(&service.name, source))?;
        let (ended, ends) = watch::channel(0);
        let started = Started {
            name: service.name.clone(),
            address,
            log: log.clone(),
            ends,
        };
        let child = spawn(&self.program, &service, &log)
            .map_err(|source| SuperviseError::start(&service.name, source))?;
        let running = Running {
            program: self.program.clone(),
            service,
            log,
            ended,
        };
        self.tasks.spawn(running.run(child, self.stop.subscribe()));
        Ok(started)
    }

    /// Stops all services, each of which lets its requests finish.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Started {
    /// Its address as a client writes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Completes when it has ended by itself.
    pub async fn ended(&self) {
        let mut ends = self.ends.clone();
        if ends.wait_for(|ends| *ends > 0).await.is_err() {
            // It was stopped.
            std::future::pending().await
        }
    }
}

struct Running {
    program: PathBuf,
    service: Service,
    log: PathBuf,
    ended: watch::Sender<u32>,
}

impl Running {
    async fn run(self, mut child: Child, mut stop: watch::Receiver<bool>) {
        let mut wait = FIRST_WAIT;
        loop {
            let since = Instant::now();
            let status = tokio::select! {
                status = child.wait() => status,
                () = told(&mut stop) => return self.end(child).await,
            };
            self.ended
                .send_modify(|ends| *ends = ends.saturating_add(1));
            if since.elapsed() >= RAN_WELL {
                wait = FIRST_WAIT;
            }
            self.say(&format!("{}; it is started again", ending(&status)));
            child = loop {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = told(&mut stop) => return,
                }
                wait = wait.saturating_mul(2).min(WAIT_MAX);
                match spawn(&self.program, &self.service, &self.log) {
                    Ok(child) => break child,
                    Err(error) => self.say(&format!("cannot be started: {error}")),
                }
            };
        }
    }

    async fn end(&self, mut child: Child) {
        if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
            // It may have ended just now.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        if timeout(STOP_PATIENCE, child.wait()).await.is_err() {
            self.say("does not stop, and is killed");
            let _ = child.kill().await;
        }
    }

    fn say(&self, what: &str) {
        let (name, log) = (&self.service.name, self.log.display());
        remark(format_args!("{name} {what} (its log is {log})"));
    }
}

/// Completes when the services are to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Without its sender there is no supervisor any more either.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn spawn(program: &Path, service: &Service, log: &Path) -> io::Result<Child> {
    if fs::metadata(log).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(log, log.with_extension("log.older"))?;
    }
    let log = File::options().create(true).append(true).open(log)?;
    let socket: OwnedFd = service.listener.try_clone()?.into();
    let environment = service.environment.iter();
    Command::new(program)
        .args(&service.arguments)
        .args(["--supervised-by", &std::process::id().to_string()])
        .envs(environment.map(|(name, value)| (name, value)))
        .stdin(Stdio::from(socket))
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C is meant for the supervisor, which tells the services itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn ending(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("has ended ({status})"),
        Err(error) => format!("is lost: {error}"),
    }
}

/// Why services cannot be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// There is no place for logs.
    #[error("the folder {} for logs cannot be made; name another with --data-dir", folder.display())]
    Logs {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This program does not know where it is.
    #[error("the program cannot find itself")]
    Program(#[source] io::Error),
    /// A process cannot be started.
    #[error("the service {name} cannot be started")]
    Start {
        /// The service.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl SuperviseError {
    fn start(name: &str, source: io::Error) -> Self {
        Self::Start {
            name: name.to_owned(),
            source,
        }
    }
}
