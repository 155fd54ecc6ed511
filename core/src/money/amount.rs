//! Money above zero.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Currency, Money, MoneyError, NonPositive};

/// Money above zero, as commands and journal entries carry it.
///
/// ```
/// use folio_core::money::{Amount, Currency};
///
/// let eur = Currency::from_code("EUR")?;
/// assert_eq!(Amount::parse("0.01", eur)?.to_string(), "0.01 EUR");
/// assert_eq!(Amount::parse("0", eur).map_err(|error| error.code()), Err("zero_amount"));
/// assert_eq!(Amount::parse("-5", eur).map_err(|error| error.code()), Err("negative_amount"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Money", into = "Money")]
pub struct Amount(Money);

impl Amount {
    /// Reads text by the [grammar of amounts](super#text).
    ///
    /// # Errors
    ///
    /// As [`Money::parse`], and [`MoneyError::NotPositive`] for zero and for a minus sign.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Money::parse(text, currency)?.try_into()
    }

    /// The quantity as money, for arithmetic.
    pub fn money(&self) -> Money {
        self.0
    }

    /// The currency.
    pub fn currency(&self) -> Currency {
        self.0.currency()
    }

    /// The quantity as text with all decimals of the currency, such as `12.50`.
    pub fn amount_text(&self) -> String {
        self.0.amount_text()
    }
}

impl TryFrom<Money> for Amount {
    type Error = MoneyError;

    fn try_from(money: Money) -> Result<Self, MoneyError> {
        if money.is_zero() {
            return Err(MoneyError::NotPositive {
                sign: NonPositive::Zero,
            });
        }
        if money.is_negative() {
            return Err(MoneyError::NotPositive {
                sign: NonPositive::Negative,
            });
        }
        Ok(Self(money))
    }
}

impl From<Amount> for Money {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({self})")
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).unwrap()
    }

    #[test]
    fn only_values_above_zero_are_amounts() {
        let table = [
            ("0.01", "CZK", Ok("0.01")),
            ("5", "CZK", Ok("5.00")),
            ("1", "JPY", Ok("1")),
            ("0.001", "KWD", Ok("0.001")),
            ("0", "CZK", Err("zero_amount")),
            ("0.00", "CZK", Err("zero_amount")),
            ("-0.01", "CZK", Err("negative_amount")),
            ("-0", "CZK", Err("invalid_amount")),
            ("+5", "CZK", Err("invalid_amount")),
            ("0.001", "CZK", Err("amount_not_representable")),
            ("792281625142643375935439503.36", "CZK", Err("overflow")),
        ];
        for (text, code, expected) in table {
            let amount = Amount::parse(text, currency(code));
            let found = amount
                .map(|amount| amount.amount_text())
                .map_err(|error| error.code());
            assert_eq!(
                found.as_deref(),
                expected.as_ref().map(|text| *text),
                "{text} {code}"
            );
        }
    }

    #[test]
    fn money_above_zero_and_amount_are_the_same_value() {
        let money = Money::parse("12.5", currency("CZK")).unwrap();
        let amount = Amount::try_from(money).unwrap();
        assert_eq!((amount.money(), Money::from(amount)), (money, money));
        assert_eq!(amount.currency(), currency("CZK"));
        assert_eq!(
            format!("{amount} {amount:?}"),
            "12.50 CZK Amount(12.50 CZK)"
        );
    }

    #[test]
    fn json_of_zero_or_less_is_refused() {
        let json = |text: &str| format!(r#"{{"amount":"{text}","currency":"CZK"}}"#);
        let amount: Amount = serde_json::from_str(&json("12.50")).unwrap();
        assert_eq!(serde_json::to_string(&amount).unwrap(), json("12.50"));
        for (text, clause) in [
            ("0", "amount is zero"),
            ("0.00", "amount is zero"),
            ("-1", "amount is negative"),
        ] {
            let error = serde_json::from_str::<Amount>(&json(text))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(clause), "{error}");
        }
        let error =
            serde_json::from_str::<Amount>(r#"{"amount":12.5,"currency":"CZK"}"#).unwrap_err();
        assert!(
            error.to_string().contains("an amount in a string"),
            "{error}"
        );
    }
}
