//! The gateway as a process of its own: plain, for whoever asks, and with all that it does for who has to be known.
//!
//! The plain one has no token to look at, no log and no metrics. What cannot be turned off it has too: routes, the limit of an address,
//! the deadline, the balancer with its breaker.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use folio_mesh::identity::SigningKey;
use folio_mesh::{BalanceSettings, IdentitySigner, StaticList};
use gateway_example::auth::{
    Authenticator, KeySet, KeySetSettings, KeySource, LocalIssuer, TokenVerifier,
};
use gateway_example::limits::{Limits, LimitsConfig};
use gateway_example::{AccessLog, Gateway, GatewayConfig, LogFile, Upstreams, serve};
use tokio::net::TcpListener;

use crate::PROXY_CORE;
use crate::server::{Server, free_port};

/// By which the program knows that it is to be the gateway.
pub(crate) const ARGUMENT: &str = "--gateway";
/// More tokens than are kept as verified, so that none of them is when its turn comes again.
const TOKENS: usize = 20_000;
/// How often the metrics are asked for, as a monitor would.
const SCRAPED: Duration = Duration::from_secs(5);

const FILE: &str = r#"
services = ["accounts"]
per_address = { name = "address", quota = 1000000, window_s = 1 }
per_principal = { name = "principal", quota = 1000000, window_s = 1 }

[bounds]
connections = 16384
connections_per_address = 16384
requests = 4096
header_ms = 600000

[[route]]
methods = ["GET"]
path = "/v1/plain/{*rest}"
service = "accounts"
forward = "/v1/plain/{rest}"
repeat = "reads"

[[route]]
methods = ["GET"]
path = "/v1/known/{*rest}"
service = "accounts"
forward = "/v1/known/{rest}"
scope = "ledger:read"
repeat = "reads"
"#;

/// How much a gateway does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Full,
}

/// A gateway before this service, on the proxies' core.
pub(crate) fn start(folder: &Path, service: u16, kind: Kind) -> Server {
    // Before a gateway looks for its keys.
    issuer(folder);
    let port = free_port();
    let name = match kind {
        Kind::Plain => "plain",
        Kind::Full => "full",
    };
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.arg(ARGUMENT).arg(folder).arg(name);
    program.args([service.to_string(), port.to_string()]);
    Server::start(PROXY_CORE, &mut program, port)
}

/// A token of somebody who asks often.
pub(crate) fn known(folder: &Path) -> String {
    token(&issuer(folder), "alice")
}

/// A script by which wrk brings another token each time, of another one: the gateway has to verify it, and to sign who that is.
pub(crate) fn script(folder: &Path) -> PathBuf {
    let issuer = issuer(folder);
    let tokens = (0..TOKENS).map(|number| token(&issuer, &format!("p{number}")));
    let tokens: Vec<String> = tokens.map(|token| format!("\"Bearer {token}\"")).collect();
    let text = format!(
        "local tokens = {{{}}}\nlocal next = 0\nrequest = function()\n  next = next % #tokens + 1\n  \
         return wrk.format(nil, nil, {{[\"authorization\"] = tokens[next]}})\nend\n",
        tokens.join(",")
    );
    let script = folder.join("tokens.lua");
    std::fs::write(&script, text).unwrap();
    script
}

fn token(issuer: &LocalIssuer, name: &str) -> String {
    let scopes: BTreeSet<_> = ["ledger:read".parse().unwrap()].into();
    let lifetime = Duration::from_secs(3_600);
    issuer
        .issue(&name.parse().unwrap(), &scopes, lifetime)
        .unwrap()
}

fn issuer(folder: &Path) -> LocalIssuer {
    LocalIssuer::in_folder(&folder.join("issuer"), "issuer", "folio").unwrap()
}

/// Is the gateway, until it is killed.
pub(crate) fn run(arguments: &[String]) {
    let [folder, kind, service, port] = arguments else {
        panic!("four arguments");
    };
    let folder = Path::new(folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut access_log = None;
    if kind == "full" {
        let file = LogFile::open(&folder.join(format!("access-{port}.log"))).unwrap();
        access_log = Some(AccessLog::start(file).unwrap());
        let entered = runtime.enter();
        let figures = ledger::figures::recorded().unwrap();
        drop(entered);
        runtime.spawn(async move {
            let mut turns = tokio::time::interval(SCRAPED);
            loop {
                turns.tick().await;
                std::hint::black_box(figures.render());
            }
        });
    }
    runtime.block_on(gateway(folder, service.parse().unwrap(), port, access_log));
}

async fn gateway(folder: &Path, service: u16, port: &str, access_log: Option<AccessLog>) {
    let config = GatewayConfig::parse(FILE).unwrap();
    let address = format!("127.0.0.1:{service}").parse().unwrap();
    let instances = BTreeMap::from([("accounts".parse().unwrap(), vec![address])]);
    let list = StaticList::new(instances);
    let upstreams = Upstreams::new(&config.services, &list, BalanceSettings::default()).unwrap();
    let source = KeySource::file(issuer(folder).jwks());
    let keys = KeySet::start(source, KeySetSettings::default());
    keys.ready().await;
    let limits = Limits::new(LimitsConfig {
        per_address: config.per_address.clone(),
        per_principal: config.per_principal.clone(),
        keys_max: LimitsConfig::KEYS_MAX,
        shared: None,
    });
    let bounds = config.bounds;
    let signing = SigningKey::in_folder(&folder.join(format!("gateway-{port}"))).unwrap();
    let gateway = Gateway::new(
        config,
        upstreams,
        Authenticator::new(TokenVerifier::new(keys, "issuer", "folio"), None),
        IdentitySigner::new(signing),
        limits.unwrap(),
        access_log,
    );
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await;
    let stop = std::future::pending();
    serve(listener.unwrap(), gateway.unwrap(), bounds, stop)
        .await
        .unwrap();
}
