//! What a saga consists of.

use std::time::Duration;

use thiserror::Error;

/// How often something is tried before somebody has to look at it.
const TRIES: u32 = 8;
/// First wait before another try; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The steps of a saga, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaDefinition {
    version: u32,
    within: Duration,
    steps: Vec<Step>,
    /// How often something is tried before it needs attention.
    pub tries: u32,
    /// First wait before another try; it doubles each time.
    pub first_wait: Duration,
    /// Longest wait before another try.
    pub wait_max: Duration,
}

/// A step of a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    name: &'static str,
    kind: StepKind,
    lasts: Option<Duration>,
}

/// What a step is to the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// It has no effect, and may be refused.
    Question,
    /// It has an effect that its undo takes back, and may be refused.
    Compensatable {
        /// The name of its undo.
        undo: &'static str,
    },
    /// It decides. It may be refused; when it is not, the saga is carried out.
    Pivot,
    /// It cannot be refused any more, and is tried until it is done.
    Retriable,
}

/// Why something is no definition of a saga.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidDefinition {
    /// There is not one pivot.
    #[error("a saga has one pivot, and not {pivots}")]
    Pivots {
        /// How many there are.
        pivots: usize,
    },
    /// A step stands on the wrong side of the pivot.
    #[error(
        "step {step} stands on the wrong side of the pivot: only what can be undone comes before it, and only what cannot be refused after it"
    )]
    Order {
        /// Which.
        step: &'static str,
    },
    /// Two steps, or a step and an undo, are called the same.
    #[error("{name:?} is the name of two things, or of none")]
    Name {
        /// The name.
        name: &'static str,
    },
    /// What a step sets aside may be gone before the saga is.
    #[error(
        "what step {step} does lasts {lasts:?}, and the saga may take {within:?} before its pivot"
    )]
    TooShort {
        /// Which.
        step: &'static str,
        /// How long it lasts.
        lasts: Duration,
        /// How long the saga may take.
        within: Duration,
    },
    /// There is no time, or nothing is tried.
    #[error("a saga has some time until its pivot")]
    NoTime,
}

impl Step {
    /// A step without an effect.
    #[must_use]
    pub const fn question(name: &'static str) -> Self {
        Self::of(name, StepKind::Question)
    }

    /// A step that `undo` takes back.
    #[must_use]
    pub const fn compensatable(name: &'static str, undo: &'static str) -> Self {
        Self::of(name, StepKind::Compensatable { undo })
    }

    /// The step that decides.
    #[must_use]
    pub const fn pivot(name: &'static str) -> Self {
        Self::of(name, StepKind::Pivot)
    }

    /// A step that is tried until it is done.
    #[must_use]
    pub const fn retriable(name: &'static str) -> Self {
        Self::of(name, StepKind::Retriable)
    }

    /// The same step, whose effect goes by itself after this time, as a hold does. It must last longer than the
    /// saga may take before its pivot.
    #[must_use]
    pub const fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }

    /// Its name, by which it is on record.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is to the whole.
    #[must_use]
    pub const fn kind(&self) -> StepKind {
        self.kind
    }

    /// The name of its undo, where it has one.
    #[must_use]
    pub const fn undo(&self) -> Option<&'static str> {
        match self.kind {
            StepKind::Compensatable { undo } => Some(undo),
            StepKind::Question | StepKind::Pivot | StepKind::Retriable => None,
        }
    }

    const fn of(name: &'static str, kind: StepKind) -> Self {
        let lasts = None;
        Self { name, kind, lasts }
    }
}

impl SagaDefinition {
    /// The definition of this version. The saga has to come to its pivot `within` this time, or turns back.
    ///
    /// # Errors
    ///
    /// [`InvalidDefinition`]: a saga by which money could be left in between is refused before it begins.
    pub fn new(
        version: u32,
        within: Duration,
        steps: Vec<Step>,
    ) -> Result<Self, InvalidDefinition> {
        check_names(&steps)?;
        let is_pivot = |step: &Step| step.kind == StepKind::Pivot;
        let pivots = steps.iter().filter(|step| is_pivot(step)).count();
        let pivot = steps.iter().position(is_pivot);
        let pivot = pivot.filter(|_| pivots == 1);
        let pivot = pivot.ok_or(InvalidDefinition::Pivots { pivots })?;
        for (place, step) in steps.iter().enumerate() {
            let is_in_place = match step.kind {
                StepKind::Question | StepKind::Compensatable { .. } => place < pivot,
                StepKind::Pivot => place == pivot,
                StepKind::Retriable => place > pivot,
            };
            if !is_in_place {
                return Err(InvalidDefinition::Order { step: step.name });
            }
            // A pivot that is asked in the last moment still has to find it.
            if let Some(lasts) = step.lasts.filter(|lasts| *lasts < within.saturating_mul(2)) {
                return Err(InvalidDefinition::TooShort {
                    step: step.name,
                    lasts,
                    within,
                });
            }
        }
        if within.is_zero() {
            return Err(InvalidDefinition::NoTime);
        }
        Ok(Self {
            version,
            within,
            steps,
            tries: TRIES,
            first_wait: FIRST_WAIT,
            wait_max: WAIT_MAX,
        })
    }

    /// Its version: what is on record of a saga that began with it.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// How long a saga may take before its pivot.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }

    /// Its steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step of this name.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// How long to wait before something is tried again that has failed so often. `chance`, below 1,000, shortens it
    /// by up to a half, so that sagas which failed together do not come back together.
    #[must_use]
    pub fn wait_after(&self, tries: u32, chance: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(30);
        let wait = self
            .first_wait
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.wait_max);
        let part = wait / 2_000;
        wait.saturating_sub(part.saturating_mul(chance.min(1_000)))
    }
}

fn check_names(steps: &[Step]) -> Result<(), InvalidDefinition> {
    let mut names = Vec::new();
    for step in steps {
        for name in [Some(step.name), step.undo()].into_iter().flatten() {
            if name.is_empty() || names.contains(&name) {
                return Err(InvalidDefinition::Name { name });
            }
            names.push(name);
        }
    }
    Ok(())
}
