//! CAs and leaves that certtool makes.

use certtool::pki::{
    Attribute, Authority, CaConstraint, DistinguishedName, Extension, Grant, IssueError,
    KeyAlgorithm, NameConstraints, San, TrustBundle, Usage, Validity, verify_server,
};
use time::{Duration, OffsetDateTime};

use crate::openssl::OpenSsl;
use crate::{authority, dns, ip, key, lasting, now, serial, serving, spec};

const NAMES: [&str; 4] = ["hook.shop.svc", "*.shop.svc", "10.1.2.3", "fd00::1"];

fn names() -> Vec<San> {
    vec![dns(NAMES[0]), dns(NAMES[1]), ip(NAMES[2]), ip(NAMES[3])]
}

/// A CA and a leaf of one algorithm, through both judges.
fn judge(algorithm: KeyAlgorithm) {
    let ca = Authority::self_signed(&spec(), key(algorithm), serial(7)).unwrap();
    let leaf_key = key(algorithm);
    let grant = serving(&names());
    let leaf = ca
        .issue(leaf_key.public_key(), &grant, now(), serial(8))
        .unwrap();

    let openssl = OpenSsl::new();
    openssl.write("ca.crt", ca.certificate().to_pem());
    openssl.write("tls.crt", leaf.to_pem());
    openssl.write("tls.key", leaf_key.to_pem().unwrap().expose());
    let verify = "verify -x509_strict -CAfile ca.crt -purpose sslserver";
    for name in ["hook.shop.svc", "any.shop.svc"] {
        openssl.ok(&format!("{verify} -verify_hostname {name} tls.crt"));
    }
    for address in ["10.1.2.3", "fd00::1"] {
        openssl.ok(&format!("{verify} -verify_ip {address} tls.crt"));
    }
    let other = openssl.run(&format!("{verify} -verify_hostname shop.svc tls.crt"));
    assert!(
        !other.status.success(),
        "{algorithm}: a wildcard is one label"
    );
    assert_eq!(
        openssl.ok("x509 -in tls.crt -noout -pubkey"),
        openssl.ok("pkey -in tls.key -pubout"),
        "{algorithm}"
    );

    let bundle = TrustBundle::new([ca.certificate().clone()]);
    verify_server(&leaf, &[], &bundle, &names(), now()).unwrap();
    let error = verify_server(&leaf, &[], &bundle, &[dns("shop.svc")], now()).unwrap_err();
    assert!(error.to_string().contains("shop.svc"), "{error}");
}

#[test]
fn every_algorithm_signs_a_ca_and_a_leaf_that_both_judges_accept() {
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Ed25519,
        KeyAlgorithm::Rsa2048,
    ] {
        judge(algorithm);
    }
}

#[test]
fn large_rsa_keys_are_accepted_too() {
    judge(KeyAlgorithm::Rsa3072);
    judge(KeyAlgorithm::Rsa4096);
}

#[test]
fn a_ca_says_what_it_is() {
    let openssl = OpenSsl::new();
    let mut spec = spec();
    spec.name_constraints.permitted_dns = vec![".svc".to_owned()];
    let ca = Authority::self_signed(&spec, key(KeyAlgorithm::EcdsaP256), serial(1)).unwrap();
    openssl.write("ca.crt", ca.certificate().to_pem());
    let says = |heading| openssl.extension("ca.crt", heading);
    let expected = Some("critical CA:TRUE, pathlen:0".to_owned());
    assert_eq!(says("Basic Constraints"), expected);
    let expected = Some("critical Certificate Sign, CRL Sign".to_owned());
    assert_eq!(says("X509v3 Key Usage"), expected);
    assert_eq!(
        says("Name Constraints"),
        Some("critical Permitted:".to_owned())
    );
    assert!(
        openssl
            .ok("x509 -in ca.crt -noout -text")
            .contains("DNS:.svc")
    );
    assert!(says("Subject Key Identifier").is_some());
    assert_eq!(says("Authority Key Identifier"), None);
    assert_eq!(says("Alternative Name"), None);
    openssl.ok("verify -x509_strict -CAfile ca.crt ca.crt");
}

