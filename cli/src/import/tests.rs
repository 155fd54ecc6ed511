use super::*;
use crate::client::stand_in::StandIn;

/// Written by hand; the tests of [`crate::bank_file`] check that its account list is right.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/bank_sample.csv");

fn args(ledger: &StandIn) -> ImportArgs {
    ImportArgs {
        file: SAMPLE.into(),
        url: ledger.address.parse().unwrap(),
        token: None,
        currency: Currency::from_code("CZK").unwrap(),
        batch: 7,
        bad_rows: BadRows::Refuse,
    }
}

fn sample() -> BankFile {
    let czk = Currency::from_code("CZK").unwrap();
    BankFile::open(SAMPLE.as_ref(), czk, BadRows::Refuse).unwrap()
}

/// Imports the sample without the patience of a real import.
async fn import_sample(ledger: &StandIn) -> Result<ImportSummary, ImportError> {
    let args = args(ledger);
    import(&ledger.client, args.currency, args.batch, sample()).await
}

fn balances(ledger: &StandIn) -> Vec<(String, String)> {
    let balance = |(id, book): (&String, &crate::client::stand_in::Book)| {
        (id.clone(), book.balance.amount_text())
    };
    ledger.ledger().accounts.iter().map(balance).collect()
}

/// As the list of the sample's accounts has it.
fn expected() -> Vec<(String, String)> {
    let accounts = include_str!("../../../tests/data/bank_sample_accounts.csv");
    csv::Reader::from_reader(accounts.as_bytes())
        .records()
        .map(|record| record.unwrap())
        .map(|record| (record[0].to_owned(), record[3].to_owned()))
        .collect()
}

#[tokio::test]
async fn a_second_import_changes_nothing() {
    let ledger = StandIn::start().await;
    let first = run(args(&ledger)).await.unwrap();
    assert_eq!((first.rows, first.posted, first.already_there), (50, 50, 0));
    assert_eq!((first.accounts, first.accounts_opened), (5, 5));
    assert_eq!(first.position, Some("p55".into()));
    assert_eq!(balances(&ledger), expected());

    let other_batches = ImportArgs {
        batch: 9,
        ..args(&ledger)
    };
    for again in [args(&ledger), other_batches] {
        let second = run(again).await.unwrap();
        assert_eq!(
            (second.rows, second.posted, second.already_there),
            (50, 0, 50)
        );
        assert_eq!((second.accounts, second.accounts_opened), (5, 0));
        assert_eq!(balances(&ledger), expected());
    }
}

