//! Certificate signing requests (PKCS #10, RFC 2986): made, and read strictly.

use memchr::memmem;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::asn1_rs::FromDer;
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::oid_registry as oids;

use super::certificate::{other_purposes, purposes, signature_name};
use super::{DistinguishedName, Oid, PrivateKey, PublicKey, San, SignatureError, Usage};
use super::{assemble, der, pem_blocks, shape, signature};

/// The largest request that is looked at, in octets. etcd refuses objects of 1.5 MB;
/// an honest request has one or two kilobytes.
const MAX_OCTETS: usize = 128 * 1024;

/// PKCS #9 extensionRequest (RFC 2985, section 5.4.2).
const EXTENSION_REQUEST: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 14];

/// A request as read. Its signature is not checked yet: see [`Csr::verified`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    der: Vec<u8>,
    /// The subject.
    pub subject: DistinguishedName,
    /// The subject alternative names asked for.
    pub names: Vec<San>,
    /// The public key.
    pub public_key: PublicKey,
    /// The signature algorithm's name, or its OID.
    pub signature_algorithm: String,
    /// Whether basic constraints ask for a CA.
    pub asks_for_ca: bool,
    /// Usages asked for by extensions; the Kubernetes API has its own field for them.
    pub usages: Vec<Usage>,
    /// OIDs of extended key usages asked for by an extension that have no name in `usages`.
    pub other_purposes: Vec<String>,
    /// The extensions asked for, in order, those behind the fields above among them.
    pub extensions: Vec<RequestedExtension>,
    /// OIDs of attributes other than the extension request (RFC 2985).
    pub attributes: Vec<String>,
}

/// An extension as a request asks for it: nothing that certtool would copy unseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedExtension {
    /// Its identifier.
    pub oid: Oid,
    /// Whether it is to be critical.
    pub critical: bool,
    /// Its DER value.
    pub value: Vec<u8>,
}

/// A request whose signature proves that the requester holds the key.
#[derive(Debug, Clone, Copy)]
pub struct VerifiedCsr<'a>(&'a Csr);

impl std::ops::Deref for VerifiedCsr<'_> {
    type Target = Csr;

    fn deref(&self) -> &Csr {
        self.0
    }
}

/// Why something is not a well-formed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// The text is not PEM.
    #[error("{0}")]
    Pem(String),
    /// No `CERTIFICATE REQUEST` block.
    #[error("no certificate signing request found{}", instead(.0))]
    None(Option<String>),
    /// More than one block.
    #[error("{0} PEM blocks found where one CERTIFICATE REQUEST is expected")]
    Several(usize),
    /// Text after the block.
    #[error("there is text after the certificate signing request")]
    TrailingText,
    /// Too large.
    #[error("the request has {0} bytes; more than {MAX_OCTETS} is refused")]
    TooLarge(usize),
    /// The DER is not a request.
    #[error("malformed certificate signing request: {0}")]
    Malformed(String),
    /// A subject that does not read as what it is.
    #[error("the subject's {0} has a control character or text that does not decode")]
    Subject(String),
    /// Two extension requests, or one extension twice: which one counts is anybody's guess.
    #[error("the request asks for extension {0} twice")]
    Duplicate(String),
    /// Could not be made.
    #[error("could not make the request: {0}")]
    Creation(String),
}

fn instead(label: &Option<String>) -> String {
    label
        .as_ref()
        .map_or_else(String::new, |label| format!(", but a {label}"))
}

/// Makes a request for `names`, signed by `key`, as PEM text.
///
/// # Errors
/// [`CsrError::Creation`] when a name cannot be encoded.
pub fn create_csr(
    subject: &DistinguishedName,
    names: &[San],
    key: &PrivateKey,
) -> Result<String, CsrError> {
    let der = assemble::request(subject, names, key)
        .map_err(|error| CsrError::Creation(error.to_string()))?;
    Ok(pem_blocks::encode("CERTIFICATE REQUEST", &der))
}

