//! HTTP/2, frame by frame: floods that cost the client little and a server much, and what HTTP/1 would read otherwise.
//!
//! Frames are RFC 9113, headers RFC 7541: literals without an index, and no Huffman coding.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Behind, Door, FILE, LARGE, PATIENCE, answer};

const PATH: &str = "/v1/accounts/alice";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA_END: u8 = 0x1;
const HEADERS_END: u8 = 0x4;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RESET: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GO_AWAY: u8 = 0x7;
const WINDOW: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut header = vec![0];
    for text in [name, value] {
        length(text.len(), &mut header);
        header.extend(text.as_bytes());
    }
    header
}

/// A length of 7 bits and more.
fn length(length: usize, out: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        out.push(u8::try_from(length).unwrap());
        return;
    };
    out.push(127);
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

fn request(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    request_for(PATH, method, more)
}

fn request_for(path: &str, method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let head = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a"),
    ];
    let headers = head.iter().chain(more);
    headers
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

/// A connection with HTTP/2 on it.
async fn connect(door: &Door) -> TcpStream {
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

/// Sends frames until the connection is ended, and answers the kinds of those that came back. None where it is not.
async fn ended_by(stream: TcpStream, frames: impl Iterator<Item = Vec<u8>>) -> Option<Vec<u8>> {
    let (mut answers, mut sending) = stream.into_split();
    // Read meanwhile, or neither could send any more.
    let read = tokio::spawn(async move {
        let mut all = Vec::new();
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = answers.read(&mut buffer).await {
            all.extend_from_slice(&buffer[..read]);
        }
        all
    });
    for frame in frames {
        if read.is_finished() || sending.write_all(&frame).await.is_err() {
            break;
        }
    }
    let all = timeout(Duration::from_secs(5), read).await.ok()?.unwrap();
    let (mut kinds, mut rest) = (Vec::new(), all.as_slice());
    while let [a, b, c, kind, ..] = *rest {
        kinds.push(kind);
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    Some(kinds)
}

/// Whether the connection is ended within these frames, and that is said.
async fn is_ended_by(stream: TcpStream, frames: impl Iterator<Item = Vec<u8>>) -> bool {
    let kinds = ended_by(stream, frames).await;
    kinds.is_some_and(|kinds| kinds.contains(&GO_AWAY))
}

/// What comes back of one stream or the connection: kinds of frames.
async fn kinds(stream: &mut TcpStream) -> Vec<u8> {
    let mut kinds = Vec::new();
    let mut head = [0; 9];
    while let Ok(Ok(_)) = timeout(Duration::from_millis(500), stream.read_exact(&mut head)).await {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        kinds.push(head[3]);
    }
    kinds
}

#[tokio::test]
async fn a_request_over_http2_is_as_one_over_http1() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let stream = TokioIo::new(TcpStream::connect(door.address).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{}{PATH}", door.address))
        .header("authorization", format!("Bearer {}", door.reader()))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    assert_eq!(behind.asked()[0]["path"], PATH);
}

/// CVE-2023-44487: a stream is opened and reset at once, over and over.
#[tokio::test]
async fn streams_that_are_reset_as_soon_as_they_are_opened_end_the_connection() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let token = format!("Bearer {}", door.reader());
    let block = request("GET", &[("authorization", &token)]);
    let frames = (0..20_000_u32).map(|number| {
        let stream = number * 2 + 1;
        let mut both = frame(HEADERS, HEADERS_END | DATA_END, stream, &block);
        both.extend(frame(RESET, 0, stream, &8_u32.to_be_bytes()));
        both
    });
    let is_ended = is_ended_by(connect(&door).await, frames).await;
    assert!(is_ended, "{} requests got through", behind.asked().len());
    assert_eq!(door.get(PATH).await.0, 200);
}

/// CVE-2025-8671: it is the server that is made to reset streams.
#[tokio::test]
async fn streams_that_the_server_is_made_to_reset_end_the_connection() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let block = request("POST", &[]);
    let frames = (0..5_000_u32).map(|number| {
        let stream = number * 2 + 1;
        let mut both = frame(HEADERS, HEADERS_END, stream, &block);
        both.extend(frame(WINDOW, 0, stream, &0_u32.to_be_bytes()));
        both
    });
    assert!(is_ended_by(connect(&door).await, frames).await);
    assert_eq!(door.get(PATH).await.0, 200);
}

