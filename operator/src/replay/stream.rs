//! `replay STREAM`: an aggregate, replayed from its first event.

use std::fmt::Write as _;

use chrono::NaiveDate;
use folio_core::{BatchSize, EventStore, RecordedEvent, StreamId, Version};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::changes::{Change, changes};
use super::error::ReplayError;
use super::point::{Known, Point, time};
use super::{ReplayArgs, Style};
use crate::aggregates::{Aggregates, Counts, Replayed};
use crate::bar::{bar, figure};
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::json;

/// A state, and where it stands.
#[derive(Debug, Serialize)]
struct State<'a> {
    stream: String,
    what: &'a str,
    version: i64,
    position: i64,
    recorded_at: String,
    /// The last day that counts, where one was asked for.
    effective: Option<NaiveDate>,
    /// How many of the events up to there count.
    events: u64,
    state: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Step>>,
}

/// An event, and what it has changed.
#[derive(Debug, Serialize)]
struct Step {
    version: i64,
    position: i64,
    recorded_at: String,
    event_type: String,
    counts: bool,
    changes: Vec<Change>,
}

/// How far a replay has come.
struct Run {
    replayed: Box<dyn Replayed>,
    last: Option<RecordedEvent>,
    events: u64,
    view: Option<Value>,
    steps: Option<Vec<Step>>,
}

pub(super) async fn replay(
    desk: &mut Desk<'_>,
    store: &dyn EventStore,
    aggregates: &Aggregates,
    id: &StreamId,
    arguments: &ReplayArgs,
) -> Result<Finding, OperatorError> {
    let Some(kind) = aggregates.find(id.category()) else {
        return Err(ReplayError::NoCategory {
            category: id.category().to_owned(),
            known: aggregates.list(),
        }
        .into());
    };
    let replayed = match arguments.effective {
        None => Some(kind.begin()),
        Some(day) => kind.begin_as_of(day),
    };
    let (Some(replayed), day) = (replayed, arguments.effective) else {
        let day = arguments.effective.unwrap_or_default();
        let category = id.category().to_owned();
        return Err(ReplayError::Undated { category, day }.into());
    };
    let mut run = Run {
        replayed,
        last: None,
        events: 0,
        view: None,
        steps: arguments.steps.then(Vec::new),
    };
    let mut stop: watch::Receiver<bool> = desk.stop.clone();
    tokio::select! {
        done = run.read(store, id, point(arguments)) => done?,
        _ = stop.wait_for(|stop| *stop) => return Err(OperatorError::Interrupted),
    }
    let Some(last) = &run.last else {
        let (stream, store) = (id.clone(), store.store_id());
        return Err(ReplayError::NoEvents { stream, store }.into());
    };
    let state = State {
        stream: id.to_string(),
        what: kind.what,
        version: last.version.number(),
        position: last.position.number(),
        recorded_at: time(last.recorded_at),
        effective: day,
        events: run.events,
        state: run.replayed.view(),
        steps: run.steps,
    };
    match arguments.format {
        Style::Text => desk.say(state.text())?,
        Style::Json => json(desk.out, &state)?,
    }
    Ok(Finding::Clean)
}

fn point(arguments: &ReplayArgs) -> Point {
    let known = [
        arguments.known_at,
        arguments.at_position.map(Known::Position),
        arguments.at_time.map(Known::Moment),
    ];
    match (arguments.at_version, known.into_iter().flatten().next()) {
        (Some(version), _) => Point::Version(version),
        (None, Some(known)) => Point::Known(known),
        (None, None) => Point::End,
    }
}

impl Run {
    async fn read(
        &mut self,
        store: &dyn EventStore,
        id: &StreamId,
        until: Point,
    ) -> Result<(), ReplayError> {
        if let Point::Known(Known::Position(wanted)) = until {
            let head = store.head().await?;
            if head < wanted {
                return Err(ReplayError::PositionNotReached { head, wanted });
            }
        }
        let end = store
            .read_stream_backwards(id, Version::MAX, BatchSize::ONE)
            .await?;
        let end = end.first().map_or(Version::NONE, |last| last.version);
        if let Point::Version(wanted) = until
            && end != Version::NONE
            && end.number() < wanted
        {
            let (stream, last) = (id.clone(), end);
            return Err(ReplayError::VersionNotReached {
                stream,
                last,
                wanted,
            });
        }
        let bar = bar("replaying", end.number());
        let mut after = Version::NONE;
        // What comes meanwhile is after the end that was seen, and not part of the answer.
        while after < end {
            let page = store.read_stream(id, after, BatchSize::default()).await?;
            if page.is_empty() {
                break;
            }
            for event in page.into_iter().filter(|event| event.version <= end) {
                if event.version != after.plus(1) {
                    let (stream, found) = (id.clone(), event.version);
                    return Err(ReplayError::Hole {
                        stream,
                        after,
                        found,
                    });
                }
                if !until.admits(&event) {
                    return self.ends_before(event);
                }
                after = event.version;
                bar.set_position(figure(after.number()));
                self.take_in(event)?;
            }
        }
        Ok(())
    }

    /// What was asked for ends before this event, which is the first one where nothing came before it.
    fn ends_before(&self, event: RecordedEvent) -> Result<(), ReplayError> {
        match self.last {
            Some(_) => Ok(()),
            None => Err(ReplayError::NotYet {
                first: event.position,
                at: time(event.recorded_at),
                stream: event.stream,
            }),
        }
    }

    fn take_in(&mut self, event: RecordedEvent) -> Result<(), ReplayError> {
        let counts = self.replayed.take_in(&event)? == Counts::Yes;
        self.events = self.events.saturating_add(u64::from(counts));
        if let Some(steps) = &mut self.steps {
            let after = self.replayed.view();
            steps.push(Step {
                version: event.version.number(),
                position: event.position.number(),
                recorded_at: time(event.recorded_at),
                event_type: String::from(&*event.event_type),
                counts,
                changes: changes(self.view.as_ref(), after.as_ref()),
            });
            self.view = after;
        }
        self.last = Some(event);
        Ok(())
    }
}

impl State<'_> {
    /// Ends without a line break.
    fn text(&self) -> String {
        let mut text = format!("{}, {}\n", self.stream, self.what);
        for step in self.steps.iter().flatten() {
            step.write(&mut text);
        }
        let (version, position, at) = (self.version, self.position, &self.recorded_at);
        text.push_str(&format!(
            "at version {version}, position {position}, recorded {at}\n"
        ));
        if let Some(day) = self.effective {
            let events = self.events;
            text.push_str(&format!(
                "as of {day}: {events} of {version} events take effect by then\n"
            ));
        }
        match &self.state {
            Some(state) => text.push_str(&format!("{state:#}")),
            None => text.push_str("nothing is there"),
        }
        text
    }
}

impl Step {
    fn write(&self, text: &mut String) {
        let (version, position, at) = (self.version, self.position, &self.recorded_at);
        let later = if self.counts {
            ""
        } else {
            ", takes effect later"
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{version}: {}, position {position}, recorded {at}{later}",
            self.event_type
        );
        for change in &self.changes {
            let _ = writeln!(text, "    {change}");
        }
    }
}