impl Csr {
    /// The request in PEM text: one block, nothing after it.
    ///
    /// # Errors
    /// See [`CsrError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CsrError> {
        if text.len() > MAX_OCTETS * 2 {
            return Err(CsrError::TooLarge(text.len()));
        }
        let blocks = pem_blocks::parse(text).map_err(|error| CsrError::Pem(error.to_string()))?;
        let block = match blocks.as_slice() {
            [] => return Err(CsrError::None(None)),
            [block] => block,
            _ => return Err(CsrError::Several(blocks.len())),
        };
        if !matches!(
            block.tag(),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST"
        ) {
            return Err(CsrError::None(Some(block.tag().to_owned())));
        }
        let end = memmem::rfind(text, b"-----END ").map_or(&[][..], |at| &text[at..]);
        let end = String::from_utf8_lossy(end);
        let after = end.split_once("REQUEST-----");
        if after.is_some_and(|(_, rest)| !rest.trim().is_empty()) {
            return Err(CsrError::TrailingText);
        }
        Self::from_der(block.contents())
    }

    /// The request with this DER encoding, to the last byte.
    ///
    /// # Errors
    /// See [`CsrError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        let malformed = |what: &str| CsrError::Malformed(what.to_owned());
        if der.len() > MAX_OCTETS {
            return Err(CsrError::TooLarge(der.len()));
        }
        let (rest, parsed) =
            X509CertificationRequest::from_der(der).map_err(|_| malformed("it does not decode"))?;
        if !rest.is_empty() {
            return Err(malformed("there are bytes after it"));
        }
        let info = &parsed.certification_request_info;
        if info.version.0 != 0 {
            return Err(malformed("its version is not 1"));
        }
        let subject = DistinguishedName::from_der(info.subject.as_raw())
            .map_err(|error| CsrError::Malformed(error.to_string()))?;
        if let Some(attribute) = subject.misleading_attribute() {
            return Err(CsrError::Subject(attribute.to_string()));
        }
        shape::request(der).map_err(|_| malformed("it is not strict DER"))?;
        let mut request = Self {
            subject,
            names: Vec::new(),
            public_key: PublicKey::from_spki(info.subject_pki.raw)
                .map_err(|error| CsrError::Malformed(error.to_string()))?,
            signature_algorithm: signature_name(&parsed.signature_algorithm.algorithm),
            asks_for_ca: false,
            usages: Vec::new(),
            other_purposes: Vec::new(),
            extensions: Vec::new(),
            attributes: Vec::new(),
            der: der.to_vec(),
        };
        let mut extension_request = None;
        for attribute in &request.raw_attributes()? {
            if attribute.oid.arcs() != EXTENSION_REQUEST {
                request.attributes.push(attribute.oid.to_string());
            } else if extension_request.replace(attribute.value.clone()).is_some() {
                return Err(CsrError::Duplicate("request attributes".to_owned()));
            }
        }
        if let Some(value) = extension_request {
            request.read_extensions(&value)?;
        }
        Ok(request)
    }

    /// Attributes as OID and the one value of each.
    fn raw_attributes(&self) -> Result<Vec<RawAttribute>, CsrError> {
        let malformed = |_| CsrError::Malformed("its attributes do not decode".to_owned());
        let outer = der::single(&self.der, der::SEQUENCE).map_err(malformed)?;
        let outer = der::elements(outer.content).map_err(malformed)?;
        let info = outer.first().ok_or_else(|| malformed(der::NotDer))?;
        let fields = der::elements(info.content).map_err(malformed)?;
        // `attributes [0]` is not optional, but OpenSSL can leave it out.
        let Some(attributes) = fields.get(3) else {
            return Ok(Vec::new());
        };
        if attributes.identifier != 0xa0 || fields.len() > 4 {
            return Err(malformed(der::NotDer));
        }
        der::elements(attributes.content)
            .map_err(malformed)?
            .into_iter()
            .map(|attribute| {
                let [oid, values] = der::exactly(attribute.content).map_err(malformed)?;
                if attribute.identifier != der::SEQUENCE
                    || oid.identifier != der::OID
                    || values.identifier != der::SET
                {
                    return Err(malformed(der::NotDer));
                }
                let oid = Oid::from_content(oid.content).ok_or_else(|| malformed(der::NotDer))?;
                let values = der::elements(values.content).map_err(malformed)?;
                if oid.arcs() == EXTENSION_REQUEST && values.len() != 1 {
                    return Err(CsrError::Duplicate("request values".to_owned()));
                }
                let value = values
                    .first()
                    .map_or_else(Vec::new, |value| value.whole.to_vec());
                Ok(RawAttribute { oid, value })
            })
            .collect()
    }

    fn read_extensions(&mut self, value: &[u8]) -> Result<(), CsrError> {
        let malformed = |what: &str| CsrError::Malformed(what.to_owned());
        let list = der::single(value, der::SEQUENCE)
            .map_err(|_| malformed("its extension request does not decode"))?;
        for element in
            der::elements(list.content).map_err(|_| malformed("its extensions do not decode"))?
        {
            let requested = RequestedExtension::read(element)
                .ok_or_else(|| malformed("an extension does not decode"))?;
            let (_, extension) = X509Extension::from_der(element.whole)
                .map_err(|_| malformed("an extension does not decode"))?;
            let oid = &requested.oid;
            if self.extensions.iter().any(|before| before.oid == *oid) {
                return Err(CsrError::Duplicate(oid.to_string()));
            }
            if extension.oid == oids::OID_X509_EXT_SUBJECT_ALT_NAME {
                self.names = San::parse_extension(extension.value)
                    .map_err(|error| CsrError::Malformed(error.to_string()))?;
            } else {
                match extension.parsed_extension() {
                    ParsedExtension::BasicConstraints(basic) => self.asks_for_ca = basic.ca,
                    ParsedExtension::KeyUsage(usage) => {
                        self.usages.extend(
                            (0..9)
                                .filter(|bit| usage.flags >> bit & 1 == 1)
                                .filter_map(Usage::from_bit),
                        );
                    }
                    ParsedExtension::ExtendedKeyUsage(usage) => {
                        self.usages.extend(purposes(usage));
                        self.other_purposes.extend(other_purposes(usage));
                    }
                    ParsedExtension::ParseError { .. } => {
                        return Err(CsrError::Malformed(format!(
                            "extension {oid} does not decode"
                        )));
                    }
                    _ => {}
                }
            }
            self.extensions.push(requested);
        }
        Ok(())
    }

    /// The DER encoding.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The PEM text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_blocks::encode("CERTIFICATE REQUEST", &self.der)
    }

    /// The request once its signature is checked: the proof that the requester holds
    /// the private key, with a strong algorithm. Only such a request can be signed.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn verified(&self) -> Result<VerifiedCsr<'_>, SignatureError> {
        signature::verify(&self.der, &self.public_key, &self.signature_algorithm)?;
        Ok(VerifiedCsr(self))
    }
}

struct RawAttribute {
    oid: Oid,
    value: Vec<u8>,
}

impl RequestedExtension {
    /// `Extension ::= SEQUENCE { OID, BOOLEAN DEFAULT FALSE, OCTET STRING }` and no more.
    fn read(element: der::Element<'_>) -> Option<Self> {
        let parts = der::elements(element.content).ok()?;
        let (oid, critical, value) = match parts.as_slice() {
            [oid, value] => (oid, false, value),
            [oid, critical, value] if critical.identifier == der::BOOLEAN => {
                (oid, critical.content != [0], value)
            }
            _ => return None,
        };
        let typed = element.identifier == der::SEQUENCE
            && oid.identifier == der::OID
            && value.identifier == der::OCTET_STRING;
        typed.then_some(())?;
        Some(Self {
            oid: Oid::from_content(oid.content)?,
            critical,
            value: value.content.to_vec(),
        })
    }
}
