//! Tricks with the PKCS #10 itself: its extensions, attributes, key, signature.

use super::der::{
    BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, Forged, KEY_USAGE, SAN, attribute, extension,
    extension_request, general_names, good_names, oid, tlv,
};
use super::*;
use crate::pki::CsrError;

const MALFORMED: &str = "MalformedRequest";

pub(super) fn with(csr: Result<Csr, CsrError>) -> Request {
    Request { csr, ..request() }
}

pub(super) fn forged(
    what: &'static str,
    forged: &Forged,
    code: &'static str,
    says: &'static str,
) -> Escape {
    (what, with(forged.build()), code, says)
}

fn extensions() -> Vec<Escape> {
    let ca = tlv(0x30, &[0x01, 0x01, 0xff]);
    let san = || extension(SAN, &good_names());
    let evil = || extension(SAN, &general_names(&[(0x82, b"evil.com")]));
    let purposes = |arcs: &[u64]| tlv(0x30, &oid(arcs));
    let usage_bits = |bits: u8| vec![0x03, 0x02, 0x00, bits];
    let one = |arcs: &[u64], value: &[u8]| Forged::extensions(&[extension(arcs, value)]);
    let server_auth = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
    let client_auth = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
    let both = tlv(0x30, &[oid(server_auth), oid(client_auth)].concat());
    // `szOID_CERT_EXTENSIONS`, which OpenSSL reads as an extension request.
    let microsoft = &[1, 3, 6, 1, 4, 1, 311, 2, 1, 14];
    let hidden = |attribute| Forged::with(&[extension_request(&[san()]), attribute]);
    const EXTENSION: &str = "ExtensionNotAllowed";
    const USAGE: &str = "UsageNotAllowed";
    vec![
        forged(
            "basic constraints that say CA",
            &one(BASIC_CONSTRAINTS, &ca),
            "CANotAllowed",
            "CA certificate",
        ),
        forged(
            "basic constraints with a path length",
            &one(BASIC_CONSTRAINTS, &tlv(0x30, &[1, 1, 255, 2, 1, 3])),
            "CANotAllowed",
            "CA certificate",
        ),
        forged(
            "key usage cert sign by an extension",
            &one(KEY_USAGE, &usage_bits(0b0000_0100)),
            USAGE,
            "cert sign",
        ),
        forged(
            "key usage crl sign by an extension",
            &one(KEY_USAGE, &usage_bits(0b0000_0010)),
            USAGE,
            "crl sign",
        ),
        forged(
            "client auth by an extension",
            &one(EXTENDED_KEY_USAGE, &both),
            USAGE,
            "client auth",
        ),
        forged(
            "any usage by an extension",
            &one(EXTENDED_KEY_USAGE, &purposes(&[2, 5, 29, 37, 0])),
            USAGE,
            "\"any\"",
        ),
        forged(
            "a smart card log-on by an extension",
            &one(
                EXTENDED_KEY_USAGE,
                &purposes(&[1, 3, 6, 1, 4, 1, 311, 20, 2, 2]),
            ),
            USAGE,
            "1.3.6.1.4.1.311.20.2.2",
        ),
        forged(
            "name constraints",
            &one(&[2, 5, 29, 30], &tlv(0x30, &[])),
            EXTENSION,
            "2.5.29.30",
        ),
        forged(
            "an issuer's alternative name",
            &one(&[2, 5, 29, 18], &good_names()),
            EXTENSION,
            "2.5.29.18",
        ),
        forged(
            "subject directory attributes",
            &one(&[2, 5, 29, 9], &tlv(0x30, &[])),
            EXTENSION,
            "2.5.29.9",
        ),
        forged(
            "a certificate policy",
            &one(&[1, 3, 6, 1, 4, 1, 311, 21, 7], &tlv(0x30, &[])),
            EXTENSION,
            "1.3.6.1.4.1.311.21.7",
        ),
        forged(
            "an unknown extension",
            &one(&[1, 2, 3, 4], b"x"),
            EXTENSION,
            "1.2.3.4",
        ),
        forged(
            "two SAN extensions",
            &Forged::extensions(&[evil()]),
            MALFORMED,
            "twice",
        ),
        forged(
            "two extension requests",
            &Forged::with(&[extension_request(&[san()]), extension_request(&[evil()])]),
            MALFORMED,
            "twice",
        ),
        forged(
            "two extension requests in one attribute",
            &Forged::with(&[attribute(
                &[1, 2, 840, 113_549, 1, 9, 14],
                &[tlv(0x30, &san()), tlv(0x30, &evil())],
            )]),
            MALFORMED,
            "twice",
        ),
        forged(
            "a second extension request by Microsoft's OID",
            &hidden(attribute(microsoft, &[tlv(0x30, &evil())])),
            EXTENSION,
            "1.3.6.1.4.1.311.2.1.14",
        ),
        forged(
            "an unknown attribute",
            &hidden(attribute(&[1, 2, 3, 4], &[tlv(0x0c, b"x")])),
            EXTENSION,
            "1.2.3.4",
        ),
        forged(
            "an empty SAN extension",
            &Forged::names(&[]),
            MALFORMED,
            "alternative name",
        ),
        forged(
            "a SAN extension with bytes after it",
            &Forged::with(&[extension_request(&[extension(
                SAN,
                &[good_names(), vec![5, 0]].concat(),
            )])]),
            MALFORMED,
            "alternative name",
        ),
        forged(
            "a SAN that is no sequence",
            &Forged::with(&[extension_request(&[extension(SAN, b"hook.team-a.svc")])]),
            MALFORMED,
            "alternative name",
        ),
    ]
}

