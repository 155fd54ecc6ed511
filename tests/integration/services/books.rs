//! One balances service reads several books.

use std::time::Duration;

use folio_tests::api::{Answer, Api, Reads};
use serde_json::{Value, json};

/// Two books with accounts `1` and `shared` in the first, `2` and `shared` in the second, and what reads both.
async fn two_books() -> ([Api; 2], Reads) {
    let mut books = [Api::start().await, Api::start().await];
    // In the order in which they are listed.
    books.sort_by_key(|api| name(api).to_owned());
    let [a, b] = books;
    for (api, id, amount) in [(&a, "1", "10.00"), (&b, "2", "7.50")] {
        for account in [id, "shared"] {
            api.open(account, "none").await;
            let posted = api.posting(account, "credits", amount).await;
            assert_eq!(posted.status, 201, "{posted:?}");
        }
    }
    let reads = Reads::over(&[&a, &b]).await;
    assert!(reads.caught_up(Duration::from_secs(30)).await);
    ([a, b], reads)
}

async fn stop([a, b]: [Api; 2], reads: Reads) {
    reads.stop().await;
    a.stop().await;
    b.stop().await;
}

fn name(api: &Api) -> &str {
    api.databases.book.as_str()
}

fn ids(page: &Answer) -> Vec<(String, String)> {
    let accounts = page.body["accounts"].as_array().unwrap().iter();
    let text = |account: &Value, field: &str| account[field].as_str().unwrap().to_owned();
    accounts
        .map(|account| {
            let id = ["id", "account_id"]
                .into_iter()
                .find(|id| account.get(id).is_some());
            (text(account, "book"), text(account, id.unwrap()))
        })
        .collect()
}

#[tokio::test]
async fn an_account_is_found_in_whichever_book_has_it() {
    let ([a, b], reads) = two_books().await;
    for (book, id, amount) in [(&a, "1", "10.00"), (&b, "2", "7.50")] {
        for path in [
            "",
            "/balance",
            "/statement",
            "/entries",
            "/holds",
            "/metadata",
        ] {
            let found = reads.get(&format!("/v1/accounts/{id}{path}")).await;
            assert_eq!(found.status, 200, "{path}: {found:?}");
        }
        let balance = reads.get(&format!("/v1/accounts/{id}/balance")).await;
        assert_eq!(
            (balance.text("book"), balance.text("balance")),
            (name(book).to_owned(), amount.to_owned())
        );
    }
    // Both have one of this name, and their own contra accounts are called the same as well.
    for id in ["shared", "contra.cash.EUR"] {
        let path = format!("/v1/accounts/{id}/balance");
        let refused = reads.get(&path).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "several_books")
        );
        assert_eq!(
            refused.body["details"]["books"],
            json!([name(&a), name(&b)]),
            "{refused:?}"
        );
        let named = reads.get(&format!("{path}?book={}", name(&b))).await;
        assert_eq!(named.text("book"), name(&b));
    }
    for (path, code) in [
        ("/v1/accounts/3", "account_not_found"),
        ("/v1/accounts/1?book=nobody", "book_not_found"),
        ("/v1/holds/h", "hold_not_found"),
        ("/v1/journal-entries/e", "entry_not_found"),
    ] {
        let missing = reads.get(path).await;
        assert_eq!(
            (missing.status, missing.code().as_str()),
            (404, code),
            "{path}"
        );
    }
    // Of another book than the one that is named.
    let path = format!("/v1/accounts/1/balance?book={}", name(&b));
    assert_eq!(reads.get(&path).await.code(), "account_not_found");
    stop([a, b], reads).await;
}

#[tokio::test]
async fn lists_go_on_from_book_to_book_as_of_one_cut() {
    let ([a, b], reads) = two_books().await;
    let all: Vec<(String, String)> = [(&a, "1"), (&b, "2")]
        .iter()
        .flat_map(|(book, id)| {
            let ids = [*id, "contra.cash.EUR", "shared"];
            ids.map(|id| (name(book).to_owned(), id.to_owned()))
        })
        .collect();
    for list in ["/v1/accounts", "/v1/trial-balance/accounts"] {
        for limit in 1..=7 {
            let mut path = format!("{list}?limit={limit}");
            let mut found = Vec::new();
            loop {
                let page = reads.get(&path).await;
                assert_eq!(page.status, 200, "{page:?}");
                found.extend(ids(&page));
                let Some(cursor) = page.body["next_cursor"].as_str() else {
                    break;
                };
                path = format!("{list}?limit={limit}&cursor={cursor}");
            }
            assert_eq!(found, all, "{list} by {limit}");
        }
    }
    // What comes in meanwhile is on no page.
    let first = reads.get("/v1/journal-entries?limit=1").await;
    for api in [&a, &b] {
        let posted = api.posting("shared", "credits", "1.00").await;
        let path = format!("/v1/trial-balance?min_position={}", posted.token());
        assert_eq!(reads.get(&path).await.status, 200);
    }
    let mut entries = first.body["entries"].as_array().unwrap().clone();
    let mut cursor = first.body["next_cursor"].clone();
    while let Some(after) = cursor.as_str() {
        let path = format!("/v1/journal-entries?limit=1&cursor={after}");
        let page = reads.get(&path).await;
        entries.extend(page.body["entries"].as_array().unwrap().clone());
        cursor = page.body["next_cursor"].clone();
    }
    assert_eq!(entries.len(), 4, "{entries:?}");
    // A position means nothing to two stores; a token of both does.
    let refused = reads.get("/v1/journal-entries?known_at=3").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "invalid_known_at")
    );
    let then = first.token();
    let page = reads
        .get(&format!("/v1/journal-entries?known_at={then}"))
        .await;
    assert_eq!(
        page.body["entries"].as_array().unwrap().len(),
        4,
        "{page:?}"
    );
    stop([a, b], reads).await;
}

#[tokio::test]
async fn the_trial_balance_is_that_of_all_books_or_of_one() {
    let ([a, b], reads) = two_books().await;
    let sums = |debits: &str| json!([{"currency": "EUR", "debits": debits, "credits": debits, "net": "0.00"}]);
    let all = reads.get("/v1/trial-balance").await;
    assert_eq!(all.body["currencies"], sums("35.00"), "{all:?}");
    assert_eq!(all.body["known_at"], Value::Null);
    assert_eq!(all.body["books"].as_array().unwrap().len(), 2);
    for (api, debits) in [(&a, "20.00"), (&b, "15.00")] {
        let one = reads
            .get(&format!("/v1/trial-balance?book={}", name(api)))
            .await;
        assert_eq!(one.body["currencies"], sums(debits), "{one:?}");
        assert!(one.body["known_at"].is_i64());
    }

    // A token of both stores is waited for in both, and makes the answer one that stays.
    let (one, two) = (
        a.posting("1", "credits", "1.00").await,
        b.posting("2", "credits", "2.00").await,
    );
    for written in [&one, &two] {
        let path = format!("/v1/trial-balance?min_position={}", written.token());
        assert_eq!(reads.get(&path).await.status, 200);
    }
    let now = reads.get("/v1/trial-balance").await;
    assert_eq!(now.body["currencies"], sums("38.00"));
    let then = reads
        .get(&format!("/v1/trial-balance?known_at={}", all.token()))
        .await;
    assert_eq!(then.body["currencies"], sums("35.00"), "{then:?}");
    let path = format!("/v1/trial-balance?min_position={}", now.token());
    assert_eq!(reads.get(&path).await.body["currencies"], sums("38.00"));
    stop([a, b], reads).await;
}
