//! Damaged input never panics, and what is still accepted openssl accepts too.

use certtool::pki::{Certificate, Csr, PrivateKey, TrustBundle};

use crate::forge::request_for;
use crate::openssl::OpenSsl;
use crate::{authority, dns, key, now, serial, serving};

/// The command is slow: it sees one of so many.
const SAMPLE: usize = 23;

/// Every truncation, and every octet replaced by a few others.
fn damaged(input: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cut = (0..input.len()).map(|at| input[..at].to_vec());
    let changed = (0..input.len()).flat_map(move |at| {
        [0x00, 0x7f, 0x80, 0xff, input[at] ^ 1, input[at] ^ 0x20]
            .into_iter()
            .map(move |octet| {
                let mut copy = input.to_vec();
                copy[at] = octet;
                copy
            })
    });
    cut.chain(changed)
}

#[test]
fn damaged_requests_never_panic_and_openssl_reads_what_we_read() {
    let der = request_for(&[(0x82, b"hook.shop.svc"), (0x87, &[10, 0, 0, 1])]);
    let openssl = OpenSsl::new();
    let (mut accepted, mut verified) = (0, 0);
    for (index, bytes) in damaged(&der).enumerate() {
        let Ok(csr) = Csr::from_der(&bytes) else {
            continue;
        };
        accepted += 1;
        let _ = (csr.subject.to_string(), csr.names.len());
        if csr.verified().is_ok() {
            verified += 1;
            assert_eq!(bytes, der, "a change that the signature covers");
        }
        if index % SAMPLE == 0 {
            openssl.write("r.der", &bytes);
            openssl.ok("req -inform DER -in r.der -noout -subject");
        }
    }
    assert!(accepted > 100 && verified > 0, "{accepted} {verified}");
}

#[test]
fn damaged_certificates_never_panic_and_openssl_reads_what_we_read() {
    let openssl = OpenSsl::new();
    let ca = authority();
    let leaf_key = key(certtool::pki::KeyAlgorithm::EcdsaP256);
    let leaf = ca
        .issue(
            leaf_key.public_key(),
            &serving(&[dns("a.svc")]),
            now(),
            serial(2),
        )
        .unwrap();
    for certificate in [ca.certificate(), &leaf] {
        for (index, bytes) in damaged(certificate.der()).enumerate() {
            if let Ok(read) = Certificate::from_der(&bytes) {
                if index % SAMPLE == 0 {
                    openssl.write("c.der", &bytes);
                    openssl.ok("x509 -inform DER -in c.der -noout -subject");
                }
                let _ = (read.subject.to_string(), read.covers(&dns("a.svc")));
                let _ = read.check_signed_by(ca.certificate());
                let _ = read.validity.at_fraction(0.5);
            }
        }
    }
}

#[test]
fn damaged_pem_never_panics_and_no_error_shows_a_key() {
    let secret = key(certtool::pki::KeyAlgorithm::EcdsaP256)
        .to_pem()
        .unwrap();
    let body: String = secret
        .expose()
        .lines()
        .nth(1)
        .unwrap()
        .chars()
        .take(24)
        .collect();
    for text in damaged(secret.expose().as_bytes()) {
        if let Err(error) = PrivateKey::from_pem(&text) {
            assert!(!error.to_string().contains(&body[4..20]), "{error}");
        }
        let _ = Csr::from_pem(&text);
        if let Err(error) = TrustBundle::from_pem(&text) {
            assert!(!error.to_string().contains(&body[4..20]), "{error}");
        }
    }
}
