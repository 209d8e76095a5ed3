//! What a request asks for, read once, in normal form, with everything refused that no
//! rule could allow.
//!
//! Rules see an [`Asked`] and never the PKCS #10. Reading is by enumeration: a kind of
//! name, an extension, an attribute or a part of the subject that is not in a list
//! below is refused, not skipped, since a signer other than certtool's might copy it.

use std::net::IpAddr;

use super::Request;
use super::ip_range::is_mapped;
use super::refusal::Refusal;
use super::requester::is_label;
use crate::pki::{Csr, MAX_COMMON_NAME, PublicKeyKind, San, Usage};

/// The shortest lifetime that the API accepts (Kubernetes'
/// `pkg/apis/certificates/validation/validation.go`).
pub(super) const SHORTEST: i64 = 600;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// In order, each once; not empty.
    pub(super) names: Vec<Name>,
    /// How many names the request has, repetitions included.
    pub(super) name_count: usize,
    /// In the order of the API; each once.
    pub(super) usages: Vec<Usage>,
    /// Usages that the PKCS #10 itself has extensions for.
    pub(super) extension_usages: Vec<Usage>,
    /// One of `names`, in normal form.
    pub(super) common_name: Option<String>,
    pub(super) organizations: Vec<String>,
    pub(super) key: PublicKeyKind,
    pub(super) expiration_seconds: Option<i64>,
}

/// A name in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// Lower-case, valid by RFC 1123, no wildcard.
    Dns(String),
    /// What follows `*.`, lower-case and valid, of two labels or more.
    Wildcard(String),
    Ip(IpAddr),
    Uri(String),
    Email(String),
}

impl Name {
    pub(super) fn to_san(&self) -> San {
        match self {
            Self::Dns(name) => San::Dns(name.clone()),
            Self::Wildcard(parent) => San::Dns(format!("*.{parent}")),
            Self::Ip(ip) => San::Ip(*ip),
            Self::Uri(uri) => San::Uri(uri.clone()),
            Self::Email(email) => San::Email(email.clone()),
        }
    }
}

impl Asked {
    /// Reads and vets a request.
    pub(super) fn read(request: &Request) -> Result<Self, Refusal> {
        let csr = request
            .csr
            .as_ref()
            .map_err(|e| Refusal::Malformed(e.clone()))?;
        csr.verified().map_err(Refusal::Signature)?;
        vet_extras(csr)?;
        let names = names(csr)?;
        let (common_name, organizations) = subject(csr, &names)?;
        let usages = request
            .usages
            .iter()
            .map(|usage| {
                usage
                    .parse()
                    .map_err(|_| Refusal::UnknownUsage(usage.clone()))
            })
            .collect::<Result<Vec<Usage>, _>>()?;
        if let Some(seconds) = request
            .expiration_seconds
            .filter(|seconds| *seconds < SHORTEST)
        {
            return Err(Refusal::LifetimeTooShort(seconds));
        }
        Ok(Self {
            name_count: csr.names.len(),
            names,
            usages: Usage::all()
                .filter(|usage| usages.contains(usage))
                .collect(),
            extension_usages: csr.usages.clone(),
            common_name,
            organizations,
            key: csr.public_key.kind().clone(),
            expiration_seconds: request.expiration_seconds,
        })
    }
}

/// Extensions that openssl, cfssl and Go put into a request for a leaf: subject key
/// identifier, key usage, subject alternative name, basic constraints, extended key usage.
const EXTENSIONS: [&str; 5] = [
    "2.5.29.14",
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.37",
];

/// Attributes that carry no extensions: challengePassword and unstructuredName (RFC
/// 2985), which `openssl req` asks for. Microsoft's 1.3.6.1.4.1.311.2.1.14, for one,
/// is read by OpenSSL as a second extension request.
const ATTRIBUTES: [&str; 2] = ["1.2.840.113549.1.9.7", "1.2.840.113549.1.9.2"];

fn vet_extras(csr: &Csr) -> Result<(), Refusal> {
    if csr.asks_for_ca {
        return Err(Refusal::CertificateAuthority);
    }
    let extensions = csr
        .extensions
        .iter()
        .map(|extension| extension.oid.to_string());
    let unknown = |oid: &String, known: &[&str]| !known.contains(&oid.as_str());
    if let Some(oid) = extensions.into_iter().find(|oid| unknown(oid, &EXTENSIONS)) {
        return Err(Refusal::Extension(oid));
    }
    if let Some(oid) = csr.attributes.iter().find(|oid| unknown(oid, &ATTRIBUTES)) {
        return Err(Refusal::Attribute(oid.clone()));
    }
    match csr.other_purposes.first() {
        Some(oid) => Err(Refusal::Purpose(oid.clone())),
        None => Ok(()),
    }
}

