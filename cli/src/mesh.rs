//! Being found by others, and finding them: what all services have in common.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use folio_mesh::discovery::{
    Discovery, InvalidName, NewInstance, OpenRegistryError, Registry, RegistrySettings, Status,
};
use folio_mesh::identity::KeyFileError;
use folio_mesh::{
    BalanceSettings, Balancer, IdentityVerifier, InstanceId, ServiceName, StaticList,
};
use folio_postgres::Database;
use ledger_example::BookName;
use ledger_example::balances::InvalidBookName;
use ledger_example::http::{self, Router, ServiceAddress};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_postgres::Config;

use crate::stop::Stop;

/// The registry's database.
pub const DATABASE: &str = "folio_registry";
/// How long an instance that is about to go still takes what comes: by then all who look know of it.
const PROPAGATION: Duration = Duration::from_millis(1_500);
/// Wait before the registry is asked again that did not answer.
const RETRY: Duration = Duration::from_millis(500);

/// How a service is found, and finds others.
#[derive(Debug, Default, Clone, Args)]
pub struct MeshArgs {
    /// The registry of services, as a connection string. Without it, others are asked where they are said to be.
    #[arg(
        long,
        env = "FOLIO_REGISTRY_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    registry_url: Option<String>,
    /// Where instances of a service are until the registry answers, and for good where there is none:
    /// `accounts-a=127.0.0.1:7401,127.0.0.1:7411`. Once for each service.
    #[arg(long = "seed", value_name = "SERVICE=ADDRESS")]
    seeds: Vec<Seed>,
    /// Which instance of its service this one is: lower-case letters, digits and hyphens. One that comes with the id of
    /// another one takes it over.
    #[arg(long, value_name = "ID")]
    instance: Option<InstanceId>,
    /// The public keys of the gateway, a JWKS file. With it, who asks is whom the gateway vouches for.
    #[arg(long, env = "FOLIO_GATEWAY_KEYS", value_name = "FILE")]
    gateway_keys: Option<PathBuf>,
}

/// A book, and where its accounts service is where no registry knows: `a=http://127.0.0.1:7401`, or `a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookAt {
    book: BookName,
    url: Option<String>,
}

/// A service, and where instances of it are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    service: ServiceName,
    addresses: Vec<SocketAddr>,
}

/// Finds services: by the registry, or else by what was said. Without either it finds none.
#[derive(Debug, Clone)]
pub struct Mesh {
    registry: Option<Arc<Registry>>,
    said: Option<StaticList>,
    arguments: MeshArgs,
}

/// Up to where the registration of an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Draining,
    Gone,
}

impl MeshArgs {
    /// Opens the registry, if there is one. Whether it answers shows later.
    ///
    /// # Errors
    ///
    /// [`MeshError`].
    pub fn open(&self) -> Result<Mesh, MeshError> {
        let mut seeds: BTreeMap<ServiceName, Vec<SocketAddr>> = BTreeMap::new();
        for Seed { service, addresses } in &self.seeds {
            seeds.entry(service.clone()).or_default().extend(addresses);
        }
        let is_said = !seeds.is_empty();
        let seeds = StaticList::new(seeds);
        let open = |url: &String| {
            let config: Config = url.parse().map_err(MeshError::Url)?;
            let name = config.get_dbname().unwrap_or(DATABASE).to_owned();
            let database = Database::new(config, name);
            let settings = RegistrySettings::default();
            let registry = Registry::open_with_seeds(&database, settings, seeds.clone())?;
            Ok::<_, MeshError>(Arc::new(registry))
        };
        Ok(Mesh {
            registry: self.registry_url.as_ref().map(open).transpose()?,
            said: is_said.then_some(seeds),
            arguments: self.clone(),
        })
    }
}

