//! The text of a key, which all kinds and both halves have in common: `name+id+base64`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key_name::KeyName;
use super::verifying_key::KeyId;

/// What a key signs: the byte before its own, which makes another id of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text of a note, by Ed25519.
    Note,
    /// The text of a checkpoint with the time before it, by Ed25519: `cosignature/v1`.
    Cosignature,
}

impl Kind {
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Note => 1,
            Self::Cosignature => 4,
        }
    }
}

/// The text of a key with these 32 bytes.
pub(super) fn write(kind: Kind, name: &KeyName, id: KeyId, bytes: &[u8; 32]) -> String {
    let bytes = STANDARD.encode([&[kind.byte()], bytes.as_slice()].concat());
    format!("{name}+{id}+{bytes}")
}

/// The name, id and bytes in a text of a key. Whether the id is the right one is still to be seen.
pub(super) fn read(kind: Kind, text: &str) -> Option<(KeyName, KeyId, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, bytes) = rest.split_once('+')?;
    let bytes = STANDARD.decode(bytes).ok()?;
    let (first, bytes) = bytes.split_first()?;
    if *first != kind.byte() {
        return None;
    }
    Some((
        name.parse().ok()?,
        KeyId::parse(id)?,
        bytes.try_into().ok()?,
    ))
}
