//! `ledger gateway`: the one front door, as a process of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use folio_mesh::discovery::Discovery;
use folio_mesh::identity::{KeyFileError, SigningKey};
use folio_mesh::{BalanceSettings, IdentitySigner};
use folio_postgres::{MigrateError, PoolError, ProvisionError, Role};
use gateway_example::auth::{
    ApiKeys, Authenticator, KeySet, KeySetSettings, KeySource, TokenVerifier, api_keys,
};
use gateway_example::limits::{
    Limits, LimitsConfig, LimitsDatabase, PrepareLimitsError, StartLimitsError,
};
use gateway_example::{
    AccessLog, Gateway, GatewayConfig, InvalidConfig, LogFile, UpstreamError, Upstreams, admin,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_postgres::Config;

use crate::figures;
use crate::listen::{ListenArgs, ListenError, PORTS};
use crate::mesh::{MeshArgs, MeshError};
use crate::output::say;
use crate::server::{ServerArgs, ServerError};

/// The database of limits that gateways keep together, and of API keys.
pub const DATABASE: &str = "folio_gateway";
/// Who issues tokens for whom, unless it is said.
pub const ISSUER: &str = "folio-local";
/// For whom tokens are.
pub const AUDIENCE: &str = "folio";
/// Connections that a gateway opens at most, beside those to the registry.
pub const CONNECTIONS: usize = 16;
/// Which requests go where, unless a file says.
const ROUTES: &str = include_str!("gateway.toml");
/// How long a request waits for an instance where there is none: as long as the only one takes to be restarted.
const PATIENCE: Duration = Duration::from_secs(3);

/// Arguments of `ledger gateway`.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    mesh: MeshArgs,
    /// Which requests go where, a TOML file. Without it, the routes of the ledger. It is read again at SIGHUP, and so are the keys: the
    /// one by which it vouches, and those of who issues tokens.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The public keys of who issues tokens, a JWKS file.
    #[arg(long, value_name = "FILE")]
    jwks: PathBuf,
    /// Who issues tokens.
    #[arg(long, value_name = "NAME", default_value = ISSUER)]
    issuer: String,
    /// For whom tokens are.
    #[arg(long, value_name = "NAME", default_value = AUDIENCE)]
    audience: String,
    /// The folder of the key by which the gateway vouches to the services for who asks.
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// Where operators look and decide, at this machine alone.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    admin: SocketAddr,
    /// Where each request is put on record, a line of JSON; - is standard output. A file is set aside at 64 MiB, as FILE.older.
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

/// Makes the database of limits and keys, with its login. Answers how a gateway connects.
///
/// # Errors
///
/// [`GatewayError`].
pub async fn provision(server: &Config) -> Result<Config, GatewayError> {
    let database = folio_postgres::provision(server, DATABASE, ROLES).await?;
    let roles = [&[Role::Owner], ROLES].concat();
    let login = format!("{DATABASE}_service");
    Ok(folio_postgres::provision_login(server, &login, &[(&database, &roles)]).await?)
}

const ROLES: &[Role] = &[Role::Projector, Role::Reader];

/// Serves until told to stop, and lets requests under way finish.
///
/// # Errors
///
/// [`GatewayError`].
pub async fn run(arguments: GatewayArgs) -> Result<(), GatewayError> {
    if !arguments.admin.ip().is_loopback() {
        return Err(GatewayError::Admin(arguments.admin));
    }
    let config = arguments.read()?;
    let figures = figures::recorded();
    let discovery = arguments.mesh.open()?.discovery();
    let discovery = discovery.ok_or(GatewayError::FindsNobody)?;
    let bounds = config.bounds;
    let access_log = arguments.access_log()?;
    let gateway = arguments
        .gateway(config, &*discovery, access_log.clone())
        .await?;
    let listener = arguments.listen.bind(PORTS.gateway)?;
    let address = listener.local_addr().map_err(GatewayError::Serve)?;
    let operators = TcpListener::bind(arguments.admin).await;
    let operators = operators.map_err(GatewayError::Serve)?;
    let operators_at = operators.local_addr().map_err(GatewayError::Serve)?;
    say(format_args!(
        "the gateway listens at http://{address}, for operators at http://{operators_at}"
    ));
    let drain = Arc::new(Notify::new());
    let router = admin::router(gateway.clone(), figures, Arc::clone(&drain));
    let operating = tokio::spawn(ledger_example::http::serve(
        operators,
        router,
        std::future::pending(),
    ));
    let (config, keys) = (arguments.config.clone(), arguments.keys.clone());
    let reloading = tokio::spawn(reload(gateway.clone(), config, keys));
    let stop = arguments.listen.stop().map_err(GatewayError::Serve)?;
    let stop = async move {
        tokio::select! {
            () = stop.told() => {}
            () = drain.notified() => {}
        }
    };
    let served = gateway_example::serve(listener, gateway, bounds, stop).await;
    operating.abort();
    reloading.abort();
    if let Some(log) = access_log {
        log.write_out();
    }
    served.map_err(GatewayError::Serve)
}

impl GatewayArgs {
    fn read(&self) -> Result<GatewayConfig, GatewayError> {
        Ok(match &self.config {
            Some(file) => GatewayConfig::read(file)?,
            None => GatewayConfig::parse(ROUTES)?,
        })
    }

    fn access_log(&self) -> Result<Option<AccessLog>, GatewayError> {
        let Some(path) = &self.access_log else {
            return Ok(None);
        };
        let log = if path.as_os_str() == "-" {
            AccessLog::start(std::io::stdout())
        } else {
            LogFile::open(path).and_then(AccessLog::start)
        };
        let log = log.map_err(|source| GatewayError::AccessLog {
            path: path.clone(),
            source,
        })?;
        Ok(Some(log))
    }

    async fn gateway(
        &self,
        config: GatewayConfig,
        discovery: &dyn Discovery,
        access_log: Option<AccessLog>,
    ) -> Result<Gateway, GatewayError> {
        let settings = BalanceSettings {
            patience: PATIENCE,
            ..BalanceSettings::default()
        };
        let upstreams = Upstreams::new(&config.services, discovery, settings)?;
        let (api_keys, shared) = match self.server.database()? {
            Some(server) => {
                let name = server.get_dbname().unwrap_or(DATABASE).to_owned();
                let limits = LimitsDatabase::prepare(&server, &name).await?;
                let database = folio_postgres::Database::new(server, name);
                folio_postgres::migrate(&database, api_keys::migrations()).await?;
                (Some(ApiKeys::new(&database)?), Some(limits))
            }
            None => (None, None),
        };
        let limits = Limits::new(LimitsConfig {
            per_address: config.per_address.clone(),
            per_principal: config.per_principal.clone(),
            keys_max: LimitsConfig::KEYS_MAX,
            shared,
        })?;
        let keys = KeySet::start(KeySource::file(&self.jwks), KeySetSettings::default());
        keys.ready().await;
        let tokens = TokenVerifier::new(keys, &self.issuer, &self.audience);
        let authenticator = Authenticator::new(tokens, api_keys);
        let identity = IdentitySigner::new(SigningKey::in_folder(&self.keys)?);
        Ok(Gateway::new(
            config,
            upstreams,
            authenticator,
            identity,
            limits,
            access_log,
        )?)
    }
}

/// Reads the routes and the keys again at each SIGHUP. What is wrong is told, and stays as it is.
async fn reload(gateway: Gateway, routes: Option<PathBuf>, keys: PathBuf) {
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else {
        return;
    };
    while hang_up.recv().await.is_some() {
        if let Some(file) = &routes
            && let Err(error) = GatewayConfig::read(file).and_then(|config| gateway.reload(config))
        {
            let cause = folio_core::error_chain(&error);
            tracing::error!(cause, "the routes stay as they are");
        }
        match SigningKey::in_folder(&keys) {
            Ok(key) => gateway.exchange_key(key),
            Err(error) => {
                let cause = folio_core::error_chain(&error);
                tracing::error!(cause, "the key by which the gateway vouches stays as it is");
            }
        }
        gateway.refresh_issuer().await;
    }
}

/// The scopes of a role in demonstrations.
#[must_use]
pub fn scopes_of(role: &str) -> BTreeSet<gateway_example::auth::Scope> {
    let scopes: &[&str] = match role {
        "reader" => &["ledger:read"],
        "operator" => &[
            "ledger:read",
            "ledger:write",
            "ledger:close",
            "ledger:operate",
        ],
        _ => &["ledger:read", "ledger:audit"],
    };
    scopes
        .iter()
        .filter_map(|scope| scope.parse().ok())
        .collect()
}

/// Why the gateway does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The address of operators is reached from other machines.
    #[error(
        "--admin {0} is reached from other machines, and whoever asks there is asked for nothing; name a port of 127.0.0.1"
    )]
    Admin(SocketAddr),
    /// It finds nobody.
    #[error(
        "the gateway finds no services; name their registry with --registry-url, or say where they are with --seed"
    )]
    FindsNobody,
    /// The server cannot be used.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The file of routes is wrong.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// Services cannot be asked.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The registry cannot be used.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// The database of limits cannot be made.
    #[error(transparent)]
    PrepareLimits(#[from] PrepareLimitsError),
    /// Limits cannot be kept.
    #[error(transparent)]
    Limits(#[from] StartLimitsError),
    /// The database cannot be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The table of API keys cannot be made.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// A pool cannot be built.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The key by which it vouches cannot be had.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Requests cannot be put on record.
    #[error("requests cannot be put on record in {}; name another file with --access-log", path.display())]
    AccessLog {
        /// Where they would be.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener failed.
    #[error("the gateway failed to serve")]
    Serve(#[source] std::io::Error),
}

#[cfg(test)]
mod tests {
    use gateway_example::RouteTable;
    use gateway_example::limits::OnUnavailable;

    use super::*;

    #[test]
    fn the_routes_of_the_ledger_are_sound_and_lead_to_no_feed() {
        let routes = RouteTable::new(&GatewayConfig::parse(ROUTES).unwrap()).unwrap();
        let roles = ["reader", "operator", "auditor"].map(scopes_of);
        for route in routes.all() {
            let scope = route.scope.as_ref().unwrap();
            let is_somebodys = roles.iter().any(|scopes| scopes.contains(scope));
            assert!(is_somebodys, "{} takes {scope}", route.path);
        }
        for path in [
            "/v1/feed",
            "/v1/books/a/feed",
            "/metrics",
            "/v1/projections",
            "/v1/faults",
        ] {
            assert!(routes.find(&reqwest::Method::GET, path).is_err(), "{path}");
        }
    }

    #[tokio::test]
    async fn operators_are_at_this_machine_alone() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            arguments: GatewayArgs,
        }
        let words = "gateway --jwks none --keys none --admin 0.0.0.0:0".split(' ');
        let command: Command = clap::Parser::parse_from(words);
        let refused = run(command.arguments).await;
        assert!(
            matches!(refused, Err(GatewayError::Admin(_))),
            "{refused:?}"
        );
    }

    /// Every route that is shipped and the scope that it takes: whoever changes one changes this. What only reads goes on while
    /// nobody knows how often somebody has asked, and what writes does not.
    #[test]
    fn each_route_takes_the_scope_of_this_table() {
        let routes = RouteTable::new(&GatewayConfig::parse(ROUTES).unwrap()).unwrap();
        let mut found = Vec::new();
        for route in routes.all() {
            let method = &route.method;
            let scope = route.scope.as_ref().unwrap().to_string();
            let on_unavailable = match method == reqwest::Method::GET {
                true => OnUnavailable::Open,
                false => OnUnavailable::Closed,
            };
            assert_eq!(route.limits_unavailable, on_unavailable, "{}", route.path);
            found.push(format!("{method} {} {scope}", route.path));
        }
        let expected: Vec<&str> = SCOPES.lines().collect();
        assert_eq!(found, expected);
    }

    const SCOPES: &str = "\
POST /v1/books/{book}/accounts/{id}/close ledger:write
POST /v1/books/{book}/accounts/{id}/closing ledger:write
POST /v1/books/{book}/accounts/{id}/credits ledger:write
POST /v1/books/{book}/accounts/{id}/debits ledger:write
POST /v1/books/{book}/accounts/{id}/freeze ledger:write
POST /v1/books/{book}/accounts/{id}/unfreeze ledger:write
PUT /v1/books/{book}/accounts/{id}/limits ledger:write
PUT /v1/books/{book}/accounts/{id}/holder ledger:write
GET /v1/books/{book}/accounts/{id}/holder ledger:read
POST /v1/books/{book}/subjects/{id}/forget ledger:operate
PATCH /v1/books/{book}/accounts/{id}/metadata ledger:write
POST /v1/books/{book}/accounts ledger:write
POST /v1/books/{book}/postings/bulk ledger:write
POST /v1/books/{book}/journal-entries ledger:write
POST /v1/books/{book}/journal-entries/bulk ledger:write
POST /v1/books/{book}/journal-entries/{id}/reverse ledger:write
POST /v1/books/{book}/holds ledger:write
POST /v1/books/{book}/holds/{id}/capture ledger:write
POST /v1/books/{book}/holds/{id}/release ledger:write
POST /v1/books/{book}/periods/{day}/close ledger:close
GET /v1/books/{book}/accounts/{id}/balance ledger:audit
GET /v1/books/{book}/accounts/{id}/events ledger:audit
GET /v1/books/{book}/outcomes/{key} ledger:read
GET /v1/books/{book}/periods ledger:audit
GET /v1/books/{book}/invariants ledger:audit
GET /v1/books/{book}/audit/checkpoint ledger:audit
GET /v1/books/{book}/audit/growth ledger:audit
GET /v1/books/{book}/audit/inclusion ledger:audit
GET /v1/books/{book}/audit/accounts/{id} ledger:audit
GET /v1/books/{book}/audit/accounts/{id}/bundle ledger:audit
GET /v1/books/{book}/audit/streams/{category}/{id}/bundle ledger:audit
GET /v1/accounts ledger:read
GET /v1/accounts/{*rest} ledger:read
GET /v1/holds/{id} ledger:read
GET /v1/journal-entries ledger:read
GET /v1/journal-entries/{id} ledger:read
GET /v1/trial-balance ledger:read
GET /v1/trial-balance/accounts ledger:read
GET /v1/in-transit ledger:audit
POST /v1/transfers ledger:write
GET /v1/transfers ledger:read
GET /v1/transfers/{id} ledger:read
POST /v1/transfers/{id}/cancel ledger:operate
POST /v1/transfers/{id}/retry ledger:operate
POST /v1/transfers/{id}/reverse ledger:operate
POST /v1/payments-out ledger:write
GET /v1/payments-out ledger:read
GET /v1/payments-out/{id} ledger:read
POST /v1/payments-out/{id}/cancel ledger:operate
POST /v1/payments-out/{id}/retry ledger:operate
POST /v1/payments-out/{id}/return ledger:operate
POST /v1/payments-in ledger:write
GET /v1/payments-in ledger:read
GET /v1/payments-in/{id} ledger:read
POST /v1/payments/subjects/{id}/forget ledger:operate
POST /v1/payments-in/{id}/retry ledger:operate";
}
