//! The transfers service: its store, its timers, and what drives transfers on.

use std::sync::Arc;
use std::time::Duration;

use folio_core::{Actor, ReadError, Timestamp, error_chain};
use folio_postgres::{
    Database, OpenError, PoolError, PostgresStore, Role, migrate, provision, provision_login,
};
use folio_projections::{
    Detector, DetectorSettings, OpenProjectionError, Projection, Settings, StoreSource,
};
use folio_runtime::{Driven, Executor, SagaClock, SagaDriver};
use futures_util::{StreamExt as _, stream};
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use crate::balances::BookName;
use crate::http::outside::{OutsideClientError, OutsideSettings};
use crate::http::rails::client::RailsClient;
use crate::http::transfer_participants::TransferParticipants;
use crate::service::PrepareError;
use crate::transfer::Transfer;
use crate::transfer::open::{OpenTransfers, OpenTransfersProjector};

/// As whom the service writes its logs.
const ACTOR: &str = "folio-transfers";
/// How often it is looked for transfers that are due.
const EVERY: Duration = Duration::from_millis(250);
/// How many are looked at in one go.
const AT_ONCE: i64 = 256;
/// How many are driven at the same time.
const SIDE_BY_SIDE: usize = 16;

const STORE_CONNECTIONS: usize = 8;
const TIMER_CONNECTIONS: usize = 2;
const READER_CONNECTIONS: usize = 1;
const DETECTOR_CONNECTIONS: usize = 1;

const STORE_ROLES: &[Role] = &[Role::Appender, Role::Reader];
const TIMER_ROLES: &[Role] = &[Role::Projector, Role::Reader];

/// The two databases of the service.
#[derive(Debug, Clone)]
pub struct TransfersDatabases {
    /// Holds the logs of transfers.
    pub logs: Database,
    /// Holds their timers.
    pub timers: Database,
}

/// Whom transfers ask, by their addresses.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The accounts services of the books.
    pub books: Vec<(BookName, String)>,
    /// The rails.
    pub rails: String,
}

pub(crate) type Driver = SagaDriver<Transfer, Arc<PostgresStore>, TransferParticipants, StoreTime>;

/// What the handlers work with.
#[derive(Debug)]
pub struct Transfers {
    pub(crate) driver: Driver,
    pub(crate) store: Arc<PostgresStore>,
    pub(crate) detector: Detector,
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// A running transfers service, apart from its listener.
#[derive(Debug)]
pub struct TransfersService {
    transfers: Arc<Transfers>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

/// The clock of the store that logs are in.
#[derive(Debug)]
pub(crate) struct StoreTime(Arc<PostgresStore>);

impl SagaClock for StoreTime {
    async fn now(&self) -> Result<Timestamp, ReadError> {
        self.0.clock().await
    }
}

impl TransfersDatabases {
    /// Makes the databases and roles on a server, and migrates them. What is there already is kept.
    ///
    /// # Errors
    ///
    /// [`PrepareError`].
    pub async fn prepare(server: &Config, name: &str) -> Result<Self, PrepareError> {
        let logs = provision(server, name, STORE_ROLES).await?;
        let timers = provision(server, &timers_name(name), TIMER_ROLES).await?;
        migrate(&logs, folio_postgres::migrate::store_migrations()).await?;
        migrate(&timers, folio_projections::migrations()).await?;
        Ok(Self { logs, timers })
    }

    /// Makes the databases and roles on a server, and the login of the service, which can connect to no others.
    /// Answers how the service connects.
    ///
    /// # Errors
    ///
    /// [`PrepareError`].
    pub async fn provision(server: &Config, name: &str) -> Result<Config, PrepareError> {
        let logs = provision(server, name, STORE_ROLES).await?;
        let timers = provision(server, &timers_name(name), TIMER_ROLES).await?;
        let of_logs = [&[Role::Owner], STORE_ROLES].concat();
        let of_timers = [&[Role::Owner], TIMER_ROLES].concat();
        let may_act = [(&logs, &*of_logs), (&timers, &*of_timers)];
        let login = format!("{name}_service");
        Ok(provision_login(server, &login, &may_act).await?)
    }
}

fn timers_name(name: &str) -> String {
    format!("{name}_timers")
}

impl TransfersService {
    /// Connections that it opens at most.
    pub const CONNECTIONS: usize =
        STORE_CONNECTIONS * 2 + TIMER_CONNECTIONS + READER_CONNECTIONS + DETECTOR_CONNECTIONS;

