//! `ledger replay`: the state of anything in the ledger, as its events up to some point leave it.

use std::sync::Arc;

use clap::Args;
use folio_core::StreamId;
use folio_operator::{Desk, Finding, ReplayArgs};
use folio_postgres::{Database, PostgresStore};
use ledger_example::{AccountsDatabases, BookName};
use tokio::sync::watch;

use crate::accounts::BOOK;
use crate::aggregates::{Keeper, aggregates};
use crate::projections::{
    MODEL_CONNECTIONS, ProjectionsCommandError, STORE_CONNECTIONS, projections_of, stopped_twice,
    user,
};
use crate::server::{Server, ServerArgs};
use crate::{balances, rails, transfers};

/// Arguments of `ledger replay`.
#[derive(Debug, Args)]
pub struct ReplayCommandArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The book that it is about. Transfers, payments and what the rails have promised are in no book.
    #[arg(long, default_value = BOOK, value_name = "NAME")]
    book: BookName,
    /// The database of the balances service.
    #[arg(long, default_value = balances::DATABASE, value_name = "NAME")]
    balances_database: String,
    /// The database of the transfers service, which has the logs of transfers and payments.
    #[arg(long, default_value = transfers::DATABASE, value_name = "NAME")]
    transfers_database: String,
    /// The database of the rails.
    #[arg(long, default_value = rails::DATABASE, value_name = "NAME")]
    rails_database: String,
    #[command(flatten)]
    replay: ReplayArgs,
}

/// Replays, beside the running services or without them, and prints what that leads to. Nothing is changed.
///
/// # Errors
///
/// [`ProjectionsCommandError`].
pub async fn run(arguments: ReplayCommandArgs) -> Result<Finding, ProjectionsCommandError> {
    let connections = STORE_CONNECTIONS * 2 + MODEL_CONNECTIONS * 3;
    let server = Server::join(&arguments.server, connections).await?;
    let (stop, stopped) = watch::channel(false);
    let result = tokio::select! {
        result = replay(&server, arguments, stopped) => result,
        result = stopped_twice(stop) => result,
    };
    server.stop().await?;
    result
}

async fn replay(
    server: &Server,
    arguments: ReplayCommandArgs,
    stop: watch::Receiver<bool>,
) -> Result<Finding, ProjectionsCommandError> {
    let database = arguments.database(server);
    let store = Arc::new(PostgresStore::open(&database, STORE_CONNECTIONS).await?);
    let projections = match arguments.replay.projection {
        Some(_) => {
            let models = &arguments.balances_database;
            projections_of(server, &arguments.book, models, &store).await?
        }
        None => Vec::new(),
    };
    let mut desk = Desk {
        projections: &projections,
        by: user(),
        stop,
        out: &mut std::io::stdout(),
    };
    let aggregates = aggregates();
    let replayed = folio_operator::replay::run(arguments.replay, &store, &aggregates, &mut desk);
    Ok(Box::pin(replayed).await?)
}

impl ReplayCommandArgs {
    /// The database of the store that has what is named.
    fn database(&self, server: &Server) -> Database {
        let stream = self.replay.stream.as_ref();
        match stream.map_or(Keeper::Book, |stream: &StreamId| {
            Keeper::of(stream.category())
        }) {
            Keeper::Book => AccountsDatabases::existing(&server.config, &self.book).events,
            Keeper::Transfers => Database::new(server.config.clone(), &self.transfers_database),
            Keeper::Rails => Database::new(server.config.clone(), &self.rails_database),
        }
    }
}
