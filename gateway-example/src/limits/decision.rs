//! What is said to who asks: yes, or when to come again.

use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use thiserror::Error;

use super::fields::RATE_LIMIT_POLICY;
use super::standing::Standing;

/// It is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// How it stands with the limit by now.
    pub standing: Standing,
}

/// It is not admitted, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Limited {
    /// It has asked too often.
    #[error("limit {} is reached; come again after the time in Retry-After", standing.policy.name())]
    Reached {
        /// How it stands with the limit: the reset is when to come again.
        standing: Standing,
    },
    /// Nobody can say how often it has asked.
    #[error("limit {} cannot be asked for now; nothing was done, try again later", standing.policy.name())]
    Unavailable {
        /// How it stands with the limit as far as this gateway knows.
        standing: Standing,
        /// When to try again.
        retry_after: Duration,
    },
}

impl Decision {
    /// Says in the headers of the answer how it stands with the limit.
    pub fn tell(&self, headers: &mut HeaderMap) {
        self.standing.tell(headers);
    }
}

impl Limited {
    /// Stable name of the kind, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Reached { .. } => "rate_limited",
            Self::Unavailable { .. } => "limits_unavailable",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Reached { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When to come again. As a header it is [in seconds](super::retry_after_s).
    #[must_use]
    pub const fn retry_after(&self) -> Duration {
        match self {
            Self::Reached { standing } => standing.reset,
            Self::Unavailable { retry_after, .. } => *retry_after,
        }
    }

    /// What the answer says of the limit, by header field. How somebody stands is said only if it is known.
    #[must_use]
    pub fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        match self {
            Self::Reached { standing } => standing.tell(&mut fields),
            Self::Unavailable { standing, .. } => {
                fields.insert(RATE_LIMIT_POLICY, standing.policy.field().clone());
            }
        }
        fields
    }
}
