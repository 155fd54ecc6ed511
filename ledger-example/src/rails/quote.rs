//! The exchange desk: says what one currency costs in another, and stands by it for a while.

use folio_core::{Aggregate, Amount, Currency, Event, Money, Timestamp};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::journal::Rate;
use crate::moment::Moment;

/// How long a quote is good.
const GOOD_FOR_SECONDS: u32 = 30;
/// What the desk keeps of each exchange, in ten-thousandths.
const SPREAD: i64 = 25;

/// How much of each currency one euro is: what a market would say.
const PER_EURO: [(&str, &str); 6] = [
    ("EUR", "1"),
    ("USD", "1.0842"),
    ("GBP", "0.8391"),
    ("CHF", "0.9415"),
    ("CZK", "24.735"),
    ("JPY", "169.84"),
];

/// A quote that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quoted {
    /// What is given.
    pub sold: Amount,
    /// What is got for it.
    pub bought: Amount,
    /// How much of the bought currency one unit of the sold one is.
    pub rate: Rate,
    /// What the market says.
    pub market_rate: Rate,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// A quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote(pub Quoted);

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum QuoteCommand {
    /// What `sold` is in another currency.
    Ask {
        /// What is to be given.
        sold: Amount,
        /// What is wanted for it.
        bought: Currency,
        /// When it is asked: no part of what makes two requests the same.
        #[serde(skip)]
        now: Moment,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuoteEvent {
    /// A quote was given.
    QuoteGiven(Quoted),
}

impl Event for QuoteEvent {}

/// Why there is no quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum QuoteRefusal {
    /// The id was used for another one.
    #[error(transparent)]
    UsedOtherwise(#[from] super::UsedOtherwise),
    /// The desk does not deal in one of the currencies, or they are the same.
    #[error("the desk does not exchange these currencies for each other")]
    NoMarket,
    /// What would be bought is less than the smallest unit, or more than can be held.
    #[error("the desk does not exchange such an amount")]
    NoSuchAmount,
}

impl Aggregate for Quote {
    const CATEGORY: &'static str = "quote";
    type Command = QuoteCommand;
    type Event = QuoteEvent;
    type Refusal = QuoteRefusal;

    fn decide(
        state: Option<&Self>,
        command: QuoteCommand,
    ) -> Result<Vec<QuoteEvent>, QuoteRefusal> {
        let QuoteCommand::Ask { sold, bought, now } = command;
        match state {
            Some(Self(given)) if given.sold == sold && given.bought.currency() == bought => {
                Ok(Vec::new())
            }
            Some(_) => Err(super::UsedOtherwise.into()),
            None => Ok(vec![QuoteEvent::QuoteGiven(quoted(sold, bought, now)?)]),
        }
    }

    fn evolve(_: Option<Self>, event: &QuoteEvent) -> Option<Self> {
        let QuoteEvent::QuoteGiven(quoted) = event.clone();
        Some(Self(quoted))
    }
}

/// The desk's price, rounded down to what can be paid out: the difference is less than one unit.
fn quoted(sold: Amount, bought: Currency, now: Moment) -> Result<Quoted, QuoteRefusal> {
    if sold.currency() == bought {
        return Err(QuoteRefusal::NoMarket);
    }
    let (from, to) = (per_euro(sold.currency())?, per_euro(bought)?);
    let market = to.checked_div(from).ok_or(QuoteRefusal::NoMarket)?;
    let kept = Decimal::new(10_000_i64.saturating_sub(SPREAD), 4);
    let ours = market.checked_mul(kept).ok_or(QuoteRefusal::NoMarket)?;
    let rate = |rate: Decimal| {
        let text = rate.round_dp(6).normalize().to_string();
        Rate::try_from(text).map_err(|_| QuoteRefusal::NoMarket)
    };
    let (rate, market_rate) = (rate(ours)?, rate(market)?);
    let exact = rate.of(sold).ok_or(QuoteRefusal::NoSuchAmount)?;
    let down = RoundingStrategy::ToZero;
    let paid = exact.round_dp_with_strategy(bought.exponent(), down);
    let paid = Money::from_decimal(paid, bought).map_err(|_| QuoteRefusal::NoSuchAmount)?;
    Ok(Quoted {
        sold,
        bought: Amount::try_from(paid).map_err(|_| QuoteRefusal::NoSuchAmount)?,
        rate,
        market_rate,
        expires_at: now.plus_seconds(GOOD_FOR_SECONDS),
    })
}

fn per_euro(currency: Currency) -> Result<Decimal, QuoteRefusal> {
    let found = PER_EURO.iter().find(|(code, _)| *code == currency.code());
    let (_, rate) = found.ok_or(QuoteRefusal::NoMarket)?;
    Decimal::from_str_exact(rate).map_err(|_| QuoteRefusal::NoMarket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Exchange;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).unwrap()
    }

    fn ask(amount: &str, sold: &str, bought: &str) -> Result<Quoted, QuoteRefusal> {
        let sold = Amount::parse(amount, currency(sold)).unwrap();
        quoted(sold, currency(bought), Moment::default())
    }

    #[test]
    fn a_quote_is_an_exchange_that_the_ledger_takes() {
        for (amount, sold, bought) in [
            ("100.00", "EUR", "USD"),
            ("0.03", "USD", "EUR"),
            ("1000000.00", "CZK", "JPY"),
            ("12345", "JPY", "GBP"),
        ] {
            let quoted = ask(amount, sold, bought).unwrap();
            let exchange = Exchange {
                sold: quoted.sold,
                bought: quoted.bought,
                rate: quoted.rate,
                market_rate: Some(quoted.market_rate),
            };
            assert!(exchange.is_at_rate().unwrap(), "{quoted:?}");
            assert!(exchange.spread().unwrap() >= Decimal::ZERO, "{quoted:?}");
        }
        let euros = ask("100.00", "EUR", "USD").unwrap();
        assert_eq!(euros.bought.amount_text(), "108.14");
        assert_eq!(euros.rate.to_string(), "1.08149");
    }

    #[test]
    fn what_there_is_no_market_for_is_refused() {
        assert_eq!(ask("1.00", "EUR", "EUR"), Err(QuoteRefusal::NoMarket));
        assert_eq!(ask("1.00", "EUR", "KWD"), Err(QuoteRefusal::NoMarket));
        assert_eq!(ask("0.01", "CZK", "EUR"), Err(QuoteRefusal::NoSuchAmount));
    }
}
