//! Books as plain-text journals: hledger and beancount, programs of others, add them up to the same.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output;

use folio_core::{Amount, Currency, Money};
use folio_tests::api::Api;
use folio_tests::bank;
use ledger::bank_file::BadRows;
use ledger::client::{EntryLeg, Side};
use ledger::export::{self, ExportArgs};
use ledger::import::{self, ImportArgs};
use ledger::import_journal::{self, ImportJournalArgs, JournalSummary};
use ledger::journal_file::{JournalAccount, JournalFormat, JournalWriter, Transaction};
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

/// The variable that names a Python that has beancount, where it is not `python3`.
const VARIABLE: &str = "FOLIO_BEANCOUNT";

/// Prints as JSON what beancount reads: the balance of each account by its id, and of each transaction its
/// payee, its narration and the metadata of ours.
const ADD_UP: &str = r#"
import json, sys
from beancount import loader
from beancount.core import data, realization

entries, errors, _ = loader.load_file(sys.argv[1])
assert not errors, errors
opened = [entry for entry in entries if isinstance(entry, data.Open)]
ids = {entry.account: entry.meta["folio-account"] for entry in opened}
balances = {}
for account in realization.iter_children(realization.realize(entries)):
    units = [position.units for position in account.balance]
    if units:
        balances[ids[account.account]] = ", ".join(f"{unit.number:f} {unit.currency}" for unit in units)
texts = [
    [entry.payee, entry.narration, {key: value for key, value in entry.meta.items() if key.startswith("folio-")}]
    for entry in entries if isinstance(entry, data.Transaction)
]
print(json.dumps({"balances": balances, "texts": texts}))
"#;

/// What Python prints, with beancount; none where there is none.
async fn python(arguments: &[&OsStr]) -> Option<Output> {
    let program = std::env::var_os(VARIABLE).unwrap_or_else(|| "python3".into());
    let run = async |arguments: &[&OsStr]| Command::new(&program).args(arguments).output().await;
    match run(&["-c".as_ref(), "import beancount".as_ref()]).await {
        Ok(found) if found.status.success() => Some(run(arguments).await.unwrap()),
        Ok(_) | Err(_) => {
            eprintln!(
                "\n*** NOT RUN beside beancount: {program:?} does not have it; set {VARIABLE} to a Python that \
                 has, by `pip install beancount` ***\n"
            );
            None
        }
    }
}

/// What `bean-check` says of a journal.
async fn bean_check(journal: &Path) -> Option<Output> {
    python(&[
        "-m".as_ref(),
        "beancount.scripts.check".as_ref(),
        journal.as_os_str(),
    ])
    .await
}

/// What beancount reads of a journal, which has to be without an error.
async fn read_by_beancount(journal: &Path) -> Option<Value> {
    let checked = bean_check(journal).await?;
    assert!(checked.status.success(), "{checked:?}");
    let told = python(&["-c".as_ref(), ADD_UP.as_ref(), journal.as_os_str()]).await?;
    assert!(told.status.success(), "{told:?}");
    Some(serde_json::from_slice(&told.stdout).unwrap())
}

