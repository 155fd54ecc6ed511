//! The services as processes: killed, and started again by whoever looks after them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use folio_tests::bank;
use folio_tests::process::{command, run};
use folio_tests::scale;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::system::{PATIENCE, System};
use crate::up::{program, text};

/// Services killed within one import.
const KILLS: usize = 6;

#[tokio::test]
async fn a_service_that_is_killed_is_started_again_at_its_port_and_the_others_work_on() {
    let system = System::start().await;
    let open = async |service: &str, id: &str| {
        let request = system
            .client
            .post(format!("{}/v1/accounts", system.url(service)));
        let body = serde_json::json!({"id": id, "currency": "EUR"});
        let request = request.header("Idempotency-Key", id).json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    let services = ["accounts-a", "accounts-b", "balances", "rails", "transfers"];
    for (round, killed) in services.into_iter().enumerate() {
        system.kill(killed).await;
        for other in services.into_iter().filter(|other| *other != killed) {
            let path = match other.strip_prefix("accounts-") {
                Some(book) => {
                    assert_eq!(open(other, &format!("{book}{round}")).await, 201, "{other}");
                    "/v1/invariants"
                }
                None if other == "rails" => "/v1/faults",
                None if other == "transfers" => "/v1/projections",
                None => "/v1/accounts",
            };
            assert!(
                system.get(other, path).await.is_some(),
                "{other} without {killed}"
            );
        }
        // Whoever asks meanwhile waits at its socket until it is there again.
        system.answers(killed).await;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = system.get("balances", "/v1/accounts").await.unwrap();
        if listed["accounts"].as_array().unwrap().len() == 8 {
            break;
        }
        assert!(Instant::now() < deadline, "{listed}");
        sleep(Duration::from_millis(50)).await;
    }
    system.stop().await;
}

/// The accounts of a bank, half of them in each of two books, while one service after another is killed.
#[tokio::test]
async fn a_bank_in_two_books_is_read_to_the_cent_while_services_are_killed() {
    split_over_two_books(
        &bank::sample(),
        "bank_sample.csv",
        "bank_sample_accounts.csv",
    )
    .await;
    if let Some(folder) = bank::real_data() {
        split_over_two_books(&folder, "transactions.csv", "accounts.csv").await;
    }
}

async fn split_over_two_books(folder: &Path, transactions: &str, accounts: &str) {
    let halves = TempDir::new().unwrap();
    let [a, b] = halves_of(&folder.join(transactions), halves.path());
    let system = System::start().await;
    let import = |service: &str, file: &Path| {
        let url = system.url(service);
        let arguments = ["import", text(file), "--url", url, "--batch", "50"];
        run(command(program(), &arguments))
    };
    let importing = async {
        let (a, b) = tokio::join!(import("accounts-a", &a), import("accounts-b", &b));
        for import in [a, b] {
            assert!(import.status.success(), "{}", import.stderr);
        }
    };
    let mut kills = 0_usize;
    let killing = async {
        // Each time somewhere else in its work.
        for round in 0..KILLS * scale() {
            let service = ["accounts-a", "balances", "accounts-b"][round % 3];
            system.answers(service).await;
            sleep(Duration::from_millis(100)).await;
            system.kill(service).await;
            kills += 1;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = importing => {}
        () = killing => {}
    }
    eprintln!("a bank in two books: {kills} services killed while it was imported");

    // Each account is in one book, and has what the bank's rows add up to.
    let expected = expected_balances(&folder.join(accounts));
    let mut found = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    while found != expected {
        assert!(
            Instant::now() < deadline,
            "{} of {} accounts",
            found.len(),
            expected.len()
        );
        sleep(Duration::from_millis(200)).await;
        found = balances(&system).await.unwrap_or_default();
    }
    let sums = system.get("balances", "/v1/trial-balance").await.unwrap();
    assert_eq!(sums["currencies"][0]["net"], "0.00", "{sums}");
    assert_eq!(sums["books"].as_array().unwrap().len(), 2);
    system.verify(&["a", "b"]).await;
    system.stop().await;
}

/// The rows of a bank's file in two files, each with all rows of half of the accounts.
fn halves_of(file: &Path, folder: &Path) -> [PathBuf; 2] {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let headers = reader.byte_headers().unwrap().clone();
    let account = headers
        .iter()
        .position(|name| name == b"account_id")
        .unwrap();
    let paths = ["a.csv", "b.csv"].map(|name| folder.join(name));
    let mut writers = paths
        .each_ref()
        .map(|path| csv::Writer::from_path(path).unwrap());
    for writer in &mut writers {
        writer.write_byte_record(&headers).unwrap();
    }
    for row in reader.byte_records() {
        let row = row.unwrap();
        let last = row[account].last().copied().unwrap();
        writers[usize::from(last % 2)]
            .write_byte_record(&row)
            .unwrap();
    }
    for mut writer in writers {
        writer.flush().unwrap();
    }
    paths
}

pub(super) fn expected_balances(file: &Path) -> BTreeMap<String, String> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let rows = reader.deserialize::<BTreeMap<String, String>>();
    rows.map(|row| {
        let row = row.unwrap();
        (row["account_id"].clone(), row["net_of_amounts"].clone())
    })
    .collect()
}

/// Every customer's balance, from the list over both books.
pub(super) async fn balances(system: &System) -> Option<BTreeMap<String, String>> {
    let mut path = "/v1/accounts?limit=1000".to_owned();
    let mut balances = BTreeMap::new();
    loop {
        let page = system.get("balances", &path).await?;
        for account in page["accounts"].as_array()? {
            let text = |field: &str| Some(account[field].as_str()?.to_owned());
            if account["kind"] == "authorising" {
                let twice = balances.insert(text("id")?, text("balance")?);
                assert_eq!(twice, None, "{account}");
            }
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/accounts?limit=1000&cursor={cursor}"),
            None => return Some(balances),
        }
    }
}

/// Money goes back and forth between two books while every service in turn is killed.
#[tokio::test]
async fn transfers_come_to_an_end_whichever_service_is_killed() {
    let transfers = 30 * scale();
    let system = System::start().await;
    let post = async |service: &str, path: &str, key: &str, body: Value| {
        let url = format!("{}{path}", system.url(service));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = system.client.post(&url).header("Idempotency-Key", key);
            let sent = request.json(&body).timeout(Duration::from_secs(20)).send();
            if let Ok(answer) = sent.await
                && !answer.status().is_server_error()
            {
                return answer.status().as_u16();
            }
            assert!(Instant::now() < deadline, "{url}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    for (service, account) in [("accounts-a", "alice"), ("accounts-b", "bob")] {
        let body = serde_json::json!({"id": account, "currency": "EUR"});
        assert_eq!(post(service, "/v1/accounts", account, body).await, 201);
        let body = serde_json::json!({"amount": "100.00", "currency": "EUR", "contra": "cash"});
        let path = format!("/v1/accounts/{account}/credits");
        assert_eq!(post(service, &path, "paid-in", body).await, 201);
    }
    let ordering = async {
        for number in 0..transfers {
            let places = [("a", "alice"), ("b", "bob")];
            let (from, to) = (places[number % 2], places[(number + 1) % 2]);
            let place = |(book, account): (&str, &str)| serde_json::json!({"book": book, "account_id": account});
            // Some are for more than there is.
            let amount = if number % 7 == 6 { "500.00" } else { "9.99" };
            let body = serde_json::json!({"id": format!("t{number}"), "from": place(from), "to": place(to),
                "amount": amount, "currency": "EUR"});
            let status = post("transfers", "/v1/transfers", "-", body).await;
            assert!([200, 202].contains(&status), "{status}");
            sleep(Duration::from_millis(60)).await;
        }
    };
    let killing = async {
        for service in [
            "accounts-a",
            "transfers",
            "rails",
            "accounts-b",
            "transfers",
        ] {
            system.answers(service).await;
            sleep(Duration::from_millis(300)).await;
            system.kill(service).await;
        }
    };
    tokio::join!(ordering, killing);

    let (mut completed, mut undone) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    for number in 0..transfers {
        loop {
            let transfer = system
                .get("transfers", &format!("/v1/transfers/t{number}"))
                .await;
            match transfer
                .as_ref()
                .and_then(|transfer| transfer["state"].as_str())
            {
                Some("completed") => completed += 1,
                Some("undone") => undone += 1,
                _ => {
                    assert!(Instant::now() < deadline, "{transfer:?}");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            }
            break;
        }
    }
    assert!(undone >= transfers / 7, "{undone}");
    // All that was paid in is there, with nothing on its way.
    let deadline = Instant::now() + PATIENCE;
    let cents = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
    loop {
        let accounts = system.get("balances", "/v1/trial-balance/accounts").await;
        let accounts = accounts.map(|page| page["accounts"].as_array().unwrap().clone());
        let sum = |prefix: &str| -> i64 {
            let accounts = accounts.iter().flatten();
            let named = accounts
                .filter(|account| account["account_id"].as_str().unwrap().starts_with(prefix));
            named
                .map(|account| cents(account["net"].as_str().unwrap()))
                .sum()
        };
        let customers = sum("alice") + sum("bob");
        if (customers, sum("contra.cash"), sum("contra.clearing")) == (-20_000, 20_000, 0) {
            break;
        }
        assert!(Instant::now() < deadline, "{accounts:?}");
        sleep(Duration::from_millis(100)).await;
    }
    eprintln!("{completed} transfers carried out and {undone} undone while services were killed");
    system.verify(&["a", "b"]).await;
    system.stop().await;
}
