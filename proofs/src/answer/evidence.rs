//! What is asked about, told apart by what it has.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::bundle::Bundle;
use crate::receipt::{GrowthReceipt, InclusionReceipt};

/// One of what a log gives out.
#[derive(Debug)]
pub(super) enum Evidence {
    Bundle(Box<Bundle>),
    Inclusion(InclusionReceipt),
    Growth(GrowthReceipt),
}

/// The names by which they differ. A bundle may have a gigabyte: nothing of it is kept here, as it would be by whoever tries one
/// after the other.
#[derive(Debug, Default, Deserialize)]
struct Names {
    events: Option<IgnoredAny>,
    leaf: Option<IgnoredAny>,
    growth: Option<IgnoredAny>,
}

impl Evidence {
    /// What this JSON is. What is none of them is told what it lacks to be a bundle.
    pub(super) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let names: Names = serde_json::from_slice(json).unwrap_or_default();
        match (names.events, names.leaf, names.growth) {
            (None, Some(IgnoredAny), _) => serde_json::from_slice(json).map(Self::Inclusion),
            (None, None, Some(IgnoredAny)) => serde_json::from_slice(json).map(Self::Growth),
            (Some(IgnoredAny), _, _) | (None, None, None) => {
                serde_json::from_slice(json).map(Self::Bundle)
            }
        }
    }
}
