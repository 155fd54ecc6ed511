//! Appends what was committed to the log.

use std::sync::Arc;

use folio_postgres::{Database, Pool, Role, Transaction, commit};
use folio_proofs::checkpoint::{Checkpoint, Through};
use folio_proofs::merkle::{Size, TreeHead};
use folio_proofs::note::{SignedNote, SigningKey};
use tokio_postgres::Client;

use crate::anchor::Anchor;
use crate::checkpoints::{self, Kept, LogEnd};
use crate::error::{NotAsAnchored, SealError};
use crate::lag::{Alarm, Lag};
use crate::leaves::NewLeaves;
use crate::map::StreamMap;
use crate::settings::SealerSettings;
use crate::tiles;
use crate::trusted::TrustedLog;

// One sealer waits for the other, and not for ever for one that hangs: its transaction ends with its session.
const OPENING: &str = "SET LOCAL lock_timeout = '30s'; \
     SET LOCAL idle_in_transaction_session_timeout = '30s'";
const LOCK: &str = "SELECT singleton FROM audit.sealer FOR UPDATE";

/// Seals an event store: a log, a map and checkpoints, in the store's own database.
///
/// Several may seal one store. One seals at a time, and what it writes is one transaction: it is all there or not at all.
///
/// Its metrics are `folio_seal_lag_events`, the events that are not sealed yet; `folio_seal_age_seconds`, how long the
/// oldest of what is not sealed has waited; and `folio_sealed_leaves_total`.
#[derive(Debug)]
pub struct Sealer {
    pub(crate) log: TrustedLog,
    pub(crate) settings: SealerSettings,
    pub(crate) alarm: Alarm,
    key: Arc<SigningKey>,
    sealers: Pool,
    anchor: Arc<dyn Anchor>,
    /// As of the last seal. None while one is under way, and after one that has failed.
    map: Option<StreamMap>,
}

/// What a seal has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The last checkpoint, which is a new one when anything was sealed.
    pub checkpoint: Checkpoint,
    /// The events that were sealed.
    pub events: u64,
    /// The outcomes that were sealed.
    pub outcomes: u64,
}

impl Sealed {
    /// How many leaves were appended.
    #[must_use]
    pub const fn leaves(&self) -> u64 {
        self.events + self.outcomes
    }
}

impl Sealer {
    /// Connections that it opens at most.
    pub const CONNECTIONS: usize = 1;

    /// Seals the store in this database, which was [prepared](crate::prepare), as `log`, and signs with this key. Nothing
    /// is sealed yet; what is there is compared with the anchor.
    ///
    /// # Errors
    ///
    /// [`SealError`], when the database or the anchor cannot be asked, or say different things.
    pub async fn open(
        database: &Database,
        key: impl Into<Arc<SigningKey>>,
        log: TrustedLog,
        settings: SealerSettings,
        anchor: Arc<dyn Anchor>,
    ) -> Result<Self, SealError> {
        let key = key.into();
        let log = log.also_signed_by(key.verifying_key().clone());
        let sealer = Self {
            log,
            settings,
            alarm: Alarm::Silent,
            key,
            sealers: database.pool(Role::Sealer, Self::CONNECTIONS)?,
            anchor,
            map: None,
        };
        let anchored = sealer.anchored().await?;
        let mut client = sealer.connection().await?;
        let last = checkpoints::last(&client, &sealer.log).await?;
        sealer.compare(&client, anchored, last.as_ref()).await?;
        client.finished();
        drop(client);
        Ok(sealer)
    }

    /// Seals what is behind the last seal, at most as much as the settings say, and anchors the last checkpoint if
    /// that is not done. Where there is nothing to seal, there is no new checkpoint, unless there was none before.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a seal is there as a whole or not at all, and the next one goes on from there.
    pub async fn seal_once(&mut self) -> Result<Sealed, SealError> {
        let anchored = self.anchored().await?;
        let anchored_size = anchored.as_ref().map(|checkpoint| checkpoint.size);
        let (sealed, note) = self.seal(anchored).await?;
        // After the commit: what is anchored must be there. A crash in between leaves it to the next seal.
        if anchored_size.is_none_or(|size| size < sealed.checkpoint.size) {
            self.anchor.append(&note).await?;
        }
        Ok(sealed)
    }

