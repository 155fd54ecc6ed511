//! Each service has a login that its own databases let in, and no others.

use folio_tests::postgres;
use ledger_example::balances::{prepare_balances, provision_balances};
use ledger_example::rails::{RailsService, prepare_rails, provision_rails};
use ledger_example::transfer::service::TransfersDatabases;
use ledger_example::{AccountsDatabases, AccountsService, BookName, Connections};
use tokio_postgres::{Config, NoTls};

/// A service, how it connects, and its databases.
struct Service {
    login: Config,
    databases: Vec<String>,
}

async fn accounts(server: &Config, name: &str) -> (Service, BookName) {
    let book: BookName = postgres::unique(name).parse().unwrap();
    let login = AccountsDatabases::provision(server, &book).await.unwrap();
    let databases = AccountsDatabases::existing(&login, &book);
    let databases = [databases.events, databases.models, databases.vault];
    let service = Service {
        login,
        databases: databases.map(|database| database.name().to_owned()).into(),
    };
    (service, book)
}

async fn balances(server: &Config) -> Service {
    let name = postgres::unique("balances");
    Service {
        login: provision_balances(server, &name).await.unwrap(),
        databases: vec![name],
    }
}

async fn rails(server: &Config) -> Service {
    let name = postgres::unique("rails");
    Service {
        login: provision_rails(server, &name).await.unwrap(),
        databases: vec![name],
    }
}

async fn transfers(server: &Config) -> Service {
    let name = postgres::unique("transfers");
    Service {
        login: TransfersDatabases::provision(server, &name).await.unwrap(),
        databases: vec![format!("{name}_timers"), format!("{name}_vault"), name],
    }
}

/// What a login is told that asks for this database.
async fn refusal(login: &Config, database: &str) -> Option<String> {
    let mut config = login.clone();
    config.dbname(database);
    let error = config.connect(NoTls).await.err()?;
    Some(error.as_db_error().unwrap().message().to_owned())
}

#[tokio::test]
async fn a_service_is_let_into_its_own_databases_and_no_others() {
    let server = postgres::server().await;
    let (a, _) = accounts(&server, "isolated_a").await;
    let (b, _) = accounts(&server, "isolated_b").await;
    let services = [
        a,
        b,
        balances(&server).await,
        rails(&server).await,
        transfers(&server).await,
    ];
    for (number, service) in services.iter().enumerate() {
        for (owner, other) in services.iter().enumerate() {
            for database in &other.databases {
                let refused = refusal(&service.login, database).await;
                let user = service.login.get_user().unwrap();
                if number == owner {
                    assert_eq!(refused, None, "{user} in {database}");
                } else {
                    let refused = refused.expect("it is refused");
                    assert!(
                        refused.contains("permission denied for database"),
                        "{user} in {database}: {refused}"
                    );
                }
            }
        }
    }

    // The control: without the rule of provisioning, everybody is let into a new database.
    let open = postgres::unique("open");
    let client = postgres::superuser(&postgres::store_database().await).await;
    let create = format!("CREATE DATABASE {open}");
    client.batch_execute(&create).await.unwrap();
    assert_eq!(refusal(&services[0].login, &open).await, None);
}

/// With no more than its login, a service makes its tables and works; with its password of before, nobody gets
/// further than a service that was started since.
#[tokio::test]
async fn a_service_needs_no_more_than_its_login() {
    let server = postgres::server().await;
    let (service, book) = accounts(&server, "on_its_own").await;
    for _ in 0..2 {
        let databases = AccountsDatabases::prepare(&service.login, &book).await;
        let databases = databases.unwrap();
        let running = AccountsService::start(&databases, Connections::default(), None, None).await;
        running.unwrap().stop().await;
    }
    let service = rails(&server).await;
    let database = prepare_rails(&service.login, &service.databases[0]).await;
    RailsService::start(&database.unwrap(), None).await.unwrap();
    let service = balances(&server).await;
    let database = &service.databases[0];
    prepare_balances(&service.login, database).await.unwrap();

    let again = provision_balances(&server, database).await.unwrap();
    assert_ne!(again.get_password(), service.login.get_password());
}
