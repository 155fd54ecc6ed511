//! How far a projection has come, as others in the process see it.

use std::collections::BTreeMap;
use std::time::Duration;

use folio_core::Position;
use thiserror::Error;
use tokio::sync::watch;

use crate::name::ProjectionName;

/// How a projection fares in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It has not read its checkpoint yet.
    Starting,
    /// It works, or waits for events.
    Running,
    /// Another process does the work. This one takes over when that one has ended, and tells
    /// meanwhile how far the model is.
    Standby,
    /// Its database or its source fails; it tries again.
    Retrying {
        /// What failed.
        error: String,
    },
    /// Somebody has paused it.
    Paused,
    /// The live build is of another revision than this program, which can neither fill nor read it.
    OtherRevision {
        /// The live build's revision.
        live: i32,
    },
    /// It has stopped.
    Stopped {
        /// Why, when it was not asked to.
        error: Option<String>,
    },
}

/// A view of one projection. Clones see the same.
#[derive(Debug, Clone)]
pub struct Progress {
    name: ProjectionName,
    board: watch::Receiver<Board>,
}

/// What the runners of a projection tell.
#[derive(Debug, Clone, Default)]
struct Board {
    live: Option<Live>,
    partitions: BTreeMap<(i32, u16), Told>,
    /// Of the projection as a whole, where that outweighs what its runners tell.
    whole: Option<Status>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Live {
    build: i32,
    size: u16,
}

#[derive(Debug, Clone)]
struct Told {
    position: Option<Position>,
    status: Status,
}

/// The other end of a [`Progress`].
#[derive(Debug, Clone)]
pub(crate) struct Report(watch::Sender<Board>);

pub(crate) fn channel(name: ProjectionName) -> (Report, Progress) {
    let (sender, board) = watch::channel(Board::default());
    (Report(sender), Progress { name, board })
}

impl Report {
    /// Which build is live, of how many partitions.
    pub(crate) fn live(&self, build: i32, size: u16) {
        let live = Some(Live { build, size });
        self.0.send_if_modified(|board| {
            let changes = board.live != live;
            board.live = live;
            changes
        });
    }

    pub(crate) fn whole(&self, status: Option<Status>) {
        self.0.send_if_modified(|board| {
            let changes = board.whole != status;
            board.whole = status;
            changes
        });
    }

    pub(crate) fn partition(&self, key: (i32, u16), position: Option<Position>, status: Status) {
        self.0.send_modify(|board| {
            board.partitions.insert(key, Told { position, status });
        });
    }

    /// Another status at the position that was told last.
    pub(crate) fn status(&self, key: (i32, u16), status: Status) {
        self.0.send_modify(|board| {
            let position = board.partitions.get(&key).and_then(|told| told.position);
            board.partitions.insert(key, Told { position, status });
        });
    }

    /// What has stopped starts again: how it ended before tells nothing of now.
    pub(crate) fn started(&self) {
        let starting = |status: &mut Status| {
            if matches!(status, Status::Stopped { .. }) {
                *status = Status::Starting;
            }
        };
        self.0.send_modify(|board| {
            board.whole = None;
            let told = board.partitions.values_mut();
            told.for_each(|told| starting(&mut told.status));
        });
    }

    pub(crate) fn forget(&self, key: (i32, u16)) {
        self.0.send_modify(|board| {
            board.partitions.remove(&key);
        });
    }
}

impl Board {
    fn of_live(&self) -> impl Iterator<Item = Option<&Told>> {
        let live = self.live.unwrap_or(Live { build: 0, size: 0 });
        (0..live.size).map(move |partition| self.partitions.get(&(live.build, partition)))
    }

    fn position(&self) -> Option<Position> {
        self.live?;
        // All of them, or it is not known.
        let positions: Option<Vec<Position>> = self.of_live().map(|told| told?.position).collect();
        positions?.into_iter().min()
    }

    fn status(&self) -> Status {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let told = self
            .of_live()
            .map(|told| told.map_or(Status::Starting, |told| told.status.clone()));
        told.max_by_key(Status::severity)
            .unwrap_or(Status::Starting)
    }
}

impl Status {
    /// Of several partitions, the worst is what the projection is said to be.
    const fn severity(&self) -> u8 {
        match self {
            Self::Standby => 0,
            Self::Running => 1,
            Self::Starting => 2,
            Self::Paused => 3,
            Self::Retrying { .. } => 4,
            Self::OtherRevision { .. } => 5,
            Self::Stopped { .. } => 6,
        }
    }
}

impl Progress {
    /// The projection.
    #[must_use]
    pub const fn name(&self) -> ProjectionName {
        self.name
    }

    /// The last position that is in the live model, once this process knows it: of all partitions,
    /// the least.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.board.borrow().position()
    }

    /// How it fares: of all partitions of the live build, the one that fares worst.
    #[must_use]
    pub fn status(&self) -> Status {
        self.board.borrow().status()
    }

    /// How a build fares in this process, live or not: of its partitions, the one that fares worst.
    /// None where this process has nothing to do with it.
    #[must_use]
    pub fn status_of(&self, build: i32) -> Option<Status> {
        let board = self.board.borrow();
        let told = board.partitions.range((build, 0)..=(build, u16::MAX));
        told.map(|(_, told)| told.status.clone())
            .max_by_key(Status::severity)
    }

    /// Waits until `position` is in the live model.
    ///
    /// Whoever reads the model afterwards may still meet an older one, if somebody goes back to
    /// another build in between; [`Reader::read_at`](crate::Reader::read_at) does not.
    ///
    /// # Errors
    ///
    /// [`NotReached`] when it is not there within `patience`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait_for(&self, position: Position, patience: Duration) -> Result<(), NotReached> {
        let mut board = self.board.clone();
        let reached = board.wait_for(|board| board.position().is_some_and(|at| at >= position));
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
#[error("projection {} is at position {reached}, {wanted} was asked for", name.name)]
pub struct NotReached {
    /// The projection.
    pub name: ProjectionName,
    /// The position that was asked for.
    pub wanted: Position,
    /// Where the projection is.
    pub reached: Position,
}
