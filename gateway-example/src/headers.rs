//! Which headers of a request and of an answer go on, and which are only between two hops.

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, Entry, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{StatusCode, Uri, Version};

use crate::problem::Problem;

/// Between two hops, RFC 9110 7.6.1, and those that some take for such.
const BETWEEN_HOPS: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What only the door says of a request. Whoever sends it to the door is not believed.
const OURS: [HeaderName; 9] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-user-id"),
    HeaderName::from_static("x-tenant"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("expect"),
];

/// All of Folio's own headers begin so; only these may come from outside.
const FOLIO: &str = "folio-";

/// Checks what a request says of where it goes: one authority, the same wherever it is said.
pub(crate) fn check_authority(
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
) -> Result<(), Problem> {
    let refused = |detail: &str| {
        Err(Problem::client(
            StatusCode::BAD_REQUEST,
            "host_invalid",
            detail.to_owned(),
        ))
    };
    let mut hosts = headers.get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return refused("there are two Host headers");
    }
    let host = match host.map(HeaderValue::to_str) {
        Some(Err(_)) => return refused("Host is no text"),
        Some(Ok(host)) => Some(host),
        None => None,
    };
    let named = uri.authority().map(hyper::http::uri::Authority::as_str);
    if host.is_none() && named.is_none() && version != Version::HTTP_10 {
        return refused("there is no Host header");
    }
    for authority in [host, named].into_iter().flatten() {
        if !is_authority(authority) {
            return refused("Host is a name or an address, with a port or without");
        }
    }
    match (host, named) {
        (Some(host), Some(named)) if !host.eq_ignore_ascii_case(named) => {
            refused("Host is not what the request line says")
        }
        _ => Ok(()),
    }
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    let is_name = |name: &str| {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !name.is_empty() && name.bytes().all(is_fine)
    };
    let is_address = |text: &str| {
        let text = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        text.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
    };
    is_port && (is_name(host) || is_address(host))
}

/// Leaves what goes on to a service. Called before the door adds what it says itself.
pub(crate) fn keep_for_service(headers: &mut HeaderMap, pass: &[&str]) {
    remove_between_hops(headers);
    for name in OURS {
        headers.remove(name);
    }
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    let names = headers
        .keys()
        .filter(|name| name.as_str().starts_with(FOLIO) && !pass.contains(&name.as_str()));
    for name in names.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// Leaves what is said between two hops, and what an earlier one names as that, behind.
pub(crate) fn remove_between_hops(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter();
    let named = named.filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(','));
    let named: Vec<HeaderName> = named.filter_map(|name| name.trim().parse().ok()).collect();
    for name in BETWEEN_HOPS.into_iter().chain(named) {
        if let Entry::Occupied(entry) = headers.entry(name) {
            entry.remove_entry_mult();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_is_between_two_hops_does_not_go_on() {
        let mut sent = headers(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "x"),
            ("accept", "text/csv"),
        ]);
        keep_for_service(&mut sent, &[]);
        assert_eq!(sent, headers(&[("accept", "text/csv")]));
    }

    /// What a client names in `Connection` is removed before the door adds its own, and not after.
    #[test]
    fn whoever_poses_as_somebody_is_not_believed() {
        let mut sent = headers(&[
            ("folio-identity", "forged"),
            ("folio-actor", "the boss"),
            ("folio-cause", "x"),
            ("folio-deadline-ms", "5"),
            ("x-user-id", "1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("baggage", "a=b"),
            ("prefer", "wait=5"),
        ]);
        keep_for_service(&mut sent, &["folio-deadline-ms"]);
        assert_eq!(
            sent,
            headers(&[("folio-deadline-ms", "5"), ("prefer", "wait=5")])
        );
    }

    #[test]
    fn a_request_has_one_authority() {
        let fine = |uri: &str, hosts: &[(&str, &str)]| {
            check_authority(&uri.parse().unwrap(), &headers(hosts), Version::HTTP_11).is_ok()
        };
        assert!(fine("/x", &[("host", "a.example:80")]));
        assert!(fine("/x", &[("host", "[::1]:80")]));
        assert!(fine("http://a.example/x", &[("host", "A.example")]));
        assert!(!fine("/x", &[]));
        assert!(!fine("/x", &[("host", "a"), ("host", "a")]));
        assert!(!fine("http://evil/x", &[("host", "a")]));
        for host in [
            "u@a", "a:x", "a:80:80", "", "a/b", "a:70000", "[::1", "a:+80",
        ] {
            assert!(!fine("/x", &[("host", host)]), "{host}");
        }
    }
}
