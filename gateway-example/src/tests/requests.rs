//! Requests that are well-formed: who sent them, what goes on of them, and what is said back.

use std::time::Duration;

use axum::http::HeaderMap;
use folio_mesh::IdentityVerifier;
use folio_mesh::identity::{PublicKeys, SigningKey};
use serde_json::json;

use super::{Behind, Door, FILE, PATIENCE, answer};
use crate::limits::LimitsDatabase;

const PATH: &str = "/v1/accounts/alice";

/// Every route, and what it takes: whoever changes a scope changes this.
#[tokio::test]
async fn each_route_takes_its_scope_and_no_other() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    for (method, path, scope) in [
        ("GET", "/v1/accounts/alice", "ledger:read"),
        ("POST", "/v1/books/a/accounts/alice/debits", "ledger:write"),
        ("POST", "/v1/unkeyed", "ledger:write"),
        ("GET", "/v1/stream", "ledger:read"),
    ] {
        let ask = async |token: &str| {
            let request = door
                .request(method, path, token)
                .header("idempotency-key", "k");
            answer(request).await
        };
        for other in ["ledger:read", "ledger:write", "ledger:audit", "ops:admin"] {
            let (status, body) = ask(&door.token(&[other])).await;
            if other == scope {
                assert_eq!(status, 200, "{path}");
            } else {
                assert_eq!(
                    (status, &body["code"]),
                    (403, &json!("scope_missing")),
                    "{path}"
                );
            }
        }
        let (status, body) = ask("no token at all").await;
        assert_eq!(
            (status, &body["code"]),
            (401, &json!("credentials_unclear"))
        );
        assert_eq!(ask(&door.token(&[])).await.0, 403);
    }
    let url = format!("http://{}{PATH}", door.address);
    let nobody = door.client.get(url).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert_eq!(
        nobody.headers()["www-authenticate"],
        "Bearer realm=\"folio\""
    );
    assert_eq!(nobody.headers()["content-type"], "application/problem+json");
}

/// A client says of itself what it likes. What a service is told is what the door has found out.
#[tokio::test]
async fn whoever_poses_as_somebody_is_not_believed_and_the_service_knows_who_asks() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let token = door.reader();
    let lines = "host: a\r\nfolio-identity: forged\r\nfolio-actor: the boss\r\nx-user-id: 1\r\nx-tenant: 1\r\n\
                 x-forwarded-for: 1.2.3.4\r\nforwarded: for=1.2.3.4\r\nx-real-ip: 1.2.3.4\r\nbaggage: a=b\r\n\
                 connection: folio-identity, authorization, x-secret\r\nx-secret: 1\r\nte: trailers\r\n\
                 keep-alive: timeout=5\r\nproxy-authorization: x\r\nx-kept: yes\r\n";
    let answered = door.raw_get(PATH, lines).await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    let asked = behind.asked();
    let headers = &asked[0]["headers"];
    assert_eq!(headers["folio-actor"], "alice");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-kept"], "yes");
    assert_eq!(headers["folio-instance"], "one");
    for name in [
        "authorization",
        "x-user-id",
        "x-tenant",
        "forwarded",
        "x-real-ip",
        "baggage",
        "connection",
        "x-secret",
        "te",
        "keep-alive",
        "proxy-authorization",
    ] {
        assert!(headers[name].is_null(), "{name}: {headers}");
    }
    // What it vouches by is signed, for this service and no other.
    let public = door
        .folder
        .path()
        .join("gateway")
        .join(SigningKey::PUBLIC_FILE);
    let keys = || PublicKeys::from_file(&public).unwrap();
    let signed = headers["folio-identity"].as_str().unwrap();
    let now = std::time::SystemTime::now();
    let identity = IdentityVerifier::new(keys(), "balances")
        .verify(signed, now)
        .unwrap();
    assert_eq!(identity.subject.as_str(), "alice");
    assert!(
        IdentityVerifier::new(keys(), "accounts-a")
            .verify(signed, now)
            .is_err()
    );
    assert!(!signed.contains(&token));
}

