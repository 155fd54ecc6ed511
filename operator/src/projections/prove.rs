//! `projections prove`: whether each event was taken in once.

use std::fmt;

use clap::Args;
use folio_core::Position;
use folio_projections::{Flaw, FlawKind, Projection, Proof, Skipped};
use serde::Serialize;

use super::builds::or_live;
use crate::bar::{bar, figure};
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::{Format, count, json};

/// Arguments of `projections prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// The projection; all of them, when left out.
    pub name: Option<String>,
    /// The build; the live one, when left out.
    #[arg(long, value_name = "N", requires = "name")]
    pub build: Option<i32>,
    /// How many ranges are listed at most in which something is wrong, the first ones.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    pub most: u16,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

pub(crate) async fn prove(
    desk: &mut Desk<'_>,
    arguments: ProveArgs,
) -> Result<Finding, OperatorError> {
    let mut proofs = Vec::new();
    for projection in desk.chosen(arguments.name.as_deref())? {
        let build = or_live(&projection, arguments.build).await?;
        let proof = watched(desk, &projection, build, arguments.most).await?;
        if arguments.format == Format::Table {
            desk.say(Proving(&proof))?;
        }
        proofs.push(proof);
    }
    if arguments.format == Format::Json {
        let bodies: Vec<ProofBody<'_>> = proofs.iter().map(ProofBody::new).collect();
        json(desk.out, &bodies)?;
    }
    Ok(Finding::clean_if(proofs.iter().all(is_proven)))
}

async fn watched(
    desk: &Desk<'_>,
    projection: &Projection,
    build: i32,
    most: u16,
) -> Result<Proof, OperatorError> {
    let bar = bar("proving", 0);
    let progress = |at: Position, end: Position| {
        bar.set_length(figure(end.number()));
        bar.set_position(figure(at.number()));
    };
    let mut stop = desk.stop.clone();
    tokio::select! {
        proof = projection.prove(build, most.into(), progress) => Ok(proof?),
        _ = stop.wait_for(|stop| *stop) => Err(OperatorError::Interrupted),
    }
}

/// Whether nothing is wrong, and that is said of something.
fn is_proven(proof: &Proof) -> bool {
    proof.holds() && !proof.is_void()
}

/// A proof for people.
struct Proving<'a>(&'a Proof);

impl fmt::Display for Proving<'_> {
    /// Ends without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = self.0;
        let build = &proof.build;
        if proof.is_void() {
            write!(
                f,
                "{build}: nothing is proven, its record begins at position {}; rebuild it to prove all",
                proof.from
            )?;
        } else {
            write!(f, "{build}, positions {} to {}", proof.from, proof.position)?;
            if proof.furthest > proof.position {
                write!(f, ", of some partitions to {}", proof.furthest)?;
            }
            match proof.flaws_found {
                0 => write!(f, ": each event once")?,
                flaws => {
                    let flaws = i64::try_from(flaws).unwrap_or(i64::MAX);
                    write!(f, ": something is wrong in {}", count(flaws, "range"))?;
                }
            }
        }
        let late = match proof.late {
            0 => String::new(),
            late => format!(" ({late} of them after it was parked)"),
        };
        write!(
            f,
            "\n  {} expected: {} taken in{late}, {} skipped, {} parked",
            count(proof.wanted, "event"),
            proof.taken,
            proof.skipped.len(),
            proof.parked
        )?;
        if !proof.is_void() && !proof.is_whole() {
            write!(
                f,
                "\n  not recorded before position {}; rebuild it to prove all",
                proof.from
            )?;
        }
        for skipped in &proof.skipped {
            let Skipped {
                position,
                by,
                reason,
            } = skipped;
            write!(f, "\n  position {position} was skipped by {by}: {reason}")?;
        }
        for flaw in &proof.flaws {
            write!(f, "\n  {flaw}")?;
        }
        let more = proof.flaws_found.saturating_sub(proof.flaws.len());
        if more > 0 {
            write!(f, "\n  and {more} more")?;
        }
        Ok(())
    }
}

/// A proof for programs.
#[derive(Debug, Serialize)]
struct ProofBody<'a> {
    projection: &'a str,
    build: i32,
    store_id: Option<String>,
    /// Whether nothing is wrong, and that is said of something.
    is_proven: bool,
    from: i64,
    position: i64,
    furthest: i64,
    expected: i64,
    taken: i64,
    late: i64,
    parked: i64,
    skipped: Vec<SkippedBody<'a>>,
    flaws_found: usize,
    flaws: Vec<FlawBody>,
}

#[derive(Debug, Serialize)]
struct SkippedBody<'a> {
    position: i64,
    by: &'a str,
    reason: &'a str,
}

