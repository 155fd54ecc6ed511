//! The text of a key, which both halves have in common: `name+id+base64`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key_name::KeyName;
use super::verifying_key::KeyId;

/// What stands before the bytes of an Ed25519 key.
pub(super) const ED25519: u8 = 1;

/// The text of a key with these 32 bytes.
pub(super) fn write(name: &KeyName, id: KeyId, bytes: &[u8; 32]) -> String {
    let bytes = STANDARD.encode([&[ED25519], bytes.as_slice()].concat());
    format!("{name}+{id}+{bytes}")
}

/// The name, id and bytes in a text of a key. Whether the id is the right one is still to be seen.
pub(super) fn read(text: &str) -> Option<(KeyName, KeyId, [u8; 32])> {
    let (name, rest) = text.split_once('+')?;
    let (id, bytes) = rest.split_once('+')?;
    let bytes = STANDARD.decode(bytes).ok()?;
    let (&ED25519, bytes) = bytes.split_first()? else {
        return None;
    };
    Some((
        name.parse().ok()?,
        KeyId::parse(id)?,
        bytes.try_into().ok()?,
    ))
}
