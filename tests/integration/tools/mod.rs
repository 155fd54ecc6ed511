//! What operators look with: events, traces, replays, differences.

mod diff;
mod events;
mod replay;
mod replaying;
mod trace;
