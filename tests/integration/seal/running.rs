//! Sealers that run until they are stopped.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use folio_audit::{Anchor, LogKeys, SealError, SealerSettings, Sealing};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::book::{Book, batch};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_sealer_does_not_pause_until_everything_is_sealed() {
    let book = Book::new().await;
    book.append(1, 40).await;
    for _ in 0..10 {
        book.refuse().await;
    }
    let settings = SealerSettings {
        // Longer than anybody waits here.
        every: Duration::from_secs(3_600),
        ..batch(3)
    };
    let mut sealer = book.sealer(settings).await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { sealer.run(stopped).await });
    let sealed = async {
        while book.count("audit.checkpoints WHERE size = 50").await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, sealed).await.unwrap();
    stop.send(true).unwrap();
    let ended = timeout(PATIENCE, running).await.unwrap().unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    // It may have been stopped before it had anchored.
    book.sealer(batch(3)).await.seal_once().await.unwrap();
    book.assert_sealed().await;
}

#[tokio::test]
async fn a_sealer_that_somebody_has_to_look_after_ends() {
    let book = Book::new().await;
    book.append(1, 4).await;
    let mut sealer = book.sealer(batch(10)).await;
    sealer.seal_once().await.unwrap();
    book.tamper("UPDATE audit.tiles SET hashes = set_byte(hashes, 0, 1 # get_byte(hashes, 0))")
        .await;
    book.append(1, 1).await;
    let (_stop, stopped) = watch::channel(false);
    let ended = timeout(PATIENCE, sealer.run(stopped)).await.unwrap();
    assert!(matches!(ended, Err(SealError::Altered(_))), "{ended:?}");
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    let book = Book::new().await;
    book.append(1, 4).await;
    let settings = SealerSettings {
        every: Duration::from_millis(10),
        ..batch(10)
    };
    let mut sealer = book.sealer(settings).await;
    book.tamper("ALTER TABLE audit.tiles RENAME TO elsewhere")
        .await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { sealer.run(stopped).await });
    wait_for_failures(&book).await;
    assert!(!running.is_finished());
    book.tamper("ALTER TABLE audit.elsewhere RENAME TO tiles")
        .await;
    let sealed = async {
        while book.count("audit.checkpoints WHERE size = 4").await == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, sealed).await.unwrap();
    stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

/// How far the log was behind went on being told as it was before, while nothing could be sealed any more: who watched the age of
/// what is not sealed, and nothing else, never heard of it.
#[tokio::test]
async fn how_far_a_log_is_behind_is_told_while_nothing_can_be_sealed() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    // Of this thread, which is the only one here.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let book = Book::new().await;
    book.append(1, 4).await;
    let mut sealer = book.sealer(batch(10)).await;
    sealer.seal_once().await.unwrap();
    drop(sealer);
    book.tamper("DELETE FROM audit.tiles").await;
    book.append(1, 3).await;
    let anchor: Arc<dyn Anchor> = book.file_anchor().await;
    let sealing = Sealing {
        database: book.database.clone(),
        keys: LogKeys {
            signing: Arc::new(Book::key()),
            log: Book::log(),
        },
        settings: batch(10),
        anchors: anchor.into(),
        fresh: None,
    };
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(sealing.run(stopped));
    let told = async {
        let log = "{log=\"ledger.example/a\"}";
        let behind = format!("folio_seal_lag_events{log} 3");
        let sealing = format!("folio_sealing{log} 0");
        while !figures.render().contains(&behind) {
            sleep(Duration::from_millis(10)).await;
        }
        let text = figures.render();
        assert!(text.contains(&sealing), "{text}");
        let age = format!("folio_seal_age_seconds{log} ");
        let age = text.split(&age).nth(1).and_then(|rest| rest.lines().next());
        assert!(age.unwrap().parse::<f64>().unwrap() > 0.0, "{text}");
    };
    timeout(PATIENCE, told).await.unwrap();
    stop.send(true).unwrap();
    timeout(PATIENCE, running).await.unwrap().unwrap();
}

/// Waits until the sealer has failed twice: each time it leaves its session to be closed.
async fn wait_for_failures(book: &Book) {
    let client = book.superuser().await;
    let sql = "SELECT pid FROM pg_stat_activity \
               WHERE application_name = 'folio sealer' AND datname = current_database()";
    let failed = async {
        let mut sessions: BTreeSet<i32> = BTreeSet::new();
        while sessions.len() < 3 {
            let rows = client.query(sql, &[]).await.unwrap();
            sessions.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, failed).await.unwrap();
}
