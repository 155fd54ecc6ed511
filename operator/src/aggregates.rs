//! The aggregates of an app, as operators look at them.

use std::collections::BTreeMap;
use std::fmt;

use chrono::NaiveDate;
use folio_core::event::DecodeError;
use folio_core::{Aggregate, RecordedEvent};
use serde_json::Value;

/// The aggregates of an app: what there is, and how a state is shown.
///
/// ```
/// use folio_core::{Aggregate, Event};
/// use folio_operator::Aggregates;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone)]
/// # struct Door { is_open: bool }
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// # enum DoorEvent { Opened, Closed }
/// # impl Event for DoorEvent {}
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
/// # #[error("it is so already")]
/// # struct Already;
/// # impl Aggregate for Door {
/// #     const CATEGORY: &'static str = "door";
/// #     type Command = ();
/// #     type Event = DoorEvent;
/// #     type Refusal = Already;
/// #     fn decide(_: Option<&Self>, (): ()) -> Result<Vec<DoorEvent>, Already> { Ok(Vec::new()) }
/// #     fn evolve(_: Option<Self>, event: &DoorEvent) -> Option<Self> {
/// #         Some(Self { is_open: *event == DoorEvent::Opened })
/// #     }
/// # }
/// let aggregates = Aggregates::new()
///     .with::<Door>("a door", |door| serde_json::json!({"is_open": door.is_open}));
/// assert_eq!(aggregates.categories().collect::<Vec<_>>(), ["door"]);
/// ```
#[derive(Default)]
pub struct Aggregates {
    kinds: BTreeMap<&'static str, Kind>,
}

/// How an aggregate is replayed as of a day, whose events take effect on days that they name.
pub struct Dated<A: Aggregate> {
    /// The day on which an event takes effect; none where it counts on any.
    pub day: fn(&A::Event, &RecordedEvent) -> Option<NaiveDate>,
    /// What is shown of a state that has only some of the events: what follows from these alone.
    pub view: fn(&A) -> Value,
}

/// An aggregate of an app.
pub(crate) struct Kind {
    /// What it is, in words.
    pub(crate) what: &'static str,
    begin: Begin,
    begin_as_of: Option<BeginAsOf>,
}

type Begin = Box<dyn Fn() -> Box<dyn Replayed> + Send + Sync>;
type BeginAsOf = Box<dyn Fn(NaiveDate) -> Box<dyn Replayed> + Send + Sync>;

/// An aggregate that is being replayed.
pub(crate) trait Replayed: Send {
    /// Folds an event into the state.
    fn take_in(&mut self, event: &RecordedEvent) -> Result<Counts, DecodeError>;

    /// What is shown of the state; none before there is one.
    fn view(&self) -> Option<Value>;
}

/// Whether an event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    Yes,
    /// It takes effect after the day that was asked for.
    Later,
}

impl Aggregates {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With another one: what it is, in a few words, and what is shown of its state.
    #[must_use]
    pub fn with<A: Aggregate>(self, what: &'static str, view: fn(&A) -> Value) -> Self {
        self.add::<A>(what, view, None)
    }

    /// With another one that can be replayed as of a day as well.
    #[must_use]
    pub fn with_dated<A: Aggregate>(
        self,
        what: &'static str,
        view: fn(&A) -> Value,
        dated: Dated<A>,
    ) -> Self {
        self.add(what, view, Some(dated))
    }

    /// The categories of their streams, in order.
    pub fn categories(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.keys().copied()
    }

    pub(crate) fn find(&self, category: &str) -> Option<&Kind> {
        self.kinds.get(category)
    }

    /// What there is: `door (a door), …`.
    pub(crate) fn list(&self) -> String {
        let kinds = self.kinds.iter();
        let kinds = kinds.map(|(category, kind)| format!("{category} ({})", kind.what));
        kinds.collect::<Vec<_>>().join(", ")
    }

    fn add<A: Aggregate>(
        mut self,
        what: &'static str,
        view: fn(&A) -> Value,
        dated: Option<Dated<A>>,
    ) -> Self {
        let begin = move || -> Box<dyn Replayed> {
            Box::new(Folded::<A> {
                state: None,
                view,
                until: None,
            })
        };
        let begin_as_of = dated.map(|Dated { day, view }| -> BeginAsOf {
            Box::new(move |last| {
                Box::new(Folded::<A> {
                    state: None,
                    view,
                    until: Some((last, day)),
                })
            })
        });
        let kind = Kind {
            what,
            begin: Box::new(begin),
            begin_as_of,
        };
        self.kinds.insert(A::CATEGORY, kind);
        self
    }
}

impl Kind {
    pub(crate) fn begin(&self) -> Box<dyn Replayed> {
        (self.begin)()
    }

    /// As of a day; none where its events name none.
    pub(crate) fn begin_as_of(&self, day: NaiveDate) -> Option<Box<dyn Replayed>> {
        self.begin_as_of.as_ref().map(|begin| begin(day))
    }
}

impl fmt::Debug for Aggregates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}

impl<A: Aggregate> fmt::Debug for Dated<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dated").finish_non_exhaustive()
    }
}

/// The day on which an event takes effect.
type Day<A> = fn(&<A as Aggregate>::Event, &RecordedEvent) -> Option<NaiveDate>;

struct Folded<A: Aggregate> {
    state: Option<A>,
    view: fn(&A) -> Value,
    until: Option<(NaiveDate, Day<A>)>,
}

impl<A: Aggregate> Replayed for Folded<A> {
    fn take_in(&mut self, recorded: &RecordedEvent) -> Result<Counts, DecodeError> {
        let mut counts = Counts::Yes;
        for event in recorded.decode::<A::Event>()? {
            let is_later = |(last, day): (NaiveDate, Day<A>)| {
                day(&event, recorded).is_some_and(|day| day > last)
            };
            if self.until.is_some_and(is_later) {
                counts = Counts::Later;
            } else {
                self.state = A::evolve(self.state.take(), &event);
            }
        }
        Ok(counts)
    }

    fn view(&self) -> Option<Value> {
        self.state.as_ref().map(self.view)
    }
}
