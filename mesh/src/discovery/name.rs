//! Names of services, and ids of their instances.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Longest name or id, in bytes.
const BYTES_MAX: usize = 64;

/// Names a service: 1 to 64 lower-case letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

/// Tells an instance from the others of its service: 1 to 64 lower-case letters, digits and hyphens.
///
/// Whoever comes with the id of another one takes it over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

/// A text that names no service and no instance.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not 1 to {BYTES_MAX} lower-case letters, digits and hyphens")]
pub struct InvalidName {
    /// The refused text.
    pub text: String,
}

impl ServiceName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InstanceId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// That of the instance at this place of a list, from 1 on.
    pub(super) fn at_place(place: usize) -> Self {
        Self(format!("static-{place}").into())
    }
}

impl FromStr for ServiceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Ok(Self(checked(text)?.into()))
    }
}

impl FromStr for InstanceId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Ok(Self(checked(text)?.into()))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn checked(text: &str) -> Result<&str, InvalidName> {
    let fits = (1..=BYTES_MAX).contains(&text.len());
    let plain = text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits && plain {
        Ok(text)
    } else {
        Err(InvalidName {
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_is_a_name() {
        for text in ["a", "accounts-1", "0", &"x".repeat(64)] {
            assert_eq!(text.parse::<ServiceName>().unwrap().as_str(), text);
            assert_eq!(text.parse::<InstanceId>().unwrap().to_string(), text);
        }
        for text in ["", "A", "a_b", "a b", "ä", "a\0", &"x".repeat(65)] {
            assert!(text.parse::<ServiceName>().is_err(), "{text}");
            assert!(text.parse::<InstanceId>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_id_of_a_place_is_a_plain_one() {
        let id = InstanceId::at_place(usize::MAX);
        assert_eq!(id.as_str().parse(), Ok(id));
    }
}
