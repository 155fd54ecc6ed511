//! Settings of a server or a database that a store must not take on.

use folio_core::store::EventStore;
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{Database, OpenError, PostgresStore, UnfitServer};
use folio_tests::postgres;

use super::superuser;
use crate::faults::{read_all, request, store_database};

/// Also on a server that may lose what it has: there, too, texts must come back as they were.
#[tokio::test]
async fn a_database_of_another_encoding_is_refused_and_the_setting_named() {
    let server = postgres::server().await;
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let database = postgres::store_database().await;
        let name = postgres::unique("encoded");
        // As another database of its name, so that its roles are there.
        let client = superuser(&server, "postgres").await;
        for statement in [
            format!("ALTER DATABASE {} RENAME TO {name}", database.name()),
            format!(
                "CREATE DATABASE {} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0",
                database.name()
            ),
        ] {
            client.batch_execute(&statement).await.unwrap();
        }
        let error = PostgresStore::open(&database, 1).await.unwrap_err();
        assert!(
            matches!(&error, OpenError::Unfit(UnfitServer::Setting { name, actual, .. })
                if *name == "server_encoding" && actual == encoding),
            "{error:?}"
        );
        let told = format!("the server has server_encoding = {encoding}, and must have UTF8");
        assert!(error.to_string().contains(&told), "{error}");
    }
}

/// The server's default is not what an append goes by. The control is a commit that does go by it,
/// made after the appends and lost in the same crash: in one of a few, as the server may write the
/// log for reasons of its own.
#[tokio::test]
async fn an_append_is_synchronous_on_a_server_whose_commits_are_not() {
    let cluster = ThrowawayCluster::start(Durability::Durable).await.unwrap();
    let server = cluster.connection_config();
    let database: Database = store_database(&server).await;
    let client = superuser(&server, database.name()).await;
    for statement in [
        "ALTER SYSTEM SET synchronous_commit = off",
        // What is not waited for is written after 10 s, so that there is something to lose.
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "ALTER SYSTEM SET wal_writer_flush_after = '1GB'",
        "CREATE TABLE public.control (round int)",
    ] {
        client.batch_execute(statement).await.unwrap();
    }
    for round in 1..=5 {
        cluster.restart().await.unwrap();
        let client = superuser(&server, database.name()).await;
        let commit = format!("INSERT INTO public.control VALUES ({round})");
        // The first change of a page writes all of it to the log. The one to be lost is a small one.
        client.batch_execute(&commit).await.unwrap();
        let store = PostgresStore::open(&database, 1).await.unwrap();
        for _ in 0..20 {
            store.append(request("a", 2)).await.unwrap();
        }
        client.batch_execute(&commit).await.unwrap();
        cluster.kill_all().await.unwrap();
        cluster.restart().await.unwrap();

        let store = PostgresStore::open(&database, 1).await.unwrap();
        assert_eq!(read_all(&store).await.len(), round * 40);
        let client = superuser(&server, database.name()).await;
        let kept = format!("SELECT count(*) FROM public.control WHERE round = {round}");
        let kept: i64 = client.query_one(&kept, &[]).await.unwrap().get(0);
        if kept < 2 {
            cluster.remove().await.unwrap();
            return;
        }
    }
    panic!("nothing was lost: the crashes show nothing");
}
