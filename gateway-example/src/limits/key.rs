//! Who is counted together.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use thiserror::Error;

const NAME_BYTES_MAX: usize = 256;
/// The half of an IPv6 address that a network hands out as a whole: a host may take any address in it.
const NETWORK: u128 = !0 << 64;

/// Who is counted together: one principal, or whoever shares an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitKey(Of);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Of {
    Principal(Arc<str>),
    Address(IpAddr),
}

impl LimitKey {
    /// A principal. Names are compared byte by byte: `alice`, `Alice` and `alice ` are three. Which of them there are is
    /// said by who authenticates them, not here.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`]: such a name is nobody's, so whoever comes with it is not let through.
    pub fn principal(name: &str) -> Result<Self, InvalidKey> {
        if name.trim().is_empty() {
            return Err(InvalidKey::Empty);
        }
        // What no name has a use for, and what a database would not take.
        if name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(InvalidKey::Unusable);
        }
        Ok(Self(Of::Principal(name.into())))
    }

    /// An address: of IPv4 the whole, also where it is mapped into IPv6; of IPv6 the network, its first 64 bits.
    #[must_use]
    pub const fn address(address: IpAddr) -> Self {
        let counted = match address.to_canonical() {
            IpAddr::V4(whole) => IpAddr::V4(whole),
            IpAddr::V6(host) => IpAddr::V6(Ipv6Addr::from_bits(host.to_bits() & NETWORK)),
        };
        Self(Of::Address(counted))
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Of::Principal(name) => f.write_str(name),
            Of::Address(address) => address.fmt(f),
        }
    }
}

/// A name that is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidKey {
    /// There is nothing in it.
    #[error("a principal without a name cannot be counted; authenticate it first")]
    Empty,
    /// It is too long, or has control characters.
    #[error("the principal's name has control characters or more than 256 bytes; give it another")]
    Unusable,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> LimitKey {
        LimitKey::address(text.parse().unwrap())
    }

    #[test]
    fn a_network_of_ipv6_is_one_key_however_its_hosts_change() {
        assert_eq!(
            address("2001:db8:1:2::1"),
            address("2001:db8:1:2:ffff:ffff:ffff:ffff")
        );
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("2001:db8:1:2::1").to_string(), "2001:db8:1:2::");
    }

    #[test]
    fn an_address_of_ipv4_is_one_key_also_when_it_is_mapped() {
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }

    #[test]
    fn a_principal_without_a_name_is_denied() {
        for name in ["", " ", "\t \n"] {
            assert_eq!(
                LimitKey::principal(name),
                Err(InvalidKey::Empty),
                "{name:?}"
            );
        }
        for name in ["a\0", "a\nb", &"x".repeat(257)] {
            assert_eq!(
                LimitKey::principal(name),
                Err(InvalidKey::Unusable),
                "{name:?}"
            );
        }
        assert!(LimitKey::principal(&"x".repeat(256)).is_ok());
    }

    #[test]
    fn variants_of_a_name_are_principals_of_their_own() {
        let key = |name| LimitKey::principal(name).unwrap();
        let variants = ["alice", "Alice", " alice", "alice "].map(key);
        for (number, variant) in variants.iter().enumerate() {
            assert_eq!(
                variants.iter().position(|other| other == variant),
                Some(number)
            );
        }
        // Nor is a principal an address that it is named like.
        assert_ne!(key("192.0.2.1"), address("192.0.2.1"));
    }
}
