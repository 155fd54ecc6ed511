//! A store to seal, and what its log must be by its rows alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use folio_audit::{Anchor, FileAnchor, Prover, Sealer, SealerSettings, TrustedLog};
use folio_core::store::{Append, StreamWrite};
use folio_core::{
    Actor, BatchSize, CommandContext, CommandId, EventStore as _, ExpectedVersion, Fingerprint,
    NewEvent, StreamId,
};
use folio_postgres::migrate::store_migrations;
use folio_postgres::{Database, PostgresStore, Role, migrate, provision};
use folio_proofs::Hash;
use folio_proofs::checkpoint::Checkpoint;
use folio_proofs::leaf::{EventLeaf, OutcomeLeaf};
use folio_proofs::map::{Bucket, BucketNumber, Entry, MapTree, StreamKey};
use folio_proofs::merkle::Frontier;
use folio_proofs::note::{SignedNote, SigningKey};
use folio_tests::postgres;
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};
use uuid::Uuid;

/// A store that is ready to be sealed.
pub(crate) struct Book {
    pub(crate) database: Database,
    pub(crate) store: PostgresStore,
    server: Config,
    folder: TempDir,
    commands: AtomicU64,
}

pub(crate) fn stream(id: u64) -> StreamId {
    StreamId::new("account", format!("ä {id}")).unwrap()
}

/// Most leaves in one seal.
pub(crate) fn batch(leaves: u16) -> SealerSettings {
    SealerSettings {
        batch: BatchSize::new(leaves).unwrap(),
        ..SealerSettings::default()
    }
}

impl Book {
    pub(crate) async fn new() -> Self {
        Self::on(postgres::server().await).await
    }

    /// On a server of its own.
    pub(crate) async fn on(server: Config) -> Self {
        let book = Self::unprepared_on(server).await;
        book.prepare().await;
        book
    }

    /// The same, as another process has it.
    pub(crate) async fn of_another_process(&self) -> Self {
        Self {
            database: self.database.clone(),
            store: PostgresStore::open(&self.database, 2).await.unwrap(),
            server: self.server.clone(),
            folder: tempfile::tempdir().unwrap(),
            commands: AtomicU64::new(1 << 32),
        }
    }

    /// A store without the tables of a log.
    pub(crate) async fn unprepared() -> Self {
        Self::unprepared_on(postgres::server().await).await
    }

    async fn unprepared_on(server: Config) -> Self {
        let name = postgres::unique("sealed");
        let roles = [Role::Appender, Role::Reader];
        let database = provision(&server, &name, &roles).await.unwrap();
        migrate(&database, store_migrations()).await.unwrap();
        Self {
            store: PostgresStore::open(&database, 2).await.unwrap(),
            database,
            server,
            folder: tempfile::tempdir().unwrap(),
            commands: AtomicU64::new(0),
        }
    }

    pub(crate) async fn prepare(&self) {
        let prepared = folio_audit::prepare(&self.server, self.database.name()).await;
        prepared.unwrap();
    }

    fn context(&self) -> CommandContext {
        let number = self.commands.fetch_add(1, Ordering::Relaxed).to_string();
        let id = CommandId::derived(&[self.database.name(), &number]);
        CommandContext::new(id, Actor::anonymous())
    }

    /// One command with so many events on a stream.
    pub(crate) async fn append(&self, id: u64, events: u64) {
        let event = |number: u64| NewEvent {
            event_type: "Noted".to_owned(),
            schema_version: 1,
            payload: format!(r#"{{"number": {number}}}"#).into_bytes(),
        };
        let context = self.context();
        let fingerprint = Fingerprint::of(&[context.id.as_uuid().as_bytes()]);
        let write = StreamWrite {
            stream: stream(id),
            expected: ExpectedVersion::Any,
            events: (0..events).map(event).collect(),
        };
        let request = Append::events(context, fingerprint, vec![write]);
        self.store.append(request).await.unwrap();
    }

    /// One command that is refused.
    pub(crate) async fn refuse(&self) -> CommandId {
        let context = self.context();
        let id = context.id;
        let fingerprint = Fingerprint::of(&[id.as_uuid().as_bytes()]);
        let refusal = br#"{"refused":"overdrawn"}"#.to_vec();
        let request = Append::refusal(context, fingerprint, Vec::new(), refusal);
        self.store.append(request).await.unwrap();
        id
    }

    pub(crate) fn key() -> SigningKey {
        SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[7; 32]).unwrap()
    }

    pub(crate) fn log() -> TrustedLog {
        let key = Self::key();
        let origin = key.name().into();
        TrustedLog::new(origin, key.verifying_key().clone())
    }

    pub(crate) async fn file_anchor(&self) -> Arc<FileAnchor> {
        let path = self.folder.path().join("checkpoints");
        Arc::new(FileAnchor::open(path).await.unwrap())
    }

    pub(crate) async fn sealer(&self, settings: SealerSettings) -> Sealer {
        self.sealer_with(settings, self.file_anchor().await).await
    }

    pub(crate) async fn sealer_with(
        &self,
        settings: SealerSettings,
        anchor: Arc<dyn Anchor>,
    ) -> Sealer {
        let log = Self::log();
        let sealer = Sealer::open(&self.database, Self::key(), log, settings, anchor);
        sealer.await.unwrap()
    }

