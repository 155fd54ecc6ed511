//! Seals an event store: a Merkle log and a map of its streams beside the events, signed checkpoints of both, and
//! proofs out of them.
//!
//! * [`Sealer`] appends what was committed to the log, behind the back of whoever appends events: it reads the store,
//!   and nothing waits for it. Each of its seals is one transaction and ends in a signed checkpoint.
//!   [`Sealing`] has one run for as long as a service does. What the same process appends need not be read: it has
//!   [`FreshLeaves`] of it.
//! * [`Anchor`] keeps checkpoints outside of the database, [`FileAnchor`] in a file, [`DatabaseAnchor`] in another
//!   database, and with the feature `witness` a `WitnessAnchor` at a `Witness`, which signs itself that a log has only grown. What is anchored must be in the log for good: a log that was made anew, or has lost its end, is not sealed
//!   any further.
//! * [`Prover`] reads the proofs: that an event or a refusal is in the log, that the log has only grown, and where a
//!   stream ends.
//! * [`Walk`] reads a whole store again and proves it against its log, its checkpoints and its anchors.
//! * [`LogKeys`] are the keys of a log in a folder, and [`TrustedLog`] says whose checkpoints are believed.
//!
//! # What is sealed
//!
//! The leaves of the log are rows of `store.events` and `store.outcomes`, with the bytes of every column
//! ([`folio_proofs::leaf`]). Each seal appends the events behind the seal before in the order of their positions, and
//! then the outcomes in the order of their numbers.
//!
//! # What is checked
//!
//! Before each seal: that the last checkpoint is signed, that the end of the log and the whole map come to the roots
//! in it, that the anchor's last checkpoint is in the log, and that the store has no hole and has not lost its end. Not
//! checked are rows that were sealed before: a [`Walk`] hashes them again.

mod altered;
mod anchor;
mod anchoring;
mod bundle;
mod checkpoints;
mod copied;
mod error;
mod fresh;
mod keys;
mod lag;
mod leaves;
mod map;
mod past_map;
mod prepare;
mod prover;
mod rows;
mod run;
mod sealer;
mod sealing;
mod settings;
mod tiles;
mod trusted;
mod walk;
#[cfg(feature = "witness")]
mod witness;

pub use altered::Altered;
pub use anchor::{Anchor, AnchorError, Anchors, DatabaseAnchor, FileAnchor, Records};
#[cfg(feature = "witness")]
pub use anchor::{WitnessAddressError, WitnessAnchor};
pub use bundle::Span;
pub use checkpoints::LogState;
pub use error::{NotAsAnchored, ProveError, SealError};
pub use fresh::FreshLeaves;
pub use keys::{LogKeys, LogKeysError};
pub use prepare::{PrepareAuditError, ROLES, migrations, prepare};
pub use prover::{Proven, Prover};
pub use rows::{StoredEvent, StoredOutcome};
pub use sealer::{Sealed, Sealer};
pub use sealing::Sealing;
pub use settings::SealerSettings;
pub use trusted::TrustedLog;
pub use walk::{
    Evidence, Finding, Range, RowAt, StructureFault, Walk, WalkError, WalkReport, Walked,
};
#[cfg(feature = "witness")]
pub use witness::{OpenWitnessError, Refusal, Witness};
