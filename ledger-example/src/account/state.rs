//! The account itself: its two pure functions.

use folio_core::{Aggregate, Amount, Currency, Money, MoneyError};

use crate::account::{AccountCommand, AccountEvent, AccountRefusal, Overdraft, Posting, Side};

/// An account, as its events left it.
///
/// It counts what came in and what went out, each never negative; the balance is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    overdraft: Overdraft,
    status: Status,
    credits_posted: Money,
    debits_posted: Money,
    balance: Money,
}

/// Where an account is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It takes postings.
    Open,
    /// It takes none, for good.
    Closed,
    /// Its events contradict each other. No decision ever leads here, so the store was altered.
    Inconsistent,
}

impl Status {
    /// `open`, `closed` or `inconsistent`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Inconsistent => "inconsistent",
        }
    }
}

impl Account {
    /// Its currency.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.balance.currency()
    }

    /// How far below zero it may go.
    #[must_use]
    pub const fn overdraft(&self) -> Overdraft {
        self.overdraft
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// All that came in.
    #[must_use]
    pub const fn credits_posted(&self) -> Money {
        self.credits_posted
    }

    /// All that went out.
    #[must_use]
    pub const fn debits_posted(&self) -> Money {
        self.debits_posted
    }

    /// What came in less what went out.
    #[must_use]
    pub const fn balance(&self) -> Money {
        self.balance
    }

    fn opened(currency: Currency, overdraft: Overdraft) -> Self {
        let zero = Money::zero(currency);
        Self {
            overdraft,
            status: Status::Open,
            credits_posted: zero,
            debits_posted: zero,
            balance: zero,
        }
    }

    fn posted(self, side: Side, amount: Amount) -> Result<Self, MoneyError> {
        let (mut credits_posted, mut debits_posted) = (self.credits_posted, self.debits_posted);
        match side {
            Side::Credit => credits_posted = credits_posted.checked_add(amount.money())?,
            Side::Debit => debits_posted = debits_posted.checked_add(amount.money())?,
        }
        Ok(Self {
            balance: credits_posted.checked_sub(debits_posted)?,
            credits_posted,
            debits_posted,
            ..self
        })
    }

    /// The account after a posting, if it may be posted.
    fn decide_posting(&self, side: Side, posting: &Posting) -> Result<Self, AccountRefusal> {
        let after = self
            .posted(side, posting.amount)
            .map_err(|error| self.refusal(&error))?;
        let admitted = match side {
            Side::Credit => true,
            Side::Debit => self
                .overdraft
                .admits(after.balance)
                .map_err(|error| self.refusal(&error))?,
        };
        if admitted {
            return Ok(after);
        }
        let available = self
            .overdraft
            .available(self.balance)
            .map_err(|error| self.refusal(&error))?;
        Err(AccountRefusal::InsufficientFunds {
            available: available.unwrap_or(self.balance),
        })
    }

    /// Sums on an account's own figures fail in two ways only.
    fn refusal(&self, error: &MoneyError) -> AccountRefusal {
        if let MoneyError::CurrencyMismatch { left, right } = error {
            let account = self.currency();
            let amount = if *left == account { *right } else { *left };
            AccountRefusal::CurrencyMismatch { account, amount }
        } else {
            AccountRefusal::Overflow
        }
    }

    /// What does not follow from the events before it. The account is marked, so that it refuses
    /// everything from here on and an audit names it; its figures stay as they were.
    fn inconsistent(self) -> Self {
        Self {
            status: Status::Inconsistent,
            ..self
        }
    }
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";

    type Command = AccountCommand;
    type Event = AccountEvent;
    type Refusal = AccountRefusal;

    fn decide(
        state: Option<&Self>,
        command: AccountCommand,
    ) -> Result<Vec<AccountEvent>, AccountRefusal> {
        if let AccountCommand::OpenAccount {
            currency,
            overdraft,
        } = command
        {
            return open(state, currency, overdraft);
        }
        let account = state.ok_or(AccountRefusal::NotOpened)?;
        match account.status {
            Status::Open => {}
            Status::Closed => return Err(AccountRefusal::Closed),
            Status::Inconsistent => return Err(AccountRefusal::Inconsistent),
        }
        let event = match command {
            AccountCommand::OpenAccount { .. } => return Err(AccountRefusal::AlreadyOpened),
            AccountCommand::CreditAccount(posting) => {
                account.decide_posting(Side::Credit, &posting)?;
                AccountEvent::AccountCredited(posting)
            }
            AccountCommand::DebitAccount(posting) => {
                account.decide_posting(Side::Debit, &posting)?;
                AccountEvent::AccountDebited(posting)
            }
            AccountCommand::CloseAccount if account.balance.is_zero() => {
                AccountEvent::AccountClosed
            }
            AccountCommand::CloseAccount => {
                return Err(AccountRefusal::BalanceNotZero {
                    balance: account.balance,
                });
            }
        };
        Ok(vec![event])
    }

    fn evolve(state: Option<Self>, event: &AccountEvent) -> Option<Self> {
        let account = match (state, event) {
            (
                None,
                AccountEvent::AccountOpened {
                    currency,
                    overdraft,
                },
            ) => {
                return Some(Self::opened(*currency, *overdraft));
            }
            // Nothing can be said of an account that was never opened: it has no currency.
            (None, _) => return None,
            (Some(account), _) if account.status != Status::Open => {
                return Some(account.inconsistent());
            }
            (Some(account), _) => account,
        };
        Some(match event {
            AccountEvent::AccountOpened { .. } => account.inconsistent(),
            AccountEvent::AccountCredited(posting) => account
                .posted(Side::Credit, posting.amount)
                .unwrap_or_else(|_| account.inconsistent()),
            AccountEvent::AccountDebited(posting) => account
                .posted(Side::Debit, posting.amount)
                .unwrap_or_else(|_| account.inconsistent()),
            AccountEvent::AccountClosed => Self {
                status: Status::Closed,
                ..account
            },
        })
    }
}

