//! A ledger on Folio, as a library: the accounts of a book and the service that carries out commands on
//! them, and the service that answers for the balances of all books.
//!
//! # Layout
//!
//! * [`account`], [`journal`], [`hold`]: the aggregates, with their events, commands and refusals.
//! * [`read_model`]: balances and statements, projected from the events.
//! * [`service`]: the accounts service: a book's databases, and what runs on them.
//! * [`balances`]: the balances service: the read models of all books, fed over HTTP.
//! * [`rails`]: stand-ins for the world outside, with switches by which they fail.
//! * [`transfer`]: a transfer between two books, as a saga, and the service that carries it out.
//! * [`payment`]: payments to and from the outside, as sagas.
//! * [`transit`]: reconciles all books with what moves money between them.
//! * [`http`]: the API; the only place that knows status codes.
//! * [`monitor`]: names the first event after which something is not as it must be.
//! * [`audit`](mod@audit): replays everything and compares it with the read model.

pub mod account;
pub mod audit;
pub mod balances;
pub mod clock;
mod expirer;
pub mod hold;
pub mod http;
pub mod journal;
pub mod moment;
pub mod monitor;
pub mod never;
pub mod payment;
mod plain_id;
#[cfg(test)]
mod properties;
pub mod rails;
pub mod read_model;
pub mod refusal;
mod seals;
pub mod service;
#[cfg(test)]
mod testing;
pub mod transfer;
pub mod transit;

pub use audit::{AuditError, AuditReport, Difference, audit};
pub use balances::{BalancesService, BookName};
pub use seals::Seals;
pub use service::{AccountsDatabases, AccountsService, Connections, Ledger};
