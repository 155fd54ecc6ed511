//! The transfers service: its store, its timers, and what drives transfers and payments on.

use std::sync::Arc;
use std::time::Duration;

use folio_audit::Sealer;
use folio_core::saga::Saga;
use folio_core::{Actor, ReadError, Timestamp, error_chain};
use folio_erasure::Vault;
use folio_postgres::{
    Database, OpenError, PoolError, PostgresStore, Role, migrate, provision, provision_login,
};
use folio_projections::feed::ServedFeed;
use folio_projections::{
    Detector, DetectorSettings, OpenProjectionError, Projection, Settings, StoreSource,
};
use folio_runtime::{Driven, Executor, Participants, SagaClock, SagaDriver, SagaError};
use futures_util::future::OptionFuture;
use futures_util::{StreamExt as _, stream};
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use crate::balances::BookName;
use crate::clock::StoreClock;
use crate::http::address::ServiceAddress;
use crate::http::outside::{OutsideClientError, OutsideSettings};
use crate::http::participants::{
    Books, InwardParticipants, OutwardParticipants, TransferParticipants,
};
use crate::http::rails::client::RailsClient;
use crate::payment::{PaymentIn, PaymentOut};
use crate::seals::Seals;
use crate::service::{PrepareError, sealed_store_roles};
use crate::transfer::Transfer;
use crate::transfer::claims::{self, Claims};
use crate::transfer::under_way::{SagasProjector, SagasUnderWay};

/// As whom the service writes its logs.
const ACTOR: &str = "folio-transfers";
/// How often it is looked for sagas that are due.
const EVERY: Duration = Duration::from_millis(250);
/// How many are looked at in one go.
const AT_ONCE: i64 = 256;
/// How many are driven at the same time.
const SIDE_BY_SIDE: usize = 16;
/// How often it is counted how many are open and stuck.
const COUNTED_EVERY: Duration = Duration::from_secs(5);

const STORE_CONNECTIONS: usize = 8;
const TIMER_CONNECTIONS: usize = 2;
/// One for looks, and one for who asks for lists.
const READER_CONNECTIONS: usize = 2;
const DETECTOR_CONNECTIONS: usize = 1;

const TIMER_ROLES: &[Role] = &[Role::Projector, Role::Reader];

/// The three databases of the service. Those of keys are apart, so that their backups can be kept for less long.
#[derive(Debug, Clone)]
pub struct TransfersDatabases {
    /// Holds the logs of sagas.
    pub logs: Database,
    /// Holds their timers.
    pub timers: Database,
    /// Holds the keys under which the names of persons on the other side of payments are sealed.
    pub vault: Database,
}

/// Whom transfers ask, by their addresses.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The accounts services of the books.
    pub books: Vec<(BookName, ServiceAddress)>,
    /// The rails.
    pub rails: ServiceAddress,
}

/// Drives the sagas of one kind.
pub(crate) type Driver<S, P> = SagaDriver<S, Arc<PostgresStore>, P, StoreTime>;

/// What drives each kind of saga.
#[derive(Debug, Clone)]
pub struct Drivers {
    pub(crate) transfers: Driver<Transfer, TransferParticipants>,
    pub(crate) outward: Driver<PaymentOut, OutwardParticipants>,
    pub(crate) inward: Driver<PaymentIn, InwardParticipants>,
}

/// What the handlers work with.
#[derive(Debug)]
pub struct Transfers {
    pub(crate) drivers: Drivers,
    pub(crate) rails: RailsClient,
    pub(crate) vault: Arc<Vault>,
    pub(crate) under_way: SagasUnderWay,
    pub(crate) feed: ServedFeed,
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
#[derive(Debug, Clone)]
pub(crate) struct StoreTime(Arc<StoreClock>);

impl SagaClock for StoreTime {
    async fn now(&self) -> Result<Timestamp, ReadError> {
        Ok(self.0.now().await?.0)
    }
}

impl TransfersDatabases {
    /// The databases, which were made before.
    #[must_use]
    pub fn existing(server: &Config, name: &str) -> Self {
        Self {
            logs: Database::new(server.clone(), name),
            timers: Database::new(server.clone(), timers_name(name)),
            vault: Database::new(server.clone(), vault_name(name)),
        }
    }

