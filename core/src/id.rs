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
    /// The id of the `index`-th event (from 0) that a command caused.
    ///
    /// It is derived rather than drawn, so a repeated command would give the same ids.
    #[must_use]
    pub fn of_command(command: CommandId, index: usize) -> Self {
        let index = (index as u64).to_be_bytes();
        Self(derived(&command.as_uuid(), &index))
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
