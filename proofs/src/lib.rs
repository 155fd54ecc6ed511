//! Merkle logs and maps, signed checkpoints, and the proofs between them. Pure, but for the program `folio-verify`: no input, no output,
//! no clock.

pub mod answer;
pub mod bundle;
pub mod checkpoint;
pub mod hash;
pub mod leaf;
pub mod map;
pub mod merkle;
pub mod note;
pub mod receipt;
#[cfg(feature = "verify")]
pub mod verify;
pub mod witness;

pub use hash::Hash;
