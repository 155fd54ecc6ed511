//! How somebody stands with a limit.

use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::HeaderValue;

use super::fields::{RATE_LIMIT, RATE_LIMIT_POLICY, standing_field};
use super::policy::LimitPolicy;

/// How somebody stands with a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub policy: Arc<LimitPolicy>,
    /// How many more are admitted.
    pub remaining: u32,
    /// For how long no more than these; by then all or, where none are left, some have come back.
    pub reset: Duration,
}

impl Standing {
    /// Says it in the headers of an answer.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(RATE_LIMIT_POLICY, self.policy.field().clone());
        if let Ok(field) = HeaderValue::try_from(standing_field(self)) {
            headers.insert(RATE_LIMIT, field);
        }
    }

    /// The worse of both.
    #[must_use]
    pub(super) fn or_less(self, remaining: u32, reset: Duration) -> Self {
        Self {
            policy: self.policy,
            remaining: self.remaining.min(remaining),
            reset: self.reset.max(reset),
        }
    }
}