    /// How far the log is behind, for those who look at the metrics.
    pub(crate) async fn measure(&mut self) -> Result<(), SealError> {
        let mut client = self.connection().await?;
        let lag = Lag::measure(&client).await?;
        client.finished();
        lag.publish(self.log.origin());
        self.alarm = self
            .alarm
            .hear(self.log.origin(), lag, self.settings.alarm_after);
        Ok(())
    }

    async fn seal(
        &mut self,
        anchored: Option<Checkpoint>,
    ) -> Result<(Sealed, SignedNote), SealError> {
        let transaction = Transaction::begin(self.connection().await?, OPENING).await?;
        // From here on nobody else seals, and what others have sealed is seen.
        transaction.query_one(LOCK, &[]).await?;
        let last = checkpoints::last(&transaction, &self.log).await?;
        self.compare(&transaction, anchored, last.as_ref()).await?;
        let end = last.as_ref().map_or_else(LogEnd::empty, |kept| kept.end);
        let leaves = NewLeaves::read(&transaction, end, self.settings.batch).await?;
        if let Some(Kept {
            note, checkpoint, ..
        }) = last
            && leaves.is_empty()
        {
            transaction.rollback().await?;
            let sealed = Sealed {
                checkpoint,
                events: 0,
                outcomes: 0,
            };
            return Ok((sealed, note));
        }

        let known = self.map.take();
        let head = append_to_log(&transaction, end, &leaves).await?;
        let mut map = StreamMap::read(&transaction, known, end).await?;
        let streams = leaves.streams.values().copied();
        map.put(&transaction, streams, head.size).await?;
        let (events, outcomes) = leaves.through;
        let end = LogEnd {
            head,
            map_root: map.root(),
            events,
            outcomes,
            sealed_at_micros: leaves.at_micros,
        };
        let checkpoint = self.checkpoint(end);
        let note = checkpoint.sign(&self.key)?;
        checkpoints::keep(&transaction, end, &note).await?;
        commit(transaction).await?;
        self.map = Some(map);

        let (events, outcomes) = leaves.counts();
        let sealed = Sealed {
            checkpoint,
            events,
            outcomes,
        };
        metrics::counter!("folio_sealed_leaves_total", "log" => self.log.origin().to_string())
            .increment(sealed.leaves());
        Ok((sealed, note))
    }

    fn checkpoint(&self, end: LogEnd) -> Checkpoint {
        Checkpoint {
            origin: self.log.origin().clone(),
            size: end.head.size.number(),
            root: end.head.root,
            map_root: Some(end.map_root),
            through: Through::new(end.events, end.outcomes),
            sealed_at_micros: Some(end.sealed_at_micros),
            extensions: Vec::new(),
        }
    }

    async fn anchored(&self) -> Result<Option<Checkpoint>, SealError> {
        let Some(note) = self.anchor.last().await? else {
            return Ok(None);
        };
        let opened = self.log.open(&note);
        opened
            .map(Some)
            .map_err(|error| SealError::ForeignAnchor(Box::new(error)))
    }

    /// What was anchored must be in the log.
    async fn compare(
        &self,
        client: &Client,
        anchored: Option<Checkpoint>,
        last: Option<&Kept>,
    ) -> Result<(), SealError> {
        let Some(anchored) = anchored else {
            return Ok(());
        };
        let found = match last {
            Some(last) if last.checkpoint == anchored => return Ok(()),
            _ => checkpoints::of_size(client, &self.log, Size::new(anchored.size)).await?,
        };
        let found = found.map(|kept| kept.checkpoint);
        if found.as_ref() == Some(&anchored) {
            return Ok(());
        }
        let last = last.map(|kept| kept.checkpoint.clone());
        let not = NotAsAnchored {
            anchored,
            found,
            last,
        };
        Err(Box::new(not).into())
    }

    async fn connection(&self) -> Result<folio_postgres::Object, SealError> {
        let connection = self.sealers.get().await;
        connection.map_err(|error| SealError::Unavailable(error.into()))
    }
}

async fn append_to_log(
    client: &Client,
    end: LogEnd,
    leaves: &NewLeaves,
) -> Result<TreeHead, SealError> {
    let mut writer = tiles::resume(client, end).await?;
    leaves.hashes().for_each(|leaf| writer.append(leaf));
    tiles::keep(client, &writer.take_changed()).await?;
    Ok(writer.head())
}
