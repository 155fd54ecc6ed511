//! The pure half of a projector: rows by key, folded in memory.

use std::collections::BTreeMap;
use std::fmt::Debug;

use folio_core::RecordedEvent;

use crate::projector::ProjectorError;

/// What events mean for one row of a model, as a pure function: no database, no clock.
///
/// A projector loads the rows that a batch is about, [folds](Rows::fold) the batch into them and
/// writes back [what has changed](Rows::changed). A test needs the fold alone: see `testing::given`.
pub trait Fold {
    /// A row. Its fields are what the projector loads and writes.
    type Row: Clone + Debug + PartialEq;

    /// The key of the row that `event` is about; none where it is about none. By default, the id of
    /// its stream.
    fn key(event: &RecordedEvent) -> Option<&str> {
        Some(event.stream.id())
    }

    /// The row after `event`. None before the first event of its key, and where it is to be removed.
    ///
    /// # Errors
    ///
    /// [`ProjectorError`], which names the event.
    fn fold(
        row: Option<Self::Row>,
        event: &RecordedEvent,
    ) -> Result<Option<Self::Row>, ProjectorError>;
}

/// The rows of a batch.
#[derive(Debug)]
pub struct Rows<F: Fold> {
    rows: BTreeMap<String, Kept<F::Row>>,
}

#[derive(Debug)]
struct Kept<R> {
    row: Option<R>,
    origin: Origin,
    is_changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Loaded,
    New,
}

impl<F: Fold> Default for Rows<F> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
        }
    }
}

impl<F: Fold> Rows<F> {
    /// The keys that `events` are about, each once: what has to be loaded.
    #[must_use]
    pub fn keys(events: &[RecordedEvent]) -> Vec<&str> {
        let mut keys: Vec<&str> = events.iter().filter_map(F::key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The rows as they are in the model, by their keys.
    #[must_use]
    pub fn loaded(rows: impl IntoIterator<Item = (String, F::Row)>) -> Self {
        let kept = |row| Kept {
            row: Some(row),
            origin: Origin::Loaded,
            is_changed: false,
        };
        Self {
            rows: rows
                .into_iter()
                .map(|(key, row)| (key, kept(row)))
                .collect(),
        }
    }

    /// Folds an event into its row, and tells how that is now.
    ///
    /// # Errors
    ///
    /// As [`Fold::fold`].
    pub fn fold(&mut self, event: &RecordedEvent) -> Result<Option<&F::Row>, ProjectorError> {
        let Some(key) = F::key(event) else {
            return Ok(None);
        };
        if !self.rows.contains_key(key) {
            let new = Kept {
                row: None,
                origin: Origin::New,
                is_changed: false,
            };
            self.rows.insert(key.to_owned(), new);
        }
        let Some(kept) = self.rows.get_mut(key) else {
            return Ok(None);
        };
        kept.row = F::fold(kept.row.take(), event)?;
        kept.is_changed = true;
        Ok(kept.row.as_ref())
    }

    /// The rows that are to be written, with their keys, in the order of these.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &F::Row)> {
        self.rows.iter().filter_map(|(key, kept)| {
            let row = kept.row.as_ref().filter(|_| kept.is_changed)?;
            Some((key.as_str(), row))
        })
    }

    /// The keys of rows that are to be removed.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        let gone = self
            .rows
            .iter()
            .filter(|(_, kept)| kept.row.is_none() && kept.origin == Origin::Loaded);
        gone.map(|(key, _)| key.as_str())
    }
}
