//! Logins of people who look, and change nothing.

use folio_postgres::{Database, Role};
use folio_tests::postgres;
use ledger::auditor_login;
use ledger::seals::LogArgs;

const PRIVILEGE: &str = "42501";

#[tokio::test]
async fn the_login_of_an_auditor_of_a_book_reads_it_and_takes_on_no_other_role() {
    let databases = postgres::book().await;
    let (server, name) = (postgres::server().await, databases.accounts.events.name());
    let log = LogArgs::of_book(databases.book.clone());
    let login = auditor_login::make(&server, &log).await.unwrap();
    let database = Database::new(login.clone(), name);
    let auditor = database.connect(Role::Auditor).await.unwrap();
    let history = "SELECT FROM store.history, audit.checkpoints";
    auditor.batch_execute(history).await.unwrap();
    let change = auditor.batch_execute("DELETE FROM store.events").await;
    assert_eq!(change.unwrap_err().code().unwrap().code(), PRIVILEGE);
    for role in [Role::Owner, Role::Appender, Role::Sealer, Role::Reader] {
        let refused = database.connect(role).await.err().unwrap();
        assert_eq!(refused.code().unwrap().code(), PRIVILEGE, "{role:?}");
    }
    // Whoever has the password of before has it no more.
    let again = auditor_login::make(&server, &log).await;
    assert_ne!(again.unwrap().get_password(), login.get_password());
}

#[tokio::test]
async fn there_is_no_login_for_a_book_that_is_not_there() {
    let log = LogArgs::of_book(postgres::unique("nowhere").parse().unwrap());
    let refused = auditor_login::make(&postgres::server().await, &log).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.starts_with("there is no log of nowhere_"),
        "{refused}"
    );
}
