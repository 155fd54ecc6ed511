//! A store is not opened where it could lose what it acknowledges.

use folio_core::error_chain;
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::migrate::store_migrations;
use folio_postgres::{OpenError, PostgresStore, Role, UnfitServer, migrate, provision};
use folio_tests::postgres;
use tokio_postgres::NoTls;

#[tokio::test]
async fn a_server_that_loses_commits_is_refused_and_the_setting_named() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let server = cluster.connection_config();
    let database = provision(&server, "fit", &[Role::Appender, Role::Reader])
        .await
        .unwrap();
    migrate(&database, store_migrations()).await.unwrap();
    PostgresStore::open(&database, 1).await.unwrap();
    let (superuser, connection) = server.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    for setting in ["fsync", "full_page_writes"] {
        let change = async |change: &str| {
            superuser.batch_execute(change).await.unwrap();
            superuser
                .batch_execute("SELECT pg_reload_conf()")
                .await
                .unwrap();
        };
        change(&format!("ALTER SYSTEM SET {setting} = off")).await;
        let error = loop {
            // The server reads its configuration a moment later.
            if let Err(error) = PostgresStore::open(&database, 1).await {
                break error;
            }
        };
        let named = matches!(
            &error,
            OpenError::Unfit(UnfitServer::Setting { name, .. }) if *name == setting
        );
        assert!(
            named && error.to_string().contains("must have on"),
            "{error}"
        );
        change(&format!("ALTER SYSTEM RESET {setting}")).await;
        while PostgresStore::open(&database, 1).await.is_err() {}
    }
    cluster.remove().await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_level_is_refused() {
    let database = postgres::store_database().await;
    let superuser = postgres::superuser(&database).await;
    for (level, advice) in [(1, "migrate it"), (99, "use the program that migrated it")] {
        superuser
            .batch_execute(&format!(
                "CREATE OR REPLACE FUNCTION store.level() RETURNS integer LANGUAGE sql \
                 IMMUTABLE AS 'SELECT {level}'"
            ))
            .await
            .unwrap();
        let error = PostgresStore::open(&database, 1).await.unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
    }
    superuser
        .batch_execute("DROP FUNCTION store.level()")
        .await
        .unwrap();
    let error = PostgresStore::open(&database, 1).await.unwrap_err();
    assert!(error_chain(&error).contains("migrate it"), "{error}");
}

#[tokio::test]
async fn a_database_without_a_store_is_refused() {
    let server = postgres::server().await;
    let roles = [Role::Appender, Role::Reader];
    let database = provision(&server, &postgres::unique("bare"), &roles)
        .await
        .unwrap();
    let error = PostgresStore::open(&database, 1).await.unwrap_err();
    assert!(
        error.to_string().contains("holds no event store"),
        "{error}"
    );
}
