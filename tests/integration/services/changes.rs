//! What is changed while requests come, and who is believed meanwhile.

use std::fs;
use std::path::Path;
use std::time::Duration;

use folio_mesh::identity::SigningKey;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::load::{CREDITS, open_accounts, under_load};
use super::system::{PATIENCE, System};

/// The ids of the keys that services believe.
fn believed(keys: &Path) -> Vec<String> {
    let text = fs::read(keys.join(SigningKey::PUBLIC_FILE)).unwrap();
    let set: Value = serde_json::from_slice(&text).unwrap();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// The key by which the gateways vouch for who asks, twice, one gateway after the other: services are told of it by a file.
#[tokio::test]
async fn the_key_of_the_gateways_is_exchanged_and_no_request_fails() {
    let system = System::start().await;
    open_accounts(&system).await;
    let keys = system.data_folder().join("keys/gateway");
    let first = believed(&keys);
    assert_eq!(first.len(), 1);
    let mut seen = under_load(&system, &CREDITS, async {
        for known in [2, 3] {
            sleep(Duration::from_millis(1_200)).await;
            fs::remove_file(keys.join(SigningKey::PRIVATE_FILE)).unwrap();
            assert!(system.signal("gateway-1", Signal::SIGHUP));
            let deadline = Instant::now() + PATIENCE;
            while believed(&keys).len() < known {
                assert!(Instant::now() < deadline, "no key is made");
                sleep(Duration::from_millis(10)).await;
            }
            // Now they sign by two.
            sleep(Duration::from_millis(700)).await;
            assert!(system.signal("gateway-2", Signal::SIGHUP));
        }
        sleep(Duration::from_millis(1_500)).await;
    })
    .await;
    seen.told("the key of the gateways exchanged twice");
    assert_eq!(seen.failed, Vec::<String>::new());
    seen.is_in_the_books(&system).await;
    assert_eq!(believed(&keys)[2..], first);
    system.stop().await;
}

/// Beside the gateway too: a request that was meant for another instance, and one whose identity nobody has vouched for.
#[tokio::test]
async fn a_service_answers_nothing_that_is_not_for_it_and_says_when_it_goes() {
    let system = System::start().await;
    let url = system.url("accounts-a").to_owned();
    let ask = async |path: &str, header: Option<(&str, &str)>| {
        let request = system.client.get(format!("{url}{path}"));
        let request = match header {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        Some(request.send().await.ok()?.status().as_u16())
    };
    let path = "/v1/periods";
    assert_eq!(ask(path, None).await, Some(200));
    let itself = ("folio-instance", "accounts-a-1");
    assert_eq!(ask(path, Some(itself)).await, Some(200));
    let another = ("folio-instance", "accounts-a-2");
    assert_eq!(ask(path, Some(another)).await, Some(421));
    // A token that is good at the gateway is none of the gateway's.
    for identity in ["operator", system.token("operator")] {
        let forged = ask(path, Some(("folio-identity", identity))).await;
        assert_eq!(forged, Some(401), "{identity}");
    }

    assert_eq!(ask("/readyz", None).await, Some(200));
    assert!(system.signal("accounts-a-1", Signal::SIGTERM));
    // It answers on, until everybody knows.
    let deadline = Instant::now() + PATIENCE;
    while ask("/readyz", None).await != Some(503) {
        assert!(Instant::now() < deadline, "it does not say that it goes");
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ask(path, None).await, Some(200));
    system.stop().await;
}
