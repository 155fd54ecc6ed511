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
//! * [`projections`](mod@projections): list, rebuild, compare, swap, pause, partition, dead letters.
//! * [`Desk`]: what the app gives to a command. [`Finding`]: what a command came to.
//!
//! Whatever a command does is a call of `folio-projections`, which an app can make without it.

mod desk;
mod error;
mod finding;
mod format;
pub mod projections;
mod table;

pub use desk::Desk;
pub use error::OperatorError;
pub use finding::Finding;
pub use format::Format;
pub use projections::{ProjectionsArgs, ProjectionsCommand};
