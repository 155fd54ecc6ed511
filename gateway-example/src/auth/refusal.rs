//! Why it is not known who asks.

use thiserror::Error;

use super::api_keys::ApiKeyRefusal;
use super::jwt::TokenRefusal;

/// Why it is not known who asks. This is for the log: a client is told the [code](Self::code) and the
/// [challenge](Self::challenge), and neither holds anything that was brought.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthRefusal {
    /// Nothing was brought.
    #[error("there is no header authorization")]
    Missing,
    /// More than one thing was brought.
    #[error("there are several headers authorization")]
    Several,
    /// What was brought is of no kind that is taken.
    #[error("the header authorization is not Bearer or ApiKey and one word")]
    Scheme,
    /// The token is not believed.
    #[error("the token is refused")]
    Token(#[from] TokenRefusal),
    /// The key is not believed.
    #[error("the API key is refused")]
    ApiKey(#[from] ApiKeyRefusal),
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The client's: it is told that it is not authenticated.
    Client,
    /// Ours: the same request may be believed a little later.
    Ours,
}

impl AuthRefusal {
    /// What a client is told.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "credentials_missing",
            Self::Several | Self::Scheme => "credentials_unclear",
            Self::Token(refusal) => refusal.code(),
            Self::ApiKey(ApiKeyRefusal::Unavailable(_)) => "keys_unavailable",
            Self::ApiKey(_) => "api_key_invalid",
        }
    }

    /// The value of `WWW-Authenticate`, after RFC 6750: of who brought nothing it says only what is taken.
    #[must_use]
    pub const fn challenge(&self) -> &'static str {
        match self {
            Self::Missing | Self::ApiKey(_) | Self::Token(TokenRefusal::KeysUnavailable) => {
                "Bearer realm=\"folio\""
            }
            Self::Several | Self::Scheme => "Bearer realm=\"folio\", error=\"invalid_request\"",
            Self::Token(_) => "Bearer realm=\"folio\", error=\"invalid_token\"",
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Token(TokenRefusal::KeysUnavailable)
            | Self::ApiKey(ApiKeyRefusal::Unavailable(_)) => Fault::Ours,
            Self::Missing | Self::Several | Self::Scheme | Self::Token(_) | Self::ApiKey(_) => {
                Fault::Client
            }
        }
    }
}
