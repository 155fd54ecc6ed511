//! Services that each own a database and meet over HTTP alone.

mod alone;
mod audited;
mod books;
mod changes;
mod clocks;
mod crossing;
mod door;
mod front;
mod isolation;
mod load;
pub(crate) mod orders;
mod outages;
mod payments;
mod processes;
mod rails;
mod runners;
mod secrets;
mod sqlite;
mod system;
mod traced;
mod transfers;
