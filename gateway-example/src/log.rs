//! A log that is written a few milliseconds later, many lines at a time.
//!
//! To write each line by itself is a call of the system for each request. Lines wait here for a moment instead, for so many bytes and
//! no more: when there is no room, whoever brings a line writes those that wait, and waits for that. So none is lost, but for those of
//! the last moment where the process is killed, and those that cannot be written, which are counted in the metric
//! `folio_gateway_log_lines_lost_total`.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long lines wait for others.
const GATHERED: Duration = Duration::from_millis(5);
/// Bytes that wait at most.
const WAITING_MAX: usize = 256 * 1_024;

/// Takes whole lines, one with each write. Clones write to the same log.
#[derive(Debug, Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    // Locked before those that wait are taken out, so that they are written in their order.
    to: Mutex<Box<dyn Write + Send>>,
    waiting: Mutex<Vec<u8>>,
    some_wait: Condvar,
}

impl Log {
    /// Writes to this, on a thread of its own. Whoever ends the process [writes what still waits](Self::write_out) before.
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
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || {
            loop {
                writing.gather();
                writing.write_out();
            }
        })?;
        Ok(Self { shared })
    }

    /// Writes the lines that still wait.
    pub fn write_out(&self) {
        self.shared.write_out();
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.shared.waiting();
        while !waiting.is_empty() && waiting.len().saturating_add(line.len()) > WAITING_MAX {
            drop(waiting);
            self.write_out();
            waiting = self.shared.waiting();
        }
        let is_first = waiting.is_empty();
        waiting.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.shared.some_wait.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
        // Nothing panics under this lock.
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

    #[test]
    fn every_line_is_written_in_its_order_and_none_by_itself() {
        let written = Written::default();
        let log = Log::start(written.clone()).unwrap();
        // More than may wait.
        let lines: Vec<String> = (0..30_000)
            .map(|number| format!("line {number}\n"))
            .collect();
        let mut writer = log.clone();
        for line in &lines {
            writer.write_all(line.as_bytes()).unwrap();
            let waiting = log.shared.waiting().len();
            assert!(waiting <= WAITING_MAX, "{waiting} bytes wait");
        }
        log.write_out();
        let writes = written.0.lock().unwrap();
        assert_eq!(writes.concat(), lines.concat().into_bytes());
        assert!(writes.len() < 3_000, "{} writes", writes.len());
    }

    #[test]
    fn a_line_that_nobody_follows_is_written_too() {
        let written = Written::default();
        let mut log = Log::start(written.clone()).unwrap();
        log.write_all(b"one\n").unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while written.0.lock().unwrap().concat() != b"one\n" {
            assert!(std::time::Instant::now() < deadline);
            thread::yield_now();
        }
    }
}
