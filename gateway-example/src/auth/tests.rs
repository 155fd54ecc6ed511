//! What clients bring in their headers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use folio_mesh::identity::{Identity, IdentitySigner, IdentityVerifier, PublicKeys, SigningKey};
use folio_postgres::Database;
use hyper::header::HeaderValue;
use tokio_postgres::Config;

use super::testing::{AUDIENCE, ISSUER, NOW, TestKey, claims, claims_with, now, verifier};
use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    let values = values
        .iter()
        .map(|value| HeaderValue::from_str(value).unwrap());
    values.map(|value| (AUTHORIZATION, value)).collect()
}

async fn authenticator(key: &TestKey) -> Authenticator {
    Authenticator::new(verifier(&[key]).await, None).with_clock(now)
}

async fn refusal(authenticator: &Authenticator, values: &[&str]) -> AuthRefusal {
    authenticator
        .authenticate(&headers(values))
        .await
        .unwrap_err()
}

/// Keys in a database that is not there.
fn out_of_reach() -> ApiKeys {
    let mut config = Config::new();
    config.host("/nowhere").user("nobody");
    ApiKeys::new(&Database::new(config, "nothing")).unwrap()
}

#[tokio::test]
async fn a_token_is_taken_however_its_scheme_is_written() {
    let key = TestKey::ed("k1");
    let (authenticator, token) = (authenticator(&key).await, key.token(&claims()));
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
        let headers = headers(&[&format!("{scheme}{token}")]);
        let principal = authenticator.authenticate(&headers).await.unwrap();
        assert_eq!(principal.name().as_str(), "ada");
    }
}

#[tokio::test]
async fn who_brings_nothing_is_told_what_is_taken() {
    let refusal = refusal(&authenticator(&TestKey::ed("k1")).await, &[]).await;
    assert_eq!(refusal.code(), "credentials_missing");
    assert_eq!(refusal.challenge(), "Bearer realm=\"folio\"");
}

#[tokio::test]
async fn several_credentials_are_refused_also_when_each_is_good() {
    let key = TestKey::ed("k1");
    let authenticator = authenticator(&key).await;
    let token = format!("Bearer {}", key.token(&claims()));
    let api_key = format!("ApiKey {}", ApiKey::random().unwrap().reveal());
    for both in [
        [token.as_str(), token.as_str()],
        [&token, &api_key],
        [&api_key, &token],
    ] {
        let refusal = refusal(&authenticator, &both).await;
        assert!(matches!(refusal, AuthRefusal::Several), "{refusal:?}");
        assert_eq!(
            refusal.challenge(),
            "Bearer realm=\"folio\", error=\"invalid_request\""
        );
    }
    let list = format!("{token}, {token}");
    let refusal = refusal(&authenticator, &[&list]).await;
    assert!(matches!(refusal, AuthRefusal::Scheme), "{refusal:?}");
}

#[tokio::test]
async fn a_header_of_another_form_is_refused() {
    let key = TestKey::ed("k1");
    let (authenticator, token) = (authenticator(&key).await, key.token(&claims()));
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YWRhOmFkYQ==",
        token.as_str(),
        &format!("Bearer:{token}"),
        &format!("Bearer\t{token}"),
        &format!("Bearer {token} {token}"),
        &format!("Bearer {token},"),
        &format!("Bearer {token} "),
        // No keys are taken here.
        &format!("ApiKey {}", ApiKey::random().unwrap().reveal()),
    ] {
        let refusal = refusal(&authenticator, &[value]).await;
        assert!(
            matches!(refusal, AuthRefusal::Scheme),
            "{value}: {refusal:?}"
        );
    }
}

#[tokio::test]
async fn a_token_that_expired_is_refused_though_it_was_known() {
    static CLOCK: AtomicU64 = AtomicU64::new(NOW);
    let clock = || UNIX_EPOCH + Duration::from_secs(CLOCK.load(Ordering::SeqCst));
    let key = TestKey::ed("k1");
    let authenticator = authenticator(&key).await.with_clock(clock);
    let token = format!("Bearer {}", key.token(&claims_with("exp", NOW + 10)));
    let headers = headers(&[&token]);
    for (second, is_good) in [(0, true), (9, true), (39, true), (40, false), (41, false)] {
        CLOCK.store(NOW + second, Ordering::SeqCst);
        let answer = authenticator.authenticate(&headers).await;
        assert_eq!(answer.is_ok(), is_good, "{second}: {answer:?}");
    }
    let refusal = authenticator.authenticate(&headers).await.unwrap_err();
    assert_eq!(refusal.code(), "token_expired");
    assert_eq!(
        refusal.challenge(),
        "Bearer realm=\"folio\", error=\"invalid_token\""
    );
    assert_eq!(refusal.fault(), Fault::Client);
}

#[tokio::test]
async fn a_token_that_is_known_is_verified_again_when_the_keys_are_fetched() {
    let (key, other) = (TestKey::ed("k1"), TestKey::ed("k1"));
    let mut authenticator = authenticator(&key).await;
    let headers = headers(&[&format!("Bearer {}", key.token(&claims()))]);
    assert!(authenticator.authenticate(&headers).await.is_ok());
    authenticator.tokens = verifier(&[&other]).await;
    assert!(authenticator.authenticate(&headers).await.is_ok());
    authenticator.refresh().await;
    let refusal = authenticator.authenticate(&headers).await.unwrap_err();
    assert_eq!(refusal.code(), "token_invalid");
}

