//! What every event store promises, on PostgreSQL, and what is asked of a store on PostgreSQL alone.

mod contract;
pub(crate) mod schedules;
