//! Which headers of a request and of an answer go on, and which are only between two hops.

use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{StatusCode, Uri, Version};

use crate::problem::Problem;

/// All of Folio's own headers begin so; none of them may come from outside.
const FOLIO: &str = "folio-";
/// Headers that the door says to a service, and those that it says to one instance.
const OURS: usize = 4;
const TO_INSTANCE: usize = 3;

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
    let colon = text.bytes().rposition(|byte| byte == b':');
    let parts = colon.and_then(|colon| text.split_at_checked(colon));
    let (host, port) = match parts {
        Some((host, port)) if !port.contains(']') => (host, port.strip_prefix(':')),
        _ => (text, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    let is_name = |name: &str| {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
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

/// The headers of a request that go on to a service: those of the client that may, and what only the door says.
///
/// Each instance that is asked gets a map of its own, made in one go. To take out of the client's map and add to it, and to copy that,
/// costs twice as much.
#[derive(Debug)]
pub(crate) struct ForService {
    client: HeaderMap,
    /// What does not go on beside what never does.
    without: Option<HeaderName>,
    ours: Vec<(HeaderName, HeaderValue)>,
}

impl ForService {
    /// Of what a client has sent.
    pub(crate) fn of(client: HeaderMap) -> Self {
        Self {
            client,
            without: None,
            ours: Vec::with_capacity(OURS),
        }
    }

    /// What the client says by this name.
    pub(crate) fn client(&self, name: HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.client.get_all(name).iter()
    }

    /// Does not go on.
    pub(crate) fn leave_out(&mut self, name: HeaderName) {
        self.without = Some(name);
    }

    /// The door says this.
    pub(crate) fn say(&mut self, name: HeaderName, value: HeaderValue) {
        self.ours.push((name, value));
    }

    /// All that goes on, with room for what is said to one instance.
    pub(crate) fn to_headers(&self) -> HeaderMap {
        let named = named_by_connection(&self.client);
        let room = self.client.len().saturating_add(self.ours.len());
        let mut headers = HeaderMap::with_capacity(room.saturating_add(TO_INSTANCE));
        for (name, value) in &self.client {
            let text = name.as_str();
            let goes_on = !is_between_hops(text)
                && !is_ours(text)
                && !text.starts_with(FOLIO)
                && self.without.as_ref() != Some(name)
                && !named.contains(name);
            if goes_on {
                headers.append(name, value.clone());
            }
        }
        // Behind what the client says, in whose place it is put.
        for (name, value) in &self.ours {
            headers.insert(name, value.clone());
        }
        headers
    }
}

/// Whether a client says this, and it goes on: what its `Connection` names is for the door alone.
pub(crate) fn goes_on(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.contains_key(name) && !named_by_connection(headers).contains(name)
}

/// Leaves what is said between two hops, and what an earlier one names as that, behind.
pub(crate) fn remove_between_hops(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    let is_removed = |name: &&HeaderName| is_between_hops(name.as_str());
    // Of most answers none is, or one: no list is made of them.
    while let Some(name) = headers.keys().find(is_removed).cloned() {
        headers.remove(name);
    }
}

/// What `Connection` names beside what is between two hops anyway.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    // What is said nearly always: the name of no header, and of one that goes away anyway.
    let values = values.filter(|value| *value != "close" && *value != "keep-alive");
    let named = values.filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(',')).map(str::trim);
    named.filter_map(|name| name.parse().ok()).collect()
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
        sent = ForService::of(sent).to_headers();
        assert_eq!(sent, headers(&[("accept", "text/csv")]));
    }

    /// What a client names in `Connection` is removed before the door adds its own, and not after.
    #[test]
    fn whoever_poses_as_somebody_is_not_believed() {
        let sent = headers(&[
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
        let mut sent = ForService::of(sent);
        assert_eq!(sent.to_headers(), headers(&[("prefer", "wait=5")]));
        sent.say(
            HeaderName::from_static("folio-actor"),
            "alice".parse().unwrap(),
        );
        sent.leave_out(HeaderName::from_static("prefer"));
        assert_eq!(sent.to_headers(), headers(&[("folio-actor", "alice")]));
    }

    #[test]
    fn of_an_answer_all_goes_on_but_what_is_between_two_hops() {
        let mut answer = headers(&[
            ("connection", "keep-alive, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("trailer", "x"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ]);
        remove_between_hops(&mut answer);
        assert_eq!(answer, headers(&[("set-cookie", "a"), ("set-cookie", "b")]));
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
