//! Services that are gone, slow, or break off in the middle.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use folio_core::breaker::Phase;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use super::{Behind, Door, FILE, PATIENCE, answer};

const PATH: &str = "/v1/accounts/alice";

/// What a service does that does not do as it should.
#[derive(Debug, Clone, Copy)]
enum Manners {
    /// It breaks the connection off when it has read the request.
    Resets,
    /// It does that with the second request of a connection.
    ResetsTheSecond,
    /// It says that it will send more than it does.
    Truncates,
    /// It says nothing any more.
    Hangs,
    /// It says 200, and nothing any more.
    HangsInTheMiddle,
    /// It says 503, and nothing any more.
    HangsInAnError,
    /// It is somebody else by now.
    IsAnother,
    /// It cannot now.
    Unavailable,
    /// It sends an answer without an end.
    Streams,
    /// It says more than it has said that it would.
    SaysTooMuch,
    /// It says very often that it is at it.
    IsAtIt,
    /// It goes over to another protocol that nobody has asked for.
    Upgrades,
}

/// A service with bad manners, and how many requests it has read.
async fn ill_mannered(manners: Manners) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let read = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&read);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(misbehave(stream, manners, Arc::clone(&counted)));
        }
    });
    (address, read)
}

async fn misbehave(mut stream: TcpStream, manners: Manners, read: Arc<AtomicU32>) {
    let mut buffer = vec![0; 65_536];
    if !stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
        return;
    }
    read.fetch_add(1, Ordering::SeqCst);
    let whole = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
    let said = match manners {
        Manners::Resets => return,
        Manners::ResetsTheSecond => {
            let _ = stream.write_all(whole("200 OK").as_bytes()).await;
            if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                read.fetch_add(1, Ordering::SeqCst);
            }
            return;
        }
        Manners::Truncates => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it".to_owned(),
        Manners::Hangs => return std::future::pending().await,
        Manners::HangsInTheMiddle => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it";
            let _ = stream.write_all(head.as_bytes()).await;
            return std::future::pending().await;
        }
        Manners::HangsInAnError => {
            let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 100\r\n\r\nhalf";
            let _ = stream.write_all(head.as_bytes()).await;
            return std::future::pending().await;
        }
        Manners::IsAnother => whole("421 Misdirected Request"),
        Manners::Unavailable => whole("503 Service Unavailable"),
        Manners::SaysTooMuch => format!(
            "{}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
            whole("200 OK")
        ),
        Manners::IsAtIt => format!(
            "{}{}",
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000),
            whole("200 OK")
        ),
        Manners::Upgrades => "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade, x-inner\r\n\
                              upgrade: websocket\r\nx-inner: secret\r\n\r\nnot http"
            .to_owned(),
        Manners::Streams => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b"8\r\ndata: 1\n\r\n").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
            return;
        }
    };
    let _ = stream.write_all(said.as_bytes()).await;
}

/// Nobody listens there.
async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn before(instances: &[(&str, SocketAddr)]) -> Door {
    Door::with(FILE, &[("balances", instances), ("accounts-a", instances)]).await
}

async fn unkeyed(door: &Door) -> (u16, serde_json::Value) {
    let request = door.request("POST", "/v1/unkeyed", &door.writer());
    answer(request.json(&json!({"amount": "1.00"}))).await
}

/// An instance that is not there any more has not had the request, whatever it was.
#[tokio::test]
async fn who_cannot_be_reached_is_left_for_another_instance() {
    let behind = Behind::start().await;
    let door = before(&[("gone", nowhere().await), ("here", behind.address)]).await;
    for round in 0..20 {
        assert_eq!(door.get(PATH).await.0, 200);
        assert_eq!(door.debit(&format!("k{round}")).await.0, 200);
        assert_eq!(unkeyed(&door).await.0, 200);
    }
    assert_eq!(behind.asked().len(), 60);
}

#[tokio::test]
async fn where_another_one_listens_by_now_the_request_goes_on_to_the_right_one() {
    let behind = Behind::start().await;
    let (other, read) = ill_mannered(Manners::IsAnother).await;
    let door = before(&[("stranger", other), ("here", behind.address)]).await;
    for _ in 0..20 {
        assert_eq!(unkeyed(&door).await.0, 200);
    }
    assert!(read.load(Ordering::SeqCst) > 0);
    assert_eq!(behind.asked().len(), 20);
}

