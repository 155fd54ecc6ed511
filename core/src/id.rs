//! Identifiers. Each is a type of its own, so that none can stand in for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use uuid::Uuid;

/// Namespace of the ids that are derived from names (UUID version 5, RFC 9562 section 5.5).
const DERIVED: Uuid = Uuid::from_u128(0x6f0c_1a4e_93d2_4f0b_8f5d_27a5_d0b6_41e3);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this value.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Its value.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

uuid_id!(
    /// Names one command for ever: the same id means the same request, repeated.
    CommandId
);
uuid_id!(
    /// Names one event.
    EventId
);
uuid_id!(
    /// Shared by everything that one request from outside has set in motion.
    CorrelationId
);
uuid_id!(
    /// The command or event that directly caused this one.
    CausationId
);
uuid_id!(
    /// Names one event store; a position means nothing without it.
    StoreId
);

impl CommandId {
    /// The id that belongs to a list of names: the same names give the same id, on any machine.
    ///
    /// This is how a client's idempotency key becomes a command id: from the client, the route and
    /// the key, so that the keys of two clients never meet. Each name goes in with its length, so
    /// `["ab", "c"]` and `["a", "bc"]` differ.
    ///
    /// ```
    /// use folio_core::CommandId;
    /// let first = CommandId::derived(&["client-7", "POST /v1/accounts", "key-1"]);
    /// assert_eq!(first, CommandId::derived(&["client-7", "POST /v1/accounts", "key-1"]));
    /// assert_ne!(first, CommandId::derived(&["client-8", "POST /v1/accounts", "key-1"]));
    /// ```
    #[must_use]
    pub fn derived(names: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend_from_slice(&(name.len() as u64).to_be_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        Self(derived(&DERIVED, &bytes))
    }
}

impl EventId {
    /// An id for the `index`-th event (from 0) of a command, where no store records it: of a made history.
    ///
    /// A store's ids come of [`EventIds`].
    #[must_use]
    pub fn of_command(command: CommandId, index: usize) -> Self {
        EventIds::new(command, [0; 32]).nth(index)
    }
}

/// The ids of the events that a command causes: derived rather than drawn, so that a writer knows them before they are
/// recorded and can decide on what is on its way.
///
/// Each names all that led to it, because a writer takes a state for the recorded one if it ends with the same id. So
/// they come not of the command alone: decided elsewhere, on another state or asked for something else, the same
/// command causes other events, and its writer may take those for recorded while it does not know better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventIds {
    command: CommandId,
    content: [u8; 32],
}

impl EventIds {
    /// The ids for a command that causes something with this hash.
    pub(crate) const fn new(command: CommandId, content: [u8; 32]) -> Self {
        Self { command, content }
    }

    /// The id of the `index`-th event (from 0), in the order in which they are written, stream by stream.
    #[must_use]
    pub fn nth(&self, index: usize) -> EventId {
        // Four bytes: so all of it is one block of the hash.
        let index = u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes();
        let mut name = [0; 36];
        let (content, number) = name.split_at_mut(32);
        content.copy_from_slice(&self.content);
        number.copy_from_slice(&index);
        EventId(derived(&self.command.as_uuid(), &name))
    }
}

/// UUID version 5. Not the crate `uuid`'s, which knows nothing of the processor's instructions for SHA-1: a
/// command's events are named more than once on their way.
fn derived(namespace: &Uuid, name: &[u8]) -> Uuid {
    let hash = Sha1::new().chain_update(namespace).chain_update(name);
    let [bytes @ .., _, _, _, _] = <[u8; 20]>::from(hash.finalize());
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9562, appendix A.4.
    #[test]
    fn derived_ids_are_those_of_version_5() {
        let namespace = Uuid::NAMESPACE_DNS;
        assert_eq!(
            derived(&namespace, b"www.example.com").to_string(),
            "2ed6657d-e927-568b-95e1-2665a8aea6a2"
        );
    }

    #[test]
    fn derived_ids_keep_the_borders_between_names() {
        assert_ne!(
            CommandId::derived(&["ab", "c"]),
            CommandId::derived(&["a", "bc"])
        );
        assert_ne!(CommandId::derived(&["a"]), CommandId::derived(&["a", ""]));
    }

    #[test]
    fn events_of_one_command_have_ids_of_their_own() {
        let command = CommandId::derived(&["x"]);
        assert_ne!(
            EventId::of_command(command, 0),
            EventId::of_command(command, 1)
        );
    }
}
