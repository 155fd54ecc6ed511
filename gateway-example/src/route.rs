//! Which requests go where.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};

use crate::auth::Scope;
use crate::config::{AnswerKind, GatewayConfig, InvalidConfig, Repeat, RouteConfig};
use crate::figures::Figures;
use crate::limits::OnUnavailable;
use crate::problem::Problem;

/// All routes. Made anew, and exchanged as a whole, where the file changes.
#[derive(Debug)]
pub struct RouteTable {
    paths: matchit::Router<BTreeMap<Method, Arc<Route>>>,
    services: BTreeSet<Arc<str>>,
    all: Vec<Arc<Route>>,
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// Its path as it is written: what it is called in logs and metrics.
    pub path: String,
    /// Its method.
    pub method: Method,
    service: Template,
    forward: Template,
    /// What who asks must be allowed to; none where anybody may.
    pub scope: Option<Scope>,
    key: Option<String>,
    /// Whether the service knows a request again.
    pub repeat: Repeat,
    /// What becomes of requests while nobody knows how often somebody has asked.
    pub limits_unavailable: OnUnavailable,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long one instance may take until another one is asked.
    pub each: Duration,
    /// Whether the answer has an end.
    pub answer: AnswerKind,
    pub(crate) figures: Figures,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Matched {
    /// By which route.
    pub route: Arc<Route>,
    /// To which service.
    pub service: Arc<str>,
    /// To which path of it.
    pub path: String,
    /// The key by which requests meet at one instance.
    pub key: Option<String>,
}

/// A text with parameters of a path in it.
#[derive(Debug, Clone)]
struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Parameter(String),
}

impl RouteTable {
    /// The routes of a file.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`].
    pub fn new(config: &GatewayConfig) -> Result<Self, InvalidConfig> {
        let mut by_path: BTreeMap<&str, BTreeMap<Method, Arc<Route>>> = BTreeMap::new();
        let mut all = Vec::new();
        for route in &config.routes {
            for route in Route::all_of(route)? {
                let route = Arc::new(route);
                all.push(Arc::clone(&route));
                let (path, method) = (route.path.clone(), route.method.clone());
                let methods = by_path.entry(path_of(&config.routes, &path)).or_default();
                if methods.insert(method.clone(), route).is_some() {
                    return Err(wrong(&path, format!("it has {method} twice")));
                }
            }
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in by_path {
            let inserted = paths.insert(path, methods);
            inserted.map_err(|error| wrong(path, error.to_string()))?;
        }
        Ok(Self {
            paths,
            services: config
                .services
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            all,
        })
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[Arc<Route>] {
        &self.all
    }

    /// The route of a path, whatever its parameters are.
    pub(crate) fn route_of(&self, method: &Method, path: &str) -> Option<&Arc<Route>> {
        self.paths.at(path).ok()?.value.get(method)
    }

    /// Finds the route of a request.
    ///
    /// # Errors
    ///
    /// [`Problem`]: there is none for this path, or not for this method.
    pub fn find(&self, method: &Method, path: &str) -> Result<Matched, Problem> {
        let not_found = || {
            Problem::client(
                StatusCode::NOT_FOUND,
                "route_not_found",
                "there is no such route; /openapi.json lists those there are",
            )
        };
        let found = self.paths.at(path).map_err(|_| not_found())?;
        let Some(route) = found.value.get(method) else {
            let methods: Vec<&str> = found.value.keys().map(Method::as_str).collect();
            let problem = Problem::client(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("this route has {}", methods.join(", ")),
            );
            return Err(problem.with(hyper::header::ALLOW, &methods.join(", ")));
        };
        let service = route.service.filled(&found.params);
        let service = self.services.get(&*service).ok_or_else(not_found)?;
        let key = route.key.as_deref().and_then(|key| found.params.get(key));
        Ok(Matched {
            path: route.forward.filled(&found.params).into_owned(),
            key: key.map(str::to_owned),
            service: Arc::clone(service),
            route: Arc::clone(route),
        })
    }
}

/// The path with the lifetime of the configuration.
fn path_of<'a>(routes: &'a [RouteConfig], path: &str) -> &'a str {
    let mut routes = routes.iter().map(|route| route.path.as_str());
    routes.find(|known| *known == path).unwrap_or_default()
}

