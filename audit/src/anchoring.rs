//! What the anchors of a log have, also while one is away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use folio_core::error_chain;
use folio_proofs::checkpoint::{Checkpoint, Origin};
use folio_proofs::merkle::{ConsistencyProof, Size};
use folio_proofs::note::SignedNote;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::anchor::{Anchor, AnchorError, Anchors};
use crate::error::SealError;
use crate::settings::SealerSettings;
use crate::trusted::TrustedLog;

/// Longest wait for an anchor. Past that it is away.
const PATIENCE: Duration = Duration::from_secs(15);

/// The anchors of a log, as a sealer knows them.
#[derive(Debug)]
pub(crate) struct Anchoring(Vec<Place>);

#[derive(Debug)]
struct Place {
    anchor: Arc<dyn Anchor>,
    known: Known,
    reach: Reach,
}

/// What an anchor has, as far as it has said so.
#[derive(Debug)]
enum Known {
    Unheard,
    Empty,
    Last(Box<Checkpoint>),
}

#[derive(Debug, Clone, Copy)]
enum Reach {
    There,
    /// It is asked again at a time.
    Away {
        failures: u32,
        until: Instant,
    },
}

impl Anchoring {
    pub(crate) fn of(anchors: Anchors) -> Self {
        let place = |anchor| Place {
            anchor,
            known: Known::Unheard,
            reach: Reach::There,
        };
        Self(anchors.into_iter().map(place).collect())
    }

    /// Asks all for what they have. One that is away is not waited for, as long as another has said so, or has once.
    pub(crate) async fn ask(
        &mut self,
        log: &TrustedLog,
        settings: SealerSettings,
    ) -> Result<(), SealError> {
        let asked = self.0.iter_mut().map(|place| place.ask(log, settings));
        let mut away = None;
        for answered in join_all(asked).await {
            match answered {
                Ok(()) => {}
                Err(SealError::Anchor(error @ AnchorError::Damaged { .. })) => {
                    return Err(error.into());
                }
                Err(error @ SealError::Anchor(_)) => away = away.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        let is_unheard = |place: &Place| matches!(place.known, Known::Unheard);
        match away {
            Some(error) if self.0.iter().all(is_unheard) => Err(error),
            _ => Ok(()),
        }
    }

    /// The last checkpoints of those that have said that they have one.
    pub(crate) fn anchored(&self) -> impl Iterator<Item = &Checkpoint> {
        self.0.iter().filter_map(|place| match &place.known {
            Known::Last(checkpoint) => Some(&**checkpoint),
            Known::Unheard | Known::Empty => None,
        })
    }

    /// From which sizes it has to be proven that the log has grown to this one, for those who are there.
    pub(crate) fn behind(&self, size: Size) -> Vec<Size> {
        let mut sizes: Vec<Size> = self.0.iter().filter_map(|one| one.behind(size)).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// Appends a checkpoint where it is not yet. One that does not take it is asked again another time.
    pub(crate) async fn append(
        &mut self,
        checkpoint: &Checkpoint,
        note: &SignedNote,
        growth: &BTreeMap<Size, ConsistencyProof>,
        settings: SealerSettings,
    ) {
        let size = Size::new(checkpoint.size);
        let appended = self.0.iter_mut().filter_map(|place| {
            let growth = growth.get(&place.behind(size)?)?;
            Some(place.append(checkpoint, note, growth, settings))
        });
        join_all(appended).await;
    }

    /// How far each is behind, for those who look at the metrics. Answers with how many are.
    pub(crate) fn publish(&self, log: &Origin, size: Size) -> usize {
        let mut behind = 0;
        for place in &self.0 {
            let lag = size.number().saturating_sub(place.size().number());
            // A gauge takes a float; what is beyond 32 bits would be rounded, and nobody would care.
            let leaves = f64::from(u32::try_from(lag).unwrap_or(u32::MAX));
            let labels = [("log", log.to_string()), ("anchor", place.anchor.place())];
            metrics::gauge!("folio_anchor_lag_leaves", &labels).set(leaves);
            behind += usize::from(lag > 0);
        }
        behind
    }
}

impl Place {
    /// How many leaves it is known to have.
    fn size(&self) -> Size {
        match &self.known {
            Known::Last(checkpoint) => Size::new(checkpoint.size),
            Known::Unheard | Known::Empty => Size::EMPTY,
        }
    }

    fn behind(&self, size: Size) -> Option<Size> {
        let is_heard = !matches!(self.known, Known::Unheard);
        let is_there = matches!(self.reach, Reach::There);
        let is_behind = match &self.known {
            Known::Last(checkpoint) => checkpoint.size < size.number(),
            Known::Unheard | Known::Empty => true,
        };
        (is_heard && is_there && is_behind).then(|| self.size())
    }

    async fn ask(&mut self, log: &TrustedLog, settings: SealerSettings) -> Result<(), SealError> {
        if let Reach::Away { until, .. } = self.reach
            && Instant::now() < until
        {
            return Ok(());
        }
        let anchor = Arc::clone(&self.anchor);
        let note = match self.answer(anchor.last()).await {
            Ok(note) => note,
            // Somebody has to look after that before anything is sealed.
            Err(error @ AnchorError::Damaged { .. }) => return Err(error.into()),
            Err(error) => {
                self.is_away(&error, settings);
                return Err(error.into());
            }
        };
        self.is_back();
        let last = note.map(|note| log.open(&note)).transpose();
        let last = last.map_err(|error| SealError::ForeignAnchor(Box::new(error)))?;
        let had = self.size();
        self.known = last.map_or(Known::Empty, |last| Known::Last(Box::new(last)));
        if self.size() < had {
            let (anchor, has) = (self.anchor.place(), self.size());
            tracing::error!(anchor, %had, %has, "an anchor has lost checkpoints; find out who has changed it");
        }
        Ok(())
    }

    async fn append(
        &mut self,
        checkpoint: &Checkpoint,
        note: &SignedNote,
        growth: &ConsistencyProof,
        settings: SealerSettings,
    ) {
        let anchor = Arc::clone(&self.anchor);
        match self.answer(anchor.append(note, growth)).await {
            Ok(()) => self.known = Known::Last(Box::new(checkpoint.clone())),
            // Another sealer was faster. What it has appended is compared at the next seal.
            Err(AnchorError::Overtaken { anchor, size }) => {
                tracing::debug!(anchor, %size, "another sealer has anchored");
            }
            Err(error) => self.is_away(&error, settings),
        }
    }

    async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, AnchorError>>,
    ) -> Result<T, AnchorError> {
        let answered = timeout(PATIENCE, asked).await;
        answered.unwrap_or_else(|late| {
            Err(AnchorError::Unreachable {
                anchor: self.anchor.place(),
                source: late.into(),
            })
        })
    }

    fn is_away(&mut self, error: &AnchorError, settings: SealerSettings) {
        let failures = match self.reach {
            Reach::There => 0,
            Reach::Away { failures, .. } => failures.saturating_add(1),
        };
        let wait = settings.wait_after(failures);
        let until = Instant::now() + wait;
        self.reach = Reach::Away { failures, until };
        let (anchor, error) = (self.anchor.place(), error_chain(error));
        tracing::error!(
            anchor,
            error,
            ?wait,
            "nothing is anchored there; it is tried again"
        );
    }

    fn is_back(&mut self) {
        if let Reach::Away { .. } = self.reach {
            self.reach = Reach::There;
            tracing::info!(anchor = self.anchor.place(), "the anchor is back");
        }
    }
}
