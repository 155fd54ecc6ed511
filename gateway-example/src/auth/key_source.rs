//! Where the keys of an issuer come from.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use folio_mesh::identity::{KeysRefusal, PublicKeys};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use thiserror::Error;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// Longest set of keys.
const BYTES_MAX: usize = 64 * 1024;

/// A file or an address that holds a JWK set.
#[derive(Debug, Clone)]
pub struct KeySource(Place);

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Http(Client, Url),
}

/// A text that names no source.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidSource {
    /// It is an address that cannot be asked.
    #[error(
        "{url} is not asked for keys: only http is, so let a proxy beside the gateway ask it, or name a file"
    )]
    NotHttp {
        /// The address.
        url: String,
    },
    /// No client can be made.
    #[error("no client can be made to ask for keys")]
    NoClient(#[source] reqwest::Error),
}

/// Why no keys were fetched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There was no answer.
    #[error("there was no whole answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The answer was not that it is fine.
    #[error("the answer is status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// It is too long.
    #[error("what was fetched is longer than {BYTES_MAX} bytes")]
    TooLong,
    /// It took too long.
    #[error("it took longer than {limit:?}")]
    TooSlow {
        /// How long it may take.
        limit: Duration,
    },
    /// What was fetched is not usable.
    #[error("what was fetched is not usable")]
    Refused(#[from] KeysRefusal),
}

impl KeySource {
    /// A file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// Reads the keys that are there now.
    pub(super) async fn fetch(&self) -> Result<PublicKeys, FetchError> {
        let text = match &self.0 {
            Place::File(path) => of_file(path).await?,
            Place::Http(client, url) => over_http(client, url.clone()).await?,
        };
        Ok(PublicKeys::from_json(&text)?)
    }
}

impl FromStr for KeySource {
    type Err = InvalidSource;

    /// An address that begins with `http://`, or the path of a file.
    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        if !text.contains("://") {
            return Ok(Self::file(text));
        }
        let not_http = || InvalidSource::NotHttp {
            url: text.to_owned(),
        };
        let url = Url::parse(text).map_err(|_| not_http())?;
        if url.scheme() != "http" {
            return Err(not_http());
        }
        // Who answers somewhere else is not who was named.
        let client = Client::builder().no_proxy().redirect(Policy::none());
        let client = client.build().map_err(InvalidSource::NoClient)?;
        Ok(Self(Place::Http(client, url)))
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::File(path) => path.display().fmt(f),
            Place::Http(_, url) => url.fmt(f),
        }
    }
}

async fn of_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let failed = |source| FetchError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).await.map_err(failed)?;
    let mut text = Vec::new();
    let one_more = u64::try_from(BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.take(one_more)
        .read_to_end(&mut text)
        .await
        .map_err(failed)?;
    match text.len() {
        0..=BYTES_MAX => Ok(text),
        _ => Err(FetchError::TooLong),
    }
}

async fn over_http(client: &Client, url: Url) -> Result<Vec<u8>, FetchError> {
    let mut answer = client.get(url).send().await.map_err(FetchError::NoAnswer)?;
    if answer.status().as_u16() != 200 {
        let status = answer.status().as_u16();
        return Err(FetchError::Status { status });
    }
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(FetchError::NoAnswer)? {
        if text.len().saturating_add(piece.len()) > BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_file_or_an_address_that_can_be_asked() {
        assert!(matches!(
            "/etc/keys.json".parse(),
            Ok(KeySource(Place::File(_)))
        ));
        assert!(matches!(
            "http://127.0.0.1:1/keys".parse(),
            Ok(KeySource(Place::Http(..)))
        ));
        for text in [
            "https://issuer.example/keys",
            "ftp://issuer.example",
            "http://",
        ] {
            assert!(text.parse::<KeySource>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_too_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        for (bytes, is_too_long) in [(BYTES_MAX, false), (BYTES_MAX + 1, true)] {
            std::fs::write(&path, " ".repeat(bytes)).unwrap();
            let refused = KeySource::file(&path).fetch().await.unwrap_err();
            assert_eq!(
                matches!(refused, FetchError::TooLong),
                is_too_long,
                "{refused}"
            );
        }
    }
}
