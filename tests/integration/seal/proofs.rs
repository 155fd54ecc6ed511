//! What is proven, to somebody who has the verifying key alone.

use folio_audit::{Altered, ProveError, Prover, Span};
use folio_core::{BatchSize, CommandId, Position, StreamId, Version};
use folio_proofs::bundle::Bundle;
use folio_proofs::checkpoint::Checkpoint;
use folio_proofs::map::Last;
use folio_proofs::merkle::{Size, TreeHead};
use folio_proofs::note::SignedNote;
use folio_tests::postgres;

use super::book::{Book, batch, stream};

fn opened(note: &SignedNote) -> (Checkpoint, TreeHead) {
    let checkpoint = Checkpoint::open(note.to_string(), Book::key().verifying_key()).unwrap();
    let head = TreeHead {
        size: Size::new(checkpoint.size),
        root: checkpoint.root,
    };
    (checkpoint, head)
}

/// 650 events on eleven streams and refusals between them, in many seals.
async fn sealed() -> (Book, Vec<CommandId>) {
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(61)).await;
    let mut refused = Vec::new();
    for round in 0..65 {
        book.append(round % 11, 10).await;
        if round % 2 == 0 {
            refused.push(book.refuse().await);
        }
        sealer.seal_once().await.unwrap();
        if round % 7 == 0 {
            refused.push(book.refuse().await);
            sealer.seal_once().await.unwrap();
        }
    }
    (book, refused)
}

#[tokio::test]
async fn every_event_is_proven_to_be_in_the_log() {
    let (book, _) = sealed().await;
    let prover = book.prover();
    let (events, _) = book.leaves().await;
    assert_eq!(events.len(), 650);
    let next = events.iter().cycle().skip(1);
    for ((position, leaf), other) in (1..).zip(&events).zip(next) {
        let position = Position::START.plus(position);
        let (proof, note) = prover.inclusion(position).await.unwrap();
        let (_, head) = opened(&note);
        assert_eq!(proof.verify(*leaf, head), Ok(()), "{position}");
        let index = prover.leaf_of_position(position).await.unwrap();
        assert_eq!(index, proof.index);
        assert!(proof.verify(*other, head).is_err());
    }
    for position in [0, 651] {
        let position = Position::START.plus(position);
        let refused = prover.inclusion(position).await.unwrap_err();
        assert!(matches!(refused, ProveError::NotSealed { .. }), "{refused}");
    }
}