#[derive(Debug, Serialize)]
struct FlawBody {
    /// From 1.
    partition: u32,
    partitions: u16,
    first: i64,
    last: i64,
    expected: i64,
    taken: i64,
    /// `missing`, `surplus`, `stray`, `others`, `out_of_order` or `letters`.
    kind: &'static str,
    /// The event, where it is one that is found out.
    event: Option<i64>,
    what: String,
}

impl<'a> ProofBody<'a> {
    fn new(proof: &'a Proof) -> Self {
        let skipped = |skipped: &'a Skipped| SkippedBody {
            position: skipped.position.number(),
            by: &skipped.by,
            reason: &skipped.reason,
        };
        Self {
            projection: &proof.build.projection,
            build: proof.build.build,
            store_id: proof.store_id.map(|id| id.as_uuid().to_string()),
            is_proven: is_proven(proof),
            from: proof.from.number(),
            position: proof.position.number(),
            furthest: proof.furthest.number(),
            expected: proof.wanted,
            taken: proof.taken,
            late: proof.late,
            parked: proof.parked,
            skipped: proof.skipped.iter().map(skipped).collect(),
            flaws_found: proof.flaws_found,
            flaws: proof.flaws.iter().map(FlawBody::new).collect(),
        }
    }
}

impl FlawBody {
    fn new(flaw: &Flaw) -> Self {
        let (kind, event) = match flaw.kind {
            FlawKind::Missing { event, .. } => ("missing", event),
            FlawKind::Surplus { event, .. } => ("surplus", event),
            FlawKind::Stray { event } => ("stray", Some(event)),
            FlawKind::Others => ("others", None),
            FlawKind::OutOfOrder { .. } => ("out_of_order", None),
            FlawKind::Letters { .. } => ("letters", None),
        };
        Self {
            partition: u32::from(flaw.partition).saturating_add(1),
            partitions: flaw.of,
            first: flaw.first.number(),
            last: flaw.last.number(),
            expected: flaw.expected,
            taken: flaw.found,
            kind,
            event: event.map(Position::number),
            what: flaw.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use folio_projections::BuildName;

    use super::*;

    fn at(position: i64) -> Position {
        Position::START.plus(position)
    }

    fn proof() -> Proof {
        Proof {
            build: BuildName::new("balances", 2),
            store_id: None,
            from: at(1),
            position: at(9_000),
            furthest: at(9_010),
            wanted: 9_004,
            taken: 9_002,
            late: 1,
            parked: 0,
            skipped: vec![Skipped {
                position: at(7),
                by: "ann".to_owned(),
                reason: "served twice".to_owned(),
            }],
            flaws: vec![Flaw {
                partition: 1,
                of: 2,
                first: at(4_097),
                last: at(8_192),
                expected: 2_000,
                found: 1_999,
                kind: FlawKind::Missing {
                    events: 1,
                    event: Some(at(5_000)),
                },
            }],
            flaws_found: 3,
        }
    }

    #[test]
    fn people_see_what_is_wrong_and_what_was_passed_over() {
        let text = "\
balances build 2, positions 1 to 9000, of some partitions to 9010: something is wrong in 3 ranges
  9004 events expected: 9002 taken in (1 of them after it was parked), 1 skipped, 0 parked
  position 7 was skipped by ann: served twice
  positions 4097 to 8192, partition 2 of 2: 1999 taken in, 2000 expected: position 5000 is missing
  and 2 more";
        assert_eq!(Proving(&proof()).to_string(), text);
        assert!(!is_proven(&proof()));
    }

    #[test]
    fn what_was_not_recorded_is_said_and_a_proof_of_nothing_is_none() {
        let clean = Proof {
            from: at(4_097),
            flaws: Vec::new(),
            flaws_found: 0,
            ..proof()
        };
        let text = Proving(&clean).to_string();
        assert!(text.contains("positions 4097 to 9000"), "{text}");
        assert!(text.contains("not recorded before position 4097"), "{text}");
        assert!(is_proven(&clean));
        let void = Proof {
            from: at(12_289),
            ..clean
        };
        let text = Proving(&void).to_string();
        assert!(text.contains("nothing is proven"), "{text}");
        assert!(!is_proven(&void));
    }

    #[test]
    fn programs_get_the_event_that_is_missing() {
        let proof = proof();
        let body = serde_json::to_string(&ProofBody::new(&proof)).unwrap();
        for part in [
            r#""is_proven":false,"from":1,"position":9000"#,
            r#""skipped":[{"position":7,"by":"ann","reason":"served twice"}]"#,
            r#""kind":"missing","event":5000"#,
            r#""flaws_found":3"#,
        ] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
    }
}
