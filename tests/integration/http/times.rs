//! The two axes of time: what was so on a day, and what was known of it then.

use folio_tests::api::{Answer, Api};
use serde_json::{Value, json};

use super::journal::transfer;

async fn entry(api: &Api, id: &str, date: &str, amount: &str) -> Answer {
    let mut body = transfer(id, "cash-in", "1", amount);
    body["effective_date"] = json!(date);
    let posted = api.post("/v1/journal-entries", &body).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    posted
}

/// Three entries: two in their order, and one that comes late and takes effect before both.
async fn book() -> (Api, Vec<Answer>) {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.open("cash-in", "unlimited").await;
    let mut posted = Vec::new();
    for (id, date, amount) in [
        ("january", "2026-01-10", "10.00"),
        ("february", "2026-02-10", "20.00"),
        ("late", "2026-01-05", "5.00"),
    ] {
        posted.push(entry(&api, id, date, amount).await);
    }
    (api, posted)
}

async fn get(api: &Api, path: &str) -> Value {
    let answer = api.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

fn lines(statement: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = statement["lines"].as_array().unwrap().iter();
    lines
        .map(|line| {
            (
                text(&line["entry_id"]),
                text(&line["amount"]),
                text(&line["balance"]),
            )
        })
        .collect()
}

fn line(id: &str, amount: &str, balance: &str) -> (String, String, String) {
    (id.to_owned(), amount.to_owned(), balance.to_owned())
}

/// What a sceptic asks: the old statement unchanged as it was known then, the new one right.
#[tokio::test]
async fn a_late_entry_changes_the_statement_and_not_the_one_that_was_known() {
    let (api, posted) = book().await;
    let before = posted[1].body["position"].as_i64().unwrap();
    let after = posted[2].token();
    let january = "from=2026-01-01&to=2026-01-31";
    let now = get(
        &api,
        &format!("/v1/accounts/1/statement?{january}&min_position={after}"),
    )
    .await;
    assert_eq!(
        lines(&now),
        [
            line("late", "5.00", "5.00"),
            line("january", "10.00", "15.00")
        ]
    );
    assert_eq!(
        (&now["opening_balance"], &now["closing_balance"]),
        (&json!("0.00"), &json!("15.00"))
    );
    let known = get(
        &api,
        &format!("/v1/accounts/1/statement?{january}&known_at={before}"),
    )
    .await;
    assert_eq!(lines(&known), [line("january", "10.00", "10.00")]);
    assert_eq!(known["closing_balance"], "10.00");
    // Of February, what came before it is the opening balance: as known, and as it is.
    for (known_at, opening) in [(before.to_string(), "10.00"), (after.to_owned(), "15.00")] {
        let path = format!("/v1/accounts/1/statement?from=2026-02-01&known_at={known_at}");
        assert_eq!(get(&api, &path).await["opening_balance"], opening);
    }
    // Whatever comes later, what was known stays.
    entry(&api, "later", "2026-01-01", "1.00").await;
    let again = get(
        &api,
        &format!("/v1/accounts/1/statement?{january}&known_at={before}"),
    )
    .await;
    assert_eq!(again, known);

    // By the moment at which it was recorded, too.
    let moment = posted[1].text("recorded_at");
    let known = get(
        &api,
        &format!("/v1/accounts/1/statement?{january}&known_at={moment}"),
    )
    .await;
    assert_eq!(known["lines"], again["lines"]);
    api.stop().await;
}

#[tokio::test]
async fn a_balance_and_the_trial_balance_are_told_of_any_day_and_any_knowledge() {
    let (api, posted) = book().await;
    let first = posted[0].body["position"].as_i64().unwrap();
    let last = posted[2].token();
    for (query, balance) in [
        (
            format!("as_of_effective=2026-01-31&known_at={last}"),
            "15.00",
        ),
        ("as_of_effective=2026-01-07".to_owned(), "5.00"),
        (
            format!("as_of_effective=2026-01-07&known_at={first}"),
            "0.00",
        ),
        (format!("known_at={first}"), "10.00"),
        (format!("known_at={last}"), "35.00"),
        ("as_of_effective=1999-12-31".to_owned(), "0.00"),
    ] {
        let body = get(&api, &format!("/v1/accounts/1/balance?{query}")).await;
        assert_eq!(
            (&body["balance"], &body["source"]),
            (&json!(balance), &json!("legs")),
            "{query}"
        );
        let sums = get(&api, &format!("/v1/trial-balance?{query}")).await;
        let euro = sums["currencies"].as_array().unwrap();
        if balance == "0.00" {
            assert_eq!(euro, &[] as &[Value], "{query}");
        } else {
            let expected =
                json!({"currency": "EUR", "debits": balance, "credits": balance, "net": "0.00"});
            assert_eq!(euro, &[expected], "{query}");
        }
    }
    // I19: as of now, as known now, is what the account says.
    let now = get(&api, &format!("/v1/accounts/1/balance?min_position={last}")).await;
    assert_eq!(
        (&now["balance"], &now["source"]),
        (&json!("35.00"), &json!("model"))
    );

    let accounts = get(&api, "/v1/trial-balance/accounts?limit=1").await;
    assert_eq!(accounts["accounts"][0]["account_id"], "1");
    entry(&api, "more", "2026-03-01", "1.00").await;
    let cursor = accounts["next_cursor"].as_str().unwrap();
    let accounts = get(&api, &format!("/v1/trial-balance/accounts?cursor={cursor}")).await;
    // Of what was known when the first page was answered.
    assert_eq!(
        accounts["accounts"],
        json!([{"book": api.databases.book.as_str(), "account_id": "cash-in", "currency": "EUR", "debits": "35.00", "credits": "0.00", "net": "35.00"}])
    );

    for (query, code) in [
        ("known_at=soon", "invalid_known_at"),
        ("known_at=1000000", "known_at_ahead"),
        ("known_at=2999-01-01T00:00:00Z", "known_at_ahead"),
        ("as_of_effective=soon", "invalid_query"),
        ("at_version=1&known_at=1", "invalid_query"),
    ] {
        let refused = api.get(&format!("/v1/accounts/1/balance?{query}")).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, code),
            "{query}"
        );
    }
    api.stop().await;
}

