//! What is proven, as a page for people: all events of a stream with who, when and why, and where each is in the log.
//!
//! It is one HTML file without scripts, and it loads nothing. All that comes from the bundle is in it as text.

mod command;
mod fields;
mod row;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::fmt;

use self::command::command;
use self::row::Row;
use self::text::{Foreign, Ours, Text};
use super::Proven;
use super::moment::Moment;
use super::sentences::Sentences;
use crate::bundle::{BundledEvent, Verified};
use crate::checkpoint::Checkpoint;
use crate::note::VerifyingKey;

const STYLE: &str = include_str!("style.css");
/// Should anything be in the page that is no text after all, it is neither run nor loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page about a bundle that holds. Of any other there is none.
#[derive(Debug)]
pub(super) struct Page<'a>(pub(super) &'a Proven);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proven { bundle, verified } = self.0;
        head(f, verified)?;
        f.write_str("<body>\n")?;
        verdict(f, verified)?;
        seal(f, &verified.checkpoint, &verified.signers)?;
        let sentences = Sentences(verified);
        list(f, "What this shows", &sentences.proven())?;
        list(f, "What this does not show", &sentences.not_proven())?;
        events(f, &bundle.events)?;
        check(f, verified)?;
        f.write_str("</body>\n</html>\n")
    }
}

fn head(f: &mut fmt::Formatter<'_>, verified: &Verified) -> fmt::Result {
    let title = verified.stream.to_string();
    writeln!(f, "<!doctype html>\n<html lang=\"en\">\n<head>")?;
    writeln!(f, "<meta charset=\"utf-8\">")?;
    writeln!(
        f,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">"
    )?;
    writeln!(f, "<meta name=\"viewport\" content=\"width=device-width\">")?;
    writeln!(f, "<title>The history of {}</title>", Text(&title))?;
    writeln!(f, "<style>\n{STYLE}</style>\n</head>")
}

fn verdict(f: &mut fmt::Formatter<'_>, verified: &Verified) -> fmt::Result {
    let title = verified.stream.to_string();
    let stream = Foreign(&title);
    let through = verified.through.position();
    writeln!(f, "<h1>The history of {stream}</h1>")?;
    f.write_str("<p class=\"verdict\"><strong>Verified.</strong> ")?;
    match verified.events {
        0 => write!(
            f,
            "{stream} has no events up to position {through} of the store"
        )?,
        1 => write!(
            f,
            "This is the only event of {stream} up to position {through} of the store, as it is in the log"
        )?,
        count => write!(
            f,
            "These are all {count} events of {stream} up to position {through} of the store, in their order and as they are in the log"
        )?,
    }
    writeln!(
        f,
        ". Whoever made this page checked the bundle behind it; how to do so again stands at the end.</p>"
    )
}

fn seal(
    f: &mut fmt::Formatter<'_>,
    checkpoint: &Checkpoint,
    signers: &[VerifyingKey],
) -> fmt::Result {
    let mut rows = vec![
        ("Log", checkpoint.origin.as_str().to_owned()),
        ("Entries", checkpoint.size.to_string()),
        ("Root of the log", checkpoint.root.to_string()),
    ];
    rows.extend(
        checkpoint
            .map_root
            .map(|root| ("Root of the map of streams", root.to_string())),
    );
    if let Some(through) = checkpoint.through {
        rows.push(("Events up to position", through.position().to_string()));
        rows.push(("Refusals up to number", through.outcome().to_string()));
    }
    let sealed = checkpoint.sealed_at_micros.map_or_else(
        || "at a time that it does not say".to_owned(),
        |micros| Moment(micros).to_string(),
    );
    rows.push(("Sealed", sealed));
    for key in signers {
        rows.push(("Signed with the key", key.name().to_string()));
        rows.push(("Its fingerprint", key.id().to_string()));
        rows.push(("In full", key.to_string()));
    }
    writeln!(f, "<h2>The checkpoint</h2>\n<dl>")?;
    for (name, value) in rows {
        writeln!(f, "<dt>{name}</dt><dd>{}</dd>", Foreign(&value))?;
    }
    writeln!(f, "</dl>")
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, sentences: &[String]) -> fmt::Result {
    writeln!(f, "<h2>{title}</h2>\n<ul>")?;
    for sentence in sentences {
        writeln!(f, "<li>{}</li>", Ours(sentence))?;
    }
    writeln!(f, "</ul>")
}

fn events(f: &mut fmt::Formatter<'_>, events: &[BundledEvent]) -> fmt::Result {
    writeln!(f, "<h2>The events</h2>")?;
    if events.is_empty() {
        return writeln!(f, "<p>There are none.</p>");
    }
    f.write_str("<table>\n<thead><tr>")?;
    for column in Row::COLUMNS {
        write!(f, "<th scope=\"col\">{column}</th>")?;
    }
    writeln!(f, "</tr></thead>\n<tbody>")?;
    events
        .iter()
        .try_for_each(|event| write!(f, "{}", Row(event)))?;
    writeln!(f, "</tbody>\n</table>")
}

fn check(f: &mut fmt::Formatter<'_>, verified: &Verified) -> fmt::Result {
    writeln!(f, "<h2>Check it yourself</h2>")?;
    writeln!(
        f,
        "<p>A page proves nothing: anybody can write one. The bundle does. Take the bundle and the public key, compare \
         the key with the one that you were given by another way, and run this on a machine that you trust. It needs no \
         network and no database.</p>"
    )?;
    writeln!(f, "<pre>{}</pre>", Ours(&command(verified)))?;
    writeln!(
        f,
        "<p>With <code>--events</code> it prints the events to the last byte, with <code>--page</code> this page.</p>"
    )
}
