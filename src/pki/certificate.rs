//! Certificates as read: what they say, without judging it.

use std::fmt;

use aws_lc_rs::digest;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::FromDer;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry as oids;

use super::{
    CaConstraint, DistinguishedName, PublicKey, San, SignatureError, Subtrees, Usage, Validity,
};
use super::{pem_blocks, shape, signature};

/// A certificate: its DER and what it says.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// X.509 version, 3 for every certificate that rustls accepts.
    pub version: u32,
    /// The subject.
    pub subject: DistinguishedName,
    /// The issuer.
    pub issuer: DistinguishedName,
    /// The serial number in lower-case hexadecimal.
    pub serial: String,
    /// The dates.
    pub validity: Validity,
    /// The subject alternative names.
    pub names: Vec<San>,
    /// Basic constraints, when they make it a CA.
    pub ca: Option<CaConstraint>,
    /// Key usages, `None` without the extension (which then restricts nothing).
    pub key_usages: Option<Vec<Usage>>,
    /// Extended key usages that have a name, `None` without the extension.
    pub extended_usages: Option<Vec<Usage>>,
    /// The public key.
    pub public_key: PublicKey,
    /// The signature algorithm's name, or its OID.
    pub signature_algorithm: String,
    /// The subject key identifier.
    pub subject_key_id: Option<Vec<u8>>,
    /// The key identifier of the issuer.
    pub authority_key_id: Option<Vec<u8>>,
    /// Name constraints, when there are any.
    pub constraints: Subtrees,
}

/// Why something is not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The text is not PEM.
    #[error("{0}")]
    Pem(String),
    /// There is no certificate in the text.
    #[error("no certificate found{}", instead(.0))]
    None(Vec<String>),
    /// A private key where only certificates belong.
    #[error(
        "there is a private key among the certificates; keep it in a file of its own, readable by its owner alone"
    )]
    PrivateKey,
    /// A PEM block of another kind.
    #[error("there is a {0} block where only certificates belong")]
    Foreign(String),
    /// The DER is not a certificate.
    #[error("malformed certificate: {0}")]
    Malformed(String),
}

fn instead(labels: &[String]) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!(", but {}", labels.join(", "))
    }
}

impl Certificate {
    /// The certificate with this DER encoding, to the last byte.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`], saying which part.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let malformed = |what: &str| CertificateError::Malformed(what.to_owned());
        let (rest, parsed) =
            X509Certificate::from_der(der).map_err(|_| malformed("it does not decode"))?;
        if !rest.is_empty() {
            return Err(malformed("there are bytes after it"));
        }
        shape::certificate(der).map_err(|_| malformed("it is not strict DER"))?;
        let tbs = &parsed.tbs_certificate;
        let mut names = Vec::new();
        let mut ca = None;
        let mut key_usages = None;
        let mut extended_usages = None;
        let mut subject_key_id = None;
        let mut authority_key_id = None;
        let mut constraints = Subtrees::default();
        for (index, extension) in tbs.extensions().iter().enumerate() {
            // RFC 5280, section 4.2; Go and webpki refuse it too.
            if tbs
                .extensions()
                .iter()
                .take(index)
                .any(|before| before.oid == extension.oid)
            {
                return Err(malformed(&format!("extension {} twice", extension.oid)));
            }
            // A SAN is read by our own, stricter reader.
            if extension.oid == oids::OID_X509_EXT_SUBJECT_ALT_NAME {
                names = San::parse_extension(extension.value)
                    .map_err(|error| CertificateError::Malformed(error.to_string()))?;
                continue;
            }
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(basic) if basic.ca => {
                    let path_length = basic
                        .path_len_constraint
                        .map(|n| u8::try_from(n).unwrap_or(u8::MAX));
                    ca = Some(CaConstraint { path_length });
                }
                ParsedExtension::KeyUsage(usage) => {
                    key_usages = Some(
                        (0..9)
                            .filter(|bit| usage.flags >> bit & 1 == 1)
                            .filter_map(Usage::from_bit)
                            .collect(),
                    );
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    extended_usages = Some(purposes(usage));
                }
                ParsedExtension::SubjectKeyIdentifier(id) => subject_key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::NameConstraints(found) => constraints = Subtrees::read(found),
                ParsedExtension::ParseError { .. } => {
                    return Err(CertificateError::Malformed(format!(
                        "extension {}",
                        extension.oid
                    )));
                }
                _ => {}
            }
        }
        let name = |raw: &[u8]| {
            DistinguishedName::from_der(raw)
                .map_err(|error| CertificateError::Malformed(error.to_string()))
        };
        Ok(Self {
            version: tbs.version.0 + 1,
            subject: name(tbs.subject.as_raw())?,
            issuer: name(tbs.issuer.as_raw())?,
            serial: hex(significant(tbs.raw_serial())),
            validity: Validity::new(
                tbs.validity.not_before.to_datetime(),
                tbs.validity.not_after.to_datetime(),
            ),
            names,
            ca,
            key_usages,
            extended_usages,
            public_key: PublicKey::from_spki(tbs.subject_pki.raw)
                .map_err(|error| CertificateError::Malformed(error.to_string()))?,
            signature_algorithm: signature_name(&parsed.signature_algorithm.algorithm),
            subject_key_id,
            authority_key_id,
            constraints,
            der: der.to_vec(),
        })
    }

    /// All certificates of a PEM text, in order: a leaf and its chain, or a bundle.
    ///
    /// # Errors
    /// See [`CertificateError`]; a block that is not a certificate is one.
    pub fn all_from_pem(text: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let blocks =
            pem_blocks::parse(text).map_err(|error| CertificateError::Pem(error.to_string()))?;
        if blocks.is_empty() {
            return Err(CertificateError::None(Vec::new()));
        }
        blocks
            .iter()
            .enumerate()
            .map(|(index, block)| match block.tag() {
                "CERTIFICATE" | "X509 CERTIFICATE" => {
                    Self::from_der(block.contents()).map_err(|error| match error {
                        CertificateError::Malformed(what) if blocks.len() > 1 => {
                            CertificateError::Malformed(format!("block {}: {what}", index + 1))
                        }
                        error => error,
                    })
                }
                tag if tag.ends_with("PRIVATE KEY") => Err(CertificateError::PrivateKey),
                tag if blocks.len() == 1 => Err(CertificateError::None(vec![format!("a {tag}")])),
                tag => Err(CertificateError::Foreign(tag.to_owned())),
            })
            .collect()
    }

    /// The DER encoding.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM text, one block.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_blocks::encode("CERTIFICATE", &self.der)
    }

    /// SHA-256 of the DER in lower-case hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(digest::digest(&digest::SHA256, &self.der).as_ref())
    }

    /// Whether issuer and subject are the same name, as of a root.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether `now` lies within its validity.
    #[must_use]
    pub fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        self.validity.contains(now)
    }

    /// Whether it may sign certificates: a CA whose key usage, if any, has `cert sign`.
    #[must_use]
    pub fn may_sign_certificates(&self) -> bool {
        self.ca.is_some()
            && self
                .key_usages
                .as_ref()
                .is_none_or(|usages| usages.contains(&Usage::CertSign))
    }

    /// Whether it covers `name`: exactly, or by a wildcard of one label (RFC 6125,
    /// section 6.4.3). DNS names are compared without regard to case.
    #[must_use]
    pub fn covers(&self, name: &San) -> bool {
        let San::Dns(wanted) = name else {
            return self.names.contains(name);
        };
        let parent = wanted.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|have| {
            let San::Dns(have) = have else {
                return false;
            };
            let wildcard = have.strip_prefix("*.").zip(parent);
            have.eq_ignore_ascii_case(wanted)
                || wildcard.is_some_and(|(tail, parent)| tail.eq_ignore_ascii_case(parent))
        })
    }

    /// Whether `issuer`'s key made the signature.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn check_signed_by(&self, issuer: &Self) -> Result<(), SignatureError> {
        signature::verify(&self.der, &issuer.public_key, &self.signature_algorithm)
    }
}

