//! From the entries of `hosts` to subject alternative names.

use std::net::IpAddr;

use crate::pki::San;

/// What cfssl makes of one entry (`csr/csr.go`, `GenerateDER`): an IP address, an e-mail
/// address, a URI, else a DNS name.
///
/// Stricter than there: cfssl takes `localhost:8080` for a URI with the scheme
/// `localhost` and `Somebody <a@b>` for an e-mail address, and puts a name with spaces
/// or a trailing dot, which matches nothing, into the certificate.
pub(super) fn read(host: &str) -> Result<San, String> {
    let san = if let Ok(ip) = host.parse::<IpAddr>() {
        San::Ip(ip.to_canonical())
    } else if is_plain_email(host) {
        San::Email(host.to_owned())
    } else if is_plain_uri(host) {
        San::Uri(host.to_owned())
    } else {
        San::Dns(host.to_owned())
    };
    match san.check() {
        Ok(()) => Ok(san),
        Err(error) if host.contains("://") => Err(format!(
            "{error}; of URIs, only those without port, user, fragment and escapes are accepted"
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// In the order in which Go writes them into a certificate, and an IPv4 address in
/// IPv6's clothes as what it is (`crypto/x509`, `marshalSANs`).
pub(super) fn in_order(names: impl IntoIterator<Item = San>) -> Vec<San> {
    let mut names: Vec<San> = names
        .into_iter()
        .map(|name| match name {
            San::Ip(ip) => San::Ip(ip.to_canonical()),
            name => name,
        })
        .collect();
    names.sort_by_key(|name| match name {
        San::Dns(_) => 0,
        San::Email(_) => 1,
        San::Ip(_) => 2,
        San::Uri(_) => 3,
        San::Other(_) => 4,
    });
    names
}

/// `local@domain` of dot-atoms (RFC 5322, section 3.4.1), which Go's `net/mail` reads
/// as just that.
fn is_plain_email(text: &str) -> bool {
    let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let dot_atom = |text: &str| {
        text.split('.')
            .all(|part| !part.is_empty() && part.bytes().all(atom))
    };
    text.split_once('@')
        .is_some_and(|(local, domain)| dot_atom(local) && dot_atom(domain))
}

/// A URI that Go's `net/url` writes back as it was read.
pub(super) fn is_plain_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let lower =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let scheme_is_plain =
        scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(lower);
    let unescaped = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte))
    };
    let Some(rest) = rest.strip_prefix("//") else {
        // `host:port` looks the same as any other URI without an authority.
        return scheme == "urn" && !rest.is_empty() && unescaped(rest);
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host_is_plain = host.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    scheme_is_plain && host_is_plain && unescaped(path) && unescaped(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_of_the_type_that_cfssl_gives_it() {
        let kind = |host: &str| read(host).unwrap().kind();
        for host in ["localhost", "Example.COM", "*.example.com", "a_b.c"] {
            assert_eq!(kind(host), "DNS", "{host}");
        }
        for host in ["10.0.0.1", "::1", "fd00::1"] {
            assert_eq!(kind(host), "IP", "{host}");
        }
        for host in ["a@b", "first.last+tag@example.com", "a/b@c.d"] {
            assert_eq!(kind(host), "email", "{host}");
        }
        for host in [
            "spiffe://cluster.local/ns/a/sa/b",
            "https://a/b?c=d",
            "urn:uuid:1-2",
        ] {
            assert_eq!(kind(host), "URI", "{host}");
        }
        assert_eq!(read("::ffff:10.0.0.1"), read("10.0.0.1"));
    }

    #[test]
    fn what_cfssl_reads_into_something_else_is_refused() {
        for host in [
            "",
            "localhost:8080",
            "10.0.0.1:80",
            "fe80::1%eth0",
            "Somebody <a@b>",
            "a b",
            "x.",
            "/path",
            "http://a/%41",
            "http://a/#b",
            "http://u@h/",
            "HTTP://a",
            "http://a:80/",
            "http://ü/",
            "010.0.0.1",
            "ü.de",
            "a@b@c",
            "a..b@c",
            "mailto:a@b",
            "http://",
        ] {
            assert!(read(host).is_err(), "{host:?}: {:?}", read(host));
        }
    }

    #[test]
    fn names_are_grouped_by_type_and_keep_their_order_within() {
        let names = ["spiffe://a/b", "::1", "b", "a@b", "a"].map(|host| read(host).unwrap());
        let values: Vec<_> = in_order(names).iter().map(San::value).collect();
        assert_eq!(values, ["b", "a", "a@b", "::1", "spiffe://a/b"]);
    }
}
