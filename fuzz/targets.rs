//! What certtool reads from strangers, as functions of bytes that must never panic.
//!
//! Each target reads its input and, when it is accepted, asserts what must hold of
//! whatever is accepted: a failed assertion is a panic, which a fuzzer reports. What it
//! returns is for a judge that a fuzzer is too fast for: `openssl` must accept it too.
//!
//! cargo-fuzz runs these by the files of `fuzz_targets`; `tests/fuzz_smoke.rs` runs
//! them on the corpus, on mutations of it, and before the judge.

use std::sync::LazyLock;

use certtool::cfssl::{CsrJson, SigningConfig, lint};
use certtool::injectable::Decision;
use certtool::manifest;
use certtool::pki::{
    Authority, CaSpec, Certificate, Csr, CsrError, DistinguishedName, Grant, KeyAlgorithm,
    Lifetime, NameConstraints, PrivateKey, San, Serial, TrustBundle, create_csr, verify_server,
};
use time::{Duration, OffsetDateTime};

/// What was accepted, or made of what was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What it is.
    pub kind: Kind,
    /// Its encoding.
    pub bytes: Vec<u8>,
}

/// What an accepted input is, and with it how it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A certificate signing request in DER.
    RequestDer,
    /// One in PEM.
    RequestPem,
    /// A certificate in DER.
    CertificateDer,
    /// This many certificates in PEM.
    CertificatesPem(usize),
    /// A private key in PEM, as certtool writes it.
    KeyPem,
    /// Nothing that openssl reads.
    Other,
}

impl Accepted {
    fn new(kind: Kind, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            bytes: bytes.into(),
        }
    }
}

/// An authority, a key and requests, made anew by every process.
struct World {
    authority: Authority,
    key_pem: String,
    requests: Vec<Csr>,
}

/// Every run is at this instant: a finding does not depend on the day.
const NOW: OffsetDateTime = time::macros::datetime!(2026-06-01 12:00 UTC);

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let key = || PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let spec = CaSpec {
        subject: DistinguishedName::common_name_only("fuzz CA"),
        validity: Lifetime::of(Duration::days(3650)).starting(NOW),
        path_length: None,
        name_constraints: NameConstraints::default(),
    };
    let serving = key();
    let request = |name: &str, names: &[San]| {
        let subject = DistinguishedName::common_name_only(name);
        let pem = create_csr(&subject, names, &serving).expect("a request");
        Csr::from_pem(pem.as_bytes()).expect("a request that is read")
    };
    let requests = vec![
        request(
            "hook.shop.svc",
            &[
                San::Dns("hook.shop.svc".to_owned()),
                San::Ip([10, 0, 0, 1].into()),
            ],
        ),
        request(
            "a@example.com",
            &[
                San::Email("a@example.com".to_owned()),
                San::Uri("https://hook.example/".to_owned()),
            ],
        ),
    ];
    World {
        authority: Authority::self_signed(&spec, key(), serial()).expect("an authority"),
        key_pem: serving.to_pem().expect("its text").expose().to_owned(),
        requests,
    }
});

fn serial() -> Serial {
    Serial::from_random([7; 20])
}

/// A certificate signing request, in PEM or DER.
pub fn csr(data: &[u8]) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    if let Ok(csr) = said(Csr::from_der(data)) {
        assert_eq!(csr.der(), data, "a request is kept to the last byte");
        check_request(&csr);
        accepted.push(Accepted::new(Kind::RequestDer, data));
    }
    if let Ok(csr) = said(Csr::from_pem(data)) {
        check_request(&csr);
        accepted.push(Accepted::new(Kind::RequestPem, data));
    }
    accepted
}

fn check_request(csr: &Csr) {
    assert_eq!(Csr::from_der(csr.der()).as_ref(), Ok(csr));
    assert_eq!(Csr::from_pem(csr.to_pem().as_bytes()).as_ref(), Ok(csr));
    check_name(&csr.subject);
    assert!(
        csr.subject.misleading_attribute().is_none(),
        "what a reader cannot see is refused"
    );
    csr.names.iter().for_each(check_san);
    for extension in &csr.extensions {
        assert!(!extension.oid.to_string().is_empty());
    }
    let Ok(verified) = said(csr.verified()) else {
        return;
    };
    // What a request proves and asks for can be granted, or is refused in words.
    let grant = Grant::serving(
        None,
        verified.names.clone(),
        Lifetime::of(Duration::days(1)).starting(NOW),
    );
    let issued = WORLD
        .authority
        .issue(&verified.public_key, &grant, NOW, serial());
    if let Ok(certificate) = said(issued) {
        assert_eq!(certificate.names, verified.names);
        assert_eq!(certificate.public_key, verified.public_key);
        check_certificate(&certificate);
    }
}

