//! Fetches the statements and compares each as it comes.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use folio_core::Currency;
use indicatif::ProgressBar;

use super::{AccountReconciliation, ReconcileError};
use crate::{
    bank_file::{AccountId, BankTransaction},
    client::{LedgerClient, PositionToken, StatementLine},
    progress::progress_bar,
};

/// Compares every account that occurs, in the order in which they first occur. What the ledger
/// shows includes `min_position`.
pub(super) async fn compare_all(
    ledger: &LedgerClient,
    currency: Currency,
    transactions: &[BankTransaction],
    min_position: Option<&PositionToken>,
) -> Result<Vec<AccountReconciliation>, ReconcileError> {
    let accounts = by_account(transactions);
    let work = Work {
        ledger,
        currency,
        min_position,
        bar: progress_bar("comparing accounts", accounts.len()),
        accounts,
        next: AtomicUsize::new(0),
    };
    // Four statements at a time: enough that the ledger's answer time does not add up, and few
    // enough that it serves others meanwhile.
    let (a, b, c, d) = tokio::try_join!(work.some(), work.some(), work.some(), work.some())?;
    let mut compared = [a, b, c, d].concat();
    compared.sort_by_key(|(place, _)| *place);
    Ok(compared.into_iter().map(|(_, account)| account).collect())
}

/// The accounts that are still to be compared.
struct Work<'a> {
    ledger: &'a LedgerClient,
    currency: Currency,
    min_position: Option<&'a PositionToken>,
    bar: ProgressBar,
    accounts: Vec<AccountRows<'a>>,
    /// The place of the first account that nobody has taken yet.
    next: AtomicUsize,
}

struct AccountRows<'a> {
    account: &'a AccountId,
    rows: Vec<&'a BankTransaction>,
}

impl Work<'_> {
    /// Takes and compares one account after another, until all are taken.
    async fn some(&self) -> Result<Vec<(usize, AccountReconciliation)>, ReconcileError> {
        let mut compared = Vec::new();
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(AccountRows { account, rows }) = self.accounts.get(place) else {
                return Ok(compared);
            };
            let lines = self.statement(account).await?;
            let account = AccountReconciliation::compare(account, self.currency, rows, &lines)?;
            compared.push((place, account));
            self.bar.inc(1);
        }
    }

    /// All lines of an account; none when the ledger does not have it.
    async fn statement(&self, account: &AccountId) -> Result<Vec<StatementLine>, ReconcileError> {
        let mut lines = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self
                .ledger
                .statement_page(account.as_str(), cursor.as_deref(), self.min_position)
                .await;
            let page = match page {
                Ok(page) => page,
                Err(error) if error.is_not_found() => return Ok(Vec::new()),
                Err(source) => {
                    let account = account.clone();
                    return Err(ReconcileError::Statement { account, source });
                }
            };
            if page.currency != self.currency {
                return Err(ReconcileError::OtherCurrency {
                    account: account.clone(),
                    found: page.currency,
                    expected: self.currency,
                });
            }
            lines.extend(page.lines);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(lines);
            }
        }
    }
}

fn by_account(transactions: &[BankTransaction]) -> Vec<AccountRows<'_>> {
    let mut places = HashMap::new();
    let mut accounts: Vec<AccountRows<'_>> = Vec::new();
    for transaction in transactions {
        let account = &transaction.account;
        let place = *places.entry(account).or_insert(accounts.len());
        match accounts.get_mut(place) {
            Some(account) => account.rows.push(transaction),
            None => accounts.push(AccountRows {
                account,
                rows: vec![transaction],
            }),
        }
    }
    accounts
}
