//! Books as plain-text journals: hledger, a program of others, adds them up to the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use folio_core::{Amount, Currency, Money};
use folio_tests::api::Api;
use folio_tests::bank;
use ledger::bank_file::BadRows;
use ledger::export::{self, ExportArgs};
use ledger::import::{self, ImportArgs};
use ledger::import_journal::{self, ImportJournalArgs};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// The balance of each account by its id, debits above zero, without those of zero.
type Balances = BTreeMap<String, String>;

/// As hledger adds up a journal; none where there is no hledger.
async fn by_hledger(journal: &Path) -> Option<Balances> {
    let run = async |arguments: &[&str]| {
        let mut command = Command::new("hledger");
        command
            .args(arguments)
            .args(["-f".as_ref(), journal.as_os_str()]);
        command.env("LANG", "C.UTF-8").output().await
    };
    // Strictly: every account and currency is declared, every transaction balances.
    let checked = match run(&["check", "--strict"]).await {
        Ok(checked) => checked,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("\n*** NOT RUN beside hledger: there is no program hledger here ***\n");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(checked.status.success(), "{checked:?}");
    let told = run(&["balance", "--flat", "-O", "csv"]).await.unwrap();
    assert!(told.status.success(), "{told:?}");
    let mut rows = csv::Reader::from_reader(told.stdout.as_slice());
    let balances = rows.records().map(|row| {
        let row = row.unwrap();
        (row[0].to_owned(), row[1].to_owned())
    });
    let mut balances: Balances = balances.collect();
    assert_eq!(balances.remove("total").as_deref(), Some("0"));
    balances.retain(|_, amount| amount != "0");
    Some(balances)
}

/// As the trial balance tells them.
async fn by_folio(api: &Api) -> Balances {
    let mut balances = Balances::new();
    let mut path = "/v1/trial-balance/accounts?limit=1000".to_owned();
    loop {
        let page = api.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        for account in page.body["accounts"].as_array().unwrap() {
            let text = |field: &str| account[field].as_str().unwrap();
            let currency = Currency::from_code(text("currency")).unwrap();
            let net = Money::parse(text("net"), currency).unwrap();
            if !net.is_zero() {
                let net = format!("{} {}", net.amount_text(), currency.code());
                balances.insert(text("account_id").to_owned(), net);
            }
        }
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/trial-balance/accounts?limit=1000&cursor={cursor}"),
            None => return balances,
        }
    }
}

async fn export(api: &Api) -> String {
    let caught_up = api.get("/v1/feed?limit=1").await.body["head"]
        .as_i64()
        .unwrap();
    let path = format!("/v1/trial-balance?known_at={caught_up}");
    assert_eq!(api.get(&path).await.status, 200);
    let mut journal = Vec::new();
    let arguments = ExportArgs {
        url: api.reads.parse().unwrap(),
        book: None,
    };
    export::run(arguments, &mut journal).await.unwrap();
    String::from_utf8(journal).unwrap()
}

/// Exports a book, has hledger add it up, takes it into another book, and compares all three.
async fn goes_round(api: &Api) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("book.journal");
    let journal = export(api).await;
    std::fs::write(&file, &journal).unwrap();
    let ours = by_folio(api).await;
    if let Some(theirs) = by_hledger(&file).await {
        assert_eq!(theirs, ours);
    }

    let copy = Api::start().await;
    let import = || {
        import_journal::run(ImportJournalArgs {
            file: file.clone(),
            url: copy.url.parse().unwrap(),
        })
    };
    let first = import().await.unwrap();
    assert_eq!((first.posted, first.already_there), (first.transactions, 0));
    let again = import().await.unwrap();
    assert_eq!((again.posted, again.already_there), (0, first.transactions));
    // All but its first line, which tells the position, is the same again; within a request entries are
    // posted side by side.
    let copied = export(&copy).await;
    assert!(
        parts(&copied) == parts(&journal),
        "the copy's export differs"
    );
    assert_eq!(by_folio(&copy).await, ours);
    copy.stop().await;
}

/// What a journal says, apart from its first line and the order of its parts.
fn parts(journal: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = journal.split("\n\n").skip(1).map(str::trim).collect();
    parts.sort_unstable();
    parts
}

async fn bank_book(folder: &Path, transactions: &str) -> Api {
    let api = Api::start().await;
    import::run(ImportArgs {
        file: folder.join(transactions),
        url: api.url.parse().unwrap(),
        token: None,
        currency: Currency::from_code("CZK").unwrap(),
        batch: 500,
        bad_rows: BadRows::Refuse,
    })
    .await
    .unwrap();
    api
}

#[tokio::test]
async fn hledger_agrees_with_the_banks_book() {
    let sample = (bank::sample(), "bank_sample.csv");
    let real = bank::real_data().map(|folder| (folder, "transactions.csv"));
    for (folder, file) in [Some(sample), real].into_iter().flatten() {
        let folder: PathBuf = folder;
        let api = bank_book(&folder, file).await;
        goes_round(&api).await;
        api.stop().await;
    }
}

