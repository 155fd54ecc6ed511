//! Pages of what a store holds between two positions, found by whatever the store finds by itself.

use folio_core::{
    BatchSize, EventStore, Filter, Outcome, Position, ReadError, RecordedEvent, StreamId, Version,
};

use super::wanted::Wanted;
use crate::moment;

/// Pages of the events that may be wanted, in the order of their positions.
pub(super) struct Reading<'a> {
    pub(super) store: &'a dyn EventStore,
    pub(super) source: Source,
    /// Everything up to here is out of range, or was read.
    pub(super) after: Position,
    /// Nothing after this is in range.
    pub(super) through: Position,
    /// Where the range begins.
    began: Position,
}

/// By what events are found.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// By the command that caused them: all are known.
    Command(Vec<RecordedEvent>),
    /// By the stream, of which the events up to a version are out of range, or were read.
    Stream(StreamId, Version),
    /// By the category.
    Category(Filter),
    /// By the position alone.
    All,
}

impl<'a> Reading<'a> {
    /// The events of a store, which ends at `head`, that may be wanted.
    pub(super) async fn new(
        store: &'a dyn EventStore,
        wanted: &Wanted,
        head: Position,
    ) -> Result<Self, ReadError> {
        let mut after = match wanted.from {
            Some(from) => Position::START.plus(from.number().saturating_sub(1)),
            None => Position::START,
        };
        let mut through = wanted.to.map_or(head, |to| to.min(head));
        if let Some(since) = wanted.since {
            after = after.max(moment::last_before(store, since, head).await?);
        }
        if let Some(until) = wanted.until {
            through = through.min(moment::last_before(store, until, head).await?);
        }
        let source = match (wanted.command, &wanted.stream, &wanted.category) {
            (Some(command), _, _) => Source::Command(match store.outcome(command).await? {
                Some(Outcome::Committed(events)) => events,
                Some(Outcome::Empty | Outcome::Refused(_)) | None => Vec::new(),
            }),
            (None, Some(stream), _) => {
                let version = version_at(store, stream, after).await?;
                Source::Stream(stream.clone(), version)
            }
            (None, None, Some(category)) => Source::Category(Filter::category(category)),
            (None, None, None) => Source::All,
        };
        Ok(Self {
            store,
            source,
            after,
            through,
            began: after,
        })
    }

    /// The next page, which may be without events; none at the end of the range.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<RecordedEvent>>, ReadError> {
        if self.after >= self.through {
            return Ok(None);
        }
        let size = BatchSize::default();
        let mut events = match &mut self.source {
            Source::Command(events) => {
                let (after, through) = (self.after, self.through);
                self.after = through;
                let mut events = std::mem::take(events);
                events.retain(|event| event.position > after && event.position <= through);
                return Ok(Some(events));
            }
            Source::Stream(stream, version) => {
                let events = self.store.read_stream(stream, *version, size).await?;
                // A page that is not full is the end of the stream.
                let is_full = i64::try_from(events.len()).is_ok_and(|read| read == size.events());
                let read = events.iter().filter(|event| event.position <= self.through);
                if let Some(last) = read.last() {
                    *version = last.version;
                }
                self.after = match events.last() {
                    Some(last) if is_full => last.position,
                    _ => self.through,
                };
                events
            }
            Source::Category(filter) => {
                let page = self.store.read_filtered(filter, self.after, size).await?;
                if page.through <= self.after {
                    return Err(lost(self.after.plus(1)));
                }
                self.after = page.through;
                page.events
            }
            Source::All => {
                let events = self.store.read_all(self.after, size).await?;
                self.after = match events.last() {
                    Some(last) => last.position,
                    None => return Err(lost(self.after.plus(1))),
                };
                events
            }
        };
        events.retain(|event| event.position <= self.through);
        self.after = self.after.min(self.through);
        Ok(Some(events))
    }

    /// The range ends later.
    pub(super) fn go_on(&mut self, through: Position) {
        self.began = self.after;
        self.through = through.max(self.through);
    }

    /// How many positions are looked through, of how many.
    pub(super) const fn progress(&self) -> (i64, i64) {
        (
            self.after.events_since(self.began),
            self.through.events_since(self.began),
        )
    }
}

/// What was there when the range was found is not there any more.
fn lost(position: Position) -> ReadError {
    ReadError::Corrupt {
        position,
        what: "it is missing".to_owned(),
    }
}

/// The last version of a stream at or before a position.
async fn version_at(
    store: &dyn EventStore,
    stream: &StreamId,
    position: Position,
) -> Result<Version, ReadError> {
    if position == Position::START {
        return Ok(Version::NONE);
    }
    let last = store.read_stream_backwards(stream, Version::MAX, BatchSize::ONE);
    let last = last
        .await?
        .first()
        .map_or(0, |event| event.version.number());
    // Versions that are at or before it, and the first one that is not.
    let (mut at, mut not) = (0, last.saturating_add(1));
    while not - at > 1 {
        let middle = at + (not - at) / 2;
        let previous = Version::NONE.plus(middle.saturating_sub(1));
        let events = store.read_stream(stream, previous, BatchSize::ONE).await?;
        match events.first() {
            Some(event) if event.position <= position => at = middle,
            _ => not = middle,
        }
    }
    Ok(Version::NONE.plus(at))
}
