//! What goes wrong, as `application/problem+json` (RFC 9457): a stable `code` for programs, a
//! sentence for people, and whether trying again may help.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use folio_core::store::AppendError;
use folio_core::{CorrelationId, MoneyError, error_chain};
use folio_erasure::{CipherError, VaultError};
use folio_projections::ReadModelError;
use folio_runtime::ExecuteError;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::account::AccountRefusal;
use crate::http::times::time_text;
use crate::read_model::QueryError;
use crate::refusal::LedgerRefusal;

/// A problem. As a response it is put into words by [`layer`](super::layer), which knows the
/// correlation id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    retry: Retry,
    replayed: bool,
    details: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// The same request will get the same answer.
    Futile,
    /// The same request may succeed a little later.
    MayHelp,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:folio:problem:` and the code.
    pub r#type: String,
    /// The kind of problem, in a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and what to do.
    pub detail: String,
    /// Stable name of the kind, for programs.
    pub code: &'static str,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Names the request in logs and events.
    pub correlation_id: Option<CorrelationIdText>,
    /// The figures that the detail speaks of, where there are any.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// A correlation id as text.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
pub struct CorrelationIdText(String);

impl Problem {
    /// A problem that the client can mend by sending another request.
    pub(crate) fn client(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            retry: Retry::Futile,
            replayed: false,
            details: None,
        }
    }

    /// A request whose content is wrong.
    pub(crate) fn unprocessable(
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self::client(StatusCode::UNPROCESSABLE_ENTITY, code, title, detail)
    }

    /// A problem that may pass.
    pub(crate) fn passing(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            retry: Retry::MayHelp,
            ..Self::client(status, code, title, detail)
        }
    }

    /// A defect of ours. The cause goes to the log, never to the client.
    pub(crate) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(cause = error_chain(cause), "a request failed");
        Self::client(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "the service could not answer; the correlation id names the cause in its log",
        )
    }

    /// The answer to a repeated command.
    #[must_use]
    pub(crate) fn replayed(self) -> Self {
        Self {
            replayed: true,
            ..self
        }
    }

    /// The same problem, said of one part of a request.
    #[must_use]
    pub(crate) fn within(self, part: &str) -> Self {
        Self {
            detail: format!("{part}: {}", self.detail),
            ..self
        }
    }

    /// Whether the same request may succeed later, or the fault is ours: either way nothing is
    /// decided yet.
    pub(crate) fn may_pass(&self) -> bool {
        self.retry == Retry::MayHelp || self.status.is_server_error()
    }

    /// With the figures that the detail speaks of.
    #[must_use]
    pub(crate) fn with_details(self, details: Option<Value>) -> Self {
        Self { details, ..self }
    }

    /// With a name among the figures.
    #[must_use]
    fn naming(self, name: &str, value: impl Into<Value>) -> Self {
        let mut details = match self.details {
            Some(Value::Object(details)) => details,
            Some(_) | None => Map::new(),
        };
        details.insert(name.to_owned(), value.into());
        Self {
            details: Some(Value::Object(details)),
            ..self
        }
    }

    pub(crate) fn book_not_found(name: &str) -> Self {
        Self::client(
            StatusCode::NOT_FOUND,
            "book_not_found",
            "No such book",
            format!("no book of the name {name:?} is read here"),
        )
    }

    pub(crate) fn several_books(names: &[&str]) -> Self {
        let detail = format!("name one of them with book: {}", names.join(", "));
        let title = "Several books have it";
        Self::client(StatusCode::CONFLICT, "several_books", title, detail).naming("books", names)
    }

    pub(crate) fn entry_not_found() -> Self {
        LedgerRefusal::EntryNotFound.into()
    }

    pub(crate) fn hold_not_found() -> Self {
        LedgerRefusal::HoldNotFound.into()
    }

    pub(crate) fn account_not_found() -> Self {
        Self::client(
            StatusCode::NOT_FOUND,
            "account_not_found",
            "No such account",
            "the account has not been opened",
        )
    }

    pub(crate) fn holder_not_found() -> Self {
        Self::client(
            StatusCode::NOT_FOUND,
            "holder_not_found",
            "No holder",
            "it was not said who holds the account",
        )
    }

    /// The body, for the request with this correlation id.
    #[must_use]
    pub fn body(&self, correlation_id: Option<CorrelationId>) -> ProblemBody {
        ProblemBody {
            r#type: format!("urn:folio:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            retryable: self.retry == Retry::MayHelp,
            correlation_id: correlation_id.map(|id| CorrelationIdText(id.to_string())),
            details: self.details.clone(),
        }
    }

    /// The whole response.
    pub(crate) fn render(&self, correlation_id: CorrelationId) -> Response {
        let mut response = (self.status, Json(self.body(Some(correlation_id)))).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.replayed {
            headers.insert(
                super::idempotency::REPLAYED,
                HeaderValue::from_static("true"),
            );
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<AccountRefusal> for Problem {
    fn from(refusal: AccountRefusal) -> Self {
        let conflict = StatusCode::CONFLICT;
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        let (status, code, title) = match &refusal {
            AccountRefusal::NotOpened => return Self::account_not_found(),
            AccountRefusal::AlreadyOpened => (
                conflict,
                "account_already_open",
                "The account exists already",
            ),
            AccountRefusal::Closed => (conflict, "account_closed", "The account is closed"),
            AccountRefusal::Closing => (conflict, "account_closing", "The account is being closed"),
            AccountRefusal::Frozen { .. } => (conflict, "account_frozen", "The account is frozen"),
            AccountRefusal::NotFrozen => {
                (conflict, "account_not_frozen", "The account is not frozen")
            }
            AccountRefusal::CurrencyMismatch { .. } => (
                unprocessable,
                "currency_mismatch",
                "Another currency than the account's",
            ),
            AccountRefusal::InsufficientFunds { .. } => (
                unprocessable,
                "insufficient_funds",
                "Not enough money available",
            ),
            AccountRefusal::LimitExceeded { .. } => {
                (unprocessable, "limit_exceeded", "Too much or too often")
            }
            AccountRefusal::LimitNotSound => (unprocessable, "invalid_limit", "Not a usable limit"),
            AccountRefusal::LimitPassed { .. } => (
                conflict,
                "limit_passed",
                "The account is beyond the new limit",
            ),
            AccountRefusal::NoLimits => (
                unprocessable,
                "recording_account",
                "Not of a recording account",
            ),
            AccountRefusal::Overflow => (unprocessable, "overflow", "Too large to hold exactly"),
            AccountRefusal::BalanceNotZero { .. } => {
                (conflict, "balance_not_zero", "The account is not empty")
            }
            AccountRefusal::OpenHolds { .. } => {
                (conflict, "open_holds", "Money is held on the account")
            }
            AccountRefusal::ExpectedCredits { .. } => {
                (conflict, "expected_credits", "Money is expected")
            }
            AccountRefusal::TooManyHolds { .. } => {
                (conflict, "too_many_holds", "Too many holds on the account")
            }
            AccountRefusal::NoHolds => (
                unprocessable,
                "recording_account",
                "Not of a recording account",
            ),
            AccountRefusal::TooMuchMetadata { .. } => {
                (unprocessable, "invalid_metadata", "Not usable metadata")
            }
            AccountRefusal::Contra => (
                unprocessable,
                "reserved_account",
                "An account of the book's own",
            ),
            AccountRefusal::Inconsistent => (
                conflict,
                "account_inconsistent",
                "The account's history does not add up",
            ),
        };
        let problem = Self::client(status, code, title, refusal.to_string());
        let problem = problem.with_details(figures(&refusal));
        if let AccountRefusal::LimitExceeded { resets_at, .. } = refusal {
            problem.naming("resets_at", time_text(resets_at))
        } else {
            problem
        }
    }
}

impl From<LedgerRefusal> for Problem {
    fn from(refusal: LedgerRefusal) -> Self {
        let conflict = StatusCode::CONFLICT;
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        let unbalanced = "Not an entry";
        let exchange = "Not an exchange";
        let (status, code, title) = match refusal {
            LedgerRefusal::Account { account, refusal } => {
                return Self::from(refusal).naming("account_id", account.as_str());
            }
            LedgerRefusal::Among { index, refusal } => {
                let problem = Self::from(*refusal).within(&format!("entries[{index}]"));
                return problem.naming("index", index);
            }
            LedgerRefusal::FirstVersion(refusal) => return refusal.into(),
            LedgerRefusal::TooFewLegs => (unprocessable, "too_few_legs", unbalanced),
            LedgerRefusal::TooManyLegs { .. } => (unprocessable, "too_many_legs", unbalanced),
            LedgerRefusal::SameAccount { .. } => (unprocessable, "same_account", unbalanced),
            LedgerRefusal::AmountTooLarge => {
                (unprocessable, "overflow", "Too large to hold exactly")
            }
            LedgerRefusal::Unbalanced { .. } => {
                (unprocessable, "unbalanced", "Debits do not equal credits")
            }
            LedgerRefusal::DateOutOfRange => (unprocessable, "invalid_date", "Not a usable date"),
            LedgerRefusal::PeriodClosed { .. } => {
                (conflict, "period_closed", "The period is closed")
            }
            LedgerRefusal::EntryExists { .. } => (conflict, "entry_exists", "The id is taken"),
            LedgerRefusal::EntryNotFound => {
                (StatusCode::NOT_FOUND, "entry_not_found", "No such entry")
            }
            LedgerRefusal::AlreadyReversed { .. } => (
                conflict,
                "already_reversed",
                "The entry was reversed before",
            ),
            LedgerRefusal::IsReversal { .. } => {
                (conflict, "is_reversal", "The entry is a reversal")
            }
            LedgerRefusal::ExchangeMissing => (unprocessable, "exchange_missing", exchange),
            LedgerRefusal::ExchangeOfOneCurrency => {
                (unprocessable, "exchange_of_one_currency", exchange)
            }
            LedgerRefusal::ExchangeNotInLegs => (unprocessable, "exchange_not_in_legs", exchange),
            LedgerRefusal::ExchangeOffRate { .. } => (unprocessable, "exchange_off_rate", exchange),
            LedgerRefusal::TooManyCurrencies => (unprocessable, "too_many_currencies", exchange),
            LedgerRefusal::HoldExists => (conflict, "hold_exists", "The id is taken"),
            LedgerRefusal::HoldNotFound => {
                (StatusCode::NOT_FOUND, "hold_not_found", "No such hold")
            }
            LedgerRefusal::HoldRuledOut => (conflict, "hold_ruled_out", "The hold was given up"),
            LedgerRefusal::HoldExpired => (conflict, "hold_expired", "The hold has expired"),
            LedgerRefusal::AlreadyCaptured { .. } => {
                (conflict, "already_captured", "The hold was captured")
            }
            LedgerRefusal::AlreadyReleased => {
                (conflict, "already_released", "The hold was released")
            }
            LedgerRefusal::HoldNotExpired => {
                (conflict, "hold_not_expired", "The hold has not expired")
            }
            LedgerRefusal::CaptureTooMuch { .. } => {
                (unprocessable, "capture_too_much", "More than is held")
            }
            LedgerRefusal::LifetimeNotSound { .. } => {
                (unprocessable, "invalid_lifetime", "Not a usable lifetime")
            }
        };
        Self::client(status, code, title, refusal.to_string()).with_details(figures(&refusal))
    }
}

/// The figures of a refusal, as it is recorded.
fn figures(refusal: &impl Serialize) -> Option<Value> {
    match serde_json::to_value(refusal).ok()? {
        Value::Object(variant) => variant.into_values().next(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            None
        }
    }
}

impl From<MoneyError> for Problem {
    fn from(error: MoneyError) -> Self {
        Self::unprocessable(error.code(), "Not a usable amount", error.to_string())
    }
}

impl From<ExecuteError> for Problem {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else goes wrong, now or in future, is our fault and stays inside"
    )]
    fn from(error: ExecuteError) -> Self {
        match &error {
            ExecuteError::CommandReused { .. } => Self::unprocessable(
                "idempotency_key_reused",
                "The idempotency key was used for another request",
                "send the first request again unchanged, or this one with a new key",
            ),
            ExecuteError::Contended { .. } => Self::passing(
                StatusCode::CONFLICT,
                "contended",
                "Too many changes at once",
                error.to_string(),
            ),
            ExecuteError::InvalidStream(invalid) => {
                Self::unprocessable("invalid_id", "Not an id", invalid.to_string())
            }
            ExecuteError::Append(
                AppendError::Unavailable(_) | AppendError::OutcomeUnknown { .. },
            ) => {
                tracing::warn!(cause = error_chain(&error), "an outcome was not confirmed");
                Self::passing(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "outcome_not_confirmed",
                    "The outcome is not confirmed",
                    "send the same request again with the same idempotency key",
                )
            }
            ExecuteError::Read(_) => unavailable(&error),
            _ => Self::internal(&error),
        }
    }
}

impl From<folio_core::ReadError> for Problem {
    fn from(error: folio_core::ReadError) -> Self {
        unavailable(&error)
    }
}

impl From<VaultError> for Problem {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else goes wrong, now or in future, is our fault and stays inside"
    )]
    fn from(error: VaultError) -> Self {
        match &error {
            VaultError::Forgotten { .. } => Self::client(
                StatusCode::CONFLICT,
                "subject_forgotten",
                "The subject was forgotten",
                error.to_string(),
            ),
            VaultError::NoSuchSubject { .. } => Self::client(
                StatusCode::NOT_FOUND,
                "subject_not_found",
                "No such subject",
                error.to_string(),
            ),
            VaultError::Database(_) => unavailable(&error),
            _ => Self::internal(&error),
        }
    }
}

impl From<CipherError> for Problem {
    fn from(error: CipherError) -> Self {
        Self::internal(&error)
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Model(error) => error.into(),
            QueryError::Database(_) => unavailable(&error),
            QueryError::Parked { .. } => Self::passing(
                StatusCode::SERVICE_UNAVAILABLE,
                "account_parked",
                "The read model does not know this account's last events",
                "one of them could not be taken in; an operator has to look into it",
            ),
            QueryError::Corrupt(_) => Self::internal(&error),
        }
    }
}

impl From<ReadModelError> for Problem {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else goes wrong, now or in future, is our fault and stays inside"
    )]
    fn from(error: ReadModelError) -> Self {
        match &error {
            ReadModelError::Pool(_) | ReadModelError::Database(_) => unavailable(&error),
            ReadModelError::NotReached(_) => Self::passing(
                StatusCode::SERVICE_UNAVAILABLE,
                "position_not_reached",
                "The read model is not there yet",
                error.to_string(),
            ),
            ReadModelError::OtherRevision { .. } => Self::passing(
                StatusCode::SERVICE_UNAVAILABLE,
                "model_being_rebuilt",
                "The read model is of another revision",
                error.to_string(),
            ),
            _ => Self::internal(&error),
        }
    }
}

pub(super) fn unavailable(cause: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::warn!(cause = error_chain(cause), "a database gave no answer");
    Problem::passing(
        StatusCode::SERVICE_UNAVAILABLE,
        "database_unavailable",
        "The database gave no answer",
        "try again a little later",
    )
}