/// All else is read from the DER.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("serial", &self.serial)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

pub(super) fn purposes(usage: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Vec<Usage> {
    let flags = [
        (usage.any, Usage::Any),
        (usage.server_auth, Usage::ServerAuth),
        (usage.client_auth, Usage::ClientAuth),
        (usage.code_signing, Usage::CodeSigning),
        (usage.email_protection, Usage::EmailProtection),
        (usage.time_stamping, Usage::Timestamping),
        (usage.ocsp_signing, Usage::OcspSigning),
    ];
    let others = usage.other.iter().filter_map(|oid| {
        let arcs: Vec<u64> = oid.iter()?.collect();
        Usage::from_purpose(&arcs)
    });
    flags
        .into_iter()
        .filter_map(|(set, usage)| set.then_some(usage))
        .chain(others)
        .collect()
}

/// The purposes that [`purposes`] has no name for, as OIDs.
pub(super) fn other_purposes<'a>(
    usage: &'a x509_parser::extensions::ExtendedKeyUsage<'_>,
) -> impl Iterator<Item = String> + 'a {
    usage
        .other
        .iter()
        .filter(|oid| {
            let arcs: Option<Vec<u64>> = oid.iter().map(Iterator::collect);
            arcs.is_none_or(|arcs| Usage::from_purpose(&arcs).is_none())
        })
        .map(x509_parser::der_parser::Oid::to_id_string)
}

/// An integer's octets without the one that only keeps it positive.
fn significant(octets: &[u8]) -> &[u8] {
    match octets {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => octets,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The usual name of a signature algorithm, or its OID.
pub(super) fn signature_name(oid: &x509_parser::der_parser::Oid<'_>) -> String {
    let name = match oid.to_id_string().as_str() {
        "1.2.840.10045.4.3.2" => "ECDSA-SHA256",
        "1.2.840.10045.4.3.3" => "ECDSA-SHA384",
        "1.2.840.10045.4.3.4" => "ECDSA-SHA512",
        "1.2.840.10045.4.1" => "ECDSA-SHA1",
        "1.2.840.113549.1.1.5" => "RSA-SHA1",
        "1.2.840.113549.1.1.4" => "RSA-MD5",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA-SHA256",
        "1.2.840.113549.1.1.12" => "RSA-SHA384",
        "1.2.840.113549.1.1.13" => "RSA-SHA512",
        "1.3.101.112" => "Ed25519",
        other => return other.to_owned(),
    };
    name.to_owned()
}