#[test]
fn name_constraints_hold_for_issuer_and_judges_alike() {
    let mut spec = spec();
    spec.name_constraints = NameConstraints {
        permitted_dns: vec![".svc".to_owned(), "cluster.local".to_owned()],
        permitted_ip: vec![("10.0.0.0".parse().unwrap(), 8)],
    };
    let ca = Authority::self_signed(&spec, key(KeyAlgorithm::EcdsaP256), serial(1)).unwrap();
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let issue = |names: &[San]| ca.issue(leaf_key.public_key(), &serving(names), now(), serial(2));

    let good = [dns("a.b.svc"), dns("a.cluster.local"), ip("10.9.9.9")];
    let leaf = issue(&good).unwrap();
    let openssl = OpenSsl::new();
    openssl.write("ca.crt", ca.certificate().to_pem());
    openssl.write("tls.crt", leaf.to_pem());
    openssl.ok("verify -CAfile ca.crt -purpose sslserver tls.crt");
    let bundle = TrustBundle::new([ca.certificate().clone()]);
    verify_server(&leaf, &[], &bundle, &good, now()).unwrap();

    for bad in [dns("example.com"), dns("svc"), ip("11.0.0.1"), ip("::1")] {
        let error = issue(std::slice::from_ref(&bad)).unwrap_err();
        assert!(
            matches!(error, IssueError::NameConstraints(_)),
            "{bad}: {error}"
        );
    }
}

#[test]
fn a_leaf_says_what_was_granted_and_no_more() {
    let ca = authority();
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let long = "a".repeat(65);
    let grant = Grant::serving(Some(&long), names(), lasting(1));
    let at = now();
    let leaf = ca
        .issue(leaf_key.public_key(), &grant, at, serial(0xab))
        .unwrap();
    let openssl = OpenSsl::new();
    openssl.write("ca.crt", ca.certificate().to_pem());
    openssl.write("tls.crt", leaf.to_pem());
    let says = |heading| openssl.extension("tls.crt", heading);

    assert!(leaf.subject.is_empty(), "a common name over 64 is left out");
    let text = says("Alternative Name").unwrap();
    assert_eq!(
        text,
        "critical DNS:hook.shop.svc, DNS:*.shop.svc, IP Address:10.1.2.3, IP Address:FD00:0:0:0:0:0:0:1"
    );
    assert_eq!(
        says("Basic Constraints"),
        Some("critical CA:FALSE".to_owned())
    );
    let expected = Some("critical Digital Signature, Key Encipherment".to_owned());
    assert_eq!(says("X509v3 Key Usage"), expected);
    let expected = Some("TLS Web Server Authentication".to_owned());
    assert_eq!(says("Extended Key Usage"), expected);
    assert_eq!(
        says("Authority Key Identifier"),
        openssl.extension("ca.crt", "Subject Key Identifier")
    );
    assert_ne!(
        says("Subject Key Identifier"),
        says("Authority Key Identifier")
    );

    let printed = openssl.ok("x509 -in tls.crt -noout -serial");
    let printed = printed.trim().trim_start_matches("serial=").to_lowercase();
    assert_eq!(printed, leaf.serial);
    assert!(printed.len() >= 32, "at least 128 bits: {printed}");

    assert_eq!(leaf.validity.not_before, whole(at) - Duration::minutes(5));
    let text = openssl.ok("x509 -in tls.crt -noout -startdate -dateopt iso_8601");
    let format =
        time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let date = leaf.validity.not_before.format(&format).unwrap();
    assert!(text.contains(&date), "{text} {date}");
}

fn whole(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap()
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let ca = authority();
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let mut grant = serving(&names());
    grant.validity = Validity::new(now() - Duration::days(9), now() + Duration::weeks(5200));
    let leaf = ca
        .issue(leaf_key.public_key(), &grant, now(), serial(2))
        .unwrap();
    assert_eq!(leaf.validity, ca.certificate().validity);

    let later = ca.certificate().validity.not_after + Duration::seconds(1);
    let error = ca
        .issue(leaf_key.public_key(), &grant, later, serial(3))
        .unwrap_err();
    assert!(matches!(error, IssueError::CaNotValid { .. }), "{error}");
    grant.validity = Validity::new(now(), now());
    let error = ca
        .issue(leaf_key.public_key(), &grant, now(), serial(3))
        .unwrap_err();
    assert!(matches!(error, IssueError::EmptyValidity { .. }), "{error}");
}

#[test]
fn a_subject_keeps_repeated_and_multivalued_attributes() {
    let ca = authority();
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let mut grant = serving(&[dns("a.svc")]);
    grant.subject = DistinguishedName::from_rdns(&[
        vec![
            (Attribute::Organization, "one".to_owned()),
            (Attribute::Organization, "Zwölf & Co.".to_owned()),
        ],
        vec![(
            Attribute::Other("0.9.2342.19200300.100.1.25".parse().unwrap()),
            "a".to_owned(),
        )],
        vec![(
            Attribute::Other("0.9.2342.19200300.100.1.25".parse().unwrap()),
            "b".to_owned(),
        )],
        vec![(Attribute::CommonName, "cn".to_owned())],
    ]);
    let leaf = ca
        .issue(leaf_key.public_key(), &grant, now(), serial(2))
        .unwrap();
    assert_eq!(leaf.subject, grant.subject);
    let openssl = OpenSsl::new();
    openssl.write("tls.crt", leaf.to_pem());
    let text = openssl.ok("x509 -in tls.crt -noout -subject -nameopt utf8,sname,sep_comma_plus");
    assert_eq!(text.trim(), "subject=O=one+O=Zwölf & Co.,DC=a,DC=b,CN=cn");
    assert_eq!(
        openssl.extension("tls.crt", "Alternative Name"),
        Some("DNS:a.svc".to_owned()),
        "not critical beside a subject"
    );
}

