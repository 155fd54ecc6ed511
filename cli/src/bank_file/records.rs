//! The records of a CSV file, each with the line that it starts on.
//!
//! The csv crate's own line numbers are one too small after lines that end in CR LF, and name the
//! blank line before a record instead of its own. Therefore the bytes are watched on their way into
//! the crate, and a record's line is looked up by its place in the file.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use csv::ByteRecord;

use super::BankFileError;

/// Reads a CSV file record by record. Blank lines are passed over.
pub(super) struct Records<R> {
    reader: csv::Reader<RecordStarts<WithoutMark<R>>>,
    record: ByteRecord,
}

impl<R: io::Read> Records<R> {
    /// # Errors
    ///
    /// [`BankFileError::Read`].
    pub(super) fn new(input: R) -> Result<Self, BankFileError> {
        let input = without_mark(input).map_err(|error| BankFileError::Read {
            source: error.into(),
        })?;
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            // A record with too few or too many fields is one bad row, not the end of reading.
            .flexible(true)
            .from_reader(RecordStarts::new(input));
        Ok(Self {
            reader,
            record: ByteRecord::new(),
        })
    }

    /// The next record and the line it starts on, counted from 1; none at the end.
    ///
    /// # Errors
    ///
    /// [`BankFileError::Read`], and at the end [`BankFileError::UnclosedQuote`]: the record before
    /// it has then swallowed the rest of the file.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &ByteRecord)>, BankFileError> {
        let is_there = self
            .reader
            .read_byte_record(&mut self.record)
            .map_err(|source| BankFileError::Read { source })?;
        if !is_there {
            return match self.reader.get_ref().unclosed_quote() {
                Some(line) => Err(BankFileError::UnclosedQuote { line }),
                None => Ok(None),
            };
        }
        let offset = self.record.position().map_or(0, csv::Position::byte);
        Ok(Some((self.reader.get_mut().line_at(offset), &self.record)))
    }
}

/// Passes bytes through and notes where records start.
struct RecordStarts<R> {
    inner: R,
    /// Of the next byte.
    offset: u64,
    /// Of the next byte.
    line: u64,
    place: Place,
    last_byte: u8,
    /// Offset and line of the records that the reader has buffered but not asked about yet.
    starts: VecDeque<(u64, u64)>,
    last_start_line: u64,
}

/// Where in a record the next byte falls, by the rules of the csv crate.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    RecordStart,
    FieldStart,
    Field,
    Quoted,
    /// After a quote in a quoted field: its end, or the first half of a doubled quote.
    QuotedQuote,
}

impl<R> RecordStarts<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            offset: 0,
            line: 1,
            place: Place::RecordStart,
            last_byte: 0,
            starts: VecDeque::new(),
            last_start_line: 1,
        }
    }

    /// The line of the first record that starts at `offset` or after it: the reader counts what is
    /// left of line ends before a record as part of the record.
    fn line_at(&mut self, offset: u64) -> u64 {
        while let Some((start, line)) = self.starts.pop_front() {
            if start >= offset {
                return line;
            }
        }
        self.last_start_line
    }

    fn unclosed_quote(&self) -> Option<u64> {
        (self.place == Place::Quoted).then_some(self.last_start_line)
    }

    fn pass(&mut self, byte: u8) {
        if self.place == Place::RecordStart && !matches!(byte, b'\r' | b'\n') {
            self.starts.push_back((self.offset, self.line));
            self.last_start_line = self.line;
        }
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::QuotedQuote,
            (Place::Quoted, _) => Place::Quoted,
            (Place::RecordStart | Place::FieldStart | Place::QuotedQuote, b'"') => Place::Quoted,
            (_, b'\r' | b'\n') => Place::RecordStart,
            (_, b',') => Place::FieldStart,
            (_, _) => Place::Field,
        };
        // A line ends with LF, CR LF or CR, as in any editor.
        if byte == b'\r' || (byte == b'\n' && self.last_byte != b'\r') {
            self.line = self.line.saturating_add(1);
        }
        self.last_byte = byte;
        self.offset = self.offset.saturating_add(1);
    }
}

impl<R: io::Read> io::Read for RecordStarts<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        for byte in buffer.iter().take(length) {
            self.pass(*byte);
        }
        Ok(length)
    }
}

