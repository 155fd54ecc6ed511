//! Walks over stores in memory: as they were sealed, and with everything done to them that can be.

mod anchors;
mod clean;
mod held;
mod mutation;
mod mutations;
