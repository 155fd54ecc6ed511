//! Stores that are sealed, on a PostgreSQL of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod altered;
mod anchored;
mod book;
mod proofs;
mod roles;
mod running;
mod sealing;
