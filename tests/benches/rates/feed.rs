//! The balances of a book over its feed, beside the same projection that reads the store itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use folio_projections::{Source, StoreSource};
use ledger_example::balances::{GuardedFeed, open_balances};
use ledger_example::{AccountsDatabases, AccountsService, Connections, http};
use tokio::net::TcpListener;

use crate::measure::{Measured, median, runs, setting};
use crate::projections::{models, posted, run_to};
use crate::report::Report;

/// A whole accounts service serves the feed, in this process, and has nothing else to do by then.
pub(crate) async fn feed(server: &tokio_postgres::Config, report: &mut Report) {
    let events = setting("FOLIO_BENCH_REBUILD", 200_000);
    let bench = posted(server, events).await;
    let databases = AccountsDatabases {
        events: bench.database.clone(),
        models: models(server).await,
        // Nobody is named, so it is not asked.
        vault: bench.database.clone(),
    };
    let service = AccountsService::start(&databases, Connections::default(), None, None)
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = http::accounts_router(service.ledger());
    let serving = tokio::spawn(http::serve(listener, router, std::future::pending()));
    until_idle(&url).await;

    let book = "bench".parse().unwrap();
    let (mut local, mut over_http) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        let feed = GuardedFeed::new("feed-bench", &url, "/v1/feed").unwrap();
        let store: Arc<dyn Source> = StoreSource::new(Arc::clone(&bench.store));
        let sources = [(store, &mut local), (Arc::new(feed), &mut over_http)];
        for (source, measured) in sources {
            let database = models(server).await;
            let projection = open_balances(&book, source, &database, 4).await.unwrap();
            let started = Instant::now();
            run_to(&projection, events).await;
            measured.push(Measured::rate(events, started.elapsed()));
        }
    }
    serving.abort();
    service.stop().await;
    report.line(
        "balances over a feed (raw: from the store itself)",
        &median(local),
        &median(over_http),
        None,
    );
}

/// Waits until the service's own projections have all there is.
async fn until_idle(url: &str) {
    loop {
        let answer = reqwest::get(format!("{url}/v1/projections")).await.unwrap();
        let body: serde_json::Value = answer.json().await.unwrap();
        let builds = body["builds"].as_array().unwrap();
        if builds.len() == 2 && builds.iter().all(|build| build["lag_events"] == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
