//! A compact JWS, read strictly before any key is looked for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use super::claims::VerifiedPayload;
use super::json::{self, JsonRefusal, present};
use super::names::KeyId;
use super::public_keys::PublicKey;

/// How a token may be signed. None of these is one of which whoever verifies could sign as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA with SHA-256, PKCS#1 v1.5.
    Rs256,
}

/// A token whose form is sound. Nothing is known yet of who made it.
pub struct Jws<'a> {
    algorithm: SignatureAlgorithm,
    key_id: KeyId,
    /// What is signed.
    message: &'a str,
    signature: &'a str,
    payload: Vec<u8>,
}

/// The members of a header that matter. Of most it matters that they are not there.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    jwk: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    jku: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    x5u: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    x5c: Option<IgnoredAny>,
}

/// Why a token is not believed whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JwsRefusal {
    /// It is too long to be looked at.
    #[error("the token is longer than {} bytes", Jws::BYTES_MAX)]
    TooLong,
    /// It is not three parts in base64url.
    #[error("the token is not three parts in base64url with a point between two")]
    NotCompact,
    /// Its header cannot be read.
    #[error("the header of the token is refused: {0}")]
    Header(JsonRefusal),
    /// Its header asks for something that must be understood and is not.
    #[error("the token has critical members, of which none is understood")]
    Critical,
    /// It brings its own key, or says where to find it.
    #[error("the token names its own key by {member}")]
    BringsKey {
        /// How.
        member: &'static str,
    },
    /// Not one of the algorithms that are allowed.
    #[error("the token is signed by an algorithm that is not allowed")]
    Algorithm,
    /// It does not say which key signed it, or not in a name of a key.
    #[error("the token names no key by which it can be looked up")]
    KeyId,
    /// The key is one for another algorithm.
    #[error("the token is signed by another algorithm than its key is for")]
    OtherAlgorithm,
    /// The key did not sign it.
    #[error("the signature is not one of the key that the token names")]
    Signature,
}

impl SignatureAlgorithm {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
        }
    }
}

impl<'a> Jws<'a> {
    /// Longer ones are not looked at.
    pub const BYTES_MAX: usize = 8 * 1024;

    /// Reads the form of a token.
    ///
    /// # Errors
    ///
    /// [`JwsRefusal`].
    pub fn parse(token: &'a str) -> Result<Self, JwsRefusal> {
        if token.len() > Self::BYTES_MAX {
            return Err(JwsRefusal::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(JwsRefusal::NotCompact)?;
        let (header, payload) = message.split_once('.').ok_or(JwsRefusal::NotCompact)?;
        let decoded = |part| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| JwsRefusal::NotCompact)
        };
        decoded(signature)?;
        let payload = decoded(payload)?;
        let header: Header = json::read(&decoded(header)?).map_err(JwsRefusal::Header)?;
        let (algorithm, key_id) = header.read()?;
        Ok(Self {
            algorithm,
            key_id,
            message,
            signature,
            payload,
        })
    }

    /// Which key it says has signed it.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// What it says, if this key has signed it.
    ///
    /// # Errors
    ///
    /// [`JwsRefusal::OtherAlgorithm`] or [`JwsRefusal::Signature`].
    pub fn verified_by(self, key: &PublicKey) -> Result<VerifiedPayload, JwsRefusal> {
        if self.algorithm != key.algorithm() {
            return Err(JwsRefusal::OtherAlgorithm);
        }
        let algorithm = key.algorithm().algorithm();
        let message = self.message.as_bytes();
        match crypto::verify(self.signature, message, key.key(), algorithm) {
            Ok(true) => Ok(VerifiedPayload(self.payload)),
            Ok(false) | Err(_) => Err(JwsRefusal::Signature),
        }
    }
}

impl fmt::Debug for Jws<'_> {
    // Who reads a token can use it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Header {
    fn read(self) -> Result<(SignatureAlgorithm, KeyId), JwsRefusal> {
        if self.crit.is_some() {
            return Err(JwsRefusal::Critical);
        }
        let brought = [
            ("jwk", self.jwk),
            ("jku", self.jku),
            ("x5u", self.x5u),
            ("x5c", self.x5c),
        ];
        if let Some((member, _)) = brought.into_iter().find(|(_, brought)| brought.is_some()) {
            return Err(JwsRefusal::BringsKey { member });
        }
        let algorithm = SignatureAlgorithm::of_name(&self.alg).ok_or(JwsRefusal::Algorithm)?;
        let key_id = self.kid.and_then(|id| id.parse().ok());
        Ok((algorithm, key_id.ok_or(JwsRefusal::KeyId)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token with this header, signed by nobody.
    fn parse(header: &str) -> Result<KeyId, JwsRefusal> {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
        Jws::parse(&token).map(|jws| jws.key_id().clone())
    }

    #[test]
    fn a_sound_header_is_read() {
        let read = parse(r#"{"typ":"JWT","alg":"EdDSA","kid":"k1"}"#).unwrap();
        assert_eq!(read.as_str(), "k1");
    }

    #[test]
    fn only_three_parts_in_base64url_are_a_token() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"k1"}"#);
        for token in [
            String::new(),
            header.clone(),
            format!("{header}.e30"),
            format!("{header}.e30.AA.AA"),
            format!("{header}=.e30.AA"),
            format!("{header}.e30.A A"),
            format!("{header}.+/8.AA"),
            format!("{header}.e30.AB"),
        ] {
            assert_eq!(
                Jws::parse(&token).unwrap_err(),
                JwsRefusal::NotCompact,
                "{token}"
            );
        }
    }

    #[test]
    fn a_header_that_is_a_list_or_says_something_twice_is_refused() {
        let refused = |header| parse(header).unwrap_err();
        let not_an_object = JwsRefusal::Header(JsonRefusal::NotAnObject);
        assert_eq!(refused(r#"["EdDSA","k1"]"#), not_an_object);
        let repeated = JwsRefusal::Header(JsonRefusal::Repeated);
        assert_eq!(
            refused(r#"{"alg":"none","alg":"EdDSA","kid":"k1"}"#),
            repeated
        );
    }

    #[test]
    fn members_that_are_refused_are_refused_when_null_too() {
        let header = |member: &str| format!(r#"{{"alg":"EdDSA","kid":"k1","{member}":null}}"#);
        assert_eq!(parse(&header("crit")), Err(JwsRefusal::Critical));
        for member in ["jwk", "jku", "x5u", "x5c"] {
            assert_eq!(
                parse(&header(member)),
                Err(JwsRefusal::BringsKey { member })
            );
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"k1"}"#);
        let token = format!("{header}.c2VjcmV0.c2VjcmV0");
        let shown = format!("{:?}", Jws::parse(&token).unwrap());
        assert!(
            !shown.contains("c2VjcmV0") && !shown.contains("secret"),
            "{shown}"
        );
        assert!(!shown.contains("115"), "{shown}");
    }
}
