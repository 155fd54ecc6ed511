//! Whoever reads a feed needs no PostgreSQL, and nothing of what Folio projects with: here is one who keeps
//! balances in an SQLite file.

use std::collections::BTreeMap;
use std::path::Path;

use folio_core::{Aggregate, BatchSize, Checkpoint, EventHash, Filter, Money, Position, StoreId};
use folio_projections::Source;
use folio_projections::feed::FeedSource;
use folio_tests::api::{Api, Reads};
use ledger_example::account::Side;
use ledger_example::journal::{Entry, EntryEvent};
use sqlite::{Connection, State, Value};
use tempfile::TempDir;

/// Balances and the place up to which they are, which change together.
struct Book {
    file: Connection,
}

impl Book {
    fn open(path: &Path) -> Self {
        let file = sqlite::open(path).unwrap();
        file.execute(
            "CREATE TABLE IF NOT EXISTS balances (account TEXT PRIMARY KEY, credits_less_debits TEXT);
             CREATE TABLE IF NOT EXISTS place (only INTEGER PRIMARY KEY CHECK (only = 1),
                                               store TEXT, position INTEGER, hash BLOB)",
        )
        .unwrap();
        Self { file }
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let select = "SELECT store, position, hash FROM place";
        let mut rows = self.file.prepare(select).unwrap();
        (rows.next().unwrap() == State::Row).then(|| Checkpoint {
            store_id: StoreId::from_uuid(rows.read::<String, _>(0).unwrap().parse().unwrap()),
            position: Position::new(rows.read(1).unwrap()).unwrap(),
            event: EventHash::from_slice(&rows.read::<Vec<u8>, _>(2).unwrap()).unwrap(),
        })
    }

    fn balances(&self) -> BTreeMap<String, String> {
        let mut rows = self.file.prepare("SELECT * FROM balances").unwrap();
        let mut balances = BTreeMap::new();
        while rows.next().unwrap() == State::Row {
            balances.insert(rows.read(0).unwrap(), rows.read(1).unwrap());
        }
        balances
    }

    fn run(&self, sql: &str, values: &[Value]) {
        let mut statement = self.file.prepare(sql).unwrap();
        statement.bind(values).unwrap();
        statement.next().unwrap();
    }

    /// Takes in a page of the feed. Answers whether there was one.
    async fn take_in(&self, feed: &FeedSource, limit: u16) -> bool {
        let store_id = feed.identify().await.unwrap();
        let mut place = match self.checkpoint() {
            Some(place) => {
                is_still_there(place, feed).await;
                place
            }
            None => Checkpoint::start(store_id),
        };
        let limit = BatchSize::new(limit).unwrap();
        let page = feed.read(&Filter::all(), place.position, limit).await;
        let page = page.unwrap();
        if page.events.is_empty() {
            return false;
        }
        let mut balances = self.balances();
        for event in &page.events {
            place = place.after(event);
            if event.stream.category() != Entry::CATEGORY {
                continue;
            }
            for posted in event.decode().unwrap() {
                let EntryEvent::EntryPosted(posted) = posted else {
                    continue;
                };
                for leg in posted.legs {
                    let amount = leg.amount.money();
                    let signed = match leg.side {
                        Side::Credit => amount,
                        Side::Debit => amount.negated(),
                    };
                    let balance = balances.entry(leg.account.to_string());
                    let balance = balance.or_insert_with(|| "0".to_owned());
                    let before = Money::parse(balance, amount.currency()).unwrap();
                    *balance = before.checked_add(signed).unwrap().amount_text();
                }
            }
        }
        self.file.execute("BEGIN IMMEDIATE").unwrap();
        for (account, balance) in balances {
            let values = [Value::String(account), Value::String(balance)];
            self.run("INSERT OR REPLACE INTO balances VALUES (?, ?)", &values);
        }
        let hash = place.event.as_bytes().to_vec();
        let values = [
            Value::String(place.store_id.as_uuid().to_string()),
            Value::Integer(place.position.number()),
            Value::Binary(hash),
        ];
        self.run("INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?)", &values);
        self.file.execute("COMMIT").unwrap();
        true
    }
}

/// The event at the place is the one that was read: the store was not restored to another past.
async fn is_still_there(place: Checkpoint, feed: &FeedSource) {
    let before = Position::new(place.position.number() - 1).unwrap();
    let page = feed.read(&Filter::all(), before, BatchSize::ONE).await;
    let hash = EventHash::of(&page.unwrap().events[0]);
    assert_eq!(place.event, hash);
}

#[tokio::test]
async fn an_sqlite_file_follows_a_feed_as_exactly_as_a_projection() {
    let api = Api::start().await;
    for account in ["1", "2"] {
        api.open(account, "unlimited").await;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("balances.sqlite");
    let feed = FeedSource::new(&format!("{}/v1/feed", api.url)).unwrap();
    for round in 1..=10 {
        for amount in ["12.34", "0.66"] {
            api.posting("1", "credits", amount).await;
        }
        api.posting("2", "debits", "5.05").await;
        // Opened anew each time, as after a crash; and it reads only a part of what there is.
        let book = Book::open(&path);
        for _ in 0..round % 3 {
            book.take_in(&feed, 4).await;
        }
    }
    let book = Book::open(&path);
    while book.take_in(&feed, 4).await {}
    let reads = Reads::over(&[&api]).await;
    assert!(reads.caught_up(std::time::Duration::from_secs(30)).await);
    let accounts = reads.get("/v1/trial-balance/accounts").await;
    let theirs = accounts.body["accounts"].as_array().unwrap().iter();
    let text =
        |account: &serde_json::Value, field: &str| account[field].as_str().unwrap().to_owned();
    let theirs: BTreeMap<String, String> = theirs
        .map(|account| {
            let currency = folio_core::Currency::from_code(&text(account, "currency")).unwrap();
            let net = Money::parse(&text(account, "net"), currency).unwrap();
            (text(account, "account_id"), net.negated().amount_text())
        })
        .collect();
    assert_eq!(theirs.len(), 3);
    assert_eq!(book.balances(), theirs);
    reads.stop().await;
    api.stop().await;
}
