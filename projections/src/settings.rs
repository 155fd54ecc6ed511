//! How a projection reads, waits and fails.

use std::time::Duration;

use folio_core::BatchSize;

/// How a projection reads, waits and fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most events in one transaction.
    pub batch: BatchSize,
    /// Longest wait before the source is asked again. Appends of this process wake a runner at
    /// once; this bounds the delay for those of others.
    pub poll: Duration,
    /// First wait after a failure; it doubles with each further one, up to 32 times this.
    pub backoff: Duration,
    /// How long the lease on a partition lasts that is not renewed. After a crash, another runner
    /// takes over when that is over.
    pub lease: Duration,
    /// How long a projector may take for a batch. Then its statement is ended and the batch is tried
    /// event by event; one that takes as long alone is poison. It bounds every transaction, also that
    /// of a process which was stopped in the midst of it.
    pub handle_timeout: Duration,
    /// What becomes of an event that cannot be taken in.
    pub poison: Poison,
    /// When a build of a new revision goes live.
    pub upgrade: Upgrade,
}

/// What becomes of an event that trying again does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    /// The runner stops in front of it: whoever reads the model sees by its position that it is old.
    /// It goes on when somebody [resumes](crate::Projection::resume) it.
    Stop,
    /// It is parked, and with it whatever comes on its stream; the other streams go on. What the model
    /// says of that stream is old then; [`Reading::parked`](crate::Reading::parked) tells.
    Park,
}

/// When a build of a new revision goes live, that was begun because there was none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// As soon as it has come as far as the live one.
    WhenFilled,
    /// When somebody [says so](crate::Projection::swap).
    ByHand,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: BatchSize::default(),
            poll: Duration::from_millis(250),
            backoff: Duration::from_millis(100),
            lease: Duration::from_secs(3),
            handle_timeout: Duration::from_secs(30),
            poison: Poison::Stop,
            upgrade: Upgrade::WhenFilled,
        }
    }
}
