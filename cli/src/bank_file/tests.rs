use folio_core::Money;

use super::*;

const HEADER: &str = "transaction_id,account_id,date,direction,operation,amount,bank_balance,\
                      purpose,counterparty_bank,counterparty_account\n";

const SAMPLE: &str = include_str!("../../../tests/data/bank_sample.csv");
const SAMPLE_ACCOUNTS: &str = include_str!("../../../tests/data/bank_sample_accounts.csv");

fn czk() -> Currency {
    Currency::from_code("CZK").unwrap()
}

fn read(text: &[u8]) -> Result<BankFile, BankFileError> {
    BankFile::read(text, czk(), BadRows::Refuse)
}

/// The complaints about a file of these rows, without the first message's first line.
fn complaints(rows: &str) -> Vec<String> {
    match read(format!("{HEADER}{rows}").as_bytes()) {
        Ok(_) => Vec::new(),
        Err(BankFileError::BadRows { bad_rows, .. }) => {
            bad_rows.iter().map(ToString::to_string).collect()
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_row_becomes_a_transaction() {
    let row = "9000001,101,1996-05-02,debit,transfer_out,12.5,-3,household,QX,19-77/0100\n";
    let file = read(format!("{HEADER}{row}").as_bytes()).unwrap();
    let [transaction] = file.transactions.as_slice() else {
        panic!("{file:?}");
    };
    assert_eq!(transaction.line, 2);
    assert_eq!(transaction.id.as_str(), "9000001");
    assert_eq!(transaction.account.as_str(), "101");
    assert_eq!(transaction.date.to_string(), "1996-05-02");
    assert_eq!(transaction.direction, Direction::Debit);
    assert_eq!(transaction.operation, Operation::TransferOut);
    assert_eq!(transaction.amount.to_string(), "12.50 CZK");
    assert_eq!(transaction.bank_balance.to_string(), "-3.00 CZK");
    assert_eq!(transaction.purpose, Some(Purpose::Household));
    assert_eq!(transaction.contra, "bank:QX");
    assert_eq!(
        transaction.description(),
        "transfer_out household QX 19-77/0100"
    );
}

#[test]
fn columns_may_come_in_any_order() {
    let text = "purpose,amount,account_id,date,counterparty_account,direction,operation,\
                bank_balance,counterparty_bank,transaction_id\r\n\
                pension,700,101,1996-05-02,,credit,transfer_in,700.00,QX,9000001\r\n";
    let file = read(text.as_bytes()).unwrap();
    assert_eq!(file.transactions[0].amount.amount_text(), "700.00");
    assert_eq!(file.transactions[0].description(), "transfer_in pension QX");
}

#[test]
fn bad_fields_are_named_with_line_column_and_reason() {
    #[rustfmt::skip]
    let table = [
        (",101,1996-05-02,credit,cash_deposit,1,1,,,", "transaction_id: \"\" is not an id"),
        ("a b,101,1996-05-02,credit,cash_deposit,1,1,,,", "transaction_id: \"a b\" is not an id"),
        ("1,../x,1996-05-02,credit,cash_deposit,1,1,,,", "account_id: \"../x\" is not an id"),
        ("1,,1996-05-02,credit,cash_deposit,1,1,,,", "account_id: \"\" is not an id"),
        ("1,101,1996-5-2,credit,cash_deposit,1,1,,,", "date: \"1996-5-2\" is not a date"),
        ("1,101,1996-02-30,credit,cash_deposit,1,1,,,", "date: \"1996-02-30\" is not a date"),
        ("1,101,02.05.1996,credit,cash_deposit,1,1,,,", "date: \"02.05.1996\" is not a date"),
        ("1,101,+996-05-02,credit,cash_deposit,1,1,,,", "date: \"+996-05-02\" is not a date"),
        ("1,101, 1996-05-2,credit,cash_deposit,1,1,,,", "date: \" 1996-05-2\" is not a date"),
        ("1,101,,credit,cash_deposit,1,1,,,", "date: \"\" is not a date"),
        ("1,101,1996-05-02,CREDIT,cash_deposit,1,1,,,", "direction: \"CREDIT\" is none of credit, debit"),
        ("1,101,1996-05-02,credit,gift,1,1,,,", "operation: \"gift\" is none of card_withdrawal, "),
        ("1,101,1996-05-02,debit,cash_deposit,1,1,,,", "direction: a cash_deposit goes the other way"),
        ("1,101,1996-05-02,credit,card_withdrawal,1,1,,,", "direction: a card_withdrawal goes the other way"),
        ("1,101,1996-05-02,credit,cash_deposit,,1,,,", "amount: amount \"\" is not a plain decimal"),
        ("1,101,1996-05-02,credit,cash_deposit,0.00,1,,,", "amount: amount is zero"),
        ("1,101,1996-05-02,credit,cash_deposit,-1,1,,,", "amount: amount is negative"),
        ("1,101,1996-05-02,credit,cash_deposit,1.005,1,,,", "amount: amount \"1.005\" has more decimals than the 2 that CZK allows"),
        ("1,101,1996-05-02,credit,cash_deposit,1e3,1,,,", "amount: amount \"1e3\" is not a plain decimal"),
        ("1,101,1996-05-02,credit,cash_deposit,\"1,000\",1,,,", "amount: amount \"1,000\" is not a plain decimal"),
        ("1,101,1996-05-02,credit,cash_deposit,1,,,,", "bank_balance: amount \"\" is not a plain decimal"),
        ("1,101,1996-05-02,credit,cash_deposit,1,1.0.0,,,", "bank_balance: amount \"1.0.0\" is not a plain decimal"),
        ("1,101,1996-05-02,credit,cash_deposit,1,1,salary,,", "purpose: \"salary\" is none of household, "),
        ("1,101,1996-05-02,credit,cash_deposit,1,1,,QX,", "counterparty_bank: only a transfer has a counterparty"),
        ("1,101,1996-05-02,credit,internal,1,1,interest,,77", "counterparty_account: only a transfer has a counterparty"),
        ("1,101,1996-05-02,credit,transfer_in,1,1,,,77", "counterparty_bank: \"\" is not the code of a bank"),
        ("1,101,1996-05-02,credit,transfer_in,1,1,,Q:X,77", "counterparty_bank: \"Q:X\" is not the code of a bank"),
        ("1,101,1996-05-02,credit,transfer_in,1,1,,QX,\"7\n7\"", "counterparty_account: \"7\\n7\" is not an account"),
    ];
    let good = "9,101,1996-05-02,credit,cash_deposit,1,1,,,";
    for (row, expected) in table {
        let found = complaints(&format!("{good}\n{row}\n"));
        assert_eq!(found.len(), 1, "{row}: {found:?}");
        let expected = format!("line 3, {expected}");
        assert!(found[0].starts_with(&expected), "{row}: {found:?}");
    }
}

#[test]
fn every_bad_field_of_a_row_is_listed() {
    let found = complaints("?,?,?,?,cash_deposit,?,?,?,QX,77\n");
    let columns: Vec<_> = found
        .iter()
        .map(|complaint| complaint.split([',', ':']).nth(1).unwrap().trim())
        .collect();
    assert_eq!(
        columns,
        [
            "transaction_id",
            "account_id",
            "date",
            "direction",
            "amount",
            "bank_balance",
            "purpose",
            "counterparty_bank",
            "counterparty_account"
        ]
    );
}

#[test]
fn a_row_of_another_length_is_bad_as_a_whole() {
    assert_eq!(
        complaints("1,2,3\n\n1,101,1996-05-02,credit,cash_deposit,1,1,,,,\n"),
        [
            "line 2: the row has 3 fields instead of 10",
            "line 4: the row has 11 fields instead of 10"
        ]
    );
}

#[test]
fn a_repeated_transaction_names_both_lines() {
    let row = "7,101,1996-05-02,credit,cash_deposit,1,1,,,\n";
    let bad_row = "8,101,1996-05-02,credit,cash_deposit,x,1,,,\n";
    let good_row = "8,102,1996-05-02,credit,cash_deposit,1,1,,,\n";
    assert_eq!(
        complaints(&format!("{row}\r\n{row}{bad_row}{good_row}")),
        [
            "line 4, transaction_id: transaction 7 is on line 2 already",
            "line 5, amount: amount \"x\" is not a plain decimal number, such as \"12.50\"",
            "line 6, transaction_id: transaction 8 is on line 5 already",
        ]
    );
}

#[test]
fn a_field_that_is_not_utf8_is_named() {
    let mut text = HEADER.as_bytes().to_vec();
    text.extend(b"1,101,1996-05-02,credit,transfer_in,1,1,,QX,\xe1\n");
    let error = read(&text).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "\n  line 2, counterparty_account: not UTF-8; save the file in this encoding"
        ),
        "{error}"
    );
}

#[test]
fn a_file_that_is_none_is_refused_in_either_mode() {
    let half_a_row = format!("{HEADER}1,\"101,1996-05-02\n2,\n");
    let twice = HEADER.replace("date", "amount");
    let table: [(&str, &str); 6] = [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (HEADER, "the file has a header and no rows"),
        (&half_a_row, "line 2: a quote in this row is never closed"),
        (
            &twice,
            "line 1: column amount occurs twice, column date is missing; the columns are",
        ),
        (
            "transaction_id;account_id\n1;2\n",
            "line 1: column \"transaction_id;account_id\" is unknown, column transaction_id is",
        ),
    ];
    for on in [BadRows::Refuse, BadRows::Skip] {
        for (text, expected) in table {
            let error = BankFile::read(text.as_bytes(), czk(), on).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{text:?}: {error}");
        }
    }
}

#[test]
fn the_message_lists_twenty_bad_fields_and_counts_the_rows() {
    let good = "good,101,1996-05-02,credit,cash_deposit,1,1,,,\n";
    let bad: String = (0..30)
        .map(|n| format!("{n},101,1996-05-32,credit,cash_deposit,0,1,,,\n"))
        .collect();
    let message = read(format!("{HEADER}{good}{bad}").as_bytes())
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("30 of 31 rows are bad"), "{message}");
    assert!(message.ends_with("\n  … and 40 more"), "{message}");
    assert_eq!(message.lines().count(), 22);
}

