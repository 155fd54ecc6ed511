//! Appends what was committed to the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use folio_postgres::{Database, Pool, Role, Transaction, commit};
use folio_proofs::checkpoint::{Checkpoint, Through};
use folio_proofs::merkle::{ConsistencyPlan, ConsistencyProof, Size, TreeHead};
use folio_proofs::note::{SignedNote, SigningKey};
use tokio::task::yield_now;
use tokio_postgres::Client;

use crate::altered::Altered;
use crate::anchor::Anchors;
use crate::anchoring::Anchoring;
use crate::checkpoints::{self, Kept, LogEnd};
use crate::error::{NotAsAnchored, SealError};
use crate::fresh::FreshLeaves;
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
/// oldest of what is not sealed has waited; `folio_sealed_leaves_total`; and for each anchor `folio_anchor_lag_leaves`, what is
/// sealed and not anchored there.
#[derive(Debug)]
pub struct Sealer {
    pub(crate) log: TrustedLog,
    pub(crate) settings: SealerSettings,
    pub(crate) alarm: Alarm,
    key: Arc<SigningKey>,
    sealers: Pool,
    anchoring: Anchoring,
    fresh: Option<Arc<FreshLeaves>>,
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
    /// How many anchors do not have the last checkpoint yet.
    pub unanchored: usize,
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
    /// is sealed yet; what is there is compared with the anchors.
    ///
    /// # Errors
    ///
    /// [`SealError`], when the database or all of the anchors cannot be asked, or say different things.
    pub async fn open(
        database: &Database,
        key: impl Into<Arc<SigningKey>>,
        log: TrustedLog,
        settings: SealerSettings,
        anchors: impl Into<Anchors>,
    ) -> Result<Self, SealError> {
        let key = key.into();
        let log = log.also_signed_by(key.verifying_key().clone());
        let mut sealer = Self {
            log,
            settings,
            alarm: Alarm::Silent,
            key,
            sealers: database.pool(Role::Sealer, Self::CONNECTIONS)?,
            anchoring: Anchoring::of(anchors.into()),
            fresh: None,
            map: None,
        };
        sealer.anchoring.ask(&sealer.log, sealer.settings).await?;
        let mut client = sealer.connection().await?;
        let last = checkpoints::last(&client, &sealer.log).await?;
        sealer.compare(&client, last.as_ref()).await?;
        client.finished();
        drop(client);
        Ok(sealer)
    }

    /// Has the leaves of what this process commits from there, as far as they are: they [hear](folio_postgres::CommitObserver)
    /// of it from the store.
    #[must_use]
    pub fn with_fresh(self, leaves: Arc<FreshLeaves>) -> Self {
        Self {
            fresh: Some(leaves),
            ..self
        }
    }

    /// Seals what is behind the last seal, at most as much as the settings say, and anchors the last checkpoint where
    /// that is not done. An anchor that is away keeps nothing from being sealed, as long as one has said since the sealer was opened
    /// what it has: what it said last is compared, and it gets the checkpoint when it is back. Where there is nothing to seal, there is no new checkpoint, unless there was none before.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a seal is there as a whole or not at all, and the next one goes on from there.
    pub async fn seal_once(&mut self) -> Result<Sealed, SealError> {
        self.anchoring.ask(&self.log, self.settings).await?;
        let (mut sealed, note) = self.seal().await?;
        // After the commit: what is anchored must be there. A crash in between leaves it to the next seal.
        let size = Size::new(sealed.checkpoint.size);
        let behind = self.anchoring.behind(size);
        if !behind.is_empty() {
            let growth = self.growth(behind, size).await?;
            self.anchoring
                .append(&sealed.checkpoint, &note, &growth, self.settings)
                .await;
        }
        sealed.unanchored = self.anchoring.publish(self.log.origin(), size);
        Ok(sealed)
    }

    /// How far the log is behind, for those who look at the metrics.
    pub(crate) async fn measure(&mut self) -> Result<(), SealError> {
        let lag = Lag::told(&self.sealers, self.log.origin()).await?;
        self.alarm = self
            .alarm
            .hear(self.log.origin(), lag, self.settings.alarm_after);
        Ok(())
    }

    async fn seal(&mut self) -> Result<(Sealed, SignedNote), SealError> {
        let transaction = Transaction::begin(self.connection().await?, OPENING).await?;
        // From here on nobody else seals, and what others have sealed is seen.
        transaction.query_one(LOCK, &[]).await?;
        let last = checkpoints::last(&transaction, &self.log).await?;
        self.compare(&transaction, last.as_ref()).await?;
        let end = last.as_ref().map_or_else(LogEnd::empty, |kept| kept.end);
        let leaves = NewLeaves::read(
            &transaction,
            end,
            self.settings.batch,
            self.fresh.as_deref(),
        )
        .await?;
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
                unanchored: 0,
            };
            return Ok((sealed, note));
        }

        let known = self.map.take();
        let head = append_to_log(&transaction, end, &leaves).await?;
        let mut map = StreamMap::read(&transaction, known, end).await?;
        map.put(&transaction, leaves.streams.entries(), head.size)
            .await?;
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
            unanchored: 0,
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

    /// What was anchored must be in the log.
    async fn compare(&self, client: &Client, last: Option<&Kept>) -> Result<(), SealError> {
        for anchored in self.anchoring.anchored() {
            let found = match last {
                Some(last) if last.checkpoint == *anchored => continue,
                _ => checkpoints::of_size(client, &self.log, Size::new(anchored.size)).await?,
            };
            let found = found.map(|kept| kept.checkpoint);
            if found.as_ref() == Some(anchored) {
                continue;
            }
            let not = NotAsAnchored {
                anchored: anchored.clone(),
                found,
                last: last.map(|kept| kept.checkpoint.clone()),
            };
            return Err(Box::new(not).into());
        }
        Ok(())
    }

    /// That the log has only grown since each of these sizes.
    async fn growth(
        &self,
        since: Vec<Size>,
        to: Size,
    ) -> Result<BTreeMap<Size, ConsistencyProof>, SealError> {
        let mut client = self.connection().await?;
        let mut proofs = BTreeMap::new();
        for from in since {
            let Ok(plan) = ConsistencyPlan::new(from, to) else {
                continue;
            };
            let tiles = tiles::read(&client, &plan.tiles()).await?;
            proofs.insert(from, plan.prove(&tiles).map_err(Altered::from)?);
        }
        client.finished();
        Ok(proofs)
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
    for some in leaves.hashes() {
        some.iter().for_each(|leaf| writer.append(*leaf));
        yield_now().await;
    }
    tiles::keep(client, &writer.take_changed()).await?;
    Ok(writer.head())
}
