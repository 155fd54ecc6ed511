//! Services that each own a database and meet over HTTP alone.

mod audited;
mod books;
mod crossing;
mod door;
mod front;
mod isolation;
pub(crate) mod orders;
mod outages;
mod payments;
mod processes;
mod rails;
mod runners;
mod sqlite;
mod system;
mod traced;
mod transfers;
