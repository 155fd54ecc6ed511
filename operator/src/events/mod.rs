//! `events`: what a store holds, as it was recorded.
//!
//! # How it is read
//!
//! In pages, of which one is in memory at a time, so that a store may have any size. A stream, a command and a range of
//! positions are what a store finds by itself, and so are moments, which never decrease along it; a category it passes
//! over where the events are. By all else the pages are filtered here: the type of an event, its actor and its correlation
//! id are in no index, so that a look for them alone reads the whole range.
//!
//! # Layout
//!
//! * `wanted.rs`: which events, as options of a command line.
//! * `reading.rs`: pages of a store, forwards; `last.rs`: the last events, backwards.
//! * `output.rs`: as a table, as JSON, as CSV.

mod last;
mod output;
mod reading;
#[cfg(test)]
mod tests;
mod wanted;

use std::io;
use std::time::Duration;

use clap::Args;
use folio_core::event::DecodeError;
use folio_core::{Position, ReadError, RecordedEvent};
use thiserror::Error;
use tokio::sync::watch;

use self::output::Output;
use self::reading::Reading;
use crate::finding::Finding;
use crate::named_store::NamedStore;
use crate::progress::Progress;
use crate::screen::Screen;

pub use self::output::EventsFormat;
pub use self::wanted::Wanted;

/// Longest wait before a store is asked again for what others have appended.
const POLL: Duration = Duration::from_millis(250);

/// Arguments of `events`.
#[derive(Debug, Clone, Args)]
pub struct EventsArgs {
    /// Which events.
    #[command(flatten)]
    pub wanted: Wanted,
    /// No more than so many events, the first ones.
    #[arg(long, value_name = "N", conflicts_with = "last")]
    pub limit: Option<u64>,
    /// Only the last so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub last: Option<u32>,
    /// Go on with what is recorded from now on, until Ctrl-C.
    #[arg(long, conflicts_with_all = ["to", "until", "command"])]
    pub follow: bool,
    /// How events are written.
    #[arg(long, value_enum, default_value_t = EventsFormat::Table)]
    pub format: EventsFormat,
}

/// Writes the events of a store that are wanted, in the order of their positions.
///
/// What was recorded after the command began is only among it when it is followed. Whoever reads the answer may stop
/// to: a pipe that is closed ends it well.
///
/// # Errors
///
/// [`EventsError`]. What was written by then is right.
///
/// # Cancel safety
///
/// Dropping the future writes no more.
pub async fn run<'a>(
    arguments: EventsArgs,
    store: &'a NamedStore,
    screen: Screen<'a>,
) -> Result<Finding, EventsError> {
    let output = Output::new(arguments.format, &store.name, screen.columns);
    let listing = Listing {
        arguments,
        store,
        screen,
        output,
        progress: Progress::new("events"),
        left: u64::MAX,
    };
    match listing.run().await {
        Err(EventsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Finding::Clean)
        }
        finding => finding,
    }
}

struct Listing<'a> {
    arguments: EventsArgs,
    store: &'a NamedStore,
    screen: Screen<'a>,
    output: Output,
    progress: Progress,
    /// How many more events are wanted.
    left: u64,
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    On,
    /// As many as were wanted are there.
    Enough,
    /// The user wants no more.
    Stopped,
}

