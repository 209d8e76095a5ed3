//! From a grant to signed DER: rcgen lays the certificate out, the exact names are
//! put in place, one signature is made.

use std::cell::RefCell;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CrlDistributionPoint, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, PublicKeyData,
    SerialNumber, SignatureAlgorithm, SigningKey,
};

use super::der;
use super::{Grant, PrivateKey, PublicKey, Serial};

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
    #[error("{0:?} cannot be written into a certificate")]
    Text(String),
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
        .signed_by(&public_key.to_rcgen()?, &rcgen_issuer)
        .map_err(encoding)?;
    let laid_out = capture.message.take();

    // TBSCertificate: version, serialNumber, signature, issuer, validity, subject, … (RFC 5280, 4.1)
    let tbs = der::single(&laid_out, der::SEQUENCE).map_err(encoding)?;
    let fields = der::elements(tbs.content).map_err(encoding)?;
    let parts: Vec<&[u8]> = fields
        .iter()
        .enumerate()
        .map(|(index, field)| match index {
            3 => issuer.name,
            5 => grant.subject.as_der(),
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
        .map(|(oid, critical, value)| {
            let mut extension = CustomExtension::from_oid_content(oid, value.clone());
            extension.set_criticality(*critical);
            extension
        })
        .collect();
    Ok(params)
}

fn name_constraints(
    constraints: &super::NameConstraints,
) -> Result<rcgen::NameConstraints, AssembleError> {
    let mut permitted = Vec::new();
    for domain in &constraints.permitted_dns {
        if !domain.is_ascii() {
            return Err(AssembleError::Text(domain.clone()));
        }
        permitted.push(GeneralSubtree::DnsName(domain.clone()));
    }
    for (address, prefix) in &constraints.permitted_ip {
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
