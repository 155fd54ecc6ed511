//! The yardsticks: plain SQL on a table with the same columns and indexes as the store's, in the same
//! cluster. Without order, expected versions or command ids it is the limit, not an alternative.

use folio_core::{BatchSize, Event};
use folio_postgres::{Database, Pool, Role};
use futures_util::TryStreamExt;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::account::{Account, AccountEvent};
use crate::measure::{Measured, run};
use crate::{METADATA, next};
use folio_core::{Aggregate, NewEvent};

pub(crate) const CONNECTIONS: usize = 16;

const INSERT: &str = "INSERT INTO public.raw (version, recorded_at, event_id, command_id, \
     command_events, schema_version, category, stream_id, event_type, fingerprint, payload, \
     metadata) \
     SELECT version, 0, event_id, $3, NULLIF((ordinality = 1)::int, 0), 1, 'account', $4, \
     'Credited', decode(repeat('00', 32), 'hex'), payload, $6 \
     FROM unnest($1::bigint[], $2::uuid[], $5::bytea[]) \
          WITH ORDINALITY AS e (version, event_id, payload, ordinality)";

pub(crate) async fn table(database: &Database) {
    let owner = database.connect(Role::Owner).await.unwrap();
    owner
        .batch_execute(&format!(
            "CREATE TABLE public.raw (LIKE store.events); \
             CREATE SEQUENCE public.raw_position; \
             ALTER TABLE public.raw ALTER position SET DEFAULT nextval('raw_position'); \
             ALTER TABLE public.raw ADD PRIMARY KEY (position); \
             CREATE UNIQUE INDEX ON public.raw (category, stream_id, version); \
             CREATE UNIQUE INDEX ON public.raw (command_id) WHERE command_events IS NOT NULL; \
             GRANT ALL ON public.raw, public.raw_position TO {}",
            Role::Appender.name(database.name())
        ))
        .await
        .unwrap();
}

/// Load the stream, decode and fold it, insert one event.
pub(crate) async fn commands(database: &Database, callers: usize, aggregates: usize) -> Measured {
    let pool = database.pool(Role::Appender, CONNECTIONS).unwrap();
    let prefix = next();
    run(callers, move |caller| {
        let pool = pool.clone();
        async move {
            let number = usize::try_from(next()).unwrap();
            let stream = format!("{prefix}-{}", (number * 7_919 + caller) % aggregates);
            loop {
                let mut client = pool.get().await.unwrap();
                let load = client
                    .prepare_cached(
                        "SELECT version, payload FROM public.raw \
                         WHERE category = 'account' AND stream_id = $1 ORDER BY version",
                    )
                    .await
                    .unwrap();
                let rows = client.query(&load, &[&stream]).await.unwrap();
                let (mut state, mut version) = (None, 0_i64);
                for row in &rows {
                    version = row.get(0);
                    let event = decode(row.get(1));
                    state = Account::evolve(state, &event);
                }
                std::hint::black_box(state.map(|account| account.balance));
                let insert = client.prepare_cached(INSERT).await.unwrap();
                let payloads = [payload()];
                let inserted = client
                    .execute(
                        &insert,
                        &[
                            &vec![version + 1],
                            &vec![Uuid::now_v7()],
                            &Uuid::now_v7(),
                            &stream,
                            &payloads.as_slice(),
                            &METADATA,
                        ],
                    )
                    .await;
                client.finished();
                // Another caller was faster on this stream: load and insert again.
                if inserted.is_ok() {
                    return 1;
                }
            }
        }
    })
    .await
}

/// Inserts `events` rows in one statement.
pub(crate) async fn inserts(
    database: &Database,
    callers: usize,
    connections: usize,
    events: usize,
) -> Measured {
    let pool = database.pool(Role::Appender, connections).unwrap();
    run(callers, move |caller| {
        let pool = pool.clone();
        async move {
            let mut client = pool.get().await.unwrap();
            let insert = client.prepare_cached(INSERT).await.unwrap();
            let first = i64::try_from(next() << 10).unwrap();
            let versions: Vec<i64> = (first..).take(events).collect();
            let ids: Vec<Uuid> = (0..events).map(|_| Uuid::now_v7()).collect();
            let (command, stream) = (Uuid::now_v7(), format!("{caller}-{}", first >> 22));
            // Every event has a payload of its own, as Folio's have.
            let payloads: Vec<Vec<u8>> = (0..events).map(|_| payload()).collect();
            let parameters: [&(dyn ToSql + Sync); 6] =
                [&versions, &ids, &command, &stream, &payloads, &METADATA];
            let inserted = client.execute(&insert, &parameters).await.unwrap();
            client.finished();
            inserted
        }
    })
    .await
}

/// Reads one stream of the store and decodes it.
pub(crate) async fn rehydrate(readers: &Pool, stream: &str) -> i64 {
    let mut client = readers.get().await.unwrap();
    let load = client
        .prepare_cached(
            "SELECT payload FROM store.events \
             WHERE category = 'account' AND stream_id = $1 ORDER BY version",
        )
        .await
        .unwrap();
    let rows = client.query(&load, &[&stream]).await.unwrap();
    client.finished();
    let state = rows.iter().fold(None, |state, row| {
        Account::evolve(state, &decode(row.get(0)))
    });
    state.map_or(0, |account| account.balance)
}

/// Copies the store's payloads out in position order, and decodes them.
pub(crate) async fn copy_out(readers: &Pool) -> u64 {
    let mut client = readers.get().await.unwrap();
    let copy = client
        .copy_out(
            "COPY (SELECT position, payload FROM store.events ORDER BY position) \
             TO STDOUT (FORMAT binary)",
        )
        .await
        .unwrap();
    let types = [
        tokio_postgres::types::Type::INT8,
        tokio_postgres::types::Type::BYTEA,
    ];
    let rows = tokio_postgres::binary_copy::BinaryCopyOutStream::new(copy, &types);
    futures_util::pin_mut!(rows);
    let mut events = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        std::hint::black_box(decode(row.get(1)));
        events += 1;
    }
    client.finished();
    events
}

pub(crate) fn decode(payload: &[u8]) -> AccountEvent {
    AccountEvent::Credited(serde_json::from_slice(payload).unwrap())
}

pub(crate) fn payload() -> Vec<u8> {
    let event = AccountEvent::Credited(crate::account::Posting::sample());
    NewEvent::encode(&event).unwrap().payload
}

/// Reads the payloads of the store in pages of position ranges, and decodes them.
pub(crate) async fn pages(readers: &Pool, page: BatchSize) -> u64 {
    let mut client = readers.get().await.unwrap();
    let statement = client
        .prepare_cached(
            "SELECT position, payload FROM store.events \
             WHERE position > $1 AND position <= $2 ORDER BY position",
        )
        .await
        .unwrap();
    let (mut after, mut events) = (0_i64, 0);
    loop {
        let rows = client
            .query(&statement, &[&after, &(after + page.events())])
            .await
            .unwrap();
        let Some(last) = rows.last() else { break };
        after = last.get(0);
        for row in &rows {
            std::hint::black_box(decode(row.get(1)));
            events += 1;
        }
    }
    client.finished();
    let _ = AccountEvent::schema_version("Credited");
    events
}
