//! The service is killed in the middle of an import, again and again.

use std::fmt::Write as _;
use std::path::Path;

use folio_core::{Currency, Money};
use folio_tests::process::{Program, command, run};
use folio_tests::{postgres, scale};
use nix::sys::signal::Signal;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{Duration, Instant, sleep};

const ACCOUNTS: u32 = 20;
const ROWS: u32 = 2_000;
/// Each row is an entry with two legs; the contra account that all of them have is opened by the first.
const EVENTS: u32 = 3 * ROWS + ACCOUNTS + 1;

/// Rows that were posted and not yet answered when the service died are recognised when the import
/// is repeated: nothing is lost and nothing is there twice.
#[tokio::test]
async fn a_service_killed_during_an_import_ends_with_each_row_once() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("transactions.csv");
    let expected = write_transactions(&file);
    let book = postgres::unique("killed");
    let address = free_address().await;
    let url = format!("http://{address}");

    let kills = u32::try_from(4 * scale()).unwrap();
    for kill in 1..=kills {
        let service = start(&book, &address).await;
        let import = Program::start(import(&url, &file));
        // Somewhere within the import, each time further on.
        head_reaches(&url, i64::from(EVENTS * kill / (kills + 1))).await;
        service.signal(Signal::SIGKILL);
        let (status, _) = service.end().await;
        assert!(!status.success());
        import.signal(Signal::SIGKILL);
        import.end().await;
    }

    let service = start(&book, &address).await;
    let last = run(import(&url, &file)).await;
    assert!(last.status.success(), "{}", last.stderr);
    let again = run(import(&url, &file)).await;
    assert!(again.status.success(), "{}", again.stderr);
    assert!(
        again
            .stdout
            .lines()
            .any(|line| line.trim().starts_with("new") && line.ends_with(" 0")),
        "{}",
        again.stdout
    );

    // The balances that the rows add up to, and as many lines as rows.
    let events = i64::from(EVENTS);
    head_reaches(&url, events).await;
    assert_eq!(head(&url).await, Some(events));
    for (account, balance) in expected {
        let body: Value = get(&format!(
            "{url}/v1/accounts/{account}/balance?at_version={}",
            1 + ROWS / ACCOUNTS
        ))
        .await
        .unwrap();
        assert_eq!(body["balance"], balance.amount_text(), "account {account}");
    }

    // Told to stop, it stops cleanly.
    service.signal(Signal::SIGTERM);
    let (status, _) = service.end().await;
    assert!(status.success());
}

/// An import that meets a service which goes away and comes back waits for it.
#[tokio::test]
async fn an_import_outlives_a_restart_of_the_service() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("transactions.csv");
    write_transactions(&file);
    let book = postgres::unique("restarted");
    let address = free_address().await;
    let url = format!("http://{address}");
    let service = start(&book, &address).await;
    let import = Program::start(import(&url, &file));
    head_reaches(&url, i64::from(EVENTS / 3)).await;
    service.signal(Signal::SIGKILL);
    service.end().await;
    let service = start(&book, &address).await;
    let (status, output) = import.end().await;
    assert!(status.success(), "{output:?}");
    head_reaches(&url, i64::from(EVENTS)).await;
    assert_eq!(head(&url).await, Some(i64::from(EVENTS)));
    service.signal(Signal::SIGTERM);
    assert!(service.end().await.0.success());
}