impl Listing<'_> {
    async fn run(mut self) -> Result<Finding, EventsError> {
        self.left = self.arguments.limit.unwrap_or(u64::MAX);
        let store = &*self.store.store;
        let head = store.head().await.map_err(|error| self.unread(error))?;
        self.print(&[])?;
        let reading = Reading::new(store, &self.arguments.wanted, head).await;
        let mut reading = reading.map_err(|error| self.unread(error))?;
        let going = match self.arguments.last {
            Some(count) => self.last(&mut reading, count).await?,
            None => self.all(&mut reading).await?,
        };
        if self.arguments.follow {
            // Whoever follows ends it some time, and that is well.
            if going == Going::On {
                self.follow(&mut reading, head).await?;
            }
            return Ok(Finding::Clean);
        }
        Ok(Finding::clean_if(going != Going::Stopped))
    }

    /// What there is up to where is read.
    async fn all(&mut self, reading: &mut Reading<'_>) -> Result<Going, EventsError> {
        while self.left > 0 {
            if self.screen.is_stopped() {
                return Ok(Going::Stopped);
            }
            let page = reading.next().await;
            let Some(page) = page.map_err(|error| self.unread(error))? else {
                return Ok(Going::On);
            };
            let mut events = self.wanted(page)?;
            events.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
            self.left = self.left.saturating_sub(count);
            let (done, all) = reading.progress();
            self.progress.at(done, all);
            if !events.is_empty() {
                self.print(&events)?;
            }
        }
        Ok(Going::Enough)
    }

    /// What comes, as it comes, until it is enough.
    async fn follow(
        &mut self,
        reading: &mut Reading<'_>,
        mut through: Position,
    ) -> Result<(), EventsError> {
        // What was read is told by now.
        self.progress = Progress::new("events");
        let store = &*self.store.store;
        let mut appended = store.appended();
        loop {
            // Before the look: an append that comes after it still wakes.
            appended.mark_unchanged();
            let head = store.head().await.map_err(|error| self.unread(error))?;
            if head < through {
                return Err(EventsError::WentBack {
                    store: self.store.name.clone(),
                    through,
                    head,
                });
            }
            if head > through {
                through = head;
                reading.go_on(head);
                match self.all(reading).await? {
                    Going::On => continue,
                    Going::Enough | Going::Stopped => return Ok(()),
                }
            }
            if is_stopped_within(&mut appended, &mut self.screen.stop).await {
                return Ok(());
            }
        }
    }

    fn wanted(&self, page: Vec<RecordedEvent>) -> Result<Vec<RecordedEvent>, EventsError> {
        let mut wanted = Vec::with_capacity(page.len());
        for event in page {
            if self.arguments.wanted.admits(&event)? {
                wanted.push(event);
            }
        }
        Ok(wanted)
    }

    fn print(&mut self, events: &[RecordedEvent]) -> Result<(), EventsError> {
        let text = self.output.page(events)?;
        let out = &mut self.screen.out;
        self.progress
            .aside(|| out.write_all(&text).and_then(|()| out.flush()))?;
        Ok(())
    }

    fn unread(&self, source: ReadError) -> EventsError {
        EventsError::Read {
            store: self.store.name.clone(),
            source,
        }
    }
}

/// Waits until there may be more, or the user wants no more.
async fn is_stopped_within(
    appended: &mut watch::Receiver<Position>,
    stop: &mut watch::Receiver<bool>,
) -> bool {
    let woken = async {
        if appended.changed().await.is_err() {
            // Whoever appended here is gone, and others may go on.
            std::future::pending().await
        }
    };
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => true,
        () = woken => false,
        () = tokio::time::sleep(POLL) => false,
    }
}

/// Why events are not written, or no more of them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EventsError {
    /// The store cannot be read.
    #[error("the events of {store} cannot be read")]
    Read {
        /// The name of the store.
        store: String,
        /// Why.
        source: ReadError,
    },
    /// Who asked for an event, and in the wake of what, cannot be told.
    #[error(
        "it cannot be told whether an event is wanted; leave its position out with --from or --to"
    )]
    Metadata(#[from] DecodeError),
    /// What was recorded is not what JSON can hold.
    #[error(
        "the {what} of the event at position {position} is not JSON; write it with --format csv"
    )]
    NotJson {
        /// Where the event stands.
        position: Position,
        /// Payload or metadata.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The store has lost events that were written here.
    #[error(
        "{store} was followed to position {through} and ends at {head} now: it was restored, or is another one; begin again"
    )]
    WentBack {
        /// The name of the store.
        store: String,
        /// How far it was followed.
        through: Position,
        /// Where it ends.
        head: Position,
    },
    /// The answer cannot be written to where it should go.
    #[error("the answer cannot be written")]
    Output(#[from] io::Error),
}
