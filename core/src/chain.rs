//! An error and what led to it.

use std::error::Error;

/// An error and its causes on one line, for a log: none of them repeats what its source says.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
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
}
