//! An entry as it is asked for, and whether it can be one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate};
use folio_core::{Amount, Currency};
use serde::Serialize;

use crate::account::{Description, Reference, Side, Sides};
use crate::journal::{EntryId, Exchange, Leg};
use crate::refusal::LedgerRefusal;

/// Most legs of an entry.
pub(crate) const LEGS_MAX: usize = 500;
/// Most minor units of a leg. Legs on recording accounts are added up by nobody before they are
/// recorded; of legs up to this bound more than 79 thousand million fit into a sum.
const UNITS_MAX: i128 = 1_000_000_000_000_000_000;

/// An entry to be posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryDraft {
    /// Its id.
    pub id: EntryId,
    /// Two legs or more.
    pub legs: Vec<Leg>,
    /// The day on which it takes effect; the day of recording in UTC, where it is left out.
    pub effective_date: Option<NaiveDate>,
    /// The client's own name for it.
    pub reference: Option<Reference>,
    /// What it was for.
    pub description: Option<Description>,
    /// What one currency was exchanged for another at, where it has legs in two.
    pub exchange: Option<Exchange>,
}

/// Whether these can be the legs of an entry.
pub(crate) fn check_legs(legs: &[Leg], exchange: Option<&Exchange>) -> Result<(), LedgerRefusal> {
    if legs.len() < 2 {
        return Err(LedgerRefusal::TooFewLegs);
    }
    if legs.len() > LEGS_MAX {
        return Err(LedgerRefusal::TooManyLegs { most: LEGS_MAX });
    }
    let on = |side: Side| -> BTreeSet<_> {
        let legs = legs.iter().filter(|leg| leg.side == side);
        legs.map(|leg| &leg.account).collect()
    };
    if let Some(account) = on(Side::Debit).intersection(&on(Side::Credit)).next() {
        return Err(LedgerRefusal::SameAccount {
            account: (*account).clone(),
        });
    }
    let mut sums: BTreeMap<Currency, Sides> = BTreeMap::new();
    for leg in legs {
        check_size(leg.amount)?;
        let currency = leg.amount.currency();
        let sides = sums
            .entry(currency)
            .or_insert_with(|| Sides::zero(currency));
        *sides = sides
            .plus(leg.side, leg.amount)
            .map_err(|_| LedgerRefusal::AmountTooLarge)?;
    }
    for (currency, Sides { debits, credits }) in &sums {
        if debits != credits {
            return Err(LedgerRefusal::Unbalanced {
                currency: *currency,
                debits: *debits,
                credits: *credits,
            });
        }
    }
    check_exchange(legs, sums.len(), exchange)
}

/// Whether an amount is small enough for a leg.
pub(crate) fn check_size(amount: Amount) -> Result<(), LedgerRefusal> {
    // Money is in its currency's minor unit, so the mantissa counts these.
    if amount.money().amount().mantissa() > UNITS_MAX {
        return Err(LedgerRefusal::AmountTooLarge);
    }
    Ok(())
}

/// Whether a day can be written in four digits.
pub(crate) fn check_date(date: NaiveDate) -> Result<(), LedgerRefusal> {
    if (1..=9_999).contains(&date.year()) {
        Ok(())
    } else {
        Err(LedgerRefusal::DateOutOfRange)
    }
}

fn check_exchange(
    legs: &[Leg],
    currencies: usize,
    exchange: Option<&Exchange>,
) -> Result<(), LedgerRefusal> {
    let exchange = match (currencies, exchange) {
        (1, None) => return Ok(()),
        (2, Some(exchange)) => exchange,
        (1, Some(_)) => return Err(LedgerRefusal::ExchangeOfOneCurrency),
        (2, None) => return Err(LedgerRefusal::ExchangeMissing),
        _ => return Err(LedgerRefusal::TooManyCurrencies),
    };
    let has = |amount: Amount| legs.iter().any(|leg| leg.amount == amount);
    let are_two = exchange.sold.currency() != exchange.bought.currency();
    if !are_two || !has(exchange.sold) || !has(exchange.bought) {
        return Err(LedgerRefusal::ExchangeNotInLegs);
    }
    match exchange.is_at_rate() {
        Ok(true) => Ok(()),
        Ok(false) => Err(LedgerRefusal::ExchangeOffRate {
            rate: exchange.rate,
        }),
        Err(_) => Err(LedgerRefusal::AmountTooLarge),
    }
}
