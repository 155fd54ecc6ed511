//! Where answers go, whoever may have stopped reading.

use std::io::{self, Write};

/// Where answers go. A reader who has seen enough is no failure, and what is left goes nowhere: what a command has found is told by its
/// exit code as well. Another failure is one, such as a disk that is full.
#[derive(Debug)]
pub struct Answers<W>(pub W);

impl<W: Write> Write for Answers<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_who_has_gone_is_told_from_a_disk_that_is_full() {
        let mut gone = Answers(Fails(io::ErrorKind::BrokenPipe));
        writeln!(gone, "checked").unwrap();
        gone.flush().unwrap();
        let mut full = Answers(Fails(io::ErrorKind::StorageFull));
        assert!(writeln!(full, "checked").is_err());
        assert!(full.flush().is_err());
        json(&mut gone.0, &["found"]).unwrap();
        assert!(json(&mut full.0, &["found"]).is_err());
    }
}
