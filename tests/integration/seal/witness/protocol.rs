//! What a witness signs, and what not.

use std::collections::BTreeSet;

use folio_audit::Prover;
use folio_proofs::Hash;
use folio_proofs::merkle::Size;
use folio_proofs::note::{SignedNote, SigningKey};
use folio_proofs::witness::AddCheckpoint;
use futures_util::future::join_all;

use super::WitnessProcess;
use crate::seal::book::{Book, batch};

/// A book with a checkpoint at each of these sizes.
async fn sealed(stream: u64, sizes: &[u64]) -> Book {
    let book = Book::new().await;
    let mut sealer = book.sealer(batch(100)).await;
    let mut before = 0;
    for size in sizes {
        book.append(stream, size - before).await;
        assert_eq!(sealer.seal_once().await.unwrap().checkpoint.size, *size);
        before = *size;
    }
    book
}

async fn request(prover: &Prover, old: u64, size: u64) -> AddCheckpoint {
    let (old, size) = (Size::new(old), Size::new(size));
    AddCheckpoint {
        old,
        path: prover.consistency(old, size).await.unwrap().path,
        note: prover.checkpoint_of_size(size).await.unwrap(),
    }
}

/// The status, and the size that the witness says it has seen.
async fn refused(witness: &WitnessProcess, body: impl ToString) -> (u16, Option<String>) {
    let response = witness.post(body.to_string()).await;
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap();
    let is_size = kind == "text/x.tlog.size";
    let body = response.text().await.unwrap();
    (status, is_size.then_some(body))
}

/// Signs it, as whoever knows the witness's key finds.
async fn signed(witness: &WitnessProcess, request: &AddCheckpoint) {
    let response = witness.post(request.to_string()).await;
    let status = response.status().as_u16();
    let line = response.text().await.unwrap();
    assert_eq!(status, 200, "{line}");
    let note = SignedNote::parse(format!("{}{line}", request.note)).unwrap();
    let cosigned = witness.key.open(note).unwrap();
    assert_eq!(cosigned.note(), &request.note);
    assert!(cosigned.at_seconds() > 1_700_000_000);
}

#[tokio::test]
async fn a_witness_signs_a_log_that_has_only_grown_and_no_other() {
    let witness = WitnessProcess::start().await;
    let (book, forked) = (sealed(1, &[4, 7, 9]).await, sealed(2, &[4, 7]).await);
    let (prover, forger) = (book.prover(), forked.prover());
    let first = request(&prover, 0, 4).await;
    assert_eq!(refused(&witness, "new 4\n\n").await, (400, None));

    // Who is not known, who has another key, and who has none.
    let checkpoint = book.checkpoints().await.swap_remove(0);
    let named =
        |name: &str, seed| SigningKey::from_seed(name.parse().unwrap(), &[seed; 32]).unwrap();
    let note = named("ledger.example/a", 8)
        .sign(checkpoint.to_text())
        .unwrap();
    let by_another = AddCheckpoint {
        note,
        ..first.clone()
    };
    assert_eq!(refused(&witness, by_another).await, (403, None));
    let altered = first.to_string().replacen("\n4\n", "\n5\n", 1);
    assert_eq!(refused(&witness, altered).await, (403, None));
    let elsewhere = checkpoint.to_text().replacen("example/a", "example/b", 1);
    let note = named("ledger.example/b", 7).sign(elsewhere).unwrap();
    let unknown = AddCheckpoint {
        note,
        ..first.clone()
    };
    assert_eq!(refused(&witness, unknown).await, (404, None));
    assert_eq!(witness.size().await, None, "nothing was signed until now");

    signed(&witness, &first).await;
    // The log of as many leaves that is another one, and the one that goes on from there.
    let same_size = AddCheckpoint {
        old: Size::new(4),
        ..request(&forger, 4, 4).await
    };
    assert_eq!(refused(&witness, same_size).await, (409, None));
    assert_eq!(
        refused(&witness, request(&forger, 4, 7).await).await,
        (422, None)
    );
    // What is not proven, or wrongly.
    let second = request(&prover, 4, 7).await;
    let mut unproven = second.clone();
    unproven.path.clear();
    assert_eq!(refused(&witness, unproven).await, (422, None));
    let mut flipped = second.clone();
    let mut bytes = *flipped.path[0].as_bytes();
    bytes[0] ^= 1;
    flipped.path[0] = Hash::from_bytes(bytes);
    assert_eq!(refused(&witness, flipped).await, (422, None));
    let shrinking = AddCheckpoint {
        old: Size::new(9),
        ..second.clone()
    };
    assert_eq!(refused(&witness, shrinking).await, (400, None));
    assert_eq!(witness.sizes().await, [4]);

    signed(&witness, &second).await;
    // A log that has lost its end, and whoever does not know what was seen.
    let seen = || Some("7\n".to_owned());
    for (old, size) in [(0, 4), (4, 4), (0, 7), (4, 9)] {
        let stale = request(&prover, old, size).await;
        assert_eq!(
            refused(&witness, stale).await,
            (409, seen()),
            "{old} to {size}"
        );
    }
    signed(&witness, &request(&prover, 7, 9).await).await;
    // Once more the same: it is still the same log.
    signed(&witness, &request(&prover, 9, 9).await).await;
    assert_eq!(witness.sizes().await, [4, 7, 9]);
}