/// As beancount adds up a journal; none where there is no beancount.
async fn by_beancount(journal: &Path) -> Option<Balances> {
    let told = read_by_beancount(journal).await?;
    Some(serde_json::from_value(told["balances"].clone()).unwrap())
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

async fn export(api: &Api, format: JournalFormat) -> String {
    let caught_up = api.get("/v1/feed?limit=1").await.body["head"]
        .as_i64()
        .unwrap();
    let path = format!("/v1/trial-balance?known_at={caught_up}");
    assert_eq!(api.get(&path).await.status, 200);
    let mut journal = Vec::new();
    let arguments = ExportArgs {
        url: api.reads.parse().unwrap(),
        book: None,
        format,
    };
    export::run(arguments, &mut journal).await.unwrap();
    String::from_utf8(journal).unwrap()
}

async fn import_journal(
    api: &Api,
    file: &Path,
) -> Result<JournalSummary, import_journal::ImportJournalError> {
    import_journal::run(ImportJournalArgs {
        file: file.to_owned(),
        url: api.url.parse().unwrap(),
    })
    .await
}

/// Exports a book, has a program of others add it up, takes it into another book, and compares all three.
async fn goes_round(api: &Api, format: JournalFormat) {
    let folder = TempDir::new().unwrap();
    let journal = export(api, format).await;
    let ours = by_folio(api).await;
    let (file, theirs) = match format {
        JournalFormat::Hledger => {
            let file = written(&folder, "book.journal", &journal);
            let theirs = by_hledger(&file).await;
            (file, theirs)
        }
        JournalFormat::Beancount => {
            let file = written(&folder, "book.beancount", &journal);
            let theirs = by_beancount(&file).await;
            (file, theirs)
        }
    };
    if let Some(theirs) = theirs {
        assert_eq!(theirs, ours);
    }

    let copy = Api::start().await;
    let first = import_journal(&copy, &file).await.unwrap();
    assert_eq!((first.posted, first.already_there), (first.transactions, 0));
    let again = import_journal(&copy, &file).await.unwrap();
    assert_eq!((again.posted, again.already_there), (0, first.transactions));
    // All but its first line, which tells the position, is the same again; within a request entries are
    // posted side by side.
    let copied = export(&copy, format).await;
    assert!(
        parts(&copied) == parts(&journal),
        "the copy's export differs"
    );
    assert_eq!(by_folio(&copy).await, ours);
    copy.stop().await;
}

fn written(folder: &TempDir, name: &str, journal: &str) -> PathBuf {
    let file = folder.path().join(name);
    std::fs::write(&file, journal).unwrap();
    file
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
        goes_round(&api, JournalFormat::Hledger).await;
        api.stop().await;
    }
}

#[tokio::test]
async fn beancount_agrees_with_the_banks_book() {
    let api = bank_book(&bank::sample(), "bank_sample.csv").await;
    goes_round(&api, JournalFormat::Beancount).await;
    api.stop().await;
}

/// With one digit more in one amount, beancount refuses what it took before, and so do we.
#[tokio::test]
async fn an_altered_amount_is_refused_by_beancount_and_by_the_import() {
    let api = bank_book(&bank::sample(), "bank_sample.csv").await;
    let journal = export(&api, JournalFormat::Beancount).await;
    let posting = journal.lines().find(|line| line.starts_with("  Assets:"));
    let (account, amount) = posting.unwrap().rsplit_once("  ").unwrap();
    let digit = amount.find(|c: char| c.is_ascii_digit()).unwrap();
    let (sign, number) = amount.split_at(digit);
    let altered = format!("{account}  {sign}1{number}");
    let folder = TempDir::new().unwrap();
    let file = written(
        &folder,
        "altered.bean",
        &journal.replacen(posting.unwrap(), &altered, 1),
    );
    if let Some(checked) = bean_check(&file).await {
        let told = String::from_utf8_lossy(&checked.stderr);
        assert!(
            !checked.status.success() && told.contains("does not balance"),
            "{checked:?}"
        );
    }
    let refused = folio_core::error_chain(&import_journal(&api, &file).await.unwrap_err());
    for part in ["altered.bean", "line ", "not to zero"] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
    api.stop().await;
}

