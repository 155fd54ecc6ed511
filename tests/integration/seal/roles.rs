//! What the roles may do: the table in `roles.txt`, statement by statement.

use std::collections::BTreeMap;

use folio_postgres::{Database, Role, migrate, provision, provision_login};
use folio_tests::postgres;
use tokio_postgres::Client;

use super::book::{Book, batch, stream};

const TABLE: &str = include_str!("roles.txt");

/// The columns of the table.
const ROLES: [(Role, &str); 6] = [
    (Role::Owner, "owner"),
    (Role::Appender, "appender"),
    (Role::Projector, "projector"),
    (Role::Sealer, "sealer"),
    (Role::Reader, "reader"),
    (Role::Auditor, "auditor"),
];
const NOT_ASKED: &str = "-";
const DONE: &str = "ok";
/// What PostgreSQL calls a statement that a role has no right to.
const PRIVILEGE: &str = "42501";

const APPEND_ALONE: &str = "SELECT store.append_alone(gen_random_uuid(), \
     decode(repeat('00', 32), 'hex'), '{}', 'account', 'own', -1, NULL, gen_random_uuid(), 'Noted', 1, '{}')";

/// A statement, and what each role is answered.
struct Line {
    answers: Vec<&'static str>,
    sql: String,
}

fn lines(database: &str) -> Vec<Line> {
    let lines = TABLE.lines().filter_map(|line| line.split_once(" | "));
    let rows = lines.filter(|(answers, _)| !answers.starts_with('#'));
    let many = postgres::append_by_sql("account", "own", b"{}");
    let row = |(answers, sql): (&'static str, &str)| Line {
        answers: answers.split_whitespace().collect(),
        sql: sql
            .replace("{db}", database)
            .replace("{append_alone}", APPEND_ALONE)
            .replace("{append_many}", &many),
    };
    rows.map(row).collect()
}

/// A sealed store that also has what a projection needs, and a login for each role.
struct Desk {
    book: Book,
    sessions: Vec<Client>,
}

impl Desk {
    async fn new() -> Self {
        let book = Book::new().await;
        let server = postgres::server().await;
        let database = &book.database;
        provision(&server, database.name(), &[Role::Projector])
            .await
            .unwrap();
        migrate(database, folio_projections::migrations())
            .await
            .unwrap();
        book.append(1, 3).await;
        book.refuse().await;
        book.sealer(batch(10)).await.seal_once().await.unwrap();
        let mut sessions = Vec::new();
        for (role, _) in ROLES {
            let session = login(&book, role).await.connect(role).await;
            sessions.push(session.unwrap());
        }
        Self { book, sessions }
    }

    /// Where PostgreSQL answers something else than the table says.
    async fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for Line { answers, sql } in lines(self.book.database.name()) {
            assert_eq!(answers.len(), ROLES.len(), "{sql}");
            for (((_, role), session), expected) in ROLES.iter().zip(&self.sessions).zip(answers) {
                if expected == NOT_ASKED {
                    continue;
                }
                let answer = answer(session, &sql).await;
                if answer != expected {
                    let sql = sql.replace(self.book.database.name(), "{db}");
                    differences.push(format!("{role}: {sql}: {answer}"));
                }
            }
        }
        differences
    }
}

/// The database as a login sees it that may act in this role and in no other.
async fn login(book: &Book, role: Role) -> Database {
    let (server, database) = (postgres::server().await, &book.database);
    let name = login_name(book, role);
    let login = provision_login(&server, &name, &[(database, &[role])])
        .await
        .unwrap();
    Database::new(login, database.name())
}

fn login_name(book: &Book, role: Role) -> String {
    format!("login_{}", role.name(book.database.name()))
}

/// `ok` or the SQLSTATE. Nothing of it stays.
async fn answer(session: &Client, sql: &str) -> String {
    let begun = format!("BEGIN; {sql}; ROLLBACK");
    let refused = session.batch_execute(&begun).await.err();
    session.batch_execute("ROLLBACK").await.unwrap();
    refused.map_or_else(
        || DONE.to_owned(),
        |error| {
            error
                .code()
                .unwrap_or_else(|| panic!("{sql}: {error}"))
                .code()
                .to_owned()
        },
    )
}

