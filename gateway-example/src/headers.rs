//! Which headers of a request and of an answer go on, and which are only between two hops.

use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{StatusCode, Uri, Version};

use crate::problem::Problem;

/// All of Folio's own headers begin so; none of them may come from outside.
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
pub(crate) fn keep_for_service(headers: &mut HeaderMap) {
    // Once over those that there are, and not once for each that there might be: most requests have few.
    remove(headers, |name| {
        is_between_hops(name) || is_ours(name) || name.starts_with(FOLIO)
    });
}

/// Leaves what is said between two hops, and what an earlier one names as that, behind.
pub(crate) fn remove_between_hops(headers: &mut HeaderMap) {
    remove(headers, is_between_hops);
}

/// Removes each of which this is so, and those that `Connection` names.
fn remove(headers: &mut HeaderMap, is_removed: impl Fn(&str) -> bool) {
    let named = headers.get_all(CONNECTION).iter();
    let named = named.filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(','));
    let named = named.filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let removed = headers.keys().filter(|name| is_removed(name.as_str()));
    let removed: Vec<HeaderName> = removed.cloned().chain(named).collect();
    for name in removed {
        headers.remove(name);
    }
}

/// Between two hops, RFC 9110 7.6.1, and those that some take for such.
fn is_between_hops(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
    )
}

/// What only the door says of a request. Whoever sends it to the door is not believed.
fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "authorization"
            | "traceparent"
            | "forwarded"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-proto"
            | "x-real-ip"
            | "x-user-id"
            | "x-tenant"
            | "baggage"
            | "expect"
    )
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
        keep_for_service(&mut sent);
        assert_eq!(sent, headers(&[("accept", "text/csv")]));
    }

    /// What a client names in `Connection` is removed before the door adds its own, and not after.
    #[test]
    fn whoever_poses_as_somebody_is_not_believed() {
        let mut sent = headers(&[
            ("folio-identity", "forged"),
            ("folio-actor", "the boss"),
            ("authorization", "Bearer x"),
            ("traceparent", "00-x"),
            ("folio-cause", "x"),
            ("folio-deadline-ms", "5"),
            ("x-user-id", "1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("baggage", "a=b"),
            ("prefer", "wait=5"),
        ]);
        keep_for_service(&mut sent);
        assert_eq!(sent, headers(&[("prefer", "wait=5")]));
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
