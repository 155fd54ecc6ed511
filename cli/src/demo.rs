//! The small books that a first start shows: some accounts and what happened to them.
//!
//! They are seeded through the HTTP API, like anything else. Their keys never change, so a second start
//! finds them there and changes nothing.

use ledger_example::BookName;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;

/// One of the requests: its key, its path and its body.
type Request = (&'static str, &'static str, Value);

/// Seeds the demo of a book, whose accounts service is at `url`. Some books have none.
///
/// # Errors
///
/// [`DemoError`] when the service does not answer or refuses a part of it.
pub async fn seed(book: &BookName, url: &str) -> Result<(), DemoError> {
    let requests = match book.as_str() {
        "a" => first(),
        "b" => second(),
        _ => Vec::new(),
    };
    let client = Client::builder().no_proxy().build()?;
    for (key, path, body) in requests {
        let response = client
            .post(format!("{url}{path}"))
            .header("Idempotency-Key", key)
            .header("Folio-Actor", "demo")
            .json(&body)
            .send()
            .await?;
        // A user may have closed an account of it; the rest still stands.
        let status = response.status();
        if !status.is_success() && status != StatusCode::CONFLICT {
            return Err(DemoError::Refused {
                path: path.to_owned(),
                status,
                answer: response.text().await.unwrap_or_default(),
            });
        }
    }
    Ok(())
}

fn posting(amount: &str, contra: &str, description: &str) -> Value {
    json!({"amount": amount, "currency": "EUR", "contra": contra, "description": description})
}

fn second() -> Vec<Request> {
    vec![
        (
            "open-pension",
            "/v1/accounts",
            json!({"id": "pension", "currency": "EUR"}),
        ),
        (
            "contribution",
            "/v1/accounts/pension/credits",
            posting("180.00", "bank:AB", "contribution"),
        ),
    ]
}

fn first() -> Vec<Request> {
    vec![
        (
            "open-checking",
            "/v1/accounts",
            json!({"id": "checking", "currency": "EUR", "overdraft": {"kind": "limit", "limit": "500.00"}}),
        ),
        (
            "open-savings",
            "/v1/accounts",
            json!({"id": "savings", "currency": "EUR"}),
        ),
        (
            "open-business",
            "/v1/accounts",
            json!({"id": "business", "currency": "EUR", "overdraft": {"kind": "unlimited"}}),
        ),
        (
            "salary",
            "/v1/accounts/checking/credits",
            posting("2400.00", "bank:AB", "salary"),
        ),
        (
            "rent",
            "/v1/accounts/checking/debits",
            posting("950.00", "bank:CD", "rent"),
        ),
        (
            "groceries",
            "/v1/accounts/checking/debits",
            posting("63.27", "cards", "groceries"),
        ),
        (
            "deposit",
            "/v1/accounts/savings/credits",
            posting("1500.00", "cash", "deposit"),
        ),
        (
            "interest",
            "/v1/accounts/savings/credits",
            posting("3.12", "interest", "interest for the quarter"),
        ),
        (
            "supplies",
            "/v1/accounts/business/debits",
            posting("412.90", "bank:EF", "supplies"),
        ),
        (
            "monthly-fee",
            "/v1/accounts/business/debits",
            posting("7.50", "fees", "monthly fee"),
        ),
    ]
}

/// Why the demo book is not there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The service did not answer.
    #[error("the accounts service did not answer while the demo book was seeded")]
    Http(#[from] reqwest::Error),
    /// A request was refused.
    #[error("the demo book was refused at {path} with {status}: {answer}")]
    Refused {
        /// The path.
        path: String,
        /// The status.
        status: StatusCode,
        /// The body.
        answer: String,
    },
}
