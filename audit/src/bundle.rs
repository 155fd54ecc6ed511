//! Bundles: all events of a stream with what proves them, for whoever trusts nobody.

use folio_core::{BatchSize, StreamId, Version};
use folio_proofs::bundle::{Bundle, BundledEvent, Format, Growth, Stream};
use folio_proofs::merkle::Size;

use crate::error::ProveError;
use crate::prover::Prover;

/// Events that are proven at once.
const PAGE: BatchSize = match BatchSize::new(1_000) {
    Some(size) => size,
    None => BatchSize::ONE,
};

/// From which checkpoint to which one something is proven, by their leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The one from which the log has only grown. Without it nothing is said of that.
    pub since: Option<Size>,
    /// The one up to which events are shown; the last one, unless it is said. For another one it is read of each stream of the store
    /// where it ended then, since only the last map is kept.
    pub until: Option<Size>,
}

impl Prover {
    /// All events of a stream up to a checkpoint, with the proof that they are all; and that the log has only grown from an older one,
    /// where that is asked for.
    ///
    /// A stream of more than `most` events is refused: all of it is in memory at once.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn bundle(
        &self,
        stream: &StreamId,
        Span { since, until }: Span,
        most: usize,
    ) -> Result<Bundle, ProveError> {
        let (map, end) = match until {
            Some(size) => self.past_map_and_end(stream, size).await?,
            None => self.map_and_end(stream).await?,
        };
        let size = end.end.head.size;
        let mut events: Vec<BundledEvent> = Vec::new();
        let mut after = Version::NONE;
        loop {
            let page = self.events_of_stream(stream, after, PAGE, size).await?;
            let Some(last) = page.last() else { break };
            after = Version::NONE.plus(last.row.version);
            if events.len().saturating_add(page.len()) > most {
                let stream = stream.clone();
                return Err(ProveError::TooLong { stream, most });
            }
            let bundled = page.into_iter();
            events.extend(bundled.map(|one| BundledEvent::new(&one.row.leaf(), one.inclusion)));
        }
        let growth = match since {
            Some(since) => Some(self.growth(since, size).await?),
            None => None,
        };
        Ok(Bundle {
            format: Format::V1,
            checkpoint: end.note,
            stream: Stream {
                category: stream.category().to_owned(),
                id: stream.id().to_owned(),
            },
            events,
            map,
            growth,
        })
    }

    /// That the log of the size `to` begins with what it had at the checkpoint of the size `since`.
    ///
    /// # Errors
    ///
    /// [`ProveError`].
    pub async fn growth(&self, since: Size, to: Size) -> Result<Growth, ProveError> {
        Ok(Growth {
            since: self.checkpoint_of_size(since).await?,
            proof: self.consistency(since, to).await?,
        })
    }
}