/// A connection that is not answered at all, as if a wall stood before it.
#[tokio::test]
async fn who_takes_no_connection_is_left_for_another_instance() {
    let wall = tokio::net::TcpSocket::new_v4().unwrap();
    wall.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let wall = wall.listen(0).unwrap();
    let address = wall.local_addr().unwrap();
    // There is room for one or two; whoever comes then is not answered.
    let filling: Vec<_> = (0..4)
        .map(|_| tokio::spawn(TcpStream::connect(address)))
        .collect();
    let behind = Behind::start().await;
    let door = before(&[("wall", address), ("here", behind.address)]).await;
    for _ in 0..6 {
        let began = Instant::now();
        assert_eq!(unkeyed(&door).await.0, 200);
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
    }
    assert_eq!(behind.asked().len(), 6);
    for task in filling {
        task.abort();
    }
}

/// What comes after an answer is not taken for the answer to the next request.
#[tokio::test]
async fn whoever_says_more_than_was_asked_poisons_no_other_answer() {
    for manners in [Manners::SaysTooMuch, Manners::IsAtIt] {
        let (address, _) = ill_mannered(manners).await;
        let door = before(&[("one", address)]).await;
        for _ in 0..10 {
            let answer = door
                .request("GET", PATH, &door.reader())
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200, "{manners:?}");
            assert_eq!(answer.text().await.unwrap(), "{}", "{manners:?}");
        }
    }
}

/// A client hangs up while it waits. What it held is free again.
#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_taken() {
    let (frozen, read) = ill_mannered(Manners::Hangs).await;
    let door = before(&[("frozen", frozen)]).await;
    for _ in 0..20 {
        let request = door.request("GET", PATH, &door.reader());
        let hung_up = tokio::time::timeout(Duration::from_millis(60), request.send()).await;
        assert!(hung_up.is_err());
    }
    assert!(read.load(Ordering::SeqCst) > 0);
    let deadline = Instant::now() + PATIENCE;
    let under_way = || {
        let balancers = door.gateway.upstreams().balancers();
        let states = balancers.flat_map(folio_mesh::Balancer::states);
        states.map(|state| state.under_way).sum::<u32>()
    };
    while under_way() > 0 {
        assert!(Instant::now() < deadline, "{} are under way", under_way());
        sleep(Duration::from_millis(10)).await;
    }
}

/// What may have been done is sent again only where the service knows it again.
#[tokio::test]
async fn a_write_without_a_key_is_never_sent_twice() {
    let (address, read) = ill_mannered(Manners::Resets).await;
    let (another, read_too) = ill_mannered(Manners::Resets).await;
    let door = before(&[("one", address), ("two", another)]).await;
    let reads = || read.load(Ordering::SeqCst) + read_too.load(Ordering::SeqCst);
    let (status, body) = unkeyed(&door).await;
    assert_eq!(
        (status, &body["code"], &body["retryable"]),
        (502, &json!("outcome_unknown"), &json!(false))
    );
    assert_eq!(reads(), 1);
    let (status, body) = door.debit("k").await;
    assert_eq!(
        (status, &body["code"], &body["retryable"]),
        (502, &json!("outcome_unknown"), &json!(true))
    );
    assert_eq!(reads(), 3, "with a key it is sent to each instance");
    assert_eq!(door.get(PATH).await.0, 502);
    assert_eq!(reads(), 5);
}

/// What has begun to be answered was done. The client sees that it does not have the whole of the answer.
#[tokio::test]
async fn a_write_whose_answer_breaks_off_is_never_sent_twice() {
    let (address, read) = ill_mannered(Manners::Truncates).await;
    let (another, read_too) = ill_mannered(Manners::Truncates).await;
    let door = before(&[("one", address), ("two", another)]).await;
    let reads = || read.load(Ordering::SeqCst) + read_too.load(Ordering::SeqCst);
    let paths = ["/v1/unkeyed", "/v1/books/a/accounts/alice/debits"];
    for (number, path) in (1..).zip(paths) {
        let request = door.request("POST", path, &door.writer());
        let answer = request.header("idempotency-key", "k").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.is_err());
        assert_eq!(reads(), number, "{path}");
    }
}

