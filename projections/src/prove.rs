//! Proving that a build was given each event once: its record beside the source.

use std::collections::BTreeMap;

use folio_core::{BatchSize, Filter, HistoryError, Position, ReadError};
use folio_postgres::Transaction;
use thiserror::Error;
use tokio_postgres::Client;

use crate::build::{Build, ModelError, Partition, builds};
use crate::diff::SNAPSHOT;
use crate::name::BuildName;
use crate::operations::named;
use crate::projection::Projection;
use crate::proof::{Proof, Skipped};
use crate::range::Range;
use crate::reckoning::{Reckoning, Wanting};
use crate::record::{Fate, Record};
use crate::source::verify;
use crate::taken::{recorded, sharings};

const LETTERS: &str = "SELECT position, resolution, resolved_by, reason FROM projections.dead_letters \
     WHERE projection = $1 AND build = $2 AND position >= $3 ORDER BY position";

/// What the models' database says of a build, as of one moment.
struct Stated {
    build: Build,
    from: Position,
    record: Record,
    skipped: Vec<Skipped>,
}

impl Projection {
    /// Reads the source again and compares it with the record of what the projector of a build was given:
    /// each event that it wants once, in order, up to its checkpoint, but those that are parked or were
    /// skipped. Traffic goes on meanwhile; it is about the moment at which this began.
    ///
    /// The first `flaws_max` ranges in which something is wrong are listed, and all are counted. `progress`
    /// is told how far it has come, and how far it is to go.
    ///
    /// # Errors
    ///
    /// [`ProveError`]. That something is wrong with the build is none, but an answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing: it only reads.
    pub async fn prove(
        &self,
        build: i32,
        flaws_max: usize,
        mut progress: impl FnMut(Position, Position),
    ) -> Result<Proof, ProveError> {
        let name = self.build_name(build);
        let Stated {
            build,
            from,
            record,
            skipped,
        } = self.stated(&name).await?;
        self.verify_all(&build).await?;
        let furthest = build.partitions.iter().map(Partition::position).max();
        let furthest = furthest.unwrap_or(Position::START);
        let begins = Range::of(from);
        let mut reckoning = Reckoning::new(record, begins, flaws_max);
        let (source, wanted) = (&self.shared.source, self.shared.projector.wants());
        let mut at = Position::START.plus(from.number().saturating_sub(1));
        while at < furthest {
            progress(at, furthest);
            // All there is, and not what is wanted: what leaves out too much shall not decide here too.
            let page = source
                .read(&Filter::all(), at, BatchSize::default())
                .await?;
            if page.events.is_empty() {
                return Err(ProveError::Ended { position: at });
            }
            for event in &page.events {
                if event.position != at.plus(1) {
                    return Err(ProveError::Hole {
                        position: at.plus(1),
                    });
                }
                at = event.position;
                if at > furthest {
                    break;
                }
                let wanting = match wanted.admits(event) {
                    true => Wanting::Wanted,
                    false => Wanting::Other,
                };
                reckoning.see(event, wanting);
            }
        }
        reckoning.finish();
        // The same history to the end.
        self.verify_all(&build).await?;
        let totals = reckoning.totals;
        let checkpoint = build.partitions.iter().find_map(|one| one.checkpoint);
        Ok(Proof {
            store_id: checkpoint.map(|at| at.store_id),
            from,
            position: build.position(),
            furthest,
            wanted: totals.wanted,
            taken: totals.taken,
            late: totals.late,
            parked: totals.parked,
            skipped,
            flaws: reckoning.flaws,
            flaws_found: reckoning.flaws_found,
            build: name,
        })
    }

    async fn stated(&self, name: &BuildName) -> Result<Stated, ProveError> {
        let client = self.shared.models.get().await.map_err(ModelError::Pool)?;
        let transaction = Transaction::begin(client, SNAPSHOT).await?;
        let stated = stated(&transaction, name).await;
        transaction.rollback().await?;
        let stated = stated?;
        if stated.build.revision != self.name().revision {
            return Err(ProveError::OtherRevision {
                build: name.clone(),
                revision: stated.build.revision,
            });
        }
        Ok(stated)
    }

