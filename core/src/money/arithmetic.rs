//! Sums, differences and order, exact and within one currency.

use std::cmp::Ordering;

use super::{Currency, Money, MoneyError};

impl Money {
    /// The exact sum.
    ///
    /// # Errors
    ///
    /// [`MoneyError::CurrencyMismatch`], or [`MoneyError::Overflow`] when the sum needs more than
    /// 96 bits.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(&other)?;
        // On integers, because Decimal's own addition gives up decimals when it runs out of bits.
        let units = self.minor_units().checked_add(other.minor_units());
        Self::from_minor_units(units.ok_or(MoneyError::Overflow)?, self.currency())
    }

    /// The exact difference.
    ///
    /// # Errors
    ///
    /// [`MoneyError::CurrencyMismatch`], or [`MoneyError::Overflow`] when the difference needs more
    /// than 96 bits.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.checked_add(other.negated())
    }

    /// The order of two quantities of one currency.
    ///
    /// # Errors
    ///
    /// [`MoneyError::CurrencyMismatch`].
    pub fn compare(&self, other: &Self) -> Result<Ordering, MoneyError> {
        self.same_currency(other)?;
        Ok(self.amount().cmp(&other.amount()))
    }

    /// Adds up money of one currency; the sum of nothing is zero.
    ///
    /// Only the total has to be within the bound, so the order of the items never decides whether
    /// there is one.
    ///
    /// # Errors
    ///
    /// [`MoneyError::CurrencyMismatch`] at the first item of another currency,
    /// [`MoneyError::Overflow`].
    pub fn sum(items: impl Iterator<Item = Self>, currency: Currency) -> Result<Self, MoneyError> {
        let mut total = 0_i128;
        for item in items {
            Self::zero(currency).same_currency(&item)?;
            total = total
                .checked_add(item.minor_units())
                .ok_or(MoneyError::Overflow)?;
        }
        Self::from_minor_units(total, currency)
    }

    fn same_currency(&self, other: &Self) -> Result<(), MoneyError> {
        if self.currency() == other.currency() {
            return Ok(());
        }
        Err(MoneyError::CurrencyMismatch {
            left: self.currency(),
            right: other.currency(),
        })
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the models are plain i128, wide enough"
)]
mod tests {
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
    fn currencies_do_not_mix() {
        let (left, right) = (money("1", "CZK"), money("1", "EUR"));
        let mismatch = MoneyError::CurrencyMismatch {
            left: left.currency(),
            right: right.currency(),
        };
        assert_eq!(left.checked_add(right), Err(mismatch.clone()));
        assert_eq!(left.checked_sub(right), Err(mismatch.clone()));
        assert_eq!(left.compare(&right), Err(mismatch.clone()));
        assert_eq!(
            Money::sum([left, right].into_iter(), left.currency()),
            Err(mismatch)
        );
        assert_ne!(left, right);
    }

    // Decimal keeps 96 bits and a scale. When the sum of two numbers of scale 2 does not fit, its
    // own checked_add lowers the scale and rounds, and calls that a success: the ledger would gain
    // or lose up to five minor units a posting, at a scale that is not the currency's. A driver
    // that puts a wide NUMERIC together by such additions hands over the same.
    #[test]
    fn a_sum_beyond_96_bits_is_refused_and_not_rounded() {
        let (most, cent) = (units(MAX, "CZK"), units(1, "CZK"));
        assert_eq!(most.amount_text(), "792281625142643375935439503.35");

        // Negative control: asked for one cent more, the library's addition adds five.
        let rounded = most.amount().checked_add(cent.amount()).unwrap();
        assert_eq!(
            (rounded.to_string().as_str(), rounded.scale()),
            ("792281625142643375935439503.4", 1)
        );

        assert_eq!(most.checked_add(cent), Err(MoneyError::Overflow));
        assert_eq!(most.negated().checked_sub(cent), Err(MoneyError::Overflow));
        assert_eq!(
            Money::sum([most, cent].into_iter(), most.currency()),
            Err(MoneyError::Overflow)
        );
        assert_eq!(
            Money::parse("792281625142643375935439503.36", most.currency()),
            Err(MoneyError::Overflow)
        );
        assert_eq!(
            Money::from_decimal(rounded, most.currency()),
            Err(MoneyError::Overflow)
        );
    }

    #[test]
    fn only_the_total_of_a_sum_has_to_fit() {
        let most = units(MAX, "KWD");
        let total = Money::sum([most, most, most.negated()].into_iter(), most.currency());
        assert_eq!(total, Ok(most));
        assert_eq!(
            Money::sum([].into_iter(), most.currency()),
            Ok(Money::zero(most.currency()))
        );
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
        fn sums_and_differences_equal_integers(
            a in minor_units(),
            b in minor_units(),
            code in code(),
        ) {
            let (left, right) = (units(a, code), units(b, code));
            let cases = [(left.checked_add(right), a + b), (left.checked_sub(right), a - b)];
            for (result, model) in cases {
                if (-MAX..=MAX).contains(&model) {
                    let result = result.unwrap();
                    prop_assert_eq!(result.minor_units(), model);
                    prop_assert_eq!(result.amount().scale(), left.currency().exponent());
                    prop_assert_eq!(result.is_negative(), model < 0);
                } else {
                    prop_assert_eq!(result, Err(MoneyError::Overflow));
                }
            }
            prop_assert_eq!(left.compare(&right), Ok(a.cmp(&b)));
            prop_assert_eq!(left.negated().minor_units(), -a);
            prop_assert_eq!(left == right, a == b);
        }

        #[test]
        fn sums_do_not_depend_on_order(
            mut items in prop::collection::vec(minor_units(), 0..20),
            code in code(),
        ) {
            let model: i128 = items.iter().sum();
            let sum = |items: &[i128]| {
                Money::sum(items.iter().map(|&item| units(item, code)), currency(code))
            };
            let total = sum(&items);
            items.reverse();
            prop_assert_eq!(&total, &sum(&items));
            prop_assert_eq!(total.ok(), Money::from_minor_units(model, currency(code)).ok());
        }
    }
}
