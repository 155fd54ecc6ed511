//! Erasure that survives the proof: personal fields are sealed before they are recorded, each under the key of the
//! person whom they tell of, and whoever is forgotten loses the key.
//!
//! * [`Personal`] is a text about a person. It cannot be written into anything that is recorded.
//! * [`Sealed`] is what is recorded in its place. History covers it, and stays as it is.
//! * [`Vault`] keeps the keys, in a database of its own: [`Vault::key_to_seal`] makes one on first use,
//!   [`Vault::find`] has it for as long as it is there, [`Vault::forget`] destroys it.
//! * [`SubjectKey`] seals and opens.
//!
//! # What is promised
//!
//! The same text, sealed for the same field by the same command, is the same [`Sealed`]: a repeated command is known
//! again by its fingerprint, and no hash of the text has to be kept. Sealed by another command it is another one, so
//! nobody sees that two people have one name.
//!
//! A key is looked up each time that it is used, and kept nowhere else: as soon as [`Vault::forget`] has answered, no
//! process opens anything of that subject.
//!
//! What cannot be hidden is that there was something, when, and how long it was. Before PostgreSQL overwrites them, the
//! bytes of a key are still in its files, its write-ahead log and its backups: keep backups of the vault apart, and for
//! less long than those of the log.

mod cipher;
mod personal;
mod prepare;
mod sealed;
mod subject;
mod vault;

pub use cipher::{CipherError, SubjectKey};
pub use personal::{InvalidPersonal, Personal};
pub use prepare::{PrepareVaultError, ROLES, migrations, prepare};
pub use sealed::{InvalidSealed, Sealed};
pub use subject::{InvalidSubjectId, SubjectId};
pub use vault::{Forgotten, InvalidReason, Kept, Reason, Vault, VaultError};
