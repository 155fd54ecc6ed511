//! `trace`: every event that a request caused, in the stores of all services, as a tree.
//!
//! # How it is found
//!
//! Each event carries the correlation id of the request that it belongs to. That is in no index, so each store is read
//! whole, or from the moment that is said, up to where it ended when the command began; all at the same time, a page of
//! each in memory. What is recorded later is not in the tree, and how far each store was read is said below it.
//!
//! # How it hangs together
//!
//! A command hangs at what caused it: an event of another store, which it names by that store and the position there; or
//! an event or a command that it names by its id; or the request itself, where it names nothing. Where it names what was
//! not found it hangs at the request, and says so.
//!
//! # Layout
//!
//! * `scan.rs`: what is found in the stores.
//! * `tree.rs`: how it hangs together, as a pure function.
//! * `output.rs`: as text, as JSON.

mod output;
mod scan;
#[cfg(test)]
mod tests;
mod tree;

use std::io;

use clap::{Args, ValueEnum};
use folio_core::event::DecodeError;
use folio_core::{CorrelationId, ReadError, Timestamp};
use thiserror::Error;

use crate::finding::Finding;
use crate::format::answer;
use crate::named_store::NamedStore;
use crate::screen::Screen;
use crate::{ids, moment};

pub use self::scan::{Searched, TracedEvent};
pub use self::tree::{CausedBy, Node, TracedCommand, Tree, What};

/// Arguments of `trace`.
#[derive(Debug, Clone, Args)]
pub struct TraceArgs {
    /// The correlation id: as events have it, the 32 hex digits of a trace id, or a whole traceparent.
    #[arg(value_name = "CORRELATION", value_parser = ids::correlation)]
    pub correlation: CorrelationId,
    /// Read the stores only from this moment on: 2026-11-29T17:05:00Z, 2026-11-29 (UTC), or 15m for so long ago.
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    pub since: Option<Timestamp>,
    /// How the tree is written.
    #[arg(long, value_enum, default_value_t = TraceFormat::Text)]
    pub format: TraceFormat,
}

/// How a tree is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TraceFormat {
    /// As a tree for people.
    Text,
    /// As JSON, and nothing else.
    Json,
}

/// What is known of the request itself: a line of an access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When it was answered, as the log says.
    pub at: String,
    /// What else the log says, in its order.
    pub fields: Vec<(String, String)>,
}

/// What was found of a request.
#[derive(Debug)]
pub struct Trace {
    /// Its correlation id.
    pub correlation: CorrelationId,
    /// What access logs say of it.
    pub requests: Vec<Request>,
    /// How far each store was read.
    pub searched: Vec<Searched>,
    /// What it caused.
    pub tree: Tree,
}

/// Writes the tree of what a request caused. It is not well where nothing is found.
///
/// # Errors
///
/// [`TraceError`]. Then nothing is written: a tree of some stores would be taken for all of it.
///
/// # Cancel safety
///
/// Dropping the future ends all reads.
pub async fn run(
    arguments: TraceArgs,
    stores: &[NamedStore],
    requests: Vec<Request>,
    screen: Screen<'_>,
) -> Result<Finding, TraceError> {
    let TraceArgs {
        correlation,
        since,
        format,
    } = arguments;
    let (events, searched) = scan::find(stores, correlation, since, &screen).await?;
    let trace = Trace {
        correlation,
        requests,
        searched,
        tree: Tree::of(events),
    };
    let text = match format {
        TraceFormat::Text => output::text(&trace),
        TraceFormat::Json => output::json(&trace)?,
    };
    answer(screen.out, &text)?;
    Ok(Finding::clean_if(!trace.tree.nodes.is_empty()))
}

/// Why a request was not traced.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// A store cannot be read.
    #[error("the events of {store} cannot be read")]
    Read {
        /// The name of the store.
        store: String,
        /// Why.
        source: ReadError,
    },
    /// Whether an event belongs to the request cannot be told.
    #[error(
        "it cannot be told whether an event of {store} belongs to the request; begin after it with --since"
    )]
    Metadata {
        /// The name of the store.
        store: String,
        /// Why.
        source: DecodeError,
    },
    /// The user did not want to wait for all stores.
    #[error("interrupted before all stores were read; --since has less to read")]
    Interrupted,
    /// A read ended without an answer.
    #[error("a read did not come to its end")]
    Lost(#[source] tokio::task::JoinError),
    /// The answer cannot be written to where it should go.
    #[error("the answer cannot be written")]
    Output(#[from] io::Error),
}
