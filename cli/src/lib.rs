//! .
pub fn main() {}
