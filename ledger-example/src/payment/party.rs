//! Who is on the other side of a payment.

use folio_core::CommandId;
use folio_erasure::{CipherError, Personal, Sealed, SubjectId, SubjectKey};
use serde::{Deserialize, Serialize};

use crate::account::BoundedText;

/// The name of what is sealed. It is a part of the seal, so it never changes.
const NAME: &str = "payment.party";

/// Who is on the other side of a payment: whom it pays, or who pays it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Party {
    /// One that may be told for ever, as a company is.
    Clear(BoundedText<64>),
    /// A person, who can be forgotten. What tells who it is, is sealed.
    Person {
        /// By which pseudonym.
        subject: SubjectId,
        /// The name.
        name: Sealed,
    },
}

/// An order that has somebody on its other side.
pub(crate) trait WithParty {
    /// Who that is.
    fn party(&self) -> &Party;
}

impl Party {
    /// A person, sealed for the order that this id is derived from: the same order again is the same to the byte.
    ///
    /// # Errors
    ///
    /// [`CipherError`].
    pub fn sealed(
        key: &SubjectKey,
        subject: SubjectId,
        order: CommandId,
        name: &Personal,
    ) -> Result<Self, CipherError> {
        let name = key.seal(NAME, order, name)?;
        Ok(Self::Person { subject, name })
    }

    /// By which pseudonym it can be forgotten; none where it cannot.
    #[must_use]
    pub const fn subject(&self) -> Option<&SubjectId> {
        match self {
            Self::Clear(_) => None,
            Self::Person { subject, .. } => Some(subject),
        }
    }
}

/// Opens the name of a person.
///
/// # Errors
///
/// [`CipherError`].
pub(crate) fn open(key: &SubjectKey, name: &Sealed) -> Result<Personal, CipherError> {
    key.open(NAME, name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_party_of_an_old_log_is_a_plain_text() {
        let old: Party = serde_json::from_value(json!("acme")).unwrap();
        assert_eq!(
            old,
            Party::Clear(BoundedText::try_from("acme".to_owned()).unwrap())
        );
        assert_eq!(serde_json::to_value(&old).unwrap(), json!("acme"));
        assert_eq!(old.subject(), None);
    }

    #[test]
    fn a_person_is_written_by_its_pseudonym_and_what_is_sealed() {
        let written = json!({
            "subject": "c-4711", "name": "1.BwcHBwcHBwcHBwcH.CQkJCQkJCQkJCQkJCQkJCQkJCQk",
        });
        let person: Party = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(person.subject().unwrap().as_str(), "c-4711");
        assert_eq!(serde_json::to_value(&person).unwrap(), written);
        for (field, value) in [
            ("name", json!("Ada Lovelace")),
            ("subject", json!("Ada Lovelace")),
            ("more", json!("Ada Lovelace")),
        ] {
            let mut wrong = written.clone();
            wrong[field] = value;
            assert!(serde_json::from_value::<Party>(wrong).is_err(), "{field}");
        }
    }
}
