//! From a grant to signed DER: rcgen lays the certificate out, the exact names are
//! put in place, one signature is made.

use std::cell::RefCell;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CrlDistributionPoint, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, PublicKeyData,
    SerialNumber, SignatureAlgorithm, SigningKey,
};

use super::der;
use super::extension::is_printable_url;
use super::{Grant, PrivateKey, PublicKey, Serial, Validity};

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

/// A signed certificate in DER.
pub(super) fn certificate(
    grant: &Grant,
    public_key: &PublicKey,
    serial: Serial,
    issuer: &IssuerSide<'_>,
) -> Result<Vec<u8>, AssembleError> {
    check(grant)?;
    let params = params(grant, serial, issuer.key_identifier.is_some())?;
    let capture = Capture {
        key: issuer.key.signer(),
        message: RefCell::default(),
    };
    let mut issuer_params = CertificateParams::default();
    if let Some(identifier) = issuer.key_identifier {
        issuer_params.key_identifier_method = KeyIdMethod::PreSpecified(identifier.to_vec());
    }
    let rcgen_issuer = Issuer::from_params(&issuer_params, &capture);
    params
        .signed_by(&public_key.for_layout()?, &rcgen_issuer)
        .map_err(encoding)?;
    let laid_out = capture.message.take();

    // TBSCertificate: version, serialNumber, signature, issuer, validity, subject,
    // subjectPublicKeyInfo, … (RFC 5280, section 4.1)
    let tbs = der::single(&laid_out, der::SEQUENCE).map_err(encoding)?;
    let fields = der::elements(tbs.content).map_err(encoding)?;
    let parts: Vec<&[u8]> = fields
        .iter()
        .enumerate()
        .map(|(index, field)| match index {
            3 => issuer.name,
            5 => grant.subject.as_der(),
            6 => public_key.spki(),
            _ => field.whole,
        })
        .collect();
    let algorithm = fields
        .get(2)
        .map(|field| field.whole)
        .ok_or_else(|| encoding("no algorithm"))?;
    signed(&der::sequence(&parts), algorithm, issuer.key)
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
    params.distinguished_name = placeholder(subject);
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
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(message);
            writer.next().write_der(algorithm);
            writer
                .next()
                .write_bitvec_bytes(&signature, signature.len() * 8);
        });
    }))
}

fn params(
    grant: &Grant,
    serial: Serial,
    with_aki: bool,
) -> Result<CertificateParams, AssembleError> {
    let mut params = CertificateParams::default();
    params.not_before = grant.validity.not_before;
    params.not_after = grant.validity.not_after;
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.distinguished_name = placeholder(&grant.subject);
    params.subject_alt_names = grant
        .names
        .iter()
        .map(super::San::to_rcgen)
        .collect::<Result<_, _>>()?;
    params.key_usages = grant
        .usages
        .iter()
        .filter_map(|usage| usage.to_key_usage())
        .collect();
    let mut purposes: Vec<ExtendedKeyUsagePurpose> = Vec::new();
    for purpose in grant.usages.iter().filter_map(|usage| usage.to_extended()) {
        if !purposes.contains(&purpose) {
            purposes.push(purpose);
        }
    }
    params.extended_key_usages = purposes;
    params.is_ca = match grant.ca {
        None => IsCa::ExplicitNoCa,
        Some(ca) => IsCa::Ca(ca.path_length.map_or(
            BasicConstraints::Unconstrained,
            BasicConstraints::Constrained,
        )),
    };
    params.use_authority_key_identifier_extension = with_aki;
    if grant.ca.is_some() && !grant.name_constraints.is_empty() {
        params.name_constraints = Some(name_constraints(&grant.name_constraints)?);
    }
    params.crl_distribution_points = grant
        .crl_urls
        .iter()
        .map(|url| CrlDistributionPoint {
            uris: vec![url.clone()],
        })
        .collect();
    params.custom_extensions = grant
        .extensions
        .iter()
        .map(|extension| {
            let mut custom = CustomExtension::from_oid_content(
                extension.oid().arcs(),
                extension.value().to_vec(),
            );
            custom.set_criticality(extension.is_critical());
            custom
        })
        .collect();
    Ok(params)
}

/// Refuses what rcgen would panic on, or what no reader accepts.
fn check(grant: &Grant) -> Result<(), AssembleError> {
    check_common_name(&grant.subject)?;
    grant.names.iter().try_for_each(super::San::check)?;
    let Validity {
        not_before,
        not_after,
    } = grant.validity;
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

fn name_constraints(
    constraints: &super::NameConstraints,
) -> Result<rcgen::NameConstraints, AssembleError> {
    let mut permitted = Vec::new();
    for domain in &constraints.permitted_dns {
        // A leading dot asks for a label in front (Go, OpenSSL and webpki agree).
        let bare = domain.strip_prefix('.').unwrap_or(domain);
        if !bare.split('.').all(super::host::is_dns_label) {
            return Err(AssembleError::Constraint(domain.clone()));
        }
        permitted.push(GeneralSubtree::DnsName(domain.clone()));
    }
    for (address, prefix) in &constraints.permitted_ip {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if *prefix > bits {
            return Err(AssembleError::Range(*address, *prefix));
        }
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
            *address, *prefix,
        )));
    }
    Ok(rcgen::NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: Vec::new(),
    })
}

/// Empty or not as the real subject is: rcgen marks the SAN extension critical by it
/// (RFC 5280, section 4.1.2.6).
fn placeholder(subject: &super::DistinguishedName) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    if !subject.is_empty() {
        name.push(DnType::CommonName, "placeholder");
    }
    name
}

fn encoding(error: impl std::fmt::Display) -> AssembleError {
    AssembleError::Encoding(error.to_string())
}
