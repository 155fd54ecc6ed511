//! Posts the rows of a file in batches.

use uuid::Uuid;

use super::{ImportError, ImportSummary};
use crate::{
    bank_file::{BankTransaction, Direction},
    client::{LedgerClient, Posting, PostingStatus, Problem, Side},
    progress::progress_bar,
};

/// Posts all transactions in their order, `batch` in a request.
pub(super) async fn post_all(
    ledger: &LedgerClient,
    transactions: &[BankTransaction],
    batch: u16,
    summary: &mut ImportSummary,
) -> Result<(), ImportError> {
    let bar = progress_bar("posting", transactions.len());
    for batch in transactions.chunks(usize::from(batch.max(1))) {
        post_batch(ledger, batch, summary).await?;
        bar.inc(u64::try_from(batch.len()).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// Posts one batch, and again those of its rows that the ledger could not take just now.
///
/// Rows of the batch that come after such a row are posted before it. A ledger that is away answers
/// the batch as a whole, and then the order is kept; this is for one that has lost a single row.
async fn post_batch(
    ledger: &LedgerClient,
    batch: &[BankTransaction],
    summary: &mut ImportSummary,
) -> Result<(), ImportError> {
    let mut pending: Vec<_> = batch.iter().collect();
    let mut delays = ledger.retry().delays();
    loop {
        let refused = send(ledger, &pending, summary).await?;
        let lasting = refused.iter().find(|(_, problem)| !problem.retryable);
        let Some((transaction, problem)) = lasting.or(refused.first()) else {
            return Ok(());
        };
        match delays.next() {
            Some(delay) if lasting.is_none() => tokio::time::sleep(delay).await,
            _ => {
                return Err(ImportError::Refused {
                    line: transaction.line,
                    transaction: transaction.id.clone(),
                    account: transaction.account.clone(),
                    others: refused.len().saturating_sub(1),
                    problem: Box::new(problem.clone()),
                });
            }
        }
        pending = refused
            .into_iter()
            .map(|(transaction, _)| transaction)
            .collect();
    }
}

/// Sends one request, and returns the rows that were refused.
async fn send<'t>(
    ledger: &LedgerClient,
    batch: &[&'t BankTransaction],
    summary: &mut ImportSummary,
) -> Result<Vec<(&'t BankTransaction, Problem)>, ImportError> {
    let postings: Vec<_> = batch
        .iter()
        .map(|transaction| posting(transaction))
        .collect();
    // The key is new each time. With one that follows from the content, a second import would be
    // given the answers of the first, and could not tell what is posted now from what was before.
    let key = format!("batch:{}", Uuid::now_v7());
    let written = ledger
        .post_bulk(&key, &postings)
        .await
        .map_err(|source| ImportError::posting(batch, source))?;
    summary.position = written.position.or(summary.position.take());

    let mut refused = Vec::new();
    for (transaction, result) in batch.iter().zip(written.answer.results) {
        match result.status {
            PostingStatus::Posted => summary.posted = summary.posted.saturating_add(1),
            PostingStatus::AlreadyPosted => {
                summary.already_there = summary.already_there.saturating_add(1);
            }
            PostingStatus::Refused => {
                refused.push((*transaction, result.problem.unwrap_or_default()));
            }
        }
    }
    Ok(refused)
}

fn posting(transaction: &BankTransaction) -> Posting {
    Posting {
        key: transaction.id.to_string(),
        account_id: transaction.account.to_string(),
        side: match transaction.direction {
            Direction::Credit => Side::Credit,
            Direction::Debit => Side::Debit,
        },
        amount: transaction.amount,
        contra: transaction.contra.clone(),
        effective_date: transaction.date,
        reference: transaction.id.to_string(),
        description: transaction.description(),
    }
}
