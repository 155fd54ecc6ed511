//! Many callers at once do whatever there is to do to a book, and the trial balance is read all along.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use folio_tests::api::{Answer, Api};
use serde_json::{Value, json};

const CALLERS: u64 = 64;
const ACCOUNTS: u64 = 100;
const READS: u64 = 10_000;
const READERS: u64 = 8;

/// What comes next, by a seed: the generator of Vigna's `splitmix64`.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// What all callers know of.
struct Turmoil {
    api: Api,
    reads: AtomicU64,
    entries: AtomicU64,
    holds: AtomicU64,
}

impl Turmoil {
    async fn act(&self, chance: &mut Chance) -> Answer {
        let (from, to) = (chance.next(ACCOUNTS), chance.next(ACCOUNTS));
        let amount = format!("{}.{:02}", chance.next(40), 1 + chance.next(99));
        let leg = |account: u64, side: &str| json!({"account_id": format!("a{account}"), "side": side, "amount": amount, "currency": "EUR"});
        let any = |counter: &AtomicU64, chance: &mut Chance| {
            chance.next(counter.load(Ordering::Relaxed).max(1))
        };
        match chance.next(10) {
            0..=2 => {
                let entry = self.entries.fetch_add(1, Ordering::Relaxed);
                let body = json!({"id": format!("e{entry}"), "legs": [leg(from, "debit"), leg(to, "credit")]});
                self.api.post("/v1/journal-entries", &body).await
            }
            3 => {
                let legs = json!([
                    leg(from, "debit"), leg(to, "debit"), leg(chance.next(ACCOUNTS), "credit"),
                    {"account_id": "contra.fees.EUR", "side": "credit", "amount": amount, "currency": "EUR"},
                ]);
                self.api
                    .post("/v1/journal-entries", &json!({ "legs": legs }))
                    .await
            }
            4 => {
                self.api
                    .posting(&format!("a{to}"), "credits", &amount)
                    .await
            }
            5 => {
                self.api
                    .posting(&format!("a{from}"), "debits", &amount)
                    .await
            }
            6 => {
                let hold = self.holds.fetch_add(1, Ordering::Relaxed);
                let side = if chance.next(4) == 0 {
                    "credit"
                } else {
                    "debit"
                };
                let body = json!({"id": format!("h{hold}"), "account_id": format!("a{from}"), "side": side,
                    "amount": amount, "currency": "EUR", "expires_in_seconds": 1 + chance.next(4)});
                self.api.post("/v1/holds", &body).await
            }
            7 => {
                let hold = any(&self.holds, chance);
                let body = json!({"counter_account_id": format!("a{to}")});
                self.api
                    .post(&format!("/v1/holds/h{hold}/capture"), &body)
                    .await
            }
            8 => {
                let hold = any(&self.holds, chance);
                self.api
                    .post(&format!("/v1/holds/h{hold}/release"), &Value::Null)
                    .await
            }
            _ => {
                let entry = any(&self.entries, chance);
                let body = json!({"effective_date": "2026-06-30"});
                self.api
                    .post(&format!("/v1/journal-entries/e{entry}/reverse"), &body)
                    .await
            }
        }
    }

    fn is_over(&self) -> bool {
        self.reads.load(Ordering::Relaxed) >= READS
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_any_turmoil_the_trial_balance_is_zero_and_no_account_below_its_limit() {
    let api = Api::start().await;
    for account in 0..ACCOUNTS {
        let body = json!({"id": format!("a{account}"), "currency": "EUR",
            "overdraft": {"kind": "limit", "limit": "50.00"}});
        assert_eq!(api.post("/v1/accounts", &body).await.status, 201);
    }
    let turmoil = Arc::new(Turmoil {
        api,
        reads: AtomicU64::new(0),
        entries: AtomicU64::new(0),
        holds: AtomicU64::new(0),
    });
    let callers = (0..CALLERS).map(|seed| {
        let turmoil = Arc::clone(&turmoil);
        tokio::spawn(async move {
            let (mut chance, mut told) = (Chance(seed), BTreeMap::<String, u64>::new());
            while !turmoil.is_over() {
                let answer = turmoil.act(&mut chance).await;
                let code = match answer.status {
                    200 | 201 => "done".to_owned(),
                    404 | 409 | 422 => answer.code(),
                    _ => panic!("{answer:?}"),
                };
                *told.entry(code).or_default() += 1;
            }
            told
        })
    });
    let callers: Vec<_> = callers.collect();
    let readers = (0..READERS).map(|_| {
        let turmoil = Arc::clone(&turmoil);
        tokio::spawn(async move {
            while !turmoil.is_over() {
                let answer = turmoil.api.get("/v1/trial-balance").await;
                assert_eq!(answer.status, 200, "{answer:?}");
                for currency in answer.body["currencies"].as_array().unwrap() {
                    assert_eq!(currency["net"], "0.00", "{answer:?}");
                }
                turmoil.reads.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    let mut told = BTreeMap::<String, u64>::new();
    for caller in callers {
        for (code, times) in caller.await.unwrap() {
            *told.entry(code).or_default() += times;
        }
    }
    eprintln!("{READS} trial balances read while callers were told {told:?}");
    // Of everything that can become of a request something did, or the turmoil was none.
    for code in [
        "done",
        "insufficient_funds",
        "already_released",
        "already_reversed",
        "same_account",
    ] {
        assert!(told.contains_key(code), "{code} is not in {told:?}");
    }

    let turmoil = Arc::into_inner(turmoil).unwrap();
    let last = turmoil.api.posting("a0", "credits", "0.01").await;
    let page = format!("/v1/accounts?limit=1000&min_position={}", last.token());
    let accounts = turmoil.api.get(&page).await;
    for account in accounts.body["accounts"].as_array().unwrap() {
        if let Some(available) = account["available"].as_str() {
            assert!(!available.starts_with('-'), "{account}");
        }
    }
    // Replay, read model, entries, accounts and holds say the same.
    let databases = turmoil.api.stop().await;
    assert_eq!(
        crate::monitor::check(&databases).await.unwrap().violations,
        []
    );
    assert_eq!(
        crate::audit::audit(&databases).await.unwrap().differences,
        []
    );
}