fn wrong(path: &str, what: String) -> InvalidConfig {
    InvalidConfig::Route {
        path: path.to_owned(),
        what,
    }
}

impl Route {
    /// Whether it may lead to this service.
    pub(crate) fn serves(&self, service: &str) -> bool {
        let mut rest = Some(service);
        for part in &self.service.0 {
            rest = rest.and_then(|rest| match part {
                Part::Text(text) => rest.strip_prefix(text.as_str()),
                // Books and the like are the last thing in a name.
                Part::Parameter(_) => (!rest.is_empty()).then_some(""),
            });
        }
        rest == Some("")
    }

    /// Under which path the door has what a service has under `inner`.
    pub(crate) fn public_path(&self, inner: &str) -> Option<String> {
        let mut bound = BTreeMap::new();
        let forward = self.forward.written();
        let mut segments = inner.split('/');
        for piece in forward.split('/') {
            let name = piece
                .strip_prefix('{')
                .and_then(|piece| piece.strip_suffix('}'));
            match name {
                Some(name) if self.path.contains(&format!("{{*{name}}}")) => {
                    let rest: Vec<&str> = segments.by_ref().collect();
                    bound.insert(format!("*{name}"), rest.join("/"));
                }
                Some(name) => {
                    bound.insert(name.to_owned(), segments.next()?.to_owned());
                }
                None => (segments.next()? == piece).then_some(())?,
            }
        }
        let is_through = segments.next().is_none();
        let public = self.path.split('/').map(|piece| {
            let name = piece
                .strip_prefix('{')
                .and_then(|piece| piece.strip_suffix('}'));
            let is = name.and_then(|name| bound.get(name));
            is.map_or(piece, String::as_str)
        });
        let public: Vec<&str> = public.collect();
        is_through.then(|| public.join("/"))
    }

    fn all_of(config: &RouteConfig) -> Result<Vec<Self>, InvalidConfig> {
        let parameters = parameters(&config.path);
        let template = |text: &str| {
            Template::parse(text, &parameters).map_err(|what| wrong(&config.path, what))
        };
        let (service, forward) = (template(&config.service)?, template(&config.forward)?);
        if let Some(key) = config.key.as_ref().filter(|key| !parameters.contains(key)) {
            return Err(wrong(&config.path, format!("its path has no {{{key}}}")));
        }
        let scope = config.scope.as_ref().map(|scope| scope.parse::<Scope>());
        let scope = scope.transpose();
        let scope = scope.map_err(|error| wrong(&config.path, error.to_string()))?;
        let routes = config.methods.iter().map(|method| {
            let method = method.parse::<Method>();
            let method = method.map_err(|error| wrong(&config.path, error.to_string()))?;
            Ok(Self {
                path: config.path.clone(),
                method,
                service: service.clone(),
                forward: forward.clone(),
                scope: scope.clone(),
                key: config.key.clone(),
                repeat: config.repeat,
                limits_unavailable: config.limits_unavailable,
                timeout: Duration::from_millis(config.timeout_ms.into()),
                each: Duration::from_millis(config.try_ms.into()),
                answer: config.answer,
                figures: Figures::default(),
            })
        });
        routes.collect()
    }
}

/// The names in braces.
fn parameters(path: &str) -> Vec<String> {
    let names = path.split('{').skip(1);
    let names = names.filter_map(|rest| rest.split_once('}'));
    names
        .map(|(name, _)| name.trim_start_matches('*').to_owned())
        .collect()
}

impl Template {
    fn parse(text: &str, parameters: &[String]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut pieces = text.split('{');
        parts.extend(pieces.next().map(|text| Part::Text(text.to_owned())));
        for piece in pieces {
            let Some((name, text)) = piece.split_once('}') else {
                return Err(format!("{{{piece} has no end"));
            };
            if !parameters.iter().any(|known| known == name) {
                return Err(format!("its path has no {{{name}}}"));
            }
            parts.push(Part::Parameter(name.to_owned()));
            parts.push(Part::Text(text.to_owned()));
        }
        Ok(Self(parts))
    }