    pub(crate) fn prover(&self) -> Prover {
        Prover::open(&self.database, Self::log(), 2).unwrap()
    }

    /// A session that may do everything.
    pub(crate) async fn superuser(&self) -> Client {
        let mut config = self.server.clone();
        config.dbname(self.database.name());
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Does what no role may do.
    pub(crate) async fn tamper(&self, sql: &str) {
        let client = self.superuser().await;
        let tables = ["audit.checkpoints", "store.events", "store.outcomes"];
        let switch = |how: &str| {
            let each = |table| format!("ALTER TABLE {table} {how} TRIGGER append_only;");
            tables.map(each).concat()
        };
        let all = format!(
            "BEGIN; {} {sql}; {} COMMIT",
            switch("DISABLE"),
            switch("ENABLE ALWAYS")
        );
        client.batch_execute(&all).await.unwrap();
    }

    pub(crate) async fn count(&self, of: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {of}");
        let client = self.superuser().await;
        client.query_one(&sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn checkpoints(&self) -> Vec<Checkpoint> {
        let sql = "SELECT note FROM audit.checkpoints ORDER BY size";
        let rows = self.superuser().await.query(sql, &[]).await.unwrap();
        let open = |note: &str| Self::log().open(&SignedNote::parse(note).unwrap());
        rows.iter().map(|row| open(row.get(0)).unwrap()).collect()
    }

    /// The hashes of all events, and those of all outcomes with their numbers.
    pub(crate) async fn leaves(&self) -> (Vec<Hash>, Vec<(i64, Hash)>) {
        let client = self.superuser().await;
        let events = client
            .query("SELECT * FROM store.events ORDER BY position", &[])
            .await
            .unwrap();
        let event = |row: &tokio_postgres::Row| {
            EventLeaf {
                position: row.get("position"),
                version: row.get("version"),
                recorded_at_micros: row.get("recorded_at"),
                event_id: row.get::<_, Uuid>("event_id").into_bytes(),
                command_id: row.get::<_, Uuid>("command_id").into_bytes(),
                command_events: row.get("command_events"),
                schema_version: row.get("schema_version"),
                category: row.get("category"),
                stream_id: row.get("stream_id"),
                event_type: row.get("event_type"),
                fingerprint: row.get("fingerprint"),
                payload: row.get("payload"),
                metadata: row.get("metadata"),
            }
            .hash()
        };
        let outcomes = client
            .query("SELECT * FROM store.outcomes ORDER BY number", &[])
            .await
            .unwrap();
        let outcome = |row: &tokio_postgres::Row| {
            let leaf = OutcomeLeaf {
                number: row.get("number"),
                command_id: row.get::<_, Uuid>("command_id").into_bytes(),
                recorded_at_micros: row.get("recorded_at"),
                fingerprint: row.get("fingerprint"),
                refusal: row.get("refusal"),
                metadata: row.get("metadata"),
            };
            (leaf.number, leaf.hash())
        };
        (
            events.iter().map(event).collect(),
            outcomes.iter().map(outcome).collect(),
        )
    }

    /// Builds the log and the map anew from the rows of the store, and compares them with every checkpoint. All that
    /// is in the store must be sealed.
    pub(crate) async fn assert_sealed(&self) {
        let (events, outcomes) = self.leaves().await;
        let mut log = Frontier::new();
        let (mut position, mut number) = (0, 0);
        let checkpoints = self.checkpoints().await;
        for checkpoint in &checkpoints {
            let through = checkpoint.through.unwrap();
            let to = usize::try_from(through.position()).unwrap();
            log.extend(events[position..to].iter().copied());
            position = to;
            let new = outcomes
                .iter()
                .filter(|(one, _)| (number + 1..=through.outcome()).contains(one));
            log.extend(new.map(|(_, hash)| *hash));
            number = through.outcome();
            assert_eq!(log.size().number(), checkpoint.size);
            assert_eq!(log.root(), checkpoint.root, "at {}", checkpoint.size);
        }
        assert_eq!(position, events.len(), "all events are sealed");
        assert_eq!(number, outcomes.last().map_or(0, |(number, _)| *number));
        let last = checkpoints.last().unwrap();
        assert_eq!(last.size, (events.len() + outcomes.len()) as u64);
        assert_eq!(last.map_root, Some(self.map_root().await));
        let anchored = self.file_anchor().await.last().await.unwrap().unwrap();
        assert_eq!(Self::log().open(&anchored).unwrap(), *last);
    }

    async fn map_root(&self) -> Hash {
        let sql = "SELECT category, stream_id, max(version), max(position) FROM store.events \
                   GROUP BY category, stream_id";
        let mut buckets: BTreeMap<BucketNumber, Bucket> = BTreeMap::new();
        for row in self.superuser().await.query(sql, &[]).await.unwrap() {
            let key = StreamKey::of(row.get(0), row.get(1));
            let entry = Entry {
                key,
                version: row.get(2),
                position: row.get(3),
            };
            let number = key.bucket();
            let bucket = buckets.entry(number).or_insert(Bucket::empty(number));
            bucket.put(entry).unwrap();
        }
        MapTree::of(buckets.values().map(|one| (one.number(), one.hash()))).root()
    }
}
