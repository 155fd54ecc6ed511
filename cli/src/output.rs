//! What the program prints, whoever may have stopped reading.
//!
//! `println!` panics where nobody reads any more, as behind `| head`: a command would fail that did not, and in the midst of what
//! it does, so that PostgreSQL runs on.

use std::fmt::Display;
use std::io::{self, Write};

use thiserror::Error;

/// Writes a line on standard output for whoever looks. Nothing depends on it, so that nobody can read it is no reason to end.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The same on standard error, beside an answer.
pub(crate) fn remark(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a line of what was asked for.
pub(crate) fn answer(line: impl Display) -> Result<(), OutputError> {
    writeln!(Answers(io::stdout()), "{line}").map_err(OutputError)
}

/// Where answers go. A reader who has seen enough is no failure, and what is left goes nowhere: what a command has found is told by its
/// exit code as well. Another failure is one, such as a disk that is full.
#[derive(Debug)]
pub(crate) struct Answers<W>(pub(crate) W);

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

/// An answer did not get to where it should go.
#[derive(Debug, Error)]
#[error("the answer cannot be written")]
pub struct OutputError(#[source] io::Error);

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
