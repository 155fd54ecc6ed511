//! Tokens that were verified a moment ago.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::jwt::VerifiedToken;
use super::principal::Principal;

/// How long a token is believed that is not verified again.
const KEPT: Duration = Duration::from_secs(30);
/// Most tokens that are kept.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// Tokens that were verified, by their hashes: each until it expires and for 30 s at most.
///
/// So a token is believed for that long after its key was withdrawn, unless all are [forgotten](Self::forget).
#[derive(Debug)]
pub struct VerifiedTokens(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    epoch: u64,
    tokens: LruCache<[u8; 32], Known, RandomState>,
}

#[derive(Debug)]
struct Known {
    principal: Principal,
    from: SystemTime,
    until: SystemTime,
}

/// By what a token is kept, as long as nothing is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenKey {
    epoch: u64,
    sha256: [u8; 32],
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        let tokens = LruCache::with_hasher(KEPT_MAX, RandomState::default());
        Self(Mutex::new(Kept { epoch: 0, tokens }))
    }
}

impl VerifiedTokens {
    /// Who asks with this token, if that is known.
    ///
    /// # Errors
    ///
    /// By what to [keep](Self::keep) it once it is verified. What is forgotten meanwhile is not kept.
    pub fn find(&self, token: impl AsRef<[u8]>, now: SystemTime) -> Result<Principal, TokenKey> {
        let sha256 = Sha256::digest(token).into();
        self.with(|kept| {
            let known = kept.tokens.get(&sha256);
            // A clock may have been set back.
            let good = known.filter(|known| (known.from..known.until).contains(&now));
            let principal = good.map(|known| known.principal.clone());
            principal.ok_or(TokenKey {
                epoch: kept.epoch,
                sha256,
            })
        })
    }

    /// Keeps what was found out.
    pub fn keep(&self, key: TokenKey, token: &VerifiedToken, now: SystemTime) {
        let known = Known {
            principal: token.principal.clone(),
            from: now,
            until: token.expires_at.min(now + KEPT),
        };
        self.with(|kept| {
            if kept.epoch == key.epoch {
                kept.tokens.put(key.sha256, known);
            }
        });
    }

    /// Forgets all tokens, also those that are being verified.
    pub fn forget(&self) {
        self.with(|kept| {
            kept.epoch = kept.epoch.wrapping_add(1);
            kept.tokens.clear();
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::principal::PrincipalKind;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn token(name: &str, expires_at: SystemTime) -> VerifiedToken {
        let principal =
            Principal::new(name.parse().unwrap(), BTreeSet::new(), PrincipalKind::Token);
        VerifiedToken {
            principal,
            expires_at,
        }
    }

    /// A token that was verified now.
    fn keep(tokens: &VerifiedTokens, name: &str, now: SystemTime, life: Duration) {
        let key = tokens.find(name, now).unwrap_err();
        tokens.keep(key, &token(name, now + life), now);
    }

    #[test]
    fn a_token_is_known_for_half_a_minute_and_not_longer_than_it_is_good() {
        let (tokens, now) = (VerifiedTokens::default(), SystemTime::now());
        for (name, life) in [("long", 3_600), ("short", 10), ("over", 0)] {
            keep(&tokens, name, now, life * SECOND);
            let known = u32::min(life, 30);
            for second in 0..40 {
                let found = tokens.find(name, now + second * SECOND);
                assert_eq!(found.is_ok(), second < known, "{name}, {second} s");
            }
            assert!(tokens.find(name, now - SECOND).is_err(), "{name}");
        }
    }

    #[test]
    fn nobody_is_taken_for_somebody_else() {
        let (tokens, now) = (VerifiedTokens::default(), SystemTime::now());
        for name in ["ada", "eve"] {
            keep(&tokens, name, now, 60 * SECOND);
        }
        let found = tokens.find("ada", now).unwrap();
        assert_eq!(found.name().as_str(), "ada");
        assert!(tokens.find("ada ", now).is_err());
    }

    #[test]
    fn what_is_forgotten_is_not_kept_by_who_was_verifying() {
        let (tokens, now) = (VerifiedTokens::default(), SystemTime::now());
        let ada = token("ada", now + 60 * SECOND);
        keep(&tokens, "kept", now, 60 * SECOND);
        let under_way = tokens.find("under way", now).unwrap_err();
        tokens.forget();
        tokens.keep(under_way, &ada, now);
        assert!(tokens.find("kept", now).is_err());
        assert!(tokens.find("under way", now).is_err());
    }

    #[test]
    fn no_more_are_kept_than_there_may_be() {
        let (tokens, now) = (VerifiedTokens::default(), SystemTime::now());
        for number in 0..KEPT_MAX.get() + 1 {
            keep(&tokens, &format!("n{number}"), now, 60 * SECOND);
        }
        assert_eq!(tokens.with(|kept| kept.tokens.len()), KEPT_MAX.get());
        assert!(tokens.find("n0", now).is_err());
        assert!(tokens.find("n1", now).is_ok());
    }
}
