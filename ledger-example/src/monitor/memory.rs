//! What is remembered of a book: enough to tell of the next event whether it can be.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use folio_core::{CommandId, Currency, Money, Position, StreamId, Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::hold::PlacedHold;
use crate::monitor::account::WatchedAccount;

/// What is remembered of single things, by their names.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// The last event of each stream.
    pub(super) streams: HashMap<StreamId, (Version, Timestamp)>,
    pub(super) commands: HashSet<CommandId>,
    pub(super) accounts: BTreeMap<String, WatchedAccount>,
    /// Open ones with what was placed; resolved ones without.
    pub(super) holds: HashMap<String, Option<PlacedHold>>,
    /// The entries that were reversed.
    pub(super) undone: HashSet<String>,
}

/// Where in the log a monitor is, and what is still open there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) position: Position,
    /// The command whose events are coming in, with the stream of the last one.
    pub(super) last: Option<(CommandId, StreamId)>,
    pub(super) open: Open,
}

/// What can only be judged when all events of a command are there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Open {
    /// The accounts that it is about.
    pub(super) touched: BTreeSet<String>,
    /// Which entry undoes which, until the one that is undone says so too.
    pub(super) undoing: BTreeMap<String, String>,
    /// Credits less debits of all accounts.
    pub(super) net: BTreeMap<Currency, Money>,
}

impl Default for Place {
    /// Before the first event.
    fn default() -> Self {
        Self {
            position: Position::START,
            last: None,
            open: Open::default(),
        }
    }
}
