//! Journal entries, reversals, periods and the trial balance.

use folio_tests::api::{Answer, Api};
use serde_json::{Value, json};

pub(super) fn leg(account: &str, side: &str, amount: &str) -> Value {
    json!({"account_id": account, "side": side, "amount": amount, "currency": "EUR"})
}

pub(super) fn transfer(id: &str, from: &str, to: &str, amount: &str) -> Value {
    json!({"id": id, "legs": [leg(from, "debit", amount), leg(to, "credit", amount)]})
}

/// A service with two accounts, which are in its model too.
pub(super) async fn two_accounts() -> Api {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.open("2", "none").await;
    let paid = api.posting("1", "credits", "100.00").await;
    assert_eq!(paid.status, 201, "{paid:?}");
    let path = format!("/v1/accounts/1?min_position={}", paid.token());
    let read = api.get(&path).await;
    assert_eq!(read.status, 200, "{read:?}");
    api
}

/// The trial balance, once the model has what was written.
pub(super) async fn trial_balance(api: &Api, written: &Answer) -> Value {
    let path = format!("/v1/trial-balance?min_position={}", written.token());
    let answer = api.get(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["currencies"].clone()
}

#[tokio::test]
async fn an_entry_is_posted_whole_and_told_the_same_ever_after() {
    let api = two_accounts().await;
    let body = json!({
        "id": "split-1",
        "legs": [
            leg("1", "debit", "60.00"), leg("2", "credit", "59.50"),
            leg("contra.fees.EUR", "credit", "0.50"),
        ],
        "effective_date": "2026-03-31", "reference": "r-1", "description": "with a fee",
    });
    let posted = api.post_as("/v1/journal-entries", "k", &body).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    assert_eq!(posted.text("entry_id"), "split-1");
    assert_eq!(posted.body["legs"], body["legs"]);
    let path = format!(
        "/v1/journal-entries/split-1?min_position={}",
        posted.token()
    );
    let mut told = api.get(&path).await;
    let book = told.body.as_object_mut().unwrap().remove("book");
    assert_eq!(book, Some(json!(api.databases.book.as_str())));
    assert_eq!(told.body, posted.body);
    assert_eq!(api.balance("1", posted.token()).await, "40.00");
    assert_eq!(api.balance("2", posted.token()).await, "59.50");
    assert_eq!(
        api.balance("contra.fees.EUR", posted.token()).await,
        "-0.50"
    );
    assert_eq!(
        trial_balance(&api, &posted).await,
        json!([{"currency": "EUR", "debits": "160.00", "credits": "160.00", "net": "0.00"}])
    );

    let again = api.post_as("/v1/journal-entries", "k", &body).await;
    assert!(again.replayed && again.status == 201, "{again:?}");
    assert_eq!(again.body, posted.body);
    let other = transfer("split-2", "1", "2", "1.00");
    let reused = api.post_as("/v1/journal-entries", "k", &other).await;
    assert_eq!(
        (reused.status, reused.code().as_str()),
        (422, "idempotency_key_reused")
    );
    let taken = api.post("/v1/journal-entries", &body).await;
    assert_eq!((taken.status, taken.code().as_str()), (409, "entry_exists"));

    let list = api.get("/v1/journal-entries?limit=1").await;
    assert_eq!(
        list.body["entries"][0]["legs"][0],
        leg("1", "credit", "100.00")
    );
    let cursor = list.text("next_cursor");
    let list = api
        .get(&format!("/v1/journal-entries?cursor={cursor}"))
        .await;
    let mut listed = list.body["entries"].as_array().unwrap().clone();
    listed[0].as_object_mut().unwrap().remove("book");
    assert_eq!(listed, [posted.body]);
    let missing = api.get("/v1/journal-entries/none").await;
    assert_eq!(
        (missing.status, missing.code().as_str()),
        (404, "entry_not_found")
    );
    api.stop().await;
}

#[tokio::test]
async fn what_is_no_entry_is_told_why_and_changes_nothing() {
    let api = two_accounts().await;
    let post = |legs: Value| {
        let body = json!({ "legs": legs });
        let api = &api;
        async move { api.post("/v1/journal-entries", &body).await }
    };
    let cases = [
        (
            json!([leg("1", "debit", "1.00"), leg("2", "credit", "1.01")]),
            422,
            "unbalanced",
        ),
        (json!([leg("1", "debit", "1.00")]), 422, "too_few_legs"),
        (
            json!([leg("1", "debit", "1.00"), leg("1", "credit", "1.00")]),
            422,
            "same_account",
        ),
        (
            json!([leg("1", "debit", "0"), leg("2", "credit", "0")]),
            422,
            "zero_amount",
        ),
        (
            json!([leg("1", "debit", "100.01"), leg("2", "credit", "100.01")]),
            422,
            "insufficient_funds",
        ),
        (
            json!([leg("1", "debit", "1.00"), leg("3", "credit", "1.00")]),
            404,
            "account_not_found",
        ),
        (
            json!([leg("1", "up", "1.00"), leg("2", "credit", "1.00")]),
            422,
            "invalid_side",
        ),
        (
            json!([
                leg("1", "debit", "10000000000000000.01"),
                leg("2", "credit", "10000000000000000.01")
            ]),
            422,
            "overflow",
        ),
        (
            json!([
                leg("1", "debit", "1.00"), leg("2", "credit", "1.00"),
                {"account_id": "contra.cash.JPY", "side": "debit", "amount": "1", "currency": "JPY"},
                {"account_id": "contra.fees.JPY", "side": "credit", "amount": "1", "currency": "JPY"},
            ]),
            422,
            "exchange_missing",
        ),
    ];
    for (legs, status, code) in cases {
        let refused = post(legs.clone()).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{legs}"
        );
    }
    let refused = post(json!([
        leg("1", "debit", "100.01"),
        leg("2", "credit", "100.01")
    ]))
    .await;
    assert_eq!(
        refused.body["details"],
        json!({"account_id": "1", "available": {"amount": "100.00", "currency": "EUR"}})
    );
    let written = api.posting("1", "credits", "1.00").await;
    assert_eq!(api.balance("1", written.token()).await, "101.00");
    assert_eq!(
        trial_balance(&api, &written).await[0],
        json!({"currency": "EUR", "debits": "101.00", "credits": "101.00", "net": "0.00"})
    );
    api.stop().await;
}

