//! Another service's events over HTTP, so that nobody has to open its database to project them.
//!
//! The service serves a [`ServedFeed`], as one route that answers `GET` with a [`FeedPage`] in JSON;
//! the reader has a [`FeedSource`], which is a [`Source`](crate::Source) like a store of its own. The
//! server holds nothing for a reader: each request says where the reader is, and a reader that is slow
//! asks less often.
//!
//! # What is asked
//!
//! | parameter | meaning |
//! | --- | --- |
//! | `after` | the position after which events are wanted; 0 when it is left out |
//! | `store` | the id of the store that the reader believes to read; another's is refused with status 409 and the code `other_store` |
//! | `limit` | most events of the answer, 1 to 1,000 |
//! | `category` | only events of this category; with `stream`, only those of that stream of it |
//! | `member`, `of` | only the streams that [fall to](folio_core::Member) this member of a group of this size |
//! | `wait_ms` | how long an answer may be held back until the store ends elsewhere than at `after` |
//!
//! # What is answered
//!
//! Events in the order of their positions, above `after` and up to `through`: there the reader has
//! everything that it wants, and there it goes on. Without a filter there is one for every position. A
//! page may hold fewer events than were asked for and be followed by more; what tells the end is
//! `through`, which is at `head` then and not before.
//!
//! A reader that asks for what comes after the store's end gets an empty page with the true `head`,
//! which is **below** `after`, and so is `through`. A store ends there only when it went back, and the
//! reader compares its checkpoint then. It does so as well when `history` has changed: what answers
//! has been started again, or has opened a connection to its database, and behind that may be another
//! past. An address of a feed should therefore be that of one process, and not of several by turns.

mod client;
mod error;
mod event;
mod guard;
mod page;
mod request;
mod served;
mod source;
mod watcher;

pub use error::{FeedError, InvalidFeedEvent, InvalidFeedUrl};
pub use event::FeedEvent;
pub use guard::{FeedCall, FeedGuard, FeedOutcome, FeedPermit};
pub use page::{FeedPage, PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
pub use served::ServedFeed;
pub use source::{FeedSettings, FeedSource, Present};

/// The code of the problem with which a feed refuses a reader of another store.
pub const OTHER_STORE: &str = "other_store";
