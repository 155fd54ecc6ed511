//! Commands that are decided on several aggregates at once, and recorded on all of them or none.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::{Aggregate, Reuse, replay};
use crate::command::Fingerprint;
use crate::event::{DecodeError, EncodeError, NewEvent, RecordedEvent};
use crate::snapshot::Snapshots;
use crate::stream::{InvalidStreamId, StreamId};

/// A command that reads several aggregates, of one type or of several, and may write to each.
///
/// All events are recorded in one append. Each aggregate that was read is a condition, written to
/// or not: if it has moved on since, the command is decided again. So "only while account X is open"
/// needs no event on X.
///
/// ```
/// # use folio_core::{Aggregate, Event, joint::{Caused, JointCommand, Participant, States}};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)] enum Changed { By(i64) }
/// # impl Event for Changed {}
/// # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
/// # #[error("too little")] struct TooLittle;
/// # #[derive(Debug, Clone)] struct Pot(i64);
/// # impl Aggregate for Pot {
/// #     const CATEGORY: &'static str = "pot";
/// #     type Command = (); type Event = Changed; type Refusal = TooLittle;
/// #     fn decide(_: Option<&Self>, (): ()) -> Result<Vec<Changed>, TooLittle> { Ok(vec![]) }
/// #     fn evolve(state: Option<Self>, Changed::By(n): &Changed) -> Option<Self> {
/// #         Some(Self(state.map_or(0, |pot| pot.0) + n))
/// #     }
/// # }
/// #[derive(Debug, Clone, Serialize)]
/// struct Pour { from: String, to: String, amount: i64 }
///
/// impl JointCommand for Pour {
///     const NAME: &'static str = "pour";
///     type Refusal = TooLittle;
///     fn participants(&self) -> Vec<Participant> {
///         vec![Participant::read::<Pot>(&self.from), Participant::read::<Pot>(&self.to)]
///     }
///     fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, TooLittle> {
///         let held = states.of::<Pot>(&self.from).map_or(0, |pot| pot.0);
///         if held < self.amount {
///             return Err(TooLittle);
///         }
///         Ok(vec![
///             Caused::on::<Pot>(&self.from, Changed::By(-self.amount)),
///             Caused::on::<Pot>(&self.to, Changed::By(self.amount)),
///         ])
///     }
/// }
/// ```
pub trait JointCommand: Debug + Serialize + Send + Sync {
    /// Its name, part of what makes two commands the same.
    const NAME: &'static str;

    /// Why it was refused. It is recorded; see [`Aggregate::Refusal`].
    type Refusal: std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What makes two commands with the same id the same: its [name](Self::NAME), and itself as JSON,
    /// unless it has to be known again as what it was called before.
    ///
    /// # Errors
    ///
    /// When it has no form in JSON.
    fn fingerprint(&self) -> Result<Fingerprint, serde_json::Error> {
        let command = serde_json::to_vec(self)?;
        Ok(Fingerprint::of(&[Self::NAME.as_bytes(), &command]))
    }

    /// Every aggregate that it reads or writes to, each once.
    fn participants(&self) -> Vec<Participant>;

    /// Decides what it causes, on the states of its participants. Pure, as [`Aggregate::decide`] is.
    ///
    /// # Errors
    ///
    /// The refusal, when it may not be carried out in these states.
    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, Self::Refusal>;
}

/// An aggregate that takes part in a command.
#[derive(Debug, Clone)]
pub struct Participant {
    kind: Kind,
    id: String,
    role: Part,
}

/// How an aggregate takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its state is read, and must not have changed when the command is recorded.
    Read,
    /// Its state is read as with [`Read`](Self::Read), but taken to be none until the store says
    /// otherwise.
    Create,
    /// It is only written to, whatever has happened to it. Such commands never conflict on it.
    AppendOnly,
}

impl Part {
    /// Whether the decision depends on the aggregate's state.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::Create)
    }
}