/// CVE-2024-27316.
#[tokio::test]
async fn headers_without_an_end_end_the_connection() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let first = frame(HEADERS, DATA_END, 1, &request("GET", &[]));
    let more = (0..20_000).map(|number| {
        frame(
            CONTINUATION,
            0,
            1,
            &literal("x", &format!("{number:0>1000}")),
        )
    });
    assert!(is_ended_by(connect(&door).await, [first].into_iter().chain(more)).await);
    assert!(behind.asked().is_empty());
    assert_eq!(door.get(PATH).await.0, 200);
}

/// A header that was said once is said ten thousand times by a byte each.
#[tokio::test]
async fn headers_that_grow_when_they_are_read_are_refused() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    // Of somebody who may ask: nothing but its size keeps it from the service.
    let token = format!("Bearer {}", door.reader());
    let mut block = request("GET", &[("authorization", &token)]);
    block.extend([0x40, 1, b'x']);
    length(3_000, &mut block);
    block.extend([b'a'; 3_000]);
    // The first of the table that grows.
    block.extend([0xbe; 10_000]);
    let mut stream = connect(&door).await;
    stream
        .write_all(&frame(HEADERS, HEADERS_END | DATA_END, 1, &block))
        .await
        .unwrap();
    let kinds = kinds(&mut stream).await;
    assert!(
        kinds
            .iter()
            .any(|kind| [RESET, GO_AWAY, HEADERS].contains(kind)),
        "{kinds:?}"
    );
    assert!(behind.asked().is_empty());
    assert_eq!(door.get(PATH).await.0, 200);
}

#[tokio::test]
async fn what_http1_would_read_as_something_else_does_not_get_there() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let token = format!("Bearer {}", door.reader());
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("Upper-Case", "a"),
        ("x", "a\r\ny: b"),
        ("x\r\ny", "a"),
        ("host", "evil"),
    ] {
        let block = request("GET", &[("authorization", &token), (name, value)]);
        let mut stream = connect(&door).await;
        stream
            .write_all(&frame(HEADERS, HEADERS_END | DATA_END, 1, &block))
            .await
            .unwrap();
        let kinds = kinds(&mut stream).await;
        assert!(
            kinds
                .iter()
                .any(|kind| [RESET, GO_AWAY, HEADERS].contains(kind)),
            "{name}: {kinds:?}"
        );
        assert!(behind.asked().is_empty(), "{name}: {:?}", behind.asked());
    }
}

/// Behind a proxy many clients share a connection. One of them takes nothing of its answer, and the others are not broken off: the
/// proxy is told to go on with another connection, and what has begun on this one is answered.
#[tokio::test]
async fn one_client_of_a_proxy_that_stalls_does_not_break_off_the_others() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let token = format!("Bearer {}", door.reader());
    let get = |stream: u32, path: &str| {
        let block = request_for(path, "GET", &[("authorization", &token)]);
        frame(HEADERS, HEADERS_END | DATA_END, stream, &block)
    };
    let (mut answers, mut sending) = connect(&door).await.into_split();
    // The connection has a window of its own, and that one does not fill it.
    let mut first = frame(WINDOW, 0, 0, &1_000_000_u32.to_be_bytes());
    first.extend(get(1, LARGE));
    sending.write_all(&first).await.unwrap();
    let is_told = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_told);
    let read = tokio::spawn(async move {
        let (mut gone, mut ended) = (None, BTreeSet::new());
        let mut head = [0; 9];
        while answers.read_exact(&mut head).await.is_ok() {
            let [a, b, c, kind, flags, id @ ..] = head;
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let mut payload = vec![0; length];
            if answers.read_exact(&mut payload).await.is_err() {
                break;
            }
            match kind {
                GO_AWAY => {
                    gone = gone.or_else(|| Some(ended.clone()));
                    told.store(true, Ordering::SeqCst);
                }
                DATA | HEADERS if flags & DATA_END != 0 => {
                    ended.insert(u32::from_be_bytes(id));
                }
                _ => {}
            }
        }
        (gone, ended)
    });
    // One after the other, so that there are some under way whenever it is told to go.
    let mut begun = BTreeSet::new();
    for number in 1_u32.. {
        if is_told.load(Ordering::SeqCst) || read.is_finished() {
            break;
        }
        let stream = 2 * number + 1;
        sending.write_all(&get(stream, "/v1/stream")).await.unwrap();
        begun.insert(stream);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(number < 400, "nobody minds the one that stalls");
    }
    let (before, ended) = timeout(PATIENCE, read).await.unwrap().unwrap();
    let before = before.expect("it is told to go");
    let last = before.last().copied().unwrap_or_default();
    let under_way = ended.iter().filter(|stream| **stream > last).count();
    assert!(under_way >= 3, "{before:?}, then {ended:?} of {begun:?}");
    assert_eq!(ended, begun, "broken off");
    assert!(!ended.contains(&1));
}

