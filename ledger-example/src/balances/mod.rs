//! The query side: the read models of all books, each fed by its accounts service over HTTP.
//!
//! * [`BookName`]: by what a book is asked for.
//! * [`GuardedFeed`]: a book's events, behind circuit breakers.
//! * [`Shelf`]: the books that are read here. What requests make of it is in
//!   [`http::shelf`](crate::http::shelf).
//! * [`BalancesService`]: the database, and what fills it.
//!
//! A book whose accounts service is gone is answered for as it was known last, and the answer tells how old
//! that may be. The others are not concerned: each has a projection, a checkpoint and a breaker of its own.

mod book_name;
mod guarded_feed;
mod service;
mod shelf;

pub use book_name::{BookName, InvalidBookName};
pub use guarded_feed::{GuardedFeed, GuardedFeedError};
pub use service::{
    BalancesConnections, BalancesService, BookFeed, FEED, Feeds, InvalidBookFeed,
    StartBalancesError, open_balances, prepare_balances, provision_balances,
};
pub use shelf::{Shelf, ShelvedBook};
