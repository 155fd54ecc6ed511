//! Periods: up to which day the book is closed.

use chrono::NaiveDate;
use folio_core::joint::{Caused, JointCommand, Participant, States};
use folio_core::{Aggregate, Event};
use serde::{Deserialize, Serialize};

use crate::journal::draft::check_date;
use crate::never::Never;
use crate::refusal::LedgerRefusal;

/// The stream of the book's periods has this id.
pub(crate) const BOOK: &str = "book";

/// An event of the book's periods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeriodsEvent {
    /// Everything up to and including a day was closed.
    PeriodClosed {
        /// The day.
        through: NaiveDate,
    },
}

impl Event for PeriodsEvent {}

/// Up to which day the book is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// The last day that is closed.
    pub closed_through: NaiveDate,
}

impl Aggregate for Periods {
    const CATEGORY: &'static str = "periods";

    type Command = Never;
    type Event = PeriodsEvent;
    type Refusal = LedgerRefusal;

    fn decide(_: Option<&Self>, command: Never) -> Result<Vec<PeriodsEvent>, LedgerRefusal> {
        match command {}
    }

    fn evolve(state: Option<Self>, event: &PeriodsEvent) -> Option<Self> {
        let PeriodsEvent::PeriodClosed { through } = event;
        let before = state.map_or(*through, |periods| periods.closed_through);
        Some(Self {
            closed_through: before.max(*through),
        })
    }
}

/// Closes everything up to and including a day, for good. Entries that take effect then are refused
/// from here on, so what was reported for that time stays so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClosePeriod {
    /// The day.
    pub through: NaiveDate,
}

impl JointCommand for ClosePeriod {
    const NAME: &'static str = "close_period";
    type Refusal = LedgerRefusal;

    fn participants(&self) -> Vec<Participant> {
        vec![Participant::read::<Periods>(BOOK)]
    }

    fn decide(&self, states: &States<'_>) -> Result<Vec<Caused>, LedgerRefusal> {
        check_date(self.through)?;
        let through = self.through;
        if let Some(periods) = states.of::<Periods>(BOOK)
            && periods.closed_through >= through
        {
            return Err(LedgerRefusal::PeriodClosed {
                through: periods.closed_through,
            });
        }
        let closed = PeriodsEvent::PeriodClosed { through };
        Ok(vec![Caused::on::<Periods>(BOOK, closed)])
    }
}