    /// Opens the store and drives on what is open. Whom it asks need not be there yet.
    ///
    /// `metrics` is what `/metrics` answers from, when there is a recorder.
    ///
    /// # Errors
    ///
    /// [`StartTransfersError`].
    pub async fn start(
        databases: &TransfersDatabases,
        asked: &Asked,
        settings: OutsideSettings,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, StartTransfersError> {
        let store = Arc::new(PostgresStore::open(&databases.logs, STORE_CONNECTIONS).await?);
        let rails = RailsClient::new(&asked.rails, settings)?;
        let participants = TransferParticipants::new(&asked.books, rails, settings)?;
        let driver = SagaDriver::new(
            Executor::new(Arc::clone(&store)),
            participants,
            StoreTime(Arc::clone(&store)),
            Actor::new(ACTOR).unwrap_or_else(|_| Actor::anonymous()),
        );
        let source = StoreSource::new(Arc::clone(&store));
        let timers = &databases.timers;
        let projection = Projection::open_with(
            OpenTransfersProjector,
            Arc::clone(&source) as Arc<dyn folio_projections::Source>,
            timers,
            Settings::default(),
            TIMER_CONNECTIONS,
        )
        .await?;
        let name = projection.name().name;
        let detector = Detector::start(name, source, timers, DetectorSettings::default())?;
        let looks = Looks {
            driver: driver.clone(),
            open: OpenTransfers::new(projection.reader(READER_CONNECTIONS)?),
            store: Arc::clone(&store),
        };
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(async move {
            tokio::join!(projection.run(stopped.clone()), looks.run(stopped));
        });
        let transfers = Transfers {
            driver,
            store,
            detector,
            metrics,
        };
        Ok(Self {
            transfers: Arc::new(transfers),
            stop,
            running,
        })
    }

    /// What an HTTP router needs.
    #[must_use]
    pub fn transfers(&self) -> Arc<Transfers> {
        Arc::clone(&self.transfers)
    }

    /// Stops driving. What is open is driven on at the next start.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.running.await {
            tracing::error!(%error, "transfers ended badly");
        }
    }
}

/// Looks for transfers that are due, and drives them on.
struct Looks {
    driver: Driver,
    open: OpenTransfers,
    store: Arc<PostgresStore>,
}

impl Looks {
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        loop {
            let looking = async {
                if let Err(error) = self.look().await {
                    tracing::warn!(cause = error_chain(&*error), "transfers were not looked at");
                }
                tokio::time::sleep(EVERY).await;
            };
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = looking => {}
            }
        }
    }

    async fn look(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let due = self.open.due(self.store.clock().await?, AT_ONCE).await?;
        stream::iter(due)
            .for_each_concurrent(SIDE_BY_SIDE, |id| async move {
                match self.driver.drive(&id).await {
                    Ok(Driven::Foreign) => {
                        tracing::error!(transfer = id, "this program does not have its definition")
                    }
                    Ok(Driven::Ended(_) | Driven::Waits(_)) => {}
                    Err(error) => {
                        tracing::warn!(
                            transfer = id,
                            cause = error_chain(&error),
                            "a transfer was not driven on"
                        );
                    }
                }
            })
            .await;
        Ok(())
    }
}

/// Why the service could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartTransfersError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A pool cannot be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The timers cannot be made ready.
    #[error(transparent)]
    Projection(#[from] OpenProjectionError),
    /// Nobody can be asked.
    #[error(transparent)]
    Client(#[from] OutsideClientError),
}
