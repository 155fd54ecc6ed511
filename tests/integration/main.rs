//! One binary for all integration tests: it links once, and they share one PostgreSQL cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

mod api_keys;
mod audit;
mod bank;
mod checks;
mod conformance;
mod controls;
mod differential;
mod ends;
mod erasure;
mod executor;
mod faults;
mod feed;
mod guards;
mod http;
mod joint;
mod journals;
mod kill;
mod limits;
mod monitor;
mod openapi;
mod operators;
mod outside;
mod projections;
mod registry;
mod seal;
mod server;
mod services;
mod snapshots;
mod store;
mod subscriptions;
mod tidy;
mod tools;
mod traces;
mod turmoil;
mod up;
