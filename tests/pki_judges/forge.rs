//! Requests built octet by octet, signed like honest ones.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
const OID_EXTENSION_REQUEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";
const SAN: &[u8] = b"\x55\x1d\x11";
const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const P256: &[u8] =
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

/// One element with its length in the shortest form.
pub(crate) fn tlv(identifier: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![identifier];
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|octet| *octet != 0).unwrap_or(7);
    let length = &length[significant..];
    if content.len() > 127 {
        all.push(0x80 | u8::try_from(length.len()).unwrap());
    }
    all.extend_from_slice(length);
    all.extend_from_slice(content);
    all
}

/// `(oid, value)` as an extension.
pub(crate) fn extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[tlv(0x06, oid), tlv(0x04, value)].concat())
}

/// A SAN extension with these general names (tag, content).
pub(crate) fn san(names: &[(u8, &[u8])]) -> Vec<u8> {
    let names: Vec<u8> = names
        .iter()
        .flat_map(|(tag, name)| tlv(*tag, name))
        .collect();
    extension(SAN, &tlv(SEQUENCE, &names))
}

/// An extension request attribute with these extensions.
pub(crate) fn extension_request(extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = tlv(SEQUENCE, &extensions.concat());
    let values = tlv(SET, &extensions);
    tlv(
        SEQUENCE,
        &[tlv(0x06, OID_EXTENSION_REQUEST), values].concat(),
    )
}

/// A subject of one common name under this string type.
pub(crate) fn common_name(identifier: u8, value: &[u8]) -> Vec<u8> {
    let attribute = [tlv(0x06, b"\x55\x04\x03"), tlv(identifier, value)].concat();
    tlv(SEQUENCE, &tlv(SET, &tlv(SEQUENCE, &attribute)))
}

/// A request with this subject and these attributes, honestly signed.
pub(crate) fn request(subject: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let point = [&[0][..], key.public_key().as_ref()].concat();
    let spki = tlv(SEQUENCE, &[P256.to_vec(), tlv(0x03, &point)].concat());
    let info = [
        tlv(0x02, &[0]),
        subject.to_vec(),
        spki,
        tlv(0xa0, &attributes.concat()),
    ];
    let info = tlv(SEQUENCE, &info.concat());
    let signature = key.sign(&SystemRandom::new(), &info).unwrap();
    let signature = [&[0][..], signature.as_ref()].concat();
    tlv(
        SEQUENCE,
        &[info, ECDSA_SHA256.to_vec(), tlv(0x03, &signature)].concat(),
    )
}

/// A request for these general names.
pub(crate) fn request_for(names: &[(u8, &[u8])]) -> Vec<u8> {
    request(&tlv(SEQUENCE, &[]), &[extension_request(&[san(names)])])
}
