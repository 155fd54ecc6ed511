//! What is replayed is what the services answer, at every version, position and time.

use std::collections::BTreeSet;
use std::sync::Arc;

use folio_core::{InMemoryStore, Position, RecordedEvent, Timestamp};
use folio_operator::{Known, ReplayArgs, Style};
use folio_projections::StoreSource;
use folio_tests::api::Api;
use ledger::aggregates::aggregates;
use ledger_example::balances::open_balances;
use serde_json::{Value, json};

use super::replaying::{
    append, at_time, at_version, ends, events_of, get, is_of, nothing, replay_in, replayed,
    replays_whole, same, shadows, state, store_of, time,
};

/// What a state and the answer of a service both say.
const SUMS: [&str; 3] = ["balance", "debits_posted", "credits_posted"];
const PENDING: [&str; 3] = ["available", "debits_pending", "credits_pending"];

#[tokio::test]
async fn an_account_is_replayed_as_the_services_answer_for_it() {
    let api = book().await;
    let store = store_of(&api.databases).await;
    let events = events_of(&store).await;
    let own: Vec<&RecordedEvent> = events
        .iter()
        .filter(|event| is_of(event, "account/1"))
        .collect();
    assert!(own.len() > 6, "{own:?}");
    for event in &own {
        let (version, at) = (event.version.number(), time(event));
        for (query, arguments) in [
            (format!("at_version={version}"), at_version(version)),
            (format!("at_time={at}"), at_time(event)),
        ] {
            let answered = get(&api, &format!("/v1/accounts/1/balance?{query}")).await;
            let replayed = state(&store, "account/1", arguments).await;
            assert_eq!(replayed["version"], answered["version"], "{query}");
            let fields = SUMS.iter().chain(&PENDING);
            fields.for_each(|field| same(&replayed, &answered, field, &query));
        }
    }
    // An entry is known in the model from the first event of its append on, so in the midst of one the two differ.
    for position in ends(&events)
        .into_iter()
        .filter(|end| *end >= own[0].position)
    {
        let query = format!("known_at={position}");
        let answered = get(&api, &format!("/v1/accounts/1/balance?{query}")).await;
        let arguments = ReplayArgs {
            at_position: Some(position),
            ..nothing()
        };
        let replayed = state(&store, "account/1", arguments).await;
        assert!(replayed["position"].as_i64().unwrap() <= position.number());
        SUMS.iter()
            .for_each(|field| same(&replayed, &answered, field, &query));
    }
    api.stop().await;
}