#[tokio::test]
async fn a_trace_goes_on_where_it_is_one_and_is_begun_anew_where_it_is_none() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let id = "0af7651916cd43dd8448eb211c80319c";
    let ask = async |parent: String| {
        let request = door.request("GET", PATH, &door.reader());
        let request = request
            .header("traceparent", parent)
            .header("tracestate", "a=1");
        let answer = request.send().await.unwrap();
        let back = answer.headers()["traceparent"].to_str().unwrap().to_owned();
        let asked = behind.asked().pop().unwrap();
        (back, asked["headers"].clone())
    };
    let (back, headers) = ask(format!("00-{id}-b7ad6b7169203331-01")).await;
    let on = headers["traceparent"].as_str().unwrap();
    assert!(
        back.contains(id) && on.contains(id) && !on.contains("b7ad6b7169203331"),
        "{on}"
    );
    assert_eq!(headers["tracestate"], "a=1");
    for wrong in [
        "junk",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        &"0".repeat(5_000),
    ] {
        let (back, headers) = ask(wrong.to_owned()).await;
        assert!(!back.contains(wrong) && back.len() == 55, "{back}");
        assert!(headers["tracestate"].is_null());
    }
}

#[tokio::test]
async fn a_browser_may_ask_from_the_pages_that_may() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let ask = async |method: &str, origin: &str, token: Option<String>| -> (u16, HeaderMap) {
        let url = format!("http://{}{PATH}", door.address);
        let request = door.client.request(method.parse().unwrap(), url);
        let request = request.header("origin", origin);
        let request = request.header("access-control-request-method", "GET");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().clone())
    };
    // A browser asks first, and has no token by then.
    let (status, headers) = ask("OPTIONS", "https://bank.example", None).await;
    assert_eq!(status, 204);
    assert_eq!(
        headers["access-control-allow-origin"],
        "https://bank.example"
    );
    let (status, headers) = ask("GET", "https://bank.example", Some(door.reader())).await;
    assert_eq!(status, 200);
    assert_eq!(
        headers["access-control-allow-origin"],
        "https://bank.example"
    );
    for other in ["https://evil.example", "null", "https://bank.example.evil"] {
        let (status, headers) = ask("OPTIONS", other, None).await;
        assert_ne!(status, 204, "{other}");
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_request_that_writes_has_a_key() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let request = door.request("POST", "/v1/books/a/accounts/alice/debits", &door.writer());
    let (status, body) = answer(request.json(&json!({}))).await;
    assert_eq!(
        (status, &body["code"]),
        (400, &json!("idempotency_key_missing"))
    );
    assert!(behind.asked().is_empty());
    // What a client says to the door alone is not said to the service: it would do what is sent again once more.
    let token = door.writer();
    let dropped = door
        .raw(
            format!(
                "POST /v1/books/a/accounts/alice/debits HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\
                 authorization: Bearer {token}\r\nidempotency-key: k\r\n\
                 connection: close, Idempotency-Key\r\n\r\n"
            )
            .as_bytes(),
        )
        .await;
    assert!(dropped.contains("idempotency_key_missing"), "{dropped}");
    assert!(behind.asked().is_empty());
    assert_eq!(door.debit("k").await.0, 200);
    let asked = behind.asked();
    assert_eq!(asked[0]["path"], "/v1/accounts/alice/debits");
    assert_eq!(asked[0]["body"], "{\"amount\":\"1.00\"}");
    assert_eq!(asked[0]["headers"]["idempotency-key"], "k");
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_how_often_they_may() {
    let behind = Behind::start().await;
    let file = FILE.replace(
        "name = \"principal\", quota = 100000, window_s = 1",
        "name = \"principal\", quota = 3, window_s = 3600",
    );
    let one = [("one", behind.address)];
    let door = Door::with(&file, &[("balances", &one)]).await;
    for left in ["2", "1", "0"] {
        let answer = door
            .request("GET", PATH, &door.reader())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.headers()["ratelimit-policy"],
            "\"principal\";q=3;w=3600"
        );
        let limit = answer.headers()["ratelimit"].to_str().unwrap();
        assert!(
            limit.starts_with(&format!("\"principal\";r={left};")),
            "{limit}"
        );
    }
    let refused = door
        .request("GET", PATH, &door.reader())
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 429);
    let after: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=1_200).contains(&after), "{after}");
    assert_eq!(behind.asked().len(), 3);
    // By who asks, not by where from: somebody else still may.
    let scopes = ["ledger:read".parse().unwrap()].into();
    let bob = door
        .issuer
        .issue(&"bob".parse().unwrap(), &scopes, Duration::from_secs(60))
        .unwrap();
    assert_eq!(answer(door.request("GET", PATH, &bob)).await.0, 200);
}

