//! The way from a leaf up to the root, which both kinds of proof go (RFC 9162, sections 2.1.3.2 and 2.1.4.2).

use super::head::Size;

/// Where a way up has come to: a node of a level, and the last one of that level. The RFC calls them `fn` and `sn`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Climb {
    node: u64,
    last: u64,
}

/// On which side of the node the next hash of the path stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sibling {
    Left,
    Right,
}

impl Climb {
    /// From this leaf, if the log has it.
    pub(super) fn new(index: u64, size: Size) -> Option<Self> {
        let last = size.number().checked_sub(1)?;
        (index <= last).then_some(Self { node: index, last })
    }

    /// Up to the largest complete tree that ends with this leaf.
    pub(super) const fn to_complete(self) -> Self {
        self.up(self.node.trailing_ones())
    }

    /// One hash of the path up. None at the root.
    pub(super) const fn step(&mut self) -> Option<Sibling> {
        if self.last == 0 {
            return None;
        }
        let is_right = self.node & 1 == 1;
        if !is_right && self.node != self.last {
            *self = self.up(1);
            return Some(Sibling::Right);
        }
        // The last of its level, without one beside it: its parents are the same node until one has.
        *self = self.up(self.node.trailing_zeros()).up(1);
        Some(Sibling::Left)
    }

    pub(super) const fn is_at_root(self) -> bool {
        self.last == 0
    }

    const fn up(self, levels: u32) -> Self {
        Self {
            node: self.node >> levels,
            last: self.last >> levels,
        }
    }
}
