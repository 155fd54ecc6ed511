//! Findings as people read them.

use std::fmt;

use folio_proofs::answer::Plain;

use super::finding::{Evidence, Finding, Range, RowAt, StructureFault};

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { row, evidence } => match evidence {
                Evidence::Signed => write!(f, "{row} was altered after it was sealed"),
                Evidence::TileAlone => write!(
                    f,
                    "{row} is not what its tile says, and neither of them comes to a root that was signed"
                ),
            },
            Self::Moved { row, sealed_at } => {
                write!(f, "{row} was moved: it was sealed at position {sealed_at}")
            }
            Self::Inserted { row } => write!(f, "{row} was put among what was sealed"),
            Self::Unreadable { position, why } => {
                write!(f, "the row at {position} cannot be read: {}", Plain(why))
            }
            Self::Missing { first, last } if first == last => {
                write!(f, "position {first} is missing")
            }
            Self::Missing { first, last } => write!(f, "positions {first} to {last} are missing"),
            Self::MissingOutcomes {
                first_leaf,
                last_leaf,
                after,
            } => write!(
                f,
                "outcomes that were sealed after number {after} are missing (leaves {first_leaf} to {last_leaf})"
            ),
            Self::Truncated { last, sealed } => write!(
                f,
                "the events end at position {last} and were sealed up to position {sealed}: the end is lost"
            ),
            Self::Rewritten { .. } => self.write_rewritten(f),
            Self::Structure { row, fault } => write!(f, "{row} {fault}"),
            Self::Tile {
                tile,
                first_leaf,
                last_leaf,
            } => write!(
                f,
                "{tile} was altered: it is wrong over leaves {first_leaf} to {last_leaf}, whose rows are as they were signed"
            ),
            Self::Bucket { number } => write!(
                f,
                "bucket {number} of the map was altered: it is not what the events come to, which are as they were signed"
            ),
            Self::Map {
                size,
                found,
                signed,
            } => write!(
                f,
                "the ends of the streams come to the root {found}, and the checkpoint of {size} leaves has {signed}"
            ),
            Self::Forged { size, why } => {
                write!(
                    f,
                    "the checkpoint of {size} leaves is not to be believed: {}",
                    Plain(why)
                )
            }
            Self::Columns { size } => write!(
                f,
                "the columns beside the checkpoint of {size} leaves are not what was signed"
            ),
            Self::Forked {
                size,
                root,
                other,
                agreed,
                position,
            } => write!(
                f,
                "two checkpoints of {size} leaves were signed, with the roots {root} (in the database) and {other}: the log has \
                 forked between position {agreed} and position {position}"
            ),
            Self::OutOfLine { size, after } => write!(
                f,
                "the checkpoint of {size} leaves cannot come after that of {after} leaves: the log has forked"
            ),
            Self::NotInLog {
                size,
                root,
                agreed,
                position,
                last,
            } => write!(
                f,
                "a checkpoint of {size} leaves up to position {position} with the root {root} was anchored, and the database, \
                 whose last one has {last} leaves, does not have it: the log was cut off or made anew behind position {agreed}"
            ),
            Self::AnchorEmpty { anchor, last } => write!(
                f,
                "the anchor {} has no checkpoint of this log, whose last one has {last} leaves: it is another log's, or what \
                 it had is lost or kept from you",
                Plain(anchor)
            ),
            Self::AnchorBehind { anchor, size, last } => write!(
                f,
                "the anchor {} ends at {size} leaves and the log at {last}, and the first of them that it does not have were \
                 sealed more than a minute ago: it was away, or what it has is lost or kept from you",
                Plain(anchor)
            ),
            Self::Anchor { why } => write!(
                f,
                "an anchor holds what is no checkpoint of this log: {}",
                Plain(why)
            ),
        }
    }
}

impl Finding {
    fn write_rewritten(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Rewritten {
            size,
            first_leaf,
            last_leaf,
            positions,
            outcomes,
            found,
            signed,
        } = self
        else {
            return Ok(());
        };
        write!(f, "leaves {first_leaf} to {last_leaf}")?;
        if let Some(positions) = positions {
            write!(f, ", positions {positions},")?;
        }
        if let Some(outcomes) = outcomes {
            write!(f, ", outcomes {outcomes},")?;
        }
        write!(
            f,
            " were changed with what stands for them in the log: they come to the root {found}, and the checkpoint of \
             {size} leaves has {signed}"
        )
    }
}

impl fmt::Display for RowAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event {
                position,
                category,
                stream_id,
                version,
            } => write!(
                f,
                "position {position} ({}/{} version {version})",
                Plain(category),
                Plain(stream_id)
            ),
            Self::Outcome { number, command } => write!(f, "outcome {number} (command {command})"),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

impl fmt::Display for StructureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { expected } => {
                write!(f, "should have version {expected}, the next of its stream")
            }
            Self::RecordedEarlier {
                micros,
                before_micros,
            } => write!(
                f,
                "was recorded at {micros}, before the event before it ({before_micros})"
            ),
            Self::NoCommand => f.write_str("belongs to no command that has begun before it"),
            Self::CommandCutOff { missing } => write!(
                f,
                "is of another command, and the one before it lacks {missing} of its events"
            ),
            Self::LastCutOff { missing } => {
                write!(f, "is the last event, and its command lacks {missing} more")
            }
            Self::HalfFirst => f.write_str(
                "has only one of the count and the fingerprint that the first event of a command has",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_a_sentence_and_names_the_row() {
        let row = RowAt::Event {
            position: 4711,
            category: "account".to_owned(),
            stream_id: "x".to_owned(),
            version: 3,
        };
        let altered = Finding::Altered {
            row: row.clone(),
            evidence: Evidence::Signed,
        };
        assert_eq!(
            altered.to_string(),
            "position 4711 (account/x version 3) was altered after it was sealed"
        );
        let fault = StructureFault::Version { expected: 2 };
        let structure = Finding::Structure { row, fault };
        assert_eq!(
            structure.to_string(),
            "position 4711 (account/x version 3) should have version 2, the next of its stream"
        );
        let missing = Finding::Missing { first: 5, last: 7 };
        assert_eq!(missing.to_string(), "positions 5 to 7 are missing");
        // Whoever altered the store chooses these texts: on a terminal they could paint over the line.
        let row = RowAt::Event {
            position: 1,
            category: "account".to_owned(),
            stream_id: "\r\u{1b}[2Kread 9 events, 0 findings\n".to_owned(),
            version: 1,
        };
        let told = Finding::Inserted { row }.to_string();
        assert!(!told.contains(char::is_control), "{told:?}");
    }
}
