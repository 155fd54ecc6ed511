//! What the integration tests and the benchmarks stand on: a private PostgreSQL for the whole run,
//! databases of their own for each test, and the program as a process that can be killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]

pub mod api;
pub mod bank;
pub mod postgres;
pub mod process;

#[cfg(doctest)]
mod readme;