#[tokio::test]
async fn a_deadline_gets_shorter_on_its_way_and_is_no_longer_than_the_routes() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let left = async |said: Option<&str>| -> u64 {
        let request = door.request("GET", PATH, &door.reader());
        let request = match said {
            Some(said) => request.header("folio-deadline-ms", said),
            None => request,
        };
        assert_eq!(request.send().await.unwrap().status(), 200);
        let asked = behind.asked().pop().unwrap();
        asked["headers"]["folio-deadline-ms"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!((3_000..4_000).contains(&left(None).await));
    assert!((1_000..2_000).contains(&left(Some("2000")).await));
    assert!((3_000..4_000).contains(&left(Some("60000")).await));
    let request = door
        .request("GET", PATH, &door.reader())
        .header("folio-deadline-ms", "soon");
    assert_eq!(answer(request).await.1["code"], "deadline_invalid");
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_is() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    for path in [
        "/",
        "/v2",
        "/v1/books/a/accounts/alice",
        "/v1/feed",
        "/metrics",
    ] {
        let (status, body) = door.get(path).await;
        assert_eq!(
            (status, &body["code"]),
            (404, &json!("route_not_found")),
            "{path}"
        );
        assert!(body["correlation_id"].is_string());
    }
    let request = door.request("POST", "/v1/books/z/accounts/alice/debits", &door.writer());
    assert_eq!(answer(request).await.0, 404, "there is no such book");
    let wrong = door
        .request("DELETE", PATH, &door.reader())
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 405);
    assert_eq!(wrong.headers()["allow"], "GET");
}

/// Whatever became of it, each request has one line: with its route and not its path, and who has sent it.
#[tokio::test]
async fn each_request_is_put_on_record() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    assert_eq!(door.get(PATH).await.0, 200);
    assert_eq!(answer(door.request("GET", PATH, "none")).await.0, 401);
    assert_eq!(door.get("/v1/nowhere").await.0, 404);
    assert_eq!(door.get("/livez").await.0, 200);
    let left = door.request("GET", "/v1/stream", &door.reader()).send();
    let left = tokio::time::timeout(Duration::from_millis(100), left).await;
    assert!(left.is_err(), "{left:?}");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while door.records().len() < 5 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}",
            door.records()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let records = door.records();
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let (code, principal) = (record.code.as_deref(), record.principal.as_deref());
            (&*record.route, record.status, code, principal)
        })
        .collect();
    let (route, alice) = ("/v1/accounts/{*rest}", Some("alice"));
    assert_eq!(
        told,
        [
            (route, 200, None, alice),
            (route, 401, Some("token_invalid"), None),
            ("unmatched", 404, Some("route_not_found"), None),
            ("/livez", 200, None, None),
            ("/v1/stream", 499, None, alice),
        ]
    );
    let (first, refused) = (&records[0], &records[1]);
    assert_eq!(
        (&*first.peer, &*first.instances),
        ("127.0.0.1", &["one".into()][..])
    );
    assert_eq!(first.service.as_deref(), Some("balances"));
    assert!(refused.instances.is_empty() && refused.service.is_none());
    let asked = behind.asked();
    let trace = asked[0]["headers"]["traceparent"].as_str().unwrap();
    assert!(trace.contains(&first.correlation_id.simple().to_string()));
    let times: Vec<&str> = records.iter().map(|record| &*record.time).collect();
    assert!(times.is_sorted() && times.iter().all(|time| time.len() == 27));
}

/// Before anybody is looked at who asks, and whatever they say of where they come from: no proxy is believed here.
#[tokio::test]
async fn an_address_asks_as_often_as_it_may_whoever_it_says_to_be() {
    let behind = Behind::start().await;
    let one = [("one", behind.address)];
    let file = FILE.replace(
        "per_address = { name = \"address\", quota = 100000, window_s = 1 }",
        "per_address = { name = \"address\", quota = 6, window_s = 3600, burst = 6 }",
    );
    assert_ne!(file, FILE);
    let door = Door::with(&file, &[("balances", &one), ("accounts-a", &one)]).await;
    let mut answers = Vec::new();
    for number in 0..9 {
        let token = match number % 2 {
            0 => door.reader(),
            _ => "none".to_owned(),
        };
        let request = door.request("GET", PATH, &token);
        let request = request.header("x-forwarded-for", format!("192.0.2.{number}"));
        let answer = request.send().await.unwrap();
        let retry_after = answer.headers().contains_key("retry-after");
        answers.push((answer.status().as_u16(), retry_after));
    }
    let mut expected = [(200, false), (401, false)].repeat(3);
    expected.extend([(429, true); 3]);
    assert_eq!(answers, expected);
    assert_eq!(behind.asked().len(), 3);
}

