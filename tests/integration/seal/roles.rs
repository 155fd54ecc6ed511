//! What the roles may do to the log.

use folio_postgres::Role;

use super::book::{Book, batch};

/// What PostgreSQL calls a statement that the role may not send, and one that a trigger refuses.
const PRIVILEGE: &str = "42501";
const RESTRICT: &str = "23001";

#[tokio::test]
async fn nobody_changes_what_is_not_theirs() {
    let book = Book::new().await;
    book.append(1, 3).await;
    book.refuse().await;
    book.sealer(batch(10)).await.seal_once().await.unwrap();
    let checkpoint = "INSERT INTO audit.checkpoints VALUES (9, 9, 9, 9, 'x')";
    let tile = "UPDATE audit.tiles SET hashes = hashes";
    let refused = [
        (
            Role::Sealer,
            "UPDATE store.events SET version = 1",
            PRIVILEGE,
        ),
        (Role::Sealer, "DELETE FROM store.outcomes", PRIVILEGE),
        (
            Role::Sealer,
            "UPDATE audit.checkpoints SET size = 1",
            PRIVILEGE,
        ),
        (Role::Sealer, "DELETE FROM audit.checkpoints", PRIVILEGE),
        (Role::Sealer, "DELETE FROM audit.tiles", PRIVILEGE),
        (Role::Sealer, "TRUNCATE audit.buckets", PRIVILEGE),
        (Role::Sealer, "DELETE FROM audit.sealer", PRIVILEGE),
        (Role::Reader, checkpoint, PRIVILEGE),
        (Role::Reader, tile, PRIVILEGE),
        (
            Role::Reader,
            "SELECT FROM audit.sealer FOR UPDATE",
            PRIVILEGE,
        ),
        (Role::Appender, "SELECT FROM audit.tiles", PRIVILEGE),
        (Role::Appender, checkpoint, PRIVILEGE),
        (
            Role::Owner,
            "UPDATE audit.checkpoints SET size = 1",
            RESTRICT,
        ),
        (Role::Owner, "DELETE FROM audit.checkpoints", RESTRICT),
        (Role::Owner, "TRUNCATE audit.checkpoints", RESTRICT),
    ];
    for (role, sql, code) in refused {
        let client = book.database.connect(role).await.unwrap();
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), code, "{role:?}: {sql}");
    }
    for (role, sql) in [
        (Role::Sealer, checkpoint),
        (Role::Sealer, tile),
        (Role::Sealer, "SELECT FROM audit.sealer FOR UPDATE"),
        (
            Role::Reader,
            "SELECT FROM audit.sealer, audit.tiles, audit.buckets, audit.checkpoints",
        ),
    ] {
        let client = book.database.connect(role).await.unwrap();
        let allowed = format!("BEGIN; {sql}; ROLLBACK");
        client.batch_execute(&allowed).await.unwrap();
    }
}
