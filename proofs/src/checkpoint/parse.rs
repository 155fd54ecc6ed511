//! Reads the text of a checkpoint, so strictly that it is written again the same.

use std::fmt;
use std::iter::Peekable;
use std::str::{FromStr, Split};

use thiserror::Error;

use super::lines::{MAP, SEALED_AT, THROUGH, Through, first_word};
use super::{Checkpoint, Hash};

/// A text that is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("line {line} of the checkpoint is wrong: {fault}")]
pub struct ParseCheckpointError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: CheckpointFault,
}

/// What is wrong with a line of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// The last line is not ended.
    #[error("it does not end in a newline, the text was cut off")]
    NoNewline,
    /// The first line.
    #[error("it should name the log in a line of text")]
    Origin,
    /// The second line.
    #[error("it should be the number of leaves, in decimal without leading zeros")]
    Size,
    /// The third line.
    #[error("it should be the root of the log, 32 bytes in base64")]
    Root,
    /// The line with the root of the map.
    #[error("it should be `{MAP}`, a space and 32 bytes in base64")]
    Map,
    /// The line that says up to where the store is in the log.
    #[error(
        "it should be `{THROUGH}`, a position and the number of an outcome, with a space between two"
    )]
    Through,
    /// The line with the time.
    #[error("it should be `{SEALED_AT}`, a space and the microseconds since 1970")]
    SealedAt,
    /// A line behind those that are known.
    #[error(
        "it is empty, or stands twice or at another place than it should: {MAP}, {THROUGH}, {SEALED_AT}, others"
    )]
    Extension,
}

struct Lines<'a> {
    rest: Peekable<Split<'a, char>>,
    /// Of the next line, from 1.
    number: usize,
}

pub(super) fn parse(text: &str) -> Result<Checkpoint, ParseCheckpointError> {
    let mut lines = Lines::of(text)?;
    Ok(Checkpoint {
        origin: lines.next(CheckpointFault::Origin, |line| line.parse().ok())?,
        size: lines.next(CheckpointFault::Size, decimal)?,
        root: lines.next(CheckpointFault::Root, Hash::from_base64)?,
        map_root: lines.next_if(MAP, CheckpointFault::Map, Hash::from_base64)?,
        through: lines.next_if(THROUGH, CheckpointFault::Through, Through::parse)?,
        sealed_at_micros: lines.next_if(SEALED_AT, CheckpointFault::SealedAt, decimal)?,
        extensions: lines.all(CheckpointFault::Extension)?,
    })
}

/// The number that is written like this, and in no other way.
pub(crate) fn decimal<T: FromStr + fmt::Display>(text: &str) -> Option<T> {
    let number: T = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Result<Self, ParseCheckpointError> {
        let fault = CheckpointFault::NoNewline;
        let line = text.split('\n').count();
        let body = text.strip_suffix('\n');
        let body = body.ok_or(ParseCheckpointError { line, fault })?;
        let rest = body.split('\n').peekable();
        Ok(Self { rest, number: 1 })
    }

    /// Reads the next line, which there must be.
    fn next<T>(
        &mut self,
        fault: CheckpointFault,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, ParseCheckpointError> {
        let line = self.number;
        self.number += 1;
        let value = self.rest.next().and_then(read);
        value.ok_or(ParseCheckpointError { line, fault })
    }

    /// Reads what stands behind this word, if the next line begins with it.
    fn next_if<T>(
        &mut self,
        word: &str,
        fault: CheckpointFault,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, ParseCheckpointError> {
        let begins = |line: &&str| first_word(line) == word;
        if !self.rest.peek().is_some_and(begins) {
            return Ok(None);
        }
        let behind = |line: &'a str| line.strip_prefix(word)?.strip_prefix(' ').and_then(read);
        self.next(fault, behind).map(Some)
    }

    /// Reads all lines that are left.
    fn all<T: FromStr>(mut self, fault: CheckpointFault) -> Result<Vec<T>, ParseCheckpointError> {
        let mut all = Vec::new();
        while self.rest.peek().is_some() {
            all.push(self.next(fault, |line| line.parse().ok())?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    fn refused(text: &str) -> (usize, CheckpointFault) {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(&format!("line {}", error.line)));
        (error.line, error.fault)
    }

    #[test]
    fn a_checkpoint_of_another_log_is_read() {
        let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
        let checkpoint = parse(&text).unwrap();
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.root.to_string(), ROOT);
        assert_eq!(checkpoint.map_root, None);
        assert_eq!(checkpoint.to_text(), text);
    }

    #[test]
    fn a_number_is_written_in_one_way() {
        for size in [
            "",
            "-1",
            "+1",
            "01",
            "00",
            " 1",
            "1 ",
            "0x1",
            "18446744073709551616",
            "1e3",
        ] {
            let text = format!("log\n{size}\n{ROOT}\n");
            assert_eq!(refused(&text), (2, CheckpointFault::Size), "{size:?}");
        }
        for size in [0, u64::MAX] {
            assert_eq!(parse(&format!("log\n{size}\n{ROOT}\n")).unwrap().size, size);
        }
    }

    #[test]
    fn every_line_that_is_wrong_is_named() {
        use CheckpointFault as Fault;
        let behind = |lines: &str| refused(&format!("log\n1\n{ROOT}\n{lines}"));
        assert_eq!(refused(""), (1, Fault::NoNewline));
        assert_eq!(refused("\n"), (1, Fault::Origin));
        assert_eq!(refused("lo\rg\n1\n"), (1, Fault::Origin));
        assert_eq!(refused("log\n"), (2, Fault::Size));
        assert_eq!(refused("log\n1\n"), (3, Fault::Root));
        assert_eq!(refused("log\n1\nCsUY\n"), (3, Fault::Root));
        assert_eq!(refused(&format!("log\n1\n{ROOT}")), (3, Fault::NoNewline));
        assert_eq!(refused(&format!("log\n1\n{ROOT} \n")), (3, Fault::Root));
        // The last bits of the base64 are not of the hash.
        let loose = ROOT.replacen("2I=", "2J=", 1);
        assert_eq!(refused(&format!("log\n1\n{loose}\n")), (3, Fault::Root));
        assert_eq!(behind("\n"), (4, Fault::Extension));
        assert_eq!(behind("a\n\nb\n"), (5, Fault::Extension));
        assert_eq!(behind("a\nb"), (5, Fault::NoNewline));
        assert_eq!(behind("folio-map\n"), (4, Fault::Map));
        assert_eq!(behind("folio-map  CsUY\n"), (4, Fault::Map));
        for numbers in ["", "1", "1 ", "1 2 3", "1  2", "01 2", "-1 2", "1 -2"] {
            let line = format!("folio-through {numbers}\n");
            assert_eq!(behind(&line), (4, Fault::Through), "{line}");
        }
        assert_eq!(behind("folio-sealed-at -0\n"), (4, Fault::SealedAt));
    }

    #[test]
    fn known_lines_stand_once_and_in_order_before_others() {
        let behind = |lines: &str| parse(&format!("log\n1\n{ROOT}\n{lines}"));
        assert!(behind("folio-through 1 2\nfolio-sealed-at 3\nelse\nmore\n").is_ok());
        for lines in [
            "folio-sealed-at 3\nfolio-through 1 2\n",
            "folio-through 1 2\nfolio-through 1 2\n",
            "else\nfolio-through 1 2\n",
        ] {
            let refused = behind(lines).unwrap_err();
            assert_eq!(
                (refused.line, refused.fault),
                (5, CheckpointFault::Extension)
            );
        }
    }
}
