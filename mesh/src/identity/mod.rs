//! Who asks, as a token that is signed and read strictly.
//!
//! The gateway finds out who asks and says so to the services behind it in the header `folio-identity`: a
//! compact JWS that names one service and lives for a minute. A service believes that and no other header.
//!
//! [`Jws`], [`PublicKeys`] and [`Expected`] are what any token is read with, also those that clients bring. What
//! is signed is looked at only after the signature: [`Jws::verified_by`] is the one way to a [`VerifiedPayload`].
//!
//! # Layout
//!
//! * `json.rs`: objects that name each of their members once.
//! * `names.rs`: [`Subject`], [`Scope`] and [`KeyId`].
//! * `jws.rs`, `claims.rs`: what a token looks like, and what it must say.
//! * `public_keys.rs`, `signing_key.rs`: who is believed, and who signs. Files of both, so that one process can hand
//!   them to another.
//! * `key_file.rs`: who is believed by a file that changes.
//! * `signer.rs`, `verifier.rs`: the two ends of the header.

mod claims;
mod json;
mod jws;
mod key_file;
mod names;
mod public_keys;
mod signer;
mod signing_key;
mod verifier;

use std::collections::BTreeSet;

pub use claims::{Claims, ClaimsRefusal, Expected, VerifiedPayload};
pub use json::JsonRefusal;
pub use jws::{Jws, JwsRefusal, SignatureAlgorithm};
pub use names::{InvalidName, KeyId, Scope, Subject};
pub use public_keys::{KeysRefusal, PublicKey, PublicKeys};
pub use signer::IdentitySigner;
pub use signing_key::{KeyFileError, SignError, SigningKey};
pub use verifier::{IdentityRefusal, IdentityVerifier};

/// The header that carries an identity to a service. Whatever a client sends in it is removed by the gateway.
pub const HEADER: &str = "folio-identity";
/// Who issues identities.
pub const ISSUER: &str = "folio-gateway";

/// Who asks, and what they may.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Who it is.
    pub subject: Subject,
    /// What they may.
    pub scopes: BTreeSet<Scope>,
}
