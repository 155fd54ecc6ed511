//! Which events of a store a reader wants.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::event::RecordedEvent;
use crate::stream::{Position, StreamId};

/// Which events a reader wants. Whatever it is, they come in position order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    scope: Scope,
    member: Option<Member>,
}

/// What part of the store a filter is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scope {
    /// All of it.
    #[default]
    All,
    /// The streams of one category.
    Category(String),
    /// One stream.
    Stream(StreamId),
}

impl Filter {
    /// Every event.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The events of the streams of one category.
    #[must_use]
    pub fn category(category: impl Into<String>) -> Self {
        Self {
            scope: Scope::Category(category.into()),
            member: None,
        }
    }

    /// The events of one stream.
    #[must_use]
    pub const fn stream(stream: StreamId) -> Self {
        Self {
            scope: Scope::Stream(stream),
            member: None,
        }
    }

    /// Of these, only those that fall to one member of a group of consumers.
    #[must_use]
    pub fn for_member(self, member: Member) -> Self {
        Self {
            member: Some(member),
            ..self
        }
    }

    /// What part of the store it is about.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The member of a group that it is for.
    #[must_use]
    pub const fn member(&self) -> Option<Member> {
        self.member
    }

    /// Whether it admits `event`.
    #[must_use]
    pub fn admits(&self, event: &RecordedEvent) -> bool {
        let is_in_scope = match &self.scope {
            Scope::All => true,
            Scope::Category(category) => event.stream.category() == category,
            Scope::Stream(stream) => event.stream == *stream,
        };
        is_in_scope && self.member.is_none_or(|member| member.has(&event.stream))
    }
}

/// One of several consumers that share the streams of a store: each stream falls to one of them,
/// always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    number: u16,
    of: u16,
}

impl Member {
    /// Number `number` (from 0) of `of` consumers.
    ///
    /// # Errors
    ///
    /// [`InvalidMember`] when `number` is not below `of`.
    pub const fn new(number: u16, of: u16) -> Result<Self, InvalidMember> {
        if number < of {
            Ok(Self { number, of })
        } else {
            Err(InvalidMember { number, of })
        }
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.number
    }

    /// How many there are.
    #[must_use]
    pub const fn of(self) -> u16 {
        self.of
    }

    /// Whether `stream` falls to this member.
    #[must_use]
    pub fn has(self, stream: &StreamId) -> bool {
        Self::of_stream(stream, self.of) == self.number
    }

    /// The number of the member that `stream` falls to in a group of `of`; 0 in a group of none.
    ///
    /// The rule is for ever, because a store may apply it where it keeps the events: the first four
    /// bytes of SHA-256 over `category/id`, as a number, most significant byte first, modulo the
    /// size of the group.
    #[must_use]
    pub fn of_stream(stream: &StreamId, of: u16) -> u16 {
        let mut hash = Sha256::new();
        hash.update(stream.category());
        hash.update("/");
        hash.update(stream.id());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        let number = u32::from_be_bytes([a, b, c, d]) % u32::from(of.max(1));
        u16::try_from(number).unwrap_or(0)
    }
}

/// A member that its group does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a group of {of} has members 0 to {of} - 1, not {number}")]
pub struct InvalidMember {
    /// The refused number.
    pub number: u16,
    /// The size of the group.
    pub of: u16,
}

/// What a filtered read has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events that were wanted.
    pub events: Vec<RecordedEvent>,
    /// How far was looked: up to here the reader has seen all that it wants.
    pub through: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_falls_to_one_member() {
        for name in 0..100 {
            let stream = StreamId::new("account", name.to_string()).unwrap();
            let takers = (0..7).filter(|number| Member::new(*number, 7).unwrap().has(&stream));
            assert_eq!(takers.count(), 1);
        }
        assert!(Member::new(7, 7).is_err());
        assert!(Member::new(0, 0).is_err());
    }
}
