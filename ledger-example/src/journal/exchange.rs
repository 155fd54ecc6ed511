//! What one currency was exchanged for another at.

use std::fmt;

use folio_core::{Amount, MoneyError};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most decimals of a rate.
const DECIMALS_MAX: u32 = 12;

/// How much of the bought currency one unit of the sold one is: above zero, below 10⁹, at most 12
/// decimals. Its text is kept as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(Decimal);

/// A text that is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a rate is a decimal string such as \"1.0842\", above zero, below 10^9, with at most {DECIMALS_MAX} decimals"
)]
pub struct InvalidRate;

impl Rate {
    /// What `sold` is in the bought currency, unrounded; none where that is too large to hold.
    #[must_use]
    pub fn of(self, sold: Amount) -> Option<Decimal> {
        sold.money().amount().checked_mul(self.0)
    }
}

impl TryFrom<String> for Rate {
    type Error = InvalidRate;

    fn try_from(text: String) -> Result<Self, InvalidRate> {
        let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        let framed = text.starts_with(|c: char| c.is_ascii_digit())
            && text.ends_with(|c: char| c.is_ascii_digit());
        if !plain || !framed {
            return Err(InvalidRate);
        }
        let rate = Decimal::from_str_exact(&text).map_err(|_| InvalidRate)?;
        let bound = Decimal::from(1_000_000_000);
        if rate.is_zero() || rate >= bound || rate.scale() > DECIMALS_MAX {
            return Err(InvalidRate);
        }
        Ok(Self(rate))
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An exchange, as an entry in two currencies tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// What is given. A leg of the entry has this amount.
    pub sold: Amount,
    /// What is got for it. A leg of the entry has this amount.
    pub bought: Amount,
    /// At this rate.
    pub rate: Rate,
    /// What the market asked, where that is known: the difference is the spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market_rate: Option<Rate>,
}

impl Exchange {
    /// Whether what is bought is what is sold, at the rate, to less than one minor unit.
    ///
    /// # Errors
    ///
    /// When the product is too large to hold.
    pub fn is_at_rate(&self) -> Result<bool, MoneyError> {
        let off = self.off(self.rate)?.abs();
        let unit = Decimal::new(1, self.bought.currency().exponent());
        Ok(off < unit)
    }

    /// How much more would have been bought at the market's rate, in the bought currency and not
    /// rounded; none where that rate is not known.
    #[must_use]
    pub fn spread(&self) -> Option<Decimal> {
        self.off(self.market_rate?).ok().map(|off| off.normalize())
    }

    /// What is sold at `rate` less what is bought.
    fn off(&self, rate: Rate) -> Result<Decimal, MoneyError> {
        let bought = self.bought.money().amount();
        rate.of(self.sold)
            .and_then(|at_rate| at_rate.checked_sub(bought))
            .ok_or(MoneyError::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use folio_core::Currency;

    use super::*;

    fn amount(text: &str, code: &str) -> Amount {
        Amount::parse(text, Currency::from_code(code).unwrap()).unwrap()
    }

    fn rate(text: &str) -> Rate {
        Rate::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn rates_are_plain_decimals() {
        for text in ["1", "0.000000000001", "999999999.5", "1.0842"] {
            assert_eq!(rate(text).to_string(), text);
        }
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "1e3",
            ".5",
            "5.",
            "1,0",
            "1000000000",
            "0.0000000000001",
        ] {
            assert_eq!(Rate::try_from(text.to_owned()), Err(InvalidRate), "{text}");
        }
    }

    #[test]
    fn an_exchange_is_at_its_rate_to_less_than_a_minor_unit() {
        let exchange = |bought: &str| Exchange {
            sold: amount("100.00", "EUR"),
            bought: amount(bought, "JPY"),
            rate: rate("163.455"),
            market_rate: Some(rate("164.2")),
        };
        assert_eq!(exchange("16345").is_at_rate(), Ok(true));
        assert_eq!(exchange("16346").is_at_rate(), Ok(true));
        assert_eq!(exchange("16344").is_at_rate(), Ok(false));
        assert_eq!(exchange("16345").spread().unwrap().to_string(), "75");
    }
}
