//! hledger's format: the documented part of it.
//!
//! What is written and read:
//!
//! * `; comment` lines, and `commodity 1000.00 EUR`, which says a currency's decimals;
//! * `account NAME  ; kind: …, normal-side: …, currency: …`, where what is left out is a recording
//!   account that grows by debits;
//! * transactions, `2026-03-31 * (reference) description`, with two postings or more of the form
//!   `ACCOUNT  -12.50 EUR`, at least two spaces before the amount, which is positive for a debit; one
//!   posting may be without its amount. A colon in an account's name is a dot in its id.
//! * comments within a transaction, of which those that begin with `folio-` are the ledger's own: what a
//!   transaction has no place for.
//!
//! Anything else is refused, with its line.

mod parse;
mod write;

pub use parse::parse;
pub use write::{head, write};
