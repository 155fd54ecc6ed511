//! The accounts service over HTTP. Only here are status codes known.
//!
//! A request passes [`layer`] (who asks, under which trace; problems become bodies), then one
//! handler: [`accounts`], [`postings`] and [`bulk`] write by way of `command`; [`reads`],
//! [`statement`], [`events`] and [`feed`] read; [`health`] tells how the service is.

pub mod accounts;
pub mod bulk;
mod command;
pub mod cursor;
pub mod events;
pub mod feed;
pub mod health;
pub mod idempotency;
pub mod input;
pub mod layer;
pub mod position;
pub mod postings;
pub mod problem;
pub mod projections;
pub mod reads;
pub mod router;
pub mod statement;

pub use position::PositionToken;
pub use problem::Problem;
pub use router::{openapi, router, serve};
