//! Exact money: no floats, no rounding, no mixing of currencies.
//!
//! [`Money`] is a signed quantity in one [`Currency`], held to exactly as many decimals as ISO 4217
//! gives that currency. Balances and differences are `Money`. [`Amount`] is money above zero, which
//! is what commands and journal entries carry: the direction of a leg is its side, never a minus
//! sign.
//!
//! Whatever would lose a minor unit is an error that names the loss ([`MoneyError`]): text with too
//! many decimals, a total that outgrows 96 bits, a sum over two currencies. There is no division.
//! [`Money::allocate`] splits a whole by weights so that its parts add up to it again.
//!
//! # Text
//!
//! Amounts are read from text by this grammar, in full and with nothing around it:
//!
//! ```text
//! money    = [ "-" ] amount          no "-" before a value of zero
//! amount   = whole [ "." decimals ]
//! whole    = "0" | "1".."9" { digit }
//! decimals = digit { digit }         at most as many as the currency has
//! digit    = "0".."9"                ASCII only
//! ```
//!
//! Fewer decimals than the currency has are filled up (`5` CZK is `5.00`). More are refused even
//! when they are zeros: whoever writes `1.000` may mean a thousand. Written text always has all
//! decimals of the currency.
//!
//! # JSON
//!
//! Both types are `{"amount":"12.50","currency":"CZK"}`. The amount is a string, because most
//! readers of JSON turn a number into a float; a number is refused, and so is any further field.
//!
//! ```
//! use folio_core::money::{Amount, Currency, Money};
//!
//! let czk = Currency::from_code("CZK")?;
//! let balance = Money::parse("-12.5", czk)?;
//! let payment = Amount::parse("20", czk)?;
//! assert_eq!(balance.checked_add(payment.money())?.to_string(), "7.50 CZK");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

mod allocation;
mod amount;
mod arithmetic;
mod currency;
mod error;
mod json;
mod money_value;
mod text;

pub use amount::Amount;
pub use currency::{Currency, UnknownCurrency};
pub use error::{MoneyError, NonPositive};
pub use money_value::Money;
