//! How often somebody may ask.
//!
//! There are two limits: of an address, before it is known who asks, and of a principal. Each gateway keeps both in its own
//! memory ([`LocalLimiter`]); that of a principal all gateways can keep together, over a database ([`SharedLimiter`]). The
//! shared one is asked last, so that what is over the limit of one gateway costs no statement.
//!
//! ```
//! use std::num::NonZeroUsize;
//! use std::time::Duration;
//!
//! use gateway_example::limits::{LimitPolicy, Limits, LimitsConfig, OnUnavailable};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hour = Duration::from_secs(3_600);
//! let limits = Limits::new(LimitsConfig {
//!     per_address: LimitPolicy::new("address", 1_000, hour, 100)?,
//!     per_principal: LimitPolicy::new("principal", 2, hour, 2)?,
//!     keys_max: LimitsConfig::KEYS_MAX,
//!     shared: None,
//! })?;
//! let decision = limits.check_principal("alice", OnUnavailable::Closed).await?;
//! let mut headers = hyper::HeaderMap::new();
//! decision.tell(&mut headers);
//! assert_eq!(headers["ratelimit"], "\"principal\";r=1;t=1800");
//! let _ = limits.check_principal("alice", OnUnavailable::Closed).await?;
//! let limited = limits.check_principal("alice", OnUnavailable::Closed).await.unwrap_err();
//! assert_eq!(limited.code(), "rate_limited");
//! assert!(limited.retry_after() > Duration::from_secs(1_700));
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! * `policy.rs`: how often, as it is configured; `key.rs`: who is counted together.
//! * `local.rs`: the limit that one process keeps; `keys.rs` holds its keys, so many and no more.
//! * `shared.rs`: the limit that several keep; `lease.rs` says how many tokens are taken ahead, `database.rs` has them.
//! * `standing.rs`, `fields.rs`, `decision.rs`: how somebody stands with a limit, and what is said of it.

mod database;
mod decision;
mod fields;
mod key;
mod keys;
mod lease;
mod local;
mod policy;
mod shared;
mod standing;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use folio_core::breaker::InvalidSettings;
use folio_postgres::PoolError;
use metrics::Counter;
use serde::Deserialize;
use thiserror::Error;

pub use database::{LimitsDatabase, PrepareLimitsError, SqlBuckets};
pub use decision::{Decision, Limited};
pub use fields::{RATE_LIMIT, RATE_LIMIT_POLICY, retry_after_s, standing_field};
pub use key::{InvalidKey, LimitKey};
pub use local::LocalLimiter;
pub use policy::{InvalidPolicy, LimitPolicy, PolicyMode};
pub use shared::{Asked, Grant, SharedLimiter, SharedRefusal, SourceError, TokenSource};
pub use standing::Standing;

/// What becomes of a request while the shared limit cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnavailable {
    /// It is admitted if the limit of this gateway alone admits it.
    Open,
    /// It is refused.
    Closed,
}

/// What limits are kept, and how.
#[derive(Debug, Clone)]
pub struct LimitsConfig {
    /// Of an address, before it is known who asks.
    pub per_address: LimitPolicy,
    /// Of a principal.
    pub per_principal: LimitPolicy,
    /// How many keys of each limit are kept in memory.
    pub keys_max: NonZeroUsize,
    /// Where gateways keep the limit of principals together. None keeps it in each by itself.
    pub shared: Option<LimitsDatabase>,
}

impl LimitsConfig {
    /// As many keys as are enough for most.
    pub const KEYS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);
}

/// The limits of a gateway.
///
/// What is over a limit is counted in the metric `folio_gateway_limited_total`, by `policy` and `tier`: `local`, `shared`,
/// or `unavailable` where the shared one could not be asked for. A policy in [shadow](PolicyMode::Shadow) is counted alike,
/// and refuses nobody.
#[derive(Debug)]
pub struct Limits {
    addresses: LocalLimiter,
    principals: LocalLimiter,
    shared: Option<SharedLimiter>,
    of_addresses: Over,
    of_principals: Over,
}

/// What is done about what is over a limit.
#[derive(Debug)]
struct Over {
    policy: Arc<LimitPolicy>,
    local: Counter,
    shared: Counter,
    unavailable: Counter,
}

