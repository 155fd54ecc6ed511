//! What operators do with an app, as commands that the app mounts in its own program.
//!
//! The app says which projections there are, who is at the keyboard and where the answers go:
//!
//! ```
//! use clap::Parser;
//! use folio_core::Actor;
//! use folio_operator::{Desk, Finding, OperatorError, ProjectionsArgs, projections};
//! use folio_projections::Projection;
//! use tokio::sync::watch;
//!
//! #[derive(Parser)]
//! enum App {
//!     /// Look after the read models.
//!     Projections(ProjectionsArgs),
//! }
//!
//! async fn run(app: App, balances: Projection) -> Result<Finding, OperatorError> {
//!     let (_stop, stop) = watch::channel(false); // set it to true on Ctrl-C
//!     let mut desk = Desk {
//!         projections: &[balances],
//!         by: Actor::anonymous(),
//!         stop,
//!         out: &mut std::io::stdout(),
//!     };
//!     match app {
//!         App::Projections(arguments) => projections::run(arguments, &mut desk).await,
//!     }
//! }
//!
//! App::try_parse_from(["app", "projections", "pause", "balances", "--reason", "a migration"])?;
//! # Ok::<_, clap::Error>(())
//! ```
//!
//! # Layout
//!
//! * [`projections`](mod@projections): list, rebuild, compare, prove, swap, pause, partition, dead letters.
//! * [`replay`](mod@replay): the state of an [aggregate](Aggregates), or a whole model, as of a version, a position or a moment.
//! * [`diff`](mod@diff): in what a live model differs from a right replay, and since which event.
//! * [`events`](mod@events): what a store holds, filtered, as it was recorded.
//! * [`trace`](mod@trace): every event that a request caused, in the [stores](NamedStore) of all services, as a tree.
//! * [`Desk`]: what the app gives to a command, or [`Screen`] to one that only reads. [`Finding`]: what a command came to.
//! * [`Answers`]: where answers go, whoever may have stopped reading.
//!
//! Whatever a command does is a call of `folio-projections`, which an app can make without it.

mod aggregates;
mod answers;
mod bar;
mod desk;
pub mod diff;
mod error;
pub mod events;
mod finding;
mod format;
mod ids;
mod moment;
mod named_store;
mod printable;
mod progress;
pub mod projections;
pub mod replay;
mod screen;
mod table;
#[cfg(test)]
mod testing;
pub mod trace;

pub use aggregates::{Aggregates, Dated};
pub use answers::Answers;
pub use desk::Desk;
pub use diff::DiffArgs;
pub use error::OperatorError;
pub use events::{EventsArgs, EventsError};
pub use finding::Finding;
pub use format::Format;
pub use named_store::NamedStore;
pub use projections::{ProjectionsArgs, ProjectionsCommand};
pub use replay::{Known, ReplayArgs, ReplayError, Style};
pub use screen::Screen;
pub use trace::{TraceArgs, TraceError};
