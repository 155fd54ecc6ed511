//! Where a service listens.

use std::io::ErrorKind;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::TcpListener;

/// Where the accounts service listens unless told otherwise.
pub const DEFAULT: &str = "127.0.0.1:7401";

/// A listener at `asked`; without it at [`DEFAULT`], or at a free port where that is taken.
///
/// # Errors
///
/// [`ListenError`] when the address that was asked for cannot be had.
pub async fn bind(asked: Option<SocketAddr>) -> Result<TcpListener, ListenError> {
    let failed = |address: String| move |source| ListenError { address, source };
    if let Some(address) = asked {
        return TcpListener::bind(address)
            .await
            .map_err(failed(address.to_string()));
    }
    match TcpListener::bind(DEFAULT).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(failed("a free port of 127.0.0.1".to_owned())),
        result => result.map_err(failed(DEFAULT.to_owned())),
    }
}

/// An address that cannot be listened at.
#[derive(Debug, Error)]
#[error("cannot listen at {address}; choose another with --listen")]
pub struct ListenError {
    address: String,
    source: std::io::Error,
}
