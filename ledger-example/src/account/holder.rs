//! Whose account it is.

use folio_erasure::{Sealed, SubjectId};
use serde::{Deserialize, Serialize};

/// Who holds an account. What tells who it is, is sealed: the ledger records it and makes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// By which pseudonym.
    pub subject: SubjectId,
    /// The name.
    pub name: Sealed,
    /// Where to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Sealed>,
    /// Where to write to, the other way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Sealed>,
}

impl Holder {
    /// Bytes on the heap, about.
    pub(crate) fn weight(&self) -> usize {
        let sealed = [Some(&self.name), self.address.as_ref(), self.email.as_ref()];
        let sealed = sealed.into_iter().flatten().map(Sealed::weight);
        sealed.sum::<usize>().saturating_add(64)
    }
}
