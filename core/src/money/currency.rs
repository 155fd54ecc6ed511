//! Currencies that money can be counted in.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::excerpt;

/// A currency of ISO 4217 that has a minor unit.
///
/// Codes without one (gold `XAU`, "no currency" `XXX`) do not become a `Currency`, so every amount
/// has a known number of decimals. Withdrawn currencies stay valid: a ledger outlives them. The
/// order is that of the codes.
///
/// ```
/// use folio_core::money::Currency;
///
/// assert_eq!(Currency::from_code("CZK")?.exponent(), 2);
/// assert_eq!(Currency::from_code("JPY")?.exponent(), 0);
/// assert!(Currency::from_code("czk").is_err());
/// # Ok::<(), folio_core::money::UnknownCurrency>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency {
    iso: iso_currency::Currency,
    /// Kept beside the code, so that a currency without an exponent cannot exist.
    exponent: u16,
}

impl Currency {
    /// The currency of a three-letter code in upper case.
    ///
    /// # Errors
    ///
    /// [`UnknownCurrency`] when ISO 4217 does not list exactly this code, or lists it without a
    /// minor unit.
    pub fn from_code(code: &str) -> Result<Self, UnknownCurrency> {
        iso_currency::Currency::from_code(code)
            .and_then(|iso| iso.exponent().map(|exponent| Self { iso, exponent }))
            .ok_or_else(|| UnknownCurrency {
                text: excerpt(code),
            })
    }

    /// The three-letter code.
    pub fn code(&self) -> &'static str {
        self.iso.code()
    }

    /// How many decimals the minor unit has: 2 for CZK, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u32 {
        u32::from(self.exponent)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        Self::from_code(code)
    }
}

// By code and not by the crate's own order, which follows the rows of its table and may change with
// them.
impl Ord for Currency {
    fn cmp(&self, other: &Self) -> Ordering {
        self.code().cmp(other.code())
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(CodeVisitor)
    }
}

/// A code that does not name a currency with a minor unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("currency {text:?} is not an upper-case ISO 4217 code with a minor unit, such as \"EUR\"")]
#[non_exhaustive]
pub struct UnknownCurrency {
    /// The start of the text, at most 40 characters of it.
    pub text: String,
}

impl UnknownCurrency {
    /// A name for machines. It stays the same when the message is reworded.
    pub fn code(&self) -> &'static str {
        "unknown_currency"
    }
}

struct CodeVisitor;

impl de::Visitor<'_> for CodeVisitor {
    type Value = Currency;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a currency code in a string, such as \"EUR\"")
    }

    fn visit_str<E: de::Error>(self, code: &str) -> Result<Currency, E> {
        Currency::from_code(code).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).unwrap()
    }

    #[test]
    fn exponents_are_those_of_iso_4217() {
        let table = [
            (
                0,
                "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
            ),
            (2, "AUD CHF CNY CZK EUR GBP HUF IDR MGA MRU PLN SEK USD"),
            (3, "BHD IQD JOD KWD LYD OMR TND"),
            (4, "CLF UYW"),
        ];
        for (exponent, codes) in table {
            for code in codes.split(' ') {
                assert_eq!(currency(code).exponent(), exponent, "{code}");
            }
        }
    }

    #[test]
    fn only_the_exact_code_is_accepted() {
        for text in [
            "czk",
            "Czk",
            "CZ",
            "CZKK",
            "",
            " CZK",
            "CZK ",
            "203",
            "AAA",
            "€",
            "CZ\u{212a}",
        ] {
            let error = Currency::from_code(text).unwrap_err();
            assert_eq!(
                (error.text.as_str(), error.code()),
                (text, "unknown_currency")
            );
        }
    }

    #[test]
    fn codes_without_a_minor_unit_are_refused() {
        for code in "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX".split(' ') {
            assert!(Currency::from_code(code).is_err(), "{code}");
        }
    }

    #[test]
    fn the_refusal_says_what_is_allowed_and_is_short() {
        let message = Currency::from_code(&"x".repeat(100_000))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("\"EUR\"") && message.chars().count() < 150,
            "{message}"
        );
    }

    #[test]
    fn text_forms_are_the_code() {
        let czk: Currency = "CZK".parse().unwrap();
        assert_eq!(format!("{czk} {czk:?} {czk:>5}"), "CZK CZK   CZK");
    }

    #[test]
    fn the_order_is_alphabetical() {
        let mut currencies = ["XCG", "USD", "AOA", "EUR", "XAD"].map(currency);
        currencies.sort();
        assert_eq!(
            currencies.map(|currency| currency.code()),
            ["AOA", "EUR", "USD", "XAD", "XCG"]
        );
    }

    #[test]
    fn json_is_the_code_in_a_string() {
        assert_eq!(serde_json::to_string(&currency("EUR")).unwrap(), "\"EUR\"");
        assert_eq!(
            serde_json::from_str::<Currency>("\"EUR\"").unwrap(),
            currency("EUR")
        );
        // An escape makes the text unborrowable; it is the same code.
        assert_eq!(
            serde_json::from_str::<Currency>("\"E\\u0055R\"").unwrap(),
            currency("EUR")
        );
        for json in ["\"eur\"", "\"XAU\"", "978", "null", "[\"EUR\"]"] {
            assert!(serde_json::from_str::<Currency>(json).is_err(), "{json}");
        }
    }
}
