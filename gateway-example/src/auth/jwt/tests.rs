//! Tokens that are wrong in one way each.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::super::testing::{
    AUDIENCE, ISSUER, NOW, TestKey, claims, claims_with, claims_without, now, verifier,
};
use super::*;

/// What becomes of a token of which the issuer has this key.
async fn verify(key: &TestKey, token: &str) -> Result<VerifiedToken, TokenRefusal> {
    verifier(&[key]).await.verify(token, now()).await
}

/// What becomes of good claims under a header that is good but for these members.
async fn with_header(members: Value) -> Result<VerifiedToken, TokenRefusal> {
    let key = TestKey::ed("k1");
    let mut header = key.header();
    for (name, value) in members.as_object().unwrap() {
        header[name] = value.clone();
    }
    let token = key.signed(&header.to_string(), &claims().to_string());
    verify(&key, &token).await
}

/// What becomes of claims under a good header.
async fn with_claims(claims: &Value) -> Result<VerifiedToken, TokenRefusal> {
    let key = TestKey::ed("k1");
    verify(&key, &key.token(claims)).await
}

fn refused<T>(refusal: impl Into<TokenRefusal>) -> Result<T, TokenRefusal> {
    Err(refusal.into())
}

#[tokio::test]
async fn a_token_of_each_algorithm_says_who_asks() {
    for key in [TestKey::ed("k1"), TestKey::ec("k1"), TestKey::rsa("k1")] {
        let verified = verify(&key, &key.token(&claims())).await.unwrap();
        let principal = verified.principal;
        assert_eq!(principal.name().as_str(), "ada");
        assert_eq!(principal.kind(), PrincipalKind::Token);
        assert!(principal.may(&"ledger:write".parse().unwrap()));
        assert!(!principal.may(&"ops:admin".parse().unwrap()));
        assert_eq!(verified.expires_at, now() + Duration::from_secs(300));
    }
}

#[tokio::test]
async fn a_token_that_says_it_needs_no_signature_is_refused() {
    for name in ["none", "None", "NONE", ""] {
        let answer = with_header(json!({ "alg": name })).await;
        assert_eq!(answer, refused(JwsRefusal::Algorithm), "{name}");
    }
    let key = TestKey::ed("k1");
    let token = key.token(&claims());
    let (message, _) = token.rsplit_once('.').unwrap();
    let answer = verify(&key, &format!("{message}.")).await;
    assert_eq!(answer, refused(JwsRefusal::Signature));
}

