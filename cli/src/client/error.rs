//! Why a request came to nothing.

use std::fmt;

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use thiserror::Error;

/// Why a request came to nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There was no answer, or only a part of one.
    #[error("the ledger does not answer; check that it runs at this address, and try again")]
    NoAnswer {
        /// Names the address.
        source: reqwest::Error,
    },
    /// The ledger said no, and why.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// Something answered that is not a ledger.
    #[error("{url} answered {status} and not as a ledger does; check the address\n{body}")]
    NotALedger {
        /// What was asked.
        url: String,
        /// The status of the answer.
        status: u16,
        /// The start of the answer.
        body: String,
    },
    /// An answer has not the form that was agreed.
    #[error("the answer of {url} cannot be read; use a client and a ledger of the same version")]
    Unreadable {
        /// What was asked.
        url: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The results of a bulk request are not those of its postings.
    #[error(
        "the results of {url} are not one for each posting; use a client and a ledger of the same \
         version"
    )]
    ResultsDoNotMatch {
        /// What was asked.
        url: String,
    },
    /// This machine cannot make HTTP requests.
    #[error("the HTTP client cannot be set up")]
    Setup {
        /// Why.
        source: reqwest::Error,
    },
}

/// A refusal as the ledger words it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// A name for machines.
    pub code: String,
    /// What it is in general.
    pub title: String,
    /// What it is in this case.
    pub detail: Option<String>,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// By what to find it in the ledger's own log.
    pub correlation_id: Option<String>,
}

impl ClientError {
    pub(super) fn from_answer(url: &Url, status: StatusCode, body: &[u8]) -> Self {
        match serde_json::from_slice::<Problem>(body) {
            Ok(mut problem) if !problem.code.is_empty() => {
                problem.status = status.as_u16();
                Self::Refused(Box::new(problem))
            }
            _ => Self::NotALedger {
                url: url.to_string(),
                status: status.as_u16(),
                body: String::from_utf8_lossy(body).chars().take(200).collect(),
            },
        }
    }

    /// Whether the same request can succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoAnswer { source } => !source.is_builder(),
            Self::Refused(problem) => {
                problem.retryable || problem.has(StatusCode::SERVICE_UNAVAILABLE)
            }
            // What stands between here and the ledger speaks for it while it is away.
            Self::NotALedger { status, .. } => (502..=504).contains(status),
            Self::Unreadable { .. } | Self::ResultsDoNotMatch { .. } | Self::Setup { .. } => false,
        }
    }

    /// Whether the ledger has no such account.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.has(StatusCode::NOT_FOUND))
    }

    /// Whether the account that was to be opened is there already: from another command, or from
    /// this one with other terms.
    #[must_use]
    pub fn is_already_open(&self) -> bool {
        matches!(self, Self::Refused(problem)
            if problem.code == "account_already_open" || problem.is_key_reused())
    }
}

impl Problem {
    /// Whether the ledger knows the request's key from a request with other content.
    #[must_use]
    pub fn is_key_reused(&self) -> bool {
        self.code == "idempotency_key_reused"
    }

    fn has(&self, status: StatusCode) -> bool {
        self.status == status.as_u16()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.detail.as_deref().unwrap_or(&self.title);
        write!(f, "{text} (code {}", self.code)?;
        match &self.correlation_id {
            Some(id) => write!(f, ", correlation id {id})"),
            None => f.write_str(")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> ClientError {
        let url = "http://bank/v1/accounts".parse().unwrap();
        ClientError::from_answer(&url, StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn answers_are_sorted_by_what_to_do_about_them() {
        // Status, body; can succeed later, no such account, already open.
        #[rustfmt::skip]
        let table = [
            (503, r#"{"code":"starting"}"#, (true, false, false)),
            (409, r#"{"code":"in_progress","retryable":true}"#, (true, false, false)),
            (404, r#"{"code":"account_not_found"}"#, (false, true, false)),
            (409, r#"{"code":"account_already_open","retryable":false}"#, (false, false, true)),
            (422, r#"{"code":"idempotency_key_reused"}"#, (false, false, true)),
            (400, r#"{"code":"invalid_amount"}"#, (false, false, false)),
            (404, "<html>not here</html>", (false, false, false)),
            (404, "{}", (false, false, false)),
            (502, "bad gateway", (true, false, false)),
            (500, "", (false, false, false)),
        ];
        for (status, body, expected) in table {
            let error = answer(status, body);
            let found = (
                error.is_retryable(),
                error.is_not_found(),
                error.is_already_open(),
            );
            assert_eq!(found, expected, "{status} {body}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_ledger() {
        let body = r#"{"type":"x","title":"Conflict","status":409,"detail":"account 7 is closed",
            "code":"account_closed","retryable":false,"correlation_id":"c-1"}"#;
        assert_eq!(
            answer(409, body).to_string(),
            "account 7 is closed (code account_closed, correlation id c-1)"
        );
        let body = r#"{"title":"Conflict","code":"account_closed"}"#;
        assert_eq!(
            answer(409, body).to_string(),
            "Conflict (code account_closed)"
        );
    }

    #[test]
    fn a_strange_answer_is_shown_in_part() {
        let message = answer(404, &"é".repeat(1_000)).to_string();
        assert!(message.starts_with("http://bank/v1/accounts answered 404"));
        assert_eq!(message.matches('é').count(), 200);
    }
}