fn names(csr: &Csr) -> Result<Vec<Name>, Refusal> {
    let mut names = Vec::new();
    for san in &csr.names {
        let name = match san {
            San::Dns(given) => dns(given)?,
            San::Ip(ip) => address(*ip)?,
            San::Uri(uri) => Name::Uri(uri.clone()),
            San::Email(email) => Name::Email(email.clone()),
            San::Other(kind) => return Err(Refusal::NameKind(kind)),
        };
        // A request that is far too large is refused by its count, not compared n² times.
        if names.len() >= crate::pki::MAX_NAMES || !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(Refusal::NoNames);
    }
    Ok(names)
}

fn dns(given: &str) -> Result<Name, Refusal> {
    let bad = |problem| {
        Err(Refusal::BadName {
            name: given.to_owned(),
            problem,
        })
    };
    let lower = given.to_ascii_lowercase();
    if lower.ends_with('.') {
        return bad("ends with a dot, which a name in a certificate does not (RFC 5280, 4.2.1.6)");
    }
    if lower.len() > 253 {
        return bad("is longer than 253 characters (RFC 1035, section 2.3.4)");
    }
    let (wildcard, plain) = match lower.strip_prefix("*.") {
        Some(parent) => (true, parent),
        None => (false, lower.as_str()),
    };
    if plain.contains('*') {
        return bad("has a * that is not its whole first label (RFC 9525, section 6.3)");
    }
    if !plain.split('.').all(is_label) {
        return bad(
            "is not a DNS name: every label is letters, digits and '-', at most 63, with no '-' \
             at either end (RFC 1123, section 2.1)",
        );
    }
    if plain
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return bad("is an address, or looks like one, and not a DNS name (RFC 3696, section 2)");
    }
    if wildcard && !plain.contains('.') {
        return bad("is a wildcard for a whole top-level domain");
    }
    let labels: Vec<&str> = lower.split('.').collect();
    // Its Service has these names in every cluster, whoever may make Services there.
    let api_server = match labels.as_slice() {
        ["kubernetes"] | ["kubernetes", "default", ..] => true,
        ["*", "default", rest @ ..] => rest.first().is_none_or(|label| *label == "svc"),
        _ => false,
    };
    if api_server {
        return Err(Refusal::ApiServer(given.to_owned()));
    }
    Ok(if wildcard {
        Name::Wildcard(plain.to_owned())
    } else {
        Name::Dns(lower)
    })
}

fn address(ip: IpAddr) -> Result<Name, Refusal> {
    let bad = |problem| {
        Err(Refusal::BadName {
            name: ip.to_string(),
            problem,
        })
    };
    if is_mapped(ip) {
        return bad("is an IPv4 address written as IPv6; ask for the IPv4 address");
    }
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return bad("is the address of no single host");
    }
    Ok(Name::Ip(ip))
}

/// The common name, which must be one of the names, and the organizations.
fn subject(csr: &Csr, names: &[Name]) -> Result<(Option<String>, Vec<String>), Refusal> {
    let subject = &csr.subject;
    if let Some(other) = subject
        .attribute_types()
        .into_iter()
        .find(|kind| kind != "CN" && kind != "O")
    {
        return Err(Refusal::SubjectAttribute(other));
    }
    let organizations = subject.organizations();
    let common_names = subject.common_names();
    let common_name = match common_names.as_slice() {
        [] => None,
        [one] => Some(one),
        several => return Err(Refusal::CommonNames(several.len())),
    };
    let common_name = common_name
        .map(|given| {
            if given.chars().count() > MAX_COMMON_NAME {
                return Err(Refusal::CommonNameLength);
            }
            names
                .iter()
                .filter(|name| matches!(name, Name::Dns(_) | Name::Wildcard(_) | Name::Ip(_)))
                .map(|name| name.to_san().value())
                .find(|name| name.eq_ignore_ascii_case(given))
                .ok_or_else(|| Refusal::CommonName(given.clone()))
        })
        .transpose()?;
    Ok((common_name, organizations))
}
