//! A bank's own transactions, checked against the balances that the bank itself printed.

use std::collections::BTreeMap;
use std::error::Error;
use std::iter::successors;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use folio_core::{Actor, Currency, Money};
use folio_postgres::PostgresStore;
use folio_projections::{BuildState, Filling, Projection, StoreSource};
use folio_proofs::answer::Verdict;
use folio_proofs::bundle::Bundle;
use folio_tests::api::Api;
use folio_tests::{bank, postgres};
use ledger::bank_file::BadRows;
use ledger::import::{self, ImportArgs, ImportError, ImportSummary};
use ledger::reconcile::{self, Format, ReconcileArgs, Reconciliation};
use ledger_example::AuditReport;
use ledger_example::account::{PostedLeg, Side};
use ledger_example::balances::open_balances;
use serde::Deserialize;
use tempfile::TempDir;

use crate::seal::service::{bundle, question, seals};

#[tokio::test]
async fn the_sample_equals_the_bank_after_every_row() {
    import_and_compare(
        &bank::sample(),
        "bank_sample.csv",
        "bank_sample_accounts.csv",
        50,
    )
    .await;
}

/// 29,464 real transactions on 730 accounts of a Czech bank in 1993 and 1994.
#[tokio::test]
async fn real_transactions_equal_the_bank_after_every_row() {
    if let Some(folder) = bank::real_data() {
        import_and_compare(&folder, "transactions.csv", "accounts.csv", 29_464).await;
    }
}

/// The read model is rebuilt, compared and swapped twice while the bank's transactions come in.
#[tokio::test]
async fn a_rebuild_beside_an_import_ends_with_the_banks_balances() {
    rebuild_beside_import(
        &bank::sample(),
        "bank_sample.csv",
        "bank_sample_accounts.csv",
    )
    .await;
    if let Some(folder) = bank::real_data() {
        rebuild_beside_import(&folder, "transactions.csv", "accounts.csv").await;
    }
}

async fn rebuild_beside_import(folder: &Path, transactions: &str, accounts: &str) {
    let api = Api::start().await;
    let expected = expected_accounts(&folder.join(accounts));
    let databases = &api.databases;
    let store = PostgresStore::open(&databases.accounts.events, 2)
        .await
        .unwrap();
    let source = StoreSource::new(Arc::new(store));
    let projection = open_balances(&databases.book, source, &databases.balances, 4)
        .await
        .unwrap();
    let file = folder.join(transactions);
    let importing = import::run(arguments(&api, &file));
    let rebuilding = async {
        let by = Actor::new("operator").unwrap();
        let mut beside = 0;
        for (build, partitions) in [(2, 2), (3, 1)] {
            let filling = Filling {
                partitions,
                events_per_second: None,
            };
            projection.rebuild(filling, &by).await.unwrap();
            // What is left of it is filled while the live one stands still for the comparison.
            while lag(&projection, build).await > 1_000 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let diff = projection.diff(build).await.unwrap();
            assert!(diff.is_empty(), "{diff:?}");
            beside = diff.position.number();
            projection.swap(build, &by).await.unwrap();
        }
        beside
    };
    let (imported, beside) = tokio::join!(importing, rebuilding);
    let imported = imported.unwrap();
    let final_balances = balances(&api, &imported).await;
    for (id, account) in &expected {
        assert_eq!(final_balances[id], account.net_of_amounts, "account {id}");
    }
    let audit = audit(&api).await;
    assert_eq!(audit.differences, []);
    let builds = projection.builds().await.unwrap();
    let live = builds.iter().find(|build| build.state == BuildState::Live);
    assert_eq!(live.unwrap().name.build, 3);
    eprintln!(
        "two rebuilds beside {} events, the last at {beside}",
        audit.head
    );
    api.stop().await;
}

/// How far a build is behind the live one.
async fn lag(projection: &Projection, build: i32) -> i64 {
    let builds = projection.builds().await.unwrap();
    let live = builds.iter().find(|build| build.state == BuildState::Live);
    let found = builds.iter().find(|found| found.name.build == build);
    live.unwrap()
        .position()
        .events_since(found.unwrap().position())
}

/// All lines of an error and its causes, as the program prints them: a file has one for each row that is wrong.
fn told(error: &dyn Error) -> String {
    let errors = successors(Some(error), |&error| error.source());
    let lines: Vec<String> = errors.map(ToString::to_string).collect();
    lines.join("\n")
}