/// Why limits cannot be kept.
#[derive(Debug, Error)]
pub enum StartLimitsError {
    /// There is no pool of connections.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The breaker around the database has no usable settings.
    #[error("the breaker around the database of limits cannot work")]
    Breaker(#[from] InvalidSettings),
}

impl Limits {
    /// Those that `config` says. The database need not be there yet. Must be called in a runtime if there is one.
    ///
    /// # Errors
    ///
    /// [`StartLimitsError`].
    pub fn new(config: LimitsConfig) -> Result<Self, StartLimitsError> {
        let per_address = Arc::new(config.per_address);
        let per_principal = Arc::new(config.per_principal);
        let keys_max = config.keys_max;
        let shared = match config.shared {
            Some(database) => {
                let source = Arc::new(SqlBuckets::new(&database)?);
                Some(SharedLimiter::new(
                    Arc::clone(&per_principal),
                    keys_max,
                    source,
                )?)
            }
            None => None,
        };
        Ok(Self {
            addresses: LocalLimiter::new(Arc::clone(&per_address), keys_max),
            principals: LocalLimiter::new(Arc::clone(&per_principal), keys_max),
            shared,
            of_addresses: Over::new(per_address),
            of_principals: Over::new(per_principal),
        })
    }

    /// Counts a request of this address.
    ///
    /// # Errors
    ///
    /// [`Limited`].
    pub fn check_address(&self, address: IpAddr) -> Result<Decision, Limited> {
        match self.addresses.check(&LimitKey::address(address)) {
            Ok(standing) => Ok(Decision { standing }),
            Err(standing) => self.of_addresses.reached_here(standing),
        }
    }

    /// Counts a request of the principal of this name. One without a usable name is refused, also in shadow.
    ///
    /// # Errors
    ///
    /// [`Limited`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the request may have been counted.
    pub async fn check_principal(
        &self,
        name: &str,
        on_unavailable: OnUnavailable,
    ) -> Result<Decision, Limited> {
        let over = &self.of_principals;
        let Ok(key) = LimitKey::principal(name) else {
            over.local.increment(1);
            let standing = over.nothing_for(over.policy.window());
            return Err(Limited::Reached { standing });
        };
        // Before anything is counted here: it would be counted for nothing.
        let refused_for = self
            .shared
            .as_ref()
            .and_then(|shared| shared.refused_for(&key));
        if let Some(time) = refused_for {
            return over.reached_together(time);
        }
        let standing = match self.principals.check(&key) {
            Ok(standing) => standing,
            Err(standing) => return over.reached_here(standing),
        };
        let Some(shared) = &self.shared else {
            return Ok(Decision { standing });
        };
        match shared.take(&key).await {
            Ok((remaining, reset)) => Ok(Decision {
                standing: standing.or_less(remaining, reset),
            }),
            Err(SharedRefusal::Exhausted { retry_after }) => over.reached_together(retry_after),
            Err(SharedRefusal::Unavailable { retry_after }) => {
                over.unavailable.increment(1);
                match on_unavailable {
                    OnUnavailable::Open => Ok(Decision { standing }),
                    OnUnavailable::Closed => over.refuse(Limited::Unavailable {
                        standing,
                        retry_after,
                    }),
                }
            }
        }
    }

    /// The limit that is kept together, if one is.
    #[must_use]
    pub const fn shared(&self) -> Option<&SharedLimiter> {
        self.shared.as_ref()
    }
}

impl Over {
    fn new(policy: Arc<LimitPolicy>) -> Self {
        let counter = |tier| {
            let name = policy.name().to_owned();
            metrics::counter!("folio_gateway_limited_total", "policy" => name, "tier" => tier)
        };
        Self {
            local: counter("local"),
            shared: counter("shared"),
            unavailable: counter("unavailable"),
            policy,
        }
    }

    fn nothing_for(&self, time: Duration) -> Standing {
        Standing {
            policy: Arc::clone(&self.policy),
            remaining: 0,
            reset: time,
        }
    }

    fn reached_here(&self, standing: Standing) -> Result<Decision, Limited> {
        self.local.increment(1);
        self.refuse(Limited::Reached { standing })
    }

    fn reached_together(&self, time: Duration) -> Result<Decision, Limited> {
        self.shared.increment(1);
        let standing = self.nothing_for(time);
        self.refuse(Limited::Reached { standing })
    }

