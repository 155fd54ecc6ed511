//! Pools whose connections come back only when their work came to an end.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use tokio_postgres::Error;

/// A pool of connections to one database, in one role.
pub type Pool = deadpool::managed::Pool<Connections>;

/// A connection out of a [`Pool`], for as long as its holder has it.
pub type Object = deadpool::managed::Object<Connections>;

/// A connection that the next caller gets only if this one says that it is [finished](Self::finished).
///
/// A future that is dropped half-way leaves its connection in a state that nobody knows: with a
/// statement under way, or in a transaction whose `BEGIN` was sent and not answered. Such a
/// connection is closed; a pool alone would hand it on.
#[derive(Debug)]
pub struct Connection {
    client: ClientWrapper,
    usage: Usage,
}

#[derive(Debug, PartialEq, Eq)]
enum Usage {
    /// Somebody has it, or had it and did not say that the work came to an end.
    InUse,
    /// Nothing is under way on it.
    Finished,
}

impl Connection {
    /// Says that every statement on it was answered and no transaction is open, so that the next
    /// caller may have it.
    pub fn finished(&mut self) {
        self.usage = Usage::Finished;
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.client
    }
}

/// Makes the connections of a [`Pool`].
#[derive(Debug)]
pub struct Connections {
    clients: deadpool_postgres::Manager,
    /// What each says before anybody gets it.
    opening: String,
    opened: AtomicU64,
}

impl Connections {
    pub(crate) const fn new(clients: deadpool_postgres::Manager, opening: String) -> Self {
        Self {
            clients,
            opening,
            opened: AtomicU64::new(0),
        }
    }

    /// How many there have been.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }
}

impl Manager for Connections {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        let client = self.clients.create().await?;
        client.batch_execute(&self.opening).await?;
        // Before anybody reads on it.
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Connection {
            client,
            usage: Usage::InUse,
        })
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<Error> {
        if connection.usage == Usage::InUse {
            metrics::counter!("folio_connections_abandoned_total").increment(1);
            return Err(RecycleError::message("its last use did not come to an end"));
        }
        self.clients
            .recycle(&mut connection.client, metrics)
            .await?;
        connection.usage = Usage::InUse;
        Ok(())
    }

    fn detach(&self, connection: &mut Connection) {
        self.clients.detach(&mut connection.client);
    }
}
