//! Requests at times that are fixed before, however late the answers are.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{Target, seconds};

/// Between one request and the next: a thousand a second.
const EACH: Duration = Duration::from_millis(1);
const A_SECOND: u32 = 1_000;
/// Connections that take turns: as long as an answer takes less than their number in milliseconds, nobody waits for it.
const CONNECTIONS: u32 = 32;
const START: Duration = Duration::from_millis(100);

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    pub(crate) fn open(target: &Target) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", target.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Asks, and reads the answer to its end.
    pub(crate) fn ask(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(request)?;
        let (mut buffer, mut length) = ([0; 4_096], 0);
        while !is_whole(&buffer[..length]) {
            let read = self.stream.read(&mut buffer[length..])?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            length += read;
        }
        Ok(())
    }
}

/// How long answers took, from the least to the most: each from when its request was due.
pub(crate) fn latencies(target: &Target) -> Vec<Duration> {
    let request = request(target);
    // Connections are made, and pools filled, in the first second.
    let last = A_SECOND * (u32::try_from(seconds()).unwrap() + 1);
    let start = Instant::now() + START;
    let turns = |first: u32| {
        let (mut connection, mut took) = (Connection::open(target), Vec::new());
        for number in (first..last).step_by(CONNECTIONS.try_into().unwrap()) {
            let due = start + EACH * number;
            until(due);
            connection.ask(&request).unwrap();
            if number >= A_SECOND {
                took.push(due.elapsed());
            }
        }
        took
    };
    let mut all: Vec<Duration> = thread::scope(|scope| {
        let asking: Vec<_> = (0..CONNECTIONS)
            .map(|first| scope.spawn(move || turns(first)))
            .collect();
        let took = asking.into_iter().map(|asking| asking.join().unwrap());
        took.flatten().collect()
    });
    all.sort_unstable();
    all
}

/// As it is sent.
pub(crate) fn request(target: &Target) -> Vec<u8> {
    let authorization = target.authorization.as_ref();
    let authorization = authorization.map(|value| format!("authorization: {value}\r\n"));
    format!(
        "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}\r\n",
        target.path,
        target.port,
        authorization.unwrap_or_default()
    )
    .into_bytes()
}

fn until(due: Instant) {
    // Whoever is woken too early waits again.
    while let Some(left) = due.checked_duration_since(Instant::now()) {
        if left.is_zero() {
            break;
        }
        thread::park_timeout(left);
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let answer = std::str::from_utf8(answer).unwrap();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    body.len() >= length.unwrap().1.parse().unwrap()
}
