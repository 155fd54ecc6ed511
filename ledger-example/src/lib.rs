//! A ledger on Folio, as a library: the accounts of one book, their read model, and the service
//! that serves both over HTTP.
//!
//! # Layout
//!
//! * [`account`]: the aggregate, events, commands and refusals.
//! * [`read_model`]: balances and statements, projected from the events.
//! * [`service`]: a book's databases, and what runs on them.
//! * [`http`]: the API; the only place that knows status codes.
//! * [`audit`](mod@audit): replays everything and compares it with the read model.

pub mod account;
pub mod audit;
pub mod http;
pub mod read_model;
pub mod service;

pub use audit::{AuditError, AuditReport, Difference, audit};
pub use service::{AccountsDatabases, AccountsService, Connections, Ledger};