#[test]
fn every_usage_and_url_is_where_openssl_looks_for_it() {
    let ca = authority();
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let mut grant = serving(&[dns("a.svc")]);
    grant.usages = Usage::all().collect();
    grant.crl_urls = vec!["http://crl.example.com/a".to_owned()];
    let url = |path: &str| vec![format!("http://example.com/{path}")];
    grant.extensions = vec![
        Extension::authority_information_access(&url("ocsp"), &url("ca")).unwrap(),
        Extension::ocsp_no_check(),
    ];
    let leaf = ca
        .issue(leaf_key.public_key(), &grant, now(), serial(2))
        .unwrap();
    let read: Vec<_> = [leaf.key_usages.clone(), leaf.extended_usages.clone()]
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert!(Usage::all().all(|usage| read.contains(&usage)), "{read:?}");

    let openssl = OpenSsl::new();
    openssl.write("tls.crt", leaf.to_pem());
    let text = openssl.ok("x509 -in tls.crt -noout -text");
    for expected in [
        "Digital Signature, Non Repudiation, Key Encipherment, Data Encipherment, Key Agreement, \
         Certificate Sign, CRL Sign, Encipher Only, Decipher Only",
        "Any Extended Key Usage, TLS Web Server Authentication, TLS Web Client Authentication, \
         Code Signing, E-mail Protection, IPSec End System, IPSec Tunnel, IPSec User, \
         Time Stamping, OCSP Signing, Microsoft Server Gated Crypto, Netscape Server Gated Crypto",
        "URI:http://crl.example.com/a",
        "OCSP - URI:http://example.com/ocsp",
        "CA Issuers - URI:http://example.com/ca",
        "OCSP No Check",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn what_cannot_be_encoded_is_an_error_and_never_a_panic() {
    let ca = authority();
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let good = serving(&[dns("a.svc")]);
    let error = |change: &dyn Fn(&mut Grant)| {
        let mut grant = good.clone();
        change(&mut grant);
        ca.issue(leaf_key.public_key(), &grant, now(), serial(2))
            .unwrap_err()
            .to_string()
    };
    let named = |name: &str| error(&|grant| grant.names = vec![dns(name)]);
    assert!(named("10.0.0.1").contains("IP address"));
    assert!(named("ü.svc").contains("xn--"));
    assert!(named("").contains("empty"));
    assert!(error(&|grant| grant.names.clear()).contains("name nobody"));
    let many = |grant: &mut Grant| grant.names = (0..2000).map(|i| dns(&format!("n{i}"))).collect();
    assert!(error(&many).contains("too many"));
    let text = error(&|grant| grant.subject = DistinguishedName::common_name_only(&"a".repeat(65)));
    assert!(text.contains("65 characters"), "{text}");
    let text = error(&|grant| grant.crl_urls = vec!["http://ü".to_owned()]);
    assert!(text.contains("URL"), "{text}");
    let twice = |grant: &mut Grant| grant.extensions = vec![Extension::ocsp_no_check(); 2];
    assert!(error(&twice).contains("twice"));
    let text = error(&|grant| grant.ca = Some(CaConstraint { path_length: None }));
    assert!(text.contains("path length 0"), "{text}");

    let made = |change: &dyn Fn(&mut certtool::pki::CaSpec)| {
        let mut spec = spec();
        change(&mut spec);
        Authority::self_signed(&spec, key(KeyAlgorithm::EcdsaP256), serial(1))
            .unwrap_err()
            .to_string()
    };
    let text = made(&|spec| spec.validity.not_before -= Duration::weeks(10_000));
    assert!(text.contains("1950"), "{text}");
    let text = made(&|spec| spec.subject = DistinguishedName::empty());
    assert!(text.contains("subject"), "{text}");
    for bad in ["", "*.svc", "ü"] {
        let text = made(&|spec| spec.name_constraints.permitted_dns = vec![bad.to_owned()]);
        assert!(text.contains("constrained to"), "{text}");
    }
    let range = ("10.0.0.0".parse().unwrap(), 33);
    let text = made(&|spec| spec.name_constraints.permitted_ip = vec![range]);
    assert!(text.contains("10.0.0.0/33"), "{text}");
}
