//! Stores that are sealed: the log and the map beside them, checkpoints, anchors and proofs.

mod altered;
mod anchored;
mod backups;
mod book;
mod failover;
mod fresh;
mod killed;
mod logins;
mod mutations;
mod proofs;
mod roles;
mod running;
mod sealing;
pub(crate) mod service;
mod walk;
mod walk_clean;
mod walk_command;
mod witness;
