//! What an event has changed in a state, field by field.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// A field that an event has changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Change {
    /// Its name, with those that it is in: `posted.credits`, `legs[0].amount`.
    field: String,
    /// Left out where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// Left out where there is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// In which fields two states differ, in the order of their names.
pub(super) fn changes(before: Option<&Value>, after: Option<&Value>) -> Vec<Change> {
    let (mut before, mut after) = (fields(before), fields(after));
    let mut names: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| before.get(name) != after.get(name));
    let change = |field: String| Change {
        before: before.remove(&field),
        after: after.remove(&field),
        field,
    };
    names.into_iter().map(change).collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.field;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{field}: {before} → {after}"),
            (Some(before), None) => write!(f, "{field}: {before} → (gone)"),
            (None, Some(after)) => write!(f, "{field}: {after}"),
            (None, None) => f.write_str(field),
        }
    }
}

fn fields(state: Option<&Value>) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    if let Some(state) = state {
        collect(String::new(), state, &mut fields);
    }
    fields
}

fn collect(name: String, value: &Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(of) if !of.is_empty() => {
            for (inner, value) in of {
                let dot = if name.is_empty() { "" } else { "." };
                collect(format!("{name}{dot}{inner}"), value, fields);
            }
        }
        Value::Array(of) if !of.is_empty() => {
            for (number, value) in of.iter().enumerate() {
                collect(format!("{name}[{number}]"), value, fields);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)
        | Value::Array(_) => {
            fields.insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: Option<Value>, after: Option<Value>) -> Vec<String> {
        let changes = changes(before.as_ref(), after.as_ref());
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let before = json!({"balance": "1.00", "posted": {"credits": "1.00"}, "status": "open"});
        let after = json!({"balance": "3.00", "posted": {"credits": "3.00"}, "status": "open"});
        assert_eq!(
            told(Some(before.clone()), Some(after)),
            [
                "balance: \"1.00\" → \"3.00\"",
                "posted.credits: \"1.00\" → \"3.00\""
            ]
        );
        assert_eq!(told(Some(before.clone()), Some(before)), [""; 0]);
    }

    #[test]
    fn what_comes_and_goes_is_told_as_such() {
        assert_eq!(told(None, Some(json!({"a": null}))), ["a: null"]);
        assert_eq!(
            told(
                Some(json!({"holds": [{"id": "x"}], "notes": {}})),
                Some(json!({"holds": [], "notes": {"k": "v"}}))
            ),
            [
                "holds: []",
                "holds[0].id: \"x\" → (gone)",
                "notes: {} → (gone)",
                "notes.k: \"v\""
            ]
        );
    }
}
