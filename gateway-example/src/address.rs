//! Whose address a request comes from, behind proxies that are believed.
//!
//! What a header says of an address, anybody can write. A proxy appends the address of whom it was asked by; so the list is
//! read from its end, for as long as those named are proxies that are believed, and what stands before the first other one
//! is worth nothing.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName, HeaderValue};
use serde::Deserialize;
use thiserror::Error;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How far into the bits of IPv6 those of a mapped IPv4 address begin.
const MAPPED: u8 = 96;

/// Proxies that are believed, and where they write whom they ask for. By default there are none.
///
/// The one field is read that they write, and no other: what a client writes into the other one would reach the gateway
/// unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedProxies {
    /// Their addresses.
    #[serde(default)]
    pub ranges: Vec<AddressRange>,
    /// The field that they append to.
    #[serde(default)]
    pub field: HopsField,
}

/// The field in which proxies write whom they ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopsField {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, of RFC 7239.
    Forwarded,
}

/// Addresses with the same first bits: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressRange {
    // Those of IPv4 as they are mapped into IPv6.
    first: u128,
    prefix: u8,
}

/// Whom a request comes from: an address, and its text, which is said of each of its requests.
#[derive(Debug, Clone)]
pub struct Client {
    address: IpAddr,
    text: HeaderValue,
}

impl Client {
    /// Whoever is at this address.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let text = HeaderValue::try_from(address.to_string());
        Self {
            address,
            // No address has a text that is none of a header.
            text: text.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Its text.
    #[must_use]
    pub const fn text(&self) -> &HeaderValue {
        &self.text
    }
}

/// The address of who has sent a request that came from `peer`: the first one from the end that is not a trusted proxy. A
/// hop that cannot be read ends the list: it counts as the proxy that names it.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> IpAddr {
    let mut last = peer.to_canonical();
    if !proxies.has(last) {
        return last;
    }
    let name = match proxies.field {
        HopsField::XForwardedFor => X_FORWARDED_FOR,
        HopsField::Forwarded => FORWARDED,
    };
    // A line at a time, so that a quote which somebody leaves open does not reach into the next one.
    for line in headers.get_all(name).iter().rev() {
        let hops = line.to_str().ok().and_then(|line| match proxies.field {
            HopsField::XForwardedFor => Some(line.split(',').map(str::to_owned).collect()),
            HopsField::Forwarded => forwarded_hops(line),
        });
        let hops: Vec<String> = hops.unwrap_or_else(|| vec![String::new()]);
        for hop in hops.iter().rev() {
            let Some(address) = node_address(hop.trim_matches([' ', '\t'])) else {
                return last;
            };
            last = address;
            if !proxies.has(last) {
                return last;
            }
        }
    }
    last
}

impl TrustedProxies {
    fn has(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.has(address))
    }
}

impl AddressRange {
    /// Whether an address is one of them. Ranges of IPv6 hold no addresses of IPv4.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let is_comparable = address.to_canonical().is_ipv6() || self.prefix >= MAPPED;
        is_comparable && bits(address) & mask(self.prefix) == self.first
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mask(prefix: u8) -> u128 {
    let rest = u128::MAX.checked_shr(prefix.into());
    !rest.unwrap_or_default()
}

impl FromStr for AddressRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let refuse = |problem| InvalidRange {
            text: text.to_owned(),
            problem,
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refuse("not an address"))?;
        let offset = if address.is_ipv4() { MAPPED } else { 0 };
        let longest = 128_u8.saturating_sub(offset);
        let prefix = match prefix {
            None => longest,
            Some(prefix) => {
                let is_plain = !prefix.is_empty() && prefix.chars().all(|c| c.is_ascii_digit());
                let number = prefix.parse().ok().filter(|number| *number <= longest);
                number
                    .filter(|_| is_plain)
                    .ok_or_else(|| refuse("no such prefix"))?
            }
        };
        let prefix = prefix.saturating_add(offset);
        let first = bits(address);
        if first & mask(prefix) != first {
            return Err(refuse("bits after the prefix that are not zero"));
        }
        Ok(Self { first, prefix })
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidRange;

    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a range of addresses such as 10.0.0.0/8: {problem}")]
pub struct InvalidRange {
    text: String,
    problem: &'static str,
}

/// The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`, of which anything else
/// is none: `unknown`, names that proxies make up, ports that they do.
fn node_address(node: &str) -> Option<IpAddr> {
    let address = if let Some(rest) = node.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        if !(rest.is_empty() || is_port(rest.strip_prefix(':')?)) {
            return None;
        }
        IpAddr::V6(address.parse().ok()?)
    } else if let Ok(address) = node.parse() {
        address
    } else {
        let (address, port) = node.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(address.parse().ok()?)
    };
    Some(address.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// The `for` of each element of one line of `Forwarded`, empty where there is none; none where the line is not one.
fn forwarded_hops(line: &str) -> Option<Vec<String>> {
    let elements = split_unquoted(line, ',')?.into_iter();
    let hop = |element: &str| {
        let mut hop = None;
        for pair in split_unquoted(element, ';')? {
            let (name, value) = pair.split_once('=')?;
            if name.trim().eq_ignore_ascii_case("for")
                && hop.replace(unquoted(value.trim())?).is_some()
            {
                return None;
            }
        }
        Some(hop.unwrap_or_default())
    };
    elements.map(hop).collect()
}

/// Splits where there are no quotes around; none where they do not match.
fn split_unquoted(text: &str, at: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (0, false, false);
    for (offset, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == at && !quoted => {
                parts.push(text.get(begin..offset)?);
                begin = offset.checked_add(c.len_utf8())?;
            }
            _ => {}
        }
    }
    parts.push(text.get(begin..)?);
    (!quoted).then_some(parts)
}

/// A value without its quotes. No address has any within, so what is escaped is none.
fn unquoted(value: &str) -> Option<String> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    (!inner.contains(['"', '\\'])).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn proxies(field: HopsField) -> TrustedProxies {
        let ranges = ["10.0.0.0/8", "2001:db8:aaaa::/48"];
        TrustedProxies {
            ranges: ranges.map(|range| range.parse().unwrap()).into(),
            field,
        }
    }

