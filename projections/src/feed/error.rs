//! What may be wrong with a feed, and what that means to whoever reads it.

use folio_core::stream::InvalidStreamId;
use folio_core::{ReadError, StoreId};
use reqwest::StatusCode;
use thiserror::Error;

/// Why a feed gave no page. A reader finds it as the source of a [`ReadError`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FeedError {
    /// It was not reached, or broke off, or took too long.
    #[error("the feed gave no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// It was not asked: its guard says that it gives no answer at present.
    #[error("the feed is not asked at present")]
    NotAsked(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refused, or could not.
    #[error("the feed answered with status {status} ({code})")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The code of the problem, as far as there is one.
        code: String,
    },
    /// The answer is longer than a page may be.
    #[error("the feed's answer is longer than {bytes_max} bytes")]
    TooLong {
        /// Where reading it was given up.
        bytes_max: usize,
    },
    /// The answer is something else than a page.
    #[error("the feed's answer is no page of events")]
    Unreadable(#[source] serde_json::Error),
    /// It is the feed of another store by now.
    #[error("the feed is not that of store {expected} any more")]
    OtherStore {
        /// The store that was read before.
        expected: StoreId,
    },
    /// The answer cannot be true.
    #[error("the feed's answer contradicts itself: {what}")]
    Contradiction {
        /// How.
        what: String,
    },
}

impl From<FeedError> for ReadError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::NoAnswer(_) | FeedError::NotAsked(_) => Self::Unavailable(Box::new(error)),
            FeedError::Status { status, .. } if may_pass(status) => {
                Self::Unavailable(Box::new(error))
            }
            FeedError::Status { .. }
            | FeedError::TooLong { .. }
            | FeedError::Unreadable(_)
            | FeedError::OtherStore { .. }
            | FeedError::Contradiction { .. } => Self::Failed(Box::new(error)),
        }
    }
}

/// Whether the server says by this status that the request was good.
fn may_pass(status: u16) -> bool {
    [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS]
        .iter()
        .any(|passing| passing.as_u16() == status)
        || status >= 500
}

/// Why an event of a page is none.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidFeedEvent {
    /// No stream can have its name.
    #[error(transparent)]
    Stream(#[from] InvalidStreamId),
    /// The bytes are not there, or are there twice.
    #[error("it has not one of {field} and {field}_base64")]
    NotOne {
        /// Which bytes.
        field: &'static str,
    },
    /// The bytes cannot be told.
    #[error("{field}_base64 is not base64")]
    Base64 {
        /// Which bytes.
        field: &'static str,
        /// What is wrong with them.
        source: base64::DecodeError,
    },
}

/// Why a feed cannot be read from an address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidFeedUrl {
    /// It is no address of HTTP.
    #[error("{url:?} is no address that starts with http://")]
    NotHttp {
        /// The refused text.
        url: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}
