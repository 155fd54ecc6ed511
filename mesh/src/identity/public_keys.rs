//! The keys that are believed, by their ids.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::json::{self, JsonRefusal};
use super::jws::SignatureAlgorithm;
use super::names::KeyId;
use super::signing_key::KeyFileError;

/// Bytes of the modulus of an RSA key: 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// A key that verifies tokens of one algorithm, whatever they say of themselves.
#[derive(Debug, Clone)]
pub struct PublicKey {
    algorithm: SignatureAlgorithm,
    key: DecodingKey,
}

/// The keys of whoever issues tokens; several while they change.
#[derive(Debug, Clone)]
pub struct PublicKeys(HashMap<KeyId, PublicKey>);

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// Why a text is no set of keys.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeysRefusal {
    /// It cannot be read.
    #[error("it is no set of keys: {0}")]
    Unreadable(JsonRefusal),
    /// Two keys have the same id.
    #[error("two of its keys have the id {id}")]
    SameId {
        /// The id.
        id: KeyId,
    },
    /// None of its keys can verify tokens here.
    #[error("it has no key with an id for EdDSA, ES256 or RS256")]
    NoneUsable,
}

impl PublicKey {
    /// Which algorithm it is for.
    #[must_use]
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    pub(super) const fn key(&self) -> &DecodingKey {
        &self.key
    }
}

impl PublicKeys {
    /// Reads a JWK set. Keys that are for something else are passed over.
    ///
    /// # Errors
    ///
    /// [`KeysRefusal`].
    pub fn from_json(text: &[u8]) -> Result<Self, KeysRefusal> {
        let set: Jwks = json::read(text).map_err(KeysRefusal::Unreadable)?;
        let mut seen = HashSet::new();
        let mut keys = HashMap::new();
        for jwk in set.keys {
            let id = jwk.get("kid").and_then(Value::as_str);
            let Some(id) = id.and_then(|id| id.parse::<KeyId>().ok()) else {
                continue;
            };
            if !seen.insert(id.clone()) {
                return Err(KeysRefusal::SameId { id });
            }
            let key = serde_json::from_value::<Jwk>(jwk).ok().and_then(Jwk::key);
            keys.extend(key.map(|key| (id, key)));
        }
        match keys.is_empty() {
            true => Err(KeysRefusal::NoneUsable),
            false => Ok(Self(keys)),
        }
    }

    /// Reads a file that holds a JWK set.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        let text = fs::read(path).map_err(|source| KeyFileError::io(path, source))?;
        Self::from_json(&text).map_err(|source| KeyFileError::Keys {
            path: path.to_owned(),
            source,
        })
    }

    /// The key of this id.
    #[must_use]
    pub fn key(&self, id: &KeyId) -> Option<&PublicKey> {
        self.0.get(id)
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Jwk {
    /// None when it is for something else than to verify tokens.
    fn key(self) -> Option<PublicKey> {
        let is_to_verify = self.r#use.as_deref().is_none_or(|usage| usage == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|all| all.iter().any(|op| op == "verify"));
        let (algorithm, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => {
                let x = bytes(self.x.as_deref()).filter(|x| x.len() == 32)?;
                (SignatureAlgorithm::EdDsa, DecodingKey::from_ed_der(&x))
            }
            ("EC", Some("P-256")) => {
                let x = bytes(self.x.as_deref()).filter(|x| x.len() == 32)?;
                let y = bytes(self.y.as_deref()).filter(|y| y.len() == 32)?;
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                (SignatureAlgorithm::Es256, DecodingKey::from_ec_der(&point))
            }
            ("RSA", _) => {
                let n = bytes(self.n.as_deref()).filter(|n| RSA_BYTES.contains(&n.len()))?;
                let e = bytes(self.e.as_deref())?;
                let key = DecodingKey::from_rsa_raw_components(&n, &e);
                (SignatureAlgorithm::Rs256, key)
            }
            _ => return None,
        };
        let alg = self.alg.as_deref();
        let is_pinned = alg.is_none_or(|alg| SignatureAlgorithm::of_name(alg) == Some(algorithm));
        (is_to_verify && is_pinned).then_some(PublicKey { algorithm, key })
    }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ed(id: &str) -> Value {
        let x = URL_SAFE_NO_PAD.encode([7; 32]);
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id})
    }

    fn read(keys: &[Value]) -> Result<PublicKeys, KeysRefusal> {
        PublicKeys::from_json(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn the_type_of_a_key_says_what_it_is_for() {
        let (x, n) = (
            URL_SAFE_NO_PAD.encode([7; 32]),
            URL_SAFE_NO_PAD.encode([7; 256]),
        );
        let keys = [
            ed("ed"),
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": x, "kid": "ec"}),
            json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "rsa", "alg": "RS256", "use": "sig"}),
        ];
        let keys = read(&keys).unwrap();
        let algorithm = |id: &str| keys.key(&id.parse().unwrap()).unwrap().algorithm();
        assert_eq!(algorithm("ed"), SignatureAlgorithm::EdDsa);
        assert_eq!(algorithm("ec"), SignatureAlgorithm::Es256);
        assert_eq!(algorithm("rsa"), SignatureAlgorithm::Rs256);
    }

    #[test]
    fn keys_for_something_else_are_passed_over() {
        let (x, short) = (
            URL_SAFE_NO_PAD.encode([7; 32]),
            URL_SAFE_NO_PAD.encode([7; 128]),
        );
        let of = |member: &str, value: Value| {
            let mut key = ed("other");
            key[member] = value;
            key
        };
        for other in [
            of("use", json!("enc")),
            of("key_ops", json!(["sign"])),
            of("alg", json!("HS256")),
            of("alg", json!("RS256")),
            of("alg", json!(1)),
            of("crv", json!("X25519")),
            of("x", json!("c2hvcnQ")),
            of("kid", json!(1)),
            of("kid", json!("a b")),
            json!({"kty": "oct", "k": x, "kid": "other"}),
            json!({"kty": "RSA", "n": short, "e": "AQAB", "kid": "other"}),
            json!({"kty": "EC", "crv": "P-384", "x": x, "y": x, "kid": "other"}),
            json!("other"),
        ] {
            assert_eq!(
                read(&[other.clone(), ed("good")]).unwrap().len(),
                1,
                "{other}"
            );
            assert_eq!(
                read(std::slice::from_ref(&other)).unwrap_err(),
                KeysRefusal::NoneUsable
            );
        }
    }

    #[test]
    fn two_keys_of_one_id_make_the_set_unusable() {
        let id = "k1".parse().unwrap();
        assert_eq!(
            read(&[ed("k1"), ed("k1")]).unwrap_err(),
            KeysRefusal::SameId { id }
        );
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["<html></html>", "", "{}", "[]", r#"{"keys":{}}"#] {
            let refused = PublicKeys::from_json(text.as_bytes()).unwrap_err();
            assert!(matches!(refused, KeysRefusal::Unreadable(_)), "{text}");
        }
        assert_eq!(read(&[]).unwrap_err(), KeysRefusal::NoneUsable);
    }
}
