//! The front door of the ledger's services: one address, behind which each request finds the service it is for.
//!
//! Whatever must hold of every request is done here once: it is understood in one way only, somebody known has sent it, who
//! may do that and has not asked too often; it is logged; and it goes to an instance that is there and well. What it means
//! is no business of the door: that is decided by the services, in whose own transactions an `Idempotency-Key` is kept.
//!
//! ```text
//! connection: bounds in all and per address, time and size of headers, HTTP/2 resets        listen
//!             idle, stalled or flooded                                                      connection, idle, traffic
//!   → trace, access log                                                                     gateway, trace, access
//!   → one meaning: authority, path                                                          headers, path
//!   → whose address it is, behind proxies that are believed                                 address
//!   → whether the door is well
//!   → route                                                                                 route
//!   → room for one more; how often the address has asked                                    limits
//!   → CORS; the document of all services                                                    documents
//!   → deadline → who asks → how often they have → what they may                             auth, limits
//!   → Idempotency-Key → body, whole                                                         body
//!   → headers of the door's own, and who asks, signed                                       headers
//!   → an instance, and another one where that may be                                        upstream
//! ```

mod access;
mod access_log;
mod access_record;
pub mod address;
pub mod admin;
mod alarm;
pub mod auth;
mod body;
pub mod config;
mod connection;
mod documents;
mod figures;
mod gateway;
mod headers;
mod idle;
pub mod limits;
mod link;
mod links;
mod listen;
mod log_file;
mod path;
mod places;
mod problem;
mod route;
#[cfg(test)]
mod tests;
mod trace;
mod traffic;
mod upstream;
mod workers;

pub use access_log::AccessLog;
pub use access_record::AccessRecord;
pub use body::AnswerBody;
pub use config::{Bounds, GatewayConfig, InvalidConfig};
pub use gateway::Gateway;
pub use listen::serve;
pub use log_file::LogFile;
pub use problem::Problem;
pub use route::{Matched, Route, RouteTable};
pub use upstream::{UpstreamError, Upstreams};
