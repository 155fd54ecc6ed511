//! Seeing instances come and go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::instance::Snapshot;

/// The instances of a service, as they are known here. Clones see the same.
#[derive(Debug, Clone)]
pub struct Watch {
    seen: watch::Receiver<Seen>,
}

/// Where a [`Watch`] has it from: the part of whoever asks a registry.
#[derive(Debug)]
pub struct WatchSource {
    seen: watch::Sender<Seen>,
}

#[derive(Debug)]
struct Seen {
    snapshot: Arc<Snapshot>,
    confirmed: Confirmed,
}

#[derive(Debug, Clone, Copy)]
enum Confirmed {
    Never,
    At(Instant),
    /// It cannot change.
    Always,
}

impl Watch {
    /// What never changes.
    #[must_use]
    pub fn fixed(snapshot: Snapshot) -> Self {
        WatchSource::with(snapshot, Confirmed::Always).watch()
    }

    /// The latest that is known. As long as nothing changes it is the same one.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.seen.borrow().snapshot)
    }

    /// Waits until something has changed since this was last asked, or since the clone was made. For ever, when
    /// nothing can change any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// How long ago its source last said that it is so. None when it never has.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        age(self.seen.borrow().confirmed)
    }
}

impl WatchSource {
    /// Begins with what is assumed, which nobody has confirmed.
    #[must_use]
    pub fn new(assumed: Snapshot) -> Self {
        Self::with(assumed, Confirmed::Never)
    }

    fn with(snapshot: Snapshot, confirmed: Confirmed) -> Self {
        let seen = Seen {
            snapshot: Arc::new(snapshot),
            confirmed,
        };
        Self {
            seen: watch::Sender::new(seen),
        }
    }

    /// Somebody who sees it.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch {
            seen: self.seen.subscribe(),
        }
    }

    /// What is shown.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.seen.borrow().snapshot)
    }

    /// As [`Watch::age`].
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        age(self.seen.borrow().confirmed)
    }

    /// Shows what the source said just now. Whoever watches is woken where it is something else than before.
    pub fn confirm(&self, snapshot: Snapshot) {
        self.seen.send_if_modified(|seen| {
            seen.confirmed = Confirmed::At(Instant::now());
            let is_new = *seen.snapshot != snapshot;
            if is_new {
                seen.snapshot = Arc::new(snapshot);
            }
            is_new
        });
    }
}

fn age(confirmed: Confirmed) -> Option<Duration> {
    match confirmed {
        Confirmed::Never => None,
        Confirmed::At(then) => Some(then.elapsed()),
        Confirmed::Always => Some(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::discovery::Revision;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(revision: i64) -> Snapshot {
        Snapshot {
            revision: Revision::new(revision),
            ..Snapshot::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_confirmed_again_is_young_and_wakes_nobody() {
        let source = WatchSource::new(at(1));
        let mut watch = source.watch();
        assert_eq!(watch.age(), None);
        source.confirm(at(1));
        advance(SECOND).await;
        assert_eq!(watch.age(), Some(SECOND));
        let before = watch.current();
        source.confirm(at(1));
        assert_eq!(watch.age(), Some(Duration::ZERO));
        assert!(Arc::ptr_eq(&before, &watch.current()));
        assert!(timeout(SECOND, watch.changed()).await.is_err());
        source.confirm(at(2));
        watch.changed().await;
        assert_eq!(*watch.current(), at(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_its_source_has_left_behind_stays_and_ages() {
        let source = WatchSource::new(at(0));
        let mut watch = source.watch();
        source.confirm(at(7));
        watch.changed().await;
        drop(source);
        assert!(timeout(SECOND, watch.changed()).await.is_err());
        assert_eq!((watch.age(), &*watch.current()), (Some(SECOND), &at(7)));
    }
}