#[tokio::test]
async fn what_a_witness_has_answered_it_has_kept_however_it_ends() {
    let mut witness = WitnessProcess::start().await;
    let sizes: Vec<u64> = (1..=6).collect();
    let book = sealed(1, &sizes).await;
    let prover = book.prover();
    for size in sizes {
        signed(&witness, &request(&prover, size - 1, size).await).await;
        witness.kill();
        witness = witness.restart().await;
        assert_eq!(witness.size().await, Some(size));
        let again = request(&prover, size - 1, size).await;
        assert_eq!(
            refused(&witness, again).await,
            (409, Some(format!("{size}\n")))
        );
    }
    assert_eq!(witness.sizes().await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn of_many_at_once_a_witness_signs_one() {
    let witness = WitnessProcess::start().await;
    let sizes: Vec<u64> = (1..=12).collect();
    let book = sealed(1, &sizes).await;
    let prover = book.prover();
    signed(&witness, &request(&prover, 0, 1).await).await;
    let mut seen = 1;
    // Whoever loses a race is told the size that has won it.
    while seen < 12 {
        let mut requests = Vec::new();
        for size in seen + 1..=12 {
            requests.push(request(&prover, seen, size).await.to_string());
        }
        let answers = join_all(requests.into_iter().map(|body| witness.post(body))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|answer| answer.status().as_u16() == 200);
        assert_eq!(won.len(), 1, "from {seen}");
        assert!(lost.iter().all(|answer| answer.status().as_u16() == 409));
        let told = join_all(lost.into_iter().map(|answer| answer.text())).await;
        let told: BTreeSet<String> = told.into_iter().map(|size| size.unwrap()).collect();
        let size = witness.size().await.unwrap();
        assert!(size > seen);
        assert!(
            told.iter().all(|one| *one == format!("{size}\n")),
            "{told:?}"
        );
        seen = size;
    }
    let sizes = witness.sizes().await;
    assert!(sizes.is_sorted() && sizes.last() == Some(&12), "{sizes:?}");
}

#[tokio::test]
async fn all_that_a_witness_has_seen_is_read_however_much_it_is() {
    let witness = WitnessProcess::start().await;
    let book = sealed(1, &[4]).await;
    signed(&witness, &request(&book.prover(), 0, 4).await).await;
    let file = witness.folder.path().join("ledger.example%2fa.checkpoints");
    let record = std::fs::read_to_string(&file).unwrap();
    let seen = record.repeat(6_000);
    assert!(seen.len() > 2 << 20, "more than is read at once");
    std::fs::write(&file, seen).unwrap();
    assert_eq!(witness.sizes().await, [4; 6_000]);
}

#[tokio::test]
async fn what_others_have_written_below_a_checkpoint_is_not_kept() {
    let witness = WitnessProcess::start().await;
    let book = sealed(1, &[4]).await;
    let request = request(&book.prover(), 0, 4).await;
    let junk = format!("\u{2014} somebody {}=\n", "A".repeat(399));
    let body = format!("{request}{}", junk.repeat(60));
    assert_eq!(witness.post(body).await.status().as_u16(), 200);
    let last = witness.http.get(format!("{}/checkpoint", witness.url()));
    let last = last
        .query(&[("origin", "ledger.example/a")])
        .send()
        .await
        .unwrap();
    let last = SignedNote::parse(last.text().await.unwrap()).unwrap();
    let signers: Vec<&str> = last
        .signatures()
        .iter()
        .map(|one| one.name().as_str())
        .collect();
    assert_eq!(signers, ["ledger.example/a", "witness.local"]);
    let long = format!("{request}{}", junk.repeat(99));
    assert_eq!(witness.post(long).await.status().as_u16(), 413);
}
