//! Reads the stores that are reconciled: one after the other, round after round.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use folio_core::event::DecodeError;
use folio_core::{BatchSize, Filter, MoneyError, Position, ReadError, StoreId, error_chain};
use folio_projections::Source;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::transit::{Owner, Reconciler, Report};

/// Events read in one go.
const PAGE: BatchSize = match BatchSize::new(1_000) {
    Some(size) => size,
    None => BatchSize::ONE,
};
/// So many events of a store may wait for their causes before no more of it is read.
const WAITING_MAX: usize = 20_000;
/// Longest time between two rounds while nothing is new.
const IDLE: Duration = Duration::from_millis(100);
/// Time until the stores are asked again after one has not answered.
const AGAIN: Duration = Duration::from_secs(1);

/// A store that is read, and whose it is.
#[derive(Clone)]
pub struct Followed {
    /// Whose.
    pub owner: Owner,
    /// Where its events come from.
    pub source: Arc<dyn Source>,
}

/// What follows all stores, and tells what is on its way. When it is dropped, it stops.
#[derive(Debug)]
pub struct InTransit {
    told: watch::Receiver<Told>,
    following: JoinHandle<()>,
}

/// What is told of the stores that are followed.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// What is so at the cut that they were read to last; none before the first one.
    pub report: Option<Arc<Report>>,
    /// What keeps them from being read on, if anything does.
    pub failure: Option<String>,
}

/// Why stores could not be reconciled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FollowError {
    /// A store cannot be read.
    #[error("{owner} cannot be read")]
    Read {
        /// Whose.
        owner: Owner,
        /// Why.
        source: ReadError,
    },
    /// An event cannot be read.
    #[error(transparent)]
    Event(#[from] DecodeError),
    /// The sums are too large.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A store is not the one that it was.
    #[error("{owner} is store {now} now, and was {before}: what was read of it is not of it")]
    OtherStore {
        /// Whose.
        owner: Owner,
        /// Which it was.
        before: StoreId,
        /// Which it is.
        now: StoreId,
    },
}

