//! The record of what the projector was given: written in the transaction that moves the checkpoint, and
//! read to be compared with the source.

use std::collections::BTreeMap;

use deadpool_postgres::ClientWrapper;
use folio_core::Position;
use folio_core::filter::Member;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};

use crate::given::Given;
use crate::name::BuildName;
use crate::range::Range;
use crate::record::{Cell, Sharing};
use crate::tally::{EventSum, LANES, Tallies, Tally};

/// Adds tallies to the record: `$1` to `$3` name the partition, `$4` to `$11` are the tallies, column by
/// column, and `$12` is the position that they come after. Events from before a record was kept have no
/// row of `projections.sharings`, and are left out.
macro_rules! record {
    ($from:literal) => {
        concat!(
            "INSERT INTO projections.taken AS t \
             (projection, build, since, partition, range, events, late, parked, disordered, first, last, sums) \
             SELECT $1::text, $2::integer, sharing.since, $3::smallint, e.range, e.events, e.late, e.parked, \
                    e.disordered, e.first, e.last, \
                    ($11::bigint[])[(e.n * 8 - 7)::integer : (e.n * 8)::integer] \
             FROM ",
            $from,
            "(SELECT max(since) AS since FROM projections.sharings \
              WHERE projection = $1 AND build = $2 AND since <= $12) sharing, \
             unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], \
                    $10::bigint[]) \
               WITH ORDINALITY e (range, events, late, parked, disordered, first, last, n) \
             WHERE sharing.since IS NOT NULL \
             ON CONFLICT (projection, build, since, partition, range) DO UPDATE \
             SET events = t.events + excluded.events, late = t.late + excluded.late, \
                 parked = t.parked + excluded.parked, \
                 disordered = t.disordered + excluded.disordered \
                     + coalesce((excluded.first <= t.last)::integer, 0), \
                 first = least(t.first, excluded.first), last = greatest(t.last, excluded.last), \
                 sums = ARRAY(SELECT a + b FROM unnest(t.sums, excluded.sums) WITH ORDINALITY s (a, b, n) \
                              ORDER BY n)"
        )
    };
}

const RECORD: &str = record!("");
/// Moves a checkpoint and records what the projector is given for it. Compare and set: no row means that
/// somebody else has the lease, or has moved the checkpoint, and then nothing is recorded either.
pub(crate) const MOVE: &str = concat!(
    "WITH moved AS (UPDATE projections.checkpoints \
     SET store_id = $14, position = $15, event_hash = $16, updated_at = now() \
     WHERE projection = $1 AND build = $2 AND partition = $3 AND epoch = $13 AND position = $12 \
     RETURNING position), recorded AS (",
    record!("moved, "),
    ") SELECT EXISTS (SELECT FROM projections.dead_letters \
                      WHERE projection = $1 AND build = $2 AND resolution IS NULL) FROM moved"
);
const HOME: &str = "SELECT partitions FROM projections.sharings \
     WHERE projection = $1 AND build = $2 AND since < $3 ORDER BY since DESC LIMIT 1";
const SHARINGS: &str = "SELECT since, partitions FROM projections.sharings \
     WHERE projection = $1 AND build = $2 ORDER BY since";
const TAKEN: &str = "SELECT range, since, partition, events, late, parked, disordered, first, last, sums \
     FROM projections.taken WHERE projection = $1 AND build = $2 AND range >= $3";
/// From `since` on, a build is shared out otherwise. Where nothing was taken in since it was shared out
/// last, that was never so.
const SHARE_OUT: &str = "INSERT INTO projections.sharings (projection, build, since, partitions) \
     VALUES ($1, $2, $3, $4) \
     ON CONFLICT (projection, build, since) DO UPDATE SET partitions = excluded.partitions";
/// What was recorded goes with them.
const FORGET: &str = "DELETE FROM projections.sharings WHERE projection = $1 AND build = $2";

/// Tallies as the parameters of a statement.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    ranges: Vec<i64>,
    events: Vec<i64>,
    late: Vec<i64>,
    parked: Vec<i64>,
    disordered: Vec<i64>,
    first: Vec<Option<i64>>,
    last: Vec<Option<i64>>,
    sums: Vec<i64>,
}

