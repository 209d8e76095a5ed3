//! Ranges of IP addresses: an address and a prefix length (RFC 4632, RFC 4291).

use std::fmt;
use std::net::IpAddr;

use super::text::from_text;

/// A CIDR range, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IpRange {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an IP address range: {problem}")]
pub(super) struct RangeError {
    given: String,
    problem: String,
}

from_text!(IpRange);

impl TryFrom<String> for IpRange {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let error = |problem: String| RangeError {
            given: text.clone(),
            problem,
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.as_str(), None),
        };
        let network: IpAddr = address
            .parse()
            .map_err(|_| error("write 10.0.0.0/8, fd00::/8 or a single address".to_owned()))?;
        if is_mapped(network) {
            return Err(error("write an IPv4 range as such".to_owned()));
        }
        let width = width(network);
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= width)
                .ok_or_else(|| error(format!("its prefix has at most {width} bits")))?,
            Some(_) => return Err(error("its prefix is a number of bits".to_owned())),
        };
        let range = Self { network, prefix };
        let first = from_bits(network, bits(network) & range.mask());
        if first != network {
            return Err(error(format!(
                "it has bits beyond its prefix; did you mean {first}/{prefix}?"
            )));
        }
        Ok(range)
    }
}

impl IpRange {
    /// Whether `address` lies within.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4()
            && bits(address) & self.mask() == bits(self.network)
    }

    fn mask(&self) -> u128 {
        let host = u32::from(width(self.network) - self.prefix);
        u128::MAX.checked_shl(host).unwrap_or(0)
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// An IPv4 address in IPv6's clothes (RFC 4291, section 2.5.5).
pub(super) fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        // The upper bits of an IPv4 address's are zero.
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(bits).unwrap_or_default().into()),
        IpAddr::V6(_) => IpAddr::V6(bits.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> IpRange {
        IpRange::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn an_address_lies_in_a_range_of_its_own_family() {
        for (text, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "10.0.0.1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(range(text).contains(address), expected, "{text} {address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let error = |text: &str| IpRange::try_from(text.to_owned()).unwrap_err().to_string();
        assert!(error("10.1.2.3/8").contains("did you mean 10.0.0.0/8?"));
        assert!(error("fd00::1/8").contains("did you mean fd00::/8?"));
        assert!(error("10.0.0.0/33").contains("at most 32"));
        assert!(error("10.0.0.0/+8").contains("number of bits"));
        assert!(error("::ffff:10.0.0.0/104").contains("IPv4 range as such"));
        for text in [
            "",
            "10",
            "10.0.0.0/",
            "example.com",
            "10.0.0/8",
            "010.0.0.0/8",
        ] {
            assert!(IpRange::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
