//! What is sent that is no plain request, byte by byte.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{Behind, Door, FILE, LARGE, PATIENCE, all_of, status};

const PATH: &str = "/v1/accounts/alice";

#[tokio::test]
async fn headers_and_paths_that_are_too_large_are_refused() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    for bytes in [64 * 1_024, 450 * 1_024] {
        let answer = door
            .raw_get(PATH, &format!("host: a\r\nx: {}\r\n", "a".repeat(bytes)))
            .await;
        assert_eq!(status(&answer), "431", "{bytes}");
    }
    let mut many = "host: a\r\n".to_owned();
    for number in 0..101 {
        write!(many, "x{number}: a\r\n").unwrap();
    }
    assert_eq!(status(&door.raw_get(PATH, &many).await), "431");
    let long = format!("{PATH}?{}", "a".repeat(9_000));
    assert_eq!(status(&door.raw_get(&long, "host: a\r\n").await), "414");
    let longer = format!("{PATH}?{}", "a".repeat(64 * 1_024));
    assert!(["414", "431"].contains(&status(&door.raw_get(&longer, "host: a\r\n").await)));
    assert!(behind.asked().is_empty());
    assert_eq!(door.get(PATH).await.0, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_never_gets_to_a_service() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let head = format!(
        "POST /v1/books/a/accounts/alice/debits HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\nauthorization: Bearer {}\r\n",
        door.writer()
    );
    // What it says of itself is enough: nothing of it is waited for.
    let answer = door
        .raw(format!("{head}content-length: 10001\r\n\r\n").as_bytes())
        .await;
    assert_eq!(status(&answer), "413", "{answer}");
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(4_096));
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{}",
        chunk.repeat(4)
    );
    assert_eq!(status(&door.raw(chunked.as_bytes()).await), "413");
    assert!(behind.asked().is_empty());
}

/// Whatever two readers of the same bytes could frame differently is refused, or is the last thing on its connection: then
/// nothing is left that could be taken for a second request.
#[tokio::test]
async fn a_second_request_is_not_smuggled_in_the_body_of_the_first() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let (writer, hidden) = (
        door.writer(),
        "GET /v1/accounts/hidden HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    let head = |lines: &str, body: &str| {
        format!(
            "POST /v1/books/a/accounts/alice/debits HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\n\
             authorization: Bearer {writer}\r\n{lines}\r\n\r\n{body}"
        )
    };
    let chunked = format!("0\r\n\r\n{hidden}");
    // Of both, one is looked at, and the service is told of neither: a body goes on as what was read of it.
    for (lines, body, expected) in [
        (
            "content-length: 6\r\ntransfer-encoding: chunked",
            chunked.as_str(),
            "200",
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 6",
            chunked.as_str(),
            "200",
        ),
        ("transfer-encoding: xchunked", chunked.as_str(), "400"),
        (
            "transfer-encoding: chunked, identity",
            chunked.as_str(),
            "400",
        ),
        ("transfer-encoding : chunked", chunked.as_str(), "400"),
        ("content-length: 0\r\ncontent-length: 5", hidden, "400"),
        ("content-length: +0", hidden, "400"),
        ("content-length: 0, 0", hidden, "400"),
        ("x: a\r\n b", "", "400"),
        ("x: a\0b", "", "400"),
        ("x: a\rb", "", "400"),
    ] {
        let answer = door.raw(head(lines, body).as_bytes()).await;
        assert_eq!(status(&answer), expected, "{lines}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lines}: {answer}");
    }
    let hidden = behind.asked();
    let hidden = hidden
        .iter()
        .filter(|asked| asked["path"] == "/v1/accounts/hidden");
    assert_eq!(hidden.count(), 0);
    assert_eq!(door.get(PATH).await.0, 200);
}

/// A body that is in no form that there is ends its request, and its connection: nothing of it gets to a service.
#[tokio::test]
async fn a_body_that_is_malformed_is_refused() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let extension = "a".repeat(1_024 * 1_024);
    for body in [
        "0x1\r\na\r\n0\r\n\r\n".to_owned(),
        "-1\r\na\r\n0\r\n\r\n".to_owned(),
        "fffffffffffffffff\r\na\r\n0\r\n\r\n".to_owned(),
        "1 1\r\na\r\n0\r\n\r\n".to_owned(),
        "1\na\r\n0\r\n\r\n".to_owned(),
        "1\r\nab\r\n0\r\n\r\n".to_owned(),
        format!("1;{extension}\r\na\r\n0\r\n\r\n"),
        format!("0\r\nx: {extension}\r\n\r\n"),
    ] {
        let head = posting(&door, "transfer-encoding: chunked");
        let answer = door.raw(format!("{head}{body}").as_bytes()).await;
        let body = body.get(..30).unwrap_or(&body);
        assert_eq!(status(&answer), "400", "{body:?}: {answer}");
        assert!(behind.asked().is_empty(), "{body:?}");
    }
    assert_eq!(door.get(PATH).await.0, 200);
}

