//! What cannot be.

use serde::Serialize;

/// The command of an aggregate that is only written to by commands on several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Never {}
