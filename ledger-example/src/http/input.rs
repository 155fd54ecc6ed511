//! Bodies, paths and queries that answer with a [`Problem`] when they are not what was asked for.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use folio_core::{Amount, Currency};
use folio_erasure::SubjectId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::account::{AccountId, BoundedText};
use crate::hold::HoldId;
use crate::http::problem::Problem;
use crate::journal::EntryId;

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::client(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_type",
                "The body must be JSON",
                "send the header Content-Type: application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            if error.is_data() {
                Problem::unprocessable(
                    "invalid_request",
                    "Not what this endpoint takes",
                    error.to_string(),
                )
            } else {
                Problem::client(
                    StatusCode::BAD_REQUEST,
                    "invalid_json",
                    "The body is not JSON",
                    error.to_string(),
                )
            }
        })
    }
}

fn unread(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::client(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The body is too large",
            "send less at once",
        )
    } else {
        Problem::client(
            StatusCode::BAD_REQUEST,
            "body_unreadable",
            "The body could not be read",
            "the connection ended before the body did",
        )
    }
}

/// An id in a path.
#[derive(Debug)]
pub struct PathId<T>(pub T);

/// An id that clients choose.
pub trait ClientId: std::str::FromStr<Err: std::fmt::Display> {
    /// Stable name of the problem that a text is none.
    const CODE: &'static str;
    /// The problem in a few words.
    const TITLE: &'static str;

    /// The id that a text is.
    ///
    /// # Errors
    ///
    /// The problem.
    fn parse_text(text: &str) -> Result<Self, Problem> {
        text.parse().map_err(|error: Self::Err| {
            Problem::unprocessable(Self::CODE, Self::TITLE, error.to_string())
        })
    }
}

impl ClientId for AccountId {
    const CODE: &'static str = "invalid_account_id";
    const TITLE: &'static str = "Not an account id";
}

impl ClientId for SubjectId {
    const CODE: &'static str = "invalid_subject_id";
    const TITLE: &'static str = "Not a subject's id";
}

impl ClientId for EntryId {
    const CODE: &'static str = "invalid_entry_id";
    const TITLE: &'static str = "Not an entry id";
}

impl ClientId for HoldId {
    const CODE: &'static str = "invalid_hold_id";
    const TITLE: &'static str = "Not a hold id";
}

impl<T: ClientId + Send, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state)
            .await
            .map(|Path(text)| text)
            .map_err(|rejection| {
                Problem::unprocessable(T::CODE, T::TITLE, rejection.body_text())
            })?;
        T::parse_text(&text).map(Self)
    }
}

/// A query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // PostgreSQL has no text with this character, and would refuse it as what it cannot do now.
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::unprocessable(
                "invalid_query",
                "Not what this endpoint takes",
                "the character U+0000 is in no text of a ledger",
            ));
        }
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(params)| Self(params))
            .map_err(|rejection| {
                Problem::unprocessable(
                    "invalid_query",
                    "Not what this endpoint takes",
                    rejection.body_text(),
                )
            })
    }
}

/// An amount as it stands in a request: a decimal string, checked when its currency is known.
///
/// Whatever else JSON has in its place is remembered, so that the answer can say what is wrong
/// with it in the same words as for a wrong string.
#[derive(Debug, Clone)]
pub struct AmountText(Result<String, String>);

impl<'de> Deserialize<'de> for AmountText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(value.to_string()),
        }))
    }
}

impl AmountText {
    /// The amount in this currency.
    pub(crate) fn amount(&self, currency: Currency) -> Result<Amount, Problem> {
        match &self.0 {
            Ok(text) => Ok(Amount::parse(text, currency)?),
            Err(json) => {
                let shown: String = json.chars().take(40).collect();
                Err(Problem::unprocessable(
                    "invalid_amount",
                    "Not a usable amount",
                    format!("an amount is a string such as \"12.50\", not {shown}"),
                ))
            }
        }
    }
}

/// The currency with this code.
pub(crate) fn currency(code: &str) -> Result<Currency, Problem> {
    Currency::from_code(code).map_err(|error| {
        Problem::unprocessable("unknown_currency", "Not a currency", error.to_string())
    })
}

/// A text that people read, in a field of a request.
pub(crate) fn text<const MAX: usize>(
    text: Option<String>,
    field: &str,
) -> Result<Option<BoundedText<MAX>>, Problem> {
    text.map(|text| required_text(text, field)).transpose()
}

/// As [`text`], where there has to be one.
pub(crate) fn required_text<const MAX: usize>(
    text: String,
    field: &str,
) -> Result<BoundedText<MAX>, Problem> {
    BoundedText::try_from(text).map_err(|error| {
        Problem::unprocessable(
            "invalid_text",
            "Not a usable text",
            format!("{field}: {error}"),
        )
    })
}

/// A side, a kind of account or a freeze, in a field of a request.
pub(crate) fn word<T>(text: &str, code: &'static str, title: &'static str) -> Result<T, Problem>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse()
        .map_err(|error: T::Err| Problem::unprocessable(code, title, error.to_string()))
}