/// Reconciles stores as far as each of them is now. `progress` is told how many events have been read, and how many
/// there are.
///
/// # Errors
///
/// [`FollowError`]. That something is not as it must be is no error but a finding.
pub async fn reconcile(
    followed: Vec<Followed>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, FollowError> {
    let mut round = Rounds::open(followed).await?;
    let heads = round.heads().await?;
    let all: u64 = heads.iter().map(|head| head.number().unsigned_abs()).sum();
    while !round.is_through(&heads) && !round.round().await?.whole()? {
        progress(round.read(), all);
    }
    // Once more, in which causes of what was read last are found.
    round.round().await?.whole()?;
    progress(all, all);
    Ok(round.reconciler.report()?)
}

impl InTransit {
    /// Follows stores from their beginnings on. They need not answer yet.
    #[must_use]
    pub fn follow(followed: Vec<Followed>) -> Self {
        let (tell, told) = watch::channel(Told::default());
        let following = tokio::spawn(async move {
            loop {
                if let Err(error) = follow(&followed, &tell).await {
                    let failure = error_chain(&error);
                    tracing::warn!(cause = failure, "the stores are not followed");
                    tell.send_modify(|told| told.failure = Some(failure));
                }
                sleep(AGAIN).await;
            }
        });
        Self { told, following }
    }

    /// What is so as far as the stores were read.
    #[must_use]
    pub fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    /// What is so once the cut has these positions, or what is known after `patience`.
    pub async fn told_at(&self, positions: &[(StoreId, Position)], patience: Duration) -> Told {
        let mut told = self.told.clone();
        let is_there = |told: &Told| {
            let report = told.report.as_ref();
            report.is_some_and(|report| {
                report.cut.iter().all(|(_, store, reached)| {
                    let wanted = positions.iter().find(|(wanted, _)| wanted == store);
                    wanted.is_none_or(|(_, position)| reached >= position)
                })
            })
        };
        let reached = timeout(patience, told.wait_for(is_there)).await;
        match reached {
            Ok(Ok(told)) => told.clone(),
            Ok(Err(_)) | Err(_) => self.told(),
        }
    }
}

impl Drop for InTransit {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Follows stores from their beginnings on, until one is not what it was.
async fn follow(followed: &[Followed], tell: &watch::Sender<Told>) -> Result<(), FollowError> {
    let mut rounds = Rounds::open(followed.to_vec()).await?;
    loop {
        let Round { is_end, failure } = rounds.round().await?;
        let report = Arc::new(rounds.reconciler.report()?);
        figures(&report);
        let has_failed = failure.is_some();
        tell.send_modify(|told| {
            told.report = Some(report);
            told.failure = failure.map(|error| error_chain(&error));
        });
        if has_failed {
            rounds.check().await?;
            sleep(AGAIN).await;
        } else if is_end {
            rounds.news().await;
        }
    }
}

/// What came of a round.
struct Round {
    /// Whether there was nothing new in any store.
    is_end: bool,
    /// Why one of them was not read, if one was not.
    failure: Option<FollowError>,
}

impl Round {
    fn whole(self) -> Result<bool, FollowError> {
        match self.failure {
            None => Ok(self.is_end),
            Some(error) => Err(error),
        }
    }
}

/// Stores that are read in turn.
struct Rounds {
    followed: Vec<Followed>,
    stores: Vec<StoreId>,
    reconciler: Reconciler,
}

impl Rounds {
    async fn open(followed: Vec<Followed>) -> Result<Self, FollowError> {
        let mut stores = Vec::with_capacity(followed.len());
        for each in &followed {
            stores.push(each.source.identify().await.map_err(each.failed())?);
        }
        let owners = followed.iter().map(|each| each.owner.clone());
        let reconciler = Reconciler::new(owners.zip(stores.iter().copied()).collect());
        Ok(Self {
            followed,
            stores,
            reconciler,
        })
    }

    async fn heads(&self) -> Result<Vec<Position>, FollowError> {
        let mut heads = Vec::with_capacity(self.followed.len());
        for each in &self.followed {
            heads.push(each.source.head().await.map_err(each.failed())?);
        }
        Ok(heads)
    }

    /// Whether the stores are still those that they were. One that cannot be asked may be.
    async fn check(&self) -> Result<(), FollowError> {
        for (each, before) in self.followed.iter().zip(&self.stores) {
            match each.source.identify().await {
                Ok(now) if now != *before => {
                    return Err(FollowError::OtherStore {
                        owner: each.owner.clone(),
                        before: *before,
                        now,
                    });
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Reads a page of each store, one after the other: so a store that has ended was looked at after all that is known
    /// of the others. One that does not answer keeps nobody from reading the others.
    async fn round(&mut self) -> Result<Round, FollowError> {
        let mut round = Round {
            is_end: true,
            failure: None,
        };
        for (number, each) in self.followed.iter().enumerate() {
            if self.reconciler.waiting(number) > WAITING_MAX {
                continue;
            }
            let after = self.reconciler.read(number);
            match each.source.read(&Filter::all(), after, PAGE).await {
                Ok(page) if page.through > after => {
                    round.is_end = false;
                    self.reconciler.take_in(number, page.events, page.through)?;
                }
                Ok(_) => self.reconciler.ended(number)?,
                Err(error) => round.failure = Some(each.failed()(error)),
            }
        }
        let mut stores = 0..self.followed.len();
        let nothing_waits = stores.all(|number| self.reconciler.waiting(number) == 0);
        if round.is_end && round.failure.is_none() && nothing_waits {
            self.reconciler.complete();
        }
        Ok(round)
    }

    /// Waits until some store may have news.
    async fn news(&self) {
        let mut appended: Vec<_> = self
            .followed
            .iter()
            .map(|each| each.source.appended())
            .collect();
        let changes = appended
            .iter_mut()
            .map(|appended| Box::pin(appended.changed()));
        let _ = timeout(IDLE, futures_util::future::select_all(changes)).await;
    }

    fn read(&self) -> u64 {
        let stores = 0..self.followed.len();
        let read = stores.map(|number| self.reconciler.read(number).number().unsigned_abs());
        read.sum()
    }

    fn is_through(&self, heads: &[Position]) -> bool {
        let heads = heads.iter().enumerate();
        heads
            .into_iter()
            .all(|(number, head)| self.reconciler.read(number) >= *head)
    }
}

impl Followed {
    fn failed(&self) -> impl FnOnce(ReadError) -> FollowError {
        let owner = self.owner.clone();
        |source| FollowError::Read { owner, source }
    }
}

fn figures(report: &Report) {
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let found = usize::try_from(report.found).unwrap_or(usize::MAX);
    metrics::gauge!("folio_in_transit_sagas").set(count(report.on_the_way.len()));
    metrics::gauge!("folio_in_transit_findings").set(count(found));
    metrics::gauge!("folio_in_transit_holds").set(count(usize::from(report.holds())));
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Book(book) => write!(f, "book {book}"),
            Self::Sagas => f.write_str("transfers"),
        }
    }
}
