//! Subject alternative names.

use std::fmt;
use std::net::IpAddr;

use super::{Host, der};

/// One subject alternative name (RFC 5280, section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum San {
    /// `dNSName`
    Dns(String),
    /// `iPAddress`
    Ip(IpAddr),
    /// `rfc822Name`
    Email(String),
    /// `uniformResourceIdentifier`
    Uri(String),
    /// A kind that certtool never issues; named so that a refusal can say which.
    Other(&'static str),
}

/// The most names that a certificate of ours has. TLS peers bound the certificate
/// message (rustls: 64 KiB); a certificate that nobody can present is of no use.
pub const MAX_NAMES: usize = 1000;

/// The most octets that the names of a certificate of ours take.
const MAX_NAME_OCTETS: usize = 32 * 1024;

/// Why names cannot be put into a certificate, or read from one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SanError {
    /// The extension's value is not a `GeneralNames`.
    #[error("the subject alternative name extension is malformed")]
    Malformed,
    /// A name has characters that its type does not allow.
    #[error("subject alternative name {0:?} has characters that a certificate cannot carry")]
    Characters(String),
    /// A name that no client can ask for.
    #[error("subject alternative name {name:?} matches nothing: {problem}")]
    Useless {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More or longer names than a TLS peer accepts.
    #[error(
        "{count} names of {octets} bytes in all are too many for one certificate (at most {MAX_NAMES} names \
         and {MAX_NAME_OCTETS} bytes): TLS peers refuse such a certificate; use a wildcard, or several certificates"
    )]
    TooMany {
        /// How many names.
        count: usize,
        /// Their length in all, in octets.
        octets: usize,
    },
}

impl San {
    /// The type in the words of `openssl x509 -text`: `DNS`, `IP`, `email`, `URI`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "DNS",
            Self::Ip(_) => "IP",
            Self::Email(_) => "email",
            Self::Uri(_) => "URI",
            Self::Other(kind) => kind,
        }
    }

    /// The name alone, without its type.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => text.clone(),
            Self::Ip(ip) => ip.to_string(),
            Self::Other(kind) => format!("({kind})"),
        }
    }

    /// Refuses a name that a certificate should not carry: clients compare DNS names
    /// label by label and addresses as addresses, so that `DNS:10.0.0.1`, `DNS:a..b`
    /// or `DNS:host:443` would be a certificate that never matches.
    ///
    /// # Errors
    /// [`SanError::Useless`] or [`SanError::Characters`].
    pub fn check(&self) -> Result<(), SanError> {
        let useless = |name: &str, problem| {
            Err(SanError::Useless {
                name: name.to_owned(),
                problem,
            })
        };
        match self {
            Self::Dns(name) => match name.parse::<Host>() {
                Ok(Host::Dns(_)) => Ok(()),
                Ok(Host::Ip(_)) => useless(
                    name,
                    "it is an IP address, which clients look for among the IP addresses only",
                ),
                Err(error) => useless(name, error.problem),
            },
            Self::Email(text) | Self::Uri(text) if text.is_empty() => useless(text, "it is empty"),
            Self::Other(kind) => useless(kind, "names of this kind are not issued"),
            Self::Email(_) | Self::Uri(_) | Self::Ip(_) => self.to_rcgen().map(|_| ()),
        }
    }

    pub(super) fn to_rcgen(&self) -> Result<rcgen::SanType, SanError> {
        let ia5 = |text: &str| {
            if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
                return Err(SanError::Characters(text.to_owned()));
            }
            text.try_into()
                .map_err(|_| SanError::Characters(text.to_owned()))
        };
        Ok(match self {
            Self::Dns(text) => rcgen::SanType::DnsName(ia5(text)?),
            Self::Email(text) => rcgen::SanType::Rfc822Name(ia5(text)?),
            Self::Uri(text) => rcgen::SanType::URI(ia5(text)?),
            Self::Ip(ip) => rcgen::SanType::IpAddress(*ip),
            Self::Other(kind) => return Err(SanError::Characters((*kind).to_owned())),
        })
    }

    /// The names in the value of a subjectAltName extension.
    ///
    /// Stricter than x509-parser: a name with an octet outside printable ASCII (a NUL
    /// among them) is an error, not a string to be compared later.
    pub(super) fn parse_extension(value: &[u8]) -> Result<Vec<Self>, SanError> {
        let names = der::single(value, der::SEQUENCE).map_err(|_| SanError::Malformed)?;
        let names = der::elements(names.content).map_err(|_| SanError::Malformed)?;
        if names.is_empty() {
            return Err(SanError::Malformed);
        }
        names
            .into_iter()
            .map(|name| {
                let text = || {
                    std::str::from_utf8(name.content)
                        .ok()
                        .filter(|text| text.bytes().all(|byte| (0x20..0x7f).contains(&byte)))
                        .map(str::to_owned)
                        .ok_or_else(|| {
                            SanError::Characters(String::from_utf8_lossy(name.content).into_owned())
                        })
                };
                // Context-specific tags of GeneralName.
                match name.identifier {
                    0x81 => text().map(Self::Email),
                    0x82 => text().map(Self::Dns),
                    0x86 => text().map(Self::Uri),
                    0x87 => ip_from_octets(name.content)
                        .map(Self::Ip)
                        .ok_or(SanError::Malformed),
                    0xa0 => Ok(Self::Other("otherName")),
                    0xa3 => Ok(Self::Other("x400Address")),
                    0xa4 => Ok(Self::Other("directoryName")),
                    0xa5 => Ok(Self::Other("ediPartyName")),
                    0x88 => Ok(Self::Other("registeredID")),
                    _ => Err(SanError::Malformed),
                }
            })
            .collect()
    }
}

