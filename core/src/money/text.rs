//! The grammar of amounts, from text to whole minor units. The module's documentation publishes it.

use super::{Currency, MoneyError};

/// Reads `text` as a number of minor units of `currency`. The bound of 96 bits is the caller's to
/// check.
pub(super) fn minor_units(text: &str, currency: Currency) -> Result<i128, MoneyError> {
    let written = Written::read(text).ok_or_else(|| MoneyError::not_a_decimal(text))?;

    let missing = u32::try_from(written.decimals.len())
        .ok()
        .and_then(|decimals| currency.exponent().checked_sub(decimals))
        .ok_or_else(|| MoneyError::too_many_decimals(text, currency))?;

    let sign = if written.is_negative { -1 } else { 1 };
    written
        .digits()
        .chain((0..missing).map(|_| 0))
        .try_fold(0_i128, |units, digit| {
            units.checked_mul(10)?.checked_add(i128::from(digit))
        })
        .and_then(|units| units.checked_mul(sign))
        .ok_or(MoneyError::Overflow)
}

/// A text that is in the grammar, taken apart.
struct Written<'a> {
    is_negative: bool,
    whole: &'a str,
    decimals: &'a str,
}

impl<'a> Written<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (whole, decimals) = match unsigned.split_once('.') {
            Some((whole, decimals)) if !decimals.is_empty() => (whole, decimals),
            Some(_) => return None,
            None => (unsigned, ""),
        };
        let written = Self {
            is_negative,
            whole,
            decimals,
        };

        let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
        let is_digits = whole
            .bytes()
            .chain(decimals.bytes())
            .all(|byte| byte.is_ascii_digit());
        let is_negative_zero = is_negative && written.digits().all(|digit| digit == 0);
        (!whole.is_empty() && is_digits && !has_leading_zero && !is_negative_zero)
            .then_some(written)
    }

    fn digits(&self) -> impl Iterator<Item = u32> {
        self.whole
            .chars()
            .chain(self.decimals.chars())
            .filter_map(|digit| digit.to_digit(10))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str, code: &str) -> Result<i128, MoneyError> {
        minor_units(text, Currency::from_code(code).unwrap())
    }

    #[test]
    fn texts_in_the_grammar_are_minor_units() {
        let table = [
            ("0", "CZK", 0),
            ("0.0", "CZK", 0),
            ("0.00", "CZK", 0),
            ("5", "CZK", 500),
            ("5.1", "CZK", 510),
            ("5.01", "EUR", 501),
            ("0.01", "EUR", 1),
            ("-0.01", "EUR", -1),
            ("-12.50", "CZK", -1250),
            ("10", "JPY", 10),
            ("-10", "JPY", -10),
            ("1.234", "KWD", 1234),
            ("1.2", "KWD", 1200),
            ("1.2345", "CLF", 12345),
        ];
        for (text, code, expected) in table {
            assert_eq!(units(text, code), Ok(expected), "{text} {code}");
        }
    }

    #[test]
    fn texts_outside_the_grammar_are_refused() {
        #[rustfmt::skip]
        let zoo: [(&str, &[&str]); 9] = [
            ("no digits", &["", "-", ".", "-.", "CZK", "null"]),
            ("digits on one side of the point", &[".5", "-.5", "5.", "-5.", "-0."]),
            ("several points", &["1..2", "1.2.3", ".1.", "1.000.000"]),
            ("signs", &["+5", "+-5", "--5", "5-", "1.-5", "(5)", "\u{2212}5", "\u{ff0d}5"]),
            ("zero below zero", &["-0", "-0.0", "-0.00", "-0.000"]),
            ("superfluous zeros", &["00", "01", "007", "00.5", "-01", "-00.5"]),
            ("notations", &[
                "1e3", "1E3", "1.0e1", "0x10", "0b1", "1_000", "1,00", "1'000", "1/2", "50%",
                "NaN", "nan", "Infinity", "-inf", "inf", "$5", "5 CZK", "5\u{20ac}",
            ]),
            ("space, seen and unseen", &[
                " ", " 1", "1 ", "1 000", "- 1", "\t1", "1\n", "1\r\n", "1\0", "1\u{a0}",
                "\u{200b}1", "\u{feff}1",
            ]),
            ("digits and points of other scripts", &[
                "\u{ff15}", "1\u{ff15}", "1.\u{ff15}", "1\u{ff0e}5", "\u{664}", "\u{96a}",
                "\u{b2}", "\u{2460}",
            ]),
        ];
        for (kind, texts) in zoo {
            for text in texts {
                for code in ["JPY", "CZK", "KWD"] {
                    let refused = Err(MoneyError::not_a_decimal(text));
                    assert_eq!(units(text, code), refused, "{kind}: {text:?} {code}");
                }
            }
        }
    }

    #[test]
    fn decimals_beyond_the_currency_are_refused_even_if_they_are_zeros() {
        let table = [
            ("1.0", "JPY"),
            ("1.000", "CZK"),
            ("0.000", "EUR"),
            ("-1.001", "EUR"),
            ("1.2340", "KWD"),
        ];
        for (text, code) in table {
            let currency = Currency::from_code(code).unwrap();
            assert_eq!(
                units(text, code),
                Err(MoneyError::too_many_decimals(text, currency)),
                "{text} {code}"
            );
        }
    }

    #[test]
    fn long_texts_overflow_or_are_echoed_in_part() {
        let nines = "9".repeat(1_000_000);
        assert_eq!(units(&nines, "CZK"), Err(MoneyError::Overflow));
        let MoneyError::NotADecimal { text } = units(&"x".repeat(1_000_000), "CZK").unwrap_err()
        else {
            panic!("a million letters are not a decimal");
        };
        assert_eq!(text.chars().count(), 41);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in ".{0,12}|[-+.,0-9e_ ]{0,12}|-?[0-9]{1,3}(\\.[0-9]{0,4})?",
        ) {
            let in_grammar = {
                let unsigned = text.strip_prefix('-').unwrap_or(&text);
                let parts: Vec<&str> = unsigned.split('.').collect();
                parts.len() <= 2
                    && parts.iter().all(|part| !part.is_empty())
                    && parts.concat().bytes().all(|byte| byte.is_ascii_digit())
                    && (parts[0] == "0" || !parts[0].starts_with('0'))
                    && (unsigned == text || unsigned.contains(|c| ('1'..='9').contains(&c)))
            };
            let is_decimal = !matches!(units(&text, "KWD"), Err(MoneyError::NotADecimal { .. }));
            prop_assert_eq!(is_decimal, in_grammar);
        }
    }
}