/// Case 33: once, linked both ways, on the day that is named.
#[tokio::test]
async fn an_entry_is_undone_once_by_one_that_names_it() {
    let api = two_accounts().await;
    let posted = api
        .post("/v1/journal-entries", &transfer("t", "1", "2", "30.00"))
        .await;
    let reverse = |entry: &str, id: &str| {
        let path = format!("/v1/journal-entries/{entry}/reverse");
        let body = json!({"id": id, "effective_date": "2026-05-05", "description": "a mistake"});
        let api = &api;
        async move { api.post(&path, &body).await }
    };
    let reversal = reverse("t", "undo").await;
    assert_eq!(reversal.status, 201, "{reversal:?}");
    assert_eq!(reversal.text("reverses"), "t");
    assert_eq!(reversal.text("effective_date"), "2026-05-05");
    let path = format!("/v1/journal-entries/t?min_position={}", reversal.token());
    assert_eq!(api.get(&path).await.text("reversed_by"), "undo");
    // As it was known before that, it was not undone.
    for (known_at, undone_by) in [(&posted, Value::Null), (&reversal, json!("undo"))] {
        let path = format!("/v1/journal-entries?known_at={}", known_at.token());
        let list = api.get(&path).await;
        let entries = list.body["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["entry_id"] == "t");
        assert_eq!(entry.unwrap()["reversed_by"], undone_by, "{list:?}");
    }
    assert_eq!(api.balance("1", reversal.token()).await, "100.00");
    for (entry, status, code) in [
        ("t", 409, "already_reversed"),
        ("undo", 409, "is_reversal"),
        ("none", 404, "entry_not_found"),
    ] {
        let refused = reverse(entry, "again").await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code));
    }
    // The money is gone: it is not taken back.
    api.post("/v1/journal-entries", &transfer("u", "1", "2", "10.00"))
        .await;
    api.posting("2", "debits", "9.99").await;
    let refused = reverse("u", "undo-u").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "insufficient_funds")
    );
    api.stop().await;
}

