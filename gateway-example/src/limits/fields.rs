//! The header fields that tell how somebody stands with a limit: `RateLimit-Policy` and `RateLimit` of the IETF's draft
//! on rate limits, structured fields both, and the seconds of `Retry-After`.

use std::num::NonZeroU32;
use std::time::Duration;

use hyper::header::HeaderName;

use super::standing::Standing;

/// What the limit is.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How somebody stands with it.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// `"name";q=100;w=60`: so many in so many seconds.
pub(super) fn policy_field(name: &str, quota: NonZeroU32, window: Duration) -> String {
    format!("\"{name}\";q={quota};w={}", window.as_secs())
}

/// `"name";r=3;t=12`: no more than so many in the next so many seconds.
#[must_use]
pub fn standing_field(standing: &Standing) -> String {
    // Each answer has one: to format it takes several times as long, and one with room to spare is copied when it becomes a header.
    let (mut remaining, mut reset) = (itoa::Buffer::new(), itoa::Buffer::new());
    [
        "\"",
        standing.policy.name(),
        "\";r=",
        remaining.format(standing.remaining),
        ";t=",
        reset.format(rounded_up_s(standing.reset)),
    ]
    .concat()
}

/// Seconds to wait, as `Retry-After` has them: at least one.
#[must_use]
pub fn retry_after_s(time: Duration) -> u64 {
    rounded_up_s(time).max(1)
}

const fn rounded_up_s(time: Duration) -> u64 {
    let begun = if time.subsec_nanos() > 0 { 1 } else { 0 };
    time.as_secs().saturating_add(begun)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::policy::LimitPolicy;
    use super::*;

    #[test]
    fn the_fields_are_written_as_the_draft_has_them() {
        let policy = LimitPolicy::new("per-principal", 100, Duration::from_secs(60), 20).unwrap();
        assert_eq!(policy.field(), "\"per-principal\";q=100;w=60");
        let mut standing = Standing {
            policy: Arc::new(policy),
            remaining: 19,
            reset: Duration::from_millis(600),
        };
        assert_eq!(standing_field(&standing), "\"per-principal\";r=19;t=1");
        standing.reset = Duration::from_secs(12);
        assert_eq!(standing_field(&standing), "\"per-principal\";r=19;t=12");
        (standing.remaining, standing.reset) = (0, Duration::from_nanos(11_000_000_001));
        assert_eq!(standing_field(&standing), "\"per-principal\";r=0;t=12");
    }

    #[test]
    fn who_waits_as_long_as_it_is_told_does_not_come_too_early() {
        let seconds = [0, 1, 999, 1_000, 1_001, 60_000].map(Duration::from_millis);
        assert_eq!(seconds.map(retry_after_s), [1, 1, 1, 1, 2, 60]);
    }
}
