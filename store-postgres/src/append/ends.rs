//! Where streams and the store end, as far as a session knows without asking.

use std::collections::HashMap;
use std::mem::take;

use foldhash::fast::RandomState;
use folio_core::{EventId, ExpectedVersion, Position, StreamId, Timestamp, Version};

use super::answer::Recorded;

/// How many streams a generation has room for. There are two of them: some ten MiB.
const ROOM: usize = 1 << 15;

/// For how many batches everything is looked up, after what was known was not so.
const DOUBTFUL: u32 = 64;

/// After how many calls in a row between which nobody else has written the next one is taken to be another such: one that is not has to be
/// sent again.
const UNDISTURBED: u32 = 16;

/// The last event of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) version: Version,
    pub(super) event: EventId,
}

/// The last event of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) position: Position,
    pub(super) recorded_at: Timestamp,
}

/// The ends of the streams that a session has written to, and of the store.
///
/// What a session has committed is there for as long as the session is: a server that loses commits, in
/// a failover or by a restore, ends every session first. So a stream never ends before what is known of
/// it. It may end behind, where another process has written to it; then the version that comes next is
/// taken, and the unique index of versions refuses the batch. What is known here is therefore never
/// looked up again, and belongs to one session.
///
/// For the same reasons the store ends where the session has written last, or behind; then the next position is taken, and the primary
/// key refuses the call. While it ends there nobody else has written, and streams that the session has only looked at are what they were.
#[derive(Debug, Default)]
pub(super) struct Ends {
    young: HashMap<StreamId, End, RandomState>,
    /// Was young until there was no room. What is not written to meanwhile goes with it.
    old: HashMap<StreamId, End, RandomState>,
    doubtful: u32,
    /// Where the store ended after the last call.
    head: Option<Head>,
    /// So many calls in a row have begun where the one before had ended.
    undisturbed: u32,
    /// What holds of streams that were not written to, for as long as nobody else writes.
    seen: HashMap<StreamId, ExpectedVersion, RandomState>,
}

impl Ends {
    /// The version that `stream` has where a writer expects `expected`, if that is known and is what
    /// the writer expects.
    ///
    /// A stream that is to be new has none. Whoever expects nothing in particular shares the stream
    /// with others, maybe in another process, so that its end is better looked up.
    pub(super) fn of(&self, stream: &StreamId, expected: ExpectedVersion) -> Option<Version> {
        if self.doubtful > 0 {
            return None;
        }
        let end = || self.young.get(stream).or_else(|| self.old.get(stream));
        match expected {
            ExpectedVersion::Any | ExpectedVersion::StreamExists => None,
            ExpectedVersion::NoStream | ExpectedVersion::Exact(Version::NONE) => {
                end().is_none().then_some(Version::NONE)
            }
            ExpectedVersion::Exact(version) => end()
                .is_some_and(|end| end.version == version)
                .then_some(version),
            ExpectedVersion::LastEvent { version, event_id } => {
                let expected = End {
                    version,
                    event: event_id,
                };
                end().is_some_and(|end| *end == expected).then_some(version)
            }
        }
    }

    /// Keeps in mind where a stream ends that was written to, and had events before: one that is new is, as often as
    /// not, never written to again.
    pub(super) fn learn(&mut self, stream: &StreamId, before: Version, end: End) {
        self.seen.remove(stream);
        if before == Version::NONE {
            return;
        }
        if self.young.len() >= ROOM {
            self.old = take(&mut self.young);
        }
        self.young.insert(stream.clone(), end);
    }

    /// Where the store ends, if it is likely that nobody else writes.
    pub(super) fn head(&self) -> Option<Head> {
        self.head.filter(|_| self.undisturbed >= UNDISTURBED)
    }

    /// Whether `expected` was found to be so of `stream`, and is for as long as the store ends at [`Ends::head`].
    pub(super) fn has_seen(&self, stream: &StreamId, expected: ExpectedVersion) -> bool {
        self.seen.get(stream) == Some(&expected)
    }

    /// Keeps in mind what the last call has found to be so of a stream that it did not write to.
    pub(super) fn saw(&mut self, stream: &StreamId, expected: ExpectedVersion) {
        if self.seen.len() >= ROOM {
            self.seen.clear();
        }
        self.seen.insert(stream.clone(), expected);
    }

    /// A call has recorded so many events, or none.
    pub(super) fn recorded(&mut self, recorded: &Recorded, events: usize) {
        let first = recorded.first_position;
        if self.head.is_some_and(|head| head.position.plus(1) == first) {
            self.undisturbed = self.undisturbed.saturating_add(1);
        } else {
            self.disturbed();
        }
        let behind = i64::try_from(events).unwrap_or(i64::MAX).saturating_sub(1);
        self.head = Some(Head {
            position: first.plus(behind),
            recorded_at: recorded.recorded_at,
        });
    }

    /// Somebody else has written.
    pub(super) fn disturbed(&mut self) {
        self.head = None;
        self.undisturbed = 0;
        self.seen.clear();
    }

    /// Forgets everything, because something was not so: another process writes to the same streams.
    /// It may do so all the time, and each batch that is refused costs as much as one that is not.
    pub(super) fn doubt(&mut self) {
        *self = Self {
            doubtful: DOUBTFUL,
            ..Self::default()
        };
    }

