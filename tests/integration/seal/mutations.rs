//! Walks over a store in which somebody who may do everything changes rows at random: the triggers and every constraint are out
//! of their way.

use folio_audit::{Finding, RowAt, Walk, Walked};
use folio_tests::scale;
use tokio_postgres::Client;

use super::book::{Book, batch};
use crate::turmoil::Chance;

/// Changes at a scale of 1, each of them walked over.
const MUTATIONS: u64 = 1_000;
const EVENTS: i64 = 132;

/// What becomes of a column of an event. `{d}` stands for a number, `{b}` for the place of a byte.
const OF_EVENTS: [&str; 19] = [
    "version = version + {d}",
    "version = version - {d}",
    "recorded_at = recorded_at + {d}",
    "recorded_at = recorded_at - {d}",
    "event_id = gen_random_uuid()",
    "command_id = gen_random_uuid()",
    "command_events = coalesce(command_events, 0) + {d}",
    "command_events = CASE WHEN command_events IS NULL THEN {d} END",
    "schema_version = schema_version + {d}",
    "category = category || 's'",
    "category = NULL",
    "stream_id = stream_id || '0'",
    "event_type = upper(event_type)",
    "fingerprint = CASE WHEN fingerprint IS NULL THEN decode(repeat('00', 32), 'hex') END",
    "fingerprint = CASE WHEN fingerprint IS NULL THEN '' \
     ELSE set_byte(fingerprint, {b}, get_byte(fingerprint, {b}) # 1) END",
    "payload = set_byte(payload, {b} % length(payload), 7)",
    "payload = NULL",
    "metadata = set_byte(metadata, {b} % length(metadata), 7)",
    "metadata = metadata || decode('20', 'hex')",
];

/// The same of an outcome.
const OF_OUTCOMES: [&str; 7] = [
    "command_id = gen_random_uuid()",
    "recorded_at = recorded_at + {d}",
    "recorded_at = recorded_at - {d}",
    "fingerprint = set_byte(fingerprint, {b}, get_byte(fingerprint, {b}) # 1)",
    "refusal = NULL",
    "refusal = refusal || decode('20', 'hex')",
    "metadata = set_byte(metadata, {b} % length(metadata), 7)",
];

/// Other ways to change rows than to alter one.
const WAYS: u64 = 14;

/// Without anything that keeps a superuser's statements from succeeding.
const UNGUARDED: &str = "DO $$ DECLARE one record; BEGIN \
     FOR one IN SELECT conrelid::regclass AS of, conname FROM pg_constraint \
         WHERE conrelid IN ('store.events'::regclass, 'store.outcomes'::regclass) LOOP \
         EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.of, one.conname); \
     END LOOP; \
     FOR one IN SELECT indexrelid::regclass AS index FROM pg_index \
         WHERE indrelid IN ('store.events'::regclass, 'store.outcomes'::regclass) LOOP \
         EXECUTE format('DROP INDEX %s', one.index); \
     END LOOP; \
     FOR one IN SELECT attrelid::regclass AS of, attname FROM pg_attribute \
         WHERE attrelid IN ('store.events'::regclass, 'store.outcomes'::regclass) \
             AND attnum > 0 AND attnotnull AND attidentity = '' LOOP \
         EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', one.of, one.attname); \
     END LOOP; \
     ALTER TABLE store.events DISABLE TRIGGER append_only; \
     ALTER TABLE store.outcomes DISABLE TRIGGER append_only; \
     ALTER TABLE store.outcomes ALTER COLUMN number DROP IDENTITY; \
     END $$; \
     CREATE SCHEMA kept; CREATE TABLE kept.events AS TABLE store.events; \
     CREATE TABLE kept.outcomes AS TABLE store.outcomes";

const RESTORE: &str = "TRUNCATE store.events, store.outcomes; \
     INSERT INTO store.events TABLE kept.events; INSERT INTO store.outcomes TABLE kept.outcomes";

/// The first place that is not as it was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Event(i64),
    Outcome(i64),
}

struct Sealed {
    book: Book,
    walk: Walk,
    owner: Client,
    outcomes: i64,
}

