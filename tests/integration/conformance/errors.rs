//! What the server's errors mean for an append: told by their code, in whatever language, and
//! whether they come with the statement or with its commit.

use std::os::unix::fs::PermissionsExt;

use folio_core::store::{Append, AppendError, AppendStatus, EventStore, Outcome};
use folio_core::{ExpectedVersion, Fingerprint, Version};
use folio_postgres::cluster::{Durability, ThrowawayCluster};
use folio_postgres::{Database, PostgresStore};
use folio_tests::postgres;
use tokio::process::Command;
use tokio_postgres::Client;

use super::beside::Beside;
use super::{shared_store, superuser};
use crate::faults::{request, store_database};

/// When the server finds fault with an append.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Insert,
    Commit,
}

/// Makes the next appends fail with `code`, as many of them as `times`.
async fn fail_appends(superuser: &Client, code: &str, moment: Moment, times: i32) {
    let trigger = match moment {
        Moment::Insert => "CREATE TRIGGER fail AFTER INSERT ON store.events FOR EACH STATEMENT",
        Moment::Commit => {
            "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON store.events \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        }
    };
    // A sequence counts failures too: it is not rolled back with them.
    let statements = format!(
        "CREATE SEQUENCE public.appends; \
         CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ \
         BEGIN \
             IF nextval('public.appends') <= {times} THEN \
                 RAISE EXCEPTION 'made up' USING ERRCODE = '{code}'; \
             END IF; \
             RETURN NULL; \
         END $$; \
         {trigger} EXECUTE FUNCTION public.fail()"
    );
    superuser.batch_execute(&statements).await.unwrap();
}

async fn fail_no_more(superuser: &Client) {
    superuser
        .batch_execute("DROP FUNCTION public.fail CASCADE; DROP SEQUENCE public.appends")
        .await
        .unwrap();
}

/// As `request`, on the condition that its stream is at `version`.
fn at_version(stream: &str, version: i64) -> Append {
    let mut request = request(stream, 1);
    request.writes[0].expected = ExpectedVersion::Exact(Version::new(version).unwrap());
    request
}

/// Both say that the same again may work. A conflict would say that the decision was wrong.
#[tokio::test]
async fn v6_a_deadlock_or_a_serialisation_failure_is_no_conflict() {
    for moment in [Moment::Insert, Moment::Commit] {
        let (database, store) = shared_store().await;
        let superuser = postgres::superuser(&database).await;
        let mut head = 0;
        for code in ["40001", "40P01"] {
            fail_appends(&superuser, code, moment, 1).await;
            let appended = store.append(at_version(code, 0)).await.unwrap();
            assert_eq!(appended.status, AppendStatus::Executed, "{code} {moment:?}");
            head += 1;
            fail_no_more(&superuser).await;

            fail_appends(&superuser, code, moment, i32::MAX).await;
            let requests: Vec<Append> = (0..5)
                .map(|number| at_version(&format!("{code}-{number}"), 0))
                .collect();
            let results = requests.iter().map(|request| store.append(request.clone()));
            for result in futures_util::future::join_all(results).await {
                let error = result.unwrap_err();
                assert!(
                    matches!(error, AppendError::Unavailable(_)),
                    "{code} {moment:?}: {error:?}"
                );
            }
            assert_eq!(store.head().await.unwrap().number(), head);
            fail_no_more(&superuser).await;
            // The same again works, and is the first time.
            for request in requests {
                let appended = store.append(request).await.unwrap();
                assert_eq!(appended.status, AppendStatus::Executed);
                head += 1;
                assert_eq!(store.head().await.unwrap().number(), head);
            }
        }
    }
}

/// A server that speaks German gives the same answers.
#[tokio::test]
async fn errors_are_told_by_code_and_not_by_text() {
    let cluster = ThrowawayCluster::start(Durability::UnsafeForTests)
        .await
        .unwrap();
    let database = store_database(&cluster.connection_config()).await;
    // A server knows the locales that are there when it starts.
    let mut beside = Beside::copy(&cluster, &[]).await;
    let locales = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(locales.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let made = Command::new("localedef")
        .args(["--no-archive", "--inputfile=de_DE", "--charmap=UTF-8"])
        .arg(locales.path().join("de_DE.UTF-8"))
        .output()
        .await;
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("DID NOT RUN: localedef can make no German locale on this machine");
        return;
    }
    beside.environment("LOCPATH", locales.path().to_owned());
    let server = beside.start(5433).await;
    let german = Database::new(server.clone(), database.name());
    superuser(&server, "postgres")
        .await
        .batch_execute(&format!(
            "ALTER DATABASE {} SET lc_messages = 'de_DE.UTF-8'",
            database.name()
        ))
        .await
        .unwrap();
    let error = superuser(&server, database.name())
        .await
        .batch_execute("SELECT 1 / 0")
        .await
        .unwrap_err();
    let text = error.as_db_error().unwrap().message().to_owned();
    if text == "division by zero" {
        eprintln!("DID NOT RUN: PostgreSQL has no German messages on this machine");
        return;
    }
    assert_eq!(text, "Division durch Null");

    let english = superuser(&cluster.connection_config(), database.name()).await;
    let german_too = superuser(&server, database.name()).await;
    assert_eq!(
        answers(&german, &german_too).await,
        answers(&database, &english).await
    );
    cluster.remove().await.unwrap();
}

/// How a new store answers to whatever the server may find fault with.
async fn answers(database: &Database, superuser: &Client) -> [String; 8] {
    let store = PostgresStore::open(database, 2).await.unwrap();
    let first = at_version("a", 0);
    let answer = async |request: Append| kind(store.append(request).await);
    let appended = answer(first.clone()).await;
    // Found by the unique violation that it runs into.
    let repeat = answer(first.clone()).await;
    let mut reused = first.clone();
    reused.fingerprint = Fingerprint::of(&[b"other"]);
    let reused = answer(reused).await;
    let conflict = answer(at_version("a", 7)).await;
    let refusal = request("a", 0).context;
    let refusal = Append::refusal(
        refusal,
        Fingerprint::of(&[]),
        Vec::new(),
        b"\"no\"".to_vec(),
    );
    let refused = answer(refusal.clone()).await + &answer(refusal).await;
    // No shape has this version, and the table says so.
    let mut violation = request("b", 1);
    violation.writes[0].events[0].schema_version = 0;
    let violation = answer(violation).await;
    fail_appends(superuser, "40001", Moment::Commit, 1).await;
    let retried = answer(request("b", 1)).await;
    fail_no_more(superuser).await;
    fail_appends(superuser, "40001", Moment::Insert, i32::MAX).await;
    let unavailable = answer(request("b", 1)).await;
    fail_no_more(superuser).await;
    let all = [
        appended,
        repeat,
        reused,
        conflict,
        refused,
        violation,
        retried,
        unavailable,
    ];
    let expected = [
        "executed 1 ",
        "applied 1 ",
        "reused ",
        "conflict at 1 ",
        "executed refused applied refused ",
        "failed ",
        "executed 1 ",
        "unavailable ",
    ];
    assert_eq!(all, expected);
    all
}

fn kind(result: Result<folio_core::store::Appended, AppendError>) -> String {
    match result {
        Ok(appended) => {
            let status = match appended.status {
                AppendStatus::Executed => "executed",
                AppendStatus::AlreadyApplied => "applied",
            };
            match appended.outcome {
                Outcome::Committed(events) => format!("{status} {} ", events.len()),
                Outcome::Refused(_) => format!("{status} refused "),
                Outcome::Empty => format!("{status} empty "),
            }
        }
        Err(AppendError::VersionConflict { actual, .. }) => format!("conflict at {actual} "),
        Err(AppendError::CommandReused { .. }) => "reused ".to_owned(),
        Err(AppendError::Unavailable(_)) => "unavailable ".to_owned(),
        Err(AppendError::Failed(_)) => "failed ".to_owned(),
        Err(error) => panic!("{error:?}"),
    }
}
