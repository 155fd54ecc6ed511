//! Appends beside a sealer, and without; how fast a sealer catches up, and how fast all of it is proven.

use std::sync::Arc;
use std::time::{Duration, Instant};

use folio_audit::{FileAnchor, FreshLeaves, Sealer, SealerSettings, TrustedLog, Walk};
use folio_core::{BatchSize, EventStore};
use folio_proofs::note::SigningKey;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::measure::{Measured, are_wanted, median, runs};
use crate::report::Report;
use crate::{AGGREGATES, Bench, ours};

/// The difference is a few in a hundred, which is less than what two runs differ by anyway.
const PAIRS: usize = 5;

/// The log is brought to the store's end before each run, so that neither side has more to do than its own.
pub(crate) async fn seals(server: &tokio_postgres::Config, report: &mut Report) {
    for callers in [64, 1_024] {
        if !are_wanted(callers) {
            continue;
        }
        let bench = Bench::new(server).await;
        let folder = tempfile::tempdir().unwrap();
        let (sealer, _) = sealer(server, &bench, &folder).await;
        // As in a service that seals what it appends.
        let fresh = Arc::new(FreshLeaves::default());
        let mut sealer = sealer.with_fresh(Arc::clone(&fresh));
        let (mut without, mut with, mut behind) = (Vec::new(), Vec::new(), 0);
        for run in 0..PAIRS * runs() {
            // Each goes first as often as the other: machines grow slower and faster.
            let goes_first = run % 2 == 0;
            if goes_first {
                without.push(ours::commands(&bench.executor, callers, AGGREGATES).await);
                catch_up(&mut sealer).await;
            }
            bench.store.observe_commits(Some(Arc::clone(&fresh) as _));
            let (stop, stopped) = watch::channel(false);
            let sealing = tokio::spawn(async move {
                sealer.run(stopped).await.unwrap();
                sealer
            });
            with.push(ours::commands(&bench.executor, callers, AGGREGATES).await);
            bench.store.observe_commits(None);
            stop.send_replace(true);
            sealer = sealing.await.unwrap();
            behind = behind.max(catch_up(&mut sealer).await.0);
            if !goes_first {
                without.push(ours::commands(&bench.executor, callers, AGGREGATES).await);
                catch_up(&mut sealer).await;
            }
        }
        let what = format!("W1, {callers} callers, beside a sealer (raw: without)");
        report.line(&what, &median(without), &median(with), Some(95));
        report.note(&format!(
            "at most {behind} events were not sealed at the end of a run"
        ));
    }

    let page = BatchSize::new(5_000).unwrap();
    let (mut replayed, mut sealed, mut walked) = (Vec::new(), Vec::new(), Vec::new());
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
        let (mut sealer, log) = sealer(server, &bench, &folder).await;
        let (events, elapsed) = catch_up(&mut sealer).await;
        sealed.push(Measured::rate(events, elapsed));
        let walk = Walk::open(&bench.database, log).unwrap();
        let started = Instant::now();
        let walk = walk.run(1, |_| ()).await.unwrap();
        walked.push(Measured::rate(walk.events, started.elapsed()));
        assert_eq!((walk.found, walk.unsealed_events), (0, 0));
    }
    let replayed = median(replayed);
    let what = "sealing what is there (raw: replay)";
    report.line(what, &replayed, &median(sealed), None);
    let what = "walking what is sealed (raw: replay)";
    report.line(what, &replayed, &median(walked), Some(50));
}

async fn sealer(
    server: &tokio_postgres::Config,
    bench: &Bench,
    folder: &TempDir,
) -> (Sealer, TrustedLog) {
    folio_audit::prepare(server, bench.database.name())
        .await
        .unwrap();
    let key = SigningKey::generate("ledger.example/bench".parse().unwrap()).unwrap();
    let log = TrustedLog::new(key.name().into(), key.verifying_key().clone());
    let anchor = FileAnchor::open(folder.path().join("anchor"))
        .await
        .unwrap();
    let settings = SealerSettings::default();
    let opened = Sealer::open(
        &bench.database,
        key,
        log.clone(),
        settings,
        Arc::new(anchor),
    );
    (opened.await.unwrap(), log)
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
