//! What is proven and what is not, for people who do not program.

use std::fmt;

use super::moment::Moment;
use super::plain::Plain;
use crate::bundle::Verified;
use crate::checkpoint::Checkpoint;
use crate::note::VerifyingKey;

/// The sentences about what was verified.
#[derive(Debug)]
pub(super) struct Sentences<'a>(pub(super) &'a Verified);

impl fmt::Display for Sentences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "VERIFIED\n\nThis is proven:")?;
        list(f, &self.proven())?;
        writeln!(f, "\nThis is not proven:")?;
        list(f, &self.not_proven())
    }
}

pub(super) const NOT_SHOWN_ALIKE: &str = "That everybody is shown the same log. Compare the checkpoint with one that somebody else got, and keep it for the next time.";
const NOT_REPLAYED: &str = "That whoever signed was honest about where each stream ends. The checkpoint states it and the key stands for it; only a reader of the whole log can find it again.";
pub(super) const NOT_RECORDED: &str = "That everything that happened was recorded, and recorded once. Whoever runs the store decides what is put into it; the proof is about what was.";
pub(super) const NOT_TRUE: &str =
    "That what the events say is true, and that the clock was right that gave them their times.";

impl Sentences<'_> {
    pub(super) fn proven(&self) -> Vec<String> {
        let told = [
            Some(seal(&self.0.checkpoint, &self.0.signers)),
            Some(self.events()),
            grown_since_kept(self.0.kept.as_ref()),
            self.grown_since_earlier(),
        ];
        told.into_iter().flatten().collect()
    }

    pub(super) fn not_proven(&self) -> Vec<String> {
        let told = [
            Some(self.later()),
            before(self.0.kept.as_ref()),
            Some(NOT_SHOWN_ALIKE.to_owned()),
            Some(NOT_REPLAYED.to_owned()),
            Some(NOT_RECORDED.to_owned()),
            Some(NOT_TRUE.to_owned()),
        ];
        told.into_iter().flatten().collect()
    }

    fn events(&self) -> String {
        let stream = self.0.stream.to_string();
        let stream = Plain(&stream);
        let through = self.0.through.position();
        let Some((first, last)) = self.0.first_position.zip(self.0.last_position) else {
            return format!(
                "Up to position {through} of the store, {stream} has no events at all."
            );
        };
        let (events, positions) = match self.0.events {
            1 => ("1 event".to_owned(), format!("at position {first}")),
            count => (
                format!("{count} events"),
                format!("at positions from {first} to {last}"),
            ),
        };
        format!(
            "Up to position {through} of the store, {stream} has exactly {events}, {positions}. The bundle has all of them, in their order, as they are in the log: none was left out, added, altered or moved."
        )
    }

    fn grown_since_earlier(&self) -> Option<String> {
        let earlier = self.0.earlier.as_ref();
        let earlier = earlier.filter(|earlier| self.0.kept.as_ref() != Some(earlier))?;
        Some(format!(
            "Since an older checkpoint that came with the bundle, {}, the log has only been added to.",
            state(earlier)
        ))
    }

    fn later(&self) -> String {
        let through = self.0.through.position();
        format!("What was recorded after position {through}. Ask for a newer bundle.")
    }
}

pub(super) fn seal(checkpoint: &Checkpoint, signers: &[VerifyingKey]) -> String {
    let signers: Vec<_> = signers.iter().map(signer).collect();
    format!(
        "The log {} was sealed {}. The checkpoint says so, and is signed with the key {}.",
        Plain(checkpoint.origin.as_str()),
        state(checkpoint),
        signers.join(" and the key "),
    )
}

pub(super) fn grown_since_kept(kept: Option<&Checkpoint>) -> Option<String> {
    Some(format!(
        "Since the checkpoint that you keep, {}, the log has only been added to: nothing that was in it has been altered or removed.",
        state(kept?)
    ))
}

pub(super) fn before(kept: Option<&Checkpoint>) -> Option<String> {
    kept.is_none().then(|| "That the history is still the one you were shown at another time. Give a checkpoint that you kept with --since.".to_owned())
}

fn signer(key: &VerifyingKey) -> String {
    format!("{}+{}", Plain(key.name().as_str()), key.id())
}

pub(super) fn state(checkpoint: &Checkpoint) -> String {
    let time = checkpoint.sealed_at_micros.map_or_else(
        || "at a time it does not say".to_owned(),
        |micros| format!("at {}", Moment(micros)),
    );
    match checkpoint.size {
        1 => format!("with 1 entry {time}"),
        size => format!("with {size} entries {time}"),
    }
}

pub(super) fn list(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    lines.iter().try_for_each(|line| writeln!(f, "  - {line}"))
}
