//! The accounts service over HTTP. Only here are status codes known.
//!
//! A request passes [`layer`] (who asks, under which trace; problems become bodies), then one
//! handler. [`accounts`], [`account_changes`], [`entries`], [`bulk_entries`], [`holds`], [`periods`],
//! and the shorthands [`postings`] and [`bulk`] write by way of `command`; [`reads`], [`statement`],
//! [`account_entries`], [`trial_balance`], [`events`], [`outcomes`] and [`feed`] read; [`health`], [`projections`]
//! and [`invariants`] tell how the service is.

pub mod account_body;
pub mod account_changes;
pub mod account_entries;
pub mod accounts;
pub mod bulk;
pub mod bulk_entries;
mod command;
pub mod cursor;
pub mod entries;
pub mod entry_body;
pub mod events;
pub mod feed;
pub mod health;
pub mod holds;
pub mod idempotency;
pub mod input;
pub mod invariants;
pub mod layer;
mod openapi;
pub mod outcomes;
pub mod periods;
pub mod position;
pub mod postings;
pub mod problem;
pub mod projections;
pub mod reads;
pub mod router;
mod routes;
pub mod statement;
pub mod times;
pub mod trial_balance;

pub use position::PositionToken;
pub use problem::Problem;
pub use router::{openapi, router, serve};
