//! The balances service: its database, and what fills the books on its shelf.

use std::str::FromStr;
use std::sync::Arc;

use folio_postgres::{Database, PoolError, Role, migrate, provision, provision_login};
use folio_projections::{
    Detector, DetectorSettings, OpenProjectionError, Poison, Projection, Settings, Source,
};
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::Config;

use crate::balances::{
    BookName, GuardedFeed, GuardedFeedError, InvalidBookName, Shelf, ShelvedBook,
};
use crate::http::address::ServiceAddress;
use crate::read_model::{BalancesProjector, BalancesQueries};
use crate::service::PrepareError;
use crate::transit::{Followed, InTransit, Owner};

/// The route of a service that its events are read from.
pub const FEED: &str = "/v1/feed";

/// A book, and where its accounts service is. As text: `a=http://127.0.0.1:7401`.
#[derive(Debug, Clone)]
pub struct BookFeed {
    /// The book.
    pub book: BookName,
    /// Where the service is.
    pub accounts: ServiceAddress,
}

/// A text that says of no book where it is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidBookFeed {
    /// There is no `=`.
    #[error("{text:?} is not of the form book=http://host:port")]
    Form {
        /// The refused text.
        text: String,
    },
    /// What is before it is no name.
    #[error(transparent)]
    Name(#[from] InvalidBookName),
}

impl FromStr for BookFeed {
    type Err = InvalidBookFeed;

    fn from_str(text: &str) -> Result<Self, InvalidBookFeed> {
        let (book, accounts) = text.split_once('=').ok_or_else(|| InvalidBookFeed::Form {
            text: text.to_owned(),
        })?;
        Ok(Self {
            book: book.parse()?,
            accounts: accounts.trim_end_matches('/').into(),
        })
    }
}

/// What the service reads.
#[derive(Debug, Clone, Default)]
pub struct Feeds {
    /// The books.
    pub books: Vec<BookFeed>,
    /// Where the transfers service is. With it, all books are reconciled with what moves money between them.
    pub transfers: Option<ServiceAddress>,
}

/// Sizes of the service's connection pools, for each book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalancesConnections {
    /// For queries.
    pub queries: usize,
}

impl BalancesConnections {
    /// All connections that a service with these pools may open for so many books.
    #[must_use]
    pub const fn total(self, books: usize) -> usize {
        self.queries
            .saturating_add(PROJECTION_CONNECTIONS)
            .saturating_add(DETECTOR_CONNECTIONS)
            .saturating_mul(books)
    }
}

impl Default for BalancesConnections {
    /// 8: more readers would wait for the same cores.
    fn default() -> Self {
        Self { queries: 8 }
    }
}

const PROJECTION_CONNECTIONS: usize = 4;
const DETECTOR_CONNECTIONS: usize = 1;

/// A running balances service, apart from its listener.
#[derive(Debug)]
pub struct BalancesService {
    shelf: Arc<Shelf>,
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

/// Makes the service's database and roles on a server, and migrates it. What is there already is kept.
///
/// # Errors
///
/// [`PrepareError`].
pub async fn prepare_balances(server: &Config, name: &str) -> Result<Database, PrepareError> {
    let database = provision(server, name, ROLES).await?;
    migrate(&database, folio_projections::migrations()).await?;
    Ok(database)
}

/// Makes the service's database and roles on a server, and its login, which can connect to no other one.
/// Answers how the service connects.
///
/// # Errors
///
/// [`PrepareError`].
pub async fn provision_balances(server: &Config, name: &str) -> Result<Config, PrepareError> {
    let database = provision(server, name, ROLES).await?;
    let roles = [&[Role::Owner], ROLES].concat();
    let login = format!("{name}_service");
    Ok(provision_login(server, &login, &[(&database, &roles)]).await?)
}

const ROLES: &[Role] = &[Role::Projector, Role::Reader];

/// The projection of a book's balances, to be run or operated on.
///
/// # Errors
///
/// [`OpenProjectionError`].
pub async fn open_balances(
    book: &BookName,
    source: Arc<dyn Source>,
    database: &Database,
    connections: usize,
) -> Result<Projection, OpenProjectionError> {
    // Whoever asks for a parked account is told so; all others are answered.
    let settings = Settings {
        poison: Poison::Park,
        ..Settings::default()
    };
    let projector = BalancesProjector::of(book);
    Projection::open_with(projector, source, database, settings, connections).await
}

impl BalancesService {
    /// Opens the models of these books and starts to fill them. An accounts service need not be there yet.
    ///
    /// `metrics` is what `/metrics` answers from, when there is a recorder.
    ///
    /// # Errors
    ///
    /// [`StartBalancesError`] when the database cannot be reached or was not prepared.
    pub async fn start(
        database: &Database,
        feeds: &Feeds,
        connections: BalancesConnections,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, StartBalancesError> {
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        let mut books = Vec::new();
        for BookFeed { book, accounts } in &feeds.books {
            if books.iter().any(|other: &ShelvedBook| other.name == *book) {
                return Err(StartBalancesError::Twice { book: book.clone() });
            }
            let feed = GuardedFeed::new(&format!("feed-{book}"), accounts.clone(), FEED)?;
            let source: Arc<dyn Source> = Arc::new(feed.clone());
            let projection =
                open_balances(book, Arc::clone(&source), database, PROJECTION_CONNECTIONS).await?;
            let settings = DetectorSettings::default();
            let detector = Detector::start(projection.name().name, source, database, settings)?;
            let (runs, stopped) = (projection.clone(), stopped.clone());
            running.spawn(async move { runs.run(stopped).await });
            books.push(ShelvedBook {
                name: book.clone(),
                feed,
                queries: BalancesQueries::new(projection.reader(connections.queries)?),
                projection,
                detector,
            });
        }
        let in_transit = match &feeds.transfers {
            Some(url) => Some(InTransit::follow(followed(&books, url)?)),
            None => None,
        };
        Ok(Self {
            shelf: Arc::new(Shelf::new(books, in_transit, metrics)),
            stop,
            running,
        })
    }

    /// What an HTTP router needs.
    #[must_use]
    pub fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf)
    }

    /// Stops the projections. What they have not projected they will, when they are started again.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.running.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a projection ended badly");
            }
        }
    }
}

/// The stores that are reconciled: of the books, and of what moves money between them.
fn followed(
    books: &[ShelvedBook],
    transfers: &ServiceAddress,
) -> Result<Vec<Followed>, GuardedFeedError> {
    let books = books.iter().map(|book| Followed {
        owner: Owner::Book(book.name.clone()),
        source: Arc::new(book.feed.clone()),
    });
    let sagas = Followed {
        owner: Owner::Sagas,
        source: Arc::new(GuardedFeed::new("feed-transfers", transfers.clone(), FEED)?),
    };
    Ok(books.chain([sagas]).collect())
}

/// Why the service could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartBalancesError {
    /// A book cannot be followed.
    #[error(transparent)]
    Feed(#[from] GuardedFeedError),
    /// A book is named twice.
    #[error("book {book} is named twice, as if two services had it")]
    Twice {
        /// The book.
        book: BookName,
    },
    /// A pool cannot be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A projection cannot be made ready.
    #[error(transparent)]
    Projection(#[from] OpenProjectionError),
}
