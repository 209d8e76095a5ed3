//! What is signed in a certificate (TBSCertificate, RFC 5280, section 4.1), from a grant
//! that was checked.
//!
//! The order of the extensions is rcgen's; a test compares every octet with what rcgen lays
//! out for the same grant.

use std::net::IpAddr;

use aws_lc_rs::digest;

use super::assemble::{AssembleError, IssuerSide};
use super::encoder::Encoder;
use super::{Grant, NameConstraints, PublicKey, San, SanError, Serial, Validity, der};

/// The last arc of `id-ce` extensions (RFC 5280, section 4.2.1).
const SUBJECT_KEY_IDENTIFIER: u8 = 14;
const KEY_USAGE: u8 = 15;
const SUBJECT_ALT_NAME: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
const NAME_CONSTRAINTS: u8 = 30;
const CRL_DISTRIBUTION_POINTS: u8 = 31;
const AUTHORITY_KEY_IDENTIFIER: u8 = 35;
const EXTENDED_KEY_USAGE: u8 = 37;

/// GeneralName's tags (RFC 5280, section 4.2.1.6).
const RFC822_NAME: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const IP_ADDRESS: u8 = 0x87;

/// More than most certificates take.
const USUAL_OCTETS: usize = 1000;

/// The TBSCertificate, with `dates` in place of the grant's own; `algorithm` is the encoded identifier of the signature's.
pub(super) fn certificate(
    grant: &Grant,
    dates: Validity,
    public_key: &PublicKey,
    serial: Serial,
    issuer: &IssuerSide<'_>,
    algorithm: &[u8],
) -> Result<Vec<u8>, AssembleError> {
    let names = subject_alt_names(&grant.names)?;
    let mut encoder = Encoder::with_capacity(USUAL_OCTETS);
    encoder.sequence(|tbs| {
        // v3
        tbs.constructed(0xa0, |version| version.primitive(der::INTEGER, &[2]));
        tbs.primitive(der::INTEGER, serial.as_bytes());
        tbs.encoded(algorithm);
        tbs.encoded(issuer.name);
        tbs.sequence(|validity| {
            validity.time(dates.not_before);
            validity.time(dates.not_after);
        });
        tbs.encoded(grant.subject.as_der());
        tbs.encoded(public_key.spki());
        tbs.constructed(0xa3, |field| {
            field.sequence(|list| extensions(list, grant, public_key, issuer, &names));
        });
    });
    Ok(encoder.into_der())
}

fn extensions(
    list: &mut Encoder,
    grant: &Grant,
    public_key: &PublicKey,
    issuer: &IssuerSide<'_>,
    names: &[u8],
) {
    if let Some(identifier) = issuer.key_identifier {
        extension(list, AUTHORITY_KEY_IDENTIFIER, false, |value| {
            value.sequence(|value| value.primitive(0x80, identifier));
        });
    }
    if !grant.names.is_empty() {
        // The identity is there alone when there is no subject (section 4.1.2.6).
        let critical = grant.subject.is_empty();
        extension(list, SUBJECT_ALT_NAME, critical, |value| {
            value.primitive(der::SEQUENCE, names);
        });
    }
    usages(list, grant);
    if grant.ca.is_some() && !grant.name_constraints.is_empty() {
        extension(list, NAME_CONSTRAINTS, true, |value| {
            value.sequence(|value| {
                value.constructed(0xa0, |trees| permitted(trees, &grant.name_constraints));
            });
        });
    }
    if !grant.crl_urls.is_empty() {
        extension(list, CRL_DISTRIBUTION_POINTS, false, |value| {
            value.sequence(|points| {
                for url in &grant.crl_urls {
                    // distributionPoint [0] { fullName [0] { URI } }
                    points.sequence(|point| {
                        point.constructed(0xa0, |name| {
                            name.constructed(0xa0, |full| full.primitive(URI, url.as_bytes()));
                        });
                    });
                }
            });
        });
    }
    let key_identifier = digest::digest(&digest::SHA256, public_key.spki());
    extension(list, SUBJECT_KEY_IDENTIFIER, false, |value| {
        // 160 of its bits (RFC 7093, section 2).
        let octets = key_identifier.as_ref();
        value.primitive(der::OCTET_STRING, octets.get(..20).unwrap_or(octets));
    });
    extension(list, BASIC_CONSTRAINTS, true, |value| {
        value.sequence(|value| {
            if let Some(ca) = grant.ca {
                value.yes();
                if let Some(length) = ca.path_length {
                    // Not negative.
                    let octets = [0, length];
                    let octets = if length < 0x80 { &octets[1..] } else { &octets };
                    value.primitive(der::INTEGER, octets);
                }
            }
        });
    });
    for own in &grant.extensions {
        list.sequence(|extension| {
            extension.encoded(&der::oid(own.oid()));
            if own.is_critical() {
                extension.yes();
            }
            extension.primitive(der::OCTET_STRING, own.value());
        });
    }
}