/// Fifty at once reverse one entry: one of them does.
#[tokio::test]
async fn of_many_reversals_at_once_one_is_posted() {
    let api = two_accounts().await;
    api.post("/v1/journal-entries", &transfer("t", "1", "2", "30.00"))
        .await;
    let body = json!({"effective_date": "2026-05-05"});
    let all = (0..50).map(|_| api.post("/v1/journal-entries/t/reverse", &body));
    let answers = futures_util::future::join_all(all).await;
    let posted = answers.iter().filter(|answer| answer.status == 201);
    assert_eq!(posted.count(), 1);
    let others = answers.iter().filter(|answer| answer.status != 201);
    for refused in others {
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "already_reversed")
        );
    }
    let written = api.posting("1", "credits", "1.00").await;
    assert_eq!(api.balance("1", written.token()).await, "101.00");
    api.stop().await;
}

#[tokio::test]
async fn a_closed_period_stays_as_it_was() {
    let api = two_accounts().await;
    let on = |id: &str, date: &str| {
        let mut body = transfer(id, "1", "2", "1.00");
        body["effective_date"] = json!(date);
        body
    };
    let early = api
        .post("/v1/journal-entries", &on("a", "2026-03-30"))
        .await;
    assert_eq!(early.status, 201, "{early:?}");
    let closed = api.post("/v1/periods/2026-03-31/close", &json!({})).await;
    assert_eq!(closed.status, 200, "{closed:?}");
    assert_eq!(closed.text("closed_through"), "2026-03-31");
    for date in ["2026-03-31", "1999-01-01"] {
        let refused = api.post("/v1/journal-entries", &on("b", date)).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "period_closed")
        );
    }
    let body = json!({"amount": "1.00", "currency": "EUR", "contra": "cash", "effective_date": "2026-03-31"});
    let refused = api.post("/v1/accounts/1/credits", &body).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "period_closed")
    );
    let undo = |date: &str| json!({"effective_date": date});
    let refused = api
        .post("/v1/journal-entries/a/reverse", &undo("2026-03-30"))
        .await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "period_closed")
    );
    let later = api
        .post("/v1/journal-entries/a/reverse", &undo("2026-04-01"))
        .await;
    assert_eq!(later.status, 201, "{later:?}");
    let again = api.post("/v1/periods/2026-03-31/close", &json!({})).await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "period_closed")
    );
    let wrong = api.post("/v1/periods/soon/close", &json!({})).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (422, "invalid_date"));
    let periods = api.get("/v1/periods").await;
    assert_eq!(periods.body["closed_through"], "2026-03-31");
    assert_eq!(periods.body["history"].as_array().unwrap().len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn two_currencies_are_exchanged_at_a_rate_that_shows() {
    let api = two_accounts().await;
    let yen = json!({"id": "yen", "currency": "JPY"});
    api.post("/v1/accounts", &yen).await;
    for (id, currency) in [("fx.EUR", "EUR"), ("fx.JPY", "JPY")] {
        let body = json!({"id": id, "currency": currency, "kind": "recording"});
        let opened = api.post("/v1/accounts", &body).await;
        assert_eq!(opened.status, 201, "{opened:?}");
    }
    let yen = |account: &str, side: &str, amount: &str| json!({"account_id": account, "side": side, "amount": amount, "currency": "JPY"});
    let body = |bought: &str| {
        json!({
            "id": format!("fx-{bought}"),
            "legs": [
                leg("1", "debit", "10.00"), leg("fx.EUR", "credit", "10.00"),
                yen("fx.JPY", "debit", bought), yen("yen", "credit", bought),
            ],
            "exchange": {
                "sold": {"amount": "10.00", "currency": "EUR"},
                "bought": {"amount": bought, "currency": "JPY"},
                "rate": "163.455", "market_rate": "164.2",
            },
        })
    };
    let posted = api.post("/v1/journal-entries", &body("1634")).await;
    assert_eq!(posted.status, 201, "{posted:?}");
    assert_eq!(posted.body["exchange"]["spread"], "8");
    let refused = api.post("/v1/journal-entries", &body("1700")).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "exchange_off_rate")
    );
    let sums = trial_balance(&api, &posted).await;
    assert_eq!(sums[0]["net"], "0.00");
    assert_eq!(
        sums[1],
        json!({"currency": "JPY", "debits": "1634", "credits": "1634", "net": "0"})
    );
    // What the bank is left with shows on its own accounts.
    assert_eq!(api.balance("fx.EUR", posted.token()).await, "10.00");
    assert_eq!(api.balance("fx.JPY", posted.token()).await, "-1634");
    api.stop().await;
}