impl Columns {
    pub(crate) fn of(tallies: &Tallies) -> Self {
        let mut columns = Self::default();
        for (range, tally) in tallies {
            columns.ranges.push(range.number());
            columns.events.push(tally.events);
            columns.late.push(tally.late);
            columns.parked.push(tally.parked);
            columns.disordered.push(tally.disordered);
            columns.first.push(tally.first.map(Position::number));
            columns.last.push(tally.last.map(Position::number));
            columns.sums.extend(tally.sum.lanes());
        }
        columns
    }

    /// In the order of the statements here.
    pub(crate) fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.ranges,
            &self.events,
            &self.late,
            &self.parked,
            &self.disordered,
            &self.first,
            &self.last,
            &self.sums,
        ]
    }
}

/// Records what became of events of a partition behind `after`.
pub(crate) async fn record(
    client: &ClientWrapper,
    build: &BuildName,
    partition: i16,
    after: Position,
    tallies: &Tallies,
) -> Result<(), Error> {
    if tallies.is_empty() {
        return Ok(());
    }
    let statement = client.prepare_cached(RECORD).await?;
    let (columns, after) = (Columns::of(tallies), after.number());
    let [a, b, c, d, e, f, g, h] = columns.parameters();
    let (projection, number) = (&build.projection, &build.build);
    let parameters: [&(dyn ToSql + Sync); 12] = [
        projection, number, &partition, a, b, c, d, e, f, g, h, &after,
    ];
    client.execute(&statement, &parameters).await?;
    Ok(())
}

/// Records that an event is taken in that had been parked: with the partition that had it when it was its
/// turn.
pub(crate) async fn record_late(
    client: &ClientWrapper,
    build: &BuildName,
    given: &Given,
) -> Result<(), Error> {
    let Some(event) = given.events().first() else {
        return Ok(());
    };
    let position = event.position.number();
    let home = client
        .query_opt(HOME, &[&build.projection, &build.build, &position])
        .await?;
    let Some(home) = home else { return Ok(()) };
    let of: i16 = home.try_get(0)?;
    let partition = Member::of_stream(&event.stream, u16::try_from(of).unwrap_or(1));
    let partition = i16::try_from(partition).unwrap_or(i16::MAX);
    let before = Position::START.plus(position.saturating_sub(1));
    record(client, build, partition, before, given.tallies()).await
}

/// Writes down that a build is filled in so many partitions from behind `since` on.
pub(crate) async fn share_out(
    client: &Client,
    build: &BuildName,
    since: i64,
    partitions: i16,
) -> Result<(), Error> {
    let (projection, number) = (&build.projection, &build.build);
    client
        .execute(SHARE_OUT, &[projection, number, &since, &partitions])
        .await?;
    Ok(())
}

/// Forgets what was recorded of a build that begins again.
pub(crate) async fn forget(client: &Client, build: &BuildName) -> Result<(), Error> {
    client
        .execute(FORGET, &[&build.projection, &build.build])
        .await?;
    Ok(())
}

/// How a build was shared out, the earliest first.
pub(crate) async fn sharings(client: &Client, build: &BuildName) -> Result<Vec<Sharing>, Error> {
    let rows = client
        .query(SHARINGS, &[&build.projection, &build.build])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Sharing {
                since: Position::START.plus(row.try_get(0)?),
                of: u16::try_from(row.try_get::<_, i16>(1)?).unwrap_or(1),
            })
        })
        .collect()
}

/// What is recorded of a build, from a range on.
pub(crate) async fn recorded(
    client: &Client,
    build: &BuildName,
    from: Range,
) -> Result<BTreeMap<Cell, Tally>, Error> {
    let rows = client
        .query(TAKEN, &[&build.projection, &build.build, &from.number()])
        .await?;
    let position = |number: i64| Position::START.plus(number);
    rows.iter()
        .map(|row| {
            let cell = Cell {
                range: Range::numbered(row.try_get(0)?),
                since: position(row.try_get(1)?),
                partition: u16::try_from(row.try_get::<_, i16>(2)?).unwrap_or(u16::MAX),
            };
            let lanes: Vec<i64> = row.try_get(9)?;
            let tally = Tally {
                events: row.try_get(3)?,
                late: row.try_get(4)?,
                parked: row.try_get(5)?,
                disordered: row.try_get(6)?,
                first: row.try_get::<_, Option<i64>>(7)?.map(position),
                last: row.try_get::<_, Option<i64>>(8)?.map(position),
                sum: EventSum::from_lanes(&lanes).unwrap_or_default(),
            };
            Ok((cell, tally))
        })
        .collect()
}

const _: () = assert!(LANES == 8, "the statements cut sums apart by it");