/// A certificate, in PEM or DER.
pub fn certificate(data: &[u8]) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    if let Ok(certificate) = said(Certificate::from_der(data)) {
        assert_eq!(
            certificate.der(),
            data,
            "a certificate is kept to the last byte"
        );
        check_certificate(&certificate);
        accepted.push(Accepted::new(Kind::CertificateDer, data));
    }
    accepted.extend(certificates(data));
    accepted
}

fn certificates(data: &[u8]) -> Option<Accepted> {
    let all = said(Certificate::all_from_pem(data)).ok()?;
    assert!(!all.is_empty());
    all.iter().for_each(check_certificate);
    let text: String = all.iter().map(Certificate::to_pem).collect();
    assert_eq!(
        Certificate::all_from_pem(text.as_bytes()).as_ref(),
        Ok(&all)
    );
    let bundle = TrustBundle::from_pem(data).expect("certificates alone make a bundle");
    check_bundle(&bundle);
    Some(Accepted::new(Kind::CertificatesPem(all.len()), data))
}

fn check_certificate(certificate: &Certificate) {
    let again = Certificate::from_der(certificate.der());
    assert_eq!(again.as_ref(), Ok(certificate));
    check_name(&certificate.subject);
    check_name(&certificate.issuer);
    certificate.names.iter().for_each(check_san);
    for name in &certificate.names {
        if !matches!(name, San::Other(_)) {
            assert!(certificate.covers(name), "{name}");
        }
        let _ = certificate.constraints.forbids(name);
    }
    let _ = certificate.constraints.describe();
    let _ = certificate
        .constraints
        .forbids_subject(&certificate.subject);
    let validity = certificate.validity;
    let _ = said(certificate.check_signed_by(certificate));
    let _ = said(certificate.check_signed_by(WORLD.authority.certificate()));
    let _ = (
        certificate.is_valid_at(NOW),
        certificate.may_sign_certificates(),
        WORLD.authority.issued(certificate),
        validity.at_fraction(0.7),
        validity.not_after.to_string(),
        certificate.fingerprint(),
        format!("{certificate:?}"),
    );
}

fn check_bundle(bundle: &TrustBundle) {
    assert!(!bundle.is_empty());
    let text = bundle.to_pem();
    assert_eq!(TrustBundle::from_pem(text.as_bytes()).as_ref(), Ok(bundle));
    assert_eq!(bundle.merge(bundle), *bundle);
    assert!(bundle.contains_all(&bundle.without_expired(NOW)));
    let wanted = [San::Dns("hook.shop.svc".to_owned())];
    let chain = bundle.certificates();
    let trusted = TrustBundle::new(chain.last().cloned());
    for leaf in chain {
        let _ = said(verify_server(leaf, chain, &trusted, &wanted, NOW));
    }
}

/// PEM text: private keys, certificates with their chain, trust bundles.
pub fn pem(data: &[u8]) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    match PrivateKey::from_pem(data) {
        Ok(key) => {
            let text = key.to_pem().expect("a key that was read can be written");
            let again = PrivateKey::from_pem(text.expose().as_bytes()).expect("and read again");
            assert_eq!(again.public_key(), key.public_key());
            assert_eq!(
                again.to_pem().expect("and written").expose(),
                text.expose(),
                "the text of a key settles"
            );
            hides(&format!("{key:?} {text:?}"), text.expose().as_bytes());
            accepted.push(Accepted::new(Kind::KeyPem, text.expose()));
        }
        Err(error) => hides(&error.to_string(), data),
    }
    match TrustBundle::from_pem(data) {
        Ok(bundle) => check_bundle(&bundle),
        Err(error) => hides(&error.to_string(), data),
    }
    accepted.extend(certificates(data));
    accepted
}

/// No whole line of base64 in `text`, which may be of a private key, is in `message`.
fn hides(message: &str, text: &[u8]) {
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.trim();
        let is_base64 = |octet: u8| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet);
        if line.len() >= 32 && line.bytes().all(is_base64) {
            assert!(!message.contains(line), "a message shows what it is about");
        }
    }
}

