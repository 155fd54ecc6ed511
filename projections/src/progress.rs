//! A runner's checkpoint as others see it.

use std::time::Duration;

use folio_core::{Position, StoreId};
use thiserror::Error;
use tokio::sync::watch;

use crate::projector::ProjectionName;
use folio_core::Checkpoint;

/// How a runner fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It has not read its checkpoint yet.
    Starting,
    /// It works, or waits for events.
    Running,
    /// Another runner of the same projection works, maybe in another process. This one takes over
    /// when that one has ended, and tells meanwhile how far the model is.
    Standby,
    /// Its database or its store fails; it tries again.
    Retrying {
        /// What failed.
        error: String,
    },
    /// It has stopped.
    Stopped {
        /// Why, when it was not asked to.
        error: Option<String>,
    },
}

/// A view of one runner. Clones see the same.
#[derive(Debug, Clone)]
pub struct Progress {
    name: ProjectionName,
    store_id: StoreId,
    state: watch::Receiver<State>,
}

#[derive(Debug, Clone)]
struct State {
    position: Option<Position>,
    status: Status,
}

/// The runner's end.
#[derive(Debug)]
pub(crate) struct Report(watch::Sender<State>);

pub(crate) fn channel(name: ProjectionName, store_id: StoreId) -> (Report, Progress) {
    let (sender, state) = watch::channel(State {
        position: None,
        status: Status::Starting,
    });
    let progress = Progress {
        name,
        store_id,
        state,
    };
    (Report(sender), progress)
}

impl Report {
    pub(crate) fn at(&self, checkpoint: Checkpoint) {
        self.0.send_replace(State {
            position: Some(checkpoint.position),
            status: Status::Running,
        });
    }

    pub(crate) fn standby(&self, position: Option<Position>) {
        self.0.send_replace(State {
            position,
            status: Status::Standby,
        });
    }

    pub(crate) fn status(&self, status: Status) {
        self.0.send_modify(|state| state.status = status);
    }
}

impl Progress {
    /// The projection.
    #[must_use]
    pub const fn name(&self) -> ProjectionName {
        self.name
    }

    /// The store that it reads.
    #[must_use]
    pub const fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// The last position that is in the model, once the runner knows it.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.state.borrow().position
    }

    /// How the runner fares.
    #[must_use]
    pub fn status(&self) -> Status {
        self.state.borrow().status.clone()
    }

    /// Waits until `position` is in the model, so that a reader sees what it has written.
    ///
    /// # Errors
    ///
    /// [`NotReached`] when it is not there within `patience`, or the runner has stopped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait_for(&self, position: Position, patience: Duration) -> Result<(), NotReached> {
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| state.position.is_some_and(|at| at >= position));
        let is_reached = matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)));
        if is_reached {
            Ok(())
        } else {
            Err(NotReached {
                name: self.name,
                wanted: position,
                reached: self.position().unwrap_or(Position::START),
            })
        }
    }
}

/// A model that is not yet where a reader needs it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("projection {name} is at position {reached}, {wanted} was asked for")]
pub struct NotReached {
    /// The projection.
    pub name: ProjectionName,
    /// The position that was asked for.
    pub wanted: Position,
    /// Where the projection is.
    pub reached: Position,
}
