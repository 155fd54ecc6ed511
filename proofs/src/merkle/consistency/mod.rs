//! That a log has only grown.

mod error;
mod plan;
mod proof;

pub use error::{ConsistencyError, LogShrinks};
pub use plan::ConsistencyPlan;
pub use proof::ConsistencyProof;