/// Each costs its sender a few bytes, and the door an answer: no request is counted by it, and no connection is idle.
#[tokio::test]
async fn whoever_floods_with_pings_or_settings_is_told_to_go_and_keeps_nobody_waiting() {
    let behind = Behind::start().await;
    // Without a request a connection is idle, and closed for that as well; but not soon, here.
    let file = FILE.replace("header_ms = 700", "header_ms = 60000");
    let door = Door::with(&file, &[("balances", &[("one", behind.address)])]).await;
    for (kind, payload) in [
        (PING, &[0_u8; 8][..]),
        (SETTINGS, &[0, 4, 0, 0, 0xff, 0xff][..]),
    ] {
        let flood = frame(kind, 0, 0, payload).repeat(1_000);
        // Ten times as many as may come.
        let frames = || std::iter::repeat_n(flood.clone(), 5_000);
        let flooding = tokio::spawn(ended_by(connect(&door).await, frames()));
        for _ in 0..20 {
            let began = Instant::now();
            assert_eq!(door.get(PATH).await.0, 200);
            assert!(began.elapsed() < PATIENCE);
        }
        let ended = timeout(PATIENCE, flooding).await.unwrap().unwrap();
        let mut told = ended.unwrap_or_else(|| panic!("{kind}: it is still open"));
        // That it shall go is not waited for: where the answers to the flood fill the way there, it is closed without.
        let deadline = Instant::now() + PATIENCE;
        while !told.contains(&GO_AWAY) {
            assert!(Instant::now() < deadline, "{kind}: it is never said");
            let ended = ended_by(connect(&door).await, frames()).await;
            told = ended.unwrap_or_else(|| panic!("{kind}: it is still open"));
        }
    }
    // Whoever asks now and then is none that floods.
    let mut stream = connect(&door).await;
    stream
        .write_all(&frame(PING, 0, 0, &[0; 8]).repeat(100))
        .await
        .unwrap();
    assert!(!kinds(&mut stream).await.contains(&GO_AWAY));
}

/// Requests without their bodies, over a few connections: each holds a place for as long as a body may take.
#[tokio::test]
async fn one_client_does_not_take_all_places() {
    let behind = Behind::start().await;
    let one = [("one", behind.address)];
    let file = FILE.replace("[bounds]", "[bounds]\nrequests = 16");
    let file = file.replace("body_ms = 700", "body_ms = 20000");
    let file = file.replace("header_ms = 700", "header_ms = 20000");
    let door = Door::with(&file, &[("balances", &one)]).await;
    let block = request_for(
        "/v1/unkeyed",
        "POST",
        &[("authorization", &format!("Bearer {}", door.writer()))],
    );
    let mut connections = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&door).await;
        for number in 0..4 {
            let begun = frame(HEADERS, HEADERS_END, 2 * number + 1, &block);
            stream.write_all(&begun).await.unwrap();
        }
        connections.push(stream);
    }
    // Half of them wait for their bodies. The others are answered.
    let mut refused = 0;
    for stream in &mut connections {
        let kinds = kinds(stream).await;
        refused += kinds.iter().filter(|kind| **kind == HEADERS).count();
    }
    assert_eq!(refused, 8);
    let (status, body) = door.get(PATH).await;
    assert_eq!((status, &body["code"]), (429, &json!("too_many_at_once")));
    let elsewhere = reqwest::Client::builder()
        .no_proxy()
        .local_address("127.0.0.2".parse::<std::net::IpAddr>().unwrap());
    let request = elsewhere
        .build()
        .unwrap()
        .get(format!("http://{}{PATH}", door.address));
    let bob = door.issuer.issue(
        &"bob".parse().unwrap(),
        &["ledger:read".parse().unwrap()].into(),
        Duration::from_secs(60),
    );
    assert_eq!(answer(request.bearer_auth(bob.unwrap())).await.0, 200);
    drop(connections);
}