    /// As whom a request counts that comes from `peer` with these lines of `field`.
    fn seen(peer: &str, field: HopsField, lines: &[&str]) -> String {
        let name = match field {
            HopsField::XForwardedFor => X_FORWARDED_FOR,
            HopsField::Forwarded => FORWARDED,
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(&name, line);
        }
        client_address(peer.parse().unwrap(), &headers, &proxies(field)).to_string()
    }

    #[test]
    fn whoever_is_not_a_proxy_is_who_it_is_whatever_it_writes() {
        for number in 0..100 {
            let line = format!("198.51.100.{number}, 10.0.0.2");
            assert_eq!(
                seen("192.0.2.7", HopsField::XForwardedFor, &[&line]),
                "192.0.2.7"
            );
            let line = format!("for=198.51.100.{number}");
            assert_eq!(
                seen("192.0.2.7", HopsField::Forwarded, &[&line]),
                "192.0.2.7"
            );
        }
        // Nor does an address of a proxy in its list make it one.
        assert_eq!(
            seen("::ffff:192.0.2.7", HopsField::XForwardedFor, &[PROXY]),
            "192.0.2.7"
        );
    }

    #[test]
    fn the_first_from_the_end_that_is_no_proxy_is_the_client() {
        let xff = |lines: &[&str]| seen(PROXY, HopsField::XForwardedFor, lines);
        assert_eq!(xff(&[]), PROXY);
        assert_eq!(xff(&["203.0.113.5"]), "203.0.113.5");
        assert_eq!(xff(&["1.1.1.1, 203.0.113.5, 10.9.9.9"]), "203.0.113.5");
        assert_eq!(xff(&["1.1.1.1,203.0.113.5 ,\t10.9.9.9"]), "203.0.113.5");
        // Several lines are one list.
        assert_eq!(
            xff(&["1.1.1.1", "203.0.113.5", "10.9.9.9, 10.8.8.8"]),
            "203.0.113.5"
        );
        // Everybody is a proxy: the one who began is none of the outside.
        assert_eq!(xff(&["10.2.2.2, 10.3.3.3"]), "10.2.2.2");
        assert_eq!(xff(&["203.0.113.5, 2001:db8:aaaa::1"]), "203.0.113.5");
        assert_eq!(xff(&["2001:db8:bbbb::1"]), "2001:db8:bbbb::1");
        assert_eq!(
            xff(&["1.1.1.1, ::ffff:203.0.113.5, ::ffff:10.9.9.9"]),
            "203.0.113.5"
        );
        assert_eq!(
            seen(
                "::ffff:10.0.0.1",
                HopsField::XForwardedFor,
                &["203.0.113.5"]
            ),
            "203.0.113.5"
        );
    }

