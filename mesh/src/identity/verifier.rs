//! The end of the header where it is read.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::claims::{ClaimsRefusal, Expected};
use super::jws::{Jws, JwsRefusal};
use super::key_file::KeyFile;
use super::names::KeyId;
use super::public_keys::{PublicKey, PublicKeys};
use super::signing_key::KeyFileError;
use super::{ISSUER, Identity};

/// Tokens live for a minute, so clocks must not differ by as much as with those that clients bring.
const LEEWAY: Duration = Duration::from_secs(10);

/// Reads who asks, in a service behind the gateway.
#[derive(Debug, Clone)]
pub struct IdentityVerifier {
    keys: Believed,
    expected: Expected,
}

/// Whose signatures are believed.
#[derive(Debug, Clone)]
enum Believed {
    These(PublicKeys),
    Of(Arc<KeyFile>),
}

/// Why nobody is believed to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdentityRefusal {
    /// The token is not one.
    #[error(transparent)]
    Jws(#[from] JwsRefusal),
    /// Its key is not one of the gateway's.
    #[error("the token is signed by a key that is not one of the gateway's")]
    UnknownKey,
    /// It does not say what it must.
    #[error(transparent)]
    Claims(#[from] ClaimsRefusal),
}

impl IdentityVerifier {
    /// Believes these keys, of tokens for the service of this name.
    #[must_use]
    pub fn new(keys: PublicKeys, service: &str) -> Self {
        Self::believing(Believed::These(keys), service)
    }

    /// Believes the keys of this file, a JWK set, of tokens for the service of this name. It is read again once a minute, and when
    /// a token names a key that it does not have, but at most once a second. Where it cannot be read any more, the keys of before are
    /// believed on.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn of_file(path: &Path, service: &str) -> Result<Self, KeyFileError> {
        let keys = Believed::Of(Arc::new(KeyFile::open(path)?));
        Ok(Self::believing(keys, service))
    }

    fn believing(keys: Believed, service: &str) -> Self {
        let expected = Expected {
            issuer: ISSUER.to_owned(),
            audience: service.to_owned(),
            leeway: LEEWAY,
        };
        Self { keys, expected }
    }

    /// Who asks, by the value of the [header](super::HEADER).
    ///
    /// # Errors
    ///
    /// [`IdentityRefusal`].
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Identity, IdentityRefusal> {
        let jws = Jws::parse(token)?;
        let key = self.keys.key(jws.key_id());
        let payload = jws.verified_by(&key.ok_or(IdentityRefusal::UnknownKey)?)?;
        let claims = self.expected.claims(&payload, now)?;
        Ok(Identity {
            subject: claims.subject,
            scopes: claims.scopes,
        })
    }
}

impl Believed {
    fn key(&self, id: &KeyId) -> Option<PublicKey> {
        match self {
            Self::These(keys) => keys.key(id).cloned(),
            Self::Of(file) => file.key(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{IdentitySigner, Scope, SigningKey};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key() -> SigningKey {
        SigningKey::in_folder(tempfile::tempdir().unwrap().path()).unwrap()
    }

    fn ada() -> Identity {
        Identity {
            subject: "ada".parse().unwrap(),
            scopes: Scope::parse_all("ledger:read ledger:write").unwrap(),
        }
    }

    fn verifier(keys: &[&SigningKey], service: &str) -> IdentityVerifier {
        let sets = keys.iter().map(|key| {
            let set: Value = serde_json::from_str(&key.public_set()).unwrap();
            set["keys"][0].clone()
        });
        let set = json!({"keys": sets.collect::<Vec<_>>()}).to_string();
        IdentityVerifier::new(PublicKeys::from_json(set.as_bytes()).unwrap(), service)
    }

    /// For the service `ledger`.
    fn signed(key: SigningKey, identity: &Identity, now: SystemTime) -> String {
        let token = IdentitySigner::new(key).token(identity, "ledger", now);
        token.unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn who_was_signed_is_who_asks() {
        let (key, now) = (key(), SystemTime::now());
        let verifier = verifier(&[&key], "ledger");
        let token = signed(key, &ada(), now);
        assert_eq!(verifier.verify(&token, now), Ok(ada()));
    }

    #[test]
    fn an_identity_for_another_service_is_refused() {
        let (key, now) = (key(), SystemTime::now());
        let verifier = verifier(&[&key], "rails");
        let token = signed(key, &ada(), now);
        let refused = Err(IdentityRefusal::Claims(ClaimsRefusal::Audience));
        assert_eq!(verifier.verify(&token, now), refused);
    }

    #[test]
    fn an_identity_lives_for_a_minute_whatever_clocks_say() {
        let (key, now) = (key(), SystemTime::now());
        let verifier = verifier(&[&key], "ledger");
        let token = signed(key, &ada(), now);
        for skewed in [now - 5 * SECOND, now + 65 * SECOND] {
            assert_eq!(verifier.verify(&token, skewed), Ok(ada()));
        }
        let refused = Err(IdentityRefusal::Claims(ClaimsRefusal::Expired));
        assert_eq!(verifier.verify(&token, now + 70 * SECOND), refused);
    }

    #[test]
    fn the_old_key_and_the_new_one_are_believed_while_they_change_and_no_other() {
        let (old, new, other) = (key(), key(), key());
        let verifier = verifier(&[&old, &new], "ledger");
        let now = SystemTime::now();
        let sign = |key| signed(key, &ada(), now);
        assert_eq!(verifier.verify(&sign(old), now), Ok(ada()));
        assert_eq!(verifier.verify(&sign(new), now), Ok(ada()));
        let refused = Err(IdentityRefusal::UnknownKey);
        assert_eq!(verifier.verify(&sign(other), now), refused);
    }

    #[test]
    fn what_was_changed_after_it_was_signed_is_refused() {
        let (key, now) = (key(), SystemTime::now());
        let verifier = verifier(&[&key], "ledger");
        let token = signed(key.clone(), &ada(), now);
        let mut eve = ada();
        eve.subject = "eve".parse().unwrap();
        let other = signed(key, &eve, now);
        let (message, _) = other.rsplit_once('.').unwrap();
        let (_, signature) = token.rsplit_once('.').unwrap();
        let refused = Err(IdentityRefusal::Jws(JwsRefusal::Signature));
        assert_eq!(
            verifier.verify(&format!("{message}.{signature}"), now),
            refused
        );
    }

    #[test]
    fn a_token_of_another_issuer_with_the_same_key_is_refused() {
        let (key, now) = (key(), SystemTime::now());
        let token = key
            .issue(("issuer", "ledger"), &ada(), 60 * SECOND, now)
            .unwrap();
        let refused = Err(IdentityRefusal::Claims(ClaimsRefusal::Issuer));
        assert_eq!(verifier(&[&key], "ledger").verify(&token, now), refused);
    }
}
