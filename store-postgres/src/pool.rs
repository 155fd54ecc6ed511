//! Pools whose connections come back only when their work came to an end.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};

use deadpool::managed::{self, Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::{BuildError, ClientWrapper, PoolError};
use tokio_postgres::Error;

/// A pool of connections to one database, in one role. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Pool {
    connections: managed::Pool<Connections>,
}

/// A connection out of a [`Pool`], for as long as its holder has it.
///
/// The next caller gets it only if this one says that it is [finished](Connection::finished). Else it is closed as soon
/// as it is dropped: a future that is dropped half-way leaves its connection in a state that nobody knows, with a
/// statement under way, or in a transaction whose `BEGIN` was sent and not answered. In the pool it would keep what that
/// transaction has locked until somebody happened to ask for just this one.
#[derive(Debug)]
pub struct Object {
    connection: managed::Object<Connections>,
    // Dropped after the connection, which is back in the pool by then.
    abandoned: Abandoned,
}

/// Closes the connections in a pool whose use did not come to an end, when there are any.
#[derive(Debug)]
struct Abandoned {
    pool: Pool,
    is_there: bool,
}

impl Pool {
    /// A pool of at most `size` connections. None is opened before it is needed.
    pub(crate) fn new(connections: Connections, size: usize) -> Result<Self, BuildError> {
        let connections = managed::Pool::builder(connections).max_size(size).build()?;
        Ok(Self { connections })
    }

    /// A connection, as soon as there is one.
    ///
    /// # Errors
    ///
    /// When none can be opened.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the place in the queue.
    pub async fn get(&self) -> Result<Object, PoolError> {
        let connection = self.connections.get().await?;
        let abandoned = Abandoned {
            pool: self.clone(),
            is_there: false,
        };
        Ok(Object {
            connection,
            abandoned,
        })
    }

    /// How many connections it has opened since it was made.
    pub(crate) fn opened(&self) -> u64 {
        self.connections.manager().opened()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.abandoned.is_there = self.connection.usage == Usage::InUse;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if self.is_there {
            let is_finished = |connection: &Connection, _| connection.usage == Usage::Finished;
            let closed = self.pool.connections.retain(is_finished).removed;
            count_abandoned(closed.len());
        }
    }
}

impl Deref for Object {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Object {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// What a [`Pool`] keeps.
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
            // Between its being dropped and its being closed.
            count_abandoned(1);
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

fn count_abandoned(connections: usize) {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    metrics::counter!("folio_connections_abandoned_total").increment(connections);
}
