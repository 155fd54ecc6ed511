//! JSON objects that name each of their members once.
//!
//! Of a member that stands twice one reader takes the first and another the last. Where that is a name or a right,
//! what was checked is not what is used.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use thiserror::Error;

/// Why a text is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonRefusal {
    /// It is no JSON object.
    #[error("it is no JSON object")]
    NotAnObject,
    /// A member stands twice in one object of it.
    #[error("a member stands in it twice")]
    Repeated,
    /// A member is not of its type.
    #[error("a member is not of its type")]
    Unfit,
}

/// Reads an object.
pub(super) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonRefusal> {
    // A list would be read as the members of a struct in their order.
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(JsonRefusal::NotAnObject);
    }
    if let Err(error) = serde_json::from_slice::<EachOnce>(text) {
        return Err(match error.is_data() {
            true => JsonRefusal::Repeated,
            false => JsonRefusal::NotAnObject,
        });
    }
    serde_json::from_slice(text).map_err(|_| JsonRefusal::Unfit)
}

/// Reads a member that is there and not null; one that is not there is none by `serde(default)`.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Any JSON of which no object names a member twice.
struct EachOnce;

impl<'de> Deserialize<'de> for EachOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EachOnceVisitor)
    }
}

struct EachOnceVisitor;

impl<'de> Visitor<'de> for EachOnceVisitor {
    type Value = EachOnce;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_unit<E: de::Error>(self) -> Result<EachOnce, E> {
        Ok(EachOnce)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<EachOnce, A::Error> {
        while items.next_element::<EachOnce>()?.is_some() {}
        Ok(EachOnce)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<EachOnce, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
            members.next_value::<EachOnce>()?;
        }
        Ok(EachOnce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Named {
        name: String,
        #[serde(default, deserialize_with = "present")]
        age: Option<u64>,
    }

    #[test]
    fn what_says_each_thing_once_is_read() {
        let named = read::<Named>(br#" {"name":"ada","more":[{"a":1},{"a":2.5e3},null,true,-1]}"#);
        let (name, age) = ("ada".to_owned(), None);
        assert_eq!(named, Ok(Named { name, age }));
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_however_deep_and_however_written() {
        for text in [
            r#"{"name":"ada","name":"eve"}"#,
            r#"{"name":"ada","n\u0061me":"eve"}"#,
            r#"{"name":"ada","unknown":1,"unknown":1}"#,
            r#"{"name":"ada","more":[{"deep":{"a":1,"a":2}}]}"#,
        ] {
            assert_eq!(read::<Named>(text.as_bytes()), Err(JsonRefusal::Repeated));
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in [
            "",
            "[\"ada\"]",
            "\"ada\"",
            "null",
            "{\"name\":",
            "{} {}",
            "<html>",
        ] {
            let read = read::<Named>(text.as_bytes());
            assert_eq!(read, Err(JsonRefusal::NotAnObject), "{text}");
        }
        let deep = format!("{{\"name\":{}", "[".repeat(100_000));
        assert_eq!(
            read::<Named>(deep.as_bytes()),
            Err(JsonRefusal::NotAnObject)
        );
    }

    #[test]
    fn a_member_that_is_null_is_not_one_that_is_missing() {
        let read = read::<Named>(br#"{"name":"ada","age":null}"#);
        assert_eq!(read, Err(JsonRefusal::Unfit));
    }
}
