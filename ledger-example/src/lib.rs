//! A ledger on Folio, as a library: the accounts of one book, their read model, and the service
//! that serves both over HTTP.
//!
//! # Layout
//!
//! * [`account`], [`journal`], [`hold`]: the aggregates, with their events, commands and refusals.
//! * [`read_model`]: balances and statements, projected from the events.
//! * [`service`]: a book's databases, and what runs on them.
//! * [`http`]: the API; the only place that knows status codes.
//! * [`monitor`]: names the first event after which something is not as it must be.
//! * [`audit`](mod@audit): replays everything and compares it with the read model.

pub mod account;
pub mod audit;
pub mod clock;
mod expirer;
pub mod hold;
pub mod http;
pub mod journal;
pub mod moment;
pub mod monitor;
pub mod never;
mod plain_id;
#[cfg(test)]
mod properties;
pub mod read_model;
pub mod refusal;
pub mod service;
#[cfg(test)]
mod testing;

pub use audit::{AuditError, AuditReport, Difference, audit};
pub use service::{AccountsDatabases, AccountsService, Connections, Ledger};
