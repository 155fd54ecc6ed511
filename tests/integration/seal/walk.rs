//! Walks over a store whose rows, tiles and checkpoints were changed in every way, one at a time.

use std::sync::Arc;

use folio_audit::{
    Anchor, FileAnchor, Finding, RowAt, Sealer, StructureFault, Walk, WalkReport, Walked,
};
use folio_core::Position;
use folio_proofs::note::SigningKey;

use super::book::{Book, batch};

/// Another change each, and how the finding is known that must come of it.
type Change = (&'static str, fn(&Finding) -> bool);

pub(crate) async fn walked(book: &Book) -> (Vec<Finding>, WalkReport) {
    walked_with(book, book.file_anchor().await).await
}

/// The same, beside this anchor.
pub(crate) async fn walked_with(
    book: &Book,
    anchor: Arc<dyn Anchor>,
) -> (Vec<Finding>, WalkReport) {
    let walk = Walk::open(&book.database, Book::log()).unwrap();
    let walk = walk.anchored_in(anchor);
    let mut findings = Vec::new();
    let report = walk.run(1_000, |walked| {
        if let Walked::Found(finding) = walked {
            findings.push(*finding);
        }
    });
    let report = report.await.unwrap();
    (findings, report)
}

/// A book of 303 events, and 31 outcomes, in seals of 40.
async fn sealed() -> Book {
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(40)).await;
    for id in 0..101 {
        book.append(id % 17, 3).await;
        if id % 10 < 3 {
            book.refuse().await;
        }
        if id % 9 == 0 {
            sealer.seal_once().await.unwrap();
        }
    }
    while sealer.seal_once().await.unwrap().leaves() > 0 {}
    book
}

const KEEP: &str = "CREATE SCHEMA kept; CREATE TABLE kept.events AS TABLE store.events; \
     CREATE TABLE kept.outcomes AS TABLE store.outcomes; CREATE TABLE kept.tiles AS TABLE audit.tiles; \
     CREATE TABLE kept.buckets AS TABLE audit.buckets; \
     CREATE TABLE kept.checkpoints AS TABLE audit.checkpoints";
const RESTORE: &str = "DELETE FROM store.events; DELETE FROM store.outcomes; DELETE FROM audit.tiles; \
     DELETE FROM audit.buckets; DELETE FROM audit.checkpoints; \
     INSERT INTO store.events TABLE kept.events; \
     INSERT INTO store.outcomes OVERRIDING SYSTEM VALUE TABLE kept.outcomes; \
     INSERT INTO audit.tiles TABLE kept.tiles; INSERT INTO audit.buckets TABLE kept.buckets; \
     INSERT INTO audit.checkpoints TABLE kept.checkpoints";

fn is_at(row: &RowAt, at: i64) -> bool {
    matches!(row, RowAt::Event { position, .. } if *position == at)
}

/// Event 47 was altered, which is the second of its command.
fn altered_47(finding: &Finding) -> bool {
    matches!(finding, Finding::Altered { row, .. } if is_at(row, 47))
}

/// Event 46 was, which is the first.
fn altered_46(finding: &Finding) -> bool {
    matches!(finding, Finding::Altered { row, .. } if is_at(row, 46))
}

fn altered_outcome(finding: &Finding) -> bool {
    matches!(
        finding,
        Finding::Altered {
            row: RowAt::Outcome { .. },
            ..
        }
    )
}

fn missing_outcome(finding: &Finding) -> bool {
    matches!(finding, Finding::MissingOutcomes { .. })
}

fn tile(finding: &Finding) -> bool {
    matches!(finding, Finding::Tile { .. })
}

fn bucket(finding: &Finding) -> bool {
    matches!(finding, Finding::Bucket { .. })
}

fn not_in_log(finding: &Finding) -> bool {
    matches!(finding, Finding::NotInLog { .. })
}

