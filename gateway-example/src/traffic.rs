//! How much comes on a connection, beside what it is used for.
//!
//! Each frame of HTTP/2 that asks for an answer and carries nothing, a ping say, costs whoever sends it a few bytes and us an answer,
//! and neither a request nor an idle connection is counted by it. So bytes are: whoever sends many more than its requests need has its
//! connection closed.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What may come within a [`WINDOW`] for nothing: half a million pings. Whoever downloads as fast as it can says so with less.
const SPARE: u64 = 8 * 1_024 * 1_024;
/// How long what has come is held against a connection: one may be used for weeks.
const WINDOW: Duration = Duration::from_secs(10);
/// A body has its frames, or chunks, around it.
const FRAMED: u64 = 2;

/// The bytes of a connection. Clones are of the same one.
#[derive(Debug, Clone)]
pub(crate) struct Traffic(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    // Whoever reads and whoever asks are on one thread, in turns: so their order needs no care.
    came: AtomicU64,
    expected: AtomicU64,
    since: Mutex<Instant>,
}

/// A stream whose bytes are counted as they come.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    traffic: Traffic,
}

impl Traffic {
    /// Of a connection that is accepted now.
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Counts {
            came: AtomicU64::new(0),
            expected: AtomicU64::new(SPARE),
            since: Mutex::new(Instant::now()),
        }))
    }

    /// A request has come, or comes, with a head and a body of at most so many bytes.
    pub(crate) fn announce(&self, head: u64, body: u64) {
        let more = head.saturating_add(body.saturating_mul(FRAMED));
        self.0.expected.fetch_add(more, Ordering::Relaxed);
    }

    fn came(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.came.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether more has come than anybody needs for what was asked.
    pub(crate) fn is_flood(&self) -> bool {
        let counts = &self.0;
        if counts.came.load(Ordering::Relaxed) <= counts.expected.load(Ordering::Relaxed) {
            return false;
        }
        // Nothing panics under this lock.
        let mut since = counts.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.elapsed() < WINDOW {
            return true;
        }
        *since = Instant::now();
        counts.came.store(0, Ordering::Relaxed);
        counts.expected.store(SPARE, Ordering::Relaxed);
        false
    }
}

impl<S> Metered<S> {
    pub(crate) const fn new(stream: S, traffic: Traffic) -> Self {
        Self { stream, traffic }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(task, buffer);
        self.traffic
            .came(buffer.filled().len().saturating_sub(before));
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(task, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const ALL_OF_IT: usize = 8 * 1_024 * 1_024;

    #[tokio::test(start_paused = true)]
    async fn what_requests_bring_is_no_flood_and_what_comes_beside_them_is() {
        let traffic = Traffic::begin();
        for _ in 0..1_000 {
            traffic.announce(1_000, 100_000);
            traffic.came(200_000);
            assert!(!traffic.is_flood());
        }
        let traffic = Traffic::begin();
        traffic.came(ALL_OF_IT);
        assert!(!traffic.is_flood());
        traffic.came(1);
        assert!(traffic.is_flood());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_over_days_is_no_flood() {
        let traffic = Traffic::begin();
        for _ in 0..100 {
            traffic.came(ALL_OF_IT);
            advance(WINDOW).await;
            assert!(!traffic.is_flood());
        }
        traffic.came(ALL_OF_IT);
        traffic.came(ALL_OF_IT);
        assert!(traffic.is_flood());
    }
}