    fn refuse(&self, limited: Limited) -> Result<Decision, Limited> {
        match (self.policy.mode(), limited) {
            (PolicyMode::Enforced, limited) => Err(limited),
            (
                PolicyMode::Shadow,
                Limited::Reached { standing } | Limited::Unavailable { standing, .. },
            ) => Ok(Decision { standing }),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use tokio_postgres::Config;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn policy(name: &str) -> LimitPolicy {
        LimitPolicy::new(name, 3, HOUR, 3).unwrap()
    }

    fn config() -> LimitsConfig {
        LimitsConfig {
            per_address: policy("address"),
            per_principal: policy("principal"),
            keys_max: LimitsConfig::KEYS_MAX,
            shared: None,
        }
    }

    /// Nobody listens there.
    fn nowhere() -> LimitsDatabase {
        let mut server = Config::new();
        server.host("127.0.0.1").port(1).user("nobody");
        LimitsDatabase::new(server, "nowhere")
    }

    async fn admitted(limits: &Limits, names: &[&str]) -> usize {
        let mut admitted = 0;
        for name in names {
            let decision = limits.check_principal(name, OnUnavailable::Closed).await;
            admitted += usize::from(decision.is_ok());
        }
        admitted
    }

    #[test]
    fn a_network_of_ipv6_has_one_limit_and_is_told_of_it() {
        let limits = Limits::new(config()).unwrap();
        let host = |host: u16| format!("2001:db8::{host:x}").parse().unwrap();
        assert!((0..3).all(|number| limits.check_address(host(number)).is_ok()));
        let limited = limits.check_address(host(4)).unwrap_err();
        assert_eq!(
            (limited.code(), limited.status()),
            ("rate_limited", StatusCode::TOO_MANY_REQUESTS)
        );
        let fields = limited.fields();
        assert_eq!(fields[RATE_LIMIT_POLICY], "\"address\";q=3;w=3600");
        assert_eq!(fields[RATE_LIMIT], "\"address\";r=0;t=1200");
        assert!(
            limits
                .check_address("2001:db8:0:1::1".parse().unwrap())
                .is_ok()
        );
    }

    #[tokio::test]
    async fn variants_of_a_name_are_counted_apart_and_no_name_is_denied() {
        let limits = Limits::new(config()).unwrap();
        assert_eq!(admitted(&limits, &["alice"; 5]).await, 3);
        assert_eq!(admitted(&limits, &["Alice", "alice ", "ALICE"]).await, 3);
        assert_eq!(admitted(&limits, &["", " ", "a\0"]).await, 0);
    }

    #[tokio::test]
    async fn a_limit_in_shadow_refuses_nobody_who_has_a_name() {
        let config = LimitsConfig {
            per_principal: policy("principal").in_shadow(),
            per_address: policy("address").in_shadow(),
            shared: Some(nowhere()),
            ..config()
        };
        let limits = Limits::new(config).unwrap();
        assert_eq!(admitted(&limits, &["alice"; 10]).await, 10);
        assert_eq!(admitted(&limits, &[""]).await, 0);
        let address = "192.0.2.1".parse().unwrap();
        assert!((0..10).all(|_| limits.check_address(address).is_ok()));
        let decision = limits.check_address(address).unwrap();
        assert_eq!(decision.standing.remaining, 0);
    }

    #[tokio::test]
    async fn without_the_database_a_route_is_closed_or_open_as_it_says() {
        let limits = Limits::new(LimitsConfig {
            shared: Some(nowhere()),
            ..config()
        });
        let limits = limits.unwrap();
        let limited = limits
            .check_principal("alice", OnUnavailable::Closed)
            .await
            .unwrap_err();
        assert_eq!(
            (limited.code(), limited.status()),
            ("limits_unavailable", StatusCode::SERVICE_UNAVAILABLE)
        );
        let fields = limited.fields();
        assert_eq!(fields.len(), 1);
        assert_eq!(fields[RATE_LIMIT_POLICY], "\"principal\";q=3;w=3600");
        assert!(limited.retry_after() > Duration::ZERO);
        // By the limit of this gateway, of which one is gone.
        for _ in 0..2 {
            assert!(
                limits
                    .check_principal("alice", OnUnavailable::Open)
                    .await
                    .is_ok()
            );
        }
        let limited = limits
            .check_principal("alice", OnUnavailable::Open)
            .await
            .unwrap_err();
        assert_eq!(limited.code(), "rate_limited");
    }
}