const OF_EVENTS: &[Change] = &[
    ("payload = '{}' WHERE position = 47", altered_47),
    ("metadata = '{ }' WHERE position = 47", altered_47),
    ("version = 900 WHERE position = 47", altered_47),
    (
        "recorded_at = recorded_at + 1 WHERE position = 47",
        altered_47,
    ),
    (
        "event_id = gen_random_uuid() WHERE position = 47",
        altered_47,
    ),
    (
        "command_id = gen_random_uuid() WHERE position = 47",
        altered_47,
    ),
    ("schema_version = 2 WHERE position = 47", altered_47),
    ("category = 'accounts' WHERE position = 47", altered_47),
    ("stream_id = 'x' WHERE position = 47", altered_47),
    ("event_type = 'noted' WHERE position = 47", altered_47),
    ("command_events = 4 WHERE position = 46", altered_46),
    (
        "fingerprint = decode(repeat('00', 32), 'hex') WHERE position = 46",
        altered_46,
    ),
    (
        "command_events = NULL, fingerprint = NULL WHERE position = 46",
        altered_46,
    ),
    (
        "command_events = 2, command_id = gen_random_uuid(), \
         fingerprint = decode(repeat('00', 32), 'hex') WHERE position = 47",
        altered_47,
    ),
];

const OF_OUTCOMES: &[Change] = &[
    (
        "command_id = gen_random_uuid() WHERE number = 9",
        altered_outcome,
    ),
    ("recorded_at = 1 WHERE number = 9", altered_outcome),
    (
        "fingerprint = decode(repeat('00', 32), 'hex') WHERE number = 9",
        altered_outcome,
    ),
    ("refusal = NULL WHERE number = 9", altered_outcome),
    ("refusal = '{}' WHERE number = 9", altered_outcome),
    ("metadata = '{ }' WHERE number = 9", altered_outcome),
    ("number = DEFAULT WHERE number = 9", missing_outcome),
];

const OF_ROWS: &[Change] = &[
    (
        "DELETE FROM store.events WHERE position BETWEEN 47 AND 49",
        |finding| {
            matches!(
                finding,
                Finding::Missing {
                    first: 47,
                    last: 49
                }
            )
        },
    ),
    ("DELETE FROM store.events WHERE position > 200", |finding| {
        matches!(
            finding,
            Finding::Truncated {
                last: 200,
                sealed: 303
            }
        )
    }),
    (
        "DELETE FROM store.outcomes WHERE number = 9",
        missing_outcome,
    ),
    ("DELETE FROM store.outcomes", missing_outcome),
    (
        "UPDATE store.events SET position = 1000000 WHERE position = 47; \
         UPDATE store.events SET position = 47 WHERE position = 50; \
         UPDATE store.events SET position = 50 WHERE position = 1000000",
        |finding| matches!(finding, Finding::Moved { row, sealed_at: 50 } if is_at(row, 47)),
    ),
    (
        "UPDATE store.events SET position = position + 1000000 WHERE position >= 47; \
         UPDATE store.events SET position = position - 999999 WHERE position >= 1000000; \
         INSERT INTO store.events SELECT 47, 900, recorded_at, gen_random_uuid(), command_id, NULL, 1, \
             category, stream_id, event_type, NULL, payload, metadata FROM store.events WHERE position = 46",
        |finding| matches!(finding, Finding::Inserted { row } if is_at(row, 47)),
    ),
    (
        "INSERT INTO store.events SELECT 304, 900, recorded_at, gen_random_uuid(), command_id, NULL, 1, \
             category, stream_id, event_type, NULL, payload, metadata FROM store.events WHERE position = 47",
        |finding| {
            let Finding::Structure { row, fault } = finding else {
                return false;
            };
            is_at(row, 304) && matches!(fault, StructureFault::Version { .. })
        },
    ),
];

