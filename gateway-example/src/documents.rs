//! One OpenAPI document out of those of all services: their operations under the paths of the door.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use crate::gateway::Told;
use crate::route::Route;
use crate::upstream::Upstreams;

/// How long a document is kept, and one in which a service is missing: whoever asks often has all services asked that often.
const KEPT: Duration = Duration::from_secs(30);
const KEPT_IN_PART: Duration = Duration::from_secs(2);
/// Longest wait for the document of a service. One that gives none is left out until it does.
const WITHIN: Duration = Duration::from_secs(2);
const SCHEMAS: &str = "\"#/components/schemas/";

/// The merged document, for a while.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    kept: RwLock<Option<Kept>>,
    // Held while services are asked. Whoever asks meanwhile is answered with the one before, or waits for the first.
    asking: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Kept {
    until: Instant,
    version: u64,
    document: Bytes,
}

impl Documents {
    /// The document of the routes that are in force.
    pub(crate) async fn merged(&self, told: &Told, upstreams: &Upstreams) -> Bytes {
        let of_these = async || {
            let kept = self.kept.read().await;
            kept.clone().filter(|kept| kept.version == told.version)
        };
        let is_new = |kept: &Kept| kept.until > Instant::now();
        let kept = of_these().await;
        let _asking = match (kept, self.asking.try_lock()) {
            (Some(kept), _) if is_new(&kept) => return kept.document,
            (Some(kept), Err(_)) => return kept.document,
            (_, Ok(asking)) => asking,
            (None, Err(_)) => self.asking.lock().await,
        };
        // Somebody else may have asked just now.
        if let Some(kept) = of_these().await.filter(is_new) {
            return kept.document;
        }
        let (document, is_whole) = merge(told, upstreams).await;
        let document = Bytes::from(document.to_string());
        let good_for = match is_whole {
            true => KEPT,
            false => KEPT_IN_PART,
        };
        *self.kept.write().await = Some(Kept {
            until: Instant::now() + good_for,
            version: told.version,
            document: document.clone(),
        });
        document
    }
}

async fn merge(told: &Told, upstreams: &Upstreams) -> (Value, bool) {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    let mut is_whole = true;
    let mut kinds = BTreeSet::new();
    for service in &told.config.services {
        // Services of one kind have one document.
        let kind = service.split('-').next().unwrap_or(service);
        if !kinds.insert(kind) {
            continue;
        }
        let Some(document) = document_of(service, kind, upstreams).await else {
            is_whole = false;
            continue;
        };
        let routes = told
            .routes
            .all()
            .iter()
            .filter(|route| route.serves(service));
        for route in routes {
            add(&mut paths, route, told, &document);
        }
        if let Some(Value::Object(of_service)) = document.pointer("/components/schemas") {
            let named = of_service.iter();
            schemas.extend(named.map(|(name, schema)| (format!("{kind}.{name}"), schema.clone())));
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Folio ledger",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "All services through one door. Amounts are decimal strings; problems are application/problem+json.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    });
    (document, is_whole)
}

/// The document of a service, its schemas called by names that no other service has.
async fn document_of(service: &str, kind: &str, upstreams: &Upstreams) -> Option<Value> {
    let document = upstreams.look_up(service, "/openapi.json", WITHIN).await?;
    let text = std::str::from_utf8(&document).ok()?;
    let text = text.replace(SCHEMAS, &format!("{SCHEMAS}{kind}."));
    serde_json::from_str(&text).ok()
}

/// Adds the operations of a service that are reached by a route.
fn add(paths: &mut Map<String, Value>, route: &Route, told: &Told, document: &Value) {
    let Some(Value::Object(inner)) = document.get("paths") else {
        return;
    };
    let method = route.method.as_str().to_ascii_lowercase();
    for (path, item) in inner {
        let Some(operation) = item.get(&method) else {
            continue;
        };
        // Where two routes could have it, it is the one's that would get the request.
        let public = route.public_path(path).filter(|public| {
            let found = told.routes.route_of(&route.method, public);
            found.is_some_and(|found| found.path == route.path)
        });
        let Some(public) = public else { continue };
        let mut operation = operation.clone();
        if let Value::Object(operation) = &mut operation {
            if let Some(scope) = &route.scope {
                let security = json!([{"token": [scope.as_str()]}]);
                operation.insert("security".to_owned(), security);
            }
            let added = unnamed(&public, operation);
            let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
            if let Value::Array(parameters) = parameters {
                parameters.extend(added);
            }
        }
        let methods = paths.entry(public).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            methods.insert(method.clone(), operation);
        }
    }
}

/// The parameters of a path that the service does not know of.
fn unnamed(path: &str, operation: &Map<String, Value>) -> Vec<Value> {
    let known = operation.get("parameters").and_then(Value::as_array);
    let known: Vec<&str> = known
        .into_iter()
        .flatten()
        .filter_map(|parameter| parameter.get("name")?.as_str())
        .collect();
    let names = path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let unnamed = names.filter(|name| !known.contains(name));
    unnamed
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect()
}