    /// As it is written.
    fn written(&self) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Parameter(name) => format!("{{{name}}}"),
        });
        parts.collect()
    }

    fn filled<'a>(&'a self, parameters: &matchit::Params<'_, 'a>) -> Cow<'a, str> {
        let piece = |part: &'a Part| match part {
            Part::Text(text) => text.as_str(),
            Part::Parameter(name) => parameters.get(name).unwrap_or_default(),
        };
        match self.0.as_slice() {
            [only] => Cow::Borrowed(piece(only)),
            parts => {
                let length = parts.iter().map(|part| piece(part).len()).sum();
                let mut text = String::with_capacity(length);
                text.extend(parts.iter().map(piece));
                Cow::Owned(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        services = ["accounts-a", "balances"]
        per_address = { name = "address", quota = 100, window_s = 1, burst = 100 }
        per_principal = { name = "principal", quota = 100, window_s = 1, burst = 100 }
        [[route]]
        methods = ["POST"]
        path = "/v1/books/{book}/accounts/{account}/{*rest}"
        service = "accounts-{book}"
        forward = "/v1/accounts/{account}/{rest}"
        scope = "ledger:write"
        key = "account"
        repeat = "by-key"
        [[route]]
        methods = ["GET"]
        path = "/v1/accounts/{account}/balance"
        service = "balances"
        forward = "/v1/accounts/{account}/balance"
        scope = "ledger:read"
        repeat = "reads"
    "#;

    fn table(file: &str) -> Result<RouteTable, InvalidConfig> {
        RouteTable::new(&GatewayConfig::parse(file)?)
    }

    #[test]
    fn a_request_goes_where_the_file_says() {
        let table = table(FILE).unwrap();
        let found = table
            .find(&Method::POST, "/v1/books/a/accounts/alice/debits")
            .unwrap();
        assert_eq!(&*found.service, "accounts-a");
        assert_eq!(found.path, "/v1/accounts/alice/debits");
        assert_eq!(found.key.as_deref(), Some("alice"));
        let code = |method: &Method, path: &str| table.find(method, path).unwrap_err().code();
        assert_eq!(
            code(&Method::POST, "/v1/books/z/accounts/alice/debits"),
            "route_not_found"
        );
        assert_eq!(
            code(&Method::POST, "/v1/accounts/alice/balance"),
            "method_not_allowed"
        );
        assert_eq!(code(&Method::GET, "/v2"), "route_not_found");
    }

    #[test]
    fn an_operation_of_a_service_is_named_by_the_doors_path() {
        let table = table(FILE).unwrap();
        let [debits, balance] = table.all() else {
            panic!("two routes");
        };
        assert_eq!(
            debits.public_path("/v1/accounts/{id}/debits").as_deref(),
            Some("/v1/books/{book}/accounts/{id}/debits")
        );
        assert_eq!(debits.public_path("/v1/holds/{id}"), None);
        assert_eq!(balance.public_path("/v1/accounts/{id}/balance/x"), None);
        assert!(debits.serves("accounts-a") && !debits.serves("balances"));
        assert!(balance.serves("balances") && !balance.serves("balances-2"));
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_with_the_route_that_is() {
        for (from, to, said) in [
            ("key = \"account\"", "key = \"acount\"", "acount"),
            ("accounts-{book}", "accounts-{bok}", "bok"),
            (
                "service = \"balances\"",
                "service = \"balance\"",
                "balance is none",
            ),
            ("\"reads\"", "\"by-key\"", "reads"),
            (
                "methods = [\"GET\"]",
                "methods = [\"GET\", \"GET\"]",
                "twice",
            ),
            ("methods = [\"GET\"]", "methods = [\"GOT\"]", "GOT"),
            ("scope = \"ledger:read\"", "scope = \"\"", "scope"),
            ("scope = \"ledger:read\"", "scop = \"\"", "scop"),
        ] {
            let error = table(&FILE.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(said), "{to}: {error}");
        }
    }
}
