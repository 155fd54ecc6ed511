//! What was committed to the store since the last seal.

use std::collections::HashMap;
use std::pin::pin;

use folio_core::{BatchSize, Position};
use folio_proofs::Hash;
use folio_proofs::map::{Entry, Last, StreamKey};
use futures_util::TryStreamExt as _;
use tokio::task::yield_now;
use tokio_postgres::Client;

use crate::altered::Altered;
use crate::checkpoints::LogEnd;
use crate::copied::CopiedEvents;
use crate::error::SealError;
use crate::fresh::{FreshLeaves, FreshRun};
use crate::rows::outcome_leaf;

const OUTCOMES: &str = "SELECT number, command_id, recorded_at, fingerprint, refusal, metadata \
     FROM store.outcomes WHERE number > $1 ORDER BY number LIMIT $2";
// After the leaves were read: none of them was recorded later.
const ENDS: &str = "SELECT (SELECT coalesce(max(position), 0) FROM store.events), \
     (SELECT coalesce(max(number), 0) FROM store.outcomes), \
     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// So many leaves are worked on before others have their turn on the same thread: half a millisecond at most.
const AT_ONCE: usize = 512;

/// So many events behind this position. What is copied out takes no parameters.
fn events(Span { after, most }: Span) -> String {
    format!(
        "SELECT position, version, recorded_at, event_id, command_id, command_events, \
         schema_version, category, stream_id, event_type, fingerprint, payload, metadata \
         FROM store.events WHERE position > {after} ORDER BY position LIMIT {most}"
    )
}

/// So many events behind a position.
#[derive(Debug, Clone, Copy)]
struct Span {
    after: i64,
    most: i64,
}

/// What the next seal appends to the log.
#[derive(Debug)]
pub(crate) struct NewLeaves {
    events: Vec<Hash>,
    outcomes: Vec<Hash>,
    /// Where the streams end that have an event among these.
    pub(crate) streams: StreamEnds,
    /// The position of the last event, and the number of the last outcome.
    pub(crate) through: (i64, i64),
    /// When they were read, by the database's clock.
    pub(crate) at_micros: i64,
}

/// Where streams end, by category and id: a key is a hash, of which one a stream is needed and not one an event.
#[derive(Debug, Default)]
pub(crate) struct StreamEnds {
    by_name: HashMap<String, HashMap<String, Last>>,
}

impl NewLeaves {
    /// What is behind the end of the log, at most so much of it.
    pub(crate) async fn read(
        client: &Client,
        end: LogEnd,
        most: BatchSize,
        fresh: Option<&FreshLeaves>,
    ) -> Result<Self, SealError> {
        let mut leaves = Self {
            events: Vec::new(),
            outcomes: Vec::new(),
            streams: StreamEnds::default(),
            through: (end.events, end.outcomes),
            at_micros: 0,
        };
        // Neither keeps the other out for good.
        let half = (most.events() + 1) / 2;
        let outcomes = leaves.read_outcomes(client, half).await?;
        let most = most.events() - outcomes;
        if let Some(fresh) = fresh {
            leaves.take_fresh(client, fresh, most).await?;
        }
        let most = most.saturating_sub_unsigned(leaves.events.len() as u64);
        leaves.read_events(client, most).await?;
        leaves.read_ends(client, end).await?;
        Ok(leaves)
    }

    /// Their hashes, in the order of the log, [some at once](AT_ONCE).
    pub(crate) fn hashes(&self) -> impl Iterator<Item = &[Hash]> {
        self.events
            .chunks(AT_ONCE)
            .chain(self.outcomes.chunks(AT_ONCE))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.outcomes.is_empty()
    }