impl Mesh {
    /// What finds services.
    #[must_use]
    pub fn discovery(&self) -> Option<Arc<dyn Discovery>> {
        match (&self.registry, &self.said) {
            // It begins with what was said.
            (Some(registry), _) => Some(Arc::<Registry>::clone(registry)),
            (None, Some(said)) => Some(Arc::new(said.clone())),
            (None, None) => None,
        }
    }

    /// Where a service is: where it is said to be, else at its instances.
    ///
    /// # Errors
    ///
    /// [`MeshError`].
    pub fn address(&self, service: &str, said: Option<&str>) -> Result<ServiceAddress, MeshError> {
        if let Some(url) = said {
            return Ok(url.trim_end_matches('/').into());
        }
        let discovery = self.discovery();
        let discovery = discovery.ok_or_else(|| MeshError::Nowhere {
            service: service.to_owned(),
        })?;
        let name: ServiceName = service.parse()?;
        let watch = discovery.watch(&name);
        let balancer = Balancer::new(name, watch, BalanceSettings::default())?;
        Ok(ServiceAddress::Instances(Arc::new(balancer)))
    }

    /// Serves until told to stop, listed as an instance of `service` where there is a registry. Before it takes no more
    /// connections it says that it is about to go, and waits until everybody knows.
    ///
    /// # Errors
    ///
    /// [`MeshError`].
    pub async fn serve(
        &self,
        service: &str,
        listener: TcpListener,
        router: Router,
        stop: Stop,
    ) -> Result<(), MeshError> {
        let router = match &self.arguments.gateway_keys {
            Some(file) => http::vouched_for(router, IdentityVerifier::of_file(file, service)?),
            None => router,
        };
        let Some(registry) = &self.registry else {
            let stop = async move { stop.told().await };
            return http::serve(listener, router, stop)
                .await
                .map_err(MeshError::Serve);
        };
        let instance = match &self.arguments.instance {
            Some(instance) => instance.clone(),
            None => format!("{service}-{}", std::process::id()).parse()?,
        };
        let new = NewInstance {
            service: service.parse()?,
            id: instance.clone(),
            address: listener.local_addr().map_err(MeshError::Serve)?,
            status: Status::Serving,
        };
        let is_going = Arc::<AtomicBool>::default();
        let router = http::ready_until(router, Arc::clone(&is_going));
        let router = http::answering_as(router, instance);
        let (stage, seen) = watch::channel(Stage::Serving);
        let (lost, mut is_lost) = watch::channel(false);
        let keeping = tokio::spawn(keep_registered(Arc::clone(registry), new, seen, lost));
        let stopping = stage.clone();
        let stop = async move {
            tokio::select! {
                () = stop.told() => {}
                // Somebody else is this instance now.
                Ok(_) = is_lost.wait_for(|lost| *lost) => return,
            }
            is_going.store(true, Ordering::SeqCst);
            stopping.send_replace(Stage::Draining);
            tokio::time::sleep(PROPAGATION).await;
        };
        let served = http::serve(listener, router, stop).await;
        stage.send_replace(Stage::Gone);
        // It has said what there is to say, or the lease ends by itself.
        let _ = tokio::time::timeout(PROPAGATION, keeping).await;
        served.map_err(MeshError::Serve)
    }
}

/// The accounts services of books, where they are.
///
/// # Errors
///
/// [`MeshError`].
pub fn books_at(
    mesh: &Mesh,
    books: &[BookAt],
) -> Result<Vec<(BookName, ServiceAddress)>, MeshError> {
    let books = books.iter().map(|BookAt { book, url }| {
        let address = mesh.address(&format!("accounts-{book}"), url.as_deref())?;
        Ok((book.clone(), address))
    });
    books.collect()
}

impl FromStr for BookAt {
    type Err = InvalidBookName;

    fn from_str(text: &str) -> Result<Self, InvalidBookName> {
        let (book, url) = match text.split_once('=') {
            Some((book, url)) => (book, Some(url.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            book: book.parse()?,
            url,
        })
    }
}

impl FromStr for Seed {
    type Err = InvalidSeed;