/// cfssl's CSR JSON.
pub fn csr_json(data: &[u8]) -> Vec<Accepted> {
    let Ok(text) = std::str::from_utf8(data) else {
        return Vec::new();
    };
    let Ok(json) = said(CsrJson::parse(text)) else {
        return Vec::new();
    };
    let again = CsrJson::parse(text).expect("the same text");
    assert_eq!(format!("{json:?}"), format!("{again:?}"));
    check_name(json.subject());
    json.names().iter().for_each(check_san);
    let _ = (json.common_name(), json.key_algorithm(), json.ca());
    let mut accepted = vec![Accepted::new(Kind::Other, data)];

    let key = || PrivateKey::from_pem(WORLD.key_pem.as_bytes()).expect("a key");
    let _ = said(json.check_for_request());
    if let Ok(pem) = said(create_csr(json.subject(), json.names(), &key())) {
        match Csr::from_pem(pem.as_bytes()) {
            Ok(csr) => {
                assert_eq!(csr.subject, *json.subject());
                assert_eq!(csr.names, json.names());
                assert!(csr.verified().is_ok(), "a request of ours verifies");
                accepted.push(Accepted::new(Kind::RequestPem, pem));
            }
            Err(CsrError::TooLarge(_)) => {}
            Err(error) => panic!("a request of ours is not read: {error}"),
        }
    }
    if let Ok(root) = said(json.root(NOW)) {
        let made = Authority::self_signed_as(&root, key(), serial());
        if let Ok(authority) = said(made) {
            let certificate = authority.certificate();
            assert_eq!(certificate.subject, root.subject);
            assert_eq!(certificate.names, root.names);
            check_certificate(certificate);
            accepted.push(Accepted::new(Kind::CertificateDer, certificate.der()));
        }
    }
    accepted
}

/// cfssl's signing config, used to sign with each of its profiles.
pub fn signing_config(data: &[u8]) -> Vec<Accepted> {
    let Ok(text) = std::str::from_utf8(data) else {
        return Vec::new();
    };
    let Ok(config) = said(SigningConfig::parse(text)) else {
        return Vec::new();
    };
    let again = SigningConfig::parse(text).expect("the same text");
    assert_eq!(format!("{config:?}"), format!("{again:?}"));
    for remark in lint(&config) {
        assert!(!remark.to_string().is_empty());
    }
    let mut accepted = vec![Accepted::new(Kind::Other, data)];
    let names = config.names().map(Some);
    for name in std::iter::once(None).chain(names) {
        let Ok(profile) = said(config.profile(name)) else {
            continue;
        };
        for request in &WORLD.requests {
            let csr = request.verified().expect("a request of ours verifies");
            let Ok(grant) = said(profile.grant(&csr, &[], NOW)) else {
                continue;
            };
            let issued = WORLD
                .authority
                .issue(&csr.public_key, &grant, NOW, serial());
            let Ok(certificate) = said(issued) else {
                continue;
            };
            assert_eq!(certificate.subject, grant.subject);
            assert_eq!(certificate.names, grant.names);
            assert_eq!(certificate.ca, grant.ca, "a CA is one that was granted");
            assert!(
                certificate.validity.not_after <= WORLD.authority.certificate().validity.not_after,
                "nothing outlives its CA"
            );
            certificate
                .check_signed_by(WORLD.authority.certificate())
                .expect("a signature of ours verifies");
            check_certificate(&certificate);
            accepted.push(Accepted::new(Kind::CertificateDer, certificate.der()));
        }
    }
    accepted
}

const BUNDLE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// A manifest that caBundles are injected into.
pub fn manifest(data: &[u8]) -> Vec<Accepted> {
    let inject = |input: &[u8]| {
        let injected = manifest::inject("fuzz", input, |_, _| Decision::Set(BUNDLE.into()));
        let errors = injected.errors.len();
        for error in &injected.errors {
            assert!(!error.to_string().is_empty());
        }
        assert_eq!(
            injected.changes.is_empty(),
            injected.output.as_ref() == input,
            "the bytes change exactly when a change is reported"
        );
        let changes = injected.changes.len();
        (injected.output.into_owned(), changes, errors)
    };
    for document in manifest::documents("fuzz", data) {
        let _ = said(manifest::to_value(&document));
    }
    let found = manifest::objects("fuzz", data);
    let _ = manifest::services("fuzz", data);
    let (output, changes, errors) = inject(data);
    let (settled, more, errors_after) = inject(&output);
    assert_eq!(
        (more, errors_after),
        (0, errors),
        "injecting twice is injecting once"
    );
    assert_eq!(settled, output);
    let found_after = manifest::objects("fuzz", &output);
    assert_eq!(
        found.objects.len(),
        found_after.objects.len(),
        "no object appears or goes"
    );
    if changes > 0 {
        vec![Accepted::new(Kind::Other, data)]
    } else {
        Vec::new()
    }
}

fn check_name(name: &DistinguishedName) {
    assert_eq!(
        DistinguishedName::from_der(name.as_der()).as_ref(),
        Ok(name)
    );
    shown(&name.to_string());
    let _ = (
        name.common_names(),
        name.organizations(),
        name.attribute_types(),
        name.is_empty(),
    );
}

fn check_san(name: &San) {
    shown(&name.to_string());
    let _ = said(name.check());
}

/// Nothing that is printed acts on a terminal.
fn shown(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// A refusal is said in words.
fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, E> {
    if let Err(error) = &result {
        assert!(!error.to_string().is_empty());
    }
    result
}