/// More than 10,000 entries of two to five legs in six currencies of 0, 2 and 3 decimals, with
/// exchanges and reversals among them.
#[tokio::test]
async fn hledger_agrees_with_a_book_of_many_currencies() {
    const ENTRIES: usize = 10_200;
    const CURRENCIES: [&str; 6] = ["EUR", "CZK", "USD", "JPY", "KWD", "BHD"];
    let api = Api::start().await;
    for code in CURRENCIES {
        for number in 0..8 {
            let body = json!({"id": format!("{code}.{number}"), "currency": code,
                "overdraft": {"kind": "unlimited"}});
            assert_eq!(api.post("/v1/accounts", &body).await.status, 201);
        }
        let body = json!({"id": format!("fx.{code}"), "currency": code, "kind": "recording"});
        assert_eq!(api.post("/v1/accounts", &body).await.status, 201);
    }
    let entries: Vec<Value> = (0..ENTRIES).map(|n| entry(n, &CURRENCIES)).collect();
    for entries in entries.chunks(500) {
        let answer = api
            .post("/v1/journal-entries/bulk", &json!({"entries": entries}))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for number in (0..100).map(|n| n * 7) {
        let body = json!({"id": format!("undo-{number}"), "effective_date": "2026-11-30",
            "description": "a (mistake); undone"});
        let answer = api
            .post(&format!("/v1/journal-entries/e{number}/reverse"), &body)
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    goes_round(&api).await;
    api.stop().await;
}

fn entry(number: usize, currencies: &[&str; 6]) -> Value {
    let code = currencies[number % 6];
    let currency = Currency::from_code(code).unwrap();
    let amount = |units: usize| {
        let places = Money::zero(currency).amount_text().len().saturating_sub(2);
        let digits = format!("{units:0>width$}", width = places + 1);
        let (whole, part) = digits.split_at(digits.len() - places);
        let text = if places == 0 {
            digits.clone()
        } else {
            format!("{whole}.{part}")
        };
        Amount::parse(&text, currency).unwrap().amount_text()
    };
    let leg = |account: String, side: &str, amount: String, code: &str| json!({"account_id": account, "side": side, "amount": amount, "currency": code});
    let own = |n: usize| format!("{code}.{}", n % 8);
    let date = format!("2026-{:02}-{:02}", 1 + number % 11, 1 + number % 28);
    let mut body = json!({"id": format!("e{number}"), "effective_date": date,
        "reference": format!("ref {number}"), "description": format!("entry no. {number}")});
    if number % 60 == 4 {
        // Dinars for yen: 3 decimals and none.
        let sold = leg(own(1), "debit", "12.345".to_owned(), "KWD");
        body["legs"] = json!([
            sold,
            leg("fx.KWD".to_owned(), "credit", "12.345".to_owned(), "KWD"),
            leg("fx.JPY".to_owned(), "debit", "6148".to_owned(), "JPY"),
            leg("JPY.3".to_owned(), "credit", "6148".to_owned(), "JPY"),
        ]);
        body["exchange"] = json!({
            "sold": {"amount": "12.345", "currency": "KWD"},
            "bought": {"amount": "6148", "currency": "JPY"},
            "rate": "498.0123", "market_rate": "500",
        });
        return body;
    }
    let legs = 1 + number % 4;
    let units = 100 + number * 37 % 90_000;
    let mut all = vec![leg(own(0), "debit", amount(units * legs), code)];
    all.extend((0..legs).map(|n| leg(own(n + 1), "credit", amount(units), code)));
    body["legs"] = json!(all);
    body
}

/// What is outside of what is read is named with its file and line, and nothing of it is posted.
#[tokio::test]
async fn a_journal_that_is_not_understood_is_refused_whole() {
    let api = Api::start().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mine.journal");
    let good = "2026-01-01 * groceries\n    food  12.50 EUR\n    cash\n";
    std::fs::write(&file, format!("{good}\ninclude other.journal\n")).unwrap();
    let run = || {
        import_journal::run(ImportJournalArgs {
            file: file.clone(),
            url: api.url.parse().unwrap(),
        })
    };
    let refused = folio_core::error_chain(&run().await.unwrap_err());
    for part in [
        "mine.journal",
        "line 5",
        "include is outside of what is read",
    ] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
    assert_eq!(api.get("/v1/accounts").await.body["accounts"], json!([]));

    // The same transaction twice is two; importing again adds none.
    std::fs::write(&file, format!("{good}\n{good}")).unwrap();
    assert_eq!(run().await.unwrap().posted, 2);
    assert_eq!(run().await.unwrap().already_there, 2);
    let closed = api.post("/v1/periods/2026-12-31/close", &Value::Null).await;
    assert_eq!(closed.status, 200, "{closed:?}");
    std::fs::write(&file, format!("{good}\n{good}\n{good}")).unwrap();
    let refused = run().await.unwrap_err().to_string();
    assert!(
        refused.contains("line 9") && refused.contains("period_closed"),
        "{refused}"
    );
    api.stop().await;
}