    /// How many events and outcomes they are.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.events.len() as u64, self.outcomes.len() as u64)
    }

    /// What need not be read, and what lies between.
    async fn take_fresh(
        &mut self,
        client: &Client,
        fresh: &FreshLeaves,
        most: i64,
    ) -> Result<(), SealError> {
        let most = most.saturating_add(self.through.0);
        while let Some(run) = fresh.take_behind(self.through.0, most) {
            let last = run.last();
            let FreshRun {
                first,
                hashes,
                ends,
            } = run;
            let between = first - self.through.0 - 1;
            if between > 0 {
                self.read_events(client, between).await?;
            }
            // The last one is read, and with it all of them are there: they were committed in one session, one upon the
            // other. A store that has lost them since has none there, or another one.
            let after = last - 1;
            let mut read = CopiedEvents::of(client, &events(Span { after, most: 1 })).await?;
            let mut is_there = false;
            while let Some(leaf) = read.next().await? {
                is_there = Some(&leaf.hash()) == hashes.last();
            }
            if !is_there || self.through.0 + 1 != first {
                fresh.clear();
                break;
            }
            self.through.0 = last;
            self.events.extend(hashes);
            for (stream, last) in ends {
                self.streams.put(stream.category(), stream.id(), last);
            }
            yield_now().await;
        }
        Ok(())
    }

    async fn read_events(&mut self, client: &Client, most: i64) -> Result<(), SealError> {
        let (mut last, _) = self.through;
        let span = Span { after: last, most };
        let mut events = CopiedEvents::of(client, &events(span)).await?;
        while let Some(leaf) = events.next().await? {
            let expected = last.saturating_add(1);
            if leaf.position != expected {
                return Err(SealError::Missing {
                    position: Position::START.plus(expected),
                    next: Position::START.plus(leaf.position),
                });
            }
            last = leaf.position;
            let end = Last {
                version: leaf.version,
                position: leaf.position,
            };
            self.streams.put(leaf.category, leaf.stream_id, end);
            self.events.push(leaf.hash());
            if self.events.len().is_multiple_of(AT_ONCE) {
                yield_now().await;
            }
        }
        self.through.0 = last;
        Ok(())
    }

    async fn read_outcomes(&mut self, client: &Client, most: i64) -> Result<i64, SealError> {
        let (_, mut last) = self.through;
        let rows = client.query_raw(OUTCOMES, [last, most]).await?;
        let mut rows = pin!(rows);
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            let leaf = outcome_leaf(&row)?;
            last = leaf.number;
            self.outcomes.push(leaf.hash());
            count += 1;
        }
        self.through.1 = last;
        Ok(count)
    }

    async fn read_ends(&mut self, client: &Client, end: LogEnd) -> Result<(), SealError> {
        let row = client.query_one(ENDS, &[]).await?;
        let (found, sealed) = (row.try_get(0)?, end.events);
        if found < sealed {
            return Err(Altered::LostEvents { found, sealed }.into());
        }
        let (found, sealed) = (row.try_get(1)?, end.outcomes);
        if found < sealed {
            return Err(Altered::LostOutcomes { found, sealed }.into());
        }
        let clock: i64 = row.try_get(2)?;
        // Never earlier than the seal before, even when the server's clock was set back.
        self.at_micros = clock.max(end.sealed_at_micros);
        Ok(())
    }
}

impl StreamEnds {
    /// A later event of the same stream takes the place of an earlier one.
    fn put(&mut self, category: &str, id: &str, last: Last) {
        match self.by_name.get_mut(category) {
            Some(streams) => match streams.get_mut(id) {
                Some(held) => *held = last,
                None => {
                    streams.insert(id.to_owned(), last);
                }
            },
            None => {
                let streams = HashMap::from([(id.to_owned(), last)]);
                self.by_name.insert(category.to_owned(), streams);
            }
        }
    }

    /// As the map has them.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.by_name.iter().flat_map(|(category, streams)| {
            streams.iter().map(|(id, last)| Entry {
                key: StreamKey::of(category, id),
                version: last.version,
                position: last.position,
            })
        })
    }
}
