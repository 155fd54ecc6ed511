//! The API keys that there are.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use folio_postgres::migrate::Migrations;
use folio_postgres::{Database, Pool, PoolError, Role};
use thiserror::Error;
use tokio::time::{Instant, timeout};

use super::api_key::{ApiKey, KeyPrefix};
use super::known_keys::{Found, KnownKeys, Record};
use super::principal::{Principal, PrincipalKind, Scope, Subject};

/// How long an answer of the database is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many prefixes are drawn until one is free.
const DRAWN_MAX: usize = 3;

const CREATE: &str = "INSERT INTO gateway.api_keys (prefix, secret_sha256, principal, scopes) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (prefix) DO NOTHING";
const REVOKE: &str =
    "UPDATE gateway.api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE prefix = $1";
const FIND: &str = "SELECT secret_sha256, principal, scopes FROM gateway.api_keys \
     WHERE prefix = $1 AND revoked_at IS NULL";

mod embedded {
    refinery::embed_migrations!("migrations-keys");
}

/// The keys in a database.
///
/// What was looked up is believed for [`REVOKED_WITHIN`](super::REVOKED_WITHIN): by then every gateway refuses a key
/// that was revoked, the one that revoked it at once. When the database does not answer, keys that were not looked up
/// just before are [unavailable](ApiKeyRefusal::Unavailable), and not refused for good.
#[derive(Debug)]
pub struct ApiKeys {
    readers: Pool,
    writers: Pool,
    known: KnownKeys,
}

/// What became of a key that was to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, now or since before.
    Revoked,
    /// There is none of this prefix.
    NoSuchKey,
}

/// What the database or the driver said.
type Cause = Box<dyn StdError + Send + Sync>;

/// Why keys could not be changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApiKeysError {
    /// The database gave no answer.
    #[error(
        "the database of the API keys gave no answer; whether the key was changed is not known"
    )]
    Database(#[source] Cause),
    /// The system gives no random numbers, or every prefix that was drawn is taken.
    #[error("no key can be drawn; check the system's random numbers, and try again")]
    NotDrawn,
}

/// Why a key is not believed. This is for the log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApiKeyRefusal {
    /// It is not one.
    #[error("what was brought is no API key")]
    Malformed,
    /// There is none of this prefix, or it was revoked.
    #[error("there is no key {prefix}, or it was revoked")]
    NoSuchKey {
        /// The prefix.
        prefix: KeyPrefix,
    },
    /// The secret is another one.
    #[error("the secret is not the one of key {prefix}")]
    OtherSecret {
        /// The prefix.
        prefix: KeyPrefix,
    },
    /// It is not known whether there is one.
    #[error("the database of the API keys gave no answer")]
    Unavailable(#[source] Cause),
}

/// The migrations of the table of keys.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new("gateway", embedded::migrations::runner())
}

impl ApiKeys {
    /// What the roles in the database are for.
    pub const ROLES: &[Role] = &[Role::Projector, Role::Reader];
    /// Connections that it opens at most.
    pub const CONNECTIONS: usize = Self::READERS + Self::WRITERS;
    const READERS: usize = 4;
    const WRITERS: usize = 1;

