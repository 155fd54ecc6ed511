//! An error and what led to it.

use std::error::Error;

/// An error and its causes on one line, for a log: none of them repeats what its source says. Each has its first line there:
/// below that, a database shows the row that it has refused, with all that is in it.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = first_line(error);
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&first_line(cause));
        source = cause.source();
    }
    text
}

fn first_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let end = text.find('\n').unwrap_or(text.len());
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, ReadError};

    #[test]
    fn causes_follow_the_error() {
        let cause = ReadError::Corrupt {
            position: Position::START.plus(7),
            what: "it is missing".to_owned(),
        };
        let error = ReadError::Failed(Box::new(cause));
        assert_eq!(
            error_chain(&error),
            "the event store failed to read: the event at position 7 is corrupt: it is missing"
        );
    }

    /// What a database told of a row that it refused was logged with all that is in the row, keys and names too.
    #[test]
    fn what_a_database_shows_of_a_row_is_left_out() {
        #[derive(Debug, thiserror::Error)]
        #[error("refused\nDETAIL: Failing row contains (secret).")]
        struct Refused;
        let error = ReadError::Failed(Box::new(Refused));
        assert_eq!(
            error_chain(&error),
            "the event store failed to read: refused"
        );
    }
}
