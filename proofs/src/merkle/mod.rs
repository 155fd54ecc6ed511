//! The Merkle log: one hash for a list of leaves, and short proofs about it.
//!
//! The tree is that of RFC 6962 and RFC 9162 (section 2.1). Its nodes are kept in tiles as C2SP's
//! [tlog-tiles](https://c2sp.org/tlog-tiles) describes them, which here are rows of a database:
//!
//! - Whoever seals appends leaf hashes to a [`TileWriter`] and stores the tiles that have changed.
//! - Whoever proves makes an [`InclusionPlan`] or a [`ConsistencyPlan`], reads the tiles that it names, and has it
//!   prove from them. A plan reads nothing by itself.
//! - Whoever checks has a [`TreeHead`] that is trusted, and the proof. Or all leaves, and a [`Frontier`].

mod climb;
mod consistency;
mod frontier;
mod head;
mod inclusion;
mod node;
#[cfg(test)]
mod reference;
mod subtree;
mod tile;
mod tile_id;
mod writer;

pub use consistency::{ConsistencyError, ConsistencyPlan, ConsistencyProof, LogShrinks};
pub use frontier::Frontier;
pub use head::{Size, TreeHead};
pub use inclusion::{InclusionError, InclusionPlan, InclusionProof, OutsideLog};
pub use node::{LeafHasher, empty_root, node_hash};
pub use tile::{InvalidTile, Tile, TileError, Tiles};
pub use tile_id::{TileId, needed_to_append};
pub use writer::TileWriter;
