//! How far a projection is behind its store.

use std::time::Duration;

use folio_core::store::ReadError;
use folio_core::{BatchSize, EventStore, Position, Timestamp};

use crate::progress::Progress;

/// How far a projection is behind, in both units that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// The store's last position.
    pub head: Position,
    /// The last position in the model.
    pub position: Position,
    /// Events that are in the store and not in the model.
    pub events: i64,
    /// How long the oldest of them has been waiting; zero when there is none.
    pub age: Duration,
}

impl Lag {
    /// Measures against the store's head, apart from the runner: a runner that has died shows.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the store cannot be asked.
    pub async fn measure(
        progress: &Progress,
        store: &impl EventStore,
        now: Timestamp,
    ) -> Result<Self, ReadError> {
        let position = progress.position().unwrap_or(Position::START);
        let head = store.head().await?;
        let events = head.events_since(position);
        let age = if events == 0 {
            Duration::ZERO
        } else {
            let one = BatchSize::new(1).unwrap_or_default();
            let waiting = store.read_all(position, one).await?;
            waiting.first().map_or(Duration::ZERO, |oldest| {
                let micros = now.micros().saturating_sub(oldest.recorded_at.micros());
                Duration::from_micros(u64::try_from(micros).unwrap_or(0))
            })
        };
        Ok(Self {
            head,
            position,
            events,
            age,
        })
    }
}