#[tokio::test]
async fn a_balance_of_a_day_is_replayed_as_it_was_known() {
    let api = book().await;
    let store = store_of(&api.databases).await;
    let events = events_of(&store).await;
    for (stream, account, fields) in [
        ("account/1", "1", &SUMS[..]),
        ("recording/fees", "fees", &SUMS[1..]),
    ] {
        let own: Vec<&RecordedEvent> = events.iter().filter(|event| is_of(event, stream)).collect();
        for day in [
            "2026-01-04",
            "2026-01-05",
            "2026-01-31",
            "2026-02-10",
            "2999-01-01",
        ] {
            for event in &own {
                let ends = ends(&events);
                let position = ends.into_iter().find(|end| *end >= event.position).unwrap();
                let at = time(event);
                for (known, known_at) in [
                    (position.to_string(), Known::Position(position)),
                    (at, Known::Moment(event.recorded_at)),
                ] {
                    let query = format!("as_of_effective={day}&known_at={known}");
                    let path = format!("/v1/accounts/{account}/balance?{query}");
                    let answered = get(&api, &path).await;
                    let arguments = ReplayArgs {
                        effective: Some(day.parse().unwrap()),
                        known_at: Some(known_at),
                        ..nothing()
                    };
                    let replayed = state(&store, stream, arguments).await;
                    if replayed["state"].is_null() {
                        // Of the legs alone nothing is there before the first of them.
                        assert_eq!(answered["balance"], "0.00", "{query}");
                    } else {
                        let compare = |field: &&str| same(&replayed, &answered, field, &query);
                        fields.iter().for_each(compare);
                    }
                }
            }
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn whatever_the_ledger_keeps_can_be_replayed() {
    let api = book().await;
    let store = store_of(&api.databases).await;
    let mut categories = replays_whole(&store).await;
    let outside = InMemoryStore::default();
    let euro = json!({"amount": "1.00", "currency": "EUR"});
    let place = json!({"book": "a", "account": "alice"});
    let begun = |order: Value| json!({"version": 1, "order": order, "deadline": 1}).to_string();
    for (category, event_type, payload) in [
        (
            "transfer",
            "SagaBegun",
            begun(json!({"from": place, "to": place, "amount": euro})),
        ),
        ("transfer", "StepAsked", json!({"step": "hold"}).to_string()),
        (
            "payment_out",
            "SagaBegun",
            begun(json!({"from": place, "payee": "x", "amount": euro})),
        ),
        (
            "payment_in",
            "SagaBegun",
            begun(json!({"to": place, "payer": "x", "amount": euro})),
        ),
        (
            "payment",
            "PaymentAccepted",
            json!({"payee": "x", "amount": euro}).to_string(),
        ),
        (
            "quote",
            "QuoteGiven",
            json!({"sold": euro, "bought": euro, "rate": "1.5", "market_rate": "1.5", "expires_at": 1})
                .to_string(),
        ),
        (
            "screening",
            "Screened",
            json!({"request": {"payer": "x", "payee": "y", "amount": euro}, "decision": "accept"})
                .to_string(),
        ),
    ] {
        append(&outside, category, event_type, payload).await;
    }
    categories.extend(replays_whole(&outside).await);
    let all: BTreeSet<String> = aggregates().categories().map(str::to_owned).collect();
    assert_eq!(categories, all);
    let transfer = state(&outside, "transfer/1", nothing()).await;
    assert_eq!(
        transfer["state"]["steps"],
        json!([{"step": "hold", "progress": "asked", "answer": null}])
    );
    assert_eq!(transfer["state"]["order"]["amount"], euro);
    api.stop().await;
}

#[tokio::test]
async fn each_step_tells_what_it_has_changed() {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.posting("1", "credits", "5.00").await;
    api.posting("1", "debits", "2.00").await;
    let store = store_of(&api.databases).await;
    let arguments = ReplayArgs {
        steps: true,
        ..nothing()
    };
    let replayed = state(&store, "account/1", arguments).await;
    let steps = replayed["steps"].as_array().unwrap();
    let told: Vec<_> = steps.iter().map(|step| &step["event_type"]).collect();
    assert_eq!(told, ["AccountOpened", "LegPosted", "LegPosted"]);
    let last = json!([
        {"field": "available", "before": "5.00", "after": "3.00"},
        {"field": "balance", "before": "5.00", "after": "3.00"},
        {"field": "debits_posted", "before": "0.00", "after": "2.00"},
    ]);
    assert_eq!(steps[2]["changes"], last);
    let arguments = ReplayArgs {
        steps: true,
        format: Style::Text,
        ..nothing()
    };
    let text = replay_in(&store, &[], "account/1", arguments)
        .await
        .unwrap();
    for line in [
        "3: LegPosted, position",
        "    balance: \"5.00\" → \"3.00\"",
        "at version 3, position",
        "\"balance\": \"3.00\"",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    api.stop().await;
}

#[tokio::test]
async fn what_cannot_be_replayed_is_said() {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.posting("1", "credits", "5.00").await;
    let store = store_of(&api.databases).await;
    let events = events_of(&store).await;
    let head = events.last().unwrap().position;
    let first = events
        .iter()
        .find(|event| is_of(event, "recording/contra.cash.EUR"));
    let first = first.unwrap().position;
    assert!(first > Position::START.plus(1));
    let at_position = |position| ReplayArgs {
        at_position: Some(position),
        ..nothing()
    };
    let effective = ReplayArgs {
        effective: Some("2026-01-01".parse().unwrap()),
        ..nothing()
    };
    let long_ago = ReplayArgs {
        at_time: Some(Timestamp::from_micros(1)),
        ..nothing()
    };
    for (stream, arguments, says) in [
        (
            "acount/1",
            nothing(),
            "there are no streams of category acount; there is account (an account".to_owned(),
        ),
        ("account/2", nothing(), "account/2 has no events".to_owned()),
        (
            "account/1",
            at_version(3),
            "account/1 has come to version 2, not to 3".to_owned(),
        ),
        (
            "account/1",
            long_ago,
            "account/1 was not there yet: its first event is at position 1, recorded 2".to_owned(),
        ),
        (
            "recording/contra.cash.EUR",
            at_position(Position::START.plus(1)),
            format!(
                "recording/contra.cash.EUR was not there yet: its first event is at position {first}"
            ),
        ),
        (
            "account/1",
            at_position(head.plus(1)),
            format!(
                "the store has come to position {head}, not to {}",
                head.plus(1)
            ),
        ),
        ("hold/1", effective, "events of hold name no day".to_owned()),
    ] {
        let error = replay_in(&store, &[], stream, arguments).await.unwrap_err();
        assert!(
            error.to_string().contains(&says),
            "{says} is not in {error}"
        );
    }
    api.stop().await;
}

#[tokio::test]
async fn a_model_is_replayed_up_to_any_position_or_moment_and_leaves_nothing() {
    let api = book().await;
    let store = store_of(&api.databases).await;
    let events = events_of(&store).await;
    let databases = api.stop().await;
    let source = StoreSource::new(Arc::clone(&store));
    let balances = open_balances(&databases.book, source, &databases.balances, 2)
        .await
        .unwrap();
    let head = events.last().unwrap().position;
    for position in [Position::START.plus(1), Position::START.plus(9), head] {
        let arguments = ReplayArgs {
            projection: Some(balances.name().name.to_owned()),
            at_position: Some(position),
            ..nothing()
        };
        let model = replayed(&store, std::slice::from_ref(&balances), arguments).await;
        let model: Value = serde_json::from_str(&model.unwrap().1).unwrap();
        let counts = |event_type: &str| {
            let known = events.iter().filter(|event| event.position <= position);
            known
                .filter(|event| &*event.event_type == event_type)
                .count()
        };
        for (table, event_type) in [
            ("accounts", "AccountOpened"),
            ("entries", "EntryPosted"),
            ("holds", "HoldPlaced"),
        ] {
            let tables = model["tables"].as_array().unwrap();
            let found = tables.iter().find(|one| one["table"] == table).unwrap();
            assert_eq!(
                found["rows"],
                counts(event_type),
                "{table} as of {position}"
            );
        }
    }
    // As of a moment: everything that was recorded by then, and nothing else.
    let moments = events.iter().step_by(3).map(|event| event.recorded_at);
    for moment in moments.chain([Timestamp::from_micros(0)]) {
        let arguments = ReplayArgs {
            projection: Some(balances.name().name.to_owned()),
            at_time: Some(moment),
            ..nothing()
        };
        let model = replayed(&store, std::slice::from_ref(&balances), arguments).await;
        let model: Value = serde_json::from_str(&model.unwrap().1).unwrap();
        let known = events.iter().filter(|event| event.recorded_at <= moment);
        assert_eq!(model["position"], known.count(), "{moment:?}");
    }
    // What is removed is in nobody's way: its lock was let go when its session had ended, which is some time after that was closed.
    for _ in 0..50 {
        balances.shadow().await.unwrap().remove().await.unwrap();
    }
    let beyond = ReplayArgs {
        projection: Some(balances.name().name.to_owned()),
        at_position: Some(head.plus(1)),
        ..nothing()
    };
    let error = replayed(&store, &[balances], beyond).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("has come to position {head}")),
        "{error}"
    );
    assert_eq!(shadows(&databases.balances).await, 0);
}

/// A book with entries that came late, holds, a recording account and a closed period.
async fn book() -> Api {
    let api = Api::start().await;
    api.open("1", "none").await;
    api.open("cash-in", "unlimited").await;
    let fees = json!({"id": "fees", "currency": "EUR", "kind": "recording"});
    assert_eq!(api.post("/v1/accounts", &fees).await.status, 201);
    let leg = |account: &str, side: &str, amount: &str| json!({"account_id": account, "side": side, "amount": amount, "currency": "EUR"});
    for (id, day, amount) in [
        ("january", "2026-01-10", "10.00"),
        ("february", "2026-02-10", "20.00"),
        ("late", "2026-01-05", "5.00"),
    ] {
        let body = json!({"id": id, "effective_date": day, "legs": [leg("cash-in", "debit", amount), leg("1", "credit", amount)]});
        assert_eq!(api.post("/v1/journal-entries", &body).await.status, 201);
    }
    let body = json!({"id": "fee", "effective_date": "2026-01-20", "legs": [leg("1", "debit", "1.50"), leg("fees", "credit", "1.50")]});
    assert_eq!(api.post("/v1/journal-entries", &body).await.status, 201);
    for (id, amount) in [("taken", "4.00"), ("given-up", "6.00")] {
        let body = json!({"id": id, "account_id": "1", "amount": amount, "currency": "EUR", "expires_in_seconds": 3600});
        assert_eq!(api.post("/v1/holds", &body).await.status, 201);
    }
    let capture = json!({"counter_account_id": "fees", "amount": "3.00", "currency": "EUR"});
    let captured = api.post("/v1/holds/taken/capture", &capture).await;
    assert!(captured.status < 300, "{captured:?}");
    let released = api.post("/v1/holds/given-up/release", &json!({})).await;
    assert!(released.status < 300, "{released:?}");
    let closed = api.post("/v1/periods/2025-12-31/close", &json!({})).await;
    assert!(closed.status < 300, "{closed:?}");
    let last = api.posting("1", "credits", "0.50").await;
    api.balance("1", last.token()).await;
    api
}
