//! What was changed in the database since it was sealed.

use folio_audit::{Altered, SealError, Sealer};

use super::book::{Book, batch};

/// A store that is sealed, with its sealer, and more to seal.
async fn sealed() -> (Book, Sealer) {
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(1_000)).await;
    for id in 0..20 {
        book.append(id, 2).await;
    }
    book.refuse().await;
    sealer.seal_once().await.unwrap();
    book.append(1, 1).await;
    (book, sealer)
}

/// Both the sealer that has sealed and a new one refuse to go on. Answers with what they say.
async fn refused(book: &Book, mut sealer: Sealer) -> [Altered; 2] {
    let before = book.count("audit.checkpoints").await;
    let of_old = sealer.seal_once().await.unwrap_err();
    let anchor = book.file_anchor().await;
    let opened = Sealer::open(
        &book.database,
        Book::key(),
        Book::log(),
        batch(1_000),
        anchor,
    );
    let of_new = match opened.await {
        Ok(mut new) => new.seal_once().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(book.count("audit.checkpoints").await, before);
    [of_old, of_new].map(|error| {
        assert!(error.is_final(), "{error}");
        let SealError::Altered(altered) = error else {
            panic!("{error:?}");
        };
        altered
    })
}

const FLIP: &str = "set_byte(bytes, 40, get_byte(bytes, 40) # 1)";

#[tokio::test]
async fn what_was_not_changed_is_sealed_further() {
    let (book, mut sealer) = sealed().await;
    sealer.seal_once().await.unwrap();
    book.append(2, 1).await;
    book.sealer(batch(10)).await.seal_once().await.unwrap();
    book.assert_sealed().await;
}

#[tokio::test]
async fn a_changed_tile_is_refused() {
    let (book, sealer) = sealed().await;
    let flip = FLIP.replace("bytes", "hashes");
    let change = format!("UPDATE audit.tiles SET hashes = {flip}");
    book.tamper(&change).await;
    for altered in refused(&book, sealer).await {
        assert!(matches!(altered, Altered::Log { .. }), "{altered:?}");
    }
}

#[tokio::test]
async fn a_missing_tile_is_refused() {
    let (book, sealer) = sealed().await;
    book.tamper("DELETE FROM audit.tiles").await;
    for altered in refused(&book, sealer).await {
        assert!(matches!(altered, Altered::Tile(_)), "{altered:?}");
    }
}

#[tokio::test]
async fn a_changed_bucket_is_refused() {
    let (book, sealer) = sealed().await;
    // Its last byte is of a position, which may be larger.
    let change = "UPDATE audit.buckets SET entries = \
                  set_byte(entries, length(entries) - 2, 7)";
    book.tamper(change).await;
    let [of_old, of_new] = refused(&book, sealer).await;
    assert!(matches!(of_old, Altered::StaleBucket(_)), "{of_old:?}");
    assert!(matches!(of_new, Altered::Map { .. }), "{of_new:?}");
}

#[tokio::test]
async fn a_missing_bucket_is_refused() {
    let (book, sealer) = sealed().await;
    book.tamper("DELETE FROM audit.buckets").await;
    let [of_old, of_new] = refused(&book, sealer).await;
    assert!(matches!(of_old, Altered::StaleBucket(_)), "{of_old:?}");
    assert!(matches!(of_new, Altered::Map { .. }), "{of_new:?}");
}

#[tokio::test]
async fn a_changed_checkpoint_is_refused() {
    let (book, sealer) = sealed().await;
    let change = "UPDATE audit.checkpoints SET note = replace(note, E'\\n41\\n', E'\\n40\\n')";
    book.tamper(change).await;
    for altered in refused(&book, sealer).await {
        assert!(matches!(altered, Altered::Checkpoint { .. }), "{altered:?}");
    }
}

#[tokio::test]
async fn columns_that_a_checkpoint_was_not_signed_with_are_refused() {
    let (book, sealer) = sealed().await;
    book.tamper("UPDATE audit.checkpoints SET events = events - 1, outcomes = outcomes + 1")
        .await;
    for altered in refused(&book, sealer).await {
        assert!(matches!(altered, Altered::Columns { .. }), "{altered:?}");
    }
}

#[tokio::test]
async fn a_store_that_has_lost_its_end_is_refused() {
    let (book, sealer) = sealed().await;
    book.tamper("DELETE FROM store.events WHERE position > 39")
        .await;
    for altered in refused(&book, sealer).await {
        let Altered::LostEvents { found, sealed } = altered else {
            panic!("{altered:?}");
        };
        assert_eq!((found, sealed), (39, 40));
    }
}

#[tokio::test]
async fn outcomes_that_are_lost_are_refused() {
    let (book, sealer) = sealed().await;
    book.tamper("DELETE FROM store.outcomes").await;
    for altered in refused(&book, sealer).await {
        assert!(
            matches!(altered, Altered::LostOutcomes { .. }),
            "{altered:?}"
        );
    }
}
