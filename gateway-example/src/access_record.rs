//! What is on record of a request.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// What is on record of a request: a line of JSON in the [log](crate::AccessLog), once it has its answer or its client has gone.
///
/// ```
/// use gateway_example::AccessRecord;
///
/// let line = r#"{"time":"2026-11-30T12:00:00.123456Z","correlation_id":"0af76519-16cd-43dd-8448-eb211c80319c",
///     "method":"GET","route":"/v1/accounts/{*rest}","status":200,"peer":"192.0.2.7","principal":"alice",
///     "service":"balances","instances":["balances-1"],"elapsed_us":731}"#;
/// let record: AccessRecord = serde_json::from_str(line)?;
/// assert_eq!((record.status, record.code), (200, None));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRecord<'a> {
    /// When it was answered.
    pub time: Cow<'a, str>,
    /// The id of its trace, which all that it has caused bears.
    pub correlation_id: Uuid,
    /// Its method.
    pub method: Cow<'a, str>,
    /// The route that it took, not its path: ids of accounts do not belong in logs.
    pub route: Cow<'a, str>,
    /// The status of the answer; 499 where the client has gone before, by a custom of nginx.
    pub status: u16,
    /// The kind of refusal, where the gateway itself has refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'a, str>>,
    /// The address of the client.
    pub peer: Cow<'a, str>,
    /// Who has asked, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Cow<'a, str>>,
    /// The service that it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Cow<'a, str>>,
    /// The instances that were asked, in their order.
    pub instances: Vec<Cow<'a, str>>,
    /// From its head to the head of its answer, in microseconds.
    pub elapsed_us: u64,
}

impl AccessRecord<'_> {
    /// Writes it at the end of `lines`, as [`Serialize`] has it and in half of the instructions: that looks at each letter by itself, of names
    /// which are always the same and of texts in which there is next to never anything to be found.
    pub(crate) fn write_line(&self, lines: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let mut id = [0; Hyphenated::LENGTH];
        let id = self.correlation_id.hyphenated().encode_lower(&mut id);
        text(lines, "{\"time\":", &self.time);
        plain(lines, ",\"correlation_id\":\"", id);
        text(lines, "\",\"method\":", &self.method);
        text(lines, ",\"route\":", &self.route);
        plain(lines, ",\"status\":", digits.format(self.status));
        optional(lines, ",\"code\":", self.code.as_deref());
        text(lines, ",\"peer\":", &self.peer);
        optional(lines, ",\"principal\":", self.principal.as_deref());
        optional(lines, ",\"service\":", self.service.as_deref());
        plain(lines, ",\"instances\":", "[");
        let mut before = "";
        for instance in &self.instances {
            text(lines, before, instance);
            before = ",";
        }
        plain(lines, "],\"elapsed_us\":", digits.format(self.elapsed_us));
        plain(lines, "}", "\n");
    }
}

/// What needs nothing before any of its letters, behind its name.
fn plain(lines: &mut Vec<u8>, name: &str, value: &str) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(value.as_bytes());
}

fn optional(lines: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        text(lines, name, value);
    }
}

fn text(lines: &mut Vec<u8>, name: &str, value: &str) {
    // Without a branch for each byte, so that many are looked at at once.
    let is_plain = |byte: u8| (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    if value.bytes().fold(true, |are, byte| are & is_plain(byte)) {
        plain(lines, name, "\"");
        plain(lines, value, "\"");
    } else {
        plain(lines, name, "");
        let before = lines.len();
        // A text always can be; if not, the line stays one that can be read.
        if serde_json::to_writer(&mut *lines, value).is_err() {
            lines.truncate(before);
            plain(lines, "null", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_what_its_record_is_serialised_as(
            texts in proptest::collection::vec("\\PC*|[ -~]{0,40}|[\\x00-\\x7f]{0,10}", 8),
            instances in proptest::collection::vec("[a-z0-9-]{0,20}|\"\\\\", 0..4),
            id in any::<u128>(),
            status in any::<u16>(),
            elapsed_us in any::<u64>(),
            are_there in any::<[bool; 3]>(),
        ) {
            let text = |at: usize| Cow::Borrowed(texts[at].as_str());
            let optional = |at: usize| are_there[at].then(|| text(4 + at));
            let record = AccessRecord {
                time: text(0),
                correlation_id: Uuid::from_u128(id),
                method: text(1),
                route: text(2),
                status,
                code: optional(0),
                peer: text(3),
                principal: optional(1),
                service: optional(2),
                instances: instances.iter().map(|id| id.as_str().into()).collect(),
                elapsed_us,
            };
            let mut lines = b"before\n".to_vec();
            record.write_line(&mut lines);
            let expected = format!("before\n{}\n", serde_json::to_string(&record).unwrap());
            prop_assert_eq!(String::from_utf8(lines).unwrap(), expected);
        }
    }
}
