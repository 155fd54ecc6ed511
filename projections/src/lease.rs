//! Who may write a projection: one runner at a time, for as long as it renews its lease.
//!
//! The lease does not stop a runner that has slept through the end of its own: it may wake up in the
//! middle of its work and know nothing of it. What stops it is the epoch, which is compared in the
//! transaction that writes and cannot change before that transaction has ended.

use std::time::{Duration, Instant};

use deadpool_postgres::Transaction;
use tokio_postgres::GenericClient;

use crate::projector::ProjectionName;

const TAKE: &str = "INSERT INTO projections.leases AS held \
                    (projection, version, epoch, owner, held_until) \
                    VALUES ($1, $2, 1, $3, now() + $4 * interval '1 millisecond') \
                    ON CONFLICT (projection, version) DO UPDATE \
                    SET epoch = held.epoch + 1, owner = excluded.owner, \
                        held_until = excluded.held_until \
                    WHERE held.held_until < now() RETURNING epoch";
const RENEW: &str = "UPDATE projections.leases \
                     SET held_until = now() + $4 * interval '1 millisecond' \
                     WHERE projection = $1 AND version = $2 AND epoch = $3";
// FOR SHARE: whoever wants to take it over has to wait until this transaction has ended.
const HOLD: &str = "SELECT FROM projections.leases \
                    WHERE projection = $1 AND version = $2 AND epoch = $3 FOR SHARE";
const RELEASE: &str = "UPDATE projections.leases SET held_until = '-infinity' \
                       WHERE projection = $1 AND version = $2 AND epoch = $3";

/// The right to write a projection, until somebody else takes it over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    name: ProjectionName,
    epoch: i64,
    term: Duration,
    renewed: Instant,
}

impl Lease {
    /// Takes the lease, unless somebody holds it.
    pub(crate) async fn take(
        client: &impl GenericClient,
        name: ProjectionName,
        term: Duration,
    ) -> Result<Option<Self>, tokio_postgres::Error> {
        let owner = format!("process {}", std::process::id());
        // Before it is asked for: what is counted here ends sooner than what the server counts.
        let renewed = Instant::now();
        let row = client
            .query_opt(TAKE, &[&name.name, &name.version, &owner, &ms(term)])
            .await?;
        row.map(|row| {
            Ok(Self {
                name,
                epoch: row.try_get(0)?,
                term,
                renewed,
            })
        })
        .transpose()
    }

    /// Renews it when a third of its term is over. False when somebody else has it now.
    pub(crate) async fn renew(
        &mut self,
        client: &impl GenericClient,
    ) -> Result<bool, tokio_postgres::Error> {
        let renewed = Instant::now();
        let (name, version) = (self.name.name, self.name.version);
        let rows = client
            .execute(RENEW, &[&name, &version, &self.epoch, &ms(self.term)])
            .await?;
        self.renewed = renewed;
        Ok(rows == 1)
    }

    /// Whether it is time to renew it.
    pub(crate) fn is_due(&self) -> bool {
        self.renewed.elapsed() >= self.term / 3
    }

    /// Keeps it from being taken over until the transaction has ended. False when it was already.
    pub(crate) async fn hold(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<bool, tokio_postgres::Error> {
        let statement = transaction.prepare_cached(HOLD).await?;
        let row = transaction
            .query_opt(
                &statement,
                &[&self.name.name, &self.name.version, &self.epoch],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Lets somebody else take it at once.
    pub(crate) async fn release(
        &self,
        client: &impl GenericClient,
    ) -> Result<(), tokio_postgres::Error> {
        client
            .execute(RELEASE, &[&self.name.name, &self.name.version, &self.epoch])
            .await?;
        Ok(())
    }
}

/// Milliseconds, as the factor of an interval.
fn ms(term: Duration) -> f64 {
    f64::from(u32::try_from(term.as_millis()).unwrap_or(u32::MAX))
}
