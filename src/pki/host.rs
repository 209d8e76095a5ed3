//! `--host`: a DNS name, an IP address or a wildcard, and what was meant when it is
//! none of them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::San;

/// A name or an address that a certificate can be valid for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name, lower-case, without the trailing dot; perhaps `*.` in front.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

/// The text is neither a DNS name nor an IP address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is neither a DNS name nor an IP address: {problem}{}", suggestion(.meant.as_deref()))]
pub struct HostError {
    /// What was given.
    pub given: String,
    /// What is wrong with it.
    pub problem: &'static str,
    /// What was probably meant.
    pub meant: Option<String>,
}

fn suggestion(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}

impl Host {
    /// As a subject alternative name: an IP address becomes an IP SAN.
    #[must_use]
    pub fn to_san(&self) -> San {
        match self {
            Self::Dns(name) => San::Dns(name.clone()),
            Self::Ip(ip) => San::Ip(*ip),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text).map_err(|(problem, meant)| HostError {
            given: text.to_owned(),
            problem,
            // A suggestion is only made when it is itself a host.
            meant: meant
                .filter(|meant| Self::read(meant).is_ok())
                .map(str::to_owned),
        })
    }
}

impl Host {
    /// The host, or what is wrong and the part of `text` that may have been meant.
    fn read(text: &str) -> Result<Self, (&'static str, Option<&str>)> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let error = |problem, meant| (problem, meant);
        if text.is_empty() {
            return Err(error("it is empty", None));
        }
        if let Some((_, rest)) = text.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            return Err(error("it is a URL", Some(without_port(authority))));
        }
        if text.chars().any(char::is_whitespace) {
            return Err(error(
                "it contains white space; repeat --host for every name",
                None,
            ));
        }
        if text.contains(',') {
            return Err(error(
                "it contains a comma; repeat --host for every name",
                None,
            ));
        }
        if let Some((address, bits)) = text.split_once('/') {
            let problem = if bits.parse::<u8>().is_ok() && address.parse::<IpAddr>().is_ok() {
                "it is a network, and a certificate is valid for single addresses"
            } else {
                "it contains a '/'"
            };
            return Err(error(problem, Some(without_port(address))));
        }
        if text.starts_with('[') || text.contains(':') {
            let problem = if text.starts_with('[') && text.ends_with(']') {
                "an IPv6 address is written without brackets here"
            } else {
                "it has a port, and a certificate is valid for every port"
            };
            return Err(error(problem, Some(without_port(text))));
        }
        if text.contains('@') {
            return Err(error("it is an e-mail address", None));
        }
        if !text.is_ascii() {
            return Err(error(
                "it has characters outside ASCII; write an internationalised name in its xn-- form",
                None,
            ));
        }
        if let Some(name) = text.strip_suffix('.') {
            return Err(error(
                "a name in a certificate has no trailing dot",
                Some(name),
            ));
        }
        let lower = text.to_ascii_lowercase();
        let labels = lower.strip_prefix("*.").unwrap_or(&lower);
        if labels.contains('*') {
            return Err(error(
                "a wildcard is the whole first label, as in *.example.com (RFC 6125, section 6.4.3)",
                None,
            ));
        }
        if lower.len() > 253 {
            return Err(error("a DNS name has at most 253 characters", None));
        }
        if !labels.split('.').all(is_dns_label) {
            return Err(error(
                "every part is letters, digits, '-' or '_', at most 63, with no '-' at either end",
                None,
            ));
        }
        // `1.2.3` or `300.1.1.1`: no top-level domain is a number (RFC 3696, section 2).
        if labels
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(error("it looks like an IP address but is not one", None));
        }
        if lower.starts_with("*.") && !labels.contains('.') {
            return Err(error(
                "a wildcard needs at least two labels after it to be accepted",
                None,
            ));
        }
        Ok(Self::Dns(lower))
    }
}

fn without_port(authority: &str) -> &str {
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match authority.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => authority,
    }
}

/// A DNS label as certificates have them (RFC 1123, section 2.1, plus `_`, which
/// Go and OpenSSL accept too).
pub(super) fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Host>().unwrap_err().to_string()
    }

    #[test]
    fn names_addresses_and_wildcards_are_read() {
        assert_eq!("Example.COM".parse(), Ok(Host::Dns("example.com".into())));
        assert_eq!(
            "*.example.com".parse(),
            Ok(Host::Dns("*.example.com".into()))
        );
        assert_eq!("my_host".parse(), Ok(Host::Dns("my_host".into())));
        assert_eq!(
            "::1".parse::<Host>().unwrap().to_san(),
            San::Ip("::1".parse().unwrap())
        );
        assert_eq!("10.0.0.1".parse::<Host>().unwrap().to_string(), "10.0.0.1");
    }

    #[test]
    fn what_was_meant_is_said() {
        assert!(error("https://example.com/x").contains("did you mean example.com?"));
        assert!(error("https://[::1]:9443").contains("did you mean ::1?"));
        assert!(error("host:443").contains("did you mean host?"));
        assert!(error("[::1]").contains("did you mean ::1?"));
        assert!(error("[::1]:443").contains("did you mean ::1?"));
        assert!(error("example.com.").contains("did you mean example.com?"));
        assert!(error("10.0.0.0/8").contains("network"));
        assert!(error("a b").contains("white space"));
        assert!(error("a,b").contains("comma"));
    }

    #[test]
    fn a_suggestion_is_looked_for_once() {
        for text in [
            "fe80::1%eth0",
            "a:b:c",
            "::x",
            &"[".repeat(100_000),
            &":".repeat(100_000),
        ] {
            assert_eq!(text.parse::<Host>().unwrap_err().meant, None);
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for text in [
            "",
            "-a",
            "a-",
            "a..b",
            "*",
            "*.com",
            "a*.b.c",
            "*.*.a.b",
            "1.2.3",
            "300.1.1.1",
            "ü.de",
            "a\0b",
            "me@host",
            ".",
            "*.",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text:?} was accepted");
        }
        assert!(error(&"a".repeat(64)).contains("63"));
        assert!(error(&["abcdefgh"; 40].join(".")).contains("253"));
    }
}