/// The start of the input, unless it is a byte order mark, and the rest of the input.
type WithoutMark<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// Takes a byte order mark off. The csv crate does so only if it gets the mark together with what
/// follows; a mark that comes alone, from a pipe, it takes for an empty file.
fn without_mark<R: io::Read>(mut input: R) -> io::Result<WithoutMark<R>> {
    let mut start = Vec::new();
    input.by_ref().take(3).read_to_end(&mut start)?;
    if start == BYTE_ORDER_MARK {
        start.clear();
    }
    Ok(io::Cursor::new(start).chain(input))
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

#[cfg(test)]
mod tests {
    use super::*;

    /// Records with the lines they start on; the fields of each are joined.
    type Lines<'a> = &'a [(u64, &'a str)];

    /// Hands out its bytes a few at a time, so that records lie across reads.
    struct Drip<'a>(&'a [u8], usize);

    impl io::Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            io::Read::read(&mut self.0, &mut buffer[..length])
        }
    }

    fn lines(input: impl io::Read) -> Result<Vec<(u64, String)>, BankFileError> {
        let mut records = Records::new(input)?;
        let mut lines = Vec::new();
        while let Some((line, record)) = records.next()? {
            let fields: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
            lines.push((line, fields.join("|")));
        }
        Ok(lines)
    }

    #[test]
    fn records_know_their_lines() {
        #[rustfmt::skip]
        let table: [(&str, &str, Lines<'_>); 13] = [
            ("nothing", "", &[]),
            ("blank lines only", "\n\r\n\n", &[]),
            ("LF", "a,b\n1,2\n3,4\n", &[(1, "a|b"), (2, "1|2"), (3, "3|4")]),
            ("no line end at the end", "a,b\n1,2", &[(1, "a|b"), (2, "1|2")]),
            ("CR LF", "a,b\r\n1,2\r\n3,4\r\n", &[(1, "a|b"), (2, "1|2"), (3, "3|4")]),
            ("CR", "a,b\r1,2\r3,4\r", &[(1, "a|b"), (2, "1|2"), (3, "3|4")]),
            ("blank lines", "\na\n\n\n1\n\n2", &[(2, "a"), (5, "1"), (7, "2")]),
            ("blank lines of CR LF", "a\r\n\r\n1\r\n\r\n\r\n2", &[(1, "a"), (3, "1"), (6, "2")]),
            ("line ends in quotes", "a\n\"1\n\r\n\"\n2\n", &[(1, "a"), (2, "1\n\r\n"), (5, "2")]),
            ("quotes in quotes", "a\n\"1\"\"\n\"\n2\n", &[(1, "a"), (2, "1\"\n"), (4, "2")]),
            ("quotes within a field", "a\n5\"\n6\n", &[(1, "a"), (2, "5\""), (3, "6")]),
            ("byte order mark alone", "\u{feff}", &[]),
            ("byte order mark", "\u{feff}\"a\nb\"\n1\n", &[(1, "a\nb"), (3, "1")]),
        ];
        for (kind, text, expected) in table {
            for step in [1, 2, 3, 5, 8_192] {
                let found = lines(Drip(text.as_bytes(), step)).unwrap();
                let found: Vec<_> = found.iter().map(|(l, text)| (*l, text.as_str())).collect();
                assert_eq!(found, expected, "{kind}, {step} bytes at a time");
            }
        }
    }

    #[test]
    fn lines_are_right_far_into_a_file() {
        let text: String = (1..=20_000).map(|n| format!("{n},\"x\"\r\n")).collect();
        for (line, record) in lines(text.as_bytes()).unwrap() {
            assert_eq!(record, format!("{line}|x"));
        }
    }

    /// Every short text: a record starts here exactly where the csv crate starts one.
    #[test]
    fn quotes_and_line_ends_are_read_as_the_csv_crate_reads_them() {
        let mut texts = vec![Vec::new()];
        for length in 1..=5 {
            let mut longer = Vec::new();
            for text in texts.iter().filter(|text| text.len() == length - 1) {
                longer.extend(
                    b"a,\"\n\r"
                        .iter()
                        .map(|byte| [text, [*byte].as_slice()].concat()),
                );
            }
            texts.extend(longer);
        }
        for text in texts {
            let mut watched = RecordStarts::new(text.as_slice());
            io::copy(&mut watched, &mut io::sink()).unwrap();
            let mut plain = csv::ReaderBuilder::new();
            let reader = plain
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_slice());
            let from: Vec<_> = reader
                .into_byte_records()
                .map(|record| record.unwrap().position().unwrap().byte())
                .collect();
            let shown = String::from_utf8_lossy(&text);
            let starts: Vec<_> = watched.starts.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(starts.len(), from.len(), "{shown:?}");
            for (n, start) in starts.iter().enumerate() {
                let is_before_the_next = from.get(n + 1).is_none_or(|next| start < next);
                assert!(from[n] <= *start && is_before_the_next, "{shown:?}");
            }
        }
    }

    #[test]
    fn a_quote_that_never_closes_is_found() {
        for (text, expected) in [
            ("a\n\n\"1\n2\n", 3),
            ("a\r\n1\r\n2,\"", 3),
            ("a\n\"1\"\"\n", 2),
        ] {
            let error = lines(text.as_bytes()).unwrap_err();
            let BankFileError::UnclosedQuote { line } = error else {
                panic!("{text:?}: {error}");
            };
            assert_eq!(line, expected, "{text:?}");
        }
    }
}