/// By themselves they are fetched every five minutes, and who is known is not looked at for half a minute more.
#[tokio::test]
async fn who_is_signed_for_by_a_withdrawn_key_is_refused_once_the_keys_are_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = || LocalIssuer::in_folder(folder.path(), ISSUER, AUDIENCE).unwrap();
    let token = |issuer: &LocalIssuer| {
        let (ada, scopes) = ("ada".parse().unwrap(), Scope::parse_all("a:b").unwrap());
        let token = issuer.issue(&ada, &scopes, Duration::from_secs(60));
        headers(&[&format!("Bearer {}", token.unwrap())])
    };
    let stolen = issuer();
    let keys = KeySet::start(KeySource::file(stolen.jwks()), KeySetSettings::default());
    keys.ready().await;
    let authenticator = Authenticator::new(TokenVerifier::new(keys, ISSUER, AUDIENCE), None);
    let by_stolen = token(&stolen);
    assert!(authenticator.authenticate(&by_stolen).await.is_ok());
    for file in [SigningKey::PRIVATE_FILE, SigningKey::PUBLIC_FILE] {
        std::fs::remove_file(folder.path().join(file)).unwrap();
    }
    let by_new = token(&issuer());
    assert!(authenticator.authenticate(&by_stolen).await.is_ok());
    authenticator.refresh().await;
    let refusal = authenticator.authenticate(&by_stolen).await.unwrap_err();
    assert_eq!(refusal.code(), "token_invalid");
    assert!(authenticator.authenticate(&by_new).await.is_ok());
}

#[tokio::test]
async fn nothing_that_was_brought_is_repeated() {
    let (key, eve) = (TestKey::ed("k1"), TestKey::ed("k1"));
    let authenticator = Authenticator::new(verifier(&[&key]).await, Some(out_of_reach()));
    let authenticator = authenticator.with_clock(now);
    let old = key.token(&claims_with("exp", NOW - 100));
    let secret = ApiKey::random().unwrap().reveal();
    for value in [
        format!("Bearer {old}"),
        format!("Bearer {}", eve.token(&claims())),
        format!("Bearer {}", eve.token(&claims()).replace('.', "!")),
        format!("ApiKey {secret}"),
        format!("ApiKey {secret}x"),
        format!("Basic {secret}"),
    ] {
        let refusal = refusal(&authenticator, &[&value]).await;
        let (code, challenge) = (refusal.code(), refusal.challenge());
        let told = format!("{refusal} {refusal:?} {code} {challenge}");
        let told = format!("{told} {}", folio_core::error_chain(&refusal));
        let word = value.split_once(' ').unwrap().1;
        let pieces = word.split(['.', '!', '_']).filter(|piece| piece.len() > 8);
        for piece in pieces {
            assert!(!told.contains(piece), "{told}");
        }
    }
}

#[tokio::test]
async fn a_key_whose_database_is_away_is_not_refused_for_good() {
    let key = TestKey::ed("k1");
    let authenticator = Authenticator::new(verifier(&[&key]).await, Some(out_of_reach()));
    let api_key = format!("ApiKey {}", ApiKey::random().unwrap().reveal());
    let away = refusal(&authenticator, &[&api_key]).await;
    assert_eq!(
        (away.code(), away.fault()),
        ("keys_unavailable", Fault::Ours)
    );
    let malformed = refusal(&authenticator, &[&format!("{api_key}x")]).await;
    assert_eq!(
        (malformed.code(), malformed.fault()),
        ("api_key_invalid", Fault::Client)
    );
}

/// From the issuer's key to what a service behind the gateway reads.
#[tokio::test]
async fn who_a_local_issuer_names_is_who_a_service_sees() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = LocalIssuer::in_folder(&folder.path().join("issuer"), ISSUER, AUDIENCE).unwrap();
    let source = KeySource::file(issuer.jwks());
    let keys = KeySet::start(source, KeySetSettings::default());
    keys.ready().await;
    let authenticator = Authenticator::new(TokenVerifier::new(keys, ISSUER, AUDIENCE), None);

    let (subject, scopes) = (
        "ada".parse().unwrap(),
        Scope::parse_all("ledger:read").unwrap(),
    );
    let minute = Duration::from_secs(60);
    let token = issuer.issue(&subject, &scopes, minute).unwrap();
    let headers = headers(&[&format!("Bearer {token}")]);
    let principal = authenticator.authenticate(&headers).await.unwrap();
    let expected = Identity { subject, scopes };
    assert_eq!(principal.identity(), &expected);

    let signing = SigningKey::in_folder(&folder.path().join("gateway")).unwrap();
    let public = PublicKeys::from_json(signing.public_set().as_bytes()).unwrap();
    let (signer, time) = (IdentitySigner::new(signing), SystemTime::now());
    let identity = signer.token(principal.identity(), "ledger", time).unwrap();
    let service = IdentityVerifier::new(public, "ledger");
    let identity = identity.to_str().unwrap();
    assert_eq!(service.verify(identity, time), Ok(expected));
    // What the client brought is not an identity.
    assert!(service.verify(&token, time).is_err());
}