    fn from_str(text: &str) -> Result<Self, InvalidSeed> {
        let invalid = || InvalidSeed(text.to_owned());
        let (service, addresses) = text.split_once('=').ok_or_else(invalid)?;
        let addresses = addresses.split(',').map(str::parse);
        Ok(Self {
            service: service.parse().map_err(|_| invalid())?,
            addresses: addresses.collect::<Result<_, _>>().map_err(|_| invalid())?,
        })
    }
}

/// A text that does not say where a service is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0} does not say where a service is; say it as in accounts-a=127.0.0.1:7401,127.0.0.1:7411"
)]
pub struct InvalidSeed(String);

/// Keeps an instance listed until it is gone. Where the registry is down, it is listed when that is back.
async fn keep_registered(
    registry: Arc<Registry>,
    new: NewInstance,
    mut stage: watch::Receiver<Stage>,
    lost: watch::Sender<bool>,
) {
    let registration = loop {
        match registry.register(new.clone()).await {
            Ok(registration) => break registration,
            Err(error) => {
                let cause = folio_core::error_chain(&error);
                tracing::warn!(instance = %new.id, cause, "an instance is not listed yet");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            _ = stage.wait_for(|stage| *stage > Stage::Serving) => return,
        }
    };
    let goes = async {
        let mut going = stage.clone();
        if going
            .wait_for(|stage| *stage >= Stage::Draining)
            .await
            .is_ok()
        {
            tell(registration.set_status(Status::Draining).await);
        }
        let _ = going.wait_for(|stage| *stage == Stage::Gone).await;
    };
    tokio::select! {
        () = goes => {}
        () = registration.lost() => {
            tracing::error!(instance = %new.id, "another instance has this one's id; this one stops");
            lost.send_replace(true);
            return;
        }
    }
    // Waited for, and not left to the drop: the process is about to end.
    tell(registration.deregister().await);
}

fn tell(told: Result<(), folio_mesh::discovery::RegistrationError>) {
    if let Err(error) = told {
        let cause = folio_core::error_chain(&error);
        tracing::warn!(cause, "the registry was not told");
    }
}

/// Why a service is not found, or finds nobody.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MeshError {
    /// The registry's address is none.
    #[error("FOLIO_REGISTRY_URL is no connection string")]
    Url(#[source] tokio_postgres::Error),
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] OpenRegistryError),
    /// A service or an instance cannot be called that.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Nobody says where a service is.
    #[error(
        "it is not said where {service} is; say it, or name a registry with --registry-url, or instances with --seed"
    )]
    Nowhere {
        /// The service.
        service: String,
    },
    /// A breaker cannot work.
    #[error(transparent)]
    Breaker(#[from] folio_core::breaker::InvalidSettings),
    /// The gateway's keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The listener failed.
    #[error("the service failed to serve")]
    Serve(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_where_instances_of_one_service_are() {
        let seed: Seed = "accounts-a=127.0.0.1:7401,[::1]:7411".parse().unwrap();
        assert_eq!(seed.service.as_str(), "accounts-a");
        let addresses = ["127.0.0.1:7401", "[::1]:7411"];
        assert_eq!(seed.addresses, addresses.map(|at| at.parse().unwrap()));
    }

    #[test]
    fn what_says_no_place_is_refused_with_what_it_should_be() {
        for wrong in [
            "",
            "accounts-a",
            "=127.0.0.1:7401",
            "accounts-a=",
            "accounts-a=7401",
            "accounts-a=localhost:7401",
            "accounts-a=127.0.0.1",
            "accounts-a=127.0.0.1:7401,",
            "accounts-a=127.0.0.1:7401;127.0.0.1:7411",
            "Accounts A=127.0.0.1:7401",
        ] {
            let refused = wrong.parse::<Seed>().unwrap_err().to_string();
            assert!(refused.starts_with(wrong), "{refused}");
            assert!(refused.contains("accounts-a=127.0.0.1:7401,"), "{refused}");
        }
    }
}