#[tokio::test]
async fn every_role_may_do_what_the_table_says_and_nothing_else() {
    let desk = Desk::new().await;
    assert_eq!(desk.differences().await, [""; 0]);

    // The control: each hole is found, by name.
    let name = desk.book.database.name();
    let holes = [
        format!("GRANT DELETE ON store.outcomes TO {name}_reader"),
        format!("GRANT EXECUTE ON FUNCTION store.append_alone TO {name}_auditor"),
        "ALTER TABLE audit.checkpoints DISABLE TRIGGER append_only".to_owned(),
        format!("GRANT CREATE ON SCHEMA public TO {name}_sealer"),
        format!(
            "GRANT {name}_appender TO {}",
            login_name(&desk.book, Role::Projector)
        ),
    ];
    let superuser = desk.book.superuser().await;
    superuser.batch_execute(&holes.join(";")).await.unwrap();
    let mut expected = BTreeMap::from([
        ("reader: DELETE FROM store.outcomes", "23001"),
        ("owner: UPDATE audit.checkpoints SET size = 1", "23514"),
        ("owner: DELETE FROM audit.checkpoints", DONE),
        ("owner: TRUNCATE audit.checkpoints", DONE),
        ("sealer: CREATE TABLE public.own ()", DONE),
        ("sealer: CREATE VIEW public.own AS SELECT 1", DONE),
        (
            "sealer: CREATE FUNCTION public.own() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            DONE,
        ),
        ("projector: SET ROLE \"{db}_appender\"", DONE),
    ]);
    let auditor = format!("auditor: {APPEND_ALONE}");
    expected.insert(&auditor, DONE);
    let found = desk.differences().await;
    let found: BTreeMap<_, _> = found
        .iter()
        .filter_map(|line| line.rsplit_once(": "))
        .collect();
    assert_eq!(found, expected);
}

/// Triggers that are merely enabled do not fire for a session that plays a replica, which is how whoever may set that
/// slips past them.
#[tokio::test]
async fn history_is_kept_from_its_owner_also_in_a_session_that_plays_a_replica() {
    let book = Book::new().await;
    book.append(1, 3).await;
    book.refuse().await;
    book.sealer(batch(10)).await.seal_once().await.unwrap();
    let superuser = book.superuser().await;
    let owner = book.database.connect(Role::Owner).await.unwrap();
    // Before PostgreSQL 15 nobody but a superuser could be let set it.
    let version = "SELECT current_setting('server_version_num')::int >= 150000";
    let may_be_granted = superuser.query_one(version, &[]).await.unwrap().get(0);
    let mut sessions = vec![&superuser];
    if may_be_granted {
        let name = Role::Owner.name(book.database.name());
        let grant = format!("GRANT SET ON PARAMETER session_replication_role TO {name}");
        superuser.batch_execute(&grant).await.unwrap();
        sessions.push(&owner);
    }
    let tables = [
        ("store.events", "version = version"),
        ("store.outcomes", "refusal = NULL"),
        ("store.identity", "store_id = gen_random_uuid()"),
        ("audit.checkpoints", "size = 1"),
    ];
    let as_replica = |sql: &str| format!("SET LOCAL session_replication_role = replica; {sql}");
    for session in sessions {
        for (table, change) in tables {
            for sql in [
                format!("UPDATE {table} SET {change}"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table}"),
            ] {
                assert_eq!(answer(session, &as_replica(&sql)).await, "23001", "{sql}");
            }
            // The control.
            let merely_enabled = as_replica(&format!(
                "ALTER TABLE {table} ENABLE TRIGGER append_only; DELETE FROM {table}"
            ));
            assert_eq!(answer(session, &merely_enabled).await, DONE, "{table}");
        }
    }
}

#[tokio::test]
async fn an_auditor_needs_no_more_than_a_login_that_may_only_read() {
    let book = Book::new().await;
    book.append(1, 3).await;
    book.append(2, 1).await;
    book.sealer(batch(10)).await.seal_once().await.unwrap();
    let database = login(&book, Role::Auditor).await;
    let prover = folio_audit::Prover::open(&database, Book::log(), 1).unwrap();
    let bundle = prover
        .bundle(&stream(1), folio_audit::Span::default(), 10)
        .await
        .unwrap();
    let keys = [Book::key().verifying_key().clone()];
    assert_eq!(bundle.verify(&keys, None, None).unwrap().events, 3);

    // Into no other book.
    let other = Book::new().await;
    let mut config = database.config(Role::Auditor);
    config.dbname(other.database.name());
    let refused = config.connect(tokio_postgres::NoTls).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), PRIVILEGE);
}