/// By the address that a proxy which is believed says, and by the network of that: a host may take any address of its own.
#[tokio::test]
async fn behind_a_proxy_it_is_the_network_of_the_client_that_asks_too_often() {
    let behind = Behind::start().await;
    let one = [("one", behind.address)];
    let file = FILE.replace(
        "per_address = { name = \"address\", quota = 100000, window_s = 1 }",
        "per_address = { name = \"address\", quota = 2, window_s = 3600, burst = 2 }\n\
         trusted_proxies = { ranges = [\"127.0.0.1\"] }",
    );
    assert_ne!(file, FILE);
    let door = Door::with(&file, &[("balances", &one)]).await;
    let ask = async |forwarded: &str| {
        let request = door.request("GET", PATH, &door.reader());
        answer(request.header("x-forwarded-for", forwarded)).await.0
    };
    assert_eq!(ask("2001:db8::1").await, 200);
    // What a client writes before that is worth nothing, and the last bits are its own to choose.
    assert_eq!(ask("192.0.2.1, 2001:db8::ffff:1").await, 200);
    assert_eq!(ask("2001:db8::2").await, 429);
    assert_eq!(ask("192.0.2.2, 2001:db8:0:0:abcd::2").await, 429);
    assert_eq!(ask("2001:db8:0:1::1").await, 200);
    let told = &behind.asked()[1]["headers"]["x-forwarded-for"];
    assert_eq!(told, "2001:db8::ffff:1");
}

/// Nobody knows how often somebody has asked elsewhere: what only reads goes on, and what moves money does not.
#[tokio::test]
async fn while_nobody_knows_how_often_somebody_asked_what_writes_is_refused_and_what_reads_is_not()
{
    let behind = Behind::start().await;
    let one = [("one", behind.address)];
    let file = FILE.replace(
        "scope = \"ledger:read\"",
        "scope = \"ledger:read\"\nlimits_unavailable = \"open\"",
    );
    let mut server = tokio_postgres::Config::new();
    server.host("/nowhere").user("nobody");
    let shared = LimitsDatabase::new(server, "nothing");
    let services = [("balances", &one[..]), ("accounts-a", &one)];
    let door = Door::with_limits(&file, &services, Some(shared)).await;
    for round in 0..3 {
        assert_eq!(door.get(PATH).await.0, 200);
        let (status, body) = door.debit(&format!("k{round}")).await;
        assert_eq!((status, &body["code"]), (503, &json!("limits_unavailable")));
    }
    assert_eq!(behind.asked().len(), 3);
}

/// The server that reads requests refuses them without asking the door.
#[tokio::test]
async fn a_request_that_cannot_be_read_is_put_on_record_too() {
    let behind = Behind::start().await;
    let door = Door::before(&behind).await;
    let large = format!("host: a\r\nx: {}\r\n", "a".repeat(64 * 1_024));
    door.raw_get(PATH, &large).await;
    door.raw(b"no request\r\n\r\n").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while door.records().len() < 2 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let records = door.records();
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            (
                &*record.method,
                record.status,
                record.code.as_deref(),
                &*record.peer,
            )
        })
        .collect();
    let unread = Some("request_unreadable");
    assert_eq!(
        told,
        [
            ("-", 431, unread, "127.0.0.1"),
            ("-", 400, unread, "127.0.0.1")
        ]
    );
}

/// A page asks before each request, and whoever asks for the document has all services asked: both count.
#[tokio::test]
async fn what_needs_no_token_is_asked_as_often_as_an_address_may() {
    let behind = Behind::start().await;
    let one = [("one", behind.address)];
    let file = FILE.replace(
        "per_address = { name = \"address\", quota = 100000, window_s = 1 }",
        "per_address = { name = \"address\", quota = 2, window_s = 3600, burst = 2 }",
    );
    let door = Door::with(&file, &[("balances", &one)]).await;
    let preflight = door
        .request("OPTIONS", PATH, "")
        .header("origin", "https://bank.example");
    let preflight = preflight.header("access-control-request-method", "GET");
    assert_eq!(answer(preflight.try_clone().unwrap()).await.0, 204);
    assert_eq!(door.get("/openapi.json").await.0, 200);
    assert_eq!(door.get("/openapi.json").await.0, 429);
    assert_eq!(answer(preflight).await.0, 429);
    assert_eq!(door.get("/nowhere").await.0, 429);
    // Whether it is well is not.
    assert_eq!(door.get("/livez").await.0, 200);
}
