//! An account: one currency, an overdraft policy, and every posting it ever had.
//!
//! Folder layout, the same for every aggregate: what may be asked ([`command`]), what can have
//! happened ([`event`]), why something was refused ([`refusal`]), and the two functions that bind
//! them ([`state`]). The words they share are in [`id`], [`posting`] and [`overdraft`].
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

pub mod command;
pub mod event;
pub mod id;
pub mod overdraft;
pub mod posting;
pub mod refusal;
pub mod state;

pub use command::AccountCommand;
pub use event::AccountEvent;
pub use id::{AccountId, InvalidAccountId};
pub use overdraft::Overdraft;
pub use posting::{
    BoundedText, ContraAccount, Description, InvalidPosting, Posting, Reference, Side,
};
pub use refusal::AccountRefusal;
pub use state::{Account, Status};
