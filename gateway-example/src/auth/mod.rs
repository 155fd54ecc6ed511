//! Who asks, and what they may.
//!
//! A client brings one of two things in the header `authorization`: `Bearer` with a token of the issuer, or `ApiKey`
//! with a key that the gateway has made. What the gateway finds out it signs itself for the services behind it
//! ([`IdentitySigner`](folio_mesh::IdentitySigner)); they never see what the client brought.
//!
//! # Layout
//!
//! * `principal.rs`, `refusal.rs`: what becomes of it.
//! * `jwt.rs`, with `jwks.rs` and `key_source.rs`: tokens, and the keys of who issues them.
//! * `verified.rs`: tokens that were verified just before.
//! * `api_key.rs`, `api_keys.rs`, `known_keys.rs`: keys, those on record, and those that were looked up just before.
//! * `issuer.rs`: tokens for who has none.

mod api_key;
pub mod api_keys;
mod issuer;
mod jwks;
mod jwt;
mod key_source;
mod known_keys;
mod principal;
mod refusal;
#[cfg(test)]
mod testing;
mod verified;

use std::time::SystemTime;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

pub use api_key::{ApiKey, InvalidApiKey, KeyPrefix};
pub use api_keys::{ApiKeyRefusal, ApiKeys, ApiKeysError, Revocation};
pub use issuer::LocalIssuer;
pub use jwks::{KeySet, KeySetSettings, NoKey};
pub use jwt::{LEEWAY, TokenRefusal, TokenVerifier, VerifiedToken};
pub use key_source::{FetchError, InvalidSource, KeySource};
pub use known_keys::REVOKED_WITHIN;
pub use principal::{Principal, PrincipalKind, Scope, Subject};
pub use refusal::{AuthRefusal, Fault};
pub use verified::{TokenKey, VerifiedTokens};

/// Tells the time of day.
pub type WallClock = fn() -> SystemTime;

/// Finds out who asks.
#[derive(Debug)]
pub struct Authenticator {
    tokens: TokenVerifier,
    verified: VerifiedTokens,
    api_keys: Option<ApiKeys>,
    clock: WallClock,
}

/// What a client brought.
enum Credentials<'a> {
    Token(&'a [u8]),
    ApiKey(&'a [u8]),
}

impl Authenticator {
    /// Takes tokens; and keys, if there are any.
    #[must_use]
    pub fn new(tokens: TokenVerifier, api_keys: Option<ApiKeys>) -> Self {
        Self {
            tokens,
            verified: VerifiedTokens::default(),
            api_keys,
            clock: SystemTime::now,
        }
    }

    /// By another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: WallClock) -> Self {
        Self { clock, ..self }
    }

    /// The keys, for who makes and revokes them.
    #[must_use]
    pub const fn api_keys(&self) -> Option<&ApiKeys> {
        self.api_keys.as_ref()
    }

    /// Fetches the keys of the issuer, and verifies every token again: from then on nobody is believed by a key that was withdrawn
    /// before.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped, tokens may be believed on that were known.
    pub async fn refresh(&self) {
        self.tokens.refresh().await;
        // Not before: they would be verified by the keys that are to be forgotten.
        self.verified.forget();
    }

    /// Who asks, by the headers of a request.
    ///
    /// Refusals are counted in the metric `folio_gateway_auth_refused_total`, by their code.
    ///
    /// # Errors
    ///
    /// [`AuthRefusal`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, AuthRefusal> {
        let found = match credentials(headers) {
            Ok(Credentials::Token(token)) => self.by_token(token).await,
            // In a box: it asks a database, and who comes with a token would have room for that.
            Ok(Credentials::ApiKey(key)) => Box::pin(self.by_api_key(key)).await,
            Err(refusal) => Err(refusal),
        };
        found.inspect_err(|refusal| {
            let code = refusal.code();
            metrics::counter!("folio_gateway_auth_refused_total", "code" => code).increment(1);
            tracing::debug!(
                code,
                reason = folio_core::error_chain(refusal),
                "a client is refused"
            );
        })
    }

    async fn by_token(&self, token: &[u8]) -> Result<Principal, AuthRefusal> {
        let now = (self.clock)();
        let key = match self.verified.find(token, now) {
            Ok(principal) => return Ok(principal),
            Err(key) => key,
        };
        // Not before: what is known was looked at when it was not, and it has hundreds of characters.
        let token = word(token)?;
        // In a box: who comes with a known token would have room for it.
        let verified = Box::pin(self.tokens.verify(token, now)).await?;
        self.verified.keep(key, &verified, now);
        Ok(verified.principal)
    }

    async fn by_api_key(&self, key: &[u8]) -> Result<Principal, AuthRefusal> {
        let api_keys = self.api_keys.as_ref().ok_or(AuthRefusal::Scheme)?;
        let key: ApiKey = word(key)?.parse().map_err(|_| ApiKeyRefusal::Malformed)?;
        Ok(api_keys.verify(&key).await?)
    }
}

/// The one thing that was brought.
fn credentials(headers: &HeaderMap) -> Result<Credentials<'_>, AuthRefusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthRefusal::Missing)?;
    if values.next().is_some() {
        return Err(AuthRefusal::Several);
    }
    let is_blank = |byte: &u8| *byte == b' ';
    let mut halves = value.as_bytes().splitn(2, is_blank);
    let scheme = halves.next().unwrap_or_default();
    let rest = halves.next().ok_or(AuthRefusal::Scheme)?;
    let begin = rest.iter().position(|byte| !is_blank(byte));
    let word = begin.and_then(|begin| rest.get(begin..));
    let word = word.ok_or(AuthRefusal::Scheme)?;
    if scheme.eq_ignore_ascii_case(b"bearer") {
        Ok(Credentials::Token(word))
    } else if scheme.eq_ignore_ascii_case(b"apikey") {
        Ok(Credentials::ApiKey(word))
    } else {
        Err(AuthRefusal::Scheme)
    }
}

/// One word, of what both schemes are written with.
fn word(bytes: &[u8]) -> Result<&str, AuthRefusal> {
    let is_fine = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    let text = str::from_utf8(bytes).ok();
    let fine = text.filter(|_| bytes.iter().all(is_fine));
    fine.ok_or(AuthRefusal::Scheme)
}

#[cfg(test)]
mod tests;
