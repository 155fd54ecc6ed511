//! Switches by which the outside fails, for a number of requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most that a request is held up, in milliseconds.
const MS_MAX: u64 = 600_000;

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outsider {
    /// The fraud screen.
    Fraud,
    /// The desk that quotes exchange rates.
    Fx,
    /// The payment network.
    Payments,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// It waits before it does its work.
    Delay {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// It never answers, and does nothing.
    Hang,
    /// It breaks the connection off without a word, and does nothing.
    Refuse,
    /// It says 500, and does nothing.
    Error,
    /// It says 200 with a body that says that it has failed, and does nothing.
    ErrorBody,
    /// It does its work, and its answer comes late.
    Late {
        /// How late, in milliseconds.
        ms: u64,
    },
    /// It does its work, and breaks the connection off before the answer.
    LoseAnswer,
    /// It accepts a payment, and returns it afterwards. The others cannot do that, and do their work.
    AcceptThenDeny,
}

/// How something fails, and for how many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// How.
    pub fault: FaultKind,
    /// For so many requests from now on.
    pub requests: u32,
}

/// What fails at present.
#[derive(Debug, Default)]
pub struct Faults {
    // The std mutex: it is never held across an await.
    set: Mutex<BTreeMap<Outsider, Fault>>,
}

impl Fault {
    /// Whether it holds requests up no longer than somebody could mean.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        match self.fault {
            FaultKind::Delay { ms } | FaultKind::Late { ms } => ms <= MS_MAX,
            FaultKind::Hang
            | FaultKind::Refuse
            | FaultKind::Error
            | FaultKind::ErrorBody
            | FaultKind::LoseAnswer
            | FaultKind::AcceptThenDeny => true,
        }
    }
}

impl Faults {
    /// Has `outsider` fail like this; not any more, without one.
    pub fn set(&self, outsider: Outsider, fault: Option<Fault>) {
        let mut set = self.lock();
        match fault {
            Some(fault) => set.insert(outsider, fault),
            None => set.remove(&outsider),
        };
    }

    /// What is set, and how many requests it is still for.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Outsider, Fault> {
        self.lock().clone()
    }

    /// How the request fails that has just come in.
    #[must_use]
    pub fn next(&self, outsider: Outsider) -> Option<FaultKind> {
        let mut set = self.lock();
        let fault = set.get_mut(&outsider)?;
        match fault.requests.checked_sub(1) {
            Some(left) => {
                fault.requests = left;
                Some(fault.fault)
            }
            None => {
                set.remove(&outsider);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Outsider, Fault>> {
        // Nothing panics under this lock.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_for_its_requests_and_is_of_one_alone() {
        let faults = Faults::default();
        let fault = Fault {
            fault: FaultKind::Hang,
            requests: 2,
        };
        faults.set(Outsider::Fx, Some(fault));
        assert_eq!(faults.next(Outsider::Fraud), None);
        assert_eq!(faults.next(Outsider::Fx), Some(FaultKind::Hang));
        assert_eq!(faults.next(Outsider::Fx), Some(FaultKind::Hang));
        assert_eq!(faults.next(Outsider::Fx), None);
        faults.set(Outsider::Fx, Some(fault));
        faults.set(Outsider::Fx, None);
        assert!(faults.all().is_empty());
    }
}
