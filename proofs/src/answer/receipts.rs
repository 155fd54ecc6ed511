//! What receipts prove and what they do not, for people who do not program.

use std::fmt;

use super::moment::Moment;
use super::plain::Plain;
use super::sentences::{
    NOT_RECORDED, NOT_SHOWN_ALIKE, NOT_TRUE, before, grown_since_kept, list, seal, state,
};
use super::shown::Shown;
use crate::bundle::uuid_text;
use crate::leaf::{EventLeaf, Leaf, OutcomeLeaf};
use crate::receipt::{VerifiedGrowth, VerifiedRow};

/// The sentences about a row.
#[derive(Debug)]
pub(super) struct RowSentences<'a>(pub(super) &'a VerifiedRow<'a>);

/// The sentences about growth.
#[derive(Debug)]
pub(super) struct GrowthSentences<'a>(pub(super) &'a VerifiedGrowth);

impl fmt::Display for RowSentences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VerifiedRow {
            checkpoint,
            signers,
            row,
            index,
            kept,
        } = self.0;
        let (what, says, alone) = match row {
            Leaf::Event(event) => (event_is(event), event_says(event), NOT_ALL),
            Leaf::Outcome(outcome) => (outcome_is(outcome), outcome_says(outcome), NOT_AGAIN),
        };
        let there =
            format!("It is entry {index} of the log, counted from 0, as it was sealed there.");
        let proven = [
            Some(seal(checkpoint, signers)),
            Some(what),
            says,
            Some(there),
        ];
        let proven = proven.into_iter().chain([grown_since_kept(kept.as_ref())]);
        writeln!(f, "VERIFIED\n\nThis is proven:")?;
        list(f, &proven.flatten().collect::<Vec<_>>())?;
        writeln!(f, "\nThis is not proven:")?;
        let not = [alone, NOT_SHOWN_ALIKE, NOT_RECORDED, NOT_TRUE].map(str::to_owned);
        let not = not.into_iter().chain(before(kept.as_ref()));
        list(f, &not.collect::<Vec<_>>())
    }
}

impl fmt::Display for GrowthSentences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VerifiedGrowth {
            checkpoint,
            signers,
            earlier,
            kept,
        } = self.0;
        let grown = format!(
            "Since an older checkpoint that came with it, {}, the log has only been added to: nothing that was in it has been altered or removed.",
            state(earlier)
        );
        let grown = match kept {
            Some(kept) if kept == earlier => None,
            Some(_) | None => Some(grown),
        };
        let proven = [
            Some(seal(checkpoint, signers)),
            grown_since_kept(kept.as_ref()),
            grown,
        ];
        writeln!(f, "VERIFIED\n\nThis is proven:")?;
        list(f, &proven.into_iter().flatten().collect::<Vec<_>>())?;
        writeln!(f, "\nThis is not proven:")?;
        let not = [NOT_READ, NOT_SHOWN_ALIKE, NOT_RECORDED].map(str::to_owned);
        let not = not.into_iter().chain(before(kept.as_ref()));
        list(f, &not.collect::<Vec<_>>())
    }
}

const NOT_ALL: &str =
    "That nothing else was recorded of the same stream. Ask for a bundle, which has all of it.";
const NOT_AGAIN: &str = "That nothing else was asked, by the same people or others: every request has an outcome or events of its own.";
const NOT_READ: &str = "What is in the log. Ask for a bundle of what you want to read.";

fn event_is(event: &EventLeaf<'_>) -> String {
    format!(
        "Position {} of the store is version {} of {}/{}: {}, recorded at {} for the command {}.",
        event.position,
        event.version,
        Plain(event.category),
        Plain(event.stream_id),
        Plain(event.event_type),
        Moment(event.recorded_at_micros),
        uuid_text::write(event.command_id),
    )
}

fn event_says(event: &EventLeaf<'_>) -> Option<String> {
    Some(format!(
        "It says {}, and beside it {}.",
        Shown(event.payload),
        Shown(event.metadata)
    ))
}

fn outcome_is(outcome: &OutcomeLeaf<'_>) -> String {
    let became = match outcome.refusal {
        Some(_) => "was refused",
        None => "was carried out and changed nothing",
    };
    format!(
        "The command {} {became}, recorded at {} as outcome {} of the store.",
        uuid_text::write(outcome.command_id),
        Moment(outcome.recorded_at_micros),
        outcome.number,
    )
}

fn outcome_says(outcome: &OutcomeLeaf<'_>) -> Option<String> {
    let refusal = outcome.refusal?;
    Some(format!(
        "The refusal is {}, and beside it {}.",
        Shown(refusal),
        Shown(outcome.metadata)
    ))
}
