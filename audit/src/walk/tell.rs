//! Tells what a walk finds, in the order of the rows.

use std::mem;

use super::error::WalkError;
use super::finding::Finding;

/// What a walk tells while it is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walked {
    /// Something is not as it was.
    Found(Box<Finding>),
    /// How many events were read, and how many there are.
    Progress {
        /// Read so far.
        events: u64,
        /// The last position when the walk began.
        of: u64,
    },
}

/// Tells the first findings, and counts all.
#[derive(Debug)]
pub(crate) struct Teller<F> {
    tell: F,
    /// Findings that are still told.
    left: usize,
    pub(crate) found: u64,
    /// Those since the last root that was compared, with the positions that they belong to.
    held: Vec<(i64, Finding)>,
}

impl<F: FnMut(Walked) -> Result<(), WalkError>> Teller<F> {
    pub(crate) const fn new(most: usize, tell: F) -> Self {
        Self {
            tell,
            left: most,
            found: 0,
            held: Vec::new(),
        }
    }

    /// Tells it at once.
    pub(crate) fn now(&mut self, finding: Finding) -> Result<(), WalkError> {
        self.found += 1;
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(());
        };
        self.left = left;
        (self.tell)(Walked::Found(Box::new(finding)))
    }

    /// Tells it when what belongs to earlier positions is known.
    pub(crate) fn hold(&mut self, position: i64, finding: Finding) {
        self.held.push((position, finding));
    }

    /// Tells what was held, in the order of the positions.
    pub(crate) fn release(&mut self) -> Result<(), WalkError> {
        let mut held = mem::take(&mut self.held);
        // What was sealed first, and what follows from that behind it.
        let follows = |finding: &Finding| matches!(finding, Finding::Structure { .. });
        held.sort_by_key(|(position, finding)| (*position, follows(finding)));
        held.into_iter()
            .try_for_each(|(_, finding)| self.now(finding))
    }

    pub(crate) fn progress(&mut self, events: u64, of: u64) -> Result<(), WalkError> {
        (self.tell)(Walked::Progress { events, of })
    }
}
