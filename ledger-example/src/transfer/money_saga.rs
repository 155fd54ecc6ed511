//! What sagas that move money have in common.

use folio_core::saga::Saga;

/// A saga that moves money from somewhere to somewhere else.
pub trait MoneySaga: Saga {
    /// Where the money is, for all that is known, when these steps are done and not undone.
    fn money_is(is_done: &dyn Fn(&str) -> bool) -> MoneyIs;
}

/// Where money is that a saga moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyIs {
    /// Where it comes from, to be spent.
    Source,
    /// Where it comes from, set aside.
    Held,
    /// On a clearing account.
    Clearing,
    /// Where it goes to.
    Destination,
}

impl MoneyIs {
    /// `source`, `held`, `clearing` or `destination`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Held => "held",
            Self::Clearing => "clearing",
            Self::Destination => "destination",
        }
    }
}
