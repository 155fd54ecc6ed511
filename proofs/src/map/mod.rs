//! The map of streams: at which version and position each of them ends.
//!
//! A log proves that an event is in it. That all events of a stream were shown, and that there is no such stream, is
//! proven by a map from streams to where they end, whose root stands in the same checkpoint:
//!
//! - The key of a stream is SHA-256 of its category and its id, each behind its length of 8 bytes.
//! - The first two bytes of a key are the number of its bucket: there are 65,536.
//! - The hash of a bucket is SHA-256 of `folio bucket v1`, the count of its entries in 8 bytes, and the entries in the
//!   order of their keys: key, version, position, of 32, 8 and 8 bytes.
//! - Over the buckets stands a whole binary tree, 16 nodes high. A node is SHA-256 of the byte 2 and its two children;
//!   0 and 1 are the log's.
//!
//! Numbers are big-endian. A proof is a bucket with all its entries and the 16 nodes beside its path.

mod bucket;
mod entry;
mod key;
mod proof;
mod tree;

pub use bucket::{Bucket, BucketError};
pub use entry::{Entry, Last};
pub use key::{BucketNumber, StreamKey};
pub use proof::{MapProof, MapProofError};
pub use tree::{MapTree, StaleBucket};
