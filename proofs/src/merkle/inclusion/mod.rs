//! That a leaf is in a log.

mod error;
mod plan;
mod proof;

pub use error::{InclusionError, OutsideLog};
pub use plan::InclusionPlan;
pub use proof::InclusionProof;