fn open(
    state: Option<&Account>,
    currency: Currency,
    overdraft: Overdraft,
) -> Result<Vec<AccountEvent>, AccountRefusal> {
    if state.is_some() {
        return Err(AccountRefusal::AlreadyOpened);
    }
    if let Overdraft::Limit { limit } = overdraft
        && limit.currency() != currency
    {
        return Err(AccountRefusal::CurrencyMismatch {
            account: currency,
            amount: limit.currency(),
        });
    }
    Ok(vec![AccountEvent::AccountOpened {
        currency,
        overdraft,
    }])
}

#[cfg(test)]
mod tests {
    use folio_core::testing::{given, run_commands};
    use proptest::prelude::*;

    use super::*;
    use crate::account::ContraAccount;

    fn currency(code: &str) -> Currency {
        Currency::from_code(code).unwrap()
    }

    fn posting_in(code: &str, amount: &str) -> Posting {
        Posting {
            amount: Amount::parse(amount, currency(code)).unwrap(),
            contra: ContraAccount::Cash,
            effective_date: None,
            reference: None,
            description: None,
        }
    }

    fn posting(amount: &str) -> Posting {
        posting_in("EUR", amount)
    }

    fn money(amount: &str) -> Money {
        Money::parse(amount, currency("EUR")).unwrap()
    }

    fn opened(overdraft: Overdraft) -> AccountEvent {
        AccountEvent::AccountOpened {
            currency: currency("EUR"),
            overdraft,
        }
    }

    fn limit(amount: &str) -> Overdraft {
        Overdraft::Limit {
            limit: Amount::parse(amount, currency("EUR")).unwrap(),
        }
    }

    use AccountCommand::{CloseAccount, CreditAccount, DebitAccount, OpenAccount};
    use AccountEvent::{AccountClosed, AccountCredited, AccountDebited};

    #[test]
    fn an_account_is_opened_once() {
        let open = OpenAccount {
            currency: currency("EUR"),
            overdraft: Overdraft::None,
        };
        given::<Account>([])
            .when(open.clone())
            .then([opened(Overdraft::None)]);
        given::<Account>([opened(Overdraft::None)])
            .when(open)
            .then_refused(AccountRefusal::AlreadyOpened);
    }

    #[test]
    fn an_overdraft_limit_is_in_the_currency_of_the_account() {
        given::<Account>([])
            .when(OpenAccount {
                currency: currency("CZK"),
                overdraft: limit("5.00"),
            })
            .then_refused(AccountRefusal::CurrencyMismatch {
                account: currency("CZK"),
                amount: currency("EUR"),
            });
    }

    #[test]
    fn nothing_happens_to_an_account_that_was_never_opened() {
        for command in [
            CreditAccount(posting("1")),
            DebitAccount(posting("1")),
            CloseAccount,
        ] {
            given::<Account>([])
                .when(command)
                .then_refused(AccountRefusal::NotOpened);
        }
    }

    #[test]
    fn a_debit_may_use_up_the_balance_and_no_more() {
        let history = [opened(Overdraft::None), AccountCredited(posting("10.00"))];
        let state = given::<Account>(history.clone())
            .when(DebitAccount(posting("10.00")))
            .then([AccountDebited(posting("10.00"))]);
        assert!(state.unwrap().balance().is_zero());
        given::<Account>(history)
            .when(DebitAccount(posting("10.01")))
            .then_refused(AccountRefusal::InsufficientFunds {
                available: money("10.00"),
            });
    }

