//! What travels with every command: who asks, in the wake of what, and what makes it the same
//! request when it comes again.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::event::Metadata;
use crate::id::{CausationId, CommandId, CorrelationId, StoreId};
use crate::stream::Position;

/// Longest name of an actor, in bytes.
const ACTOR_BYTES_MAX: usize = 255;

/// The context of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandContext {
    /// Names the command. Sent again with this id, it is not carried out again.
    pub id: CommandId,
    /// Who asks.
    pub actor: Actor,
    /// The request from outside that all this belongs to.
    pub correlation_id: CorrelationId,
    /// The command or event that led to this command, if one did.
    pub causation_id: Option<CausationId>,
    /// The event in another store that led to this command, if one did.
    pub cause: Option<Cause>,
}

impl CommandContext {
    /// The context of a command that comes from outside and starts a correlation of its own.
    #[must_use]
    pub const fn new(id: CommandId, actor: Actor) -> Self {
        Self {
            id,
            actor,
            correlation_id: CorrelationId::from_uuid(id.as_uuid()),
            causation_id: None,
            cause: None,
        }
    }

    /// What the events of this command will carry.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        Metadata {
            actor: self.actor.clone(),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            cause: self.cause,
        }
    }
}

/// An event in another store that caused a command here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The other store.
    pub store_id: StoreId,
    /// The event's position there.
    pub position: Position,
}

/// The name of whoever asks: a person, a service, an importer. 1 to 255 bytes, no control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Actor(String);

impl Actor {
    /// The actor with this name.
    ///
    /// # Errors
    ///
    /// [`InvalidActor`] when the name is empty, too long or has control characters.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidActor> {
        let name = name.into();
        if name.is_empty() || name.len() > ACTOR_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(InvalidActor { bytes: name.len() });
        }
        Ok(Self(name))
    }

    /// Whoever cannot be named, because no one was asked to prove a name.
    #[must_use]
    pub fn anonymous() -> Self {
        Self("anonymous".to_owned())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Actor {
    type Error = InvalidActor;

    fn try_from(name: String) -> Result<Self, InvalidActor> {
        Self::new(name)
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.0
    }
}

/// Why a text cannot name an actor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "an actor's name has 1 to {ACTOR_BYTES_MAX} bytes and no control characters, this one has {bytes} bytes"
)]
pub struct InvalidActor {
    /// Length of the refused name in bytes.
    pub bytes: usize,
}

/// SHA-256 over what a command asks for. A command id that comes back with another fingerprint is
/// a mistake of the sender, and is refused rather than answered with somebody else's result.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these parts. Each goes in with its length, so bytes cannot wander from
    /// one part into the next.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The fingerprint that was stored as `bytes`; none unless there are 32 of them.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_keeps_the_borders_between_parts() {
        assert_ne!(
            Fingerprint::of(&[b"ab", b"c"]),
            Fingerprint::of(&[b"a", b"bc"])
        );
    }

    #[test]
    fn actors_are_printable_names() {
        assert!(Actor::new("teller-12").is_ok());
        assert!(Actor::new("").is_err());
        assert!(Actor::new("a\nb").is_err());
        assert!(Actor::new("x".repeat(256)).is_err());
    }
}