#[tokio::test]
async fn postings_stand_in_the_order_of_the_file() {
    let ledger = StandIn::start().await;
    run(args(&ledger)).await.unwrap();
    let ledger = ledger.ledger();
    let references: Vec<_> = ledger.accounts["102"]
        .lines
        .iter()
        .map(|line| line["reference"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(references.len(), 10);
    assert!(references.is_sorted());
    let fee = &ledger.accounts["102"].lines[4];
    assert_eq!(
        (&fee["contra"], &fee["side"]),
        (&"fees".into(), &"debit".into())
    );
    assert_eq!(fee["description"], "cash_withdrawal penalty_interest");
}

#[tokio::test]
async fn lost_answers_post_nothing_twice_and_are_counted_once() {
    let ledger = StandIn::start().await;
    ledger.ledger().not_now = 3;
    ledger.ledger().lost_answers = 4;
    let opened = import_sample(&ledger).await.unwrap();
    assert_eq!((opened.posted, opened.already_there), (50, 0));

    let ledger = StandIn::start().await;
    for account in ["101", "102", "103", "104", "105"] {
        ledger.ledger().open(account, args(&ledger).currency);
    }
    ledger.ledger().busy_postings = 9;
    let posted = import_sample(&ledger).await.unwrap();
    assert_eq!((posted.posted, posted.already_there), (50, 0));
    assert_eq!(posted.accounts_opened, 0);
    assert_eq!(balances(&ledger), expected());
}

#[tokio::test]
async fn a_refused_row_stops_the_import_and_is_named() {
    let ledger = StandIn::start().await;
    let czk = args(&ledger).currency;
    ledger.ledger().open("104", czk);
    ledger.ledger().accounts.get_mut("104").unwrap().is_closed = true;
    let error = run(args(&ledger)).await.unwrap_err().to_string();
    let expected = "line 6: transaction 9000005 on account 104 is refused: the stand-in says \
                    account_closed (code account_closed, correlation id c-1)";
    assert!(error.starts_with(expected), "{error}");
    let posted: usize = ledger
        .ledger()
        .accounts
        .values()
        .map(|book| book.lines.len())
        .sum();
    assert_eq!(posted, 6, "the rest of the first batch, and no second one");
}

#[tokio::test]
async fn a_row_that_the_ledger_never_has_time_for_is_named() {
    let ledger = StandIn::start().await;
    ledger.ledger().busy_postings = 1_000;
    let error = import_sample(&ledger).await.unwrap_err().to_string();
    assert!(error.starts_with("line 2: transaction 9000001"), "{error}");
    assert!(error.contains("(and 6 more of the same batch)"), "{error}");
}

#[tokio::test]
async fn another_content_for_a_known_transaction_is_explained() {
    let ledger = StandIn::start().await;
    import_sample(&ledger).await.unwrap();
    let mut file = sample();
    let one = folio_core::Amount::parse("1", args(&ledger).currency).unwrap();
    file.transactions[20].amount = one;
    let mut summary = ImportSummary::default();
    let error = post::post_all(&ledger.client, &file.transactions, 500, &mut summary)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("line 22: transaction 9000021"), "{error}");
    assert!(
        error.contains("imported before with other content"),
        "{error}"
    );
    assert_eq!((summary.posted, summary.already_there), (0, 49));
}

#[tokio::test]
async fn an_account_in_another_currency_is_refused_before_anything_is_posted() {
    for is_opened_by_import in [false, true] {
        let ledger = StandIn::start().await;
        let eur = Currency::from_code("EUR").unwrap();
        if is_opened_by_import {
            let euros = ImportArgs {
                currency: eur,
                ..args(&ledger)
            };
            run(euros).await.unwrap();
        } else {
            ledger.ledger().open("103", eur);
        }
        let before = balances(&ledger);
        let error = run(args(&ledger)).await.unwrap_err();
        assert!(
            matches!(error, ImportError::OtherCurrency { found, .. } if found == eur),
            "{error}"
        );
        let after = balances(&ledger);
        assert!(
            before.iter().all(|balance| after.contains(balance)),
            "{after:?}"
        );
    }
}

#[tokio::test]
async fn a_bad_file_is_refused_before_the_first_request() {
    let ledger = StandIn::start().await;
    let not_a_bank_file = ImportArgs {
        file: concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/data/bank_sample_accounts.csv"
        )
        .into(),
        bad_rows: BadRows::Skip,
        ..args(&ledger)
    };
    let error = run(not_a_bank_file).await.unwrap_err();
    assert!(matches!(error, ImportError::File(_)), "{error}");
    assert!(ledger.ledger().accounts.is_empty());
}

#[tokio::test]
async fn arguments_have_their_bounds_and_defaults() {
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: ImportArgs,
    }
    let parsed = Command::try_parse_from(["import", "bank.csv"])
        .ok()
        .unwrap()
        .args;
    assert_eq!(parsed.url.to_string(), "http://127.0.0.1:7401/");
    assert_eq!((parsed.batch, parsed.bad_rows), (500, BadRows::Refuse));
    for bad in [
        "--batch=0",
        "--batch=1001",
        "--currency=czk",
        "--url=https://bank",
        "--bad-rows=keep",
    ] {
        assert!(
            Command::try_parse_from(["import", "bank.csv", bad]).is_err(),
            "{bad}"
        );
    }
}
