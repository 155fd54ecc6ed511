//! What stands between a feed and whoever asks it: a circuit breaker, say.

use std::error::Error;
use std::net::SocketAddr;

/// What a feed is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedCall {
    /// Something that it answers at once.
    Read,
    /// To answer when there is news, or when its time is over.
    Wait,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedOutcome {
    /// It was answered.
    Answered,
    /// It was not, or with what is no page of the feed.
    Failed,
}

/// Says whether a feed is asked, and is told what became of that. Every request goes by it, also those of the
/// task that waits for news.
pub trait FeedGuard: Send + Sync + 'static {
    /// Asks to ask.
    ///
    /// # Errors
    ///
    /// Why not, in words of its own; the feed is then as one that gives no answer.
    fn admit(&self, call: FeedCall) -> Result<Box<dyn FeedPermit>, Box<dyn Error + Send + Sync>>;
}

/// The right to one request. Where it is dropped, whoever asked has gone.
pub trait FeedPermit: Send {
    /// Where the feed is asked, when it is at several places: in place of the host and the port of its URL.
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    /// Gives it back.
    fn record(self: Box<Self>, outcome: FeedOutcome);
}
