//! One posting to an account: how much, against what, and what people noted about it.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use folio_core::{Amount, Currency};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::account::AccountId;
use crate::balances::BookName;

/// Longest code of a bank, in characters: a BIC has 11.
const BANK_CODE_CHARS_MAX: usize = 11;

/// A posting to one account, as the first version of the ledger recorded it. It still stands for a whole
/// entry: one leg on the account, and the opposite one on its [contra account](ContraAccount::account).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    /// How much, in the account's currency.
    pub amount: Amount,
    /// The other side of it.
    pub contra: ContraAccount,
    /// The day on which it takes effect, where that is not the day of recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_date: Option<NaiveDate>,
    /// The client's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// What it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
}

/// Which way a posting goes, as the account's holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Money comes in.
    Credit,
    /// Money goes out.
    Debit,
}

impl Side {
    /// `credit` or `debit`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
        }
    }
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Credit => Self::Debit,
            Self::Debit => Self::Credit,
        }
    }
}

impl FromStr for Side {
    type Err = InvalidPosting;

    fn from_str(text: &str) -> Result<Self, InvalidPosting> {
        match text {
            "credit" => Ok(Self::Credit),
            "debit" => Ok(Self::Debit),
            _ => Err(InvalidPosting::Side),
        }
    }
}

/// The account on the other side of a posting, outside the customers' accounts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ContraAccount {
    /// Cash paid in or out over the counter: `cash`.
    Cash,
    /// Interest that the bank pays or charges: `interest`.
    Interest,
    /// What the bank charges for its services: `fees`.
    Fees,
    /// Payments by card: `cards`.
    Cards,
    /// Another bank: `bank:` and its code.
    Bank(String),
    /// What is on its way to or from another book: `clearing:` and the book's name.
    Clearing(BookName),
    /// What is on its way to or from the payment network: `clearing:rail`.
    ClearingRail,
    /// What the book has at the payment network: `nostro`.
    Nostro,
    /// What was exchanged for other currencies, at the book's own risk: `exchange`.
    Exchange,
}

/// Who stands on the other side of a clearing account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Another book.
    Book(BookName),
    /// The payment network.
    Rail,
}

/// What the ids of contra accounts begin with. Nobody else's do.
pub(crate) const CONTRA_PREFIX: &str = "contra.";

impl ContraAccount {
    /// The account that it is in a currency: `contra.cash.EUR`, `contra.bank-AB.CZK`.
    ///
    /// It is a recording account, opened by the first entry that has a leg on it.
    #[must_use]
    pub fn account(&self, currency: Currency) -> AccountId {
        let name = self.to_string().replace(':', "-");
        AccountId::contra(&format!("{CONTRA_PREFIX}{name}.{}", currency.code()))
    }

    /// Which one, and in which currency, an account is; none where it is no contra account.
    #[must_use]
    pub fn of_account(id: &AccountId) -> Option<(Self, Currency)> {
        let rest = id.as_str().strip_prefix(CONTRA_PREFIX)?;
        let (name, code) = rest.rsplit_once('.')?;
        // In an id a colon is a dash.
        let contra = name.replacen('-', ":", 1).parse().ok()?;
        Some((contra, Currency::from_code(code).ok()?))
    }

    /// On whose way money is that is on this account, where it is a clearing account.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        match self {
            Self::Clearing(book) => Some(Peer::Book(book.clone())),
            Self::ClearingRail => Some(Peer::Rail),
            Self::Cash
            | Self::Interest
            | Self::Fees
            | Self::Cards
            | Self::Bank(_)
            | Self::Nostro
            | Self::Exchange => None,
        }
    }
}

impl FromStr for ContraAccount {
    type Err = InvalidPosting;

    fn from_str(text: &str) -> Result<Self, InvalidPosting> {
        match text {
            "cash" => Ok(Self::Cash),
            "interest" => Ok(Self::Interest),
            "fees" => Ok(Self::Fees),
            "cards" => Ok(Self::Cards),
            "nostro" => Ok(Self::Nostro),
            "exchange" => Ok(Self::Exchange),
            "clearing:rail" => Ok(Self::ClearingRail),
            _ => match text.strip_prefix("bank:") {
                Some(code)
                    if (1..=BANK_CODE_CHARS_MAX).contains(&code.len())
                        && code.chars().all(|c| c.is_ascii_alphanumeric()) =>
                {
                    Ok(Self::Bank(code.to_owned()))
                }
                _ => match text.strip_prefix("clearing:").map(BookName::from_str) {
                    Some(Ok(book)) => Ok(Self::Clearing(book)),
                    Some(Err(_)) | None => Err(InvalidPosting::Contra),
                },
            },
        }
    }
}

