//! Where the checkpoints of a log are anchored: a file, another database, or a witness.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use folio_audit::{
    Anchor, AnchorError, Anchors, DatabaseAnchor, FileAnchor, LogKeysError, LogState, Witness,
    WitnessAddressError, WitnessAnchor,
};
use folio_postgres::{Database, PoolError};
use folio_proofs::checkpoint::Origin;
use folio_proofs::note::WitnessKey;
use thiserror::Error;
use tokio_postgres::Config;

/// The three forms in which an anchor is named.
const FORMS: &str = "name a file, a database as postgres://user:password@host/database, or a witness as \
     http://host:port#KEY, with its public key or a file of its keys";

/// Where an anchor is, as a command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorAt {
    /// In a file.
    File(PathBuf),
    /// In a database.
    Database {
        /// How its server is reached, and by whom.
        server: Box<Config>,
        /// What it is called.
        name: String,
    },
    /// At a witness.
    Witness {
        /// Its address.
        url: String,
        /// Its public key, or a file of its keys.
        key: String,
    },
}

impl AnchorAt {
    /// The anchor of this log, to append to it. A file is made where there is none, as long as the log was not begun.
    ///
    /// # Errors
    ///
    /// [`AnchorAtError`].
    pub async fn open(
        &self,
        log: &Origin,
        state: LogState,
    ) -> Result<Arc<dyn Anchor>, AnchorAtError> {
        match self {
            Self::File(path) => {
                if let Some(folder) = path.parent()
                    && state == LogState::NotBegun
                {
                    std::fs::create_dir_all(folder).map_err(|source| AnchorAtError::Folder {
                        path: folder.to_owned(),
                        source,
                    })?;
                }
                Ok(Arc::new(FileAnchor::of(path, state).await?))
            }
            Self::Database { server, name } => {
                let database = Database::new((**server).clone(), name);
                Ok(Arc::new(DatabaseAnchor::open(&database, log.clone())?))
            }
            Self::Witness { .. } => self.at(log),
        }
    }

    /// The anchor of this log, to read it.
    ///
    /// # Errors
    ///
    /// [`AnchorAtError`].
    pub fn at(&self, log: &Origin) -> Result<Arc<dyn Anchor>, AnchorAtError> {
        Ok(match self {
            Self::File(path) => Arc::new(FileAnchor::at(path)),
            Self::Database { server, name } => {
                let database = Database::new((**server).clone(), name);
                Arc::new(DatabaseAnchor::at(&database, log.clone())?)
            }
            Self::Witness { url, key } => {
                Arc::new(WitnessAnchor::at(url, witness_keys(key)?, log.clone())?)
            }
        })
    }
}

/// All of these, to append to them. None where there is none.
///
/// # Errors
///
/// [`AnchorAtError`].
pub async fn open_all(
    anchors: &[AnchorAt],
    log: &Origin,
    state: LogState,
) -> Result<Option<Anchors>, AnchorAtError> {
    let mut all: Option<Anchors> = None;
    for anchor in anchors {
        let anchor = anchor.open(log, state).await?;
        all = Some(match all {
            Some(all) => all.and(anchor),
            None => Anchors::new(anchor),
        });
    }
    Ok(all)
}

/// A key, or those in a file.
fn witness_keys(key: &str) -> Result<Vec<WitnessKey>, LogKeysError> {
    match key.parse() {
        Ok(key) => Ok(vec![key]),
        Err(_) => Witness::public(Path::new(key)),
    }
}

impl FromStr for AnchorAt {
    type Err = InvalidAnchor;