/// What comes after a body says nothing of the request any more, and least of all how long it was, whom it is for and who asks.
#[tokio::test]
async fn what_is_said_after_a_body_is_left_out() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let head = posting(
        &door,
        "transfer-encoding: chunked\r\ntrailer: host, folio-identity",
    );
    let body = "2\r\n{}\r\n0\r\nhost: evil\r\ncontent-length: 40\r\ntransfer-encoding: gzip\r\n\
                folio-identity: me\r\nfolio-actor: me\r\nx-more: me\r\n\r\n";
    let answer = door.raw(format!("{head}{body}").as_bytes()).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let asked = behind.asked();
    assert_eq!((asked.len(), &asked[0]["body"]), (1, &"{}".into()));
    let headers = &asked[0]["headers"];
    assert_eq!(headers["content-length"], "2");
    assert_ne!(headers["host"], "evil");
    for name in ["transfer-encoding", "trailer", "x-more"] {
        assert!(headers[name].is_null(), "{name}: {headers}");
    }
    for name in ["folio-identity", "folio-actor"] {
        assert_ne!(headers[name], "me", "{name}");
    }
}

/// A request that writes, up to its body, which is framed as these lines say.
fn posting(door: &Door, lines: &str) -> String {
    let writer = door.writer();
    format!(
        "POST /v1/books/a/accounts/alice/debits HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\n\
         authorization: Bearer {writer}\r\n{lines}\r\n\r\n"
    )
}

/// CVE-2026-2833: what follows an upgrade that nobody agreed to is no second request.
#[tokio::test]
async fn what_follows_an_upgrade_is_not_passed_on() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let token = door.reader();
    let sent = format!(
        "GET {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\
         GET /v1/accounts/hidden HTTP/1.1\r\nhost: a\r\n\r\n"
    );
    let answer = door.raw(sent.as_bytes()).await;
    assert!(!answer.contains("101 Switching"), "{answer}");
    // The second one is a request of its own, which nobody has sent who is known.
    assert_eq!(behind.asked().len(), 1);
    assert!(behind.asked()[0]["headers"]["upgrade"].is_null());
    assert!(answer.contains("credentials_missing"), "{answer}");
}

#[tokio::test]
async fn a_request_has_one_host_and_it_is_the_one_that_is_asked() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    for (path, lines) in [
        (PATH, ""),
        (PATH, "host: a\r\nhost: a\r\n"),
        (PATH, "host: user@a\r\n"),
        (PATH, "host: a:port\r\n"),
        ("http://evil/v1/accounts/alice", "host: a\r\n"),
    ] {
        let answer = door.raw_get(path, lines).await;
        assert_eq!(status(&answer), "400", "{path} {lines}: {answer}");
    }
    assert!(behind.asked().is_empty());
    let same = door
        .raw_get("http://a/v1/accounts/alice", "host: a\r\n")
        .await;
    assert_eq!(status(&same), "200", "{same}");
}

#[tokio::test]
async fn a_path_that_means_two_things_is_refused() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    for path in [
        "/v1/accounts/../transfers",
        "/v1/accounts/%2e%2e/transfers",
        "/v1/accounts/a%2fb",
        "/v1/accounts/a%5cb",
        "/v1/accounts/a%00b",
        "/v1/accounts//b",
        "/v1/accounts/a;b=c",
        "/v1/accounts/a%c0%afb",
        "/v1/accounts/a%252fb",
    ] {
        let answer = door.raw_get(path, "host: a\r\n").await;
        assert_eq!(status(&answer), "400", "{path}: {answer}");
    }
    assert!(behind.asked().is_empty());
    // What is forwarded is byte for byte what was authorised.
    door.raw_get("/v1/accounts/a%20b?x=%2F", "host: a\r\n")
        .await;
    assert_eq!(behind.asked()[0]["path"], "/v1/accounts/a%20b?x=%2F");
}

#[tokio::test]
async fn whoever_is_slow_with_headers_is_closed_on_and_others_are_served() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let mut slow = TcpStream::connect(door.address).await.unwrap();
    slow.write_all(b"GET /v1/accounts/alice HTTP/1.1\r\nhost: a\r\nx: ")
        .await
        .unwrap();
    assert_eq!(door.get(PATH).await.0, 200);
    let began = Instant::now();
    // A byte now and then does not put it off.
    let mut byte = [0_u8; 1];
    loop {
        let _ = slow.write_all(b"a").await;
        match timeout(Duration::from_millis(100), slow.read(&mut byte)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) | Err(_) => assert!(began.elapsed() < PATIENCE),
        }
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn whoever_is_slow_with_a_body_is_told_so_and_holds_no_instance_up() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let head = format!(
        "POST /v1/books/a/accounts/alice/debits HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\n\
         authorization: Bearer {}\r\ncontent-length: 100\r\n\r\n{{",
        door.writer()
    );
    let mut slow = TcpStream::connect(door.address).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    let answer = all_of(&mut slow).await;
    assert_eq!(status(&answer), "408", "{answer}");
    assert!(behind.asked().is_empty());
}

