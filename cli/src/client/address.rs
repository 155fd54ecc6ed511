//! Where a ledger is.

use std::{fmt, str::FromStr};

use reqwest::Url;
use thiserror::Error;

/// The address of a service of a ledger, such as `http://127.0.0.1:7401`; or of a book behind a gateway, such as
/// `http://127.0.0.1:7400/v1/books/a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerAddress(Url);

/// A text that is not the address of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an address has the form http://host:port, without a query")]
pub struct InvalidAddress;

impl LedgerAddress {
    /// Where the first book's accounts service is when nobody says otherwise: where commands go.
    pub const COMMANDS: &'static str = "http://127.0.0.1:7401";
    /// Where the balances service is when nobody says otherwise: where it is read.
    pub const READS: &'static str = "http://127.0.0.1:7403";

    /// The address of what is reached by these segments. A segment may hold any characters.
    pub(super) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        // Behind a gateway the version is said once, before the book.
        let names_version = url
            .path_segments()
            .is_some_and(|mut path| path.next() == Some("v1"));
        let segments = match segments {
            ["v1", rest @ ..] if names_version => rest,
            whole => whole,
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

impl FromStr for LedgerAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let url: Url = text.parse().map_err(|_| InvalidAddress)?;
        let is_plain = url.query().is_none() && url.fragment().is_none();
        if url.scheme() == "http" && url.has_host() && is_plain {
            Ok(Self(url))
        } else {
            Err(InvalidAddress)
        }
    }
}

impl fmt::Display for LedgerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_after_the_address() {
        #[rustfmt::skip]
        let table = [
            ("http://127.0.0.1:7401", "704", "http://127.0.0.1:7401/v1/accounts/704"),
            ("http://[::1]:80/", "704", "http://[::1]/v1/accounts/704"),
            ("http://bank/ledger", "704", "http://bank/ledger/v1/accounts/704"),
            ("http://bank/v1/books/a", "704", "http://bank/v1/books/a/accounts/704"),
            ("http://bank/ledger/", "a/b?c", "http://bank/ledger/v1/accounts/a%2Fb%3Fc"),
        ];
        for (text, account, expected) in table {
            let address: LedgerAddress = text.parse().unwrap();
            let url = address.join(&["v1", "accounts", account]);
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn other_schemes_and_queries_are_refused() {
        for text in [
            "",
            "127.0.0.1",
            "localhost:7401",
            "https://bank",
            "ftp://bank",
            "http://",
            "/v1",
            "http://bank?x=1",
            "http://bank#x",
            "http://bank:port",
        ] {
            assert_eq!(text.parse::<LedgerAddress>(), Err(InvalidAddress), "{text}");
        }
        for text in [LedgerAddress::COMMANDS, LedgerAddress::READS] {
            assert!(text.parse::<LedgerAddress>().is_ok());
        }
    }
}