#[tokio::test]
async fn a_file_with_a_bad_row_is_named_and_nothing_of_it_is_posted() {
    let api = Api::start().await;
    let sample = std::fs::read_to_string(bank::sample().join("bank_sample.csv")).unwrap();
    let lines: Vec<&str> = sample.lines().collect();
    let amount = lines[10].split(',').nth(5).unwrap();
    let date = lines[10].split(',').nth(2).unwrap();
    let cases = [
        (lines[10].replace(amount, "12.345"), "line 11"),
        (lines[10].replace(amount, "1e3"), "line 11"),
        (lines[10].replace(amount, "-5.00"), "line 11"),
        (lines[10].replace(amount, ""), "line 11"),
        (lines[10].replace(date, "1993-02-30"), "line 11"),
        (lines[10].replace(date, "930101"), "line 11"),
        (format!("{},extra", lines[10]), "line 11"),
        (lines[9].to_owned(), "line 11"),
    ];
    let folder = TempDir::new().unwrap();
    for (bad, named) in cases {
        let mut changed = lines.clone();
        changed[10] = &bad;
        let file = folder.path().join("bad.csv");
        std::fs::write(&file, changed.join("\n")).unwrap();
        let error = import::run(arguments(&api, &file)).await.unwrap_err();
        assert!(
            matches!(error, ImportError::File { .. }),
            "{bad}: {error:?}"
        );
        let text = told(&error);
        assert!(text.contains(named), "{bad}: {text}");
    }
    let file = folder.path().join("columns.csv");
    std::fs::write(&file, sample.replacen("bank_balance", "colour", 1)).unwrap();
    let text = told(&import::run(arguments(&api, &file)).await.unwrap_err());
    assert!(
        text.contains("colour") && text.contains("bank_balance"),
        "{text}"
    );

    let accounts = api.get("/v1/accounts").await;
    assert_eq!(accounts.body["accounts"].as_array().unwrap().len(), 0);
    api.stop().await;
}

/// The bank lets an account go below zero; a ledger account that may not is not talked into it.
#[tokio::test]
async fn a_refused_row_is_named_with_its_line() {
    let api = Api::start().await;
    let body = serde_json::json!({"id": "102", "currency": "CZK"});
    api.post("/v1/accounts", &body).await;
    let file = bank::sample().join("bank_sample.csv");
    let error = import::run(arguments(&api, &file)).await.unwrap_err();
    let text = told(&error);
    assert!(
        text.contains("insufficient_funds") && text.contains("line "),
        "{text}"
    );
    api.stop().await;
}

async fn import_and_compare(folder: &Path, transactions: &str, accounts: &str, rows: usize) {
    let sealed = TempDir::new().unwrap();
    let api = Api::sealed(postgres::book().await, seals(&sealed).await).await;
    let file = folder.join(transactions);
    let expected = expected_accounts(&folder.join(accounts));

    let first = import::run(arguments(&api, &file)).await.unwrap();
    assert_eq!((first.posted, first.already_there), (rows, 0), "{first}");
    assert_eq!(expected.len(), first.accounts);
    let reconciliation = reconcile(&api, &file, &first).await;
    compare(&reconciliation, &expected, rows);
    let final_balances = balances(&api, &first).await;
    for (id, account) in &expected {
        assert_eq!(final_balances[id], account.net_of_amounts, "account {id}");
    }
    let audit = audit(&api).await;
    assert_eq!(audit.differences, []);
    // Each account is opened, those of the book as well; each row is an entry with two legs.
    assert!(audit.accounts > expected.len());
    assert_eq!(audit.events, (3 * rows + audit.accounts) as u64);

    let busiest = expected.values().max_by_key(|account| account.transactions);
    let busiest = busiest.unwrap();
    let proven = proven_balance(&api, busiest, &sealed).await;
    assert_eq!(proven, busiest.net_of_amounts, "by its proven events alone");

    // Importing again adds nothing at all: the store's head is where it was.
    let second = import::run(arguments(&api, &file)).await.unwrap();
    assert_eq!((second.posted, second.already_there), (0, rows), "{second}");
    assert_eq!(self::audit(&api).await.head, audit.head);
    eprintln!(
        "{rows} rows imported at {} a second, replayed at {} events a second",
        first.rows_per_second(),
        audit.events_per_second()
    );
    api.stop().await;
}

