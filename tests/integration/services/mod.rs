//! Services that each own a database and meet over HTTP alone.

mod books;
mod isolation;
mod outages;
mod processes;
mod rails;
mod sqlite;
mod transfers;
