//! Connections on which nothing is asked any more, and what they take of memory.

use crate::load::Target;
use crate::server::{Server, files_max};
use crate::steady::{Connection, request};

/// How many there shall be.
const WANTED: u64 = 10_000;
/// Files that are needed for other things.
const OTHER_FILES: u64 = 512;

/// What connections took.
#[derive(Debug)]
pub(crate) struct Held {
    /// How many were open to the end.
    pub(crate) open: usize,
    /// Resident memory without them, and with them.
    pub(crate) before_kib: u64,
    pub(crate) with_kib: u64,
}

impl Held {
    pub(crate) fn kib_each(&self) -> f64 {
        (self.with_kib - self.before_kib) as f64 / self.open as f64
    }
}

/// Asks once on each, holds all, and asks each once more, to see that it was kept.
pub(crate) fn hold(server: &Server, target: &Target) -> Held {
    let request = request(target);
    // What a process takes at its first request is not for the connection.
    Connection::open(target).ask(&request).unwrap();
    let before_kib = server.resident_kib();
    let connections = WANTED.min(files_max() - OTHER_FILES);
    let mut all: Vec<Connection> = (0..connections)
        .map(|_| {
            let mut connection = Connection::open(target);
            connection.ask(&request).unwrap();
            connection
        })
        .collect();
    let with_kib = server.resident_kib();
    let kept = all
        .iter_mut()
        .filter_map(|connection| connection.ask(&request).ok());
    Held {
        open: kept.count(),
        before_kib,
        with_kib,
    }
}
