//! The signed quantity: what it is made from and how it is written.

use std::fmt;

use rust_decimal::Decimal;

use super::{Currency, MoneyError, text};

/// An exact, signed quantity of one currency, to the decimals of its minor unit.
///
/// Its bound is 96 bits of minor units in either direction (79228162514264337593543950335, for CZK
/// about 7.9 × 10²⁶ crowns). Arithmetic is exact within it and [`MoneyError::Overflow`] beyond it.
/// There is no `Ord`, because money of two currencies has none: see [`Money::compare`].
///
/// ```
/// use folio_core::money::{Currency, Money};
///
/// let czk = Currency::from_code("CZK")?;
/// let balance = Money::parse("10", czk)?.checked_sub(Money::parse("22.50", czk)?)?;
/// assert_eq!(balance.to_string(), "-12.50 CZK");
/// assert!(balance.is_negative());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Its scale is the currency's exponent, and zero has no sign.
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// Nothing, in `currency`.
    pub fn zero(currency: Currency) -> Self {
        Self {
            amount: Decimal::from_parts(0, 0, 0, false, currency.exponent()),
            currency,
        }
    }

    /// Reads text by the [grammar of amounts](super#text), with an optional minus sign.
    ///
    /// ```
    /// use folio_core::money::{Currency, Money};
    ///
    /// let czk = Currency::from_code("CZK")?;
    /// assert_eq!(Money::parse("5", czk)?.amount_text(), "5.00");
    /// assert!(Money::parse("5.000", czk).is_err());
    /// assert!(Money::parse("5e2", czk).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MoneyError::NotADecimal`], [`MoneyError::TooManyDecimals`] or [`MoneyError::Overflow`].
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Self::from_minor_units(text::minor_units(text, currency)?, currency)
    }

    /// Takes a decimal from elsewhere, a `NUMERIC` column for one. Its scale may differ from the
    /// currency's, its value may not need more.
    ///
    /// A driver rounds a `NUMERIC` that is too wide for [`Decimal`] before this function can see
    /// it. With no more decimals than the currency has, what is left of it is beyond the bound here
    /// too and refused. With more it can pass, so a column that may hold such a number is to be
    /// read as text.
    ///
    /// # Errors
    ///
    /// [`MoneyError::TooManyDecimals`] when decimals that are not zero would be lost,
    /// [`MoneyError::Overflow`] beyond the bound.
    pub fn from_decimal(value: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let shortest = value.normalize();
        let missing = currency
            .exponent()
            .checked_sub(shortest.scale())
            .ok_or_else(|| MoneyError::too_many_decimals(&value.to_string(), currency))?;
        let units = 10_i128
            .checked_pow(missing)
            .and_then(|unit| shortest.mantissa().checked_mul(unit));
        Self::from_minor_units(units.ok_or(MoneyError::Overflow)?, currency)
    }

    /// The quantity as a decimal whose scale is the exponent of the currency.
    pub fn amount(&self) -> Decimal {
        self.amount
    }

    /// The quantity as text with all decimals of the currency: `-12.50`, `0.00`, never `-0.00`.
    pub fn amount_text(&self) -> String {
        self.amount.to_string()
    }

    /// The currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.minor_units() < 0
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.amount.is_zero()
    }

    /// The same quantity with the other sign. The bound is symmetrical, so there always is one.
    #[must_use]
    pub fn negated(mut self) -> Self {
        let is_positive = !self.is_negative() && !self.is_zero();
        self.amount.set_sign_negative(is_positive);
        self
    }

    pub(super) fn minor_units(&self) -> i128 {
        self.amount.mantissa()
    }

    /// The one way in: it sets the scale and holds the bound.
    pub(super) fn from_minor_units(units: i128, currency: Currency) -> Result<Self, MoneyError> {
        let amount = Decimal::try_from_i128_with_scale(units, currency.exponent())
            .map_err(|_out_of_96_bits| MoneyError::Overflow)?;
        Ok(Self { amount, currency })
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Money({self})")
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const MAX: i128 = (1 << 96) - 1;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).unwrap()
    }

    fn money(text: &str, code: &str) -> Money {
        Money::parse(text, currency(code)).unwrap()
    }

    fn units(units: i128, code: &str) -> Money {
        Money::from_minor_units(units, currency(code)).unwrap()
    }

    #[test]
    fn text_has_all_decimals_of_the_currency() {
        let table = [
            ("0", "JPY", "0"),
            ("-1000", "JPY", "-1000"),
            ("0", "CZK", "0.00"),
            ("-0.05", "CZK", "-0.05"),
            ("12.5", "EUR", "12.50"),
            ("0", "KWD", "0.000"),
            ("7.1", "KWD", "7.100"),
        ];
        for (written, code, text) in table {
            let money = money(written, code);
            assert_eq!(money.amount_text(), text);
            assert_eq!(money.to_string(), format!("{text} {code}"));
            assert_eq!(format!("{money:?}"), format!("Money({text} {code})"));
            assert_eq!(money.amount().scale(), money.currency().exponent());
        }
    }

    #[test]
    fn zero_has_no_sign_whatever_made_it() {
        let one = money("1.00", "CZK");
        let zeros = [
            Money::zero(currency("CZK")),
            Money::zero(currency("CZK")).negated(),
            one.negated().checked_add(one).unwrap(),
            one.checked_sub(one).unwrap().negated(),
            Money::from_decimal("-0.000".parse().unwrap(), currency("CZK")).unwrap(),
        ];
        for zero in zeros {
            assert_eq!(zero.amount_text(), "0.00");
            assert!(zero.is_zero() && !zero.is_negative() && !zero.amount().is_sign_negative());
        }
        assert_eq!(HashSet::from(zeros).len(), 1);
    }

    #[test]
    fn a_decimal_keeps_its_value_or_is_refused() {
        let table = [
            ("5", "CZK", Ok("5.00")),
            ("-5.10000", "CZK", Ok("-5.10")),
            ("5.000", "JPY", Ok("5")),
            ("0.0000000000000000000000000000", "JPY", Ok("0")),
            ("5.001", "CZK", Err("amount_not_representable")),
            ("0.5", "JPY", Err("amount_not_representable")),
            (
                "792281625142643375935439503.35",
                "CZK",
                Ok("792281625142643375935439503.35"),
            ),
            ("79228162514264337593543950335", "CZK", Err("overflow")),
            ("-79228162514264337593543950335", "KWD", Err("overflow")),
        ];
        for (value, code, expected) in table {
            let money =
                Money::from_decimal(Decimal::from_str_exact(value).unwrap(), currency(code));
            let text = money
                .map(|money| money.amount_text())
                .map_err(|error| error.code());
            assert_eq!(
                text.as_deref(),
                expected.as_ref().map(|text| *text),
                "{value} {code}"
            );
        }
    }

    fn code() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["JPY", "CZK", "EUR", "KWD"])
    }

    /// Small values, values of all sizes, and values at the bound.
    fn minor_units() -> impl Strategy<Value = i128> {
        prop_oneof![
            -1_000_i128..=1_000,
            -MAX..=MAX,
            (MAX - 1_000)..=MAX,
            -MAX..=(1_000 - MAX)
        ]
    }

    proptest! {
        #[test]
        fn text_and_decimal_round_trip(value in minor_units(), code in code()) {
            let money = units(value, code);
            let parsed = Money::parse(&money.amount_text(), money.currency()).unwrap();
            prop_assert_eq!(parsed, money);
            prop_assert_eq!(parsed.amount_text(), money.amount_text());
            prop_assert_eq!(Money::from_decimal(money.amount(), money.currency()), Ok(money));
            let normal = money.amount().normalize();
            prop_assert_eq!(Money::from_decimal(normal, money.currency()), Ok(money));
        }
    }
}
