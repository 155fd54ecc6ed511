//! Appends beside a sealer, and without; and how fast a sealer catches up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use folio_audit::{FileAnchor, Sealer, SealerSettings, TrustedLog};
use folio_core::{BatchSize, EventStore};
use folio_proofs::note::SigningKey;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::measure::{Measured, median, runs};
use crate::report::Report;
use crate::{AGGREGATES, Bench, ours};

/// The log is brought to the store's end before each run, so that neither side has more to do than its own.
pub(crate) async fn seals(server: &tokio_postgres::Config, report: &mut Report) {
    for callers in [64, 1_024] {
        let bench = Bench::new(server).await;
        let folder = tempfile::tempdir().unwrap();
        let mut sealer = sealer(server, &bench, &folder).await;
        let (mut without, mut with, mut behind) = (Vec::new(), Vec::new(), 0);
        for _ in 0..runs() {
            without.push(ours::commands(&bench.executor, callers, AGGREGATES).await);
            catch_up(&mut sealer).await;
            let (stop, stopped) = watch::channel(false);
            let sealing = tokio::spawn(async move {
                sealer.run(stopped).await.unwrap();
                sealer
            });
            with.push(ours::commands(&bench.executor, callers, AGGREGATES).await);
            stop.send_replace(true);
            sealer = sealing.await.unwrap();
            behind = behind.max(catch_up(&mut sealer).await.0);
        }
        let what = format!("W1, {callers} callers, beside a sealer (raw: without)");
        report.line(&what, &median(without), &median(with), Some(95));
        report.note(&format!(
            "at most {behind} events were not sealed at the end of a run"
        ));
    }

    let page = BatchSize::new(5_000).unwrap();
    let (mut replayed, mut sealed) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        let bench = Bench::new(server).await;
        for number in 0..200 {
            let request = ours::request(number.to_string(), 1_000);
            bench.store.append(request).await.unwrap();
        }
        let started = Instant::now();
        let events = ours::replay(&bench.store, page).await;
        replayed.push(Measured::rate(events, started.elapsed()));
        let folder = tempfile::tempdir().unwrap();
        let mut sealer = sealer(server, &bench, &folder).await;
        let (events, elapsed) = catch_up(&mut sealer).await;
        sealed.push(Measured::rate(events, elapsed));
    }
    let what = "sealing what is there (raw: replay)";
    report.line(what, &median(replayed), &median(sealed), None);
}

async fn sealer(server: &tokio_postgres::Config, bench: &Bench, folder: &TempDir) -> Sealer {
    folio_audit::prepare(server, bench.database.name())
        .await
        .unwrap();
    let key = SigningKey::generate("ledger.example/bench".parse().unwrap()).unwrap();
    let log = TrustedLog::new(key.name().into(), key.verifying_key().clone());
    let anchor = FileAnchor::open(folder.path().join("anchor"))
        .await
        .unwrap();
    let settings = SealerSettings::default();
    let opened = Sealer::open(&bench.database, key, log, settings, Arc::new(anchor));
    opened.await.unwrap()
}

/// Seals until there is nothing left: how many events that were, and how long it took.
async fn catch_up(sealer: &mut Sealer) -> (u64, Duration) {
    let (started, mut events) = (Instant::now(), 0);
    loop {
        let sealed = sealer.seal_once().await.unwrap();
        if sealed.leaves() == 0 {
            return (events, started.elapsed());
        }
        events += sealed.events;
    }
}