fn compare(
    reconciliation: &Reconciliation,
    expected: &BTreeMap<String, ExpectedAccount>,
    rows: usize,
) {
    let summary = &reconciliation.summary;
    assert_eq!(summary.rows, rows);
    assert_eq!((summary.rows_missing, summary.lines_not_in_file), (0, 0));
    assert_eq!(reconciliation.accounts.len(), expected.len());
    for account in &reconciliation.accounts {
        let id = account.account.to_string();
        let reconciles = expected[&id].reconciles_to_the_cent == "yes";
        // Both ways: every one that the bank's data calls equal is, and no other.
        assert_eq!(
            account.agrees(),
            reconciles,
            "account {id}: {:?}",
            account.findings.first()
        );
    }
    let reconciling = expected
        .values()
        .filter(|a| a.reconciles_to_the_cent == "yes");
    assert_eq!(summary.accounts_agreeing, reconciling.count());
}

#[derive(Debug, Deserialize)]
struct ExpectedAccount {
    account_id: String,
    transactions: usize,
    reconciles_to_the_cent: String,
    net_of_amounts: String,
}

/// The balance of an account by its bundle, which is checked with the public key and with nothing of the database.
async fn proven_balance(api: &Api, account: &ExpectedAccount, sealed: &TempDir) -> String {
    let path = format!("/v1/audit/accounts/{}/bundle", account.account_id);
    // It was opened as well.
    let bundle = bundle(api, &path, account.transactions + 1).await;
    let answer = question(sealed, None).answer(bundle.to_string().as_bytes());
    assert_eq!(answer.verdict, Verdict::Verified, "{}", answer.remarks);
    let bundle: Bundle = serde_json::from_value(bundle).unwrap();
    let legs = bundle.events.iter().skip(1).map(|event| {
        assert_eq!(event.event_type, "LegPosted");
        serde_json::from_slice::<PostedLeg>(&event.payload).unwrap()
    });
    let balance = legs.fold(Money::zero(currency()), |balance, leg| match leg.side {
        Side::Credit => balance.checked_add(leg.amount.money()).unwrap(),
        Side::Debit => balance.checked_sub(leg.amount.money()).unwrap(),
    });
    balance.amount_text()
}

fn expected_accounts(file: &Path) -> BTreeMap<String, ExpectedAccount> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    reader
        .deserialize()
        .map(|row| {
            let account: ExpectedAccount = row.unwrap();
            (account.account_id.clone(), account)
        })
        .collect()
}

fn arguments(api: &Api, file: &Path) -> ImportArgs {
    ImportArgs {
        file: PathBuf::from(file),
        url: api.url.parse().unwrap(),
        token: None,
        currency: currency(),
        batch: 500,
        bad_rows: BadRows::Refuse,
    }
}

async fn reconcile(api: &Api, file: &Path, import: &ImportSummary) -> Reconciliation {
    let arguments = ReconcileArgs {
        file: PathBuf::from(file),
        url: api.reads.parse().unwrap(),
        book: None,
        currency: currency(),
        format: Format::Table,
        bad_rows: BadRows::Refuse,
        min_position: import.position.as_ref().map(ToString::to_string),
    };
    reconcile::run(arguments).await.unwrap()
}

fn currency() -> Currency {
    Currency::from_code("CZK").unwrap()
}

/// The balance of every account, from the read model by way of the list of accounts.
async fn balances(api: &Api, import: &ImportSummary) -> BTreeMap<String, String> {
    let position = import.position.as_ref().unwrap();
    let mut path = format!("/v1/accounts?limit=1000&min_position={position}");
    let mut balances = BTreeMap::new();
    loop {
        let page = api.get(&path).await;
        for account in page.body["accounts"].as_array().unwrap() {
            let balance = account["balance"].as_str().unwrap();
            Money::parse(balance, currency()).unwrap();
            balances.insert(
                account["id"].as_str().unwrap().to_owned(),
                balance.to_owned(),
            );
        }
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            return balances;
        };
        path = format!("/v1/accounts?limit=1000&cursor={cursor}");
    }
}

async fn audit(api: &Api) -> AuditReport {
    crate::audit::audit(&api.databases).await.unwrap()
}