    /// The keys in this database, in which the [`migrations`] were applied.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn new(database: &Database) -> Result<Self, PoolError> {
        Ok(Self {
            readers: database.pool(Role::Reader, Self::READERS)?,
            writers: database.pool(Role::Projector, Self::WRITERS)?,
            known: KnownKeys::default(),
        })
    }

    /// Makes a key. It can be shown now and not again.
    ///
    /// # Errors
    ///
    /// [`ApiKeysError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave a key on record that nobody has seen.
    pub async fn create(
        &self,
        principal: &Subject,
        scopes: &BTreeSet<Scope>,
    ) -> Result<ApiKey, ApiKeysError> {
        for _ in 0..DRAWN_MAX {
            let key = ApiKey::random().ok_or(ApiKeysError::NotDrawn)?;
            let kept = self.keep(&key, principal, scopes);
            if kept.await.map_err(ApiKeysError::Database)? {
                // Somebody may have asked for it before it was one.
                self.known.forget(key.prefix());
                return Ok(key);
            }
        }
        Err(ApiKeysError::NotDrawn)
    }

    /// Revokes a key. It can be repeated.
    ///
    /// # Errors
    ///
    /// [`ApiKeysError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the key was revoked; calling again makes sure.
    pub async fn revoke(&self, prefix: &KeyPrefix) -> Result<Revocation, ApiKeysError> {
        let revoked = self.revoke_on_record(prefix).await;
        self.known.forget(prefix);
        match revoked.map_err(ApiKeysError::Database)? {
            true => Ok(Revocation::Revoked),
            false => Ok(Revocation::NoSuchKey),
        }
    }

    /// Who has this key.
    ///
    /// # Errors
    ///
    /// [`ApiKeyRefusal`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn verify(&self, key: &ApiKey) -> Result<Principal, ApiKeyRefusal> {
        let prefix = key.prefix();
        let found = match self.known.find(prefix) {
            Some(found) => found,
            None => self
                .look_up(prefix)
                .await
                .map_err(ApiKeyRefusal::Unavailable)?,
        };
        let Some(record) = found else {
            let prefix = prefix.clone();
            return Err(ApiKeyRefusal::NoSuchKey { prefix });
        };
        match verify_slices_are_equal(&record.sha256, &key.sha256()) {
            Ok(()) => Ok(record.principal.clone()),
            Err(_) => Err(ApiKeyRefusal::OtherSecret {
                prefix: prefix.clone(),
            }),
        }
    }

    async fn look_up(&self, prefix: &KeyPrefix) -> Result<Found, Cause> {
        // Before it is asked: what was revoked after that may not be seen.
        let asked = Instant::now();
        let found = timeout(PATIENCE, self.on_record(prefix)).await??;
        self.known.keep(prefix, &found, asked);
        Ok(found)
    }

    async fn on_record(&self, prefix: &KeyPrefix) -> Result<Found, Cause> {
        let mut client = self.readers.get().await?;
        let statement = client.prepare_cached(FIND).await?;
        let row = client.query_opt(&statement, &[&prefix.as_str()]).await?;
        client.finished();
        let Some(row) = row else { return Ok(None) };
        let sha256: &[u8] = row.try_get(0)?;
        let (name, scopes): (&str, Vec<&str>) = (row.try_get(1)?, row.try_get(2)?);
        let scopes: Result<_, _> = scopes.into_iter().map(str::parse).collect();
        Ok(Some(Arc::new(Record {
            sha256: sha256.try_into()?,
            principal: Principal::new(name.parse()?, scopes?, PrincipalKind::ApiKey),
        })))
    }

    /// Whether its prefix was free.
    async fn keep(
        &self,
        key: &ApiKey,
        principal: &Subject,
        scopes: &BTreeSet<Scope>,
    ) -> Result<bool, Cause> {
        let scopes: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
        let (prefix, sha256) = (key.prefix().as_str(), key.sha256());
        let mut client = self.writers.get().await?;
        let kept = client
            .execute(
                CREATE,
                &[&prefix, &sha256.as_slice(), &principal.as_str(), &scopes],
            )
            .await?;
        client.finished();
        Ok(kept == 1)
    }

    /// Whether there is one.
    async fn revoke_on_record(&self, prefix: &KeyPrefix) -> Result<bool, Cause> {
        let mut client = self.writers.get().await?;
        let revoked = client.execute(REVOKE, &[&prefix.as_str()]).await?;
        client.finished();
        Ok(revoked == 1)
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::Config;

    use super::*;

    /// Keys in a database that is not there, of which one was looked up just before.
    fn keys() -> (ApiKeys, ApiKey) {
        let mut config = Config::new();
        config.host("/nowhere").user("nobody");
        let keys = ApiKeys::new(&Database::new(config, "nothing")).unwrap();
        let key = ApiKey::random().unwrap();
        let record = Record {
            sha256: key.sha256(),
            principal: Principal::new(
                "ada".parse().unwrap(),
                Scope::parse_all("ledger:read").unwrap(),
                PrincipalKind::ApiKey,
            ),
        };
        let found = Some(Arc::new(record));
        keys.known.keep(key.prefix(), &found, Instant::now());
        (keys, key)
    }

    /// A key of the same prefix whose secret is another one in one bit.
    fn almost(key: &ApiKey) -> ApiKey {
        let text = key.reveal();
        let (begins, secret) = text.split_at(15);
        let first = if secret.starts_with('A') { "B" } else { "A" };
        format!("{begins}{first}{}", &secret[1..]).parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_the_whole_key_is_believed() {
        let (keys, key) = keys();
        let principal = keys.verify(&key).await.unwrap();
        assert_eq!(principal.name().as_str(), "ada");
        assert_eq!(principal.kind(), PrincipalKind::ApiKey);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_another_secret_is_refused() {
        let (keys, key) = keys();
        let refusal = keys.verify(&almost(&key)).await.unwrap_err();
        assert!(
            matches!(refusal, ApiKeyRefusal::OtherSecret { .. }),
            "{refusal:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_was_not_looked_up_just_before_is_not_believed_unseen() {
        let (keys, key) = keys();
        tokio::time::advance(super::super::REVOKED_WITHIN).await;
        let refusal = keys.verify(&key).await.unwrap_err();
        assert!(
            matches!(refusal, ApiKeyRefusal::Unavailable(_)),
            "{refusal:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_secret_is_in_what_is_shown_of_keys() {
        let (keys, key) = keys();
        keys.verify(&key).await.unwrap();
        let refusal = keys.verify(&almost(&key)).await.unwrap_err();
        let shown = format!("{keys:?} {refusal} {refusal:?} {key:?}");
        let text = key.reveal();
        // But for the character that differs.
        assert!(!shown.contains(&text[16..]), "{shown}");
    }
}
