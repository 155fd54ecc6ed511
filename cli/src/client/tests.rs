use folio_core::{Amount, Currency};

use super::{
    stand_in::{StandIn, quick},
    *,
};

fn czk() -> Currency {
    Currency::from_code("CZK").unwrap()
}

fn account(id: &str) -> OpenAccount<'_> {
    OpenAccount {
        id,
        currency: czk(),
        overdraft: Some(Overdraft::Unlimited),
        kind: None,
        normal_side: None,
    }
}

fn posting(key: &str, amount: &str) -> Posting {
    Posting {
        key: key.to_owned(),
        account_id: "101".to_owned(),
        side: Side::Credit,
        amount: Amount::parse(amount, czk()).unwrap(),
        contra: "cash".to_owned(),
        effective_date: "1996-02-01".parse().unwrap(),
        reference: key.to_owned(),
        description: "cash_deposit".to_owned(),
    }
}

#[tokio::test]
async fn a_repeated_write_gets_its_first_answer() {
    let ledger = StandIn::start().await;
    let first = ledger
        .client
        .open_account("k", &account("101"))
        .await
        .unwrap();
    let second = ledger
        .client
        .open_account("k", &account("101"))
        .await
        .unwrap();
    assert_eq!((first.is_replay, second.is_replay), (false, true));
    assert_eq!(first.position, Some(PositionToken::from("p1")));
    assert_eq!(second.position, first.position);
}

#[tokio::test]
async fn an_open_account_is_told_from_other_refusals() {
    let ledger = StandIn::start().await;
    ledger
        .client
        .open_account("k1", &account("101"))
        .await
        .unwrap();
    let error = ledger
        .client
        .open_account("k2", &account("101"))
        .await
        .unwrap_err();
    assert!(error.is_already_open(), "{error}");
    let error = ledger
        .client
        .open_account("k1", &account("102"))
        .await
        .unwrap_err();
    assert!(error.is_already_open(), "{error}");
    assert_eq!(ledger.client.currency_of("101").await.unwrap(), Some(czk()));
    let error = ledger.client.currency_of("102").await.unwrap_err();
    assert!(error.is_not_found() && !error.is_already_open(), "{error}");
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_once() {
    let ledger = StandIn::start().await;
    ledger
        .client
        .open_account("k1", &account("101"))
        .await
        .unwrap();
    ledger.ledger().not_now = 2;
    ledger.ledger().lost_answers = 3;
    let written = ledger
        .client
        .post_bulk("k2", &[posting("a", "1")])
        .await
        .unwrap();
    assert!(written.is_replay);
    assert_eq!(written.answer.results[0].status, PostingStatus::Posted);
    assert_eq!(ledger.ledger().accounts["101"].lines.len(), 1);
}

#[tokio::test]
async fn a_statement_comes_in_pages() {
    let ledger = StandIn::start().await;
    ledger
        .client
        .open_account("k1", &account("101"))
        .await
        .unwrap();
    let postings: Vec<_> = (0..6).map(|n| posting(&format!("t{n}"), "2.50")).collect();
    ledger.client.post_bulk("k2", &postings).await.unwrap();
    let token = PositionToken::from("p 7/+");
    let first = ledger
        .client
        .statement_page("101", None, Some(&token))
        .await
        .unwrap();
    let cursor = first.next_cursor.as_deref();
    let second = ledger
        .client
        .statement_page("101", cursor, None)
        .await
        .unwrap();
    assert_eq!((first.lines.len(), second.lines.len()), (4, 2));
    assert_eq!(second.next_cursor, None);
    assert_eq!(second.lines[1].balance.amount_text(), "15.00");
    assert_eq!(second.lines[1].reference.as_deref(), Some("t5"));
    assert_eq!(ledger.ledger().min_positions, ["p 7/+"]);
}

#[tokio::test]
async fn what_repeating_does_not_cure_is_an_error() {
    let ledger = StandIn::start().await;
    ledger.ledger().not_now = 100;
    let error = ledger
        .client
        .open_account("k", &account("101"))
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(ledger.ledger().not_now, 90, "one request and nine repeats");
}

#[tokio::test]
async fn a_ledger_that_is_not_there_is_an_error_with_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = LedgerClient::new(address.parse().unwrap(), "import")
        .unwrap()
        .with_retry(quick());
    let error = client.currency_of("101").await.unwrap_err();
    assert!(matches!(error, ClientError::NoAnswer { .. }), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(&address), "{source}");
}

#[tokio::test]
async fn a_key_that_no_header_can_hold_is_an_error_at_once() {
    let ledger = StandIn::start().await;
    let error = ledger
        .client
        .open_account("a\nb", &account("101"))
        .await
        .unwrap_err();
    assert!(!error.is_retryable(), "{error}");
}
