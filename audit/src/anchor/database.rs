//! Checkpoints in another database.

use async_trait::async_trait;
use folio_postgres::migrate::Migrations;
use folio_postgres::{Database, Object, Pool, PoolError, Role, migrate, provision};
use folio_proofs::checkpoint::Origin;
use folio_proofs::merkle::ConsistencyProof;
use folio_proofs::note::SignedNote;
use tokio::sync::mpsc;
use tokio_postgres::Config;

use super::{Anchor, AnchorError, Records};
use crate::prepare::PrepareAuditError;

/// Whoever anchors takes on [`Role::Sealer`] of the anchor's database, whoever only reads it [`Role::Auditor`].
const ROLES: &[Role] = &[Role::Sealer, Role::Auditor];
/// One that anchors, and one that reads all of it for a walk.
const CONNECTIONS: usize = 2;
const LAST: &str =
    "SELECT left(note, 65536) FROM anchor.checkpoints WHERE log = $1 ORDER BY number DESC LIMIT 1";
const APPEND: &str = "INSERT INTO anchor.checkpoints (log, note) VALUES ($1, $2)";
const END: &str = "SELECT coalesce(max(number), 0) FROM anchor.checkpoints WHERE log = $1";
// Whoever keeps them may be somebody else: no text is taken whole that is longer than a checkpoint can be.
const PAGE: &str = "SELECT number, left(note, 65536) FROM anchor.checkpoints \
     WHERE log = $1 AND number > $2 AND number <= $3 ORDER BY number LIMIT 256";

/// Checkpoints of a log in a database that is not the one it is of, best on another server. Several logs may be anchored in
/// the same one.
///
/// They are kept as well as the server keeps what it has committed.
#[derive(Debug, Clone)]
pub struct DatabaseAnchor {
    log: Origin,
    name: String,
    connections: Pool,
}

impl DatabaseAnchor {
    /// Makes the database `name` for checkpoints: roles and a table. What is there already is kept.
    ///
    /// # Errors
    ///
    /// [`PrepareAuditError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves some of it made; calling again makes the rest.
    pub async fn prepare(server: &Config, name: &str) -> Result<Database, PrepareAuditError> {
        let database = provision(server, name, ROLES).await?;
        migrate(&database, Self::migrations()).await?;
        Ok(database)
    }

    /// The table of checkpoints.
    #[must_use]
    pub fn migrations() -> Migrations {
        Migrations::new("anchor", embedded::migrations::runner())
    }

    /// The anchor of this log in this database, to append to it. No connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn open(database: &Database, log: Origin) -> Result<Self, PoolError> {
        Self::with(database, log, Role::Sealer)
    }

    /// The same, to read it alone.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn at(database: &Database, log: Origin) -> Result<Self, PoolError> {
        Self::with(database, log, Role::Auditor)
    }

    fn with(database: &Database, log: Origin, role: Role) -> Result<Self, PoolError> {
        Ok(Self {
            log,
            name: format!("in the database {}", database.name()),
            connections: database.pool(role, CONNECTIONS)?,
        })
    }

    async fn connection(&self) -> Result<Object, AnchorError> {
        let connection = self.connections.get().await;
        connection.map_err(|error| self.failed(error))
    }

    fn failed(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AnchorError {
        AnchorError::Unreachable {
            anchor: self.name.clone(),
            source: source.into(),
        }
    }

    fn parse(&self, note: String) -> Result<SignedNote, AnchorError> {
        SignedNote::parse(note).map_err(|error| AnchorError::Damaged {
            anchor: self.name.clone(),
            source: error.into(),
        })
    }

    /// Sends the notes up to the number `end`, page by page.
    async fn send(
        &self,
        end: i64,
        pages: &mpsc::Sender<Result<Vec<String>, AnchorError>>,
    ) -> Result<(), AnchorError> {
        let mut after = i64::MIN;
        loop {
            // A connection for a page: a walk may take hours from one to the next.
            let mut client = self.connection().await?;
            let rows = client
                .query(PAGE, &[&self.log.as_str(), &after, &end])
                .await
                .map_err(|error| self.failed(error))?;
            client.finished();
            drop(client);
            let notes = rows.iter().map(|row| row.try_get(1));
            let notes = notes.collect::<Result<Vec<String>, _>>();
            let notes = notes.map_err(|error| self.failed(error))?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = last.try_get(0).map_err(|error| self.failed(error))?;
            if pages.send(Ok(notes)).await.is_err() {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Anchor for DatabaseAnchor {
    fn place(&self) -> String {
        self.name.clone()
    }

    async fn last(&self) -> Result<Option<SignedNote>, AnchorError> {
        let mut client = self.connection().await?;
        let row = client.query_opt(LAST, &[&self.log.as_str()]).await;
        let row = row.map_err(|error| self.failed(error))?;
        client.finished();
        let note = row.map(|row| row.try_get(0)).transpose();
        let note: Option<String> = note.map_err(|error| self.failed(error))?;
        note.map(|note| self.parse(note)).transpose()
    }

    async fn append(
        &self,
        note: &SignedNote,
        _growth: &ConsistencyProof,
    ) -> Result<(), AnchorError> {
        let mut client = self.connection().await?;
        let appended = client
            .execute(APPEND, &[&self.log.as_str(), &note.to_string()])
            .await;
        appended.map_err(|error| self.failed(error))?;
        client.finished();
        Ok(())
    }

    async fn records(&self) -> Result<Records, AnchorError> {
        let mut client = self.connection().await?;
        let row = client.query_one(END, &[&self.log.as_str()]).await;
        let end = row.and_then(|row| row.try_get(0));
        let end = end.map_err(|error| self.failed(error))?;
        client.finished();
        let (pages, mut taken) = mpsc::channel(1);
        let anchor = self.clone();
        tokio::spawn(async move {
            if let Err(error) = anchor.send(end, &pages).await {
                // Nobody takes it where nobody reads any more.
                let _ = pages.send(Err(error)).await;
            }
        });
        let anchor = self.clone();
        let pages = std::iter::from_fn(move || taken.blocking_recv());
        let records = pages.flat_map(move |page| match page {
            Ok(notes) => notes.into_iter().map(|note| anchor.parse(note)).collect(),
            Err(error) => vec![Err(error)],
        });
        Ok(Box::new(records))
    }
}

mod embedded {
    refinery::embed_migrations!("anchor-migrations");
}
