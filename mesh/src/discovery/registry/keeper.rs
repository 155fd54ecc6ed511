//! Keeps an instance listed.

use async_trait::async_trait;
use folio_postgres::{Object, Pool};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use uuid::Uuid;

use super::settings::RegistrySettings;
use super::{Failure, within};
use crate::discovery::{
    Incarnation, InstanceId, Lease, NewInstance, RegisterError, Registration, RegistrationError,
    ServiceName, Status,
};

const REGISTER: &str = "SELECT registry.register($1, $2, $3, $4, $5, $6, $7)";
const HEARTBEAT: &str = "SELECT registry.heartbeat($1, $2, $3, $4, $5)";
const SET_STATUS: &str = "SELECT registry.set_status($1, $2, $3, $4)";
/// The status of whoever is taken off.
const GONE: &str = "gone";

/// What the task that sends heartbeats knows.
#[derive(Debug)]
struct Keeper {
    pool: Pool,
    settings: RegistrySettings,
    /// The instance, with the status that it wants to have.
    instance: NewInstance,
    /// The status that the registry has been told.
    told: Status,
    holder: Uuid,
    standing: watch::Sender<Standing>,
    requests: mpsc::UnboundedReceiver<Request>,
}

/// What it is asked through.
#[derive(Debug)]
struct Held {
    service: ServiceName,
    id: InstanceId,
    standing: watch::Receiver<Standing>,
    requests: mpsc::UnboundedSender<Request>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Listed(Incarnation),
    /// Another one has its id. This is what it was.
    Lost(Incarnation),
}

type Told = oneshot::Sender<Result<(), RegistrationError>>;

#[derive(Debug)]
enum Request {
    SetStatus(Status, Told),
    Deregister(Told),
}

/// Lists an instance, and keeps it so until the registration is dropped.
pub(super) async fn register(
    pool: Pool,
    settings: RegistrySettings,
    instance: NewInstance,
) -> Result<Registration, RegisterError> {
    let holder = Uuid::now_v7();
    let registered = within(settings.answer, async {
        let mut client = pool.get().await?;
        let registered = list(&client, &settings, &instance, holder, None).await?;
        client.finished();
        registered.ok_or_else(|| Failure::from("the registry answers with nothing"))
    });
    let incarnation = registered
        .await
        .map_err(|source| RegisterError::Unreachable {
            service: instance.service.clone(),
            id: instance.id.clone(),
            source,
        })?;
    let (standing, stands) = watch::channel(Standing::Listed(incarnation));
    let (asks, requests) = mpsc::unbounded_channel();
    let held = Held {
        service: instance.service.clone(),
        id: instance.id.clone(),
        standing: stands,
        requests: asks,
    };
    let keeper = Keeper {
        pool,
        settings,
        told: instance.status,
        instance,
        holder,
        standing,
        requests,
    };
    tokio::spawn(keeper.keep());
    Ok(Registration::new(held))
}

/// Lists an instance. With what it was `before` it takes nothing over; none then where somebody else has the id.
async fn list(
    client: &Object,
    settings: &RegistrySettings,
    instance: &NewInstance,
    holder: Uuid,
    before: Option<Incarnation>,
) -> Result<Option<Incarnation>, Failure> {
    let statement = client.prepare_cached(REGISTER).await?;
    let (service, id) = (instance.service.as_str(), instance.id.as_str());
    let (address, status) = (instance.address.to_string(), instance.status.as_str());
    let before = before.map(Incarnation::number);
    let term = settings.term_ms();
    let row = client
        .query_one(
            &statement,
            &[&service, &id, &holder, &address, &status, &term, &before],
        )
        .await?;
    let registered: Option<i64> = row.try_get(0)?;
    Ok(registered.map(Incarnation::new))
}

