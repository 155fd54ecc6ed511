//! What a walk has come to.

use serde::Serialize;

/// What a walk has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WalkReport {
    /// Events read.
    pub events: u64,
    /// Outcomes read.
    pub outcomes: u64,
    /// Checkpoints in the database.
    pub checkpoints: u64,
    /// Checkpoints in anchors.
    pub anchored: u64,
    /// How many leaves the largest checkpoints in anchors have, that of the anchor which has least.
    pub anchored_leaves: u64,
    /// Leaves of the log up to the last checkpoint.
    pub leaves: u64,
    /// Events behind the last checkpoint: they were compared with each other, and with nothing that was signed.
    pub unsealed_events: u64,
    /// Outcomes behind it.
    pub unsealed_outcomes: u64,
    /// All findings, also those that were not told.
    pub found: u64,
}
