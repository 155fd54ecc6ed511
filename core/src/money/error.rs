//! Why a quantity of money was refused.

use std::fmt;

use super::Currency;

/// A refused amount or a refused operation on money.
///
/// Variants carry data to match on; [`MoneyError::code`] is the stable name for machines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// The text is outside the grammar of amounts.
    #[error("amount {text:?} is not a plain decimal number, such as \"12.50\"")]
    NotADecimal {
        /// The start of the text, at most 40 characters of it.
        text: String,
    },

    /// The value is finer than the minor unit of its currency.
    #[error("amount {text:?} has more decimals than the {allowed} that {currency} allows")]
    TooManyDecimals {
        /// The start of the text, at most 40 characters of it.
        text: String,
        /// The currency the amount was meant in.
        currency: Currency,
        /// How many decimals this currency has.
        allowed: u32,
    },

    /// An [`Amount`](super::Amount) has to be above zero.
    #[error("amount is {sign}, only amounts above zero are allowed")]
    NotPositive {
        /// On which side of "above zero" the value was found.
        sign: NonPositive,
    },

    /// The value or result needs more than 96 bits of minor units.
    #[error("amount is beyond the 79228162514264337593543950335 minor units that are allowed")]
    Overflow,

    /// The two operands are in different currencies.
    #[error("amounts in {left} and {right} do not combine, only one currency is allowed")]
    CurrencyMismatch {
        /// The currency of the left operand.
        left: Currency,
        /// The currency of the right operand.
        right: Currency,
    },

    /// An allocation got no weight above zero.
    #[error("allocation has no weight above zero, at least one is needed")]
    NoWeights,
}

impl MoneyError {
    /// A name for machines. It stays the same when the message is reworded.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotADecimal { .. } => "invalid_amount",
            Self::TooManyDecimals { .. } => "amount_not_representable",
            Self::NotPositive {
                sign: NonPositive::Zero,
            } => "zero_amount",
            Self::NotPositive {
                sign: NonPositive::Negative,
            } => "negative_amount",
            Self::Overflow => "overflow",
            Self::CurrencyMismatch { .. } => "currency_mismatch",
            Self::NoWeights => "invalid_weights",
        }
    }

    pub(super) fn not_a_decimal(text: &str) -> Self {
        Self::NotADecimal {
            text: excerpt(text),
        }
    }

    pub(super) fn too_many_decimals(text: &str, currency: Currency) -> Self {
        Self::TooManyDecimals {
            text: excerpt(text),
            currency,
            allowed: currency.exponent(),
        }
    }
}

/// The two ways of not being above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NonPositive {
    /// Exactly zero.
    Zero,
    /// Below zero.
    Negative,
}

impl fmt::Display for NonPositive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "zero",
            Self::Negative => "negative",
        })
    }
}

/// Cuts foreign text to a length that is safe to log and to send back, and shows that it was cut.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => text
            .get(..end)
            .unwrap_or_default()
            .chars()
            .chain(['…'])
            .collect(),
        None => text.to_owned(),
    }
}

const EXCERPT_CHARS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::UnknownCurrency;

    fn every_error() -> Vec<(MoneyError, &'static str)> {
        let czk = Currency::from_code("CZK").unwrap();
        let eur = Currency::from_code("EUR").unwrap();
        vec![
            (MoneyError::not_a_decimal("1e3"), "invalid_amount"),
            (
                MoneyError::too_many_decimals("1.000", czk),
                "amount_not_representable",
            ),
            (
                MoneyError::NotPositive {
                    sign: NonPositive::Zero,
                },
                "zero_amount",
            ),
            (
                MoneyError::NotPositive {
                    sign: NonPositive::Negative,
                },
                "negative_amount",
            ),
            (MoneyError::Overflow, "overflow"),
            (
                MoneyError::CurrencyMismatch {
                    left: czk,
                    right: eur,
                },
                "currency_mismatch",
            ),
            (MoneyError::NoWeights, "invalid_weights"),
        ]
    }

    #[test]
    fn codes_are_stable() {
        for (error, code) in every_error() {
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn messages_are_one_clause_in_lower_case() {
        for (error, _) in every_error() {
            let message = error.to_string();
            assert!(
                message.starts_with(|first: char| first.is_ascii_lowercase()),
                "{message}"
            );
            assert!(
                !message.ends_with('.') && !message.contains('\n'),
                "{message}"
            );
        }
    }

    #[test]
    fn messages_tell_what_is_allowed() {
        let czk = Currency::from_code("CZK").unwrap();
        assert_eq!(
            MoneyError::too_many_decimals("1.000", czk).to_string(),
            "amount \"1.000\" has more decimals than the 2 that CZK allows"
        );
        let max = rust_decimal::Decimal::MAX.mantissa().to_string();
        assert!(MoneyError::Overflow.to_string().contains(&max));
    }

    #[test]
    fn echoed_text_is_cut_on_a_character() {
        assert_eq!(excerpt(&"9".repeat(40)), "9".repeat(40));
        assert_eq!(excerpt(&"9".repeat(41)), format!("{}…", "9".repeat(40)));
        assert_eq!(
            excerpt(&"€".repeat(1_000_000)),
            format!("{}…", "€".repeat(40))
        );
    }

    #[test]
    fn echoed_control_characters_are_escaped() {
        let forged = MoneyError::not_a_decimal("1\nERROR paid").to_string();
        assert!(!forged.contains('\n'), "{forged}");
        let forged =
            Currency::from_code("E\u{1b}[2J").map_err(|error: UnknownCurrency| error.to_string());
        assert!(!forged.unwrap_err().contains('\u{1b}'));
    }
}
