//! The one program of the ledger: runs its services, imports, audits and reconciles.
//!
//! # Layout
//!
//! * [`up`]: everything at once, on a PostgreSQL of its own. What `ledger` does when told nothing.
//! * [`supervisor`]: runs the services as processes, and again what has died.
//! * [`accounts`], [`balances`], [`rails`], [`transfers`]: a service alone; what they have in common is in [`listen`], [`mesh`] and [`figures`].
//! * [`gateway`]: the one front door of all of them; [`api_keys`] are what programs bring to it.
//! * [`import`] and [`reconcile`]: a bank's transactions in, and compared.
//! * [`export`] and [`import_journal`]: a book as a plain-text journal, out and in.
//! * [`check`]: whether what must be so of a book is so after every command.
//! * [`in_transit`]: reconciles all books with what moves money between them.
//! * [`audit`]: replays everything and compares it with the read model.
//! * [`auditor_login`]: who may read everything and do nothing else.
//! * [`bundle`]: all events of an account, with proof; [`seals`] is how a book is sealed.
//! * [`anchors`]: where its checkpoints are kept; [`anchor_database`] makes a database for them, [`witness`] is one who sees them.
//! * [`replay`]: the state of anything, as of a version, a position or a moment; [`aggregates`] is all that there is.
//! * [`diff`]: in what a read model differs from a replay, and since which event.
//! * [`events`]: what a store holds, as it was recorded; [`trace`]: all that a request caused. Whose [`stores`] there are.
//! * [`verify`]: reads every row of a book again, and proves it against what was sealed.
//! * [`projections`]: the operators' commands, with the projections of a book.
//! * [`forget`]: destroys the key of whoever is to be forgotten.
//! * [`server`]: where PostgreSQL is. [`output`]: what is printed, whoever may have stopped reading.

mod access_log;
pub mod accounts;
pub mod aggregates;
pub mod anchor_database;
pub mod anchors;
pub mod api_keys;
pub mod audit;
pub mod auditor_login;
pub mod balances;
pub mod bank_file;
pub mod bundle;
pub mod check;
pub mod client;
pub mod demo;
pub mod diff;
pub mod events;
pub mod export;
pub mod figures;
pub mod forget;
pub mod gateway;
pub mod import;
pub mod import_journal;
pub mod in_transit;
pub mod journal_file;
pub mod listen;
pub mod mesh;
pub mod output;
pub mod progress;
pub mod projections;
pub mod rails;
pub mod reconcile;
pub mod replay;
mod screen;
pub mod seals;
pub mod server;
pub mod stop;
pub mod stores;
pub mod supervisor;
pub mod trace;
pub mod transfers;
pub mod up;
pub mod verify;
pub mod witness;

use std::error::Error;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use folio_operator::Answers;
pub use folio_operator::Finding;
/// What the program gets its memory from. Its binaries name it.
pub use mimalloc::MiMalloc as Allocator;
use tracing_subscriber::EnvFilter;

use crate::output::{answer, remark};

/// A ledger on PostgreSQL whose every balance leads back to its events.
#[derive(Debug, Parser)]
#[command(name = "ledger", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything: PostgreSQL, every service as a process of its own, small demo books (the default).
    Up(up::UpArgs),
    /// Start the accounts service of one book alone, on the server that DATABASE_URL names.
    Accounts(accounts::AccountsArgs),
    /// Start the balances service alone, which is fed by the accounts services that it is told of.
    Balances(balances::BalancesArgs),
    /// Start the transfers service alone, which asks the accounts services that it is told of, and the rails.
    Transfers(transfers::TransfersArgs),
    /// Start the gateway alone, which finds the services by a registry.
    Gateway(gateway::GatewayArgs),
    /// Make or revoke the keys that programs bring to the gateway.
    ApiKeys(api_keys::ApiKeysArgs),
    /// Start the rails service alone: stand-ins for a fraud screen, an exchange desk and a payment network.
    Rails(rails::RailsArgs),
    /// Post a bank's transactions from a CSV file through the HTTP API.
    Import(import::ImportArgs),
    /// List where a bank's printed balances and the ledger's differ.
    Reconcile(reconcile::ReconcileArgs),
    /// Write the book as a plain-text journal that hledger or beancount reads.
    Export(export::ExportArgs),
    /// Post the transactions of a plain-text journal, in the documented part of hledger's or beancount's format.
    ImportJournal(import_journal::ImportJournalArgs),
    /// Check what must be so of a book after every command, and name the first event after which it is not.
    Check(check::CheckArgs),
    /// Reconcile all books with the transfers and payments between them, at a cut that has every event's cause.
    InTransit(in_transit::InTransitArgs),
    /// Replay every event and compare every balance with the read model.
    Audit(audit::AuditArgs),
    /// Make a login for an auditor, which may read a book's history and its log, and nothing else.
    AuditorLogin(auditor_login::AuditorLoginArgs),
    /// Make a database for checkpoints, best on another server, and a login that can append them and do nothing else.
    AnchorDatabase(anchor_database::AnchorDatabaseArgs),
    /// Start a witness, which sees the checkpoints of logs and signs that each has only grown; best on another machine.
    Witness(witness::WitnessArgs),
    /// Write all events of an account to a file, with the proof that they are all, as they were recorded.
    Bundle(bundle::BundleArgs),
    /// Replay an account, or anything else that has events, and print its state as of a version, a position or a time.
    Replay(replay::ReplayCommandArgs),
    /// Compare a read model with a replay, and name the event since which a row is not right.
    Diff(diff::DiffCommandArgs),
    /// List the events of a book, of transfers or of rails, as they were recorded, and follow them.
    Events(events::EventsCommandArgs),
    /// Draw every event that a request caused, in all services, as a tree.
    Trace(trace::TraceCommandArgs),
    /// Read every row of a book again, and prove it against what was sealed and anchored.
    Verify(verify::VerifyArgs),
    /// Forget a subject: destroy the key of what was recorded about it, beside running services or without them.
    Forget(forget::ForgetArgs),
    /// Look after the read models: list, rebuild, compare, swap, pause, retry what is parked.
    Projections(projections::ProjectionsCommandArgs),
}

