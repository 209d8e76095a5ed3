//! Trust bundles, and whom a client trusts with one.

use certtool::pki::{
    Authority, BundleError, Certificate, CertificateError, KeyAlgorithm, TrustBundle, VerifyError,
    verify_server,
};
use time::Duration;

use crate::openssl::OpenSsl;
use crate::{authority, dns, key, lasting, now, serial, serving, spec};

fn certificates() -> Vec<Certificate> {
    [10, 300, 300, 20]
        .into_iter()
        .zip(1..)
        .map(|(days, n)| {
            let mut spec = spec();
            spec.validity = lasting(days);
            let ca = Authority::self_signed(&spec, key(KeyAlgorithm::EcdsaP256), serial(n));
            ca.unwrap().certificate().clone()
        })
        .collect()
}

#[test]
fn equal_sets_are_equal_bytes_whatever_the_order_and_the_text_around() {
    let all = certificates();
    let expected = TrustBundle::new(all.clone()).to_pem();
    let mut rotated = all.clone();
    for _ in 0..all.len() {
        rotated.rotate_left(1);
        let pem: String = rotated
            .iter()
            .chain(&all)
            .map(|certificate| {
                format!("# a comment\n\n{}", certificate.to_pem()).replace('\n', "\r\n")
            })
            .collect();
        let bundle = TrustBundle::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(bundle.to_pem(), expected);
        assert_eq!(bundle.certificates().len(), all.len());
    }
    let (left, right) = all.split_at(2);
    let left = TrustBundle::new(left.to_vec());
    let right = TrustBundle::new(right.to_vec());
    assert_eq!(left.merge(&right).to_pem(), expected);
    assert_eq!(right.merge(&left).merge(&left).to_pem(), expected);
    assert!(left.merge(&right).contains_all(&left));
    assert!(!left.contains_all(&right));
}

#[test]
fn two_cas_of_one_name_are_told_apart_as_during_a_rotation() {
    let (old, new) = (authority(), authority());
    let bundle = TrustBundle::new([old.certificate().clone(), new.certificate().clone()]);
    let openssl = OpenSsl::new();
    openssl.write("bundle.pem", bundle.to_pem());
    for (ca, other) in [(&old, &new), (&new, &old)] {
        let leaf_key = key(KeyAlgorithm::EcdsaP256);
        let grant = serving(&[dns("a.svc")]);
        let leaf = ca
            .issue(leaf_key.public_key(), &grant, now(), serial(2))
            .unwrap();
        openssl.write("tls.crt", leaf.to_pem());
        openssl.ok("verify -CAfile bundle.pem -verify_hostname a.svc tls.crt");
        verify_server(&leaf, &[], &bundle, &grant.names, now()).unwrap();
        assert!(ca.issued(&leaf) && !other.issued(&leaf));
    }
}

#[test]
fn what_has_expired_is_pruned() {
    let all = TrustBundle::new(certificates());
    let later = all.without_expired(now() + Duration::days(15));
    assert_eq!(later.certificates().len(), 3);
    assert!(all.contains_all(&later));
    assert!(all.without_expired(now() + Duration::days(999)).is_empty());
    assert_eq!(all.without_expired(now() - Duration::days(9)), all);
}

#[test]
fn anything_but_certificates_is_refused() {
    let pem = authority().certificate().to_pem();
    let secret = key(KeyAlgorithm::EcdsaP256).to_pem().unwrap();
    let read = |text: &str| TrustBundle::from_pem(text.as_bytes()).unwrap_err();
    let with_key = read(&format!("{pem}{}", secret.expose()));
    assert_eq!(
        with_key,
        BundleError::Certificate(CertificateError::PrivateKey)
    );
    assert!(!with_key.to_string().contains(&secret.expose()[40..60]));
    assert_eq!(read(" \n"), BundleError::Empty);
    assert_eq!(read(""), BundleError::Empty);
    for garbage in ["garbage", "-----BEGIN CERTIFICATE-----", "\0\0\0"] {
        assert!(
            matches!(read(garbage), BundleError::Certificate(_)),
            "{garbage:?}"
        );
    }
    let cut = format!("{pem}{}", pem.replace("-----END CERTIFICATE-----", ""));
    assert!(read(&cut).to_string().contains("malformed PEM"));
    let crl = format!("{pem}{}", pem.replace("CERTIFICATE", "X509 CRL"));
    assert!(read(&crl).to_string().contains("X509 CRL"));
    let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = read(&format!("{pem}{wrong}")).to_string();
    assert!(error.contains("block 2"), "{error}");
}

#[test]
fn a_certificate_of_the_bundle_counts_only_while_it_is_valid() {
    let ca = authority();
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let leaf = ca
        .issue(
            leaf_key.public_key(),
            &serving(&[dns("a.svc")]),
            now(),
            serial(2),
        )
        .unwrap();
    let names = [dns("a.svc")];
    let bundle = TrustBundle::new([ca.certificate().clone()]);
    verify_server(&leaf, &[], &bundle, &names, now()).unwrap();
    let later = now() + Duration::days(400);
    let error = verify_server(&leaf, &[], &bundle, &names, later).unwrap_err();
    assert!(
        matches!(error, VerifyError::AnchorNotValid { .. }),
        "{error}"
    );
    let tomorrow = now() + Duration::days(2);
    let error = verify_server(&leaf, &[], &bundle, &names, tomorrow).unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    let other = TrustBundle::new([authority().certificate().clone()]);
    let error = verify_server(&leaf, &[], &other, &names, now()).unwrap_err();
    assert!(matches!(error, VerifyError::Chain(_)), "{error}");
    let nothing = TrustBundle::default();
    let error = verify_server(&leaf, &[], &nothing, &names, now()).unwrap_err();
    assert_eq!(error, VerifyError::NoAnchor);
}

#[test]
fn a_self_signed_serving_certificate_is_trusted_when_it_is_its_own_bundle() {
    // What `openssl req -x509 -addext subjectAltName=…` makes: CA:TRUE, no usages.
    let openssl = OpenSsl::new();
    openssl.ok(
        "req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=a \
         -addext subjectAltName=DNS:a.svc -days 9",
    );
    let leaf = Certificate::all_from_pem(&openssl.read("c.pem"))
        .unwrap()
        .remove(0);
    let bundle = TrustBundle::new([leaf.clone()]);
    verify_server(&leaf, &[], &bundle, &[dns("a.svc")], now()).unwrap();
    let later = now() + Duration::days(10);
    assert!(verify_server(&leaf, &[], &bundle, &[dns("a.svc")], later).is_err());
    assert!(verify_server(&leaf, &[], &bundle, &[dns("b.svc")], now()).is_err());
}
