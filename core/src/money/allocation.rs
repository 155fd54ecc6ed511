//! Splitting a whole into parts that add up to it.

use super::{Money, MoneyError};

impl Money {
    /// Splits the whole by weights, one part for each weight, without losing or making a minor
    /// unit.
    ///
    /// The rule, for positive and negative money alike:
    ///
    /// 1. Each part is its exact share (whole × weight ÷ sum of the weights), cut toward zero to
    ///    the minor unit.
    /// 2. The minor units that are left over go, one each and in the order of the weights, to parts
    ///    that were cut.
    ///
    /// So the parts sum to the whole, each is less than one minor unit away from its exact share,
    /// and a part with weight zero is zero.
    ///
    /// ```
    /// use folio_core::money::{Currency, Money};
    ///
    /// let whole = Money::parse("100", Currency::from_code("CZK")?)?;
    /// let parts = whole.allocate(&[1, 1, 1])?;
    /// let texts: Vec<String> = parts.iter().map(Money::amount_text).collect();
    /// assert_eq!(texts, ["33.34", "33.33", "33.33"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MoneyError::NoWeights`] when no weight is above zero.
    pub fn allocate(&self, weights: &[u32]) -> Result<Vec<Self>, MoneyError> {
        let units = self.minor_units();
        let shares = shares(units, weights)?;

        let mut left_over = shares
            .iter()
            .try_fold(units, |rest, share| rest.checked_sub(share.units))
            .ok_or(MoneyError::Overflow)?;
        let mut parts = Vec::with_capacity(shares.len());
        for Share { units, is_cut } in shares {
            let extra = if is_cut { left_over.signum() } else { 0 };
            left_over = left_over.checked_sub(extra).ok_or(MoneyError::Overflow)?;
            let units = units.checked_add(extra).ok_or(MoneyError::Overflow)?;
            parts.push(Self::from_minor_units(units, self.currency())?);
        }
        Ok(parts)
    }
}

/// An exact share, cut toward zero.
struct Share {
    units: i128,
    is_cut: bool,
}

fn shares(whole: i128, weights: &[u32]) -> Result<Vec<Share>, MoneyError> {
    let total: i128 = weights.iter().map(|&weight| i128::from(weight)).sum();
    // The whole times a weight can need 128 bits and a sign, one more than there are. The quotient
    // times a weight is never above the whole, and the remainder is below the total. Both have the
    // sign of the whole, so cutting their sum and cutting the second term alone are the same.
    let quotient = whole.checked_div(total).ok_or(MoneyError::NoWeights)?;
    let remainder = whole.checked_rem(total).ok_or(MoneyError::NoWeights)?;

    let share = |weight: i128| {
        let fraction = remainder.checked_mul(weight)?;
        let units = quotient
            .checked_mul(weight)?
            .checked_add(fraction.checked_div(total)?)?;
        Some(Share {
            units,
            is_cut: fraction.checked_rem(total)? != 0,
        })
    };
    weights
        .iter()
        .map(|&weight| share(i128::from(weight)).ok_or(MoneyError::Overflow))
        .collect()
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the models are plain i128, wide enough"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Currency;

    const MAX: i128 = (1 << 96) - 1;

    fn allocate(units: i128, weights: &[u32]) -> Result<Vec<i128>, MoneyError> {
        let whole = Money::from_minor_units(units, Currency::from_code("CZK").unwrap()).unwrap();
        let parts = whole.allocate(weights)?;
        assert!(parts.iter().all(|part| part.currency() == whole.currency()));
        Ok(parts.iter().map(Money::minor_units).collect())
    }

    #[test]
    fn parts_follow_the_published_rule() {
        let table: [(i128, &[u32], &[i128]); 10] = [
            (100, &[1, 1, 1], &[34, 33, 33]),
            (-100, &[1, 1, 1], &[-34, -33, -33]),
            (5, &[3, 7], &[2, 3]),
            (101, &[0, 1, 0, 1], &[0, 51, 0, 50]),
            (0, &[1, 2], &[0, 0]),
            (2, &[1, 1, 1, 1], &[1, 1, 0, 0]),
            (7, &[9], &[7]),
            // The first share is exact, so the unit left over goes to the second: 1 + 0.5 + 0.5.
            (2, &[2, 1, 1], &[1, 1, 0]),
            (MAX, &[u32::MAX], &[MAX]),
            (-MAX, &[u32::MAX, 0], &[-MAX, 0]),
        ];
        for (units, weights, parts) in table {
            assert_eq!(
                allocate(units, weights).as_deref(),
                Ok(parts),
                "{units} by {weights:?}"
            );
        }
    }

    #[test]
    fn weights_without_one_above_zero_are_refused() {
        assert_eq!(allocate(100, &[]), Err(MoneyError::NoWeights));
        assert_eq!(allocate(100, &[0, 0]), Err(MoneyError::NoWeights));
        assert_eq!(allocate(0, &[0]), Err(MoneyError::NoWeights));
    }

    fn weights() -> impl Strategy<Value = Vec<u32>> {
        let weight = prop_oneof![Just(0), 1..10_u32, any::<u32>(), Just(u32::MAX)];
        prop::collection::vec(weight, 1..12)
            .prop_filter("one above zero", |all| all.iter().any(|&one| one > 0))
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole_for_any_size(units in -MAX..=MAX, weights in weights()) {
            let parts = allocate(units, &weights).unwrap();
            prop_assert_eq!(parts.len(), weights.len());
            prop_assert_eq!(parts.iter().sum::<i128>(), units);
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(*weight > 0 || *part == 0);
                prop_assert!(part.signum() == 0 || part.signum() == units.signum());
            }
            let mirrored: Vec<i128> = parts.iter().map(|part| -part).collect();
            prop_assert_eq!(allocate(-units, &weights).unwrap(), mirrored);
        }

        // |part - units * weight / total| < 1, multiplied by the total. The whole is kept small
        // enough for i128.
        #[test]
        fn parts_are_less_than_one_unit_off(
            units in -(1_i128 << 80)..(1 << 80),
            weights in weights(),
        ) {
            let total: i128 = weights.iter().map(|&weight| i128::from(weight)).sum();
            for (part, &weight) in allocate(units, &weights).unwrap().iter().zip(&weights) {
                let distance = (part * total - units * i128::from(weight)).abs();
                prop_assert!(distance < total, "{part} of {units} by {weight} in {total}");
            }
        }
    }
}
