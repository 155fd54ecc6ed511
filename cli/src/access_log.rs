//! What the gateway's log tells of requests: a line for each, among others.

use std::io::{self, BufRead};

use folio_core::CorrelationId;
use folio_operator::trace::Request;

/// What stands before the fields of a line that tells of a request.
const TARGET: &str = "folio_gateway::access:";
/// The field that names the request.
const CORRELATION: &str = "correlation_id";

/// What a log tells of the requests with this correlation id: of none, mostly of one.
///
/// # Errors
///
/// When the log cannot be read.
pub(crate) fn requests(
    mut log: impl BufRead,
    correlation: CorrelationId,
) -> io::Result<Vec<Request>> {
    let id = correlation.to_string();
    let (mut requests, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if log.read_until(b'\n', &mut line)? == 0 {
            return Ok(requests);
        }
        // What other services print is not always text.
        let text = String::from_utf8_lossy(&line);
        if text.contains(&id) {
            requests.extend(request(&plain(&text), &id));
        }
    }
}

fn request(line: &str, id: &str) -> Option<Request> {
    let (before, after) = line.split_once(TARGET)?;
    let mut fields = fields(after);
    let named = fields.iter().position(|(name, _)| name == CORRELATION)?;
    let (_, found) = fields.remove(named);
    let at = before.split_whitespace().next()?.to_owned();
    (found == id).then_some(Request { at, fields })
}

/// The line without the colours that it has on a terminal, and in a log that was meant for one.
fn plain(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut plain, part| {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
        plain
    })
}

/// The fields of a line: `name=value`, the value in quotes where it is a text.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = text.trim();
    while let Some((before, after)) = rest.split_once('=') {
        // The message stands before the first name.
        let name = before.split_whitespace().next_back().unwrap_or_default();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = after.find(' ').unwrap_or(after.len());
                let (value, left) = after.split_at(end);
                (value.to_owned(), left)
            }
        };
        fields.push((name.to_owned(), value));
        rest = left;
    }
    fields
}

/// A text up to its quote, and what is after that.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, text.get(at.saturating_add(1)..).unwrap_or_default()),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ID: &str = "0af76519-16cd-43dd-8448-eb211c80319c";

    fn found(log: &str) -> Vec<Request> {
        let id = CorrelationId::from_uuid(Uuid::parse_str(ID).unwrap());
        requests(log.as_bytes(), id).unwrap()
    }

    #[test]
    fn the_line_of_a_request_is_found_among_others() {
        let line = |id: &str| {
            format!(
                "2026-11-29T17:05:00.123456Z  INFO folio_gateway::access: request correlation_id=\"{id}\" method=POST \
                 route=\"/v1/transfers\" status=202 peer=127.0.0.1 principal=\"a \\\"b\\\" = c\" instances=\"\" elapsed_us=480\n"
            )
        };
        let other = "0af76519-16cd-43dd-8448-000000000000";
        let log = [
            "the gateway listens at http://127.0.0.1:1\n".to_owned(),
            line(other),
            line(ID),
            format!("2026-11-29T17:05:01Z  WARN other: about correlation_id=\"{ID}\"\n"),
            format!(
                "2026-11-29T17:05:01Z  INFO folio_gateway::access: request correlation_id=\"{other}\" route=\"{ID}\"\n"
            ),
        ];
        let found = found(&log.concat());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].at, "2026-11-29T17:05:00.123456Z");
        let expected = [
            ("method", "POST"),
            ("route", "/v1/transfers"),
            ("status", "202"),
            ("peer", "127.0.0.1"),
            ("principal", "a \"b\" = c"),
            ("instances", ""),
            ("elapsed_us", "480"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found[0].fields, expected);
    }

    #[test]
    fn a_line_is_found_in_its_colours_and_at_a_log_that_breaks_off() {
        let line = format!(
            "\u{1b}[2m2026-11-29T17:05:00Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m \u{1b}[2mfolio_gateway::access\u{1b}[0m\
             \u{1b}[2m:\u{1b}[0m request \u{1b}[3mcorrelation_id\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"{ID}\" \
             \u{1b}[3mmethod\u{1b}[0m\u{1b}[2m=\u{1b}[0mGET \u{1b}[3mroute\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"/v1/acc"
        );
        let found = found(&line);
        assert_eq!(found[0].at, "2026-11-29T17:05:00Z");
        let expected = [("method", "GET"), ("route", "/v1/acc")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found[0].fields, expected);
    }
}