const OF_THE_LOG: &[Change] = &[
    (
        "UPDATE audit.tiles SET hashes = set_byte(hashes, 99, get_byte(hashes, 99) # 1) \
         WHERE level = 0 AND index = 0",
        |finding| {
            matches!(
                finding,
                Finding::Tile {
                    first_leaf: 3,
                    last_leaf: 3,
                    ..
                }
            )
        },
    ),
    (
        "UPDATE audit.tiles SET hashes = set_byte(hashes, 9, get_byte(hashes, 9) # 1) WHERE level = 1",
        |finding| {
            matches!(
                finding,
                Finding::Tile {
                    first_leaf: 0,
                    last_leaf: 255,
                    ..
                }
            )
        },
    ),
    (
        "DELETE FROM audit.tiles WHERE level = 0 AND index = 0",
        tile,
    ),
    ("DELETE FROM audit.tiles WHERE level = 1", tile),
    (
        "UPDATE audit.buckets SET entries = set_byte(entries, 47, 7) \
         WHERE number = (SELECT min(number) FROM audit.buckets)",
        bucket,
    ),
    (
        "DELETE FROM audit.buckets WHERE number = (SELECT min(number) FROM audit.buckets)",
        bucket,
    ),
    (
        "UPDATE audit.checkpoints SET note = replace(note, 'folio-through ', 'folio-through 1')",
        |finding| matches!(finding, Finding::Forged { .. }),
    ),
    (
        "UPDATE audit.checkpoints SET sealed_at = sealed_at + 1",
        |finding| matches!(finding, Finding::Columns { .. }),
    ),
    (
        "DELETE FROM audit.checkpoints WHERE size = (SELECT max(size) FROM audit.checkpoints WHERE size < 200)",
        not_in_log,
    ),
    // All that was made since a seal, which leaves nothing that does not fit.
    (
        "DELETE FROM audit.checkpoints WHERE size > 200; \
         DELETE FROM store.events WHERE position > (SELECT max(events) FROM audit.checkpoints); \
         DELETE FROM store.outcomes WHERE number > (SELECT max(outcomes) FROM audit.checkpoints)",
        not_in_log,
    ),
];

#[tokio::test]
async fn every_change_to_a_store_and_its_log_is_found_and_its_place_named() {
    let book = sealed().await;
    book.tamper(KEEP).await;
    assert_eq!(walked(&book).await.0, []);
    let update = |table: &str, changes: &[Change]| {
        let change = |(set, known): &Change| (format!("UPDATE store.{table} SET {set}"), *known);
        changes.iter().map(change).collect::<Vec<_>>()
    };
    let others = OF_ROWS.iter().chain(OF_THE_LOG);
    let others = others.map(|(sql, known)| ((*sql).to_owned(), *known));
    let mut all = update("events", OF_EVENTS);
    all.extend(update("outcomes", OF_OUTCOMES));
    all.extend(others);
    for (sql, is_known) in all {
        book.tamper(&sql).await;
        let (findings, report) = walked(&book).await;
        assert!(findings.iter().any(is_known), "{sql}: {findings:#?}");
        assert_eq!(report.found, findings.len() as u64);
        book.tamper(RESTORE).await;
    }
    assert_eq!(walked(&book).await.0, []);
}

/// Somebody drops the key by which no two rows have one position, and puts a second one beside the last row of a page
/// and beside the first one of the next: neither page may leave one of them out.
#[tokio::test]
async fn a_position_that_two_rows_have_is_found_where_a_page_ends() {
    // As `PAGES_OF_EVENTS` reads them.
    const PAGE: u64 = 4_096;
    let book = Book::new().await;
    for command in 0..=PAGE / 500 {
        book.append(command, 500).await;
    }
    let mut sealer = book.sealer(batch(u16::MAX)).await;
    sealer.seal_once().await.unwrap();
    book.tamper("ALTER TABLE store.events DROP CONSTRAINT events_pkey")
        .await;
    for position in [PAGE, PAGE + 1, 2] {
        book.tamper(&format!(
            "INSERT INTO store.events SELECT position, 900 + position, recorded_at, gen_random_uuid(), \
             command_id, NULL, 1, category, stream_id, event_type, NULL, '{{}}', metadata \
             FROM store.events WHERE position = {position}"
        ))
        .await;
        let (findings, report) = walked(&book).await;
        let is_inserted = |finding: &Finding| matches!(finding, Finding::Inserted { row } if is_at(row, position.cast_signed()));
        assert!(
            findings.iter().any(is_inserted),
            "{position}: {findings:#?}"
        );
        assert_eq!(report.found, findings.len() as u64);
        book.tamper("DELETE FROM store.events WHERE version > 900 AND payload = '{}'")
            .await;
    }
    assert_eq!(walked(&book).await.0, []);
}

