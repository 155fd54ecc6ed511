//! What the program prints, whoever may have stopped reading.
//!
//! `println!` panics where nobody reads any more, as behind `| head`: a command would fail that did not, and in the midst of what
//! it does, so that PostgreSQL runs on.

use std::fmt::Display;
use std::io::{self, Write as _};

use folio_operator::Answers;
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

/// An answer did not get to where it should go.
#[derive(Debug, Error)]
#[error("the answer cannot be written")]
pub struct OutputError(#[source] io::Error);
