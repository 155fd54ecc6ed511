//! Runs projectors: read models that keep their checkpoint in their own transaction.
//!
//! # Layout
//!
//! * [`Projector`]: what an app writes; turns events into rows.
//! * [`Runner`]: feeds a projector from a store, batch by batch, first to catch up, then live.
//! * [`Checkpoint`](folio_core::Checkpoint): how far a projection has come, and in which store.
//! * [`Progress`]: a runner's checkpoint as others see it: to wait for, to measure lag with.
//! * [`dead_letters()`]: events that could not be taken in, with [`retry`] and [`skip`].
//! * [`migrations`]: the table of checkpoints.

mod checkpoint;
mod dead_letters;
mod lag;
mod lease;
mod progress;
mod projector;
mod runner;

pub use checkpoint::{CheckpointError, read_checkpoint};
pub use dead_letters::{DeadLetter, DeadLetterError, dead_letters, retry, skip};
pub use lag::Lag;
pub use progress::{NotReached, Progress, Status};
pub use projector::{ProjectionName, Projector, ProjectorError};
pub use runner::{Poison, Runner, RunnerError, Settings};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The migrations of the table of checkpoints, for the database that holds the models.
#[must_use]
pub fn migrations() -> folio_postgres::migrate::Migrations {
    folio_postgres::migrate::Migrations::new("projections", embedded::migrations::runner())
}