#[tokio::test]
async fn a_row_that_was_changed_with_its_tile_is_told_by_the_root() {
    let book = sealed().await;
    let leaf = book
        .prover()
        .leaf_of_position(Position::START.plus(47))
        .await;
    let leaf = leaf.unwrap();
    assert!(leaf < 256);
    book.tamper("UPDATE store.events SET payload = '{}' WHERE position = 47")
        .await;
    let (events, _) = book.leaves().await;
    let hash = events[46].as_bytes();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let change = format!(
        "UPDATE audit.tiles SET hashes = overlay(hashes placing decode('{hash}', 'hex') from {}) \
         WHERE level = 0 AND index = 0",
        leaf * 32 + 1
    );
    book.tamper(&change).await;
    let (findings, _) = walked(&book).await;
    let is_known = |finding: &Finding| {
        let Finding::Rewritten { positions, .. } = finding else {
            return false;
        };
        positions.is_some_and(|range| (range.first..=range.last).contains(&47))
    };
    assert!(findings.iter().any(is_known), "{findings:#?}");
}

/// Seals all rows anew in the place of the log that was there, and walks that beside the anchor of before.
async fn made_anew(key: SigningKey) -> Vec<Finding> {
    let book = sealed().await;
    book.tamper(
        "DELETE FROM audit.tiles; DELETE FROM audit.buckets; DELETE FROM audit.checkpoints; \
         UPDATE store.events SET payload = '{}' WHERE position = 47",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let anchor = FileAnchor::open(folder.path().join("new")).await.unwrap();
    let sealer = Sealer::open(
        &book.database,
        key,
        Book::log(),
        batch(1_000),
        std::sync::Arc::new(anchor),
    );
    sealer.await.unwrap().seal_once().await.unwrap();
    walked(&book).await.0
}

#[tokio::test]
async fn a_log_that_was_made_anew_is_found_by_its_key_or_by_its_anchor() {
    let other = SigningKey::from_seed("ledger.example/a".parse().unwrap(), &[8; 32]).unwrap();
    let findings = made_anew(other).await;
    let is_forged = |finding: &Finding| matches!(finding, Finding::Forged { size: 334, .. });
    assert!(findings.iter().any(is_forged), "{findings:#?}");
    let findings = made_anew(Book::key()).await;
    assert!(findings.iter().any(not_in_log), "{findings:#?}");
    let holds_47 = |finding: &Finding| {
        matches!(finding, Finding::Rewritten { positions: Some(range), .. }
            if (range.first..=range.last).contains(&47))
    };
    assert!(findings.iter().any(holds_47), "{findings:#?}");
}

#[tokio::test]
async fn the_first_findings_are_told_and_all_are_counted() {
    let book = sealed().await;
    book.tamper("UPDATE store.events SET payload = '{}' WHERE position % 2 = 0")
        .await;
    let mut told = Vec::new();
    let walk = Walk::open(&book.database, Book::log()).unwrap();
    let report = walk.run(3, |walked| {
        if let Walked::Found(finding) = walked {
            told.push(finding.to_string());
        }
    });
    assert_eq!(report.await.unwrap().found, 151);
    assert_eq!(told.len(), 3);
    assert!(told[0].starts_with("position 2 (account/"), "{told:?}");
}
