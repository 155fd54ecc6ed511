//! Bearer tokens that somebody else issued.
//!
//! Nothing that a token says of itself decides how it is verified: its key is one that we hold, and the key says
//! which algorithm it is for.

use std::time::{Duration, SystemTime};

use folio_mesh::identity::{ClaimsRefusal, Expected, Jws, JwsRefusal};
use thiserror::Error;

use super::jwks::{KeySet, NoKey};
use super::principal::{Principal, PrincipalKind};

/// How much the clocks of an issuer and of the gateway may differ.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// Verifies the tokens of one issuer.
#[derive(Debug)]
pub struct TokenVerifier {
    keys: KeySet,
    expected: Expected,
}

/// Who a token speaks of, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// Who asks.
    pub principal: Principal,
    /// Until when the token is good, by its issuer's clock.
    pub expires_at: SystemTime,
}

/// Why a token is not believed. This is for the log: a client is told no more than the [code](Self::code).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// It is not one, or not signed as it says.
    #[error(transparent)]
    Jws(#[from] JwsRefusal),
    /// Its issuer has no such key.
    #[error("the issuer has no key of the id that the token names")]
    UnknownKey,
    /// It is not known which keys its issuer has.
    #[error("the keys of the issuer are not known, or are too old; see that it answers")]
    KeysUnavailable,
    /// It does not say what it must.
    #[error(transparent)]
    Claims(#[from] ClaimsRefusal),
}

impl TokenVerifier {
    /// Verifies tokens of `issuer` for `audience`, with the keys of this set.
    #[must_use]
    pub fn new(keys: KeySet, issuer: &str, audience: &str) -> Self {
        let expected = Expected {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            leeway: LEEWAY,
        };
        Self { keys, expected }
    }

    /// Fetches the keys of the issuer now.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn refresh(&self) {
        self.keys.refresh().await;
    }

    /// Who asks, by a token that was brought at this time.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn verify(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<VerifiedToken, TokenRefusal> {
        let jws = Jws::parse(token)?;
        let key = self.keys.key(jws.key_id()).await?;
        let claims = self.expected.claims(&jws.verified_by(&key)?, now)?;
        Ok(VerifiedToken {
            principal: Principal::new(claims.subject, claims.scopes, PrincipalKind::Token),
            expires_at: claims.expires_at,
        })
    }
}

impl TokenRefusal {
    /// What a client is told.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Claims(ClaimsRefusal::Expired) => "token_expired",
            Self::Jws(_) | Self::UnknownKey | Self::Claims(_) => "token_invalid",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

impl From<NoKey> for TokenRefusal {
    fn from(none: NoKey) -> Self {
        match none {
            NoKey::Unknown => Self::UnknownKey,
            NoKey::Unavailable => Self::KeysUnavailable,
        }
    }
}

#[cfg(test)]
mod tests;
