//! Every octet as rcgen lays it out.

use std::cell::RefCell;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CrlDistributionPoint, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose,
    PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::macros::datetime;

use super::*;
use crate::pki::{CaConstraint, DistinguishedName, Extension, KeyAlgorithm, PrivateKey, Usage};

/// A signing key that keeps what it is asked to sign.
struct Capture<'a>(&'a rcgen::KeyPair, RefCell<Vec<u8>>);

impl PublicKeyData for Capture<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(self.0)
    }
}

impl SigningKey for Capture<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.1.replace(message.to_vec());
        Ok(Vec::new())
    }
}

const ISSUER: &str = "an issuer";

fn by_rcgen(grant: &Grant, key: &PrivateKey, serial: Serial, aki: Option<&[u8]>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.not_before = grant.validity.not_before;
    params.not_after = grant.validity.not_after;
    params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    for name in grant.subject.common_names() {
        params.distinguished_name.push(
            DnType::CommonName,
            rcgen::DnValue::PrintableString(name.try_into().unwrap()),
        );
    }
    params.subject_alt_names = grant
        .names
        .iter()
        .map(|name| name.to_rcgen().unwrap())
        .collect();
    let bits = [
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::ContentCommitment,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DataEncipherment,
        KeyUsagePurpose::KeyAgreement,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::EncipherOnly,
        KeyUsagePurpose::DecipherOnly,
    ];
    for usage in &grant.usages {
        match (usage.bit(), usage.purpose()) {
            (Some(bit), None) => params.key_usages.push(bits[usize::from(bit)]),
            (None, Some(oid)) => {
                let purpose = ExtendedKeyUsagePurpose::Other(oid.to_vec());
                if !params.extended_key_usages.contains(&purpose) {
                    params.extended_key_usages.push(purpose);
                }
            }
            other => panic!("{usage}: {other:?}"),
        }
    }
    params.is_ca = grant.ca.map_or(IsCa::ExplicitNoCa, |ca| {
        IsCa::Ca(ca.path_length.map_or(
            BasicConstraints::Unconstrained,
            BasicConstraints::Constrained,
        ))
    });
    params.use_authority_key_identifier_extension = aki.is_some();
    if grant.ca.is_some() && !grant.name_constraints.is_empty() {
        let constraints = &grant.name_constraints;
        let dns = constraints
            .permitted_dns
            .iter()
            .cloned()
            .map(GeneralSubtree::DnsName);
        let ip = constraints.permitted_ip.iter().map(|(ip, prefix)| {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*ip, *prefix))
        });
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: dns.chain(ip).collect(),
            excluded_subtrees: Vec::new(),
        });
    }
    let points = grant.crl_urls.iter().map(|url| CrlDistributionPoint {
        uris: vec![url.clone()],
    });
    params.crl_distribution_points = points.collect();
    for extension in &grant.extensions {
        let mut custom =
            CustomExtension::from_oid_content(extension.oid().arcs(), extension.value().to_vec());
        custom.set_criticality(extension.is_critical());
        params.custom_extensions.push(custom);
    }
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = rcgen::DistinguishedName::new();
    let name = rcgen::DnValue::PrintableString(ISSUER.try_into().unwrap());
    issuer.distinguished_name.push(DnType::CommonName, name);
    if let Some(aki) = aki {
        issuer.key_identifier_method = KeyIdMethod::PreSpecified(aki.to_vec());
    }
    let capture = Capture(key.signer(), RefCell::default());
    let issuer = Issuer::from_params(&issuer, &capture);
    params.signed_by(key.signer(), &issuer).unwrap();
    capture.1.take()
}

fn compare(grant: &Grant, key: &PrivateKey, aki: Option<&[u8]>) {
    for serial in [
        Serial::from_random([0; 20]),
        Serial::from_random([0xff; 20]),
    ] {
        let name = DistinguishedName::common_name_only(ISSUER);
        let issuer = IssuerSide {
            name: name.as_der(),
            key_identifier: aki,
            key,
        };
        let algorithm = key.signature_algorithm().unwrap();
        let ours = certificate(
            grant,
            grant.validity,
            key.public_key(),
            serial,
            &issuer,
            algorithm,
        )
        .unwrap();
        assert_eq!(ours, by_rcgen(grant, key, serial, aki), "{grant:#?}");
    }
}