    /// Makes the databases and roles on a server, and migrates them. What is there already is kept.
    ///
    /// # Errors
    ///
    /// [`PrepareError`].
    pub async fn prepare(server: &Config, name: &str) -> Result<Self, PrepareError> {
        let logs = provision(server, name, &sealed_store_roles()).await?;
        let timers = provision(server, &timers_name(name), TIMER_ROLES).await?;
        migrate(&logs, folio_postgres::migrate::store_migrations()).await?;
        migrate(&logs, folio_audit::migrations()).await?;
        migrate(&timers, folio_projections::migrations()).await?;
        migrate(&timers, claims::migrations()).await?;
        let vault = folio_erasure::prepare(server, &vault_name(name)).await?;
        Ok(Self {
            logs,
            timers,
            vault,
        })
    }

    /// Makes the databases and roles on a server, and the login of the service, which can connect to no others.
    /// Answers how the service connects.
    ///
    /// # Errors
    ///
    /// [`PrepareError`].
    pub async fn provision(server: &Config, name: &str) -> Result<Config, PrepareError> {
        let logs = provision(server, name, &sealed_store_roles()).await?;
        let timers = provision(server, &timers_name(name), TIMER_ROLES).await?;
        let vault = provision(server, &vault_name(name), folio_erasure::ROLES).await?;
        let of_logs = [&[Role::Owner], &*sealed_store_roles()].concat();
        let of_timers = [&[Role::Owner], TIMER_ROLES].concat();
        let of_vault = [&[Role::Owner], folio_erasure::ROLES].concat();
        let may_act = [
            (&logs, &*of_logs),
            (&timers, &*of_timers),
            (&vault, &*of_vault),
        ];
        let login = format!("{name}_service");
        Ok(provision_login(server, &login, &may_act).await?)
    }
}

fn timers_name(name: &str) -> String {
    format!("{name}_timers")
}

fn vault_name(name: &str) -> String {
    format!("{name}_vault")
}

impl TransfersService {
    /// Connections that it opens at most.
    pub const CONNECTIONS: usize = STORE_CONNECTIONS * 2
        + TIMER_CONNECTIONS
        + READER_CONNECTIONS
        + DETECTOR_CONNECTIONS
        + Claims::CONNECTIONS
        + Sealer::CONNECTIONS
        + Vault::CONNECTIONS;