fn fixture(what: &'static str, pem: &str, code: &'static str, says: &'static str) -> Escape {
    (what, with(Csr::from_pem(pem.as_bytes())), code, says)
}

fn keys_and_signatures() -> Vec<Escape> {
    const SIGNATURE: &str = "SignatureNotAccepted";
    let p521 = PrivateKey::generate(KeyAlgorithm::EcdsaP521).unwrap();
    let p521 = signed_by(&p521, &DistinguishedName::empty(), &dns(&HOOK));
    let good = || Forged::extensions(&[]);
    let spoilt = Forged {
        spoil_signature: true,
        ..good()
    };
    let trailing = Forged {
        trailing: vec![0],
        ..good()
    };
    let sha1 = Forged {
        algorithm: vec![1, 2, 840, 10045, 4, 1],
        ..good()
    };
    let ed25519 = Forged {
        algorithm: vec![1, 3, 101, 112],
        ..good()
    };
    let pem = good_csr().to_pem();
    let text = |text: &str| with(Csr::from_pem(text.as_bytes()));
    vec![
        (
            "a key on P-521",
            with(Ok(p521)),
            "KeyNotAllowed",
            "ECDSA P-521",
        ),
        fixture(
            "an RSA key of an odd size",
            include_str!("../data/rsa-2050.csr"),
            "KeyNotAllowed",
            "RSA 2050",
        ),
        fixture(
            "an RSA key of 1024 bits",
            include_str!("../data/rsa-1024.csr"),
            SIGNATURE,
            "1024",
        ),
        fixture(
            "a key on secp256k1",
            include_str!("../data/secp256k1.csr"),
            SIGNATURE,
            "unsupported",
        ),
        fixture(
            "an Ed448 key",
            include_str!("../data/ed448.csr"),
            SIGNATURE,
            "unsupported",
        ),
        fixture(
            "an RSA-PSS key",
            include_str!("../data/rsa-pss.csr"),
            SIGNATURE,
            "unsupported",
        ),
        fixture(
            "a signature with SHA-1 and RSA",
            include_str!("../data/sha1.csr"),
            SIGNATURE,
            "RSA-SHA1",
        ),
        fixture(
            "a signature with MD5",
            include_str!("../data/md5.csr"),
            SIGNATURE,
            "RSA-MD5",
        ),
        forged(
            "a signature with SHA-1 and ECDSA",
            &sha1,
            SIGNATURE,
            "ECDSA-SHA1",
        ),
        forged(
            "another signature algorithm than the key's",
            &ed25519,
            SIGNATURE,
            "Ed25519",
        ),
        forged(
            "a signature that does not verify",
            &spoilt,
            SIGNATURE,
            "does not verify",
        ),
        forged(
            "a byte after the request",
            &trailing,
            MALFORMED,
            "bytes after it",
        ),
        fixture(
            "openssl's request for a CA",
            include_str!("../data/ca.csr"),
            "CANotAllowed",
            "CA certificate",
        ),
        fixture(
            "openssl's request with a Microsoft user name",
            include_str!("../data/other-name.csr"),
            "NameNotAllowed",
            "otherName",
        ),
        fixture(
            "openssl's request for a smart card log-on",
            include_str!("../data/smartcard.csr"),
            "UsageNotAllowed",
            "1.3.6.1.4.1.311.20.2.2",
        ),
        (
            "no PEM at all",
            text("hook.team-a.svc"),
            MALFORMED,
            "no certificate signing request",
        ),
        (
            "an empty request",
            text(""),
            MALFORMED,
            "no certificate signing request",
        ),
        (
            "two requests in one",
            text(&format!("{pem}{pem}")),
            MALFORMED,
            "2 PEM blocks",
        ),
        (
            "text behind the request",
            text(&format!("{pem}evil")),
            MALFORMED,
            "text after",
        ),
        (
            "a certificate instead of a request",
            text(&pem.replace("CERTIFICATE REQUEST", "CERTIFICATE")),
            MALFORMED,
            "a CERTIFICATE",
        ),
        (
            "a request cut short",
            text(&pem.replace("\n-----END", "x\n-----END")),
            MALFORMED,
            "PEM",
        ),
        (
            "a megabyte of text",
            text(&"A".repeat(1 << 20)),
            MALFORMED,
            "bytes",
        ),
    ]
}

pub(super) fn escapes() -> Vec<Escape> {
    [extensions(), keys_and_signatures()].concat()
}