impl Participant {
    /// An aggregate whose state the decision depends on.
    #[must_use]
    pub fn read<A: Aggregate>(id: &str) -> Self {
        Self {
            kind: Kind::of::<A>(),
            id: id.to_owned(),
            role: Part::Read,
        }
    }

    /// An aggregate that the command most likely begins.
    ///
    /// It is not looked for: the first decision is made on no state, unless one is in memory, and
    /// recorded only if there is no such stream. Where there is one, it is loaded, and decided on
    /// again. That saves a round trip, and decides no differently than [`read`](Self::read); but where
    /// there is one that is not in memory, it uses up one of the executor's retries.
    #[must_use]
    pub fn create<A: Aggregate>(id: &str) -> Self {
        Self {
            kind: Kind::of::<A>(),
            id: id.to_owned(),
            role: Part::Create,
        }
    }

    /// An aggregate that the decision only adds to.
    #[must_use]
    pub fn append_only<A: Aggregate>(id: &str) -> Self {
        Self {
            kind: Kind::of::<A>(),
            id: id.to_owned(),
            role: Part::AppendOnly,
        }
    }

    /// What kind of aggregate it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How it takes part.
    #[must_use]
    pub const fn part(&self) -> Part {
        self.role
    }

    /// Its stream.
    ///
    /// # Errors
    ///
    /// [`InvalidStreamId`].
    pub fn stream(&self) -> Result<StreamId, InvalidStreamId> {
        StreamId::new(self.kind.category, self.id.as_str())
    }
}

/// A type of aggregates, as a value: what can be done with its states without naming the type.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Tells two types apart.
    pub type_id: TypeId,
    /// The category of its streams.
    pub category: &'static str,
    /// Folds recorded events into a state, in their order.
    pub fold: fn(AnyState, &[RecordedEvent]) -> Result<AnyState, DecodeError>,
    /// About how many bytes a state takes.
    pub weight: fn(&AnyState) -> usize,
    /// Whether a state stays in memory.
    pub reuse: Reuse,
    /// How states are kept, if they are.
    pub snapshots: Option<AnySnapshots>,
}

/// [`Snapshots`] without the type of the states.
#[derive(Debug, Clone, Copy)]
pub struct AnySnapshots {
    /// See [`Snapshots::state_version`].
    pub state_version: u16,
    /// See [`Snapshots::every`].
    pub every: u32,
    /// Writes a state; none where there is none to write, or it cannot be written.
    pub save: fn(&AnyState) -> Option<Vec<u8>>,
    /// Reads a state; none where the bytes are not one.
    pub restore: fn(&[u8]) -> Option<AnyState>,
}

impl Kind {
    /// The kind of `A`.
    #[must_use]
    pub fn of<A: Aggregate>() -> Self {
        Self {
            type_id: TypeId::of::<A>(),
            category: A::CATEGORY,
            fold: |state, events| replay::<A>(state.take(), events).map(AnyState::new),
            weight: |state| state.of::<A>().map_or(0, A::weight),
            reuse: A::REUSE,
            snapshots: A::snapshots().map(
                |Snapshots {
                     state_version,
                     every,
                     ..
                 }| AnySnapshots {
                    state_version,
                    every,
                    save: |state| (A::snapshots()?.save)(state.of::<A>()?).ok(),
                    restore: |bytes| {
                        let state = (A::snapshots()?.restore)(bytes).ok()?;
                        Some(AnyState::new(Some(state)))
                    },
                },
            ),
        }
    }
}

impl Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kind").field(&self.category).finish()
    }
}

/// The state of an aggregate, of whichever type, or none before its first event. Cheap to clone.
#[derive(Clone, Default)]
pub struct AnyState(Option<Arc<dyn Any + Send + Sync>>);

impl AnyState {
    /// This state.
    #[must_use]
    pub fn new<A: Aggregate>(state: Option<A>) -> Self {
        Self(state.map(|state| Arc::new(state) as Arc<dyn Any + Send + Sync>))
    }

    /// The state, if it is one of `A`.
    #[must_use]
    pub fn of<A: Aggregate>(&self) -> Option<&A> {
        self.0.as_deref()?.downcast_ref()
    }