#[tokio::test]
async fn a_public_key_is_not_taken_for_a_secret() {
    for key in [TestKey::ed("k1"), TestKey::ec("k1"), TestKey::rsa("k1")] {
        for (algorithm, name) in [
            (Algorithm::HS256, "HS256"),
            (Algorithm::HS384, "HS384"),
            (Algorithm::HS512, "HS512"),
        ] {
            let header = Header {
                kid: Some("k1".to_owned()),
                ..Header::new(algorithm)
            };
            let secret = EncodingKey::from_secret(&key.public());
            let token = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
            let answer = verify(&key, &token).await;
            assert_eq!(answer, refused(JwsRefusal::Algorithm), "{name}");
        }
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_allowed_is_refused() {
    for name in [
        "RS384", "RS512", "PS256", "ES384", "ES512", "ES256K", "eddsa", "rs256",
    ] {
        let answer = with_header(json!({ "alg": name })).await;
        assert_eq!(answer, refused(JwsRefusal::Algorithm), "{name}");
    }
    let answer = with_header(json!({"alg": ["EdDSA"]})).await;
    assert!(matches!(
        answer,
        Err(TokenRefusal::Jws(JwsRefusal::Header(_)))
    ));
}

#[tokio::test]
async fn an_algorithm_that_the_key_is_not_for_is_refused() {
    let keys = [TestKey::ed("k1"), TestKey::ec("k1"), TestKey::rsa("k1")];
    for key in &keys {
        for other in keys
            .iter()
            .filter(|other| other.algorithm() != key.algorithm())
        {
            let answer = verify(key, &other.token(&claims())).await;
            assert_eq!(answer, refused(JwsRefusal::OtherAlgorithm));
        }
    }
}

#[tokio::test]
async fn a_signature_of_another_key_is_refused() {
    for (key, other) in [
        (TestKey::ed("k1"), TestKey::ed("k1")),
        (TestKey::ec("k1"), TestKey::ec("k1")),
    ] {
        let answer = verify(&key, &other.token(&claims())).await;
        assert_eq!(answer, refused(JwsRefusal::Signature));
    }
}

#[tokio::test]
async fn claims_that_were_changed_are_refused() {
    for key in [TestKey::ed("k1"), TestKey::ec("k1"), TestKey::rsa("k1")] {
        let (token, other) = (key.token(&claims()), key.token(&claims_with("sub", "eve")));
        let (_, signature) = token.rsplit_once('.').unwrap();
        let (message, _) = other.rsplit_once('.').unwrap();
        let answer = verify(&key, &format!("{message}.{signature}")).await;
        assert_eq!(answer, refused(JwsRefusal::Signature));
    }
}

#[tokio::test]
async fn a_token_expires_where_the_leeway_ends() {
    let last = with_claims(&claims_with("exp", NOW - 29)).await;
    assert!(last.is_ok(), "{last:?}");
    for exp in [NOW - 30, NOW - 31, 0] {
        let expired = with_claims(&claims_with("exp", exp)).await;
        assert_eq!(expired, refused(ClaimsRefusal::Expired), "{exp}");
        assert_eq!(expired.unwrap_err().code(), "token_expired");
    }
}

#[tokio::test]
async fn a_token_is_good_from_where_the_leeway_begins() {
    let first = with_claims(&claims_with("nbf", NOW + 30)).await;
    assert!(first.is_ok(), "{first:?}");
    for nbf in [NOW + 31, NOW + 3_600, u64::MAX] {
        let early = with_claims(&claims_with("nbf", nbf)).await;
        assert_eq!(early, refused(ClaimsRefusal::NotYet), "{nbf}");
        assert_eq!(early.unwrap_err().code(), "token_invalid");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_five_seconds() {
    let mut ahead = claims_with("nbf", NOW + 5);
    ahead["iat"] = json!(NOW + 5);
    let behind = claims_with("exp", NOW - 5);
    for claims in [ahead, behind] {
        let answer = with_claims(&claims).await;
        assert!(answer.is_ok(), "{claims}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_that_lacks_a_claim_is_refused() {
    for claim in ["iss", "aud", "sub", "exp"] {
        let answer = with_claims(&claims_without(claim)).await;
        assert_eq!(answer, refused(ClaimsRefusal::Missing { claim }));
        let null = with_claims(&claims_with(claim, Value::Null)).await;
        assert!(matches!(
            null,
            Err(TokenRefusal::Claims(ClaimsRefusal::Unreadable(_)))
        ));
    }
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    for audience in [
        json!("other"),
        json!("FOLIO"),
        json!("folio "),
        json!([]),
        json!(["a", "b"]),
    ] {
        let answer = with_claims(&claims_with("aud", audience.clone())).await;
        assert_eq!(answer, refused(ClaimsRefusal::Audience), "{audience}");
    }
}

#[tokio::test]
async fn a_token_may_be_for_several() {
    for audience in [json!([AUDIENCE]), json!(["other", AUDIENCE])] {
        let answer = with_claims(&claims_with("aud", audience)).await;
        assert!(answer.is_ok(), "{answer:?}");
    }
}

#[tokio::test]
async fn an_issuer_is_compared_to_the_letter() {
    let (slash, upper) = (format!("{ISSUER}/"), ISSUER.to_uppercase());
    for issuer in [slash.as_str(), upper.as_str(), "https://issuer", ""] {
        let answer = with_claims(&claims_with("iss", issuer)).await;
        assert_eq!(answer, refused(ClaimsRefusal::Issuer), "{issuer}");
    }
    let several = with_claims(&claims_with("iss", json!([ISSUER]))).await;
    assert!(matches!(
        several,
        Err(TokenRefusal::Claims(ClaimsRefusal::Unreadable(_)))
    ));
}

#[tokio::test]
async fn what_is_critical_and_not_understood_is_refused() {
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), Value::Null] {
        let answer = with_header(json!({"crit": crit, "b64": true})).await;
        assert_eq!(answer, refused(JwsRefusal::Critical));
    }
}

#[tokio::test]
async fn a_key_that_the_issuer_does_not_have_is_refused() {
    let answer = with_header(json!({"kid": "k2"})).await;
    assert_eq!(answer, Err(TokenRefusal::UnknownKey));
    assert_eq!(answer.unwrap_err().code(), "token_invalid");
}

#[tokio::test]
async fn a_token_that_names_no_key_is_refused_also_when_there_is_one_key() {
    let key = TestKey::ed("k1");
    let token = key.signed(r#"{"alg":"EdDSA"}"#, &claims().to_string());
    assert_eq!(verify(&key, &token).await, refused(JwsRefusal::KeyId));
}

#[tokio::test]
async fn a_key_id_is_never_a_path() {
    for id in [
        "../../../../dev/null",
        "/etc/passwd",
        "k1/../k1",
        "k1' OR '1'='1",
        "file:///k1",
    ] {
        let answer = with_header(json!({ "kid": id })).await;
        let is_name = !id.contains(' ');
        let expected = match is_name {
            true => Err(TokenRefusal::UnknownKey),
            false => refused(JwsRefusal::KeyId),
        };
        assert_eq!(answer, expected, "{id}");
    }
}

#[tokio::test]
async fn a_key_id_is_short_and_visible() {
    let long = "k".repeat(129);
    for id in ["", "k 1", "k1\u{0}", "k1\n", "ключ", long.as_str()] {
        let answer = with_header(json!({ "kid": id })).await;
        assert_eq!(answer, refused(JwsRefusal::KeyId), "{id:?}");
    }
    let huge = with_header(json!({"kid": "k".repeat(1024 * 1024)})).await;
    assert_eq!(huge, refused(JwsRefusal::TooLong));
}

#[tokio::test]
async fn a_token_that_brings_its_own_key_is_refused() {
    let eve = TestKey::ed("k1");
    for (member, value) in [
        ("jwk", eve.jwk()),
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("http://127.0.0.1:1/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = eve.header();
        header[member] = value;
        let token = eve.signed(&header.to_string(), &claims().to_string());
        let answer = verify(&TestKey::ed("k1"), &token).await;
        assert_eq!(answer, refused(JwsRefusal::BringsKey { member }));
    }
}

#[tokio::test]
async fn a_header_that_says_something_twice_is_refused() {
    let key = TestKey::ed("k1");
    for header in [
        r#"{"alg":"none","alg":"EdDSA","kid":"k1"}"#,
        r#"{"alg":"EdDSA","kid":"k0","kid":"k1"}"#,
        r#"{"alg":"EdDSA","kid":"k1","x":{"a":1,"a":2}}"#,
    ] {
        let answer = verify(&key, &key.signed(header, &claims().to_string())).await;
        assert!(
            matches!(answer, Err(TokenRefusal::Jws(JwsRefusal::Header(_)))),
            "{header}"
        );
    }
}

#[tokio::test]
async fn claims_that_say_something_twice_are_refused() {
    let key = TestKey::ed("k1");
    let good = claims().to_string();
    let good = good.trim_end_matches('}');
    for member in [
        r#""sub":"eve""#,
        r#""exp":9999999999"#,
        r#""scope":"ops:admin""#,
        r#""su\u0062":"eve""#,
    ] {
        let token = key.signed(&key.header().to_string(), &format!("{good},{member}}}"));
        let answer = verify(&key, &token).await;
        let unreadable = matches!(
            answer,
            Err(TokenRefusal::Claims(ClaimsRefusal::Unreadable(_)))
        );
        assert!(unreadable, "{member}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_too_long_is_not_looked_at() {
    let key = TestKey::ed("k1");
    let token = key.token(&claims_with("more", "x".repeat(64 * 1024)));
    assert_eq!(verify(&key, &token).await, refused(JwsRefusal::TooLong));
    // Right to the end of what is allowed.
    let empty = key.token(&claims_with("more", "")).len();
    let fits = (Jws::BYTES_MAX - empty) / 4 * 3 - 2;
    let token = key.token(&claims_with("more", "x".repeat(fits)));
    assert!(
        (Jws::BYTES_MAX - 8..=Jws::BYTES_MAX).contains(&token.len()),
        "{}",
        token.len()
    );
    assert!(verify(&key, &token).await.is_ok());
    let token = key.token(&claims_with("more", "x".repeat(fits + 12)));
    assert_eq!(verify(&key, &token).await, refused(JwsRefusal::TooLong));
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let key = TestKey::ed("k1");
    let list = URL_SAFE_NO_PAD.encode(r#"["EdDSA","k1"]"#);
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "eyJ.eyJ.",
        &format!("{list}.e30.AA"),
    ] {
        let answer = verify(&key, token).await;
        assert!(matches!(answer, Err(TokenRefusal::Jws(_))), "{token}");
    }
    // Encrypted ones have five parts.
    let encrypted = format!("{}.AA.AA", key.token(&claims()));
    assert_eq!(
        verify(&key, &encrypted).await,
        refused(JwsRefusal::NotCompact)
    );
}

#[tokio::test]
async fn a_key_for_another_algorithm_by_its_own_word_verifies_nothing() {
    let (key, other) = (TestKey::rsa("k1"), TestKey::ed("k2"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let mut jwk = key.jwk();
    jwk["alg"] = json!("RS512");
    std::fs::write(&path, json!({"keys": [jwk, other.jwk()]}).to_string()).unwrap();
    let set = KeySet::start(super::super::KeySource::file(path), Default::default());
    set.ready().await;
    let verifier = TokenVerifier::new(set, ISSUER, AUDIENCE);
    let answer = verifier.verify(&key.token(&claims()), now()).await;
    assert_eq!(answer, Err(TokenRefusal::UnknownKey));
    assert!(
        verifier
            .verify(&other.token(&claims()), now())
            .await
            .is_ok()
    );
}
