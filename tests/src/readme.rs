//! The README's Rust, compiled and run with the other tests.

#[doc = include_str!("../../README.md")]
struct Readme;
