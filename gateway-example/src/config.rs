//! What a gateway is told by its file, and what is wrong with that.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::Path;

use hyper::Method;
use serde::Deserialize;
use thiserror::Error;

use crate::address::TrustedProxies;
use crate::limits::{LimitPolicy, OnUnavailable};

/// What a gateway is told. A file has the same names, as TOML; what it does not know is refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Services that may be asked.
    pub services: BTreeSet<String>,
    /// Which requests go where.
    #[serde(rename = "route")]
    pub routes: Vec<RouteConfig>,
    /// How much a client may send and hold.
    #[serde(default)]
    pub bounds: Bounds,
    /// How often an address may ask, whoever it is.
    pub per_address: LimitPolicy,
    /// How often somebody may ask.
    pub per_principal: LimitPolicy,
    /// Who is believed what they say of whom they ask for.
    #[serde(default)]
    pub trusted_proxies: TrustedProxies,
    /// Origins whose pages may ask, for CORS.
    #[serde(default)]
    pub origins: BTreeSet<String>,
}

/// A route.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Its methods.
    pub methods: Vec<String>,
    /// Its path: `/v1/books/{book}/{*rest}`.
    pub path: String,
    /// What stands for a parameter of both paths, and nothing else does: `{ part = ["debits", "credits"] }` makes a route
    /// of each. So it is known of every path which methods it has.
    #[serde(default)]
    pub each: BTreeMap<String, Vec<String>>,
    /// The service that answers it; may name parameters of the path: `accounts-{book}`.
    pub service: String,
    /// The path there: `/v1/{rest}`.
    pub forward: String,
    /// What who asks must be allowed to. Without it anybody may, and nobody is asked who they are.
    #[serde(default)]
    pub scope: Option<String>,
    /// The parameter of the path by which requests meet at one instance. None spreads them by load.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether the service knows a request again.
    #[serde(default)]
    pub repeat: Repeat,
    /// What becomes of requests while nobody knows how often somebody has asked.
    #[serde(default = "closed")]
    pub limits_unavailable: OnUnavailable,
    /// How long an answer may take, in milliseconds.
    #[serde(default = "thirty_seconds")]
    pub timeout_ms: u32,
    /// How long one instance may take until another one is asked, in milliseconds.
    #[serde(default = "two_seconds")]
    pub try_ms: u32,
    /// Whether the answer has an end.
    #[serde(default)]
    pub answer: AnswerKind,
}

/// Whether a service knows a request again, so that it can be sent again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repeat {
    /// It changes nothing.
    Reads,
    /// By its `Idempotency-Key`, which it must have.
    ByKey,
    /// By the id in its body.
    ById,
    /// Not at all: it is sent again only where it was surely not received.
    #[default]
    Never,
}

/// Whether an answer has an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerKind {
    /// It is through within the timeout.
    #[default]
    Bounded,
    /// It goes on for as long as both want, such as server-sent events.
    Endless,
}

/// How much a client may send and hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Connections in all.
    pub connections: u32,
    /// Connections of one address.
    pub connections_per_address: u32,
    /// Requests under way in all.
    pub requests: u32,
    /// Time for the headers of a request, and for the next request, in milliseconds.
    pub header_ms: u32,
    /// Bytes of all headers of a request.
    pub header_bytes: u32,
    /// Time for the body of a request, in milliseconds.
    pub body_ms: u32,
    /// Bytes of the body of a request.
    pub body_bytes: u32,
    /// Time for requests under way when the gateway is told to stop, in milliseconds.
    pub drain_ms: u32,
}

impl Default for Bounds {
    /// 4,096 connections, 256 of an address, 1,024 requests at once; 10 s and 32 KiB for headers, 10 s and 1 MiB for a body; 15 s to drain.
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_address: 256,
            requests: 1_024,
            header_ms: 10_000,
            header_bytes: 32 * 1_024,
            body_ms: 10_000,
            body_bytes: 1_024 * 1_024,
            drain_ms: 15_000,
        }
    }
}

const fn closed() -> OnUnavailable {
    OnUnavailable::Closed
}

const fn thirty_seconds() -> u32 {
    30_000
}

const fn two_seconds() -> u32 {
    2_000
}