fn grant(names: usize) -> Grant {
    let kinds = [
        San::Dns("hook.shop.svc".to_owned()),
        San::Ip("10.0.0.1".parse().unwrap()),
        San::Ip("2001:db8::1".parse().unwrap()),
        San::Email("me@example.com".to_owned()),
        San::Uri("spiffe://example.com/a".to_owned()),
    ];
    let validity = Validity::new(
        datetime!(2026-11-21 12:00 UTC),
        datetime!(2027-11-21 12:00:01 UTC),
    );
    let names = kinds.iter().cycle().take(names).cloned().collect();
    Grant::serving(Some("hook"), names, validity)
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

#[test]
fn every_key_and_its_signature_algorithm_is_written_as_rcgen_writes_it() {
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Ed25519,
        KeyAlgorithm::Rsa2048,
        KeyAlgorithm::Rsa3072,
        KeyAlgorithm::Rsa4096,
    ] {
        let key = PrivateKey::generate(algorithm).unwrap();
        compare(&grant(2), &key, Some(&[7; 20]));
    }
}

#[test]
fn every_set_of_usages_is_written_as_rcgen_writes_it() {
    let (key, all) = (key(), Usage::all().collect::<Vec<_>>());
    let mut grant = grant(1);
    let pairs = all
        .iter()
        .flat_map(|a| all.iter().map(move |b| vec![*a, *b]));
    for usages in pairs.chain([Vec::new(), all.clone(), [&all[..], &all[..]].concat()]) {
        grant.usages = usages;
        compare(&grant, &key, None);
    }
}

#[test]
fn any_number_of_names_with_and_without_a_subject_is_written_as_rcgen_writes_it() {
    let key = key();
    for count in (0..40).chain([1000]) {
        let mut grant = grant(count);
        compare(&grant, &key, Some(&[1, 2, 3]));
        grant.subject = DistinguishedName::empty();
        compare(&grant, &key, Some(&[7; 200]));
    }
}

#[test]
fn dates_are_written_as_rcgen_writes_them() {
    let key = key();
    let days = [
        datetime!(1950-01-01 0:00 UTC),
        datetime!(1999-12-31 23:59:59 UTC),
        datetime!(2049-12-31 23:59:59 UTC),
        datetime!(2050-01-01 0:00 UTC),
        datetime!(9999-12-31 23:59:59 UTC),
    ];
    for not_before in days {
        for not_after in days {
            let mut grant = grant(1);
            grant.validity = Validity::new(not_before, not_after);
            compare(&grant, &key, None);
        }
    }
}

#[test]
fn authorities_and_extensions_are_written_as_rcgen_writes_them() {
    let key = key();
    let range = |ip: &str, prefix| (ip.parse().unwrap(), prefix);
    for path_length in [None, Some(0), Some(1), Some(127), Some(128), Some(255)] {
        let mut grant = grant(0);
        grant.ca = Some(CaConstraint { path_length });
        compare(&grant, &key, None);
        grant.name_constraints.permitted_dns = vec!["svc".to_owned(), ".a.b".to_owned()];
        compare(&grant, &key, None);
        for prefix in [0, 1, 8, 31, 32] {
            grant.name_constraints.permitted_ip = vec![
                range("10.1.2.3", prefix),
                range("fd00::1", prefix * 4),
                range("fd00::1", 127),
            ];
            compare(&grant, &key, None);
        }
    }
    let mut grant = grant(1);
    grant.crl_urls = vec![
        "http://a/b".to_owned(),
        format!("http://a/{}", "b".repeat(300)),
    ];
    compare(&grant, &key, None);
    let oid = "1.2.840.113549.2.999".parse().unwrap();
    grant.extensions = vec![
        Extension::new(oid, true, vec![0x04, 0x01, 0x07]).unwrap(),
        Extension::ocsp_no_check(),
    ];
    compare(&grant, &key, Some(&[7; 20]));
}
