use super::*;
use crate::{
    client::{Posting, Side, stand_in::StandIn},
    import::{self, ImportArgs},
};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/bank_sample.csv");

fn czk() -> Currency {
    Currency::from_code("CZK").unwrap()
}

fn args(ledger: &StandIn) -> ReconcileArgs {
    ReconcileArgs {
        book: None,
        file: SAMPLE.into(),
        url: ledger.address.parse().unwrap(),
        currency: czk(),
        format: Format::Table,
        bad_rows: BadRows::Refuse,
        min_position: Some("p55".to_owned()),
    }
}

async fn imported() -> StandIn {
    let ledger = StandIn::start().await;
    let args = ImportArgs {
        file: SAMPLE.into(),
        url: ledger.address.parse().unwrap(),
        token: None,
        currency: czk(),
        batch: 500,
        bad_rows: BadRows::Refuse,
    };
    import::run(args).await.unwrap();
    ledger
}

fn written(reconciliation: &Reconciliation, format: Format) -> String {
    let mut out = Vec::new();
    reconciliation.write(format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn the_rows_that_the_bank_rounded_are_found() {
    let ledger = imported().await;
    ledger.ledger().not_now = 3;
    let found = run(args(&ledger)).await.unwrap();
    assert!(!found.agrees());
    let summary = &found.summary;
    assert_eq!((summary.accounts, summary.rows), (5, 50));
    assert_eq!(
        (summary.accounts_agreeing, summary.accounts_differing),
        (3, 2)
    );
    assert_eq!(summary.rows_differing, 8);
    assert_eq!((summary.rows_missing, summary.lines_not_in_file), (0, 0));
    assert_eq!(summary.final_differences.to_string(), "-0.10 CZK");
    let accounts: Vec<_> = found.accounts.iter().map(|a| a.account.as_str()).collect();
    assert_eq!(accounts, ["101", "102", "103", "104", "105"]);
    assert!(
        ledger
            .ledger()
            .min_positions
            .iter()
            .all(|token| token == "p55")
    );
}

#[tokio::test]
async fn an_empty_ledger_misses_every_row() {
    let ledger = StandIn::start().await;
    let found = run(args(&ledger)).await.unwrap();
    let summary = &found.summary;
    assert_eq!((summary.accounts_agreeing, summary.rows_missing), (0, 50));
    assert_eq!(summary.rows_differing, 0);
}

#[tokio::test]
async fn findings_are_shown_as_a_table_and_as_csv() {
    let ledger = imported().await;
    let extra = Posting {
        key: "x".to_owned(),
        account_id: "103".to_owned(),
        side: Side::Debit,
        amount: folio_core::Amount::parse("1", czk()).unwrap(),
        contra: "cash".to_owned(),
        effective_date: "1996-04-01".parse().unwrap(),
        reference: "by hand".to_owned(),
        description: "correction".to_owned(),
    };
    ledger.client.post_bulk("k", &[extra]).await.unwrap();
    ledger.ledger().accounts.remove("104");
    let found = run(args(&ledger)).await.unwrap();

    let table = written(&found, Format::Table);
    let start = "\
account_id  transaction_id  line  position  date        finding            bank_balance     ours  difference
103         by hand                     12  1996-04-01  not_in_file                      2365.77
104         9000005            6            1996-02-06  missing_in_ledger       2000.00
";
    assert!(table.starts_with(start), "{table}");
    let end = "
105         9000050           51            1996-03-31  balance_differs         4787.96  4787.86       -0.10

accounts compared                5
  agree on every row             2
  differ                         3
rows compared                   50
  with another balance           6
  missing in the ledger          8
lines not in the file            1
sum of final differences  -6240.45
";
    assert!(table.ends_with(end), "{table}");

    let csv = written(&found, Format::Csv);
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 1 + 8 + 6);
    assert_eq!(
        lines[0],
        "account_id,transaction_id,line,position,date,finding,bank_balance,ours,difference"
    );
    assert_eq!(lines[1], "103,by hand,,12,1996-04-01,not_in_file,,2365.77,");
    assert_eq!(
        lines[2],
        "104,9000005,6,,1996-02-06,missing_in_ledger,2000.00,,"
    );
    assert_eq!(
        lines[15],
        "105,9000050,51,,1996-03-31,balance_differs,4787.96,4787.86,-0.10"
    );
}

#[tokio::test]
async fn an_account_in_another_currency_is_an_error() {
    let ledger = StandIn::start().await;
    ledger
        .ledger()
        .open("102", Currency::from_code("EUR").unwrap());
    let error = run(args(&ledger)).await.unwrap_err();
    assert!(
        matches!(error, ReconcileError::OtherCurrency { .. }),
        "{error}"
    );
}

#[test]
fn arguments_have_their_defaults() {
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: ReconcileArgs,
    }
    let parsed = Command::try_parse_from(["reconcile", "bank.csv"])
        .ok()
        .unwrap()
        .args;
    assert_eq!((parsed.currency, parsed.format), (czk(), Format::Table));
    assert_eq!(
        (parsed.bad_rows, parsed.min_position),
        (BadRows::Refuse, None)
    );
    let csv = Command::try_parse_from(["reconcile", "bank.csv", "--format=csv"]);
    assert_eq!(csv.ok().unwrap().args.format, Format::Csv);
}
