//! Bundles: all events of one stream up to a checkpoint, with the proof that they are all and as they were recorded.
//!
//! A bundle is one JSON object. Whoever has it and the public key of the log needs nothing else to check it:
//!
//! - `format` is `folio bundle v1`.
//! - `checkpoint` is a signed checkpoint. It has the root of the log and that of the map of streams.
//! - `stream` says whose events these are: `category` and `id`.
//! - `events` are the events in their order, with every column that is stored and the proof that they are in the log.
//!   Payloads and metadata are base64 of their bytes, UUIDs are hex with hyphens.
//! - `map` proves where the stream ends, so that no bundle holds that lacks its last events. Versions from 1 on
//!   without a gap do the rest. Of a stream that is not in the map it proves that there are no events.
//! - `growth` may follow: an older checkpoint, and the proof that the log has only grown since.
//!
//! An outcome without events is in the log too, and of no stream: bundles say nothing of it, and [receipts](crate::receipt) do.

pub(crate) mod base64_text;
mod error;
mod event;
pub(crate) mod growth;
#[cfg(test)]
mod mutations;
pub(crate) mod signed;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod uuid_text;
mod verify;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use error::BundleError;
pub use event::BundledEvent;
pub use growth::Growth;
pub use verify::Verified;

use crate::map::MapProof;
use crate::note::SignedNote;

/// All events of a stream up to a checkpoint, and what proves it. Nothing in it is to be believed before
/// [`verify`](Self::verify) has said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// How it is written.
    pub format: Format,
    /// The checkpoint under which all else is proved.
    pub checkpoint: SignedNote,
    /// Whose events they are.
    pub stream: Stream,
    /// Its events, from version 1 on.
    pub events: Vec<BundledEvent>,
    /// Where the stream ends.
    pub map: MapProof,
    /// That the log has only grown since an older checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
}

/// How a bundle is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Format {
    /// As it is described here.
    #[default]
    #[serde(rename = "folio bundle v1")]
    V1,
}

/// Which stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Its category.
    pub category: String,
    /// Its id within the category.
    pub id: String,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.category, self.id)
    }
}
