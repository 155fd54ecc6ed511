//! The gateway's API keys on a real database.

use std::collections::BTreeSet;
use std::time::Duration;

use folio_postgres::{Database, Role, migrate, provision};
use folio_tests::postgres;
use gateway_example::auth::api_keys::migrations;
use gateway_example::auth::{
    ApiKey, ApiKeyRefusal, ApiKeys, KeyPrefix, Principal, PrincipalKind, REVOKED_WITHIN,
    Revocation, Scope, Subject,
};
use tokio::time::{Instant, sleep};

async fn database() -> Database {
    let name = postgres::unique("keys");
    let database = provision(&postgres::server().await, &name, ApiKeys::ROLES).await;
    let database = database.unwrap();
    migrate(&database, migrations()).await.unwrap();
    database
}

fn ada() -> (Subject, BTreeSet<Scope>) {
    let scopes = Scope::parse_all("ledger:read ledger:write").unwrap();
    ("ada".parse().unwrap(), scopes)
}

/// A key of the same prefix and another secret.
fn with_other_secret(key: &ApiKey) -> ApiKey {
    let text = format!("folio_{}_{}", key.prefix(), "A".repeat(43));
    text.parse().unwrap()
}

#[tokio::test]
async fn a_key_says_who_asks_to_every_gateway() {
    let database = database().await;
    let gateways = [(); 2].map(|()| ApiKeys::new(&database).unwrap());
    let (name, scopes) = ada();
    let key = gateways[0].create(&name, &scopes).await.unwrap();
    let other = gateways[0].create(&name, &BTreeSet::new()).await.unwrap();
    for gateway in &gateways {
        let principal = gateway.verify(&key).await.unwrap();
        let known = Principal::new(name.clone(), scopes.clone(), PrincipalKind::ApiKey);
        assert_eq!(principal, known);
        let nothing = gateway.verify(&other).await.unwrap();
        assert_eq!(nothing.identity().scopes, BTreeSet::new());
        let refusal = gateway.verify(&with_other_secret(&key)).await.unwrap_err();
        let is_refused = matches!(refusal, ApiKeyRefusal::OtherSecret { .. });
        assert!(is_refused, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_here_and_everywhere_within_the_bound() {
    let database = database().await;
    let [here, elsewhere] = [(); 2].map(|()| ApiKeys::new(&database).unwrap());
    let (name, scopes) = ada();
    let (key, kept) = (
        here.create(&name, &scopes).await.unwrap(),
        here.create(&name, &scopes).await.unwrap(),
    );
    for gateway in [&here, &elsewhere] {
        gateway.verify(&key).await.unwrap();
    }
    assert_eq!(
        here.revoke(key.prefix()).await.unwrap(),
        Revocation::Revoked
    );
    let revoked = Instant::now();
    let refusal = here.verify(&key).await.unwrap_err();
    assert!(
        matches!(refusal, ApiKeyRefusal::NoSuchKey { .. }),
        "{refusal:?}"
    );
    let refused = loop {
        let asked = Instant::now();
        if let Err(refusal) = elsewhere.verify(&key).await {
            let is_refused = matches!(refusal, ApiKeyRefusal::NoSuchKey { .. });
            assert!(is_refused, "{refusal:?}");
            break asked;
        }
        // What was still believed was asked for before the bound.
        let bound = revoked + REVOKED_WITHIN;
        assert!(asked <= bound, "it is believed for {:?}", asked - revoked);
        sleep(Duration::from_millis(20)).await;
    };
    assert!(refused > revoked, "it was never looked up");
    assert!(elsewhere.verify(&kept).await.is_ok());
    // It can be repeated, and says what there is.
    assert_eq!(
        here.revoke(key.prefix()).await.unwrap(),
        Revocation::Revoked
    );
    let unknown: KeyPrefix = "aaaaaaaa".parse().unwrap();
    assert_eq!(here.revoke(&unknown).await.unwrap(), Revocation::NoSuchKey);
}

#[tokio::test]
async fn a_key_that_was_never_made_is_refused() {
    let keys = ApiKeys::new(&database().await).unwrap();
    let made_up = format!("folio_abcdefgh_{}", "A".repeat(43))
        .parse()
        .unwrap();
    for _ in 0..2 {
        let refusal = keys.verify(&made_up).await.unwrap_err();
        assert!(
            matches!(refusal, ApiKeyRefusal::NoSuchKey { .. }),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn the_database_knows_no_secret() {
    let database = database().await;
    let keys = ApiKeys::new(&database).unwrap();
    let (name, scopes) = ada();
    let key = keys.create(&name, &scopes).await.unwrap();
    let client = postgres::superuser(&database).await;
    let row = client
        .query_one("SELECT k::text FROM gateway.api_keys k", &[])
        .await
        .unwrap();
    let row: String = row.get(0);
    assert!(row.contains(key.prefix().as_str()), "{row}");
    let text = key.reveal();
    let secret = text
        .rsplit_once(key.prefix().as_str())
        .unwrap()
        .1
        .trim_start_matches('_');
    assert!(!row.contains(secret), "{row}");
}

#[tokio::test]
async fn no_role_rewrites_keys() {
    let database = database().await;
    let keys = ApiKeys::new(&database).unwrap();
    let (name, scopes) = ada();
    keys.create(&name, &scopes).await.unwrap();
    for (role, statement) in [
        (
            Role::Reader,
            "UPDATE gateway.api_keys SET revoked_at = NULL",
        ),
        (
            Role::Projector,
            "UPDATE gateway.api_keys SET scopes = '{ops:admin}'",
        ),
        (
            Role::Projector,
            "UPDATE gateway.api_keys SET secret_sha256 = ''",
        ),
        (Role::Projector, "DELETE FROM gateway.api_keys"),
    ] {
        let client = database.connect(role).await.unwrap();
        let refused = client.batch_execute(statement).await.unwrap_err();
        let code = refused.code().unwrap().code();
        assert_eq!(code, "42501", "{statement}");
    }
}