    /// Makes sure that the source has the history that the build was filled from.
    async fn verify_all(&self, build: &Build) -> Result<(), ProveError> {
        let mut checkpoints: Vec<_> = build.partitions.iter().map(|one| one.checkpoint).collect();
        checkpoints.dedup();
        for checkpoint in checkpoints.into_iter().flatten() {
            verify(checkpoint, &*self.shared.source).await?;
        }
        Ok(())
    }
}

async fn stated(client: &Client, name: &BuildName) -> Result<Stated, ProveError> {
    let builds = builds(client, Some(&name.projection)).await?;
    let Some(build) = named(&builds, name.build) else {
        return Err(ProveError::NoBuild {
            build: name.clone(),
        });
    };
    let mut record = Record {
        sharings: sharings(client, name).await?,
        ends: build.partitions.iter().map(Partition::position).collect(),
        ..Record::default()
    };
    let Some(begins) = record.begins() else {
        return Err(ProveError::NotRecorded {
            build: name.clone(),
        });
    };
    record.tallies = recorded(client, name, begins).await?;
    let (letters, skipped) = letters(client, name, begins.first()).await?;
    record.letters = letters;
    Ok(Stated {
        build: build.clone(),
        from: begins.first(),
        record,
        skipped,
    })
}

type Letters = (BTreeMap<Position, Fate>, Vec<Skipped>);

async fn letters(
    client: &Client,
    build: &BuildName,
    from: Position,
) -> Result<Letters, tokio_postgres::Error> {
    let from = from.number();
    let rows = client
        .query(LETTERS, &[&build.projection, &build.build, &from])
        .await?;
    let (mut letters, mut skipped) = (BTreeMap::new(), Vec::new());
    for row in &rows {
        let position = Position::START.plus(row.try_get(0)?);
        let resolution: Option<&str> = row.try_get(1)?;
        let fate = match resolution {
            None => Fate::Waits,
            Some("projected") => Fate::Projected,
            // The table admits no third one.
            Some(_) => {
                let (by, reason): (Option<String>, Option<String>) =
                    (row.try_get(2)?, row.try_get(3)?);
                skipped.push(Skipped {
                    position,
                    by: by.unwrap_or_default(),
                    reason: reason.unwrap_or_default(),
                });
                Fate::Skipped
            }
        };
        letters.insert(position, fate);
    }
    Ok((letters, skipped))
}

/// Why nothing could be proven, the one way or the other.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The models' database gave no answer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The models' database failed.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The source is not, or not any more, the one that the build was filled from.
    #[error("the source is not the one that the build was filled from")]
    History(#[from] HistoryError),
    /// The source cannot be read.
    #[error("the source cannot be read")]
    Read(#[from] ReadError),
    /// The source has a hole, so that what comes from it proves nothing.
    #[error("the source has no event at position {position}, so it cannot be compared with")]
    Hole {
        /// The position.
        position: Position,
    },
    /// The source ends too early.
    #[error(
        "the source ends at position {position}, before the build's checkpoint; was it restored?"
    )]
    Ended {
        /// The last position that it gave.
        position: Position,
    },
    /// There is no such build.
    #[error("there is no {build}; list the builds to see which there are")]
    NoBuild {
        /// Its name.
        build: BuildName,
    },
    /// It is of another revision, which may want other events.
    #[error("{build} is of revision {revision}; let a program of that revision prove it")]
    OtherRevision {
        /// The build.
        build: BuildName,
        /// Its revision.
        revision: i32,
    },
    /// What was recorded does not fit how it is shared out.
    #[error(
        "{build} has no record of how it is shared out now; rebuild the projection to have one"
    )]
    NotRecorded {
        /// The build.
        build: BuildName,
    },
}