#[test]
fn skipping_keeps_the_good_rows_and_lists_the_others() {
    let row = "101,1996-05-02,credit,cash_deposit,1,1,,,\n";
    let text = format!("{HEADER}1,{row}x\n2,{row}");
    let file = BankFile::read(text.as_bytes(), czk(), BadRows::Skip).unwrap();
    let lines: Vec<_> = file.transactions.iter().map(|row| row.line).collect();
    assert_eq!(lines, [2, 4]);
    assert_eq!(file.bad_rows.len(), 1);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = BankFile::open(Path::new("no/such.csv"), czk(), BadRows::Skip).unwrap_err();
    assert!(error.to_string().contains("no/such.csv"), "{error}");
}

/// The sample is used by tests of every kind; this is what it promises them.
#[test]
fn the_sample_is_what_its_account_list_says() {
    let file = read(SAMPLE.as_bytes()).unwrap();
    let mut accounts = csv::Reader::from_reader(SAMPLE_ACCOUNTS.as_bytes());
    let mut rows = 0;
    let mut reconciling = 0;
    for account in accounts.records().map(Result::unwrap) {
        let own: Vec<_> = file
            .transactions
            .iter()
            .filter(|transaction| transaction.account.as_str() == &account[0])
            .collect();
        rows += own.len();
        assert_eq!(own.len().to_string(), &account[1], "{account:?}");
        let mut balance = Money::zero(czk());
        let mut agrees = true;
        for transaction in &own {
            balance = match transaction.direction {
                Direction::Credit => balance.checked_add(transaction.amount.money()),
                Direction::Debit => balance.checked_sub(transaction.amount.money()),
            }
            .unwrap();
            agrees &= balance == transaction.bank_balance;
        }
        reconciling += usize::from(agrees);
        assert_eq!(
            if agrees { "yes" } else { "no" },
            &account[2],
            "{account:?}"
        );
        assert_eq!(balance.amount_text(), &account[3], "{account:?}");
        let last = own.last().unwrap().bank_balance.amount_text();
        assert_eq!(
            if agrees { last.as_str() } else { "" },
            &account[4],
            "{account:?}"
        );
    }
    assert_eq!(rows, file.transactions.len());
    assert_eq!(reconciling, 3);
    let has = |wanted: &dyn Fn(&BankTransaction) -> bool| file.transactions.iter().any(wanted);
    assert!(has(&|row| row.bank_balance.is_negative()));
    for (_, operation) in <Operation as transaction::Word>::ALL {
        assert!(has(&|row| row.operation == *operation), "{operation}");
    }
    for (_, purpose) in <Purpose as transaction::Word>::ALL {
        assert!(has(&|row| row.purpose == Some(*purpose)), "{purpose}");
    }
}