impl Sealed {
    async fn new() -> Self {
        let book = Book::new().await;
        let mut sealer = book.sealer(batch(20)).await;
        for command in 0..EVENTS.cast_unsigned() / 3 {
            book.append(command % 11, 3).await;
            if command % 3 == 0 {
                book.refuse().await;
            }
            if command % 7 == 0 {
                sealer.seal_once().await.unwrap();
            }
        }
        while sealer.seal_once().await.unwrap().leaves() > 0 {}
        let owner = book.superuser().await;
        owner.batch_execute(UNGUARDED).await.unwrap();
        let walk = Walk::open(&book.database, Book::log()).unwrap();
        Self {
            walk: walk.anchored_in(book.file_anchor().await),
            owner,
            outcomes: book.count("store.outcomes").await,
            book,
        }
    }

    /// All that is found, in the order in which it is told.
    async fn walked(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let walked = self.walk.run(usize::MAX, |walked| {
            if let Walked::Found(finding) = walked {
                findings.push(*finding);
            }
        });
        let report = walked.await.unwrap();
        assert_eq!(report.found, findings.len() as u64);
        findings
    }

    async fn changed(&self, sql: &str) -> Vec<Finding> {
        let changed = self.owner.batch_execute(sql).await;
        changed.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let findings = self.walked().await;
        self.owner.batch_execute(RESTORE).await.unwrap();
        findings
    }

    /// One change of rows, and the first place that it makes wrong.
    fn mutation(&self, number: u64, chance: &mut Chance) -> (String, First) {
        match number % 4 {
            0 | 1 => {
                let event = one_of(EVENTS, chance);
                let altered = altered(&OF_EVENTS, chance);
                let sql = format!("UPDATE store.events SET {altered} WHERE position = {event}");
                (sql, First::Event(event))
            }
            2 => {
                let outcome = one_of(self.outcomes, chance);
                let altered = altered(&OF_OUTCOMES, chance);
                let sql = format!("UPDATE store.outcomes SET {altered} WHERE number = {outcome}");
                (sql, First::Outcome(outcome))
            }
            _ => match number / 4 % WAYS {
                way @ 0..10 => moved_event(way, chance),
                way => self.moved_outcome(way, chance),
            },
        }
    }

    fn moved_outcome(&self, way: u64, chance: &mut Chance) -> (String, First) {
        let (first, second) = two_of(self.outcomes, chance);
        let sql = match way {
            10 => format!("DELETE FROM store.outcomes WHERE number = {first}"),
            11 => format!("DELETE FROM store.outcomes WHERE number >= {first}"),
            12 => exchanged("outcomes", "command_id", "number", (first, second)),
            _ => format!(
                "INSERT INTO store.outcomes SELECT * FROM store.outcomes WHERE number = {first}"
            ),
        };
        (sql, First::Outcome(first))
    }
}

fn one_of(all: i64, chance: &mut Chance) -> i64 {
    1 + chance.next(all.cast_unsigned()).cast_signed()
}

/// Two that differ, the smaller one first.
fn two_of(all: i64, chance: &mut Chance) -> (i64, i64) {
    let one = one_of(all, chance);
    let other = (one - 1 + one_of(all - 1, chance)) % all + 1;
    (one.min(other), one.max(other))
}

/// What becomes of one of these columns.
fn altered(columns: &[&str], chance: &mut Chance) -> String {
    let column = usize::try_from(chance.next(columns.len() as u64)).unwrap();
    let (d, b) = (one_of(1 << 20, chance), chance.next(32));
    let altered = columns[column].replace("{d}", &d.to_string());
    altered.replace("{b}", &b.to_string())
}

fn exchanged(table: &str, column: &str, by: &str, (one, two): (i64, i64)) -> String {
    format!(
        "UPDATE store.{table} AS one SET {column} = two.{column} FROM store.{table} AS two \
         WHERE (one.{by}, two.{by}) IN (({one}, {two}), ({two}, {one}))"
    )
}

