//! What people note about an account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::{BoundedText, InvalidPosting};

/// Most notes of one account.
const NOTES_MAX: usize = 50;

/// The name of a note.
pub type MetadataKey = BoundedText<64>;

/// A note.
pub type MetadataValue = BoundedText<200>;

/// Names and values, at most 50, that the ledger itself makes nothing of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountMetadata(BTreeMap<MetadataKey, MetadataValue>);

impl TryFrom<BTreeMap<String, String>> for AccountMetadata {
    type Error = InvalidPosting;

    fn try_from(notes: BTreeMap<String, String>) -> Result<Self, InvalidPosting> {
        let bounded = |(key, value): (String, String)| Ok((key.try_into()?, value.try_into()?));
        let notes = notes.into_iter().map(bounded);
        let metadata = Self(notes.collect::<Result<_, InvalidPosting>>()?);
        metadata.changed(&MetadataChange::default())
    }
}

/// A change: each name with its new value, or none to remove it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetadataChange(pub BTreeMap<MetadataKey, Option<MetadataValue>>);

impl MetadataChange {
    /// The change from nothing to `metadata`.
    #[must_use]
    pub fn of(metadata: &AccountMetadata) -> Self {
        let all = metadata.0.iter();
        Self(
            all.map(|(key, value)| (key.clone(), Some(value.clone())))
                .collect(),
        )
    }
}

impl AccountMetadata {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// With a change.
    ///
    /// # Errors
    ///
    /// [`InvalidPosting::Metadata`] when they would be too many.
    pub fn changed(&self, change: &MetadataChange) -> Result<Self, InvalidPosting> {
        let mut changed = self.0.clone();
        for (key, value) in &change.0 {
            match value {
                Some(value) => changed.insert(key.clone(), value.clone()),
                None => changed.remove(key),
            };
        }
        if changed.len() > NOTES_MAX {
            return Err(InvalidPosting::Metadata { most: NOTES_MAX });
        }
        Ok(Self(changed))
    }

    /// Bytes on the heap, about.
    pub(crate) fn weight(&self) -> usize {
        let one = |(key, value): (&str, &str)| key.len().saturating_add(value.len());
        self.iter().map(|pair| one(pair).saturating_add(64)).sum()
    }
}
