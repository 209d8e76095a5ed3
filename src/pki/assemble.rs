//! From a grant to signed DER: what it asks for is checked and laid out, one signature is
//! made. A request is laid out by rcgen, and the exact subject put in place.

use std::cell::RefCell;

use rcgen::{CertificateParams, PublicKeyData, SignatureAlgorithm, SigningKey};

use super::encoder::Encoder;
use super::extension::is_printable_url;
use super::{Grant, PrivateKey, PublicKey, Serial, Validity};
use super::{der, layout};

/// A signing key that keeps what it is asked to sign and signs nothing.
struct Capture<'a> {
    key: &'a rcgen::KeyPair,
    message: RefCell<Vec<u8>>,
}

impl PublicKeyData for Capture<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(self.key)
    }
}

impl SigningKey for Capture<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.message.replace(message.to_vec());
        Ok(Vec::new())
    }
}

/// What the layout or the signature failed on; the caller names the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AssembleError {
    #[error(transparent)]
    Name(#[from] super::SanError),
    #[error(transparent)]
    PublicKey(#[from] super::PublicKeyError),
    #[error(transparent)]
    Url(#[from] super::ExtensionError),
    #[error("{0:?} is not a DNS name that a CA can be constrained to")]
    Constraint(String),
    #[error("{0}/{1} is not an address range")]
    Range(std::net::IpAddr, u8),
    #[error("the extension {0} is given twice")]
    TwiceExtension(super::Oid),
    #[error(
        "the common name has {0} characters; X.520 allows {max}: leave it out, since subject alternative names carry the identity",
        max = super::MAX_COMMON_NAME
    )]
    CommonName(usize),
    #[error(
        "the validity from {from} to {to} lies outside the years 1950 to 9999, which are all that X.509 can write"
    )]
    Dates { from: String, to: String },
    #[error("could not encode or sign: {0}")]
    Encoding(String),
}

/// The issuing side of a certificate.
pub(super) struct IssuerSide<'a> {
    /// The issuer's subject, byte for byte.
    pub(super) name: &'a [u8],
    /// The issuer's subject key identifier; `None` leaves the AKI extension out.
    pub(super) key_identifier: Option<&'a [u8]>,
    pub(super) key: &'a PrivateKey,
}

/// A signed certificate in DER, with `validity` in place of the grant's own.
pub(super) fn certificate(
    grant: &Grant,
    validity: Validity,
    public_key: &PublicKey,
    serial: Serial,
    issuer: &IssuerSide<'_>,
) -> Result<Vec<u8>, AssembleError> {
    check(grant, validity)?;
    public_key.check_issuable()?;
    let algorithm = issuer
        .key
        .signature_algorithm()
        .ok_or_else(|| encoding("no algorithm"))?;
    let message = layout::certificate(grant, validity, public_key, serial, issuer, algorithm)?;
    signed(&message, algorithm, issuer.key)
}

/// A signed certificate signing request in DER, with SANs as its only requested extension.
pub(super) fn request(
    subject: &super::DistinguishedName,
    names: &[super::San],
    key: &PrivateKey,
) -> Result<Vec<u8>, AssembleError> {
    check_common_name(subject)?;
    names.iter().try_for_each(super::San::check)?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = names
        .iter()
        .map(super::San::to_rcgen)
        .collect::<Result<_, _>>()?;
    let capture = Capture {
        key: key.signer(),
        message: RefCell::default(),
    };
    let request = params.serialize_request(&capture).map_err(encoding)?;
    let laid_out = capture.message.take();

    // The algorithm identifier is beside the signature alone (RFC 2986, section 4.2).
    let outer = der::single(request.der(), der::SEQUENCE).map_err(encoding)?;
    let outer = der::elements(outer.content).map_err(encoding)?;
    let algorithm = outer
        .get(1)
        .map(|field| field.whole)
        .ok_or_else(|| encoding("no algorithm"))?;
    // CertificationRequestInfo: version, subject, subjectPKInfo, attributes (RFC 2986, 4.1)
    let info = der::single(&laid_out, der::SEQUENCE).map_err(encoding)?;
    let fields = der::elements(info.content).map_err(encoding)?;
    let parts: Vec<&[u8]> = fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            if index == 1 {
                subject.as_der()
            } else {
                field.whole
            }
        })
        .collect();
    signed(&der::sequence(&parts), algorithm, key)
}

fn signed(message: &[u8], algorithm: &[u8], key: &PrivateKey) -> Result<Vec<u8>, AssembleError> {
    let signature = key.sign(message).map_err(encoding)?;
    let parts = message.len() + algorithm.len() + signature.len();
    let mut encoder = Encoder::with_capacity(parts + 16);
    encoder.sequence(|outer| {
        outer.encoded(message);
        outer.encoded(algorithm);
        outer.bits(0, &signature);
    });
    Ok(encoder.into_der())
}

/// Refuses what cannot be encoded, or what no reader accepts.
fn check(grant: &Grant, validity: Validity) -> Result<(), AssembleError> {
    check_common_name(&grant.subject)?;
    grant.names.iter().try_for_each(super::San::check)?;
    let Validity {
        not_before,
        not_after,
    } = validity;
    if ![not_before, not_after]
        .iter()
        .all(|at| at.offset().is_utc() && (1950..=9999).contains(&at.year()))
    {
        return Err(AssembleError::Dates {
            from: not_before.to_string(),
            to: not_after.to_string(),
        });
    }
    if let Some(url) = grant.crl_urls.iter().find(|url| !is_printable_url(url)) {
        return Err(super::ExtensionError::Url(url.clone()).into());
    }
    if grant.ca.is_some() {
        check_constraints(&grant.name_constraints)?;
    }
    let mut seen: Vec<&super::Oid> = Vec::new();
    for extension in &grant.extensions {
        if seen.contains(&extension.oid()) {
            return Err(AssembleError::TwiceExtension(extension.oid().clone()));
        }
        seen.push(extension.oid());
    }
    Ok(())
}

fn check_common_name(subject: &super::DistinguishedName) -> Result<(), AssembleError> {
    let longest = subject
        .common_names()
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    if longest > super::MAX_COMMON_NAME {
        return Err(AssembleError::CommonName(longest));
    }
    Ok(())
}

fn check_constraints(constraints: &super::NameConstraints) -> Result<(), AssembleError> {
    for domain in &constraints.permitted_dns {
        // A leading dot asks for a label in front (Go, OpenSSL and webpki agree).
        let bare = domain.strip_prefix('.').unwrap_or(domain);
        if !bare.split('.').all(super::host::is_dns_label) {
            return Err(AssembleError::Constraint(domain.clone()));
        }
    }
    for (address, prefix) in &constraints.permitted_ip {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if *prefix > bits {
            return Err(AssembleError::Range(*address, *prefix));
        }
    }
    Ok(())
}

fn encoding(error: impl std::fmt::Display) -> AssembleError {
    AssembleError::Encoding(error.to_string())
}
