//! What is in a JSON text, as names and values for people.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep values are taken apart. What is below is shown as its JSON.
const DEPTH_MAX: usize = 6;

/// A name and a value. Names of what is within another value follow its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// The names on the way to it, from the outside in.
    pub(super) path: Vec<String>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A string, or an amount of money.
    Text(String),
    /// Anything else, as it was written: a number has the digits that it was given.
    Json(String),
}

/// All fields, in the order in which they were written. A name that is there twice is there twice here too: programs differ
/// in which of them they take.
pub(super) fn fields(json: &[u8]) -> Vec<Field> {
    let mut found = Vec::new();
    match serde_json::from_slice(json) {
        Ok(raw) => collect(raw, &[], &mut found),
        Err(_) => found.push(Field {
            path: Vec::new(),
            value: Value::Json(format!("base64:{}", STANDARD.encode(json))),
        }),
    }
    found
}

impl Field {
    /// Whether it has this name, within nothing else.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.path.as_slice(), [only] if only == name)
    }
}

fn collect(raw: &RawValue, path: &[String], found: &mut Vec<Field>) {
    let json = raw.get();
    let mut push = |value| {
        found.push(Field {
            path: path.to_vec(),
            value,
        });
    };
    let within = |name: &str| [path, &[name.to_owned()]].concat();
    match json.chars().next() {
        // What an event without content is written as.
        Some('n') if path.is_empty() => {}
        Some('"') => match serde_json::from_str(json) {
            Ok(text) => push(Value::Text(text)),
            Err(_) => push(Value::Json(json.to_owned())),
        },
        Some('{') if path.len() < DEPTH_MAX => match serde_json::from_str::<Members<'_>>(json) {
            Ok(Members(members)) if !members.is_empty() => match money(&members) {
                Some(money) => push(Value::Text(money)),
                None => {
                    for (name, raw) in members {
                        collect(raw, &within(&name), found);
                    }
                }
            },
            Ok(_) | Err(_) => push(Value::Json(json.to_owned())),
        },
        Some('[') if path.len() < DEPTH_MAX => match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(elements) if !elements.is_empty() => {
                for (number, raw) in (1_usize..).zip(elements) {
                    collect(raw, &within(&number.to_string()), found);
                }
            }
            Ok(_) | Err(_) => push(Value::Json(json.to_owned())),
        },
        _ => push(Value::Json(json.to_owned())),
    }
}

/// An amount beside its currency and nothing else, which reads `12.50 EUR`.
fn money(members: &[(String, &RawValue)]) -> Option<String> {
    let [(first, amount), (second, currency)] = members else {
        return None;
    };
    if (first.as_str(), second.as_str()) != ("amount", "currency") {
        return None;
    }
    let text = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).ok();
    Some(format!("{} {}", text(amount)?, text(currency)?))
}

/// The members of an object, as they were written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Self)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> Vec<(String, String)> {
        let text = |field: Field| match field.value {
            Value::Text(text) => (field.path.join("/"), text),
            Value::Json(json) => (field.path.join("/"), format!("`{json}`")),
        };
        fields(json.as_bytes()).into_iter().map(text).collect()
    }

    fn expected(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
        fields.iter().map(owned).collect()
    }

    #[test]
    fn values_are_as_they_were_written_and_in_their_order() {
        let json = r#"{"b":"x","a":1.10,"c":12345678901234567890123,"d":null,"e":true,"b":"y","f":{},"g":[]}"#;
        let all = [
            ("b", "x"),
            ("a", "`1.10`"),
            ("c", "`12345678901234567890123`"),
            ("d", "`null`"),
            ("e", "`true`"),
            ("b", "y"),
            ("f", "`{}`"),
            ("g", "`[]`"),
        ];
        assert_eq!(shown(json), expected(&all));
    }

    #[test]
    fn money_reads_as_money_and_nothing_else_does() {
        let json = r#"{"amount":{"amount":"12.50","currency":"EUR"},"legs":[{"side":"debit","sum":{"amount":1.5,"currency":"EUR"}}]}"#;
        let all = [
            ("amount", "12.50 EUR"),
            ("legs/1/side", "debit"),
            ("legs/1/sum/amount", "`1.5`"),
            ("legs/1/sum/currency", "EUR"),
        ];
        assert_eq!(shown(json), expected(&all));
    }

    #[test]
    fn an_event_without_content_has_no_fields() {
        assert_eq!(shown("null"), []);
        assert_eq!(shown("\"text\""), expected(&[("", "text")]));
        assert_eq!(shown(" 7 "), expected(&[("", "`7`")]));
    }

    #[test]
    fn what_is_no_json_is_shown_by_its_bytes() {
        assert_eq!(shown("{"), expected(&[("", "`base64:ew==`")]));
        let bytes = fields(&[0xff]);
        assert_eq!(bytes.len(), 1);
        // Half of a character that takes two.
        let half = r#"{"a":"\ud800"}"#;
        assert_eq!(shown(half), expected(&[("a", r#"`"\ud800"`"#)]));
    }

    #[test]
    fn what_lies_deep_ends_in_its_json() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let all = shown(&deep(DEPTH_MAX + 2));
        assert_eq!(all, expected(&[("1/1/1/1/1/1", "`[[1]]`")]));
        assert_eq!(shown(&deep(100_000)).len(), 1);
    }
}