    #[test]
    fn an_overdraft_reaches_its_limit_and_no_further() {
        let history = [opened(limit("5.00")), AccountCredited(posting("10.00"))];
        given::<Account>(history.clone())
            .when(DebitAccount(posting("15.00")))
            .then([AccountDebited(posting("15.00"))]);
        given::<Account>(history)
            .when(DebitAccount(posting("15.01")))
            .then_refused(AccountRefusal::InsufficientFunds {
                available: money("15.00"),
            });
    }

    #[test]
    fn an_unlimited_overdraft_has_no_bottom() {
        let state = given::<Account>([opened(Overdraft::Unlimited)])
            .when(DebitAccount(posting("1000000.00")))
            .then([AccountDebited(posting("1000000.00"))]);
        assert_eq!(state.unwrap().balance(), money("-1000000.00"));
    }

    #[test]
    fn another_currency_is_refused() {
        given::<Account>([opened(Overdraft::Unlimited)])
            .when(CreditAccount(posting_in("USD", "1.00")))
            .then_refused(AccountRefusal::CurrencyMismatch {
                account: currency("EUR"),
                amount: currency("USD"),
            });
    }

    #[test]
    fn a_balance_that_cannot_be_held_exactly_is_refused() {
        let most = "792281625142643375935439503.35";
        given::<Account>([opened(Overdraft::Unlimited), AccountCredited(posting(most))])
            .when(CreditAccount(posting("0.01")))
            .then_refused(AccountRefusal::Overflow);
        given::<Account>([opened(Overdraft::Unlimited), AccountDebited(posting(most))])
            .when(DebitAccount(posting("0.01")))
            .then_refused(AccountRefusal::Overflow);
    }

    #[test]
    fn only_an_empty_account_is_closed_and_then_for_good() {
        let open = [opened(Overdraft::None), AccountCredited(posting("1.00"))];
        given::<Account>(open)
            .when(CloseAccount)
            .then_refused(AccountRefusal::BalanceNotZero {
                balance: money("1.00"),
            });
        given::<Account>([opened(Overdraft::None)])
            .when(CloseAccount)
            .then([AccountClosed]);
        for command in [
            CreditAccount(posting("1")),
            DebitAccount(posting("1")),
            CloseAccount,
        ] {
            given::<Account>([opened(Overdraft::None), AccountClosed])
                .when(command)
                .then_refused(AccountRefusal::Closed);
        }
    }

    #[test]
    fn a_history_that_does_not_add_up_stops_the_account() {
        let broken = [
            opened(Overdraft::None),
            AccountClosed,
            AccountCredited(posting("1")),
        ];
        assert_eq!(
            given::<Account>(broken.clone()).state().unwrap().status(),
            Status::Inconsistent
        );
        given::<Account>(broken)
            .when(CreditAccount(posting("1")))
            .then_refused(AccountRefusal::Inconsistent);
    }

    fn any_command() -> impl Strategy<Value = AccountCommand> {
        let amount = prop_oneof!["[0-9]{1,3}\\.[0-9]{2}", "[1-9][0-9]{20,26}\\.[0-9]{2}",];
        let code = prop_oneof![9 => Just("EUR"), 1 => Just("JPY")];
        let posting = (amount, code).prop_filter_map("not an amount", |(amount, code)| {
            let amount = Amount::parse(amount.trim_start_matches('0'), currency(code)).ok()?;
            Some(Posting {
                amount,
                ..posting("1")
            })
        });
        let overdraft = prop_oneof![
            Just(Overdraft::None),
            Just(limit("50.00")),
            Just(Overdraft::Unlimited),
        ];
        prop_oneof![
            1 => overdraft.prop_map(|overdraft| OpenAccount { currency: currency("EUR"), overdraft }),
            6 => posting.clone().prop_map(CreditAccount),
            6 => posting.prop_map(DebitAccount),
            1 => Just(CloseAccount),
        ]
    }

    proptest! {
        #[test]
        fn no_history_leaves_the_overdraft_or_loses_a_cent(
            commands in prop::collection::vec(any_command(), 0..40)
        ) {
            run_commands::<Account>(commands, |history| {
                let Some(account) = history.state else {
                    return history.events.is_empty();
                };
                let mut sum = Money::zero(account.currency());
                for event in &history.events {
                    sum = match event {
                        AccountCredited(posting) => sum.checked_add(posting.amount.money()).unwrap(),
                        AccountDebited(posting) => sum.checked_sub(posting.amount.money()).unwrap(),
                        AccountEvent::AccountOpened { .. } | AccountClosed => sum,
                    };
                }
                account.balance() == sum
                    && account.overdraft().admits(sum).unwrap()
                    && account.status() != Status::Inconsistent
            });
        }
    }
}
