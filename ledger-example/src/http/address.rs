//! Where a service is that another one asks.

use std::sync::Arc;

use folio_mesh::{Balancer, ServiceName};
use reqwest::Url;

/// Where a service is.
#[derive(Debug, Clone)]
pub enum ServiceAddress {
    /// At a URL, such as `http://127.0.0.1:7404`.
    Url(String),
    /// At whichever of its instances is picked.
    Instances(Arc<Balancer>),
}

impl ServiceAddress {
    /// A URL to begin with; the host and the port of which are exchanged for those of an instance where there are several.
    pub(crate) fn base(&self) -> Option<Url> {
        let base = match self {
            Self::Url(url) => Url::parse(url),
            Self::Instances(balancer) => Url::parse(&format!("http://{}", balancer.service())),
        };
        base.ok().filter(|base| base.scheme() == "http")
    }

    /// Its name, where instances are looked up by it.
    pub(crate) fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Url(_) => None,
            Self::Instances(balancer) => Some(balancer.service()),
        }
    }

    /// As it is written, for who is told that it is none.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Url(url) => url.clone(),
            Self::Instances(balancer) => balancer.service().to_string(),
        }
    }
}

impl From<String> for ServiceAddress {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

impl From<&String> for ServiceAddress {
    fn from(url: &String) -> Self {
        Self::Url(url.clone())
    }
}

impl From<&str> for ServiceAddress {
    fn from(url: &str) -> Self {
        Self::Url(url.to_owned())
    }
}