    /// Opens the store and drives on what is open. Whom it asks need not be there yet.
    ///
    /// `metrics` is what `/metrics` answers from, when there is a recorder. Without `seals` nothing is sealed.
    ///
    /// # Errors
    ///
    /// [`StartTransfersError`].
    pub async fn start(
        databases: &TransfersDatabases,
        asked: &Asked,
        settings: OutsideSettings,
        metrics: Option<PrometheusHandle>,
        seals: Option<Seals>,
    ) -> Result<Self, StartTransfersError> {
        let store = Arc::new(PostgresStore::open(&databases.logs, STORE_CONNECTIONS).await?);
        let rails = RailsClient::new(asked.rails.clone(), settings)?;
        let books = Books::new(&asked.books, settings)?;
        let time = StoreTime(Arc::new(StoreClock::new(Arc::clone(&store))));
        let vault = Arc::new(Vault::new(&databases.vault)?);
        let drivers = Drivers::new(&store, &time, (&books, &rails), &vault);
        let source = StoreSource::new(Arc::clone(&store));
        let timers = &databases.timers;
        let projection = Projection::open_with(
            SagasProjector,
            Arc::clone(&source) as Arc<dyn folio_projections::Source>,
            timers,
            Settings::default(),
            TIMER_CONNECTIONS,
        )
        .await?;
        let name = projection.name().name;
        let detector = Detector::start(name, source, timers, DetectorSettings::default())?;
        let under_way = SagasUnderWay::new(projection.reader(READER_CONNECTIONS)?);
        let looks = Looks {
            drivers: drivers.clone(),
            under_way: under_way.clone(),
            claims: Claims::new(timers)?,
            time,
        };
        let feed = ServedFeed::new(Arc::clone(projection.source()));
        let sealing = seals.map(|seals| seals.sealing(&store, &databases.logs));
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(async move {
            tokio::join!(
                projection.run(stopped.clone()),
                looks.count(stopped.clone()),
                looks.run(stopped.clone()),
                OptionFuture::from(sealing.map(|sealing| sealing.run(stopped))),
            );
        });
        let transfers = Transfers {
            drivers,
            rails,
            vault,
            under_way,
            feed,
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

impl Drivers {
    fn new(
        store: &Arc<PostgresStore>,
        time: &StoreTime,
        (books, rails): (&Books, &RailsClient),
        vault: &Arc<Vault>,
    ) -> Self {
        let executor = Executor::new(Arc::clone(store));
        let transfers = TransferParticipants::new(books.clone(), rails.clone());
        let outward = OutwardParticipants::new(books.clone(), rails.clone(), Arc::clone(vault));
        let inward = InwardParticipants::new(books.clone(), rails.clone(), Arc::clone(vault));
        Self {
            transfers: driver(&executor, time, transfers),
            outward: driver(&executor, time, outward),
            inward: driver(&executor, time, inward),
        }
    }

    /// Drives a saga of some kind on.
    async fn drive(&self, kind: &str, id: &str) -> Result<Driven, SagaError> {
        match kind {
            Transfer::CATEGORY => self.transfers.drive(id).await,
            PaymentOut::CATEGORY => self.outward.drive(id).await,
            PaymentIn::CATEGORY => self.inward.drive(id).await,
            _ => Ok(Driven::Foreign),
        }
    }
}

fn driver<S: Saga, P: Participants<S>>(
    executor: &Executor<Arc<PostgresStore>>,
    time: &StoreTime,
    participants: P,
) -> Driver<S, P> {
    let actor = Actor::new(ACTOR).unwrap_or_else(|_| Actor::anonymous());
    SagaDriver::new(executor.clone(), participants, time.clone(), actor)
}

/// Looks for sagas that are due, and drives them on.
struct Looks {
    drivers: Drivers,
    under_way: SagasUnderWay,
    claims: Claims,
    time: StoreTime,
}

impl Looks {
    async fn run(&self, mut stopped: watch::Receiver<bool>) {
        loop {
            let looking = async {
                if let Err(error) = self.look().await {
                    tracing::warn!(cause = error_chain(&*error), "sagas were not looked at");
                }
                tokio::time::sleep(EVERY).await;
            };
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                () = looking => {}
            }
        }
        if let Err(error) = self.claims.give_back().await {
            tracing::warn!(cause = error_chain(&*error), "claims were not given back");
        }
    }

    async fn look(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let due = self.under_way.due(self.time.now().await?, AT_ONCE).await?;
        let claimed = self.claims.take(due).await?;
        stream::iter(claimed)
            .for_each_concurrent(SIDE_BY_SIDE, |(kind, id)| async move {
                match self.drivers.drive(&kind, &id).await {
                    Ok(Driven::Foreign) => {
                        tracing::error!(kind, id, "this program does not have a saga's definition");
                    }
                    Ok(Driven::Ended(_) | Driven::Waits(_)) => {}
                    Err(error) => {
                        let cause = error_chain(&error);
                        tracing::warn!(kind, id, cause, "a saga was not driven on");
                    }
                }
            })
            .await;
        Ok(())
    }

    /// Tells how many sagas there are to look at, as figures.
    async fn count(&self, mut stopped: watch::Receiver<bool>) {
        loop {
            match self.under_way.counts().await {
                Ok(counts) => {
                    metrics::gauge!("folio_sagas_open").set(figure(counts.open));
                    metrics::gauge!("folio_sagas_stuck").set(figure(counts.stuck));
                }
                Err(error) => {
                    tracing::warn!(cause = error_chain(&error), "sagas were not counted");
                }
            }
            if let Err(error) = self.claims.forget().await {
                tracing::warn!(cause = error_chain(&*error), "old claims were not removed");
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(COUNTED_EVERY) => {}
            }
        }
    }
}

fn figure(count: i64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
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
