//! Where a page ended. Opaque to clients, and good only for the list that gave it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use folio_core::{Position, Version};
use serde::{Deserialize, Serialize};

use crate::http::problem::Problem;

/// Most items on a page.
pub(crate) const LIMIT_MAX: u16 = 1_000;
/// Items on a page when nothing is asked.
const LIMIT_DEFAULT: u16 = 100;

/// A place in a list.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    /// The list, for example `statement/704`.
    list: String,
    /// The key of the last item before the place.
    after: String,
}

/// The cursor of the page after the item with key `after`.
pub(crate) fn encode(list: &str, after: &str) -> Option<String> {
    let cursor = Cursor {
        list: list.to_owned(),
        after: after.to_owned(),
    };
    let json = serde_json::to_vec(&cursor).ok()?;
    Some(URL_SAFE_NO_PAD.encode(json))
}

/// The key that a cursor of `list` stands after.
pub(crate) fn decode(list: &str, cursor: &str) -> Result<String, Problem> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|json| serde_json::from_slice::<Cursor>(&json).ok())
        .filter(|cursor| cursor.list == list && !cursor.after.contains('\0'))
        .map(|cursor| cursor.after)
        .ok_or_else(invalid)
}

/// A text that is no cursor of the list.
pub(crate) fn invalid() -> Problem {
    Problem::unprocessable(
        "invalid_cursor",
        "Not a cursor of this list",
        "pass the next_cursor of the page before, on the same list with the same parameters",
    )
}

/// The version that a cursor of `list` stands after; the start without one.
pub(crate) fn version(list: &str, cursor: Option<&str>) -> Result<Version, Problem> {
    let Some(cursor) = cursor else {
        return Ok(Version::NONE);
    };
    let after = decode(list, cursor)?;
    let number = after.parse().ok().and_then(Version::new);
    number.ok_or_else(invalid)
}

/// The position that a key of a list in the order of positions is; the start for none.
pub(crate) fn after_position(key: &str) -> Result<Position, Problem> {
    if key.is_empty() {
        return Ok(Position::START);
    }
    key.parse().ok().and_then(Position::new).ok_or_else(invalid)
}

/// The page size that was asked for.
pub(crate) fn limit(asked: Option<u16>) -> Result<u16, Problem> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(Problem::unprocessable(
            "invalid_limit",
            "Not a page size",
            format!("limit is 1 to {LIMIT_MAX}"),
        )),
    }
}

/// The cursor of the next page, when there may be one: a page that is not full is the last.
pub(crate) fn next(list: &str, items: usize, limit: u16, last: Option<String>) -> Option<String> {
    if items < usize::from(limit) {
        return None;
    }
    encode(list, &last?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let cursor = encode("statement/1", "7").unwrap();
        assert_eq!(version("statement/1", Some(&cursor)).unwrap().number(), 7);
        assert!(version("statement/2", Some(&cursor)).is_err());
        assert!(version("statement/1", Some("AAAA")).is_err());
        let negative = encode("statement/1", "-7").unwrap();
        assert!(version("statement/1", Some(&negative)).is_err());
    }
}