/// Quotes, backslashes, ends of lines, letters of all kinds: beancount reads what was meant.
#[tokio::test]
async fn beancount_reads_every_text_as_it_was() {
    const TEXTS: [Option<&str>; 9] = [
        None,
        Some("plain"),
        Some("\"quoted\" \\ and \\n"),
        Some("two\nlines\tand \r\n more \u{c}\u{8}\u{1}"),
        Some("; no comment"),
        Some("žluťoučký 漢字 🦀 \u{85}\u{2028}"),
        Some(" "),
        Some("\\"),
        Some(""),
    ];
    let eur = Currency::from_code("EUR").unwrap();
    let account = |id: &str, normal_side: &str| JournalAccount {
        id: id.to_owned(),
        currency: Some(eur),
        kind: "recording".to_owned(),
        normal_side: normal_side.to_owned(),
    };
    let accounts = [account("A", "credit"), account("a", "credit")];
    let leg = |account_id: &str, side| EntryLeg {
        account_id: account_id.to_owned(),
        side,
        // As many digits as beancount counts with.
        amount: Amount::parse("99999999999999999999999999.99", eur).unwrap(),
    };
    let transaction = |reference: Option<&str>, description: Option<&str>| Transaction {
        line: 0,
        date: "0001-01-01".parse().unwrap(),
        id: Some("e-1".to_owned()),
        legs: vec![leg("A", Side::Debit), leg("a", Side::Credit)],
        reference: reference.map(str::to_owned),
        description: description.map(str::to_owned),
        exchange: None,
        reverses: None,
    };
    let mut journal = Vec::new();
    let mut writer =
        JournalWriter::begin(JournalFormat::Beancount, &mut journal, "", &accounts).unwrap();
    let pairs = TEXTS
        .iter()
        .flat_map(|first| TEXTS.iter().map(move |second| (*first, *second)));
    let mut expected = Vec::new();
    for (reference, description) in pairs {
        writer.write(&transaction(reference, description)).unwrap();
        let mut notes = json!({"folio-entry": "e-1"});
        for (name, text) in [("reference", reference), ("description", description)] {
            if text == Some("") {
                notes[format!("folio-{name}")] = json!("");
            }
        }
        expected.push(json!([reference, description.unwrap_or_default(), notes]));
    }
    writer.end().unwrap();
    let folder = TempDir::new().unwrap();
    let file = written(
        &folder,
        "texts.beancount",
        str::from_utf8(&journal).unwrap(),
    );
    if let Some(told) = read_by_beancount(&file).await {
        assert_eq!(told["texts"], json!(expected));
    }
}

/// More than 10,000 entries.
#[tokio::test]
async fn hledger_agrees_with_a_book_of_many_currencies() {
    let api = book_of_many_currencies(10_200).await;
    goes_round(&api, JournalFormat::Hledger).await;
    api.stop().await;
}

/// Fewer, because what is larger says no more.
#[tokio::test]
async fn beancount_agrees_with_a_book_of_many_currencies() {
    let api = book_of_many_currencies(2_040).await;
    goes_round(&api, JournalFormat::Beancount).await;
    api.stop().await;
}

/// A book of entries of two to five legs in six currencies of 0, 2 and 3 decimals, with exchanges and 100
/// reversals among them.
async fn book_of_many_currencies(entries: usize) -> Api {
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
    let entries: Vec<Value> = (0..entries).map(|n| entry(n, &CURRENCIES)).collect();
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
    api
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
    let run = || import_journal(&api, &file);
    let refused = folio_core::error_chain(&run().await.unwrap_err());
    for part in [
        "mine.journal",
        "line 5",
        "include is outside of what is read",
    ] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
    // By its name, the next one is beancount's.
    let other = written(
        &folder,
        "mine.beancount",
        "2026-01-01 open Assets:A\n2026-01-01 close Assets:A\n",
    );
    let refused = folio_core::error_chain(&import_journal(&api, &other).await.unwrap_err());
    for part in [
        "mine.beancount",
        "line 2",
        "close is outside of what is read",
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

/// Of three transactions the second was refused. Once it is right, the journal is imported: the batch has another body, and must not have
/// the key of the one before.
#[tokio::test]
async fn a_journal_that_was_corrected_is_imported() {
    let api = Api::start().await;
    let folder = TempDir::new().unwrap();
    let of = |day: &str, what: &str| format!("{day} * {what}\n    food  12.50 EUR\n    cash\n");
    let closed = api.post("/v1/periods/2026-01-31/close", &Value::Null).await;
    assert_eq!(closed.status, 200, "{closed:?}");
    let write = |second: &str| {
        let all = [
            of("2026-02-01", "bread"),
            second.to_owned(),
            of("2026-02-03", "milk"),
        ];
        written(&folder, "mine.journal", &all.join("\n"))
    };
    let wrong = write(&of("2026-01-02", "butter"));
    let refused = import_journal(&api, &wrong).await.unwrap_err().to_string();
    assert!(refused.contains("period_closed"), "{refused}");
    let right = write(&of("2026-02-02", "butter"));
    let summary = import_journal(&api, &right).await.unwrap();
    assert_eq!((summary.posted, summary.already_there), (1, 2));
    api.stop().await;
}
