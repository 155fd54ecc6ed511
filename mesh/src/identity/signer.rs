//! The end of the header where it is written.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use http::HeaderValue;
use lru::LruCache;

use super::signing_key::{SignError, SigningKey};
use super::{ISSUER, Identity};

/// How long a token is good.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long it is handed out again.
const REUSED: Duration = Duration::from_secs(30);
/// Most of those whose tokens are kept.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// Signs who asks, for the services behind the gateway.
///
/// A token is handed out again for half of its life, to the same for the same: signing is what costs.
#[derive(Debug)]
pub struct IdentitySigner {
    // The std locks: neither is held across an await.
    key: RwLock<SigningKey>,
    issued: Mutex<LruCache<Identity, ByAudience, RandomState>>,
}

/// Of services there are few.
type ByAudience = BTreeMap<String, Issued>;

#[derive(Debug, Clone)]
struct Issued {
    token: HeaderValue,
    at: SystemTime,
}

impl IdentitySigner {
    /// Signs with this key.
    #[must_use]
    pub fn new(key: SigningKey) -> Self {
        Self {
            key: RwLock::new(key),
            issued: Mutex::new(LruCache::with_hasher(KEPT, RandomState::default())),
        }
    }

    /// Signs with another key from now on, and hands out none of the tokens of before. Services have to know its public half by then.
    pub fn exchange_key(&self, key: SigningKey) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        let mut all = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }

    /// The value of the [header](super::HEADER) for the service `audience`, marked as sensitive.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn token(
        &self,
        identity: &Identity,
        audience: &str,
        now: SystemTime,
    ) -> Result<HeaderValue, SignError> {
        if let Some(token) = self.reused(identity, audience, now) {
            return Ok(token);
        }
        // Held until the token is kept: else one of the key before could be kept after that was exchanged.
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        let token = key.issue((ISSUER, audience), identity, LIFETIME, now)?;
        // As a header at once: to look at its characters with each request costs as much as to find it.
        let mut token = HeaderValue::try_from(token).map_err(|_| SignError)?;
        token.set_sensitive(true);
        let issued = Issued {
            token: token.clone(),
            at: now,
        };
        let mut all = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_or_insert_mut_ref(identity, BTreeMap::new)
            .insert(audience.to_owned(), issued);
        drop(all);
        drop(key);
        Ok(token)
    }

    fn reused(&self, identity: &Identity, audience: &str, now: SystemTime) -> Option<HeaderValue> {
        let mut all = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let issued = all.get(identity)?.get(audience)?;
        // One from the future is left by a clock that was set back.
        let age = now.duration_since(issued.at).ok()?;
        (age < REUSED).then(|| issued.token.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::{Jws, Scope};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn identity(scopes: &str) -> Identity {
        Identity {
            subject: "ada".parse().unwrap(),
            scopes: Scope::parse_all(scopes).unwrap(),
        }
    }

    fn signer() -> IdentitySigner {
        let folder = tempfile::tempdir().unwrap();
        IdentitySigner::new(SigningKey::in_folder(folder.path()).unwrap())
    }

    #[test]
    fn a_key_that_is_exchanged_signs_nothing_more() {
        let (signer, now) = (signer(), UNIX_EPOCH + SECOND);
        let key_of = || {
            let token = signer.token(&identity("a:b"), "ledger", now).unwrap();
            let jws = Jws::parse(token.to_str().unwrap()).unwrap();
            jws.key_id().clone()
        };
        let before = key_of();
        let folder = tempfile::tempdir().unwrap();
        let other = SigningKey::in_folder(folder.path()).unwrap();
        let id = other.id().clone();
        signer.exchange_key(other);
        assert_ne!(before, id);
        assert_eq!(key_of(), id);
    }

    #[test]
    fn a_token_is_handed_out_again_for_half_of_its_life() {
        let (signer, ada) = (signer(), identity("ledger:read"));
        let now = UNIX_EPOCH + 1_800_000_000 * SECOND;
        let first = signer.token(&ada, "ledger", now).unwrap();
        assert_eq!(
            signer.token(&ada, "ledger", now + 29 * SECOND).unwrap(),
            first
        );
        assert_ne!(
            signer.token(&ada, "ledger", now + 30 * SECOND).unwrap(),
            first
        );
        // A clock that was set back.
        assert_ne!(
            signer.token(&ada, "ledger", now - 90 * SECOND).unwrap(),
            first
        );
    }

    #[test]
    fn nobody_gets_the_token_of_other_rights_or_of_another_service() {
        let signer = signer();
        let now = UNIX_EPOCH + 1_800_000_000 * SECOND;
        let first = signer
            .token(&identity("ledger:read"), "ledger", now)
            .unwrap();
        let more = signer.token(&identity("ops:admin"), "ledger", now).unwrap();
        let other = signer
            .token(&identity("ledger:read"), "rails", now)
            .unwrap();
        assert!(first != more && first != other && more != other);
    }

    #[test]
    fn no_more_are_kept_than_there_may_be() {
        let signer = signer();
        let now = UNIX_EPOCH + 1_800_000_000 * SECOND;
        for number in 0..KEPT.get() + 10 {
            let mut someone = identity("");
            someone.subject = format!("user-{number}").parse().unwrap();
            let issued = Issued {
                token: HeaderValue::from_static(""),
                at: now,
            };
            signer
                .issued
                .lock()
                .unwrap()
                .put(someone, BTreeMap::from([(String::new(), issued)]));
        }
        assert_eq!(signer.issued.lock().unwrap().len(), KEPT.get());
    }
}
