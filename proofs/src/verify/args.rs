//! What the program is asked.

use std::path::PathBuf;

use crate::answer::Form;
use crate::checkpoint::Origin;
use crate::note::VerifyingKey;
use clap::Parser;

/// Check what a log gives out: a bundle, with all events of a stream up to a signed checkpoint; or a receipt, that one event
/// or refusal was recorded, or that the log has only grown
///
/// Nothing but that file and the public key is needed. Exit codes: 0 verified, 1 refused, 2 not checked.
#[derive(Debug, Parser)]
#[command(name = "folio-verify", version)]
pub(super) struct Args {
    /// The bundle or receipt, a JSON file; - for standard input
    #[arg(value_name = "FILE.json")]
    pub(super) evidence: PathBuf,
    /// A public key whose word you take, from a source that you trust; can be given several times
    #[arg(long = "key", value_name = "NAME+ID+BASE64", required = true)]
    pub(super) keys: Vec<VerifyingKey>,
    /// The log that it should be of [default: the one that is called as the key]
    #[arg(long, value_name = "NAME")]
    pub(super) origin: Option<Origin>,
    /// A signed checkpoint that you kept: shows that nothing has been changed since
    #[arg(long, value_name = "CHECKPOINT-FILE")]
    pub(super) since: Option<PathBuf>,
    /// Print the events of a bundle, one a line: position, version, type, when it was recorded, payload
    #[arg(long, conflicts_with = "json")]
    events: bool,
    /// Print what is proven as JSON
    #[arg(long)]
    json: bool,
    /// Print a page about a bundle for people, in HTML: the events with who, when and why, and where each is in the log
    #[arg(long, conflicts_with_all = ["events", "json"])]
    page: bool,
}

impl Args {
    pub(super) const fn form(&self) -> Form {
        match (self.events, self.json, self.page) {
            (true, _, _) => Form::Events,
            (false, true, _) => Form::Json,
            (false, false, true) => Form::Page,
            (false, false, false) => Form::Sentences,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["folio-verify"], args].concat())
    }

    #[test]
    fn the_arguments_are_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_bundle_and_a_key_are_enough() {
        let args = parse(&["bundle.json", "--key", KEY]).unwrap();
        assert_eq!(args.keys.len(), 1);
        assert_eq!(args.form(), Form::Sentences);
        let args = parse(&["-", "--key", KEY, "--key", KEY, "--json"]).unwrap();
        assert_eq!((args.keys.len(), args.form()), (2, Form::Json));
        let args = parse(&["-", "--key", KEY, "--events", "--origin", "a b"]).unwrap();
        assert_eq!(args.form(), Form::Events);
        let args = parse(&["-", "--key", KEY, "--page"]).unwrap();
        assert_eq!(args.form(), Form::Page);
    }

    #[test]
    fn what_cannot_be_asked_ends_with_2() {
        for args in [
            &["bundle.json"][..],
            &["--key", KEY],
            &["bundle.json", "--key", "nonsense"],
            &["bundle.json", "--key", KEY, "--events", "--json"],
            &["bundle.json", "--key", KEY, "--page", "--json"],
            &["bundle.json", "--key", KEY, "--page", "--events"],
            &["bundle.json", "--key", KEY, "--origin", ""],
        ] {
            assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }
}
