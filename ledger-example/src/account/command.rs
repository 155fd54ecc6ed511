//! What may be asked of an account alone. What moves money is asked of several things at once: see
//! [`journal`](crate::journal) and [`hold`](crate::hold).

use folio_core::Currency;
use serde::Serialize;

use crate::account::{
    AccountMetadata, Description, Freeze, Holder, Kind, MetadataChange, NormalSide, Overdraft,
    VelocityLimit,
};

/// A command to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum AccountCommand {
    /// Open it.
    OpenAccount(Opening),
    /// Set how far below zero it may go, and how fast.
    SetLimits(Limits),
    /// Refuse legs from here on, until it is unfrozen. Another freeze takes the place of one before.
    FreezeAccount {
        /// Which.
        freeze: Freeze,
        /// Why.
        reason: Description,
    },
    /// Lift the freeze.
    UnfreezeAccount {
        /// Why.
        reason: Description,
    },
    /// Change what is noted about it.
    ChangeMetadata(MetadataChange),
    /// Name who holds it.
    NameHolder(Holder),
    /// Take nothing new from here on, so that it can be emptied and closed.
    BeginClosing,
}

/// What an account is opened with. What is left out of a stored opening is the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Its currency, for ever.
    pub currency: Currency,
    /// How far below zero it may go.
    pub overdraft: Overdraft,
    /// Whether its limits are checked, for ever.
    #[serde(default, skip_serializing_if = "Kind::is_default")]
    pub kind: Kind,
    /// On which side it grows, for ever.
    #[serde(default, skip_serializing_if = "NormalSide::is_default")]
    pub normal_side: NormalSide,
    /// How fast money may go out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub velocity: Vec<VelocityLimit>,
    /// What is noted about it.
    #[serde(default, skip_serializing_if = "AccountMetadata::is_empty")]
    pub metadata: AccountMetadata,
    /// Who holds it, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

impl Opening {
    /// A customer's account that does not go below zero.
    #[must_use]
    pub fn new(currency: Currency) -> Self {
        Self {
            currency,
            overdraft: Overdraft::None,
            kind: Kind::Authorising,
            normal_side: NormalSide::default(),
            velocity: Vec::new(),
            metadata: AccountMetadata::default(),
            holder: None,
        }
    }
}

/// How far below zero an account may go, and how fast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How far below zero.
    pub overdraft: Overdraft,
    /// How fast.
    pub velocity: Vec<VelocityLimit>,
}