#[tokio::test]
async fn a_bulk_is_posted_together_or_each_on_its_own() {
    let api = two_accounts().await;
    let good = transfer("a", "1", "2", "100.00");
    let too_much = transfer("b", "1", "2", "0.01");
    let both = json!({"entries": [good, too_much]});
    let refused = api
        .post("/v1/journal-entries/bulk?atomic=true", &both)
        .await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "insufficient_funds")
    );
    assert_eq!(refused.body["details"]["index"], 1);
    assert!(
        refused.text("detail").starts_with("entries[1]: "),
        "{refused:?}"
    );
    assert_eq!(api.get("/v1/journal-entries/a").await.status, 404);

    // Each is decided on what the ones before it leave.
    let there_and_back = json!({"entries": [
        transfer("there", "1", "2", "100.00"), transfer("back", "2", "1", "100.00"),
    ]});
    let path = "/v1/journal-entries/bulk?atomic=true";
    let posted = api.post_as(path, "together", &there_and_back).await;
    assert_eq!(
        (posted.status, &posted.body["posted"]),
        (200, &json!(2)),
        "{posted:?}"
    );
    let again = api.post_as(path, "together", &there_and_back).await;
    assert_eq!(
        (again.replayed, &again.body["already_posted"]),
        (true, &json!(2))
    );

    let each = api.post_as("/v1/journal-entries/bulk", "each", &both).await;
    assert_eq!(
        (each.status, &each.body["refused"]),
        (207, &json!(1)),
        "{each:?}"
    );
    let again = api.post_as("/v1/journal-entries/bulk", "each", &both).await;
    assert_eq!(
        (again.status, &again.body["already_posted"]),
        (207, &json!(1))
    );
    let other = json!({"entries": [transfer("c", "1", "2", "1.00")]});
    let reused = api
        .post_as("/v1/journal-entries/bulk", "each", &other)
        .await;
    assert_eq!(
        (reused.status, reused.code().as_str()),
        (422, "idempotency_key_reused")
    );
    let nameless =
        json!({"entries": [{"legs": [leg("1", "debit", "1.00"), leg("2", "credit", "1.00")]}]});
    let refused = api.post("/v1/journal-entries/bulk", &nameless).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "invalid_entry_id")
    );
    let none = api
        .post("/v1/journal-entries/bulk", &json!({"entries": []}))
        .await;
    assert_eq!(
        (none.status, none.code().as_str()),
        (422, "invalid_entry_count")
    );
    let written = api.posting("1", "credits", "1.00").await;
    assert_eq!(trial_balance(&api, &written).await[0]["net"], "0.00");
    api.stop().await;
}

/// Case 24: in whichever order two entries name the same accounts, both get through.
#[tokio::test]
async fn entries_across_each_other_do_not_wait_for_each_other_for_ever() {
    let api = two_accounts().await;
    api.posting("2", "credits", "100.00").await;
    let across = (0..60).map(|number| {
        let (from, to) = if number % 2 == 0 {
            ("1", "2")
        } else {
            ("2", "1")
        };
        let body = json!({"legs": [leg(to, "credit", "0.10"), leg(from, "debit", "0.10")]});
        let api = &api;
        async move { api.post("/v1/journal-entries", &body).await }
    });
    let answers = futures_util::future::join_all(across).await;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let last = api.posting("1", "credits", "1.00").await;
    assert_eq!(api.balance("1", last.token()).await, "101.00");
    assert_eq!(api.balance("2", last.token()).await, "100.00");
    api.stop().await;
}
