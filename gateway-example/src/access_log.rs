//! The log of all requests, which is written a few milliseconds later, many lines at a time.
//!
//! To write each line by itself is a call of the system for each request. Lines wait here for a moment instead, for so many bytes and
//! no more: when there is no room, whoever brings a line writes those that wait, and waits for that. So none is lost, but for those of
//! the last moment where the process is killed, and those that cannot be written, which are counted in the metric
//! `folio_gateway_log_lines_lost_total`.
//!
//! It has a way of its own, beside `tracing`: a line that goes through a subscriber, field by field, was the most costly single thing
//! that the gateway did for a request.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::access_record::AccessRecord;

/// How long lines wait for others.
const GATHERED: Duration = Duration::from_millis(5);
/// Bytes that wait before another line has to wait itself.
const WAITING_MAX: usize = 256 * 1_024;

/// Writes a line of JSON for each request. Clones write to the same log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
}

struct Shared {
    // Locked before those that wait are taken out, so that they are written in their order.
    to: Mutex<Box<dyn Write + Send>>,
    waiting: Mutex<Vec<u8>>,
    some_wait: Condvar,
}

impl AccessLog {
    /// Writes to this, whole lines and then a flush, on a thread of its own. Whoever ends the process [writes what still
    /// waits](Self::write_out) before.
    ///
    /// # Errors
    ///
    /// When there is no room for a thread.
    pub fn start(to: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            to: Mutex::new(Box::new(to)),
            waiting: Mutex::default(),
            some_wait: Condvar::new(),
        });
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new().name("access-log".to_owned());
        thread.spawn(move || {
            loop {
                writing.gather();
                writing.write_out();
            }
        })?;
        Ok(Self { shared })
    }

    /// Puts this on record.
    pub(crate) fn record(&self, record: &AccessRecord<'_>) {
        let mut waiting = self.shared.waiting();
        while waiting.len() > WAITING_MAX {
            drop(waiting);
            self.write_out();
            waiting = self.shared.waiting();
        }
        let is_first = waiting.is_empty();
        // Where all lines wait: one that is made elsewhere is copied there.
        record.write_line(&mut waiting);
        drop(waiting);
        if is_first {
            self.shared.some_wait.notify_one();
        }
    }

    /// Writes the lines that still wait.
    pub fn write_out(&self) {
        self.shared.write_out();
    }
}

impl Shared {
    fn write_out(&self) {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut *self.waiting());
        if to.write_all(&lines).and_then(|()| to.flush()).is_err() {
            let lost = lines.iter().filter(|byte| **byte == b'\n').count();
            let lost = u64::try_from(lost).unwrap_or(u64::MAX);
            metrics::counter!("folio_gateway_log_lines_lost_total").increment(lost);
        }
        let mut waiting = self.waiting();
        // Their room serves the next ones.
        if waiting.is_empty() {
            *waiting = lines;
            waiting.clear();
        }
    }

    /// Waits for a line, and a moment longer for others.
    fn gather(&self) {
        let waiting = self.waiting();
        let some = self
            .some_wait
            .wait_while(waiting, |waiting| waiting.is_empty());
        let some = some.unwrap_or_else(PoisonError::into_inner);
        let others = self
            .some_wait
            .wait_timeout_while(some, GATHERED, |some| !some.is_empty());
        drop(others.unwrap_or_else(PoisonError::into_inner));
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<u8>> {
        // What panics under this lock is no more than a line that is not whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// What was written, with each write by itself.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn record(number: u64) -> AccessRecord<'static> {
        AccessRecord {
            time: "2026-11-30T12:00:00.123456Z".into(),
            correlation_id: Uuid::from_u128(7),
            method: "GET".into(),
            route: "/v1/accounts/{*rest}".into(),
            status: 200,
            code: None,
            peer: "192.0.2.7".into(),
            principal: Some("a \"b\" \\c\n".into()),
            service: Some("balances".into()),
            instances: vec!["balances-1".into(), "balances-2".into()],
            elapsed_us: number,
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let written = Written::default();
        let log = AccessLog::start(written.clone()).unwrap();
        log.record(&record(u64::MAX));
        log.write_out();
        let line = String::from_utf8(written.0.lock().unwrap().concat()).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        let read: AccessRecord<'_> = serde_json::from_str(&line).unwrap();
        assert_eq!(read, record(u64::MAX));
    }

    #[test]
    fn every_line_is_written_in_its_order_and_none_by_itself() {
        let written = Written::default();
        let log = AccessLog::start(written.clone()).unwrap();
        // More than may wait.
        for number in 0..30_000 {
            log.record(&record(number));
            let waiting = log.shared.waiting().len();
            assert!(waiting <= WAITING_MAX + 512, "{waiting} bytes wait");
        }
        log.write_out();
        let writes = written.0.lock().unwrap();
        let text = String::from_utf8(writes.concat()).unwrap();
        let read: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<AccessRecord<'_>>(line).unwrap())
            .map(|record| record.elapsed_us)
            .collect();
        assert_eq!(read, (0..30_000).collect::<Vec<u64>>());
        assert!(writes.len() < 3_000, "{} writes", writes.len());
    }

    #[test]
    fn a_line_that_nobody_follows_is_written_too() {
        let written = Written::default();
        let log = AccessLog::start(written.clone()).unwrap();
        log.record(&record(1));
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while written.0.lock().unwrap().is_empty() {
            assert!(std::time::Instant::now() < deadline);
            thread::yield_now();
        }
    }
}