    /// A batch was carried out.
    pub(super) const fn carried_out(&mut self) {
        self.doubtful = self.doubtful.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use folio_core::CommandId;

    use super::*;

    fn stream(id: usize) -> StreamId {
        StreamId::new("test", id.to_string()).unwrap()
    }

    fn end(version: i64, command: &str) -> End {
        End {
            version: Version::new(version).unwrap(),
            event: EventId::of_command(CommandId::derived(&[command]), 0),
        }
    }

    fn last(end: End) -> ExpectedVersion {
        ExpectedVersion::LastEvent {
            version: end.version,
            event_id: end.event,
        }
    }

    #[test]
    fn an_end_is_known_to_whoever_expects_it_and_to_nobody_else() {
        let mut ends = Ends::default();
        ends.learn(&stream(1), end(1, "before").version, end(3, "a"));
        let known = |expected| ends.of(&stream(1), expected).map(Version::number);
        assert_eq!(known(last(end(3, "a"))), Some(3));
        assert_eq!(known(ExpectedVersion::Exact(end(3, "a").version)), Some(3));
        for other in [
            last(end(3, "b")),
            last(end(2, "a")),
            ExpectedVersion::Exact(end(2, "a").version),
            ExpectedVersion::NoStream,
            ExpectedVersion::Any,
            ExpectedVersion::StreamExists,
        ] {
            assert_eq!(known(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_stream_that_is_to_be_new_has_no_end() {
        let ends = Ends::default();
        for new in [
            ExpectedVersion::NoStream,
            ExpectedVersion::Exact(Version::NONE),
        ] {
            assert_eq!(ends.of(&stream(1), new), Some(Version::NONE));
        }
    }

    #[test]
    fn what_is_written_to_stays_and_what_is_not_goes() {
        let mut ends = Ends::default();
        for id in 0..4 * ROOM {
            ends.learn(&stream(id), end(1, "before").version, end(1, "a"));
            ends.learn(&stream(0), end(1, "before").version, end(2, "a"));
        }
        assert_eq!(
            ends.of(&stream(0), last(end(2, "a"))),
            Some(end(2, "a").version)
        );
        assert_eq!(ends.of(&stream(1), last(end(1, "a"))), None);
        assert!(ends.young.len() + ends.old.len() <= 2 * ROOM);
    }

    #[test]
    fn after_a_doubt_nothing_is_known_for_a_while() {
        let mut ends = Ends::default();
        ends.learn(&stream(1), end(1, "before").version, end(1, "a"));
        ends.doubt();
        for _ in 0..DOUBTFUL {
            assert_eq!(ends.of(&stream(2), ExpectedVersion::NoStream), None);
            ends.learn(&stream(1), end(1, "before").version, end(2, "a"));
            ends.carried_out();
        }
        assert_eq!(
            ends.of(&stream(1), last(end(2, "a"))),
            Some(end(2, "a").version)
        );
        assert_eq!(
            ends.of(&stream(2), ExpectedVersion::NoStream),
            Some(Version::NONE)
        );
    }

    fn recorded(first: i64) -> Recorded {
        Recorded {
            first_position: Position::START.plus(first),
            recorded_at: Timestamp::from_micros(first),
            versions: Vec::new(),
        }
    }

    #[test]
    fn the_store_s_end_is_known_after_some_calls_without_another_s_between() {
        let mut ends = Ends::default();
        let calls = i64::from(UNDISTURBED);
        for call in 0..=calls {
            assert_eq!(ends.head(), None);
            ends.recorded(&recorded(3 * call + 1), 3);
        }
        let at = |position: i64| Head {
            position: Position::START.plus(position),
            recorded_at: Timestamp::from_micros(position - 2),
        };
        assert_eq!(ends.head(), Some(at(3 * calls + 3)));
        ends.saw(&stream(1), ExpectedVersion::NoStream);
        ends.recorded(&recorded(3 * calls + 4), 3);
        assert!(ends.has_seen(&stream(1), ExpectedVersion::NoStream));
        // Another one has written an event in between.
        ends.recorded(&recorded(3 * calls + 8), 3);
        assert_eq!(ends.head(), None);
        assert!(!ends.has_seen(&stream(1), ExpectedVersion::NoStream));
    }

    #[test]
    fn a_call_without_events_leaves_the_store_s_end_where_it_is() {
        let mut ends = Ends::default();
        for call in 0..i64::from(UNDISTURBED) {
            ends.recorded(&recorded(call + 1), 1);
        }
        let end = i64::from(UNDISTURBED);
        ends.recorded(&recorded(end + 1), 0);
        assert_eq!(ends.head().map(|head| head.position.number()), Some(end));
    }

    #[test]
    fn what_was_seen_of_a_stream_goes_when_it_is_written_to() {
        let mut ends = Ends::default();
        ends.saw(&stream(1), ExpectedVersion::NoStream);
        ends.learn(&stream(1), Version::NONE, end(1, "a"));
        assert!(!ends.has_seen(&stream(1), ExpectedVersion::NoStream));
    }
}
