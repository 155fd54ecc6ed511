//! One transaction as the bank tells it.

use std::fmt;

use chrono::NaiveDate;
use folio_core::{Amount, Money};

use super::{AccountId, TransactionId};

/// A transaction on a customer's account: a row of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BankTransaction {
    /// The line of the file that its row starts on, counted from 1.
    pub line: u64,
    /// The bank's id of it. No two rows of a file share one.
    pub id: TransactionId,
    /// The customer's account.
    pub account: AccountId,
    /// The day it took effect.
    pub date: NaiveDate,
    /// Which way the money went.
    pub direction: Direction,
    /// By what means.
    pub operation: Operation,
    /// How much.
    pub amount: Amount,
    /// The balance that the bank printed after it.
    pub bank_balance: Money,
    /// What it was for, where the bank says so.
    pub purpose: Option<Purpose>,
    /// The other bank. Every transfer has one, and nothing else.
    pub counterparty: Option<Counterparty>,
    /// The account on the other side: `cash`, `cards`, `fees`, `interest`, or `bank:` and a code.
    pub contra: String,
}

/// Which way the money of a transaction went, as the customer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// In.
    Credit,
    /// Out.
    Debit,
}

/// By what means the money of a transaction went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Paid in at the counter.
    CashDeposit,
    /// Paid out at the counter.
    CashWithdrawal,
    /// Taken out with a card.
    CardWithdrawal,
    /// Came from another bank.
    TransferIn,
    /// Went to another bank.
    TransferOut,
    /// Booked by the bank itself: interest.
    Internal,
}

/// What a transaction was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Rent, power and the like.
    Household,
    /// An insurance premium.
    Insurance,
    /// Interest that the bank pays.
    Interest,
    /// An instalment of a loan.
    Loan,
    /// Interest charged for an overdrawn account.
    PenaltyInterest,
    /// A pension.
    Pension,
    /// The bank's charge for a statement.
    StatementFee,
}

/// The other end of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counterparty {
    /// The code of the bank.
    pub bank: String,
    /// The account at that bank, where it is known.
    pub account: Option<String>,
}

impl BankTransaction {
    /// What the file says about it in words that the ledger has no field for, such as
    /// `transfer_out household AB 12345678`.
    #[must_use]
    pub fn description(&self) -> String {
        let purpose = self.purpose.map(Word::word);
        let counterparty = self.counterparty.as_ref();
        [
            Some(self.operation.word()),
            purpose,
            counterparty.map(|counterparty| counterparty.bank.as_str()),
            counterparty.and_then(|counterparty| counterparty.account.as_deref()),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
    }
}

impl Operation {
    /// The direction that is the only one to make sense, if one is.
    pub(super) fn direction(self) -> Option<Direction> {
        match self {
            Self::CashDeposit | Self::TransferIn => Some(Direction::Credit),
            Self::CashWithdrawal | Self::CardWithdrawal | Self::TransferOut => {
                Some(Direction::Debit)
            }
            Self::Internal => None,
        }
    }

    /// Whether another bank takes part.
    pub(super) fn is_transfer(self) -> bool {
        matches!(self, Self::TransferIn | Self::TransferOut)
    }
}

/// The account on the other side. A purpose that is the bank's own income goes before the means:
/// fees are taken as a cash withdrawal, say, and no cash moves.
pub(super) fn contra(
    operation: Operation,
    purpose: Option<Purpose>,
    counterparty: Option<&Counterparty>,
) -> String {
    let contra = match (purpose, operation, counterparty) {
        (Some(Purpose::StatementFee | Purpose::PenaltyInterest), _, _) => "fees",
        (_, Operation::TransferIn | Operation::TransferOut, Some(counterparty)) => {
            return format!("bank:{}", counterparty.bank);
        }
        (_, Operation::Internal, _) => "interest",
        (_, Operation::CardWithdrawal, _) => "cards",
        // A transfer without a counterparty never gets here: its row is bad.
        (_, _, _) => "cash",
    };
    contra.to_owned()
}

/// Values that a file writes as one of a few words.
pub(super) trait Word: Copy + PartialEq + 'static {
    const ALL: &'static [(&'static str, Self)];

    fn from_word(text: &str) -> Option<Self> {
        let known = Self::ALL.iter().find(|(word, _)| *word == text);
        known.map(|(_, value)| *value)
    }

    fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, value)| *value == self);
        known.map_or("", |(word, _)| word)
    }
}

impl Word for Direction {
    const ALL: &'static [(&'static str, Self)] =
        &[("credit", Self::Credit), ("debit", Self::Debit)];
}

impl Word for Operation {
    const ALL: &'static [(&'static str, Self)] = &[
        ("card_withdrawal", Self::CardWithdrawal),
        ("cash_deposit", Self::CashDeposit),
        ("cash_withdrawal", Self::CashWithdrawal),
        ("internal", Self::Internal),
        ("transfer_in", Self::TransferIn),
        ("transfer_out", Self::TransferOut),
    ];
}

impl Word for Purpose {
    const ALL: &'static [(&'static str, Self)] = &[
        ("household", Self::Household),
        ("insurance", Self::Insurance),
        ("interest", Self::Interest),
        ("loan", Self::Loan),
        ("penalty_interest", Self::PenaltyInterest),
        ("pension", Self::Pension),
        ("statement_fee", Self::StatementFee),
    ];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_follows_from_purpose_and_means() {
        let bank = Counterparty {
            bank: "QX".to_owned(),
            account: None,
        };
        #[rustfmt::skip]
        let table = [
            ("cash_deposit", "", None, "cash"),
            ("cash_withdrawal", "", None, "cash"),
            ("cash_withdrawal", "household", None, "cash"),
            ("cash_withdrawal", "statement_fee", None, "fees"),
            ("cash_withdrawal", "penalty_interest", None, "fees"),
            ("transfer_out", "statement_fee", Some(&bank), "fees"),
            ("card_withdrawal", "", None, "cards"),
            ("internal", "interest", None, "interest"),
            ("internal", "penalty_interest", None, "fees"),
            ("transfer_in", "pension", Some(&bank), "bank:QX"),
            ("transfer_out", "", Some(&bank), "bank:QX"),
        ];
        for (operation, purpose, counterparty, expected) in table {
            let operation = Operation::from_word(operation).unwrap();
            let purpose = Purpose::from_word(purpose);
            let found = contra(operation, purpose, counterparty);
            assert_eq!(found, expected, "{operation} {purpose:?}");
        }
    }

    #[test]
    fn words_are_written_as_they_are_read() {
        fn all<W: Word + fmt::Debug>() {
            for (word, value) in W::ALL {
                assert_eq!(value.word(), *word);
                assert_eq!(W::from_word(word), Some(*value));
            }
            assert_eq!(W::from_word("Credit"), None);
            assert_eq!(W::from_word(""), None);
        }
        all::<Direction>();
        all::<Operation>();
        all::<Purpose>();
    }
}