    #[test]
    fn a_hop_that_cannot_be_read_counts_as_the_proxy_that_names_it() {
        for junk in [
            "unknown",
            "_hidden",
            "",
            " ",
            "203.0.113.5.6",
            "203.0.113.5:",
            "203.0.113.5:port",
            "203.0.113.5:99999",
            "203.0.113.5:_p",
            "203.0.113.5:+80",
            "[2001:db8::1",
            "[203.0.113.5]",
            "[2001:db8::1]x",
            "[2001:db8::1]:",
            "2001:db8::1]",
            "0203.0.113.5",
            "203.0.113.5/8",
            "localhost",
            "\"203.0.113.5\"",
            "fe80::1%eth0",
            "\u{e9}",
        ] {
            let line = format!("1.1.1.1, {junk}, 10.9.9.9");
            // Of a line that is not even text nothing is read.
            let last = if line.is_ascii() { "10.9.9.9" } else { PROXY };
            assert_eq!(
                seen(PROXY, HopsField::XForwardedFor, &[&line]),
                last,
                "{junk:?}"
            );
            let lines = ["1.1.1.1", junk, "10.9.9.9"];
            assert_eq!(
                seen(PROXY, HopsField::XForwardedFor, &lines),
                "10.9.9.9",
                "{junk:?}"
            );
        }
    }

    #[test]
    fn ports_and_brackets_are_read() {
        for (node, address) in [
            ("203.0.113.5:4711", "203.0.113.5"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[::ffff:203.0.113.5]:443", "203.0.113.5"),
        ] {
            assert_eq!(seen(PROXY, HopsField::XForwardedFor, &[node]), address);
            let line = format!("for=1.1.1.1, proto=https;FOR=\"{node}\";by=\"_a;,b\"");
            assert_eq!(seen(PROXY, HopsField::Forwarded, &[&line]), address);
        }
    }

    #[test]
    fn nothing_in_a_forwarded_field_brings_a_spoofed_hop_to_its_end() {
        let forwarded = |lines: &[&str]| seen(PROXY, HopsField::Forwarded, lines);
        assert_eq!(
            forwarded(&["for=1.1.1.1", "for=203.0.113.5, for=10.9.9.9"]),
            "203.0.113.5"
        );
        assert_eq!(forwarded(&["for=203.0.113.5;proto=http"]), "203.0.113.5");
        // What the proxy appends to what a client has left open.
        for client in [
            "for=\"",
            "for=1.1.1.1;by=\"",
            "\"",
            "for=\"1.1.1.1\\",
            "by=\"\\\"",
        ] {
            for proxy in [
                "for=203.0.113.5",
                "for=\"203.0.113.5\"",
                "for=\"[2001:db8::5]:80\"",
            ] {
                let line = format!("{client}, {proxy}");
                assert_eq!(forwarded(&[&line]), PROXY, "{line}");
                let own = ["203.0.113.5", "2001:db8::5"];
                let apart = forwarded(&[client, proxy]);
                assert!(own.contains(&apart.as_str()), "{client} apart: {apart}");
            }
        }
        for junk in [
            "for=unknown",
            "for=_x",
            "proto=http",
            "for",
            "for=1.1.1.1;for=2.2.2.2",
            "for=\"a\"b",
            "",
        ] {
            let line = format!("for=1.1.1.1, {junk}");
            assert_eq!(forwarded(&[&line]), PROXY, "{junk}");
        }
    }

    #[test]
    fn only_the_field_is_read_that_the_proxies_write() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED, HeaderValue::from_static("for=1.1.1.1"));
        let seen = |headers: &HeaderMap, field| {
            client_address(PROXY.parse().unwrap(), headers, &proxies(field)).to_string()
        };
        assert_eq!(seen(&headers, HopsField::XForwardedFor), PROXY);
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("2.2.2.2"));
        assert_eq!(seen(&headers, HopsField::XForwardedFor), "2.2.2.2");
        assert_eq!(seen(&headers, HopsField::Forwarded), "1.1.1.1");
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let has = |range: &str, address: &str| {
            let range: AddressRange = range.parse().unwrap();
            range.has(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(has("::ffff:10.0.0.0/104", "10.0.0.1"));
        assert!(has("0.0.0.0/0", "203.0.113.5") && !has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("::/0", "2001:db8::1") && !has("::/0", "203.0.113.5"));
        assert!(has("192.0.2.1", "192.0.2.1") && !has("192.0.2.1", "192.0.2.2"));
        assert!(has("2001:db8::1/128", "2001:db8::1") && !has("2001:db8::1", "2001:db8::2"));
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::/129",
            "::1/64",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10/8",
            "a/8",
            "10.0.0.0/8/8",
        ] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn proxies_are_read_from_toml() {
        let none: TrustedProxies = toml::from_str("").unwrap();
        assert_eq!(none, TrustedProxies::default());
        let text = "ranges = ['10.0.0.0/8', '2001:db8:aaaa::/48']\nfield = 'forwarded'";
        let read: TrustedProxies = toml::from_str(text).unwrap();
        assert_eq!(read, proxies(HopsField::Forwarded));
        assert!(toml::from_str::<TrustedProxies>("ranges = ['10.0.0.1/8']").is_err());
    }
}
