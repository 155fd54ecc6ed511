//! Paths that mean one thing to everybody who reads them.
//!
//! A path is not mended but refused where two readers could take it for different ones: what is routed and authorised by
//! is byte for byte what is forwarded.

use hyper::{StatusCode, Uri};

use crate::problem::Problem;

/// Longest path with its query.
const BYTES_MAX: usize = 8 * 1024;

/// Checks the path of a request.
pub(crate) fn check(uri: &Uri) -> Result<(), Problem> {
    let whole = uri.path_and_query().map_or("", |whole| whole.as_str());
    if whole.len() > BYTES_MAX {
        return Err(Problem::client(
            StatusCode::URI_TOO_LONG,
            "path_too_long",
            format!("a path with its query may have {BYTES_MAX} bytes"),
        ));
    }
    let is_plain = uri
        .path()
        .strip_prefix('/')
        .map(str::as_bytes)
        .is_some_and(|path| {
            path.is_empty() || path.split(|byte| *byte == b'/').all(is_plain_segment)
        });
    if is_plain { Ok(()) } else { Err(invalid()) }
}

/// What is said of a path that is refused.
pub(crate) fn invalid() -> Problem {
    Problem::client(
        StatusCode::BAD_REQUEST,
        "path_invalid",
        "a path has no empty or dotted segment, and nothing in it is encoded that need not be or that separates",
    )
}

fn is_plain_segment(segment: &[u8]) -> bool {
    // Nothing in it is no segment either.
    if segment.iter().all(|byte| *byte == b'.') {
        return false;
    }
    let mut bytes = segment.iter().copied();
    while let Some(byte) = bytes.next() {
        let is_fine = match byte {
            b'%' => {
                let digits = (bytes.next().and_then(digit), bytes.next().and_then(digit));
                let (Some(high), Some(low)) = digits else {
                    return false;
                };
                may_be_encoded(high << 4 | low)
            }
            // A parameter of a segment is one thing to some and part of its name to others.
            b';' => false,
            byte => is_unreserved(byte) || b"!$&'()*+,=:@".contains(&byte),
        };
        if !is_fine {
            return false;
        }
    }
    true
}

fn may_be_encoded(byte: u8) -> bool {
    byte.is_ascii_graphic() && !is_unreserved(byte) && !b"/\\%;".contains(&byte) || byte == b' '
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(byte.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(path: &str) -> bool {
        path.parse::<Uri>().is_ok_and(|uri| check(&uri).is_ok())
    }

    #[test]
    fn a_path_that_two_could_read_differently_is_refused() {
        for path in [
            "/a/..",
            "/a/../b",
            "/./a",
            "/a/...",
            "/a/%2e%2e/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%00b",
            "/a//b",
            "//a",
            "/a/",
            "/a;x=1",
            "/a%3bx",
            "/a%c0%afb",
            "/a%252fb",
            "/a%25b",
            "/a%61",
            "/a%6",
            "/a%zz",
            "/a%0d%0a",
            "/a\\b",
            "/\u{e4}",
        ] {
            assert!(!is_fine(path), "{path}");
        }
        for path in [
            "/",
            "/v1/accounts",
            "/v1/a:b@c",
            "/v1/a%20b",
            "/v1/x?y=%2F..%2f;z",
            "/v1/.hidden",
        ] {
            assert!(is_fine(path), "{path}");
        }
    }
}
