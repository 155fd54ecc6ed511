//! Starting, changing and stopping, while there are requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use folio_mesh::balance::EndpointState;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

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

/// A connection of HTTP/2 is told to go away, and what was asked on it before is answered.
#[tokio::test]
async fn a_stream_that_is_open_when_a_door_stops_is_answered() {
    let behind = Behind::start().await;
    let mut door = Door::before(&behind).await;
    let stream = TokioIo::new(TcpStream::connect(door.address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    let connected = tokio::spawn(connection);
    let request = |path: &str| {
        let request = hyper::Request::get(format!("http://{}{path}", door.address));
        let request = request.header("authorization", format!("Bearer {}", door.reader()));
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let answering = sender.send_request(request("/v1/stream"));
    let (after, deadline) = (request(PATH), Instant::now() + PATIENCE);
    while behind.asked().is_empty() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(5)).await;
    }
    let (answer, ()) = tokio::join!(answering, door.stop());
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(
        !answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
    // It was told to go, and went: nothing was broken off.
    timeout(PATIENCE, connected)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(sender.send_request(after).await.is_err());
}

/// Whoever does not come to an end is not waited for without end.
#[tokio::test]
async fn a_door_that_stops_breaks_off_what_is_not_through_in_time() {
    let behind = Behind::start().await;
    let one = [("one", behind.address)];
    let file = FILE.replace("drain_ms = 5000", "drain_ms = 100");
    // Nothing is taken of an answer here, which ends a connection as well; but not soon.
    let file = file.replace("header_ms = 700", "header_ms = 60000");
    let mut door = Door::with(&file, &[("balances", &one)]).await;
    let request = door.request("GET", super::LARGE, &door.reader());
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    // Nothing more of it is taken: it would go on for as long as this test likes.
    door.stop().await;
    let rest = timeout(PATIENCE, async {
        while let Some(piece) = answer.chunk().await? {
            drop(piece);
        }
        Ok::<_, reqwest::Error>(())
    });
    assert!(rest.await.unwrap().is_err(), "it is seen to be cut off");
}

#[tokio::test]
async fn what_is_under_way_goes_where_it_was_to_go() {
    let behind = Behind::start().await;
    let door = Arc::new(Door::before(&behind).await);
    let under_way = {
        let door = Arc::clone(&door);
        tokio::spawn(async move { door.get("/v1/stream").await })
    };
    let deadline = Instant::now() + PATIENCE;
    while behind.asked().is_empty() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(5)).await;
    }
    let without = FILE.replace("\"/v1/stream\"\nservice", "\"/v1/other\"\nservice");
    assert_ne!(without, FILE);
    door.gateway
        .reload(GatewayConfig::parse(&without).unwrap())
        .unwrap();
    assert_eq!(door.get("/v1/stream").await.0, 404);
    assert_eq!(under_way.await.unwrap().0, 200);
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

/// Where operators look.
async fn operators(door: &Door, drain: &Arc<Notify>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = admin::router(door.gateway.clone(), None, Arc::clone(drain));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Whoever takes it for dead would restart it, and all who come again would be there at once.
#[tokio::test]
async fn a_door_with_room_for_nobody_more_says_that_it_is_alive() {
    let behind = Behind::start().await;
    let one = [("one", behind.address)];
    let file = FILE.replace("connections = 64", "connections = 4");
    assert_ne!(file, FILE);
    let door = Door::with(&file, &[("balances", &one)]).await;
    let operators = operators(&door, &Arc::default()).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(door.address).await.unwrap());
    }
    let mut refused = TcpStream::connect(door.address).await.unwrap();
    let mut byte = [0];
    let read = timeout(PATIENCE, refused.read(&mut byte)).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    for path in ["/livez", "/readyz"] {
        let well = answer(door.client.get(format!("{operators}{path}"))).await;
        assert_eq!(well.0, 200, "{path}");
    }
}

#[tokio::test]
async fn operators_see_instances_and_decide_whether_they_are_asked() {
    let (one, two) = (Behind::start().await, Behind::start().await);
    let instances = [("one", one.address), ("two", two.address)];
    let door = Door::with(FILE, &[("balances", &instances)]).await;
    let drain = Arc::new(Notify::new());
    let url = operators(&door, &drain).await;
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
