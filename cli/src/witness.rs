//! `ledger witness`: sees the checkpoints of logs, and signs that each has only grown. It runs on another machine than the
//! logs, and needs nothing there but its folder.

use std::path::PathBuf;

use clap::Args;
use folio_audit::{OpenWitnessError, Witness};
use folio_proofs::note::KeyName;
use ledger_example::http;
use thiserror::Error;

use crate::listen::{ListenArgs, ListenError, PORTS};
use crate::output::say;
use crate::verify::{VerifyError, trusted};

/// Arguments of `ledger witness`.
#[derive(Debug, Args)]
pub struct WitnessArgs {
    /// The folder of its key and of what it has seen; made where there is none. Whoever loses it begins anew with another key.
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// What the witness is called, a URL without its scheme.
    #[arg(long, default_value = "witness.local", value_name = "NAME")]
    name: KeyName,
    /// A log to see: a public key that signs it, or a file with all of its keys. Once for each.
    #[arg(long = "log", required = true, value_name = "KEY_OR_FILE")]
    logs: Vec<String>,
    #[command(flatten)]
    listen: ListenArgs,
}

/// Serves until told to stop, and lets requests under way finish.
///
/// # Errors
///
/// [`WitnessError`].
pub async fn run(arguments: WitnessArgs) -> Result<(), WitnessError> {
    let mut logs = Vec::new();
    for log in &arguments.logs {
        logs.push(trusted(std::slice::from_ref(log))?);
    }
    let witness = Witness::open(&arguments.state, &arguments.name, logs).await?;
    let listener = arguments.listen.bind(PORTS.witness)?;
    let address = listener.local_addr().map_err(WitnessError::Serve)?;
    say(format_args!(
        "the witness is --anchor http://{address}#{}",
        witness.key()
    ));
    let stop = arguments.listen.stop().map_err(WitnessError::Serve)?;
    let stop = async move { stop.told().await };
    let served = http::serve(listener, witness.router(), stop).await;
    served.map_err(WitnessError::Serve)
}

/// Why the witness does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The key of a log cannot be had.
    #[error(transparent)]
    Keys(#[from] VerifyError),
    /// Its folder cannot be had.
    #[error(transparent)]
    Open(#[from] OpenWitnessError),
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener failed.
    #[error("the witness failed to serve")]
    Serve(#[source] std::io::Error),
}