impl GatewayConfig {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`], which names what is wrong and where.
    pub fn read(path: &Path) -> Result<Self, InvalidConfig> {
        let text = std::fs::read_to_string(path).map_err(|source| InvalidConfig::Read {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`], which names what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, InvalidConfig> {
        let mut config: Self = toml::from_str(text)?;
        config.check()?;
        config.routes = config
            .routes
            .iter()
            .flat_map(RouteConfig::spelt_out)
            .collect();
        Ok(config)
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        let bounds = &self.bounds;
        for (name, value) in [
            ("connections", bounds.connections),
            ("connections_per_address", bounds.connections_per_address),
            ("requests", bounds.requests),
            ("header_ms", bounds.header_ms),
            ("body_ms", bounds.body_ms),
        ] {
            NonZeroU32::new(value).ok_or(InvalidConfig::Zero { name })?;
        }
        // hyper refuses to work with less.
        if bounds.header_bytes < 8_192 {
            return Err(InvalidConfig::HeaderBytes);
        }
        for route in &self.routes {
            let wrong = |what: String| InvalidConfig::Route {
                path: route.path.clone(),
                what,
            };
            if route.methods.is_empty() {
                return Err(wrong("it has no method".to_owned()));
            }
            for method in &route.methods {
                let known = [
                    Method::GET,
                    Method::HEAD,
                    Method::POST,
                    Method::PUT,
                    Method::PATCH,
                    Method::DELETE,
                ];
                if !known.iter().any(|known| known.as_str() == method) {
                    return Err(wrong(format!("{method} is no method of it")));
                }
                let reads = method == "GET" || method == "HEAD";
                if reads != (route.repeat == Repeat::Reads) {
                    return Err(wrong(
                        "GET and HEAD, and no others, have repeat = \"reads\"".to_owned(),
                    ));
                }
            }
            for (parameter, values) in &route.each {
                let is_there = |path: &String| path.contains(&format!("{{{parameter}}}"));
                if values.is_empty() || !is_there(&route.path) || !is_there(&route.forward) {
                    return Err(wrong(format!(
                        "each.{parameter} has values, and both paths have {{{parameter}}}"
                    )));
                }
            }
            if route.timeout_ms == 0 || route.try_ms == 0 {
                return Err(wrong("its times are longer than nothing".to_owned()));
            }
            if !route.service.contains('{') && !self.services.contains(&route.service) {
                return Err(wrong(format!("{} is none of the services", route.service)));
            }
            let writes = route.repeat != Repeat::Reads;
            if route.scope.is_none() && writes {
                return Err(wrong("what writes has a scope".to_owned()));
            }
        }
        Ok(())
    }
}

impl RouteConfig {
    /// A route for each combination of what stands for its parameters.
    fn spelt_out(&self) -> Vec<Self> {
        let mut whole = self.clone();
        let Some((parameter, values)) = whole.each.pop_first() else {
            return vec![whole];
        };
        let of = |value: &String| {
            let named = |path: &String| path.replace(&format!("{{{parameter}}}"), value);
            let (path, forward) = (named(&whole.path), named(&whole.forward));
            Self {
                path,
                forward,
                ..whole.clone()
            }
        };
        values
            .iter()
            .map(of)
            .flat_map(|route| route.spelt_out())
            .collect()
    }
}

/// What is wrong with what a gateway was told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or says what is not known.
    #[error("the file is not as it must be: {0}")]
    Parse(#[from] toml::de::Error),
    /// A bound is zero.
    #[error("bounds.{name} is zero; nothing could be asked")]
    Zero {
        /// Which.
        name: &'static str,
    },
    /// Headers get too little room.
    #[error("bounds.header_bytes is less than 8192")]
    HeaderBytes,
    /// What cannot change while it runs has changed.
    #[error(
        "services, bounds and limits are read at the start; start another gateway and drain this one"
    )]
    NeedsStart,
    /// A route is wrong.
    #[error("the route {path}: {what}")]
    Route {
        /// Its path.
        path: String,
        /// What is wrong.
        what: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(route: &str) -> Result<GatewayConfig, InvalidConfig> {
        let limit = "quota = 1, window_s = 1, burst = 1 }";
        GatewayConfig::parse(&format!(
            "services = [\"books\"]\n\
             per_address = {{ name = \"address\", {limit}\n\
             per_principal = {{ name = \"principal\", {limit}\n\
             [[route]]\nmethods = [\"GET\"]\nservice = \"books\"\nrepeat = \"reads\"\n{route}"
        ))
    }

    #[test]
    fn a_route_stands_for_each_of_the_values_that_it_names() {
        let config = config(
            "path = \"/v1/{kind}/{id}/{part}\"\nforward = \"/{kind}/{id}/{part}\"\n\
             each = { kind = [\"a\", \"b\"], part = [\"x\", \"y\"] }",
        );
        let routes = config.unwrap().routes;
        let paths: Vec<_> = routes
            .iter()
            .map(|route| (&*route.path, &*route.forward))
            .collect();
        assert_eq!(
            paths,
            [
                ("/v1/a/{id}/x", "/a/{id}/x"),
                ("/v1/a/{id}/y", "/a/{id}/y"),
                ("/v1/b/{id}/x", "/b/{id}/x"),
                ("/v1/b/{id}/y", "/b/{id}/y"),
            ]
        );
    }

    #[test]
    fn values_of_a_parameter_that_is_not_there_are_refused() {
        for route in [
            "path = \"/v1/{id}\"\nforward = \"/{id}\"\neach = { part = [\"x\"] }",
            "path = \"/v1/{part}\"\nforward = \"/x\"\neach = { part = [\"x\"] }",
            "path = \"/v1/{part}\"\nforward = \"/{part}\"\neach = { part = [] }",
        ] {
            let error = config(route).unwrap_err().to_string();
            assert!(error.contains("each.part"), "{route}: {error}");
        }
    }
}