/// One instance breaks the connection off, and the other is not there: that the second try was not sent says nothing of the first.
#[tokio::test]
async fn what_may_have_been_done_is_never_said_to_be_not_done() {
    let (address, read) = ill_mannered(Manners::Resets).await;
    for round in 1..=8 {
        // Both are asked, in an order that goes by the key's account or by chance.
        let door = before(&[("one", address), ("gone", nowhere().await)]).await;
        let (status, body) = door.debit(&format!("k{round}")).await;
        assert_eq!(
            (status, &body["code"]),
            (502, &json!("outcome_unknown")),
            "{body}"
        );
        assert_eq!(read.load(Ordering::SeqCst), round);
    }
}

/// A connection that has carried a request is closed by the service just when the next one is sent on it: whether that was read is not
/// known, and without a key it is not sent again.
#[tokio::test]
async fn a_write_that_meets_a_connection_being_closed_is_never_sent_twice() {
    let (address, read) = ill_mannered(Manners::ResetsTheSecond).await;
    let door = before(&[("one", address)]).await;
    assert_eq!(unkeyed(&door).await.0, 200);
    let (status, body) = unkeyed(&door).await;
    assert_eq!(
        (status, &body["code"], &body["retryable"]),
        (502, &json!("outcome_unknown"), &json!(false))
    );
    assert_eq!(read.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn who_breaks_off_or_hangs_is_left_for_another_instance() {
    for manners in [Manners::Resets, Manners::Hangs, Manners::Unavailable] {
        let behind = Behind::start().await;
        let (address, _) = ill_mannered(manners).await;
        let door = before(&[("bad", address), ("good", behind.address)]).await;
        for round in 0..10 {
            assert_eq!(door.get(PATH).await.0, 200, "{manners:?}");
            assert_eq!(door.debit(&format!("k{round}")).await.0, 200, "{manners:?}");
        }
    }
}

/// No protocol is spoken but the one that was asked in, and what an instance says between the two is for nobody else.
#[tokio::test]
async fn whoever_goes_over_to_another_protocol_is_left_for_another_instance() {
    let (address, read) = ill_mannered(Manners::Upgrades).await;
    let door = before(&[("upgrades", address)]).await;
    let token = door.reader();
    let asks = format!(
        "GET {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
         connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    let answer = door.raw(asks.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    for inner in ["websocket", "x-inner", "not http"] {
        assert!(!answer.contains(inner), "{answer}");
    }
    assert!(read.load(Ordering::SeqCst) > 0);
    let behind = Behind::start().await;
    let door = before(&[("upgrades", address), ("well", behind.address)]).await;
    for _ in 0..10 {
        assert_eq!(door.get(PATH).await.0, 200);
    }
}

/// The head of its answers is fine, so only the end of them tells that it is not.
#[tokio::test]
async fn whoever_breaks_off_its_answers_is_taken_out() {
    let (address, _) = ill_mannered(Manners::Truncates).await;
    let door = before(&[("truncates", address)]).await;
    let is_out = || {
        let balancers = door.gateway.upstreams().balancers();
        let mut states = balancers.flat_map(|balancer| balancer.states());
        states.any(|state| state.phase != Phase::Closed)
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_out() {
        assert!(Instant::now() < deadline, "it is asked as if nothing were");
        let answer = door.request("GET", PATH, &door.reader()).send().await;
        let _ = answer.unwrap().bytes().await;
    }
}

/// A client never takes half of an answer for the whole.
#[tokio::test]
async fn an_answer_that_ends_early_is_seen_to_end_early() {
    for (manners, status) in [
        (Manners::Truncates, 200),
        (Manners::HangsInTheMiddle, 200),
        (Manners::HangsInAnError, 503),
    ] {
        let (address, _) = ill_mannered(manners).await;
        let door = before(&[("one", address)]).await;
        let answer = door
            .request("GET", PATH, &door.reader())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
        let began = Instant::now();
        assert!(answer.bytes().await.is_err(), "{manners:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_passed_on_as_it_comes() {
    let (address, _) = ill_mannered(Manners::Streams).await;
    let door = before(&[("one", address)]).await;
    let answer = door
        .request("GET", "/v1/stream", &door.reader())
        .send()
        .await;
    let mut answer = answer.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    // Longer than the route's timeout, which is the one of an answer that has an end.
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until {
        let chunk = answer.chunk().await.unwrap().unwrap();
        assert!(chunk.starts_with(b"data: 1"));
    }
}

#[tokio::test]
async fn where_nobody_is_left_that_is_said_at_once_and_passes() {
    let behind = Behind::start().await;
    let door = before(&[("gone", nowhere().await)]).await;
    let began = Instant::now();
    let refused = door
        .request("GET", PATH, &door.reader())
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    door.listed.list("balances", &[]);
    let (status, body) = door.get(PATH).await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("service_unavailable"))
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    door.listed.list("balances", &[("back", behind.address)]);
    assert_eq!(door.get(PATH).await.0, 200);
}

/// A registry that says something else each time: whoever is there is asked, and whoever it never named is not.
#[tokio::test]
async fn a_list_that_flaps_fails_no_request_and_sends_none_to_a_stranger() {
    let (one, two, stranger) = (
        Behind::start().await,
        Behind::start().await,
        Behind::start().await,
    );
    let lists: [&[(&str, SocketAddr)]; 4] = [
        &[("one", one.address)],
        &[("one", one.address), ("two", two.address)],
        &[("two", two.address)],
        // One that is not there any more, or never was.
        &[("two", two.address), ("gone", nowhere().await)],
    ];
    let door = before(lists[0]).await;
    for round in 0..100 {
        let list = lists[round % lists.len()];
        door.listed.list("balances", list);
        door.listed.list("accounts-a", list);
        assert_eq!(door.get(PATH).await.0, 200);
        assert_eq!(door.debit(&format!("k{round}")).await.0, 200);
    }
    assert!(!one.asked().is_empty() && !two.asked().is_empty());
    assert_eq!(one.asked().len() + two.asked().len(), 200);
    assert!(stranger.asked().is_empty());
}

/// However many fail, there are only so many tries more than requests.
#[tokio::test]
async fn a_service_that_is_down_is_not_asked_much_more_often_than_there_are_requests() {
    let (one, read) = ill_mannered(Manners::Unavailable).await;
    let (two, read_too) = ill_mannered(Manners::Unavailable).await;
    let door = before(&[("one", one), ("two", two)]).await;
    let began = Instant::now();
    for _ in 0..300 {
        assert_eq!(door.get(PATH).await.0, 503);
    }
    let tries = read.load(Ordering::SeqCst) + read_too.load(Ordering::SeqCst);
    // A tenth, and ten a second that are free, for the ten seconds that these can be saved up for at most.
    let seconds = u32::try_from(began.elapsed().as_secs()).unwrap() + 10;
    assert!(tries <= 330 + 10 * seconds, "{tries}");
    assert!(tries < 600, "{tries}");
}

#[tokio::test]
async fn requests_of_an_account_meet_at_one_instance() {
    let (one, two) = (Behind::start().await, Behind::start().await);
    let door = before(&[("one", one.address), ("two", two.address)]).await;
    for account in 0..16 {
        let mut met = BTreeSet::new();
        for round in 0..4 {
            let path = format!("/v1/books/a/accounts/c{account}/debits");
            let request = door.request("POST", &path, &door.writer());
            let request = request.header("idempotency-key", format!("{account}-{round}"));
            let (status, said) = answer(request.json(&json!({}))).await;
            assert_eq!(status, 200);
            met.insert(said["headers"]["folio-instance"].to_string());
        }
        assert_eq!(met.len(), 1, "{met:?}");
    }
    assert!(!one.asked().is_empty() && !two.asked().is_empty());
}

/// Whoever waits for an instance that hangs is not who pays for it: after a few failures it is left alone.
#[tokio::test]
async fn an_instance_that_hangs_is_left_alone() {
    let behind = Behind::start().await;
    let (frozen, read) = ill_mannered(Manners::Hangs).await;
    let door = before(&[("frozen", frozen), ("well", behind.address)]).await;
    let mut slow = 0;
    for _ in 0..100 {
        let began = Instant::now();
        assert_eq!(door.get(PATH).await.0, 200);
        slow += u32::from(began.elapsed() > Duration::from_millis(400));
    }
    assert!(
        slow <= 5,
        "{slow} of 100 waited for it, which was asked {} times",
        read.load(Ordering::SeqCst)
    );
}
