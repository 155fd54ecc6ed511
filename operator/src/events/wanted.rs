//! Which events are wanted.

use clap::Args;
use folio_core::command::InvalidActor;
use folio_core::event::DecodeError;
use folio_core::{Actor, CommandId, CorrelationId, Position, RecordedEvent, StreamId, Timestamp};

use crate::{ids, moment};

/// Which events are wanted: those that fulfil all that is said.
#[derive(Debug, Clone, Default, Args)]
pub struct Wanted {
    /// Of this stream.
    #[arg(long, value_name = "CATEGORY/ID", value_parser = stream)]
    pub stream: Option<StreamId>,
    /// Of the streams of this category, such as account.
    #[arg(long, value_name = "CATEGORY", value_parser = category, conflicts_with = "stream")]
    pub category: Option<String>,
    /// Of this type, such as LegPosted.
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Asked for by this actor.
    #[arg(long, value_name = "NAME", value_parser = actor)]
    pub actor: Option<Actor>,
    /// Of the request with this correlation id: a UUID, a trace id of 32 hex digits, or a whole traceparent.
    #[arg(long, value_name = "ID", value_parser = ids::correlation)]
    pub correlation: Option<CorrelationId>,
    /// Caused by the command with this id.
    #[arg(long, value_name = "ID", value_parser = ids::command)]
    pub command: Option<CommandId>,
    /// Recorded at this moment or after it: 2026-11-29T17:05:00Z, 2026-11-29 (UTC), or 15m for so long ago.
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    pub since: Option<Timestamp>,
    /// Recorded before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment::moment)]
    pub until: Option<Timestamp>,
    /// At this position or after it.
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub from: Option<Position>,
    /// At this position or before it.
    #[arg(long, value_name = "POSITION", value_parser = position)]
    pub to: Option<Position>,
}

impl Wanted {
    /// Whether it is wanted.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it depends on metadata that cannot be read. Such an event is not passed over.
    pub fn admits(&self, event: &RecordedEvent) -> Result<bool, DecodeError> {
        let is_of = self.stream.as_ref().is_none_or(|of| *of == event.stream)
            && self
                .category
                .as_ref()
                .is_none_or(|of| of == event.stream.category())
            && self
                .event_type
                .as_ref()
                .is_none_or(|of| **of == *event.event_type)
            && self.command.is_none_or(|of| of == event.command_id);
        let is_within = self.since.is_none_or(|since| event.recorded_at >= since)
            && self.until.is_none_or(|until| event.recorded_at < until)
            && self.from.is_none_or(|from| event.position >= from)
            && self.to.is_none_or(|to| event.position <= to);
        if !is_of || !is_within || (self.actor.is_none() && self.correlation.is_none()) {
            return Ok(is_of && is_within);
        }
        let metadata = event.decode_metadata()?;
        Ok(self.actor.as_ref().is_none_or(|of| *of == metadata.actor)
            && self
                .correlation
                .is_none_or(|of| of == metadata.correlation_id))
    }
}

fn stream(text: &str) -> Result<StreamId, String> {
    let (category, id) = text
        .split_once('/')
        .ok_or("a stream is written CATEGORY/ID, as account/checking")?;
    StreamId::new(category, id).map_err(|error| error.to_string())
}

fn actor(text: &str) -> Result<Actor, InvalidActor> {
    Actor::new(text)
}

fn category(text: &str) -> Result<String, String> {
    // Whatever can be a stream's.
    let stream = StreamId::new(text, "any").map_err(|error| error.to_string())?;
    Ok(stream.category().to_owned())
}

fn position(text: &str) -> Result<Position, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number
        .and_then(Position::new)
        .ok_or("a position is a whole number from 1 on")
}
