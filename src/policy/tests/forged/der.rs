//! Requests that no library makes: PKCS #10 written byte by byte, with a good signature.

use std::sync::LazyLock;

use rcgen::{PublicKeyData, SigningKey};

use crate::pki::{Csr, CsrError};

static KEY: LazyLock<rcgen::KeyPair> = LazyLock::new(|| rcgen::KeyPair::generate().unwrap());

pub(super) const SAN: &[u64] = &[2, 5, 29, 17];
pub(super) const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
pub(super) const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
pub(super) const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const ECDSA_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];

/// A request in the making. Every field is DER, or becomes it as it is.
pub(super) struct Forged {
    pub(super) subject: Vec<u8>,
    pub(super) attributes: Vec<Vec<u8>>,
    pub(super) algorithm: Vec<u64>,
    pub(super) spoil_signature: bool,
    pub(super) trailing: Vec<u8>,
}

pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match content.len() {
        length @ 0..0x80 => der.push(u8::try_from(length).unwrap()),
        length @ 0x80..0x100 => der.extend([0x81, u8::try_from(length).unwrap()]),
        length @ 0x100..0x10000 => {
            der.push(0x82);
            der.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            der.push(0x83);
            der.extend(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
        }
    }
    der.extend(content);
    der
}

pub(super) fn oid(arcs: &[u64]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_oid(&yasna::models::ObjectIdentifier::from_slice(arcs));
    })
}

/// An element of a subjectAltName: context tag and content.
pub(super) fn general_names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let all: Vec<Vec<u8>> = names.iter().map(|(tag, name)| tlv(*tag, name)).collect();
    tlv(0x30, &all.concat())
}

pub(super) fn extension(arcs: &[u64], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[oid(arcs), tlv(0x04, value)].concat())
}

pub(super) fn attribute(arcs: &[u64], values: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &[oid(arcs), tlv(0x31, &values.concat())].concat())
}

/// The attribute that asks for extensions.
pub(super) fn extension_request(extensions: &[Vec<u8>]) -> Vec<u8> {
    attribute(EXTENSION_REQUEST, &[tlv(0x30, &extensions.concat())])
}

/// A subject of (attribute type, string tag, value).
pub(super) fn subject(parts: &[(&[u64], u8, &[u8])]) -> Vec<u8> {
    let rdns: Vec<Vec<u8>> = parts
        .iter()
        .map(|(arcs, tag, value)| tlv(0x31, &tlv(0x30, &[oid(arcs), tlv(*tag, value)].concat())))
        .collect();
    tlv(0x30, &rdns.concat())
}

impl Forged {
    /// With these attributes and an empty subject.
    pub(super) fn with(attributes: &[Vec<u8>]) -> Self {
        Self {
            subject: tlv(0x30, &[]),
            attributes: attributes.to_vec(),
            algorithm: ECDSA_SHA256.to_vec(),
            spoil_signature: false,
            trailing: Vec::new(),
        }
    }

    /// With a SAN extension of these elements.
    pub(super) fn names(names: &[(u8, &[u8])]) -> Self {
        let san = extension(SAN, &general_names(names));
        Self::with(&[extension_request(&[san])])
    }

    /// With the good names and these extensions besides.
    pub(super) fn extensions(more: &[Vec<u8>]) -> Self {
        let mut extensions = vec![extension(SAN, &good_names())];
        extensions.extend_from_slice(more);
        Self::with(&[extension_request(&extensions)])
    }

    /// With the good names and this subject.
    pub(super) fn subject(parts: &[(&[u64], u8, &[u8])]) -> Self {
        Self {
            subject: subject(parts),
            ..Self::extensions(&[])
        }
    }

    pub(super) fn build(&self) -> Result<Csr, CsrError> {
        let attributes = tlv(0xa0, &self.attributes.concat());
        let info = [
            tlv(0x02, &[0]),
            self.subject.clone(),
            KEY.subject_public_key_info(),
            attributes,
        ];
        let info = tlv(0x30, &info.concat());
        let mut signature = vec![0];
        signature.extend(KEY.sign(&info).unwrap());
        if self.spoil_signature {
            let last = signature.last_mut().unwrap();
            *last ^= 1;
        }
        let algorithm = tlv(0x30, &oid(&self.algorithm));
        let mut der = tlv(0x30, &[info, algorithm, tlv(0x03, &signature)].concat());
        der.extend(&self.trailing);
        Csr::from_der(&der)
    }
}

/// The SANs of Service `hook.team-a`.
pub(super) fn good_names() -> Vec<u8> {
    let names: Vec<(u8, &[u8])> = super::HOOK
        .iter()
        .map(|name| (0x82, name.as_bytes()))
        .collect();
    general_names(&names)
}
