//! The event stores of the services, by the names of what they are of.

use std::fmt;
use std::str::FromStr;

use folio_operator::NamedStore;
use folio_postgres::{Database, OpenError, PostgresStore, ProvisionError, database_exists};
use ledger_example::balances::InvalidBookName;
use ledger_example::{AccountsDatabases, BookName};
use thiserror::Error;

use crate::server::Server;
use crate::{rails, transfers};

/// Connections to each store.
pub const CONNECTIONS: usize = 2;

/// Whose events a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreName {
    /// Those of a book.
    Book(BookName),
    /// Those of transfers and payments: their logs.
    Transfers,
    /// Those of the stand-ins for the outside.
    Rails,
}

impl StoreName {
    const TRANSFERS: &str = "transfers";
    const RAILS: &str = "rails";

    fn database(&self, server: &Server) -> Database {
        let named = |name| Database::new(server.config.clone(), name);
        match self {
            Self::Book(book) => AccountsDatabases::existing(&server.config, book).events,
            Self::Transfers => named(transfers::DATABASE),
            Self::Rails => named(rails::DATABASE),
        }
    }

    /// Whether there is such a store on a server.
    ///
    /// # Errors
    ///
    /// When the server cannot be asked.
    pub async fn exists(&self, server: &Server) -> Result<bool, ProvisionError> {
        database_exists(&server.config, self.database(server).name()).await
    }

    /// The store, to be read.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn open(&self, server: &Server) -> Result<NamedStore, StoreError> {
        if !self.exists(server).await? {
            return Err(StoreError::None { name: self.clone() });
        }
        let store = PostgresStore::open(&self.database(server), CONNECTIONS).await?;
        Ok(NamedStore::new(self.to_string(), store))
    }
}

impl FromStr for StoreName {
    type Err = InvalidBookName;

    fn from_str(text: &str) -> Result<Self, InvalidBookName> {
        match text {
            Self::TRANSFERS => Ok(Self::Transfers),
            Self::RAILS => Ok(Self::Rails),
            book => book.parse().map(Self::Book),
        }
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Book(book) => fmt::Display::fmt(book, f),
            Self::Transfers => f.write_str(Self::TRANSFERS),
            Self::Rails => f.write_str(Self::RAILS),
        }
    }
}

/// Why a store cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such store.
    #[error("there are no events of {name} on this server; name a book, transfers or rails")]
    None {
        /// What was asked for.
        name: StoreName,
    },
    /// The server cannot be asked which there are.
    #[error(transparent)]
    Server(#[from] ProvisionError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_called_after_whose_it_is() {
        for name in ["a", "transfers", "rails"] {
            assert_eq!(name.parse::<StoreName>().unwrap().to_string(), name);
        }
        assert_eq!("transfers".parse(), Ok(StoreName::Transfers));
        assert!("A b".parse::<StoreName>().is_err());
    }
}
