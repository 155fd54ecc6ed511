//! The program `folio-verify`: checks a bundle of events or a receipt. It needs that file and the public key of the log, and no network and
//! no database.

mod args;
mod read;

use std::io::{self, Write};
use std::process::ExitCode;

use self::args::Args;
use self::read::{ReadError, is_input, read};
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
    let verdict = tell(&answer, io::stdout(), io::stderr());
    ExitCode::from(verdict.exit_code())
}

/// Writes the answer. Who has not got it shall not go on as if it were a good one, but whoever has closed the pipe wants no more
/// of it.
fn tell(answer: &Answer, out: impl Write, remarks: impl Write) -> Verdict {
    let written = write_all(out, &answer.output);
    match written.and(write_all(remarks, &answer.remarks)) {
        Ok(()) => answer.verdict,
        Err(_) => Verdict::Unusable,
    }
}

fn write_all(mut to: impl Write, text: &str) -> io::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn answer(args: Args) -> Result<Answer, ReadError> {
    let kept = args.since.as_deref();
    if is_input(&args.evidence) && kept.is_some_and(is_input) {
        return Err(ReadError::Twice);
    }
    let question = Question {
        form: args.form(),
        kept: kept.map(read).transpose()?,
        keys: args.keys,
        origin: args.origin,
    };
    Ok(question.answer(&read(&args.evidence)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing.
    struct Refuses(io::ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_changes_no_answer_and_a_full_disk_does() {
        for verdict in [Verdict::Verified, Verdict::Refused, Verdict::Unusable] {
            let answer = Answer {
                verdict,
                output: "VERIFIED\n".to_owned(),
                remarks: "remarks\n".to_owned(),
            };
            let closed = || Refuses(io::ErrorKind::BrokenPipe);
            assert_eq!(tell(&answer, io::sink(), io::sink()), verdict);
            assert_eq!(tell(&answer, closed(), io::sink()), verdict);
            assert_eq!(tell(&answer, io::sink(), closed()), verdict);
            let full = Refuses(io::ErrorKind::StorageFull);
            assert_eq!(tell(&answer, full, io::sink()), Verdict::Unusable);
        }
    }

    #[test]
    fn standard_input_is_not_read_twice() {
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let args = ["folio-verify", "-", "--since", "-", "--key", key];
        let refused = answer(Args::try_parse_from(args).unwrap()).unwrap_err();
        assert!(matches!(refused, ReadError::Twice), "{refused}");
    }
}
