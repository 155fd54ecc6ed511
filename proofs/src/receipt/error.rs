//! What is wrong with a receipt.

use thiserror::Error;

use crate::bundle::BundleError;
use crate::checkpoint::OpenCheckpointError;
use crate::leaf::MalformedLeaf;
use crate::merkle::InclusionError;

/// Why a receipt proves nothing: the first thing that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The checkpoint is not to be believed.
    #[error("the checkpoint of the receipt is not to be believed")]
    Checkpoint(#[source] OpenCheckpointError),
    /// The leaf is not in the log.
    #[error("the leaf is not in the log like this: it was altered, or its proof was")]
    Altered(#[source] InclusionError),
    /// The leaf is in the log, and of no row of a store.
    #[error("the leaf is in the log, and nobody knows what it says; a newer program may")]
    Leaf(#[source] MalformedLeaf),
    /// The checkpoint does not go as far as the row.
    #[error("the row is behind the end of the store that its checkpoint states")]
    Beyond,
    /// The log has not grown as it is said, from the checkpoint of the receipt or from the one that was kept.
    #[error(transparent)]
    Growth(BundleError),
}