#[tokio::test]
async fn why_a_balance_changed_is_the_list_of_what_was_recorded_between() {
    let (api, posted) = book().await;
    let first = posted[0].body["position"].as_i64().unwrap();
    let second = posted[1].body["position"].as_i64().unwrap();
    let last = posted[2].token();
    let ids = |body: &Value| -> Vec<String> {
        let entries = body["entries"].as_array().unwrap();
        entries
            .iter()
            .map(|e| e["entry_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = get(&api, &format!("/v1/accounts/1/entries?min_position={last}")).await;
    assert_eq!(ids(&all), ["january", "february", "late"]);
    let path = format!("/v1/accounts/1/entries?known_after={first}&known_at={second}");
    assert_eq!(ids(&get(&api, &path).await), ["february"]);
    let path = format!("/v1/accounts/1/entries?known_after={first}&limit=1");
    let page = get(&api, &path).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("/v1/accounts/1/entries?known_after={first}&cursor={cursor}");
    assert_eq!(ids(&get(&api, &path).await), ["late"]);
    api.stop().await;
}

/// Case 34, and I18: the pages of a statement are of one knowledge, and each begins with the balance
/// that the one before it ended with.
#[tokio::test]
async fn a_statement_in_pages_is_the_statement() {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.open("cash-in", "unlimited").await;
    for number in 0..25 {
        let date = format!("2026-01-{:02}", 25 - number);
        entry(&api, &format!("e{number}"), &date, "1.00").await;
    }
    let last = entry(&api, "last", "2026-02-01", "1.00").await;
    let whole = get(
        &api,
        &format!("/v1/accounts/1/statement?min_position={}", last.token()),
    )
    .await;
    assert_eq!(whole["lines"].as_array().unwrap().len(), 26);
    let mut paged = Vec::new();
    let mut path = "/v1/accounts/1/statement?limit=7".to_owned();
    let mut balance = json!("0.00");
    loop {
        let page = get(&api, &path).await;
        assert_eq!(page["opening_balance"], balance);
        assert_eq!(page["closing_balance"], "26.00");
        let lines = page["lines"].as_array().unwrap();
        paged.extend(lines.clone());
        balance = lines.last().unwrap()["balance"].clone();
        // Before all of them.
        entry(
            &api,
            &format!("between-{}", paged.len()),
            "2025-12-31",
            "1.00",
        )
        .await;
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/accounts/1/statement?limit=7&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(json!(paged), whole["lines"]);
    api.stop().await;
}

#[tokio::test]
async fn a_statement_comes_as_csv_too() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let body = json!({"amount": "5.00", "currency": "EUR", "contra": "cash",
        "effective_date": "2026-01-05", "description": "a \"gift\", they said"});
    let posted = api.post("/v1/accounts/1/credits", &body).await;
    let path = format!(
        "/v1/accounts/1/statement?format=csv&min_position={}",
        posted.token()
    );
    let csv = api.get(&path).await;
    assert_eq!(csv.content_type, "text/csv; charset=utf-8");
    let text = csv.body.as_str().unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next().unwrap(),
        "effective_date,recorded_at,position,entry_id,side,amount,balance,currency,contra,reference,description"
    );
    let line = lines.next().unwrap();
    assert!(line.starts_with("2026-01-05,2"), "{line}");
    assert!(
        line.ends_with(",credit,5.00,5.00,EUR,cash,,\"a \"\"gift\"\", they said\""),
        "{line}"
    );
    assert_eq!(lines.next(), None);
    api.stop().await;
}

/// Every text of it is that of the JSON, amounts to the digit, and nothing in it is anything but text.
#[tokio::test]
async fn a_statement_is_a_page_too_with_the_same_amounts() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let mut credit = json!({"amount": "1234.50", "currency": "EUR", "contra": "cash",
        "effective_date": "2026-01-05", "description": "<script>alert(1)</script>"});
    api.post("/v1/accounts/1/credits", &credit).await;
    credit["amount"] = json!("0.07");
    let posted = api.post("/v1/accounts/1/credits", &credit).await;
    let path = format!("/v1/accounts/1/statement?min_position={}", posted.token());
    let told = api.get(&path).await.body;
    let page = api.get(&format!("{path}&format=html")).await;
    assert_eq!(page.content_type, "text/html; charset=utf-8");
    assert_eq!(page.position, Some(posted.token().to_owned()));
    let page = page.body.as_str().unwrap();
    for line in told["lines"].as_array().unwrap() {
        for field in ["amount", "balance"] {
            let cell = format!(
                "<td class=\"amount\">{}</td>",
                line[field].as_str().unwrap()
            );
            assert!(page.contains(&cell), "{cell} in {page}");
        }
    }
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("Closing balance"), "{page}");

    let first = api.get(&format!("{path}&format=html&limit=1")).await.body;
    let first = first.as_str().unwrap();
    assert!(first.contains("Carried forward") && !first.contains("Closing balance"));
    let (_, rest) = first.split_once("<code>cursor=").unwrap();
    let (cursor, _) = rest.split_once('<').unwrap();
    let next = format!("/v1/accounts/1/statement?format=html&limit=1&cursor={cursor}");
    let next = api.get(&next).await.body;
    let next = next.as_str().unwrap();
    assert!(
        next.contains("Brought forward") && next.contains("1234.57"),
        "{next}"
    );
    api.stop().await;
}

