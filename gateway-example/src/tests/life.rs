//! Starting, changing and stopping, while there are requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use folio_mesh::balance::EndpointState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Behind, Door, FILE, PATIENCE, answer};
use crate::{GatewayConfig, InvalidConfig, admin};

const PATH: &str = "/v1/accounts/alice";

/// Callers that ask again and again, each of whose requests must be answered.
struct Callers {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    callers: Vec<JoinHandle<()>>,
}

impl Callers {
    fn ask(number: usize, url: &str, token: &str, client: impl Fn() -> reqwest::Client) -> Self {
        let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let callers = (0..number).map(|_| {
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            let (url, token, client) = (url.to_owned(), token.to_owned(), client());
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    let answer = client.get(&url).bearer_auth(&token).send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.unwrap();
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        let callers = callers.collect();
        Self {
            is_over,
            answered,
            callers,
        }
    }

    /// Waits until so many more answers were had.
    async fn have_had(&self, answers: u32) {
        let until = self.answered.load(Ordering::SeqCst) + answers;
        let deadline = Instant::now() + PATIENCE;
        while self.answered.load(Ordering::SeqCst) < until {
            assert!(Instant::now() < deadline);
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) {
        self.is_over.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

/// Whoever keeps a connection is told to close it before it is closed, and what is under way is answered: no request fails.
#[tokio::test]
async fn a_door_that_is_told_to_stop_answers_what_it_has_accepted() {
    let behind = Behind::start().await;
    let mut door = Door::before(&behind).await;
    let url = format!("http://{}{PATH}", door.address);
    let token = door.reader();
    let client = || reqwest::Client::builder().no_proxy().build().unwrap();
    let callers = Callers::ask(8, &url, &token, client);
    callers.have_had(200).await;
    assert_eq!(door.get("/readyz").await.0, 200);
    door.gateway.begin_draining();
    // Whoever asks whether to send it more is told not to; whoever does is answered, and told to come on another connection.
    assert_eq!(door.get("/readyz").await.0, 503);
    let told = door.raw_get(PATH, "host: a\r\n").await;
    assert!(
        told.starts_with("HTTP/1.1 200") && told.contains("connection: close"),
        "{told}"
    );
    callers.have_had(200).await;
    callers.end().await;
    let before = behind.asked().len();
    let slow: Vec<_> = (0..8)
        .map(|_| tokio::spawn(answer(door.request("GET", "/v1/stream", &token))))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while behind.asked().len() < before + 8 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(5)).await;
    }
    door.stop().await;
    for request in slow {
        assert_eq!(request.await.unwrap().0, 200);
    }
    let refused = door.request("GET", PATH, &token).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
}

/// What is read of a connection decides how it is closed, and nothing was read of this one.
#[tokio::test]
async fn whoever_had_just_connected_to_a_door_that_closes_is_answered() {
    let behind = Behind::start().await;
    let mut door = Door::before(&behind).await;
    let mut connected = TcpStream::connect(door.address).await.unwrap();
    let (address, token) = (door.address, door.reader());
    let stopping = tokio::spawn(async move { door.stop().await });
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "it does not close");
        sleep(Duration::from_millis(5)).await;
    }
    let request =
        format!("GET {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    connected.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connected.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    stopping.await.unwrap();
}

#[tokio::test]
async fn routes_are_exchanged_as_a_whole_or_not_at_all() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let changed = |from: &str, to: &str| {
        let config = GatewayConfig::parse(&FILE.replace(from, to))?;
        door.gateway.reload(config)
    };
    let wrong = changed(
        "forward = \"/v1/accounts/{rest}\"",
        "forward = \"/v1/accounts/{reste}\"",
    );
    assert!(
        matches!(wrong, Err(InvalidConfig::Route { .. })),
        "{wrong:?}"
    );
    assert_eq!(door.get(PATH).await.0, 200);
    assert!(matches!(
        changed("body_ms = 700", "body_ms = 800"),
        Err(InvalidConfig::NeedsStart)
    ));
    assert_eq!(
        changed("/v1/accounts/{*rest}", "/v1/konten/{*rest}").unwrap(),
        2
    );
    assert_eq!(door.get(PATH).await.0, 404);
    assert_eq!(door.get("/v1/konten/alice").await.0, 200);
}

#[tokio::test]
async fn operators_see_instances_and_decide_whether_they_are_asked() {
    let (one, two) = (Behind::start().await, Behind::start().await);
    let instances = [("one", one.address), ("two", two.address)];
    let door = Door::with(FILE, &[("balances", &instances)]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let drain = Arc::new(Notify::new());
    let router = admin::router(door.gateway.clone(), None, Arc::clone(&drain));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let seen = answer(door.client.get(format!("{url}/instances"))).await.1;
    assert_eq!(seen.as_array().unwrap().len(), 2, "{seen}");
    assert_eq!(seen[0]["breaker"], "closed");
    let decide = async |path: &str| {
        answer(door.client.post(format!("{url}/instances/{path}")))
            .await
            .0
    };
    assert_eq!(decide("balances/one/open").await, 204);
    assert_eq!(decide("balances/three/open").await, 404);
    for _ in 0..10 {
        assert_eq!(door.get(PATH).await.0, 200);
    }
    assert!(one.asked().is_empty());
    assert_eq!(decide("balances/one/automatic").await, 204);
    let balancers = door.gateway.upstreams().balancers();
    let states: Vec<EndpointState> = balancers.flat_map(folio_mesh::Balancer::states).collect();
    assert!(
        states.iter().all(|state| state.under_way == 0),
        "{states:?}"
    );
    // Closed by an operator: it is asked whatever becomes of that.
    assert_eq!(decide("balances/one/closed").await, 204);
    let seen = answer(door.client.get(format!("{url}/instances"))).await.1;
    assert_eq!(seen[0]["breaker"], "forcedclosed", "{seen}");
    let routes = answer(door.client.get(format!("{url}/routes"))).await.1;
    assert_eq!(routes["routes"].as_array().unwrap().len(), 4);
    let get = async |path: &str| answer(door.client.get(format!("{url}{path}"))).await.0;
    assert_eq!((get("/livez").await, get("/readyz").await), (200, 200));
    assert_eq!(
        answer(door.client.post(format!("{url}/drain"))).await.0,
        202
    );
    drain.notified().await;
    assert_eq!(door.get("/readyz").await.0, 503);
    assert_eq!((get("/livez").await, get("/readyz").await), (200, 503));
}