/// Events that are removed, doubled, exchanged or put elsewhere.
fn moved_event(way: u64, chance: &mut Chance) -> (String, First) {
    let (first, second) = two_of(EVENTS, chance);
    let copied_to = |position: i64| {
        format!(
            "INSERT INTO store.events SELECT {position}, version, recorded_at, event_id, command_id, \
             command_events, schema_version, category, stream_id, event_type, fingerprint, payload, metadata \
             FROM store.events WHERE position = {first}"
        )
    };
    let (sql, place) = match way {
        0 => (
            format!("DELETE FROM store.events WHERE position = {first}"),
            first,
        ),
        1 => (
            format!("DELETE FROM store.events WHERE position BETWEEN {first} AND {second}"),
            first,
        ),
        2 => (
            format!("DELETE FROM store.events WHERE position >= {second}"),
            second,
        ),
        3 => (copied_to(first), first),
        4 => {
            let moved = "UPDATE store.events SET position = position + 1 WHERE position >";
            let copied = copied_to(first + 1);
            (format!("{moved} {first}; {copied}"), first + 1)
        }
        5 => (copied_to(EVENTS + 1), EVENTS + 1),
        6 => (
            format!(
                "UPDATE store.events SET position = {first} + {second} - position \
                 WHERE position IN ({first}, {second})"
            ),
            first,
        ),
        7 => {
            let sql = exchanged("events", "event_id", "position", (first, second));
            (sql, first)
        }
        8 => (
            format!(
                "UPDATE store.events SET position = position + 1000000 WHERE position = {second}"
            ),
            second,
        ),
        _ => (
            format!(
                "UPDATE store.events SET payload = '{{}}' WHERE position IN ({first}, {second})"
            ),
            first,
        ),
    };
    (sql, First::Event(place))
}

/// Which place a finding says is wrong, the first where it names several.
fn place(finding: &Finding) -> Option<First> {
    match finding {
        Finding::Altered { row, .. }
        | Finding::Moved { row, .. }
        | Finding::Inserted { row }
        | Finding::Structure { row, .. } => Some(match row {
            RowAt::Event { position, .. } => First::Event(*position),
            RowAt::Outcome { number, .. } => First::Outcome(*number),
        }),
        Finding::Missing { first, .. } => Some(First::Event(*first)),
        Finding::Truncated { last, .. } => Some(First::Event(last + 1)),
        Finding::Unreadable { position, .. } => Some(First::Event(*position)),
        Finding::MissingOutcomes { after, .. } => Some(First::Outcome(after + 1)),
        Finding::Rewritten { .. }
        | Finding::Tile { .. }
        | Finding::Bucket { .. }
        | Finding::Map { .. }
        | Finding::Forged { .. }
        | Finding::Columns { .. }
        | Finding::Forked { .. }
        | Finding::OutOfLine { .. }
        | Finding::NotInLog { .. }
        | Finding::Anchor { .. }
        | _ => None,
    }
}

/// Any column of any row is altered, rows are removed, doubled, put elsewhere and exchanged, and the end is cut off. Every row is
/// hashed again from all that it has, in the order of the log: so each of it is found, and the first place that is told is the first
/// that is wrong.
#[tokio::test]
async fn whatever_a_superuser_changes_in_rows_is_found_and_the_first_place_told_is_where_it_begins()
{
    let sealed = Sealed::new().await;
    assert_eq!(sealed.walked().await, []);
    let mut missed = Vec::new();
    for number in 0..MUTATIONS * scale() as u64 {
        let (sql, first) = sealed.mutation(number, &mut Chance(number));
        let findings = sealed.changed(&sql).await;
        if findings.iter().find_map(place) != Some(first) {
            let told = findings.iter().take(3).collect::<Vec<_>>();
            missed.push(format!("{sql}: {first:?} in {told:?}"));
        }
    }
    assert!(
        missed.is_empty(),
        "{} missed, as {:#?}",
        missed.len(),
        &missed[..missed.len().min(8)]
    );

    // The control: rows that are written anew as they were are what was sealed, and nothing else of it is looked at.
    let same =
        "UPDATE store.events SET payload = payload; UPDATE store.outcomes SET metadata = metadata";
    assert_eq!(sealed.changed(same).await, []);
    assert_eq!(sealed.walked().await, []);
    assert_eq!(sealed.book.count("store.events").await, EVENTS);
}