#[tokio::test]
async fn what_became_of_a_request_is_on_record() {
    let api = Api::start().await;
    api.open("1", "none").await;
    let body = json!({"amount": "5.00", "currency": "EUR", "contra": "cash"});
    let accepted = api.post_as("/v1/accounts/1/credits", "k", &body).await;
    assert_eq!(accepted.status, 201);
    let refused = api
        .post_as(
            "/v1/accounts/1/debits",
            "r",
            &json!({"amount": "9.00", "currency": "EUR", "contra": "cash"}),
        )
        .await;
    assert_eq!(refused.status, 422);
    let outcomes = get(&api, "/v1/outcomes/k").await;
    let outcome = &outcomes["outcomes"][0];
    assert_eq!(
        (&outcome["route"], &outcome["outcome"], &outcome["refusal"]),
        (
            &json!("POST /v1/accounts/{id}/credits"),
            &json!("accepted"),
            &Value::Null
        )
    );
    let types: Vec<_> = outcome["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["type"].clone())
        .collect();
    assert_eq!(
        types,
        ["EntryPosted", "LegPosted", "AccountOpened", "LegRecorded"]
    );
    let outcomes = get(&api, "/v1/outcomes/r").await;
    assert_eq!(outcomes["outcomes"][0]["outcome"], "refused");
    assert_eq!(
        outcomes["outcomes"][0]["refusal"]["Account"]["refusal"]["InsufficientFunds"]["available"]
            ["amount"],
        "5.00"
    );
    let none = api.get("/v1/outcomes/never").await;
    assert_eq!(
        (none.status, none.code().as_str()),
        (404, "outcome_not_found")
    );
    api.stop().await;
}

/// PostgreSQL has neither these days nor this character: what it refused was told as something that may pass.
#[tokio::test]
async fn what_no_day_and_no_text_can_be_is_told_as_that() {
    let (api, posted) = book().await;
    let last = posted[2].token();
    api.balance("1", last).await;
    let before_all = "/v1/accounts/1/balance?as_of_effective=-4800-01-01";
    assert_eq!(get(&api, before_all).await["balance"], "0.00");
    let whole = "/v1/accounts/1/statement?from=-4800-01-01&to=9999-12-31";
    assert_eq!(lines(&get(&api, whole).await).len(), 3);
    let none = get(&api, "/v1/accounts/1/statement?to=-4800-01-01").await;
    assert_eq!(
        (lines(&none).len(), &none["closing_balance"]),
        (0, &json!("0.00"))
    );
    for (path, code) in [
        ("accounts?prefix=%00", "invalid_query"),
        ("accounts/1/holds?state=%00", "invalid_query"),
        ("accounts/1/holds?state=lost", "invalid_state"),
        (
            "accounts/1/statement?from=2026-03-01&to=2026-01-31",
            "invalid_query",
        ),
    ] {
        let refused = api.get(&format!("/v1/{path}")).await;
        assert_eq!((refused.status, refused.code().as_str()), (422, code));
    }
    api.stop().await;
}
