//! Events as lines.

use std::fmt;

use super::moment::Moment;
use super::plain::Plain;
use super::shown::Shown;
use crate::bundle::BundledEvent;

/// An event in a line: position, version, type, when it was recorded, payload, with tabs in between.
#[derive(Debug)]
pub(super) struct Line<'a>(pub(super) &'a BundledEvent);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.0;
        let (kind, time) = (Plain(&event.event_type), Moment(event.recorded_at_micros));
        write!(f, "{}\t{}\t{kind}\t{time}\t", event.position, event.version)?;
        Shown(&event.payload).fmt(f)
    }
}
