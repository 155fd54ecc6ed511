//! `ledger verify`: reads every row of a book, or of the transfers' log, again, and proves it against what was sealed and anchored.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use folio_audit::{LogKeys, LogKeysError, TrustedLog, Walk, WalkError, WalkReport, Walked};
use folio_postgres::PoolError;
use folio_proofs::note::VerifyingKey;
use serde::Serialize;
use thiserror::Error;

use crate::Finding;
use crate::anchors::{AnchorAt, AnchorAtError};
use crate::progress::progress_bar;
use crate::seals::{LogArgs, anchor_file, keys_folder};
use crate::server::{Server, ServerArgs, ServerError};

/// Arguments of `ledger verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    log: LogArgs,
    /// A public key that signs the log or has signed it, or a file with such keys. Once for each. Without it, the keys in
    /// the data folder are believed.
    #[arg(long = "key", value_name = "KEY_OR_FILE")]
    keys: Vec<String>,
    /// Where the log's checkpoints were anchored: a file, a database as `postgres://user:password@host/database`, or a witness
    /// as `http://host:port#KEY`, with its public key or a file of its keys. Once for each. Without it, the file in the data
    /// folder.
    #[arg(long = "anchor", value_name = "WHERE")]
    anchors: Vec<AnchorAt>,
    /// How many findings are listed at most, the first ones. All are counted.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    most: u16,
    /// Print findings and the summary as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Walks a whole store, beside its running service or without one, and writes what is not as it was sealed.
///
/// # Errors
///
/// [`VerifyError`] when the store, the keys or the anchors cannot be read.
pub async fn run(mut arguments: VerifyArgs, mut out: impl Write) -> Result<Finding, VerifyError> {
    let believed = arguments.believe_what_is_here()?;
    let log = trusted(&arguments.keys)?;
    let server = Server::join(&arguments.server, Walk::CONNECTIONS).await?;
    let report = verify(&server, &arguments, log, &mut out).await;
    server.stop().await?;
    let report = report?;
    let written = if arguments.json {
        json_line(&mut out, &report)
    } else {
        summary(&mut out, &report)
    };
    written.map_err(VerifyError::Write)?;
    // Not among the findings, which a program may read.
    for what in believed {
        tracing::warn!(
            "{what} is the one beside the data; whoever could change both would not be found out: name your own copy"
        );
    }
    Ok(Finding::clean_if(report.found == 0))
}

impl VerifyArgs {
    /// Takes from the data folder what is not named. Answers with what that is.
    fn believe_what_is_here(&mut self) -> Result<Vec<&'static str>, VerifyError> {
        let mut believed = Vec::new();
        if self.keys.is_empty() {
            let folder = keys_folder(&self.server.data_folder()?, self.log.name());
            let file = folder.join(LogKeys::PUBLIC_FILE);
            if !file.exists() {
                return Err(VerifyError::NoKey { file });
            }
            self.keys.push(file.display().to_string());
            believed.push("the key");
        }
        if self.anchors.is_empty() {
            let file = anchor_file(&self.server.data_folder()?, self.log.name());
            if !file.exists() {
                return Err(VerifyError::NoAnchor { file });
            }
            self.anchors.push(AnchorAt::File(file));
            believed.push("the anchor");
        }
        Ok(believed)
    }
}

async fn verify(
    server: &Server,
    arguments: &VerifyArgs,
    log: TrustedLog,
    out: &mut impl Write,
) -> Result<WalkReport, VerifyError> {
    let database = arguments.log.database(&server.config);
    let origin = log.origin().clone();
    let mut walk = Walk::open(&database, log)?;
    for anchor in &arguments.anchors {
        let at = anchor.at(&origin)?;
        walk = match anchor {
            // A file may be somebody's copy, of any time.
            AnchorAt::File(_) => walk.anchored_in_copy(at),
            AnchorAt::Database { .. } | AnchorAt::Witness { .. } => walk.anchored_in(at),
        };
    }
    let bar = progress_bar("verifying", 0);
    let mut written = Ok(());
    let most = usize::from(arguments.most).max(1);
    let walked = walk.run(most, |walked| match walked {
        Walked::Progress { events, of } => {
            bar.set_length(of);
            bar.set_position(events);
        }
        // As soon as it is known: the rest may take hours.
        Walked::Found(finding) => bar.suspend(|| {
            let line = if arguments.json {
                json_line(out, &finding)
            } else {
                writeln!(out, "{finding}")
            };
            if line.is_err() {
                written = line;
            }
        }),
    });
    let report = walked.await?;
    bar.finish_and_clear();
    written.map_err(VerifyError::Write)?;
    Ok(report)
}

fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

