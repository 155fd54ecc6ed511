//! What an app writes to have a read model.

use std::collections::BTreeSet;

use async_trait::async_trait;
use folio_core::event::DecodeError;
use folio_core::{Filter, RecordedEvent};
use thiserror::Error;

use crate::model::ModelTransaction;
use crate::name::ProjectionName;

/// Turns events into the rows of a read model.
///
/// # Ordering
///
/// Batches come in position order, each event once: the model and the checkpoint commit together,
/// so after a crash the projection goes on where the model is. A projector therefore needs no
/// safeguards of its own against repeats. Where a build has several partitions, that is so for each
/// stream; batches of different streams may come side by side.
#[async_trait]
pub trait Projector: Send + Sync + 'static {
    /// Its name, and the revision of its code and tables. A new revision gets a build of its own,
    /// which is filled from the first event beside the one that readers see.
    fn name(&self) -> ProjectionName;

    /// Which events it wants. The others are never asked for.
    fn wants(&self) -> Wanted {
        Wanted::all()
    }

    /// How its events can be shared out among several runners.
    fn sharing(&self) -> Sharing {
        Sharing::ByStream
    }

    /// The SQL that makes its tables. Their names stand alone, here and in every other statement:
    /// each build has them in a schema of its own.
    fn tables(&self) -> &str;

    /// Writes what `events` mean for the model, in the transaction that also moves the checkpoint.
    ///
    /// # Errors
    ///
    /// [`ProjectorError`]; the transaction is rolled back. After a transient database error the
    /// batch is tried again, any other error does what [`Poison`](crate::Poison) says. So does a
    /// panic, and a call that does not return within
    /// [`handle_timeout`](crate::Settings::handle_timeout).
    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError>;

    /// Writes what shall happen in the world because of `events`, in the same transaction: rows of an
    /// outbox, say, outside of the build's schema, that somebody else sends from.
    ///
    /// Called right after [`handle`](Self::handle), for each event once: by the live build alone, and
    /// not by one that is being filled, also when it goes live later on. By default there is nothing.
    ///
    /// # Errors
    ///
    /// As [`handle`](Self::handle).
    async fn effects(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let _ = (events, model);
        Ok(())
    }

    /// Empties the model, so that it can be filled again from the first event: by default, every
    /// table of the build.
    ///
    /// # Errors
    ///
    /// [`ProjectorError`].
    async fn reset(&self, model: &mut ModelTransaction) -> Result<(), ProjectorError> {
        model.truncate_all().await
    }
}

/// How the events of a projector can be shared out among several runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// By their streams: each runner has all events of some of them, in order, and none of the others.
    ByStream,
    /// Not at all, for what is so only of all events together, or only of whole appends. A build of it
    /// has one partition.
    Undivided,
}

/// Which events a projector wants.
///
/// ```
/// use folio_projections::Wanted;
///
/// let all = Wanted::all();
/// let openings = Wanted::category("account").of_types(["AccountOpened", "AccountClosed"]);
/// # let _ = (all, openings);
/// ```
///
/// An event that is wanted and that the projector cannot read, since its type is unknown or its
/// schema newer than the program, is not passed over: it is
/// [poison](crate::Poison), and stops the projection or is parked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    categories: BTreeSet<String>,
    types: BTreeSet<String>,
}

impl Wanted {
    /// Every event.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The events of one category.
    #[must_use]
    pub fn category(category: impl Into<String>) -> Self {
        Self::default().and_category(category)
    }

    /// Those of another category too.
    #[must_use]
    pub fn and_category(mut self, category: impl Into<String>) -> Self {
        self.categories.insert(category.into());
        self
    }

    /// Of these, only those of the types that are named.
    #[must_use]
    pub fn of_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Whether it wants `event`.
    #[must_use]
    pub fn admits(&self, event: &RecordedEvent) -> bool {
        let is_of = |set: &BTreeSet<String>, what: &str| set.is_empty() || set.contains(what);
        is_of(&self.categories, event.stream.category()) && is_of(&self.types, &event.event_type)
    }

    /// What a source can leave out by itself; the rest is left out by [`admits`](Self::admits).
    pub(crate) fn filter(&self) -> Filter {
        match self.categories.first() {
            Some(category) if self.categories.len() == 1 => Filter::category(category),
            _ => Filter::all(),
        }
    }
}

/// Why a batch could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProjectorError {
    /// An event cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The database refused.
    #[error("the read model's database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The model contradicts the events.
    #[error("the read model contradicts the events: {0}")]
    Contradiction(String),
    /// It panicked.
    #[error("the projector panicked: {0}")]
    Panicked(String),
    /// It did not return in time, or the server ended its statement for that.
    #[error("the projector did not return within {timeout_ms} ms")]
    TimedOut {
        /// How long it had.
        timeout_ms: u128,
    },
}

impl ProjectorError {
    /// Whether trying again may help: a lost connection, a server that shuts down or starts up, a
    /// deadlock, a full server.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => is_transient(error),
            Self::Decode(_)
            | Self::Contradiction(_)
            | Self::Panicked(_)
            | Self::TimedOut { .. } => false,
        }
    }
}

/// Whether a failure of the database may pass.
pub(crate) fn is_transient(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => {
            error.is_closed()
                || std::error::Error::source(error).is_some_and(|e| e.is::<std::io::Error>())
        }
        Some(code) => ["08", "25P03", "40", "53", "55P03", "57"]
            .iter()
            .any(|class| code.code().starts_with(class)),
    }
}
