//! An existing server, as `DATABASE_URL` names one: what its user needs, and what is kept apart.

use folio_postgres::ProvisionError;
use folio_tests::api::Api;
use folio_tests::postgres;
use ledger_example::AccountsDatabases;
use ledger_example::service::PrepareError;
use tokio_postgres::{Config, NoTls};

#[tokio::test]
async fn a_user_who_may_make_databases_and_roles_is_enough() {
    let config = user("CREATEDB CREATEROLE").await;
    let name = postgres::unique("ordinary");
    let databases = postgres::book_on(&config, &name).await;
    let api = Api::on(databases).await;
    api.open("1", "none").await;
    let last = api.posting("1", "credits", "5.00").await;
    assert_eq!(api.balance("1", last.token()).await, "5.00");
    let databases = api.stop().await;
    // Again, as at the next start.
    postgres::book_on(&config, &name).await;

    // Another user of the server cannot even connect to them.
    let other = user("").await;
    let accounts = &databases.accounts;
    for database in [&accounts.events, &accounts.models, &databases.balances] {
        let mut config = other.clone();
        config.dbname(database.name());
        let error = config.connect(NoTls).await.err().unwrap();
        let message = error.as_db_error().unwrap().message().to_owned();
        assert!(
            message.contains("permission denied for database"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_user_who_may_not_is_told_what_is_missing() {
    for rights in ["", "CREATEROLE"] {
        let config = user(rights).await;
        let book = postgres::unique("refused").parse().unwrap();
        let error = AccountsDatabases::prepare(&config, &book)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                PrepareError::Provision(ProvisionError::NotAllowed { .. })
            ),
            "{rights}: {error:?}"
        );
        assert!(error.to_string().contains("CREATEDB CREATEROLE"), "{error}");
    }
}

/// A new login of the server with these rights.
async fn user(rights: &str) -> Config {
    let name = postgres::unique("user");
    let mut config = postgres::server().await;
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute(&format!("CREATE ROLE {name} LOGIN {rights}"))
        .await
        .unwrap();
    config.user(&name);
    config
}
