//! An account: one currency, its limits, and what was posted to it or is held on it.
//!
//! Folder layout, the same for every aggregate: what may be asked ([`command`]), what can have
//! happened ([`event`]), why something was refused ([`refusal`]), what it is ([`state`]), and what it
//! lets happen to it (`decision`). The words they share lie beside them.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub mod command;
mod decision;
pub mod event;
pub mod freeze;
pub mod holder;
pub mod id;
pub mod kind;
pub mod metadata;
pub mod overdraft;
pub mod posting;
pub mod refusal;
pub mod state;
pub mod velocity;

#[cfg(test)]
mod tests;

pub use command::{AccountCommand, Limits, Opening};
pub use event::{AccountEvent, HeldFunds, PostedLeg};
pub use freeze::Freeze;
pub use holder::Holder;
pub use id::{AccountId, InvalidAccountId};
pub use kind::{Kind, NormalSide};
pub use metadata::{AccountMetadata, MetadataChange, MetadataKey, MetadataValue};
pub use overdraft::Overdraft;
pub use posting::{
    BoundedText, ContraAccount, Description, InvalidPosting, Peer, Posting, Reference, Side,
};
pub use refusal::AccountRefusal;
pub use state::{Account, Sides, Status};
pub use velocity::{Usage, VelocityLimit};
