//! The last events that are wanted, found from the end.

use std::collections::VecDeque;

use folio_core::{BatchSize, Position, ReadError, RecordedEvent, Version};

use super::reading::{Reading, Source};
use super::{EventsError, Going, Listing};

impl Listing<'_> {
    /// The last `count` events of the range. They are looked for from its end, and kept until all are found.
    pub(super) async fn last(
        &mut self,
        reading: &mut Reading<'_>,
        count: u32,
    ) -> Result<Going, EventsError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut found = VecDeque::new();
        let mut backwards = Backwards::new(reading);
        while found.len() < count {
            if self.screen.is_stopped() {
                return Ok(Going::Stopped);
            }
            let page = backwards.next(reading).await;
            let Some(page) = page.map_err(|error| self.unread(error))? else {
                break;
            };
            let (done, all) = backwards.progress(reading);
            self.progress.at(done, all);
            for event in self.wanted(page)? {
                if found.len() < count {
                    found.push_front(event);
                }
            }
        }
        // Whoever follows goes on after the range.
        if let Source::Stream(_, version) = &mut reading.source
            && let Some(last) = backwards.last
        {
            *version = last.max(*version);
        }
        reading.after = reading.through.max(reading.after);
        self.print(found.make_contiguous())?;
        Ok(Going::On)
    }
}

/// Pages from the end of the range, each with the latest event first.
struct Backwards {
    /// Everything from here on is out of range, or was read.
    before: Position,
    /// The same, of the stream that is read.
    before_version: Version,
    /// The last version of the stream that is in range.
    last: Option<Version>,
}

impl Backwards {
    const fn new(reading: &Reading<'_>) -> Self {
        Self {
            before: reading.through.plus(1),
            before_version: Version::MAX,
            last: None,
        }
    }

    async fn next(
        &mut self,
        reading: &Reading<'_>,
    ) -> Result<Option<Vec<RecordedEvent>>, ReadError> {
        if self.before <= reading.after.plus(1) {
            return Ok(None);
        }
        let size = BatchSize::default();
        let mut events = match &reading.source {
            Source::Command(events) => events.iter().rev().cloned().collect(),
            Source::Stream(stream, _) => {
                let before = self.before_version;
                let read = reading.store.read_stream_backwards(stream, before, size);
                read.await?
            }
            Source::Category(_) | Source::All => {
                let read = reading.store.read_all_backwards(self.before, size);
                read.await?
            }
        };
        match (events.last(), &reading.source) {
            (Some(first), Source::Stream(..) | Source::Category(_) | Source::All) => {
                self.before = first.position.min(self.before);
                self.before_version = first.version;
            }
            (_, Source::Command(_)) | (None, _) => self.before = Position::START,
        }
        events.retain(|event| event.position > reading.after && event.position <= reading.through);
        self.last = self.last.or_else(|| Some(events.first()?.version));
        Ok(Some(events))
    }

    fn progress(&self, reading: &Reading<'_>) -> (i64, i64) {
        let end = reading.through.plus(1);
        (
            end.events_since(self.before.max(reading.after)),
            end.events_since(reading.after),
        )
    }
}
