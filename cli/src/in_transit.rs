//! `ledger in-transit`: what is on its way between books, and whether all of them together are as they must be.

use std::sync::Arc;

use clap::Args;
use ledger_example::balances::{BookFeed, FEED, GuardedFeed, GuardedFeedError};
use ledger_example::transit::{FollowError, Followed, Owner, Report, reconcile};
use thiserror::Error;

use crate::Finding;
use crate::output::{OutputError, answer};
use crate::progress::progress_bar;

/// Arguments of `ledger in-transit`.
#[derive(Debug, Args)]
pub struct InTransitArgs {
    /// A book, and where its accounts service is: `a=http://127.0.0.1:7401`. Once for each book.
    #[arg(long = "feed", value_name = "BOOK=URL",
          default_values = ["a=http://127.0.0.1:7401", "b=http://127.0.0.1:7402"])]
    feeds: Vec<BookFeed>,
    /// Where the transfers service is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7405")]
    transfers: String,
}

/// Reads all events of all books and of the transfers service, and prints what is on its way and what is not as it must
/// be. It trusts none of their read models.
///
/// # Errors
///
/// [`InTransitError`] when a store cannot be read.
pub async fn run(arguments: InTransitArgs) -> Result<Finding, InTransitError> {
    let books = arguments.feeds.into_iter();
    let books = books.map(|BookFeed { book, accounts }| {
        let feed = GuardedFeed::new(&format!("feed-{book}"), accounts, FEED)?;
        Ok(followed(Owner::Book(book), feed))
    });
    let sagas = GuardedFeed::new("feed-transfers", arguments.transfers, FEED)?;
    let followed: Result<Vec<_>, GuardedFeedError> =
        books.chain([Ok(followed(Owner::Sagas, sagas))]).collect();
    let bar = progress_bar("reading", 0);
    let report = reconcile(followed?, |read, all| {
        bar.set_length(all);
        bar.set_position(read);
    });
    let report = report.await?;
    bar.finish_and_clear();
    print(&report)?;
    Ok(Finding::clean_if(report.holds()))
}

fn followed(owner: Owner, feed: GuardedFeed) -> Followed {
    let source = Arc::new(feed);
    Followed { owner, source }
}

fn print(report: &Report) -> Result<(), OutputError> {
    for (owner, _, position) in &report.cut {
        answer(format_args!("{owner} up to position {position}"))?;
    }
    for (currency, clearing) in &report.clearing {
        let in_transit = report.in_transit.get(currency);
        let in_transit = in_transit.map_or_else(|| "0".to_owned(), |sum| sum.amount_text());
        answer(format_args!(
            "{}: {} on clearing accounts, {in_transit} on its way",
            currency.code(),
            clearing.amount_text()
        ))?;
    }
    for id in &report.on_the_way {
        answer(format_args!("on its way: {id}"))?;
    }
    for finding in &report.findings {
        answer(format_args!(
            "{} position {} ({}): {}",
            finding.owner, finding.position, finding.of, finding.what
        ))?;
    }
    answer(format_args!(
        "{} settled, {} under way, {} findings",
        report.settled, report.under_way, report.found
    ))
}

/// Why nothing could be reconciled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InTransitError {
    /// A store cannot be followed.
    #[error(transparent)]
    Feed(#[from] GuardedFeedError),
    /// A store cannot be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}
