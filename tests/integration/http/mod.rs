//! The accounts service over HTTP, as its conventions promise.

mod accounts;
mod adversarial;
mod bad_input;
mod bulk;
mod first_version;
mod holds;
mod journal;
mod keys;
mod reading;
mod service;
mod times;

use serde_json::{Value, json};

fn eur(amount: &str) -> Value {
    json!({"amount": amount, "currency": "EUR", "contra": "cash"})
}