fn ip_from_octets(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(Into::into)
}

/// Refuses names that would make a certificate too large to present.
///
/// # Errors
/// [`SanError::TooMany`].
pub fn check_size(names: &[San]) -> Result<(), SanError> {
    let octets = names.iter().map(|name| name.value().len() + 2).sum();
    if names.len() > MAX_NAMES || octets > MAX_NAME_OCTETS {
        return Err(SanError::TooMany {
            count: names.len(),
            octets,
        });
    }
    Ok(())
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(kind) => f.write_str(kind),
            _ => write!(f, "{}:{}", self.kind(), self.value()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn general_name(identifier: u8, content: &[u8]) -> Vec<u8> {
        let mut name = vec![identifier, u8::try_from(content.len()).unwrap()];
        name.extend_from_slice(content);
        der::sequence(&[&name])
    }

    #[test]
    fn a_nul_or_a_non_ascii_octet_in_a_name_is_refused() {
        for bad in [&b"a.b\0c.d"[..], "ü.de".as_bytes(), b"a\nb", &[0xff]] {
            assert!(matches!(
                San::parse_extension(&general_name(0x82, bad)),
                Err(SanError::Characters(_))
            ));
        }
    }

    #[test]
    fn address_lengths_other_than_4_and_16_are_refused() {
        assert_eq!(
            San::parse_extension(&general_name(0x87, &[127, 0, 0, 1])).unwrap(),
            [San::Ip("127.0.0.1".parse().unwrap())]
        );
        assert_eq!(
            San::parse_extension(&general_name(0x87, &[127, 0, 0])),
            Err(SanError::Malformed)
        );
    }

    #[test]
    fn too_many_names_are_refused_with_their_count() {
        let names: Vec<_> = (0..2000)
            .map(|i| San::Dns(format!("n{i}.example.com")))
            .collect();
        let error = check_size(&names).unwrap_err().to_string();
        assert!(error.contains("2000 names"), "{error}");
        assert!(check_size(&names[..1000]).is_ok());
    }

    #[test]
    fn names_that_match_nothing_are_refused() {
        for bad in [
            "", "10.0.0.1", "::1", "a..b", "host:443", "*", "*.com", "a b", "ü.de", "x.",
        ] {
            let error = San::Dns(bad.to_owned()).check().unwrap_err();
            assert!(
                matches!(error, SanError::Useless { .. }),
                "{bad:?}: {error}"
            );
        }
        for good in ["a", "Example.COM", "*.example.com", "a_b.c"] {
            assert_eq!(San::Dns(good.to_owned()).check(), Ok(()));
        }
        assert!(San::Other("otherName").check().is_err());
        assert!(San::Uri("http://ü".to_owned()).check().is_err());
        assert!(San::Email(String::new()).check().is_err());
    }
}