    /// The state, without copying it where nobody else has it.
    fn take<A: Aggregate>(self) -> Option<A> {
        let state = self.0?.downcast::<A>().ok()?;
        Some(Arc::unwrap_or_clone(state))
    }
}

impl Debug for AnyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "AnyState(some)"
        } else {
            "AnyState(none)"
        })
    }
}

/// The states that a command is decided on.
#[derive(Debug)]
pub struct States<'a> {
    participants: &'a [Participant],
    /// The state of each participant, none for those that are only written to.
    states: Vec<AnyState>,
    undeclared: RefCell<Option<Undeclared>>,
}

impl<'a> States<'a> {
    /// The states of `participants`, in their order.
    #[must_use]
    pub fn new(participants: &'a [Participant], states: Vec<AnyState>) -> Self {
        Self {
            participants,
            states,
            undeclared: RefCell::new(None),
        }
    }

    /// The state of the aggregate `A` named `id`; none before its first event.
    ///
    /// An aggregate that is not among those that the command [reads](Participant::read) or
    /// [begins](Participant::create) has no state here, and asking for it fails the command with
    /// [`Undeclared`]: nothing would make sure that it is still so when the command is recorded.
    #[must_use]
    pub fn of<A: Aggregate>(&self, id: &str) -> Option<&A> {
        let found = self
            .participants
            .iter()
            .zip(&self.states)
            .find(|(participant, _)| {
                participant.role.is_read()
                    && participant.id == id
                    && participant.kind.type_id == TypeId::of::<A>()
            });
        if found.is_none() {
            *self.undeclared.borrow_mut() = Some(Undeclared {
                category: A::CATEGORY,
                id: id.to_owned(),
            });
        }
        found.and_then(|(_, state)| state.of::<A>())
    }

    /// Makes sure that only declared participants were asked for.
    ///
    /// # Errors
    ///
    /// [`Undeclared`].
    pub fn check(self) -> Result<(), Undeclared> {
        self.undeclared.into_inner().map_or(Ok(()), Err)
    }
}

/// A command's decision reads or writes an aggregate that is not among its participants. It is a
/// mistake in the command's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the command decides on {category}/{id}, which is not among its participants")]
pub struct Undeclared {
    /// The aggregate's category.
    pub category: &'static str,
    /// Its id.
    pub id: String,
}

/// An event that a joint command causes on one of its participants.
pub struct Caused {
    type_id: TypeId,
    category: &'static str,
    id: String,
    event: Result<NewEvent, EncodeError>,
    evolve: Box<dyn Fn(AnyState) -> AnyState + Send>,
}

impl Caused {
    /// `event` happens to the aggregate `A` named `id`.
    #[must_use]
    pub fn on<A: Aggregate>(id: &str, event: A::Event) -> Self {
        Self {
            type_id: TypeId::of::<A>(),
            category: A::CATEGORY,
            id: id.to_owned(),
            event: NewEvent::encode(&event),
            evolve: Box::new(move |state| AnyState::new(A::evolve(state.take(), &event))),
        }
    }

    /// Which of `participants` it happens to.
    ///
    /// # Errors
    ///
    /// [`Undeclared`] when it is none of them.
    pub fn participant(&self, participants: &[Participant]) -> Result<usize, Undeclared> {
        participants
            .iter()
            .position(|participant| {
                participant.id == self.id && participant.kind.type_id == self.type_id
            })
            .ok_or_else(|| Undeclared {
                category: self.category,
                id: self.id.clone(),
            })
    }

    /// Folds it into the state of its aggregate.
    #[must_use]
    pub fn evolve(&self, state: AnyState) -> AnyState {
        (self.evolve)(state)
    }

    /// The event as it is stored.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when it cannot be.
    pub fn into_event(self) -> Result<NewEvent, EncodeError> {
        self.event
    }
}

impl Debug for Caused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caused")
            .field("category", &self.category)
            .field("id", &self.id)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}
