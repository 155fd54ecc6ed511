//! `ledger export`: a book as a plain-text journal, over the public API.

use std::io::{self, BufWriter, Write};

use ledger_example::BookName;
use thiserror::Error;

use crate::client::{ClientError, LedgerAddress, LedgerClient, PostedEntry};
use crate::journal_file::{JournalAccount, JournalFormat, JournalWriter, Transaction};
use crate::progress::progress_bar;

/// What to export.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// The balances service
    #[arg(long, default_value = LedgerAddress::READS)]
    pub url: LedgerAddress,
    /// The book, where several are read there
    #[arg(long)]
    pub book: Option<BookName>,
    /// Which program is to read the journal
    #[arg(long, value_enum, default_value_t = JournalFormat::Hledger)]
    pub format: JournalFormat,
}

/// Writes the book, as it is known at the moment, for a program of others to read.
///
/// # Errors
///
/// [`ExportError`]. What was written by then is a part of the book. Where a pipe is closed, it ends well.
pub async fn run(args: ExportArgs, out: impl Write) -> Result<(), ExportError> {
    let ledger =
        LedgerClient::new(args.url, "export").map_err(|source| ExportError::Ledger { source })?;
    match export(&ledger.with_book(args.book), args.format, out).await {
        // Whoever reads it has seen enough: nobody needs the rest of the book.
        Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        exported => exported,
    }
}

async fn export(
    ledger: &LedgerClient,
    format: JournalFormat,
    out: impl Write,
) -> Result<(), ExportError> {
    let failed = |source| ExportError::Ledger { source };
    let mut page = ledger.entries_page(None, None).await.map_err(failed)?;
    // The rest is asked for as it was known when the first page was answered.
    let known_at = page.known_at.ok_or(ExportError::SeveralBooks)?;
    let mut accounts = Vec::new();
    let mut cursor = None;
    loop {
        let page = ledger
            .accounts_page(cursor.as_deref())
            .await
            .map_err(failed)?;
        accounts.extend(page.accounts.into_iter().map(|account| JournalAccount {
            id: account.id,
            currency: Some(account.currency),
            kind: account.kind,
            normal_side: account.normal_side,
        }));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let note = format!("a book of Folio, as known at position {known_at}");
    let mut journal = JournalWriter::begin(format, BufWriter::new(out), &note, &accounts)?;
    let bar = progress_bar("entries", usize::try_from(known_at.number()).unwrap_or(0));
    loop {
        for entry in page.entries {
            bar.set_position(entry.position.number().unsigned_abs());
            journal.write(&transaction(entry))?;
        }
        let Some(cursor) = page.next_cursor else {
            break;
        };
        page = ledger
            .entries_page(Some(&cursor), Some(known_at))
            .await
            .map_err(failed)?;
    }
    Ok(journal.end()?)
}

fn transaction(entry: PostedEntry) -> Transaction {
    Transaction {
        line: 0,
        date: entry.effective_date,
        id: entry.entry_id,
        legs: entry.legs,
        reference: entry.reference,
        description: entry.description,
        exchange: entry.exchange,
        reverses: entry.reverses,
    }
}

/// Why a book could not be exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The ledger did not answer.
    #[error("the book cannot be read")]
    Ledger {
        /// Why.
        source: ClientError,
    },
    /// More than one book is read there.
    #[error("several books are read there; name the one to export with --book")]
    SeveralBooks,
    /// The journal cannot be written.
    #[error("the journal cannot be written")]
    Write(#[from] io::Error),
}
