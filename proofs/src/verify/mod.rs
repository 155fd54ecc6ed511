//! The program `folio-verify`: checks a bundle of events or a receipt. It needs that file and the public key of the log, and no network and
//! no database.

mod args;
mod read;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use self::args::Args;
use self::read::{ReadError, read};
use crate::answer::{Answer, Question, Verdict};
use clap::Parser as _;

/// Runs the program: 0 when what it is given is verified, 1 when it is refused, 2 when it was not checked.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let answer = answer(args).unwrap_or_else(|error| Answer {
        verdict: Verdict::Unusable,
        output: String::new(),
        remarks: format!("NOT CHECKED: {error}\n"),
    });
    let written = io::stdout().write_all(answer.output.as_bytes());
    let told = io::stderr().write_all(answer.remarks.as_bytes());
    // Who has not got the answer shall not go on as if it were a good one.
    match written.and(told) {
        Ok(()) => ExitCode::from(answer.verdict.exit_code()),
        Err(_) => ExitCode::from(Verdict::Unusable.exit_code()),
    }
}

fn answer(args: Args) -> Result<Answer, ReadError> {
    let kept = args.since.as_deref().map(Path::new).map(read);
    let question = Question {
        form: args.form(),
        kept: kept.transpose()?,
        keys: args.keys,
        origin: args.origin,
    };
    Ok(question.answer(&read(&args.evidence)?))
}
