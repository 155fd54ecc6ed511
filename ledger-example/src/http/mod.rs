//! The services over HTTP. Only here are status codes known.
//!
//! A request passes [`layer`] (who asks, under which trace; problems become bodies), then one
//! handler. Those of the accounts service have its [`Ledger`](crate::Ledger) as their state: [`accounts`],
//! [`account_changes`], [`entries`], [`bulk_entries`], [`holds`], [`periods`], and the shorthands [`postings`] and
//! [`bulk`] write by way of `command`; [`holders`] seals what tells who somebody is, and [`subjects`] has them forgotten, in the transfers service too; [`events`], [`replays`], [`outcomes`] and [`feed`] read the store, [`proofs`] its log. Those of the
//! balances service have its [`Shelf`](crate::balances::Shelf), from which [`shelf`] takes the book that is
//! asked for: [`reads`], [`statement`], [`account_entries`], [`trial_balance`], and what of the nouns above is read.
//! Those of the rails service are in [`rails`], with the client that asks them; those of the transfers service in
//! [`transfers`] and [`payments`], by way of [`sagas`] and of `parties`, which seals whom a payment is with; whom it asks is in [`participants`].
//! [`address`] says where a service is that another one asks, [`instance`] which of several this one is, and [`vouched`] whom the gateway vouches for.
//! [`health`], [`projections`] and [`invariants`] tell how a service is, and [`in_transit`] how all of them are together.

pub mod account_body;
pub mod account_changes;
pub mod account_entries;
pub mod accounts;
pub mod address;
pub mod bulk;
pub mod bulk_entries;
mod command;
pub mod cursor;
mod cut;
pub mod entries;
pub mod entry_body;
pub mod events;
pub mod feed;
pub mod going;
pub mod health;
pub mod holders;
pub mod holds;
pub mod idempotency;
pub mod in_transit;
pub mod input;
pub mod instance;
pub mod invariants;
pub mod layer;
mod openapi;
pub mod outcomes;
pub mod outside;
pub mod participants;
pub(crate) mod parties;
pub mod payments;
pub mod periods;
pub mod position;
pub mod postings;
pub mod problem;
pub mod projections;
pub mod proofs;
pub mod rails;
pub mod reads;
pub mod replays;
pub mod router;
mod routes;
pub mod sagas;
pub mod shelf;
pub mod statement;
pub mod subjects;
pub mod times;
pub mod transfers;
pub mod trial_balance;
pub mod vouched;

pub use address::ServiceAddress;
pub use axum::Router;
pub use going::ready_until;
pub use instance::answering_as;
pub use position::PositionToken;
pub use problem::Problem;
pub use router::{
    accounts_openapi, accounts_router, balances_openapi, balances_router, rails_openapi,
    rails_router, serve, transfers_openapi, transfers_router,
};
pub use vouched::vouched_for;
