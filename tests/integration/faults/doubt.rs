//! An append whose answer was lost is sent again, and that time the server refuses it. It may be on record all the same.

use std::sync::Arc;

use folio_core::store::{AppendError, EventStore, Outcome};
use folio_postgres::{Database, PostgresStore};
use folio_tests::postgres;
use futures_util::future::join_all;

use super::proxy::Proxy;
use super::{events_by_command, read_all, request, store_database, superuser, wait_until};

/// One alone, and three that share a statement: the server refuses that as a whole, and so it is sent in halves.
#[tokio::test]
async fn what_may_be_on_record_is_not_called_refused() {
    for together in [1, 3] {
        let server = postgres::server().await;
        let direct = store_database(&server).await;
        let owner = superuser(&server, &direct).await;
        let proxy = Proxy::start(&server, 2);
        let through = Database::new(proxy.config(), direct.name());
        let store = Arc::new(PostgresStore::open(&through, 2).await.unwrap());
        // The first exchange is cut before it reaches the server, the third one after.
        store.append(request("before", 1)).await.unwrap();
        assert_eq!(proxy.cuts(), 1);

        proxy.hold();
        let requests: Vec<_> = (0..together).map(|_| request("a", 1)).collect();
        let commands: Vec<_> = requests.iter().map(|request| request.context.id).collect();
        let appends = tokio::spawn({
            let store = Arc::clone(&store);
            async move { join_all(requests.into_iter().map(|request| store.append(request))).await }
        });
        let all = 1 + i64::from(together);
        wait_until("the server has recorded it", async || {
            let count = "SELECT count(*) FROM store.events";
            owner.query_one(count, &[]).await.unwrap().get::<_, i64>(0) == all
        })
        .await;
        let revoke = format!(
            "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA store FROM {}_appender",
            direct.name()
        );
        owner.batch_execute(&revoke).await.unwrap();
        proxy.let_through();
        for (told, command) in appends.await.unwrap().into_iter().zip(&commands) {
            assert!(
                matches!(&told, Err(AppendError::OutcomeUnknown { command: of, .. }) if of == command),
                "{together} together: {told:?}"
            );
        }
        let outcome = store.outcome(commands[0]).await.unwrap();
        assert!(
            matches!(outcome, Some(Outcome::Committed(_))),
            "{outcome:?}"
        );

        // What was never sent before is refused, and that is said.
        let direct = PostgresStore::open(&direct, 1).await.unwrap();
        let refused = direct.append(request("a", 1)).await;
        assert!(
            matches!(refused, Err(AppendError::Failed(_))),
            "{refused:?}"
        );
        let events = events_by_command(&read_all(&store).await);
        assert_eq!(i64::try_from(events.len()).unwrap(), all);
    }
}

/// The server behind an address takes no writes for a while, as after a failover until the address has followed. The
/// session that has found that out is not kept.
#[tokio::test]
async fn a_server_that_takes_no_writes_is_asked_anew() {
    let server = postgres::server().await;
    let database = store_database(&server).await;
    let owner = superuser(&server, &database).await;
    let alter = async |setting: &str| {
        let alter = format!("ALTER DATABASE {} {setting}", database.name());
        owner.batch_execute(&alter).await.unwrap();
    };
    alter("SET default_transaction_read_only = on").await;
    let store = PostgresStore::open(&database, 1).await.unwrap();
    let refused = store.append(request("a", 1)).await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
    alter("RESET default_transaction_read_only").await;
    store.append(request("a", 1)).await.unwrap();
    assert_eq!(read_all(&store).await.len(), 1);
}
