//! A private PostgreSQL cluster for the whole run, and databases of their own for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{Database, PostgresStore, Role, migrate, provision};
use folio_projections::{ProjectionName, Projector as _, Reader};
use ledger_example::balances::prepare_balances;
use ledger_example::read_model::{BalancesProjector, BalancesQueries};
use ledger_example::{AccountsDatabases, BookName};
use tokio::sync::OnceCell;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

/// The cluster of this run. It is removed when the process ends, however it ends.
///
/// It is not durable: a test that kills PostgreSQL takes a cluster of its own.
pub async fn server() -> Config {
    static CLUSTER: OnceCell<ThrowawayCluster> = OnceCell::const_new();
    let start = || async {
        ThrowawayCluster::start(Durability::UnsafeForTests)
            .await
            .expect("a private PostgreSQL cluster")
    };
    CLUSTER.get_or_init(start).await.connection_config()
}

/// The same as a URL, for a process.
pub async fn url() -> String {
    let config = server().await;
    let folder = config.get_hosts().iter().find_map(|host| match host {
        Host::Unix(folder) => folder.to_str(),
        Host::Tcp(_) => None,
    });
    let user = config.get_user().expect("a user");
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let folder = folder.expect("a socket").replace('/', "%2F");
    format!("postgres://{user}@{folder}:{port}/postgres")
}

/// A name that no other test of this run has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A database with an empty event store.
pub async fn store_database() -> Database {
    let roles = [Role::Appender, Role::Reader];
    let database = provision(&server().await, &unique("store"), &roles)
        .await
        .expect("a database");
    migrate(&database, folio_postgres::migrate::store_migrations())
        .await
        .expect("an event store");
    database
}

/// An empty event store.
pub async fn store() -> PostgresStore {
    PostgresStore::open(&store_database().await, 8)
        .await
        .expect("an event store")
}

/// A database for read models.
pub async fn models_database() -> Database {
    let roles = [Role::Projector, Role::Reader];
    let database = provision(&server().await, &unique("models"), &roles)
        .await
        .expect("a database");
    migrate(&database, folio_projections::migrations())
        .await
        .expect("a table of checkpoints");
    database
}

/// A book, with the databases of its accounts service and of a balances service that reads it alone.
#[derive(Debug, Clone)]
pub struct BookDatabases {
    /// The book.
    pub book: BookName,
    /// Those of its accounts service.
    pub accounts: AccountsDatabases,
    /// That of the balances service.
    pub balances: Database,
}

/// The databases of an empty book.
pub async fn book() -> BookDatabases {
    book_on(&server().await, &unique("book")).await
}

/// The databases of the book of this name, which may be there already.
pub async fn book_on(server: &Config, name: &str) -> BookDatabases {
    let book: BookName = name.parse().expect("a name of a book");
    let accounts = AccountsDatabases::prepare(server, &book);
    let accounts = accounts.await.expect("the book's databases");
    let balances = prepare_balances(server, &format!("balances_{name}"))
        .await
        .expect("a database for balances");
    BookDatabases {
        book,
        accounts,
        balances,
    }
}

impl BookDatabases {
    /// What SQL means that calls the schemas of the projection of balances `balances_1` and so on, whichever
    /// book it is of.
    pub fn sql(&self, text: &str) -> String {
        let schema = format!("{}_", self.projection().name);
        (1..=3).fold(text.to_owned(), |text, build| {
            text.replace(&format!("balances_{build}."), &format!("{schema}{build}."))
        })
    }

    /// The name of its projection of balances.
    pub fn projection(&self) -> ProjectionName {
        BalancesProjector::of(&self.book).name()
    }

    /// Reads the balances, without a service.
    pub fn queries(&self) -> BalancesQueries {
        let readers = self.balances.pool(Role::Reader, 1).expect("a pool");
        BalancesQueries::new(Reader::new(readers, self.projection()))
    }
}

/// A session in this database as the user who owns the whole server, whom no grant holds back.
pub async fn superuser(database: &Database) -> Client {
    let mut config = server().await;
    config.dbname(database.name());
    let (client, connection) = config.connect(NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

/// Ends every other session in this database, as a restart of the server would.
pub async fn end_all_sessions(database: &Database) {
    superuser(database)
        .await
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        )
        .await
        .expect("the sessions are ended");
}

/// A statement that appends one event by the store's SQL function, in whatever transaction it is run:
/// for writers that do what no appender of ours does. Answers `first_position`.
///
/// Names and payload must hold no quotes, commas or braces but the payload's own.
pub fn append_by_sql(category: &str, id: &str, payload: &[u8]) -> String {
    let payload: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "SELECT first_position \
         FROM (SELECT ARRAY[gen_random_uuid()] AS id, \
                      ARRAY[decode(repeat('00', 32), 'hex')] AS print, \
                      ARRAY['{{}}'::bytea] AS json, ARRAY[decode('{payload}', 'hex')] AS payload, \
                      ARRAY[1] AS one, ARRAY[1::bigint] AS first) x, \
         store.append_many(id, print, json, ARRAY[NULL::bytea], one, one, '{{{category}}}', '{{{id}}}', \
             '{{-1}}', ARRAY[NULL::uuid], one, '{{0}}', one, id, json, print, '{{{category}}}', '{{{id}}}', \
             one, one, first, id, '{{Slow}}', one, payload)"
    )
}