/// Told to stop while requests are under way, it answers every one that it has begun: what was not
/// answered has not happened. (Two listeners for the signal once raced here, and the one that won
/// dropped the server in the middle of its requests.)
#[tokio::test]
async fn a_service_that_is_told_to_stop_answers_what_it_has_begun() {
    let book = postgres::unique("drained");
    let address = free_address().await;
    let url = format!("http://{address}");
    let service = start(&book, &address).await;
    let client = Client::new();
    let post = |path: String, key: String, body: Value| {
        let request = client.post(format!("{url}{path}"));
        request.header("Idempotency-Key", key).json(&body).send()
    };
    for account in 0..8 {
        let body = serde_json::json!({"id": account.to_string(), "currency": "EUR"});
        post("/v1/accounts".to_owned(), format!("open-{account}"), body)
            .await
            .unwrap();
    }
    // Many more than there are connections to the database, so that most are under way at any time.
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let account = writer % 8;
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                let mut answered = 0;
                loop {
                    let sent = client
                        .post(format!("{url}/v1/accounts/{account}/credits"))
                        .header("Idempotency-Key", format!("{writer}-{answered}"))
                        .json(&serde_json::json!({"amount": "1.00", "currency": "EUR", "contra": "cash"}))
                        .send()
                        .await;
                    match sent {
                        Ok(response) => assert_eq!(response.status(), 201),
                        // Not begun: the port is closed, or the idle connection just was.
                        Err(_) => return answered,
                    }
                    answered += 1;
                }
            })
        })
        .collect();
    head_reaches(&url, 100).await;
    service.signal(Signal::SIGTERM);
    let (status, output) = service.end().await;
    assert!(status.success(), "{output:?}");
    let mut answered = 0;
    for writer in writers {
        answered += writer.await.unwrap();
    }
    let service = start(&book, &address).await;
    assert_eq!(head(&url).await, Some(8 + 1 + 3 * answered));
    service.signal(Signal::SIGTERM);
    assert!(service.end().await.0.success());
}

pub(crate) async fn start(book: &str, address: &str) -> Program {
    let mut command = command(
        program(),
        &["accounts", "--listen", address, "--book", book],
    );
    command.env("DATABASE_URL", postgres::url().await);
    let mut service = Program::start(command);
    service.line_with("listens at").await;
    service
}

fn import(url: &str, file: &Path) -> tokio::process::Command {
    let file = file.to_str().unwrap();
    command(program(), &["import", file, "--url", url, "--batch", "100"])
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ledger-under-test"))
}

/// A port that was free a moment ago, for a service that must come back at the same one.
pub(crate) async fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

async fn head_reaches(url: &str, position: i64) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while head(url).await.is_none_or(|head| head < position) {
        assert!(
            Instant::now() < deadline,
            "position {position} is not reached"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

/// The store's last position, as its feed tells it at this moment.
async fn head(url: &str) -> Option<i64> {
    let body = get(&format!("{url}/v1/feed?limit=1")).await?;
    body["head"].as_i64()
}

async fn get(url: &str) -> Option<Value> {
    let response = Client::new().get(url).send().await.ok()?;
    response.json().await.ok()
}

/// Writes a file of transactions, and returns the balances that they add up to.
fn write_transactions(file: &Path) -> Vec<(u32, Money)> {
    let currency = Currency::from_code("CZK").unwrap();
    let money = |text: &str| Money::parse(text, currency).unwrap();
    let mut balances: Vec<(u32, Money)> = (0..ACCOUNTS)
        .map(|account| (account + 1, money("0")))
        .collect();
    let mut text = String::from(
        "transaction_id,account_id,date,direction,operation,amount,bank_balance,purpose,\
         counterparty_bank,counterparty_account\n",
    );
    for row in 0..ROWS {
        let (account, balance) = &mut balances[usize::try_from(row % ACCOUNTS).unwrap()];
        let amount = format!("{}.{:02}", 1 + row * 7 % 900, row % 100);
        let is_credit = row % 3 != 0;
        *balance = if is_credit {
            balance.checked_add(money(&amount)).unwrap()
        } else {
            balance.checked_sub(money(&amount)).unwrap()
        };
        let (direction, operation) = if is_credit {
            ("credit", "cash_deposit")
        } else {
            ("debit", "cash_withdrawal")
        };
        writeln!(
            text,
            "{},{account},1993-{:02}-15,{direction},{operation},{amount},{},,,",
            row + 1,
            1 + row * 12 / ROWS,
            balance.amount_text()
        )
        .unwrap();
    }
    std::fs::write(file, text).unwrap();
    balances
}