/// One `id-ce` extension.
fn extension(list: &mut Encoder, number: u8, critical: bool, value: impl FnOnce(&mut Encoder)) {
    list.sequence(|extension| {
        extension.primitive(der::OID, &[0x55, 0x1d, number]);
        if critical {
            extension.yes();
        }
        extension.constructed(der::OCTET_STRING, value);
    });
}

/// Key usage and extended key usage, each when there is any.
fn usages(list: &mut Encoder, grant: &Grant) {
    let bits = grant
        .usages
        .iter()
        .filter_map(|usage| usage.bit())
        .fold(0, |bits, bit| bits | 0x8000_u16 >> bit);
    if bits != 0 {
        extension(list, KEY_USAGE, true, |value| {
            let octets = bits.to_be_bytes();
            // Named bits: zeros at the end are left out (X.690, section 11.2.2).
            let octets = if octets[1] == 0 {
                &octets[..1]
            } else {
                &octets
            };
            let last = octets.last().copied().unwrap_or(1);
            // At most 7, since the last octet has a bit.
            value.bits(last.trailing_zeros().to_be_bytes()[3], octets);
        });
    }
    let mut purposes: Vec<&[u64]> = Vec::with_capacity(grant.usages.len());
    for purpose in grant.usages.iter().filter_map(|usage| usage.purpose()) {
        if !purposes.contains(&purpose) {
            purposes.push(purpose);
        }
    }
    if !purposes.is_empty() {
        extension(list, EXTENDED_KEY_USAGE, false, |value| {
            value.sequence(|value| {
                for purpose in purposes {
                    value.encoded(&der::oid(&super::Oid::known(purpose)));
                }
            });
        });
    }
}

/// The names, encoded one after the other.
fn subject_alt_names(names: &[San]) -> Result<Vec<u8>, SanError> {
    let mut encoder = Encoder::with_capacity(USUAL_OCTETS / 4);
    for name in names {
        match name {
            San::Dns(text) => encoder.primitive(DNS_NAME, text.as_bytes()),
            San::Email(text) => encoder.primitive(RFC822_NAME, text.as_bytes()),
            San::Uri(text) => encoder.primitive(URI, text.as_bytes()),
            San::Ip(ip) => address(&mut encoder, *ip, None),
            San::Other(kind) => return Err(SanError::Characters((*kind).to_owned())),
        }
    }
    Ok(encoder.into_der())
}

/// Octets of an address, and of the mask of a range (RFC 5280, section 4.2.1.10).
fn address(encoder: &mut Encoder, ip: IpAddr, prefix: Option<u8>) {
    encoder.constructed(IP_ADDRESS, |content| match ip {
        IpAddr::V4(ip) => {
            content.encoded(&ip.octets());
            if let Some(prefix) = prefix {
                let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                content.encoded(&(!host).to_be_bytes());
            }
        }
        IpAddr::V6(ip) => {
            content.encoded(&ip.octets());
            if let Some(prefix) = prefix {
                let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                content.encoded(&(!host).to_be_bytes());
            }
        }
    });
}

fn permitted(trees: &mut Encoder, constraints: &NameConstraints) {
    for domain in &constraints.permitted_dns {
        trees.sequence(|tree| tree.primitive(DNS_NAME, domain.as_bytes()));
    }
    for (ip, prefix) in &constraints.permitted_ip {
        trees.sequence(|tree| address(tree, *ip, Some(*prefix)));
    }
}

#[cfg(test)]
mod tests;
