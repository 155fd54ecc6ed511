//! Where a service listens, and until when.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsFd;
use std::os::unix::process::parent_id;
use std::time::Duration;

use clap::Args;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::stop::Stop;

/// Where the services listen unless told otherwise: at these ports of this machine alone.
pub const PORTS: Ports = Ports {
    accounts_a: 7401,
    accounts_b: 7402,
    balances: 7403,
    rails: 7404,
    transfers: 7405,
    gateway: 7400,
    witness: 7406,
};

/// How often a supervised service looks whether its supervisor is still there.
const LOOK: Duration = Duration::from_millis(250);

/// The ports that services prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The accounts service of the first book.
    pub accounts_a: u16,
    /// That of the second.
    pub accounts_b: u16,
    /// The balances service.
    pub balances: u16,
    /// The rails service.
    pub rails: u16,
    /// The transfers service.
    pub transfers: u16,
    /// The gateway.
    pub gateway: u16,
    /// A witness.
    pub witness: u16,
}

/// Where to listen.
#[derive(Debug, Default, Clone, Args)]
pub struct ListenArgs {
    /// Where to listen; a port of 127.0.0.1, or a free one where that is taken, when left out.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The process that supervises this one: standard input is the socket to listen at, and the service ends
    /// with that process.
    #[arg(long, hide = true, value_name = "PID", conflicts_with = "listen")]
    supervised_by: Option<u32>,
}

impl ListenArgs {
    /// A listener where the arguments say; without them at `port`, or at a free one where that is taken.
    ///
    /// # Errors
    ///
    /// [`ListenError`].
    pub fn bind(&self, port: u16) -> Result<TcpListener, ListenError> {
        let listener = match (self.supervised_by, self.listen) {
            (Some(_), _) => handed_down()?,
            (None, Some(address)) => bound(&address.to_string())?,
            (None, None) => preferred(port)?,
        };
        let failed = |source| ListenError {
            address: "its socket".to_owned(),
            source,
        };
        listener.set_nonblocking(true).map_err(failed)?;
        TcpListener::from_std(listener).map_err(failed)
    }

    /// That the service is to stop: it is told to, or its supervisor is gone.
    ///
    /// # Errors
    ///
    /// When the process cannot listen for signals.
    pub fn stop(&self) -> io::Result<Stop> {
        let listen = self.clone();
        Stop::listen_or(async move { listen.orphaned().await })
    }

    async fn orphaned(&self) {
        let Some(supervisor) = self.supervised_by else {
            return std::future::pending().await;
        };
        while parent_id() == supervisor {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A listener at a port of this machine, or at a free one where that is taken.
///
/// # Errors
///
/// [`ListenError`].
pub fn preferred(port: u16) -> Result<StdListener, ListenError> {
    match bound(&format!("127.0.0.1:{port}")) {
        Err(error) if error.source.kind() == io::ErrorKind::AddrInUse => free(),
        result => result,
    }
}

/// A listener at a free port of this machine.
///
/// # Errors
///
/// [`ListenError`].
pub fn free() -> Result<StdListener, ListenError> {
    bound("127.0.0.1:0")
}

fn bound(address: &str) -> Result<StdListener, ListenError> {
    StdListener::bind(address).map_err(|source| ListenError {
        address: address.to_owned(),
        source,
    })
}

/// Where a listener is found.
///
/// # Errors
///
/// [`ListenError`] when it has no address.
pub fn url(listener: &StdListener) -> Result<String, ListenError> {
    let address = listener.local_addr().map_err(|source| ListenError {
        address: "a socket".to_owned(),
        source,
    })?;
    Ok(format!("http://{address}"))
}

/// The socket that standard input is.
fn handed_down() -> Result<StdListener, ListenError> {
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let listener = stdin.map(StdListener::from);
    // Anything else has no address.
    let listener = listener.and_then(|listener| listener.local_addr().map(|_| listener));
    listener.map_err(|source| ListenError {
        address: "standard input".to_owned(),
        source,
    })
}

/// An address that cannot be listened at.
#[derive(Debug, Error)]
#[error("cannot listen at {address}; choose another with --listen")]
pub struct ListenError {
    address: String,
    source: io::Error,
}
