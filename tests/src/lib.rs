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

/// How much longer than usual the fault tests go on: `FOLIO_TEST_SCALE`, 1 when it is not set.
pub fn scale() -> usize {
    let scale = std::env::var("FOLIO_TEST_SCALE").ok();
    scale.and_then(|text| text.parse().ok()).unwrap_or(1)
}
