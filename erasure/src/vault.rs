//! The keys of all subjects of a book.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::BytesMut;
use folio_core::{Actor, Timestamp};
use folio_postgres::{Database, Pool, PoolError, Role};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::cipher::{KEY_BYTES, SubjectKey};
use crate::subject::SubjectId;

/// How long an answer of the database is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 200;

const FIND: &str = "SELECT key, (extract(epoch FROM forgotten_at) * 1000000)::bigint AS forgotten_at, \
     forgotten_by, reason FROM vault.subjects WHERE subject_id = $1";
const MAKE: &str = "INSERT INTO vault.subjects (subject_id, key) VALUES ($1, $2) \
     ON CONFLICT (subject_id) DO NOTHING";
const FORGET: &str = "UPDATE vault.subjects \
     SET key = NULL, forgotten_at = now(), forgotten_by = $2, reason = $3 \
     WHERE subject_id = $1 AND forgotten_at IS NULL";

/// The keys of all subjects of a book, in a database of its own.
///
/// It remembers nothing: each answer is the database's of that moment. So a subject that another process has forgotten is
/// forgotten here too.
#[derive(Debug)]
pub struct Vault {
    pool: Pool,
}

/// What there is of a subject.
#[derive(Debug)]
pub enum Kept {
    /// Its key.
    Key(SubjectKey),
    /// That it was forgotten.
    Forgotten(Forgotten),
}

/// That a subject was forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// When, by the clock of the vault's database.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: Actor,
    /// Why.
    pub reason: Reason,
}

/// Why a subject is forgotten: 1 to 200 characters, no control characters. It stays, so it should not say who the subject is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// A text that is no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a reason has 1 to {REASON_CHARS_MAX} characters and no control characters")]
pub struct InvalidReason;

/// What the database or the driver said.
type Cause = Box<dyn StdError + Send + Sync>;

/// Why a vault did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The subject was forgotten, and stays so.
    #[error(
        "subject {subject} was forgotten; nothing more is recorded about it, under this name or another key"
    )]
    Forgotten {
        /// The subject.
        subject: SubjectId,
    },
    /// Nothing was ever sealed for it.
    #[error(
        "the vault has no subject {subject}; check its name, and that the vault is this book's"
    )]
    NoSuchSubject {
        /// The subject.
        subject: SubjectId,
    },
    /// No key could be drawn.
    #[error("no key can be drawn; check the system's random numbers, and try again")]
    NotDrawn,
    /// The database gave no answer, or one that no vault gives.
    #[error("the database of the vault gave no answer; try again")]
    Database(#[source] Cause),
}

impl Vault {
    /// Connections that it opens at most.
    pub const CONNECTIONS: usize = 2;

    /// The vault in this database, which was [prepared](crate::prepare).
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn new(database: &Database) -> Result<Self, PoolError> {
        Ok(Self {
            pool: database.pool(Role::Keeper, Self::CONNECTIONS)?,
        })
    }

    /// The key to seal something about a subject with. It is made when it is first asked for.
    ///
    /// # Errors
    ///
    /// [`VaultError`], but not [`VaultError::NoSuchSubject`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave a key that nothing was sealed with.
    pub async fn key_to_seal(&self, subject: &SubjectId) -> Result<SubjectKey, VaultError> {
        let kept = match self.find(subject).await {
            Err(VaultError::NoSuchSubject { .. }) => {
                self.make(subject).await?;
                // Somebody else may have been faster: what is on record is the key.
                self.find(subject).await?
            }
            kept => kept?,
        };
        match kept {
            Kept::Key(key) => Ok(key),
            Kept::Forgotten(_) => Err(VaultError::Forgotten {
                subject: subject.clone(),
            }),
        }
    }

    /// What there is of a subject: its key, or that it was forgotten.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoSuchSubject`] and [`VaultError::Database`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn find(&self, subject: &SubjectId) -> Result<Kept, VaultError> {
        let found = timeout(PATIENCE, self.row(subject)).await;
        let row = found.map_err(failed)?.map_err(VaultError::Database)?;
        let row = row.ok_or_else(|| VaultError::NoSuchSubject {
            subject: subject.clone(),
        })?;
        kept(subject, &row).map_err(VaultError::Database)
    }

    /// Forgets a subject: destroys its key, for good. Where it was forgotten before, the answer is that of before.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoSuchSubject`] and [`VaultError::Database`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the subject was forgotten; calling again makes sure.
    pub async fn forget(
        &self,
        subject: &SubjectId,
        by: &Actor,
        reason: &Reason,
    ) -> Result<Forgotten, VaultError> {
        let parameters: [&(dyn ToSql + Sync); 3] = [&subject.as_str(), &by.name(), &reason.0];
        let forgotten = self.execute(FORGET, &parameters).await;
        forgotten.map_err(VaultError::Database)?;
        match self.find(subject).await? {
            Kept::Forgotten(forgotten) => Ok(forgotten),
            Kept::Key(_) => Err(VaultError::Database("its key is still there".into())),
        }
    }

    async fn make(&self, subject: &SubjectId) -> Result<(), VaultError> {
        let mut key = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| VaultError::NotDrawn)?;
        let parameters: [&(dyn ToSql + Sync); 2] = [&subject.as_str(), &Unshown(key)];
        let made = timeout(PATIENCE, self.execute(MAKE, &parameters)).await;
        made.map_err(failed)?.map_err(VaultError::Database)
    }

    async fn row(&self, subject: &SubjectId) -> Result<Option<Row>, Cause> {
        let mut client = self.pool.get().await?;
        let statement = client.prepare_cached(FIND).await?;
        let row = client.query_opt(&statement, &[&subject.as_str()]).await?;
        client.finished();
        Ok(row)
    }

    async fn execute(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(), Cause> {
        let mut client = self.pool.get().await?;
        client.execute(statement, parameters).await?;
        client.finished();
        Ok(())
    }
}

impl Reason {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reason {
    type Error = InvalidReason;

    fn try_from(text: String) -> Result<Self, InvalidReason> {
        let fits = (1..=REASON_CHARS_MAX).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(InvalidReason)
        }
    }
}

impl FromStr for Reason {
    type Err = InvalidReason;

    fn from_str(text: &str) -> Result<Self, InvalidReason> {
        Self::try_from(text.to_owned())
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

/// A key on its way to the database. The driver logs the parameters of statements, by their `Debug`.
struct Unshown([u8; KEY_BYTES]);

impl fmt::Debug for Unshown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl ToSql for Unshown {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        self.0.as_slice().to_sql(of, out)
    }

    fn accepts(of: &Type) -> bool {
        <&[u8] as ToSql>::accepts(of)
    }

    to_sql_checked!();
}

fn kept(subject: &SubjectId, row: &Row) -> Result<Kept, Cause> {
    if let Some(key) = row.try_get::<_, Option<&[u8]>>("key")? {
        let key = SubjectKey::of(subject.clone(), key).ok_or("a key has 32 bytes")?;
        return Ok(Kept::Key(key));
    }
    let reason: String = row.try_get("reason")?;
    Ok(Kept::Forgotten(Forgotten {
        at: Timestamp::from_micros(row.try_get("forgotten_at")?),
        by: Actor::new(row.try_get::<_, String>("forgotten_by")?)?,
        reason: reason.try_into()?,
    }))
}

fn failed(cause: impl StdError + Send + Sync + 'static) -> VaultError {
    VaultError::Database(Box::new(cause))
}
