//! Being told to stop.

use tokio::signal::unix::{SignalKind, signal};

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
