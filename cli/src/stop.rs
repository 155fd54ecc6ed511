//! Being told to stop.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

/// That the process is to stop, for all who ask from its start on.
///
/// A signal is told to those who listen when it comes. Between one who listens while a service starts and one who does while it
/// serves nobody would hear of it, and the service be killed in the end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens from now on: the user presses Ctrl-C, or the system asks the process to end.
    ///
    /// # Errors
    ///
    /// When the process cannot listen for signals.
    pub fn listen() -> io::Result<Self> {
        Self::listen_or(pending())
    }

    /// The same, or this comes to pass.
    ///
    /// # Errors
    ///
    /// As [`Stop::listen`].
    pub fn listen_or(other: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (told, stop) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = other => {}
            }
            told.send_replace(true);
        });
        Ok(Self(stop))
    }

    /// Completes when the process is to stop, and at once if it was told before.
    pub async fn told(&self) {
        let mut stop = self.0.clone();
        // Nobody tells any more only where the runtime ends.
        let _ = stop.wait_for(|told| *told).await;
    }
}

/// Completes when the user presses Ctrl-C or the system asks the process to end.
///
/// # Errors
///
/// When the process cannot listen for signals.
pub async fn requested() -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn what_was_said_while_nobody_asked_is_heard() {
        let stop = Stop::listen().unwrap();
        tokio::select! {
            biased;
            () = stop.told() => panic!("nobody has said so"),
            () = tokio::task::yield_now() => {}
        }
        raise(Signal::SIGTERM).unwrap();
        // Whoever begins to listen for the signal itself does so when it is over.
        tokio::task::yield_now().await;
        timeout(Duration::from_secs(10), stop.told()).await.unwrap();
        stop.told().await;
    }
}