    fn from_str(text: &str) -> Result<Self, InvalidAnchor> {
        let Some((scheme, _)) = text.split_once("://") else {
            if text.is_empty() {
                return Err(InvalidAnchor::Form);
            }
            return Ok(Self::File(PathBuf::from(text)));
        };
        match scheme {
            "postgres" | "postgresql" => {
                let server: Config = text.parse().map_err(InvalidAnchor::Database)?;
                let name = server.get_dbname().ok_or(InvalidAnchor::NoDatabase)?;
                Ok(Self::Database {
                    name: name.to_owned(),
                    server: Box::new(server),
                })
            }
            "http" => {
                let named = text.split_once('#').filter(|(_, key)| !key.is_empty());
                let (url, key) = named.ok_or(InvalidAnchor::NoKey)?;
                let (url, key) = (url.to_owned(), key.to_owned());
                Ok(Self::Witness { url, key })
            }
            "https" => Err(InvalidAnchor::Tls),
            _ => Err(InvalidAnchor::Form),
        }
    }
}

/// A text that names no anchor. A database's may hold a password, so it is not shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidAnchor {
    /// It is none of the three.
    #[error("this is no anchor; {FORMS}")]
    Form,
    /// The database's address is none.
    #[error("this is no address of a database ({0}); {FORMS}")]
    Database(tokio_postgres::Error),
    /// The database is not named.
    #[error("the address does not say which database; {FORMS}")]
    NoDatabase,
    /// Nobody would know who answers.
    #[error("the key of the witness is missing; {FORMS}")]
    NoKey,
    /// There is no TLS.
    #[error(
        "https is not spoken here; let a proxy on this machine speak it, and name that one's http address"
    )]
    Tls,
}

/// Why an anchor cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AnchorAtError {
    /// It cannot be opened.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The folder of its file cannot be made.
    #[error("{} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There are no connections to its database.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The keys of the witness cannot be had.
    #[error(transparent)]
    Keys(#[from] LogKeysError),
    /// The witness has no such address.
    #[error(transparent)]
    Address(#[from] WitnessAddressError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_named_in_one_of_three_forms() {
        let at = |text: &str| text.parse::<AnchorAt>();
        assert_eq!(at("/a/b").unwrap(), AnchorAt::File("/a/b".into()));
        assert_eq!(at("b#c").unwrap(), AnchorAt::File("b#c".into()));
        let AnchorAt::Database { name, server } = at("postgresql://u:p@h:5/anchor").unwrap() else {
            panic!("a database");
        };
        assert_eq!((name.as_str(), server.get_user()), ("anchor", Some("u")));
        let witness = AnchorAt::Witness {
            url: "http://w:1".to_owned(),
            key: "w+00000000+AA==".to_owned(),
        };
        assert_eq!(at("http://w:1#w+00000000+AA==").unwrap(), witness);
    }

    #[tokio::test]
    async fn an_anchor_s_file_is_made_with_its_log_and_not_again() {
        let folder = std::env::temp_dir().join(format!("ledger-anchors-{}", std::process::id()));
        let anchors = [AnchorAt::File(folder.join("in/a"))];
        let log: Origin = "ledger.example/a".parse().unwrap();
        let open = async |state| open_all(&anchors, &log, state).await;
        let refused = open(LogState::Begun).await.unwrap_err();
        let is_gone = matches!(refused, AnchorAtError::Anchor(AnchorError::Gone { .. }));
        assert!(is_gone && !folder.exists(), "{refused}");
        open(LogState::NotBegun).await.unwrap();
        open(LogState::Begun).await.unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_none_of_the_three_is_told_what_they_are() {
        for text in [
            "",
            "ftp://x/y",
            "postgres://h",
            "postgres://h:x/y",
            "http://w:1",
            "http://w#",
        ] {
            let refused = text.parse::<AnchorAt>().unwrap_err().to_string();
            for form in ["a file", "postgres://", "http://host:port#KEY"] {
                assert!(refused.contains(form), "{text}: {refused}");
            }
        }
        let secret = "postgres://u:hidden@h:x/y".parse::<AnchorAt>().unwrap_err();
        assert!(!secret.to_string().contains("hidden"), "{secret}");
        assert!(matches!(
            "https://w#k".parse::<AnchorAt>(),
            Err(InvalidAnchor::Tls)
        ));
    }
}
