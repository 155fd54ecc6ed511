//! Which news of a connection its task has to hear.
//!
//! Who drives a connection in its own task is told of all that it does there itself: that a request was put in, that an answer has come out,
//! that a piece of it was taken. For each of those its task would be polled once more, and find nothing to do. So only what comes
//! from elsewhere goes on to the task.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// The task is at work on the connection.
const WITHIN: u8 = 1;
/// There was news.
const NEWS: u8 = 2;

/// Wakes the task that drives a connection, unless the task itself is the cause.
///
/// A task that is woken while it runs is polled once more, and with more than one thread another one is woken up to see whether it can take over.
#[derive(Debug)]
pub struct Wakes {
    news: Arc<News>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct News {
    task: AtomicWaker,
    // One number, so that nothing that comes at the end of the work is lost between two.
    state: AtomicU8,
}

impl Wakes {
    /// For one connection.
    #[must_use]
    pub fn new() -> Self {
        let news = Arc::<News>::default();
        Self {
            waker: Arc::clone(&news).into(),
            news,
        }
    }

    /// Runs what both drives the connection and asks on it.
    ///
    /// # Cancel safety
    ///
    /// That of `work`.
    pub async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|task| self.within(task, |task| work.as_mut().poll(task))).await
    }

    /// Works on the connection. What this itself causes is seen to at once, and does not wake the task.
    pub fn within<T>(
        &self,
        task: &mut Context<'_>,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let news = &*self.news;
        news.task.register(task.waker());
        // Whoever has news for itself after the second time as well wants others to have their turn.
        for _ in 0..2 {
            news.state.store(WITHIN, Ordering::Release);
            let done = work(&mut Context::from_waker(&self.waker));
            let state = news.state.swap(0, Ordering::AcqRel);
            // Whoever is told that it is done comes back for the rest.
            if done.is_ready() || state & NEWS == 0 {
                return done;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nobody is told any more, until the next work.
    pub fn forget(&self) {
        self.news.task.take();
    }
}

impl Default for Wakes {
    fn default() -> Self {
        Self::new()
    }
}

impl Wake for News {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(NEWS, Ordering::AcqRel) & WITHIN == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Works so often that it has news for itself, and says how often it worked and its task was woken by then.
    fn worked(wakes: &Wakes, count: &Arc<Count>, news: usize) -> (usize, usize) {
        let (waker, mut times) = (Arc::clone(count).into(), 0);
        let done = wakes.within(&mut Context::from_waker(&waker), |task| {
            times += 1;
            if times <= news {
                task.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(done.is_pending());
        (times, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn what_the_task_causes_itself_is_seen_to_and_does_not_wake_it() {
        let (wakes, count) = (Wakes::new(), Arc::default());
        assert_eq!(worked(&wakes, &count, 0), (1, 0));
        assert_eq!(worked(&wakes, &count, 1), (2, 0));
        // A connection that yields is not worked on for ever.
        assert_eq!(worked(&wakes, &count, 9), (2, 1));
    }

    #[test]
    fn what_comes_from_elsewhere_wakes_the_task_until_it_is_forgotten() {
        let (wakes, count) = (Wakes::new(), Arc::<Count>::default());
        worked(&wakes, &count, 0);
        wakes.waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        worked(&wakes, &count, 0);
        wakes.forget();
        wakes.waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
