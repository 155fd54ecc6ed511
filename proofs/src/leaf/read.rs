//! Leaves as they are read again.

use thiserror::Error;

use super::{EVENT, EventLeaf, OUTCOME, OutcomeLeaf};

/// A leaf of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// An event.
    Event(EventLeaf<'a>),
    /// A command that caused no event.
    Outcome(OutcomeLeaf<'a>),
}

/// Bytes that are no leaf of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("these bytes are no event and no outcome as this version writes them")]
pub struct MalformedLeaf;

impl<'a> Leaf<'a> {
    /// The row whose leaf these bytes are. There is one at most: what is read writes the same bytes.
    ///
    /// # Errors
    ///
    /// [`MalformedLeaf`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, MalformedLeaf> {
        let leaf = match (bytes.strip_prefix(EVENT), bytes.strip_prefix(OUTCOME)) {
            (Some(fields), _) => event(fields).map(Self::Event),
            (None, Some(fields)) => outcome(fields).map(Self::Outcome),
            (None, None) => None,
        };
        leaf.ok_or(MalformedLeaf)
    }
}

fn event(fields: &[u8]) -> Option<EventLeaf<'_>> {
    let mut fields = Fields(fields);
    // In the order in which they are written, which is that of the struct.
    let leaf = EventLeaf {
        position: i64::from_be_bytes(fields.exactly()?),
        version: i64::from_be_bytes(fields.exactly()?),
        recorded_at_micros: i64::from_be_bytes(fields.exactly()?),
        event_id: fields.exactly()?,
        command_id: fields.exactly()?,
        command_events: match fields.optional()? {
            Some(count) => Some(i32::from_be_bytes(count.try_into().ok()?)),
            None => None,
        },
        schema_version: i32::from_be_bytes(fields.exactly()?),
        category: fields.text()?,
        stream_id: fields.text()?,
        event_type: fields.text()?,
        fingerprint: fields.optional()?,
        payload: fields.field()?,
        metadata: fields.field()?,
    };
    fields.are_over().then_some(leaf)
}

fn outcome(fields: &[u8]) -> Option<OutcomeLeaf<'_>> {
    let mut fields = Fields(fields);
    let leaf = OutcomeLeaf {
        number: i64::from_be_bytes(fields.exactly()?),
        command_id: fields.exactly()?,
        recorded_at_micros: i64::from_be_bytes(fields.exactly()?),
        fingerprint: fields.field()?,
        refusal: fields.optional()?,
        metadata: fields.field()?,
    };
    fields.are_over().then_some(leaf)
}

/// What is not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let length: [u8; 8] = self.take(8)?.try_into().ok()?;
        self.take(usize::try_from(u64::from_be_bytes(length)).ok()?)
    }

    fn exactly<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.field()?.try_into().ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.field()?).ok()
    }

    #[expect(
        clippy::option_option,
        reason = "a column that has no value is not bytes that cannot be read"
    )]
    fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        match self.take(1)? {
            [0] => Some(None),
            [1] => self.field().map(Some),
            _ => None,
        }
    }

    const fn are_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{EVENT_LEAF, OUTCOME_LEAF};
    use super::*;

    #[test]
    fn a_leaf_is_read_as_the_row_that_was_written() {
        let bytes = EVENT_LEAF.to_bytes();
        assert_eq!(Leaf::read(&bytes), Ok(Leaf::Event(EVENT_LEAF)));
        let later = EventLeaf {
            command_events: None,
            fingerprint: None,
            ..EVENT_LEAF
        };
        assert_eq!(Leaf::read(&later.to_bytes()), Ok(Leaf::Event(later)));
        let bytes = OUTCOME_LEAF.to_bytes();
        assert_eq!(Leaf::read(&bytes), Ok(Leaf::Outcome(OUTCOME_LEAF)));
        let accepted = OutcomeLeaf {
            refusal: None,
            ..OUTCOME_LEAF
        };
        assert_eq!(
            Leaf::read(&accepted.to_bytes()),
            Ok(Leaf::Outcome(accepted))
        );
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_no_leaf() {
        for whole in [EVENT_LEAF.to_bytes(), OUTCOME_LEAF.to_bytes()] {
            for length in 0..whole.len() {
                assert_eq!(Leaf::read(&whole[..length]), Err(MalformedLeaf));
            }
            assert_eq!(Leaf::read(&[&whole[..], &[0]].concat()), Err(MalformedLeaf));
        }
    }

    proptest! {
        /// Or two texts of a leaf could be shown for one hash of another.
        #[test]
        fn what_is_read_from_altered_bytes_writes_these_bytes(at in any::<prop::sample::Index>(), to in any::<u8>(), event in any::<bool>()) {
            let mut bytes = if event { EVENT_LEAF.to_bytes() } else { OUTCOME_LEAF.to_bytes() };
            let at = at.index(bytes.len());
            bytes[at] = to;
            let written = match Leaf::read(&bytes) {
                Ok(Leaf::Event(leaf)) => leaf.to_bytes(),
                Ok(Leaf::Outcome(leaf)) => leaf.to_bytes(),
                Err(MalformedLeaf) => return Ok(()),
            };
            prop_assert_eq!(written, bytes);
        }
    }
}
