//! The ids that are made of a saga's: by them its participants know each step again.

use std::str::FromStr;

/// Longest id of a saga, in characters: with what is put behind it, it is still an id.
const CHARS_MAX: usize = 48;

/// Why an id cannot be made of a saga's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} is too long: {CHARS_MAX} characters at most")]
pub struct IdTooLong {
    /// The id.
    pub id: String,
}

/// The id of what a saga does by this name.
pub(crate) fn made_of<T: FromStr>(saga: &str, what: &str) -> Result<T, IdTooLong> {
    let too_long = || IdTooLong {
        id: saga.to_owned(),
    };
    if saga.len() > CHARS_MAX {
        return Err(too_long());
    }
    format!("{saga}.{what}").parse().map_err(|_| too_long())
}

/// The saga that an id is made of, and what it does by it; none where it is made of none.
pub(crate) fn taken_apart(id: &str) -> Option<(&str, &str)> {
    id.rsplit_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::HoldId;

    #[test]
    fn ids_are_made_of_a_saga_s_and_taken_apart() {
        let hold: HoldId = made_of("t.1", "hold").unwrap();
        assert_eq!(hold.as_str(), "t.1.hold");
        assert_eq!(taken_apart(hold.as_str()), Some(("t.1", "hold")));
        assert_eq!(taken_apart("card-17"), None);
        let longest = "x".repeat(CHARS_MAX);
        assert!(made_of::<HoldId>(&longest, "out-screening").is_ok());
        let error = made_of::<HoldId>(&"x".repeat(CHARS_MAX + 1), "hold").unwrap_err();
        assert_eq!(error.id.len(), CHARS_MAX + 1);
    }
}