/// It is never idle for long, and its time is over all the same.
#[tokio::test]
async fn a_body_that_drips_is_given_up_when_its_time_is_over() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let mut slow = TcpStream::connect(door.address).await.unwrap();
    let head = posting(&door, "content-length: 9000");
    slow.write_all(head.as_bytes()).await.unwrap();
    let (mut answers, mut dripping) = slow.into_split();
    let dripped = tokio::spawn(async move {
        let mut bytes = 0;
        while dripping.write_all(b"a").await.is_ok() {
            bytes += 1;
            sleep(Duration::from_millis(20)).await;
        }
        bytes
    });
    let mut answer = vec![0; 4_096];
    let read = timeout(PATIENCE, answers.read(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer[..read.unwrap().unwrap()]).into_owned();
    assert_eq!(status(&answer), "408", "{answer}");
    drop(answers);
    let dripped = timeout(PATIENCE, dripped).await.unwrap().unwrap();
    assert!((2..9_000).contains(&dripped), "{dripped}");
    assert!(behind.asked().is_empty());
}

/// What a client does not read is not read from the service either.
#[tokio::test]
async fn a_reader_that_is_slow_fills_nothing_up() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let request = format!(
        "GET {LARGE} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n",
        door.reader()
    );
    let mut slow = TcpStream::connect(door.address).await.unwrap();
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut before = 1;
    let deadline = Instant::now() + PATIENCE;
    // Until no more is taken of it.
    while behind.taken.load(Ordering::SeqCst) != before || before <= 65_536 {
        assert!(Instant::now() < deadline);
        before = behind.taken.load(Ordering::SeqCst);
        sleep(Duration::from_millis(200)).await;
    }
    assert!(
        before < 32 * 1_024 * 1_024,
        "{before} bytes are held for a client that reads none"
    );
    assert_eq!(door.get(PATH).await.0, 200);
}

/// Its place among all requests would be its own for as long as it likes: a few such readers, and nobody else was answered. The time in
/// which an answer has to be through is looked at while it is taken, and here nothing is.
#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_does_not_keep_its_place() {
    let behind = Behind::start().await;
    let one = [("one", behind.address)];
    // Long enough for somebody else to be refused meanwhile, on a machine that has much else to do.
    let file = FILE.replace("[bounds]", "[bounds]\nrequests = 1");
    let file = file.replace("header_ms = 700", "header_ms = 3000");
    let door = Door::with(&file, &[("balances", &one), ("accounts-a", &one)]).await;
    let until = async |status: u16| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (found, body) = door.get(PATH).await;
            if found == status {
                break;
            }
            assert!(Instant::now() < deadline, "{found}: {body}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    let token = format!("Bearer {}", door.reader());
    let mut stalled = TcpStream::connect(door.address).await.unwrap();
    let request = format!("GET {LARGE} HTTP/1.1\r\nhost: a\r\nauthorization: {token}\r\n\r\n");
    stalled.write_all(request.as_bytes()).await.unwrap();
    // It has the place: whoever asks before that could have it, and this one would be refused.
    let mut head = [0; 12];
    stalled.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    until(503).await;
    until(200).await;

    let stream = TokioIo::new(TcpStream::connect(door.address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    let connected = tokio::spawn(connection);
    let request = hyper::Request::get(format!("http://{}{LARGE}", door.address))
        .header("authorization", token)
        .body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    until(503).await;
    until(200).await;
    drop((stalled, answer, connected));
}

/// Nothing ever comes on it, so no timeout of a request begins.
#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_closed() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let mut silent = TcpStream::connect(door.address).await.unwrap();
    let began = Instant::now();
    assert_eq!(all_of(&mut silent).await, "");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // Neither is one kept after its request, nor one of HTTP/2 that has no streams.
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n",
        door.reader()
    );
    for first in [
        request.as_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut kept = TcpStream::connect(door.address).await.unwrap();
        kept.write_all(first).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(PATIENCE, kept.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it is still open");
    }
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_it_may() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(door.address).await.unwrap());
    }
    // Those that are too many are closed at once; the others after the time that headers may take.
    let mut closed = 0;
    for stream in &mut idle {
        let mut byte = [0_u8; 1];
        let read = timeout(Duration::from_millis(20), stream.read(&mut byte)).await;
        closed += u32::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    assert!(closed >= 32, "{closed}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = door.raw(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
        if status(&answer) == "200" {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
        sleep(Duration::from_millis(50)).await;
    }
}
