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

/// By what a token is found, as long as nothing is forgotten.
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
    /// By what to look for this token. It has to be asked for before the token is verified, so that what is
    /// forgotten meanwhile is not kept.
    #[must_use]
    pub fn key(&self, token: impl AsRef<[u8]>) -> TokenKey {
        TokenKey {
            epoch: self.with(|kept| kept.epoch),
            sha256: Sha256::digest(token).into(),
        }
    }

    /// Who asks, if that is known.
    #[must_use]
    pub fn find(&self, key: &TokenKey, now: SystemTime) -> Option<Principal> {
        self.with(|kept| {
            let is_current = kept.epoch == key.epoch;
            let known = kept.tokens.get(&key.sha256).filter(|_| is_current)?;
            // A clock may have been set back.
            let is_good = (known.from..known.until).contains(&now);
            is_good.then(|| known.principal.clone())
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

    #[test]
    fn a_token_is_known_for_half_a_minute_and_not_longer_than_it_is_good() {
        let (tokens, now) = (VerifiedTokens::default(), SystemTime::now());
        for (name, life) in [("long", 3_600), ("short", 10), ("over", 0)] {
            let key = tokens.key(name);
            tokens.keep(key, &token(name, now + life * SECOND), now);
            let known = u32::min(life, 30);
            for second in 0..40 {
                let found = tokens.find(&key, now + second * SECOND);
                assert_eq!(found.is_some(), second < known, "{name}, {second} s");
            }
            assert_eq!(tokens.find(&key, now - SECOND), None, "{name}");
        }
    }

    #[test]
    fn nobody_is_taken_for_somebody_else() {
        let (tokens, now) = (VerifiedTokens::default(), SystemTime::now());
        for name in ["ada", "eve"] {
            tokens.keep(tokens.key(name), &token(name, now + 60 * SECOND), now);
        }
        let found = tokens.find(&tokens.key("ada"), now).unwrap();
        assert_eq!(found.name().as_str(), "ada");
        assert_eq!(tokens.find(&tokens.key("ada "), now), None);
    }

    #[test]
    fn what_is_forgotten_is_not_kept_by_who_was_verifying() {
        let (tokens, now) = (VerifiedTokens::default(), SystemTime::now());
        let ada = token("ada", now + 60 * SECOND);
        tokens.keep(tokens.key("kept"), &ada, now);
        let under_way = tokens.key("under way");
        tokens.forget();
        tokens.keep(under_way, &ada, now);
        assert_eq!(tokens.find(&tokens.key("kept"), now), None);
        assert_eq!(tokens.find(&tokens.key("under way"), now), None);
        assert_eq!(tokens.find(&under_way, now), None);
    }

    #[test]
    fn no_more_are_kept_than_there_may_be() {
        let (tokens, now) = (VerifiedTokens::default(), SystemTime::now());
        let ada = token("ada", now + 60 * SECOND);
        for number in 0..KEPT_MAX.get() + 1 {
            tokens.keep(tokens.key(number.to_string()), &ada, now);
        }
        assert_eq!(tokens.with(|kept| kept.tokens.len()), KEPT_MAX.get());
        assert_eq!(tokens.find(&tokens.key("0"), now), None);
        assert!(tokens.find(&tokens.key("1"), now).is_some());
    }
}