#[tokio::test]
async fn every_refusal_is_proven_to_be_in_the_log() {
    let (book, refused) = sealed().await;
    let prover = book.prover();
    assert_eq!(refused.len(), 43);
    let (_, outcomes) = book.leaves().await;
    for (command, (number, leaf)) in refused.into_iter().zip(outcomes) {
        let (proven, note) = prover.outcome(command).await.unwrap();
        let (_, head) = opened(&note);
        assert_eq!(proven.row.command_id, command.as_uuid());
        assert_eq!(proven.row.number, number);
        assert_eq!(
            proven.row.refusal.as_deref(),
            Some(&br#"{"refused":"overdrawn"}"#[..])
        );
        assert_eq!(proven.row.leaf().hash(), leaf);
        assert_eq!(proven.inclusion.verify(leaf, head), Ok(()), "{number}");
    }
    let late = book.refuse().await;
    for command in [late, CommandId::derived(&["nobody"])] {
        let refused = prover.outcome(command).await.unwrap_err();
        assert!(matches!(refused, ProveError::NoOutcome { .. }), "{refused}");
    }
}

#[tokio::test]
async fn every_checkpoint_is_proven_to_begin_with_the_ones_before() {
    let (book, _) = sealed().await;
    let prover = book.prover();
    let checkpoints = book.checkpoints().await;
    assert!(checkpoints.len() > 60);
    let heads: Vec<TreeHead> = checkpoints
        .iter()
        .map(|one| TreeHead {
            size: Size::new(one.size),
            root: one.root,
        })
        .collect();
    let last = *heads.last().unwrap();
    for pair in heads.windows(2) {
        let proof = prover.consistency(pair[0].size, pair[1].size);
        assert_eq!(proof.await.unwrap().verify(pair[0], pair[1]), Ok(()));
        let proof = prover.consistency(pair[0].size, last.size);
        let proof = proof.await.unwrap();
        assert_eq!(proof.verify(pair[0], last), Ok(()));
        let forged = TreeHead {
            size: pair[0].size,
            root: pair[1].root,
        };
        assert!(proof.verify(forged, last).is_err());
    }
    let beyond = Size::new(last.size.number() + 1);
    let refused = prover.consistency(last.size, beyond).await.unwrap_err();
    assert!(
        matches!(refused, ProveError::NoCheckpoint { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_stream_is_proven_as_a_whole_at_one_checkpoint() {
    let (book, _) = sealed().await;
    let prover = book.prover();
    for id in 0..12 {
        let stream = stream(id);
        let (map, note) = prover.map_proof(&stream).await.unwrap();
        let (checkpoint, head) = opened(&note);
        let (category, name) = (stream.category(), stream.id());
        let last = map.last_of(category, name, &checkpoint.map_root.unwrap());
        let last = last.unwrap();
        // What comes later is not in what is proven at this checkpoint.
        book.append(id, 1).await;
        book.sealer(batch(9)).await.seal_once().await.unwrap();
        let pages = [0, 40].map(|after| {
            let after = Version::new(after).unwrap();
            let limit = BatchSize::new(40).unwrap();
            prover.events_of_stream(&stream, after, limit, head.size)
        });
        let mut events = Vec::new();
        for page in pages {
            events.extend(page.await.unwrap());
        }
        for (version, proven) in (1..).zip(&events) {
            assert_eq!(proven.row.version, version);
            let leaf = proven.row.leaf().hash();
            assert_eq!(proven.inclusion.verify(leaf, head), Ok(()));
        }
        let proven = events.last().map(|proven| Last {
            version: proven.row.version,
            position: proven.row.position,
        });
        assert_eq!(last, proven, "{stream}");
        assert_eq!(proven.is_none(), id == 11);
    }
}

#[tokio::test]
async fn the_map_that_is_known_keeps_up_with_the_log() {
    let book = Book::new().await;
    let prover = book.prover();
    let mut sealer = book.sealer(batch(100)).await;
    let one: StreamId = stream(1);
    for version in 1..8 {
        book.append(1, 1).await;
        book.append(2, 1).await;
        sealer.seal_once().await.unwrap();
        let (map, note) = prover.map_proof(&one).await.unwrap();
        let (checkpoint, _) = opened(&note);
        let root = checkpoint.map_root.unwrap();
        let last = map.last_of(one.category(), one.id(), &root).unwrap();
        let position = 2 * version - 1;
        assert_eq!(last, Some(Last { version, position }));
    }
}

#[tokio::test]
async fn nothing_is_proven_before_anything_is_sealed() {
    let book = Book::new().await;
    let prover = book.prover();
    book.append(1, 1).await;
    assert_eq!(prover.checkpoint_latest().await.unwrap(), None);
    let first = Position::START.plus(1);
    let refused = prover.inclusion(first).await.unwrap_err();
    assert!(matches!(refused, ProveError::NothingSealed), "{refused}");
    let mut sealer = book.sealer(batch(10)).await;
    let sealed = sealer.seal_once().await.unwrap();
    let note = prover.checkpoint_latest().await.unwrap().unwrap();
    assert_eq!(opened(&note).0, sealed.checkpoint);
    assert!(prover.inclusion(first).await.is_ok());
    let size = Size::new(sealed.checkpoint.size);
    assert_eq!(prover.checkpoint_of_size(size).await.unwrap(), note);
}

/// The sizes of all checkpoints, from the first to the last.
async fn sizes(book: &Book) -> Vec<Size> {
    let client = postgres::superuser(&book.database).await;
    let rows = client
        .query("SELECT size FROM audit.checkpoints ORDER BY size", &[])
        .await
        .unwrap();
    let sizes = rows.iter().map(|row| row.get::<_, i64>(0));
    sizes
        .map(|size| Size::new(u64::try_from(size).unwrap()))
        .collect()
}

async fn until(prover: &Prover, stream_id: u64, size: Size) -> Result<Bundle, ProveError> {
    let span = Span {
        until: Some(size),
        ..Span::default()
    };
    prover.bundle(&stream(stream_id), span, 1_000).await
}

/// What came later is not in it, and was not there for whoever had asked then. The last checkpoint has a map that is kept, and the same
/// comes of both.
#[tokio::test]
async fn all_events_up_to_an_earlier_checkpoint_are_proven_to_be_all() {
    let (book, _) = sealed().await;
    let prover = book.prover();
    let keys = [Book::key().verifying_key().clone()];
    let sizes = sizes(&book).await;
    let mut shown = Vec::new();
    for size in sizes.iter().step_by(9) {
        let bundle = until(&prover, 1, *size).await.unwrap();
        let verified = bundle.verify(&keys, None, None).unwrap();
        let (checkpoint, head) = opened(&bundle.checkpoint);
        assert_eq!(head.size, *size);
        let through = checkpoint.through.unwrap().position();
        let sql = format!(
            "store.events WHERE category = '{}' AND stream_id = '{}' AND position <= {through}",
            stream(1).category(),
            stream(1).id()
        );
        assert_eq!(
            i64::try_from(verified.events).unwrap(),
            book.count(&sql).await
        );
        shown.push(verified.events);
        // A stream that is not there yet is proven not to be.
        let nobody = until(&prover, 99, *size).await.unwrap();
        assert_eq!(nobody.verify(&keys, None, None).unwrap().events, 0);
    }
    assert!(
        shown.is_sorted() && shown.first() < shown.last(),
        "{shown:?}"
    );

    let last = *sizes.last().unwrap();
    let kept = prover.bundle(&stream(1), Span::default(), 1_000).await;
    let [kept, made] = [kept, until(&prover, 1, last).await]
        .map(|bundle| serde_json::to_value(bundle.unwrap()).unwrap());
    assert_eq!(kept, made);
    let none = until(&prover, 1, Size::new(last.number() + 1)).await;
    assert!(matches!(none, Err(ProveError::NoCheckpoint { .. })));
    // From an older one to that one, and not back.
    let (older, earlier) = (sizes[2], sizes[9]);
    let span = |since, until| Span {
        since: Some(since),
        until: Some(until),
    };
    let grown = prover.bundle(&stream(1), span(older, earlier), 1_000).await;
    let since = grown.as_ref().unwrap().growth.as_ref().unwrap();
    assert_eq!(opened(&since.since).1.size, older);
    let verified = grown.unwrap().verify(&keys, None, None);
    assert!(verified.is_ok(), "{verified:?}");
    let back = prover.bundle(&stream(1), span(earlier, older), 1_000).await;
    assert!(matches!(back, Err(ProveError::Shrinks(_))), "{back:?}");
}

/// It is made of the events, which somebody may have changed since: of any stream, its root is then not the one that was signed.
#[tokio::test]
async fn an_earlier_map_of_events_that_are_gone_is_no_proof() {
    let (book, _) = sealed().await;
    let prover = book.prover();
    let size = sizes(&book).await[9];
    assert!(until(&prover, 1, size).await.is_ok());
    let client = postgres::superuser(&book.database).await;
    let remove = "ALTER TABLE store.events DISABLE TRIGGER append_only; \
         DELETE FROM store.events WHERE (category, stream_id, version) IN ( \
             SELECT category, stream_id, max(version) FROM store.events \
             WHERE position <= (SELECT events FROM audit.checkpoints ORDER BY size OFFSET 9 LIMIT 1) \
             GROUP BY category, stream_id ORDER BY stream_id DESC LIMIT 1)";
    client.batch_execute(remove).await.unwrap();
    let refused = until(&prover, 1, size).await;
    let is_altered = matches!(refused, Err(ProveError::Altered(Altered::Ends { .. })));
    assert!(is_altered, "{refused:?}");
}