impl TryFrom<String> for ContraAccount {
    type Error = InvalidPosting;

    fn try_from(text: String) -> Result<Self, InvalidPosting> {
        text.parse()
    }
}

impl From<ContraAccount> for String {
    fn from(contra: ContraAccount) -> Self {
        contra.to_string()
    }
}

impl fmt::Display for ContraAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cash => f.write_str("cash"),
            Self::Interest => f.write_str("interest"),
            Self::Fees => f.write_str("fees"),
            Self::Cards => f.write_str("cards"),
            Self::Bank(code) => write!(f, "bank:{code}"),
            Self::Clearing(book) => write!(f, "clearing:{book}"),
            Self::ClearingRail => f.write_str("clearing:rail"),
            Self::Nostro => f.write_str("nostro"),
            Self::Exchange => f.write_str("exchange"),
        }
    }
}

/// The client's own name for a posting.
pub type Reference = BoundedText<64>;

/// What a posting was for.
pub type Description = BoundedText<200>;

/// A text of 1 to `MAX` characters without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BoundedText<const MAX: usize>(String);

impl<const MAX: usize> BoundedText<MAX> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for BoundedText<MAX> {
    type Error = InvalidPosting;

    fn try_from(text: String) -> Result<Self, InvalidPosting> {
        // Control characters would be stored well enough in an event, and then stop every read
        // model that keeps texts: PostgreSQL's text has no NUL.
        let fits = (1..=MAX).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(InvalidPosting::Text { chars_max: MAX })
        }
    }
}

/// An id of an account is a text of at most as many characters.
impl From<&AccountId> for BoundedText<64> {
    fn from(id: &AccountId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl<const MAX: usize> From<BoundedText<MAX>> for String {
    fn from(text: BoundedText<MAX>) -> Self {
        text.0
    }
}

/// What cannot be part of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidPosting {
    /// Not a side.
    #[error("a side is credit or debit")]
    Side,
    /// Not a contra account.
    #[error(
        "a contra account is cash, interest, fees, cards, nostro, exchange, bank: and a code of 1 to {BANK_CODE_CHARS_MAX} letters and digits, or clearing: and rail or the name of a book"
    )]
    Contra,
    /// Not a kind of account.
    #[error("an account is authorising or recording")]
    Kind,
    /// Not a freeze.
    #[error("a freeze is of debits, credits or both")]
    Freeze,
    /// Too many notes on one account.
    #[error("an account has at most {most} entries of metadata")]
    Metadata {
        /// Most.
        most: usize,
    },
    /// A text that is empty, too long, or has control characters.
    #[error("a text has 1 to {chars_max} characters and no control characters")]
    Text {
        /// Most characters.
        chars_max: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contra_accounts_come_back_as_they_were() {
        for text in [
            "cash",
            "interest",
            "fees",
            "cards",
            "bank:AB",
            "bank:FOLIOCZPXXX",
            "clearing:b",
            "clearing:retail_eu",
            "clearing:rail",
            "nostro",
            "exchange",
        ] {
            assert_eq!(text.parse::<ContraAccount>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "Cash",
            "bank",
            "bank:",
            "bank:A B",
            "bank:ABCDEFGHIJKL",
            "bank:é",
            "clearing:",
            "clearing:B",
        ] {
            assert_eq!(
                text.parse::<ContraAccount>(),
                Err(InvalidPosting::Contra),
                "{text}"
            );
        }
    }

    #[test]
    fn a_contra_account_is_found_by_its_id_again() {
        let eur = Currency::from_code("EUR").unwrap();
        for text in [
            "cash",
            "interest",
            "fees",
            "cards",
            "bank:AB",
            "clearing:retail_eu",
            "clearing:rail",
            "nostro",
            "exchange",
        ] {
            let contra: ContraAccount = text.parse().unwrap();
            let id = contra.account(eur);
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert_eq!(ContraAccount::of_account(&id), Some((contra, eur)));
        }
        for id in ["cash", "contra.cash", "contra.cash.XX", "contra.gold.EUR"] {
            assert_eq!(
                ContraAccount::of_account(&id.parse().unwrap()),
                None,
                "{id}"
            );
        }
    }

    #[test]
    fn texts_that_a_read_model_could_not_hold_are_refused() {
        assert!(Reference::try_from("a\0b".to_owned()).is_err());
        assert!(Reference::try_from(String::new()).is_err());
        assert!(Reference::try_from("x".repeat(65)).is_err());
        assert!(Reference::try_from("ž".repeat(64)).is_ok());
    }
}