impl Keeper {
    /// Ends when it is asked to, when nobody can ask any more, or when the id is lost.
    async fn keep(mut self) {
        let period = self.settings.heartbeat;
        let mut beats = interval_at(Instant::now() + period, period);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = beats.tick() => if let Err(error) = self.beat().await {
                    tracing::debug!(?error, "a heartbeat was not answered");
                },
                request = self.requests.recv() => match request {
                    Some(Request::SetStatus(status, told)) => {
                        self.instance.status = status;
                        // Maybe nobody waits for it.
                        let _ = told.send(self.beat().await);
                    }
                    Some(Request::Deregister(told)) => {
                        let _ = told.send(self.leave().await);
                        return;
                    }
                    None => {
                        if let Err(error) = self.leave().await {
                            tracing::debug!(?error, "an instance stays listed until its lease ends");
                        }
                        return;
                    }
                },
            }
            if let Standing::Lost(_) = *self.standing.borrow() {
                return;
            }
        }
    }

    /// Makes the lease last, and tells the status where it is another one.
    async fn beat(&mut self) -> Result<(), RegistrationError> {
        let renewed = within(self.settings.answer, self.renew()).await;
        let now = renewed.map_err(|source| self.unreachable(source))?;
        let before = self.standing.send_replace(now);
        let service = self.instance.service.as_str();
        let (id, status) = (self.instance.id.as_str(), self.instance.status.as_str());
        match now {
            Standing::Lost(_) => {
                tracing::warn!(service, id, "another instance has registered with this id");
                metrics::counter!("folio_registry_lost_total", "service" => service.to_owned())
                    .increment(1);
                Err(self.lost())
            }
            Standing::Listed(_) if now != before => {
                tracing::warn!(
                    service,
                    id,
                    status,
                    "registered again, for the lease had ended"
                );
                metrics::counter!("folio_registry_registered_again_total", "service" => service.to_owned())
                    .increment(1);
                Ok(())
            }
            Standing::Listed(_) => Ok(()),
        }
    }

    async fn renew(&mut self) -> Result<Standing, Failure> {
        let (Standing::Listed(mut incarnation) | Standing::Lost(mut incarnation)) =
            *self.standing.borrow();
        let mut client = self.pool.get().await?;
        let statement = client.prepare_cached(HEARTBEAT).await?;
        let (service, id) = (self.instance.service.as_str(), self.instance.id.as_str());
        let (number, term) = (incarnation.number(), self.settings.term_ms());
        let row = client
            .query_one(&statement, &[&service, &id, &self.holder, &number, &term])
            .await?;
        match row.try_get(0)? {
            "beat" => {}
            "expired" => {
                let before = Some(incarnation);
                let again = list(&client, &self.settings, &self.instance, self.holder, before);
                let Some(again) = again.await? else {
                    client.finished();
                    return Ok(Standing::Lost(incarnation));
                };
                incarnation = again;
                self.told = self.instance.status;
            }
            _ => {
                client.finished();
                return Ok(Standing::Lost(incarnation));
            }
        }
        if self.told != self.instance.status {
            if !self.tell(&client, self.instance.status.as_str()).await? {
                return Err(
                    "the lease has ended just now; it is told with the next heartbeat".into(),
                );
            }
            self.told = self.instance.status;
        }
        client.finished();
        Ok(Standing::Listed(incarnation))
    }

    async fn leave(&self) -> Result<(), RegistrationError> {
        let left = within(self.settings.answer, async {
            let mut client = self.pool.get().await?;
            // Whoever is not listed any more has nothing to be taken off.
            self.tell(&client, GONE).await?;
            client.finished();
            Ok(())
        });
        left.await.map_err(|source| self.unreachable(source))
    }

    async fn tell(&self, client: &Object, status: &str) -> Result<bool, Failure> {
        let statement = client.prepare_cached(SET_STATUS).await?;
        let (service, id) = (self.instance.service.as_str(), self.instance.id.as_str());
        let row = client
            .query_one(&statement, &[&service, &id, &self.holder, &status])
            .await?;
        Ok(row.try_get(0)?)
    }

    fn unreachable(&self, source: Failure) -> RegistrationError {
        RegistrationError::Unreachable {
            service: self.instance.service.clone(),
            id: self.instance.id.clone(),
            source,
        }
    }

    fn lost(&self) -> RegistrationError {
        RegistrationError::Lost {
            service: self.instance.service.clone(),
            id: self.instance.id.clone(),
        }
    }
}

impl Held {
    async fn ask(&self, request: impl FnOnce(Told) -> Request) -> Result<(), RegistrationError> {
        let (told, answer) = oneshot::channel();
        // Where nobody takes it, nobody answers.
        let _ = self.requests.send(request(told));
        let ended = |_| {
            Err(RegistrationError::Lost {
                service: self.service.clone(),
                id: self.id.clone(),
            })
        };
        answer.await.unwrap_or_else(ended)
    }
}

#[async_trait]
impl Lease for Held {
    fn incarnation(&self) -> Incarnation {
        let (Standing::Listed(incarnation) | Standing::Lost(incarnation)) = *self.standing.borrow();
        incarnation
    }

    async fn set_status(&self, status: Status) -> Result<(), RegistrationError> {
        self.ask(|told| Request::SetStatus(status, told)).await
    }

    async fn deregister(&self) -> Result<(), RegistrationError> {
        self.ask(Request::Deregister).await
    }

    async fn lost(&self) {
        let mut standing = self.standing.clone();
        let is_lost = |standing: &Standing| matches!(standing, Standing::Lost(_));
        let lost = standing.wait_for(is_lost).await.is_ok();
        // It ended in another way, and nothing more will happen to it.
        if !lost {
            std::future::pending().await
        }
    }
}