/// Runs the program: 0 when all is well, 1 when something failed or differs, 2 for a wrong
/// command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive here too, and are no failure.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(what_is_logged())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let command = cli
        .command
        .unwrap_or_else(|| Command::Up(up::UpArgs::default()));
    match runtime.block_on(run(command)) {
        Ok(Finding::Clean) => ExitCode::SUCCESS,
        Ok(Finding::NotWell) => ExitCode::FAILURE,
        Err(error) => failed(&*error),
    }
}

async fn run(command: Command) -> Result<Finding, Box<dyn Error>> {
    match command {
        Command::Up(arguments) => up::run(arguments).await?,
        Command::Accounts(arguments) => accounts::run(arguments).await?,
        Command::Balances(arguments) => balances::run(arguments).await?,
        Command::Gateway(arguments) => gateway::run(arguments).await?,
        Command::Rails(arguments) => rails::run(arguments).await?,
        Command::Transfers(arguments) => transfers::run(arguments).await?,
        Command::Import(arguments) => {
            let summary = import::run(arguments).await?;
            answer(summary)?;
        }
        Command::Reconcile(arguments) => {
            let format = arguments.format;
            let reconciliation = reconcile::run(arguments).await?;
            reconciliation.write(format, &mut Answers(std::io::stdout()))?;
            if !reconciliation.agrees() {
                return Ok(Finding::NotWell);
            }
        }
        Command::Export(arguments) => export::run(arguments, std::io::stdout()).await?,
        Command::ImportJournal(arguments) => {
            let summary = import_journal::run(arguments).await?;
            answer(summary)?;
        }
        Command::Check(arguments) => return Ok(check::run(arguments).await?),
        Command::InTransit(arguments) => return Ok(in_transit::run(arguments).await?),
        Command::ApiKeys(arguments) => return Ok(api_keys::run(arguments).await?),
        Command::Verify(arguments) => {
            return Ok(verify::run(arguments, Answers(std::io::stdout())).await?);
        }
        Command::Forget(arguments) => forget::run(arguments).await?,
        Command::Audit(arguments) => return Ok(audit::run(arguments).await?),
        Command::AuditorLogin(arguments) => auditor_login::run(arguments).await?,
        Command::AnchorDatabase(arguments) => anchor_database::run(arguments).await?,
        Command::Witness(arguments) => witness::run(arguments).await?,
        Command::Bundle(arguments) => bundle::run(arguments).await?,
        Command::Replay(arguments) => return Ok(Box::pin(replay::run(arguments)).await?),
        Command::Diff(arguments) => return Ok(Box::pin(diff::run(arguments)).await?),
        Command::Events(arguments) => return Ok(Box::pin(events::run(arguments)).await?),
        Command::Trace(arguments) => return Ok(Box::pin(trace::run(arguments)).await?),
        Command::Projections(arguments) => return Ok(Box::pin(projections::run(arguments)).await?),
    }
    Ok(Finding::Clean)
}

/// What `RUST_LOG` asks for, or warnings. With what a statement is executed is in no log, whatever is asked for: keys are
/// among it, and names of people.
fn what_is_logged() -> EnvFilter {
    let asked = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let asked = asked.filter(|asked| !asked.is_empty());
    let asked = asked.as_deref().unwrap_or("warn");
    let filter = EnvFilter::try_new(format!("{asked},tokio_postgres::query=warn"));
    filter.unwrap_or_else(|_| EnvFilter::new("warn"))
}

/// Prints an error and its causes.
fn failed(error: &dyn Error) -> ExitCode {
    remark(format_args!("error: {error}"));
    let mut cause = error.source();
    while let Some(error) = cause {
        remark(format_args!("  because: {error}"));
        cause = error.source();
    }
    ExitCode::FAILURE
}
