//! What the gateway's log tells of requests: a line of JSON for each, perhaps among others.

use std::io::{self, BufRead};

use folio_core::CorrelationId;
use folio_operator::trace::Request;
use gateway_example::AccessRecord;

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
        // What others print is not always text, and the last line may be on its way.
        if String::from_utf8_lossy(&line).contains(&id)
            && let Ok(record) = serde_json::from_slice::<AccessRecord<'_>>(&line)
            && record.correlation_id == correlation.as_uuid()
        {
            requests.push(request(record));
        }
    }
}

fn request(record: AccessRecord<'_>) -> Request {
    let fields = [
        ("method", Some(record.method.into_owned())),
        ("route", Some(record.route.into_owned())),
        ("status", Some(record.status.to_string())),
        ("code", record.code.map(Into::into)),
        ("peer", Some(record.peer.into_owned())),
        ("principal", record.principal.map(Into::into)),
        ("service", record.service.map(Into::into)),
        ("instances", Some(record.instances.join(","))),
        ("elapsed_us", Some(record.elapsed_us.to_string())),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Request {
        at: record.time.into_owned(),
        fields: fields.collect(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ID: &str = "0af76519-16cd-43dd-8448-eb211c80319c";

    fn found(log: &[u8]) -> Vec<Request> {
        let id = CorrelationId::from_uuid(Uuid::parse_str(ID).unwrap());
        requests(log, id).unwrap()
    }

    fn line(id: &str, route: &str) -> String {
        format!(
            "{{\"time\":\"2026-11-30T12:00:00.123456Z\",\"correlation_id\":\"{id}\",\"method\":\"POST\",\
             \"route\":\"{route}\",\"status\":202,\"peer\":\"127.0.0.1\",\"principal\":\"a \\\"b\\\" = c\",\
             \"instances\":[\"one\",\"two\"],\"elapsed_us\":480}}\n"
        )
    }

    #[test]
    fn the_line_of_a_request_is_found_among_others() {
        let other = "0af76519-16cd-43dd-8448-000000000000";
        let log = [
            "the gateway listens at http://127.0.0.1:1\n".to_owned(),
            line(other, "/v1/transfers"),
            line(ID, "/v1/transfers"),
            format!("2026-11-29T17:05:01Z  WARN other: about correlation_id=\"{ID}\"\n"),
            line(other, ID),
        ];
        let found = found(log.concat().as_bytes());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].at, "2026-11-30T12:00:00.123456Z");
        let expected = [
            ("method", "POST"),
            ("route", "/v1/transfers"),
            ("status", "202"),
            ("peer", "127.0.0.1"),
            ("principal", "a \"b\" = c"),
            ("instances", "one,two"),
            ("elapsed_us", "480"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found[0].fields, expected);
    }

    #[test]
    fn a_log_that_breaks_off_and_has_bytes_that_are_no_text_is_read() {
        let whole = line(ID, "/v1/transfers");
        let (part, _) = whole.split_at(150);
        let log = [&[0xff, b'\n'], whole.as_bytes(), part.as_bytes()];
        assert_eq!(found(&log.concat()).len(), 1);
    }
}
