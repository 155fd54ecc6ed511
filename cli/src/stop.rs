//! Being told to stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Completes when the user presses Ctrl-C or the system asks the process to end.
///
/// # Errors
///
/// When the process cannot listen for signals.
pub async fn requested() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Longest wait for a service that has answered its requests to end what it does besides. What is left of that is as after a
/// crash: taken over by whoever is there.
const PATIENCE: Duration = Duration::from_secs(3);

/// Ends a service, but does not wait for it for ever: the next one waits for its place.
pub async fn in_time(stops: impl Future<Output = ()>) {
    if timeout(PATIENCE, stops).await.is_err() {
        tracing::warn!("the service is left in the midst of its work");
    }
}
