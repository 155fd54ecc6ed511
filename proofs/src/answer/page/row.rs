//! One event of a page.

use std::fmt;

use super::super::moment::Moment;
use super::fields::{Field, Value, fields};
use super::text::{Foreign, Text};
use super::words::words;
use crate::bundle::{BundledEvent, uuid_text};

/// Fields of an event that say why it happened.
const REASONS: [&str; 2] = ["reason", "description"];
/// The field beside an event that says who asked for it.
const ACTOR: &str = "actor";

/// An event as a row of a table.
#[derive(Debug)]
pub(super) struct Row<'a>(pub(super) &'a BundledEvent);

impl Row<'_> {
    /// The names of its columns.
    pub(super) const COLUMNS: [&'static str; 6] = [
        "No.",
        "Recorded",
        "What happened",
        "Who",
        "Why",
        "Where in the log",
    ];
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.0;
        let (why, what): (Vec<_>, Vec<_>) = fields(&event.payload)
            .into_iter()
            .partition(|field| REASONS.iter().any(|reason| field.is(reason)));
        let (who, beside): (Vec<_>, Vec<_>) = fields(&event.metadata)
            .into_iter()
            .partition(|field| field.is(ACTOR));
        let version = event.version;
        write!(
            f,
            "<tr id=\"event-{version}\"><td class=\"number\">{version}</td>"
        )?;
        write!(
            f,
            "<td class=\"when\">{}</td>",
            Moment(event.recorded_at_micros)
        )?;
        write!(
            f,
            "<td><span class=\"type\">{}</span> <span class=\"faint\">{}, version {}</span>",
            Foreign(&words(&event.event_type)),
            Foreign(&event.event_type),
            event.schema_version,
        )?;
        list(f, what.iter().map(named))?;
        f.write_str("</td><td>")?;
        actors(f, &who)?;
        f.write_str("</td><td>")?;
        let command = Named {
            name: "command".to_owned(),
            value: Value::Text(uuid_text::write(event.command_id)),
        };
        let why = why.iter().chain(&beside).map(named);
        list(f, why.chain([command]))?;
        f.write_str("</td><td>")?;
        list(f, self.place())?;
        f.write_str("</td></tr>\n")
    }
}

impl Row<'_> {
    fn place(&self) -> impl Iterator<Item = Named> + use<> {
        let inclusion = &self.0.inclusion;
        let proof = match inclusion.path.len() {
            1 => "1 hash".to_owned(),
            count => format!("{count} hashes"),
        };
        [
            ("leaf", inclusion.index.to_string()),
            ("proof", proof),
            ("position", self.0.position.to_string()),
            ("event", uuid_text::write(self.0.event_id)),
        ]
        .map(|(name, text)| Named {
            name: name.to_owned(),
            value: Value::Text(text),
        })
        .into_iter()
    }
}

/// A field with its name in words.
struct Named {
    name: String,
    value: Value,
}

fn named(field: &Field) -> Named {
    let path: Vec<_> = field.path.iter().map(|name| words(name)).collect();
    Named {
        name: path.join(" / "),
        value: field.value.clone(),
    }
}

fn actors(f: &mut fmt::Formatter<'_>, who: &[Field]) -> fmt::Result {
    if who.is_empty() {
        return f.write_str("<span class=\"faint\">not recorded</span>");
    }
    who.iter().try_for_each(|field| {
        f.write_str("<div>")?;
        shown(f, &field.value)?;
        f.write_str("</div>")
    })
}

fn list(f: &mut fmt::Formatter<'_>, fields: impl Iterator<Item = Named>) -> fmt::Result {
    let mut fields = fields.peekable();
    if fields.peek().is_none() {
        return Ok(());
    }
    f.write_str("<dl>")?;
    for Named { name, value } in fields {
        write!(f, "<dt>{}</dt><dd>", Foreign(&name))?;
        shown(f, &value)?;
        f.write_str("</dd>")?;
    }
    f.write_str("</dl>")
}

fn shown(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Text(text) => write!(f, "{}", Foreign(text)),
        Value::Json(json) => write!(f, "<code>{}</code>", Text(json)),
    }
}
