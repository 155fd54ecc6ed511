//! One signature below a note.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key_name::KeyName;
use super::verifying_key::KeyId;

/// What begins a line with a signature: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// The signature of a key, which may be of a kind that is not known here. Its text is a line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl NoteSignature {
    pub(super) const fn new(name: KeyName, id: KeyId, bytes: Vec<u8>) -> Self {
        Self { name, id, bytes }
    }

    /// The signature in a line, which comes without its newline.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = STANDARD.decode(bytes).ok()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        if bytes.is_empty() {
            return None;
        }
        let name = name.parse().ok()?;
        Some(Self::new(name, KeyId::from_bytes(*id), bytes.to_vec()))
    }

    /// What the key is called that is said to have signed.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Which of that name.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = STANDARD.encode([self.id.as_bytes().as_slice(), &self.bytes].concat());
        write!(f, "{DASH}{} {bytes}", self.name)
    }
}
