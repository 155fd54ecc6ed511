//! The one JSON form of money.
//!
//! Written by hand, because a derived reader also takes the fields as an array without names.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};

use super::{Currency, Money};

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Money", FIELDS.len())?;
        fields.serialize_field("amount", &format_args!("{}", self.amount()))?;
        fields.serialize_field("currency", &self.currency())?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("Money", FIELDS, MoneyVisitor)
    }
}

const FIELDS: &[&str] = &["amount", "currency"];

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Amount,
    Currency,
}

struct MoneyVisitor;

impl<'de> de::Visitor<'de> for MoneyVisitor {
    type Value = Money;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"money, such as {"amount":"12.50","currency":"EUR"}"#)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Money, A::Error> {
        let (mut amount, mut currency) = (None, None);
        while let Some(field) = map.next_key()? {
            match field {
                Field::Amount => {
                    set_once(&mut amount, map.next_value::<AmountText<'de>>()?, "amount")?
                }
                Field::Currency => {
                    set_once(&mut currency, map.next_value::<Currency>()?, "currency")?
                }
            }
        }
        let AmountText(text) = amount.ok_or_else(|| de::Error::missing_field("amount"))?;
        let currency = currency.ok_or_else(|| de::Error::missing_field("currency"))?;
        Money::parse(&text, currency).map_err(de::Error::custom)
    }
}

/// The amount as it stands in the input. The currency that decides about it may come later.
struct AmountText<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for AmountText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> de::Visitor<'de> for TextVisitor {
    type Value = AmountText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount in a string, such as \"12.50\"")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<AmountText<'de>, E> {
        Ok(AmountText(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<AmountText<'de>, E> {
        Ok(AmountText(Cow::Owned(text.to_owned())))
    }
}

fn set_once<T, E: de::Error>(slot: &mut Option<T>, value: T, field: &'static str) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(field)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: i128 = (1 << 96) - 1;

    fn read(json: &str) -> Result<Money, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn the_form_is_an_object_of_two_strings() {
        let money = Money::parse("-12.5", Currency::from_code("CZK").unwrap()).unwrap();
        let json = r#"{"amount":"-12.50","currency":"CZK"}"#;
        assert_eq!(serde_json::to_string(&money).unwrap(), json);
        assert_eq!(read(json), Ok(money));
        assert_eq!(
            read(r#" { "currency" : "CZK" , "amount" : "-12.5" } "#),
            Ok(money)
        );
        assert_eq!(
            read(r#"{"amount":"\u002d12.50","currency":"CZK"}"#),
            Ok(money)
        );
        assert_eq!(
            serde_json::from_reader::<_, Money>(json.as_bytes()).unwrap(),
            money
        );
        assert_eq!(
            serde_json::from_value::<Money>(serde_json::to_value(money).unwrap()).unwrap(),
            money
        );
    }

    #[test]
    fn a_number_is_refused_with_the_form_to_write() {
        for number in ["12.50", "12", "-1", "0", "1e3", "18446744073709551616"] {
            let error = read(&format!(r#"{{"amount":{number},"currency":"CZK"}}"#)).unwrap_err();
            assert!(
                error.contains("expected an amount in a string, such as \"12.50\""),
                "{error}"
            );
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let zoo = [
            (
                r#"{"amount":"1","currency":"CZK","note":""}"#,
                "unknown field `note`",
            ),
            (r#"{"amount":"1"}"#, "missing field `currency`"),
            (r#"{"currency":"CZK"}"#, "missing field `amount`"),
            (
                r#"{"amount":"1","amount":"2","currency":"CZK"}"#,
                "duplicate field `amount`",
            ),
            (
                r#"{"amount":"1","currency":"CZK","currency":"CZK"}"#,
                "duplicate field `currency`",
            ),
            (
                r#"{"Amount":"1","currency":"CZK"}"#,
                "unknown field `Amount`",
            ),
            (
                r#"{"amount":null,"currency":"CZK"}"#,
                "expected an amount in a string",
            ),
            (
                r#"{"amount":"1","currency":203}"#,
                "expected a currency code in a string",
            ),
            (
                r#"{"amount":"1","currency":"czk"}"#,
                "currency \"czk\" is not an upper-case ISO 4217 code",
            ),
            (
                r#"{"amount":"1.000","currency":"CZK"}"#,
                "more decimals than the 2 that CZK allows",
            ),
            (
                r#"{"amount":"1e3","currency":"CZK"}"#,
                "not a plain decimal number",
            ),
            (r#"["1","CZK"]"#, "expected money, such as"),
            (r#""1 CZK""#, "expected money, such as"),
            ("1", "expected money, such as"),
            ("null", "expected money, such as"),
        ];
        for (json, clause) in zoo {
            let error = read(json).unwrap_err();
            assert!(error.contains(clause), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn json_round_trips_to_the_same_text(
            units in prop_oneof![-1_000_i128..=1_000, -MAX..=MAX],
            code in prop::sample::select(vec!["JPY", "CZK", "EUR", "KWD"]),
        ) {
            let money = Money::from_minor_units(units, Currency::from_code(code).unwrap()).unwrap();
            let json = serde_json::to_string(&money).unwrap();
            let read: Money = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, money);
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }
}