fn summary(out: &mut impl Write, report: &WalkReport) -> io::Result<()> {
    writeln!(
        out,
        "read {} events and {} outcomes; {} leaves, {} checkpoints and {} anchored ones compared, {} findings",
        report.events,
        report.outcomes,
        report.leaves,
        report.checkpoints,
        report.anchored,
        report.found
    )?;
    let (anchored, leaves) = (report.anchored_leaves, report.leaves);
    if anchored < leaves {
        writeln!(
            out,
            "not in every anchor: what was sealed behind {anchored} leaves"
        )?;
    }
    let (events, outcomes) = (report.unsealed_events, report.unsealed_outcomes);
    if events > 0 || outcomes > 0 {
        writeln!(
            out,
            "not sealed yet: {events} events and {outcomes} outcomes"
        )?;
    }
    Ok(())
}

/// The log that these keys sign, each a text or a file. It is called as the first of them is.
pub(crate) fn trusted(keys: &[String]) -> Result<TrustedLog, VerifyError> {
    let mut all: Vec<VerifyingKey> = Vec::new();
    for key in keys {
        match key.parse() {
            Ok(key) => all.push(key),
            Err(_) => all.extend(LogKeys::public(Path::new(key))?),
        }
    }
    let (first, others) = all.split_first().ok_or(VerifyError::EmptyKeys)?;
    let log = TrustedLog::new(first.name().into(), first.clone());
    let others = others.iter().cloned();
    Ok(others.fold(log, TrustedLog::also_signed_by))
}

/// Why a book could not be verified.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no PostgreSQL.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A key is neither a text nor in a file.
    #[error(transparent)]
    Keys(#[from] LogKeysError),
    /// There is no key.
    #[error("no key is named, and there is none in {}; name one that signs the log with --key", file.display())]
    NoKey {
        /// Where one was looked for.
        file: PathBuf,
    },
    /// There is no anchor.
    #[error("no anchor is named, and there is none in {}; name where its checkpoints are with --anchor", file.display())]
    NoAnchor {
        /// Where one was looked for.
        file: PathBuf,
    },
    /// An anchor cannot be had.
    #[error(transparent)]
    AnchorAt(#[from] AnchorAtError),
    /// A file of keys has none.
    #[error("the files of keys are empty; name a key that signs the log with --key")]
    EmptyKeys,
    /// No connections to the store.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The walk has come to no end.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// What was found cannot be written.
    #[error("what was found cannot be written")]
    Write(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use folio_audit::{Evidence, Finding, RowAt};
    use folio_proofs::note::SigningKey;

    use super::*;
    use crate::accounts::BOOK;

    #[test]
    fn a_key_is_a_text_or_in_a_file() {
        let folder = std::env::temp_dir().join(format!("ledger-verify-{}", std::process::id()));
        let name = "ledger.example/a".parse().unwrap();
        let made = LogKeys::in_folder(&folder, &name).unwrap();
        let other = SigningKey::from_seed(name, &[1; 32]).unwrap();
        let text = other.verifying_key().to_string();
        let file = folder.join(LogKeys::PUBLIC_FILE).display().to_string();
        let log = trusted(&[text, file]).unwrap();
        assert_eq!(log.origin().as_str(), "ledger.example/a");
        std::fs::remove_dir_all(&folder).unwrap();
        drop(made);
        assert!(matches!(
            trusted(&["nothing".to_owned()]),
            Err(VerifyError::Keys(_))
        ));
    }

    #[test]
    fn what_is_not_named_is_looked_for_beside_the_data() {
        #[derive(clap::Parser)]
        struct Words {
            #[command(flatten)]
            verify: VerifyArgs,
        }
        let folder = format!("ledger-verify-here-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let data = folder.display().to_string();
        let words = ["verify", "--data-dir", data.as_str()];
        let mut arguments = <Words as clap::Parser>::parse_from(words).verify;
        let none = arguments.believe_what_is_here().unwrap_err();
        assert!(matches!(none, VerifyError::NoKey { .. }), "{none}");

        let keys = keys_folder(&folder, BOOK);
        LogKeys::in_folder(&keys, &"ledger.local/a".parse().unwrap()).unwrap();
        let none = arguments.believe_what_is_here().unwrap_err();
        assert!(matches!(none, VerifyError::NoAnchor { .. }), "{none}");

        let anchor = anchor_file(&folder, BOOK);
        std::fs::create_dir_all(anchor.parent().unwrap()).unwrap();
        std::fs::write(&anchor, "").unwrap();
        let mut arguments = <Words as clap::Parser>::parse_from(words).verify;
        let believed = arguments.believe_what_is_here().unwrap();
        assert_eq!(believed, ["the key", "the anchor"]);
        assert_eq!(arguments.anchors, [AnchorAt::File(anchor)]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_finding_is_one_line_of_json() {
        let finding = Finding::Altered {
            row: RowAt::Event {
                position: 7,
                category: "account".to_owned(),
                stream_id: "a\n".to_owned(),
                version: 2,
            },
            evidence: Evidence::Signed,
        };
        let mut out = Vec::new();
        json_line(&mut out, &finding).unwrap();
        let expected = concat!(
            r#"{"finding":"altered","row":{"row":"event","position":7,"category":"account","#,
            r#""stream_id":"a\n","version":2},"evidence":"signed"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
