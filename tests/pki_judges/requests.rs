//! Requests that openssl makes are read; every bad one is refused for the right reason.

use certtool::pki::{
    Csr, CsrError, DistinguishedName, Grant, IssueError, KeyAlgorithm, San, SignatureError, Usage,
    create_csr,
};

use crate::forge::{
    SEQUENCE, common_name, extension, extension_request, request, request_for, san, tlv,
};
use crate::openssl::OpenSsl;
use crate::{authority, dns, ip, key, lasting, now, serial};

const CONFIG: &str = "[req]\nprompt = no\ndistinguished_name = dn\nreq_extensions = ext\nattributes = attr\n\
    [dn]\nO = Zwölf\nCN = hook\n[attr]\nchallengePassword = secret\n[ext]\n";

/// A request by openssl for a key made by `genpkey` with these options.
fn by_openssl(key: &str, extensions: &str, options: &str) -> Vec<u8> {
    let openssl = OpenSsl::new();
    openssl.ok(&format!("genpkey {key} -out k.pem"));
    openssl.write("c.cnf", format!("{CONFIG}{extensions}\n"));
    openssl.ok(&format!(
        "req -new -utf8 -key k.pem -config c.cnf -out r.pem {options}"
    ));
    openssl.read("r.pem")
}

const EC: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const NAMES: &str =
    "subjectAltName=DNS:hook.shop.svc,IP:10.0.0.1,IP:fd00::1,email:a@b.c,URI:spiffe://a/b";

#[test]
fn requests_of_every_algorithm_by_openssl_are_read_and_verified() {
    let rsa = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    for (key, options) in [
        (EC, ""),
        (EC, "-sha384"),
        (EC, "-sha512"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", ""),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "-sha512"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", ""),
        ("-algorithm ED25519", ""),
        (rsa, ""),
        (rsa, "-sha512"),
        (rsa, "-newhdr"),
        (
            rsa,
            "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1",
        ),
    ] {
        let csr = Csr::from_pem(&by_openssl(key, NAMES, options))
            .unwrap_or_else(|error| panic!("{key} {options}: {error}"));
        csr.verified()
            .unwrap_or_else(|error| panic!("{key} {options}: {error}"));
        let expected = [
            dns("hook.shop.svc"),
            ip("10.0.0.1"),
            ip("fd00::1"),
            San::Email("a@b.c".to_owned()),
            San::Uri("spiffe://a/b".to_owned()),
        ];
        assert_eq!(csr.names, expected);
        assert_eq!(csr.subject.to_string(), "O=Zwölf, CN=hook");
        assert_eq!(
            csr.attributes,
            ["1.2.840.113549.1.9.7"],
            "the challenge password"
        );
        assert!(!csr.asks_for_ca);
    }
}

#[test]
fn our_requests_are_verified_by_openssl() {
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Ed25519,
        KeyAlgorithm::Rsa2048,
    ] {
        let openssl = OpenSsl::new();
        let subject = DistinguishedName::common_name_only("hook");
        let names = [dns("a.svc"), ip("10.0.0.1")];
        let pem = create_csr(&subject, &names, &key(algorithm)).unwrap();
        openssl.write("r.pem", &pem);
        let text = openssl.ok("req -in r.pem -verify -noout -text");
        assert!(text.contains("DNS:a.svc, IP Address:10.0.0.1"), "{text}");
        let csr = Csr::from_pem(pem.as_bytes()).unwrap();
        csr.verified().unwrap();
        assert_eq!((csr.subject.clone(), &csr.names[..]), (subject, &names[..]));
        assert_eq!(csr.to_pem(), pem);
    }
    let none = create_csr(
        &DistinguishedName::empty(),
        &[],
        &key(KeyAlgorithm::EcdsaP256),
    )
    .unwrap();
    let csr = Csr::from_pem(none.as_bytes()).unwrap();
    csr.verified().unwrap();
    assert!(csr.names.is_empty() && csr.extensions.is_empty());
}

#[test]
fn a_request_for_names_that_nobody_can_ask_for_is_not_made() {
    let key = key(KeyAlgorithm::EcdsaP256);
    for name in ["10.0.0.1", "a b", "", "ü", "a\0b"] {
        let error = create_csr(&DistinguishedName::empty(), &[dns(name)], &key).unwrap_err();
        assert!(matches!(error, CsrError::Creation(_)), "{name:?}: {error}");
    }
    let long = DistinguishedName::common_name_only(&"a".repeat(65));
    assert!(create_csr(&long, &[dns("a")], &key).is_err());
}

#[test]
fn weak_keys_and_digests_and_bad_signatures_prove_nothing() {
    let refused = |pem: &[u8]| Csr::from_pem(pem).unwrap().verified().unwrap_err();
    let sha1 = refused(&by_openssl(EC, NAMES, "-sha1"));
    assert_eq!(
        sha1,
        SignatureError::UnsupportedAlgorithm("ECDSA-SHA1".to_owned())
    );
    let rsa = "-algorithm RSA -pkeyopt rsa_keygen_bits";
    let sha1 = refused(&by_openssl(&format!("{rsa}:2048"), NAMES, "-sha1"));
    assert_eq!(
        sha1,
        SignatureError::UnsupportedAlgorithm("RSA-SHA1".to_owned())
    );
    let weak = refused(&by_openssl(&format!("{rsa}:1024"), NAMES, ""));
    assert_eq!(weak, SignatureError::WeakKey(1024));
    let curve = refused(&by_openssl(
        "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
        NAMES,
        "",
    ));
    assert!(
        matches!(curve, SignatureError::UnsupportedKey(_)),
        "{curve}"
    );
    let explicit = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit";
    let curve = refused(&by_openssl(explicit, NAMES, ""));
    assert!(curve.to_string().contains("explicit"), "{curve}");

    let mut der = request_for(&[(0x82, b"a.svc")]);
    Csr::from_der(&der).unwrap().verified().unwrap();
    *der.last_mut().unwrap() ^= 1;
    assert_eq!(
        Csr::from_der(&der).unwrap().verified().unwrap_err(),
        SignatureError::Invalid
    );
    // Somebody else's key in an otherwise honest request.
    let mut der = request_for(&[(0x82, b"a.svc")]);
    let other = request_for(&[(0x82, b"a.svc")]);
    let at = der
        .windows(3)
        .position(|bytes| bytes == [0x42, 0x00, 0x04])
        .unwrap();
    let from = other
        .windows(3)
        .position(|bytes| bytes == [0x42, 0x00, 0x04])
        .unwrap();
    der[at + 3..at + 67].copy_from_slice(&other[from + 3..from + 67]);
    assert_eq!(
        Csr::from_der(&der).unwrap().verified().unwrap_err(),
        SignatureError::Invalid
    );
}

#[test]
fn anything_but_one_request_is_refused() {
    let pem = by_openssl(EC, NAMES, "");
    let text = String::from_utf8(pem.clone()).unwrap();
    let read = |text: &str| Csr::from_pem(text.as_bytes());
    read(&format!("made by hand\n{text}\n \n")).unwrap();
    read(&text.replace('\n', "\r\n")).unwrap();
    assert_eq!(read(&format!("{text}{text}")), Err(CsrError::Several(2)));
    assert_eq!(
        read(&format!("{text}and more")),
        Err(CsrError::TrailingText)
    );
    assert_eq!(read(""), Err(CsrError::None(None)));
    let certificate = authority().certificate().to_pem();
    assert_eq!(
        read(&certificate),
        Err(CsrError::None(Some("CERTIFICATE".to_owned())))
    );
    assert_eq!(
        read(&format!("{certificate}{text}")),
        Err(CsrError::Several(2))
    );
    assert!(matches!(
        read(&text.replace("-----END", "-----ENT")),
        Err(CsrError::Pem(_))
    ));

    let mut der = Csr::from_pem(&pem).unwrap().der().to_vec();
    der.push(0);
    let error = Csr::from_der(&der).unwrap_err();
    assert!(error.to_string().contains("bytes after"), "{error}");
    assert!(matches!(Csr::from_der(&[]), Err(CsrError::Malformed(_))));

    let large = request_for(&[(0x82, &b"a".repeat(1 << 20))]);
    assert!(matches!(Csr::from_der(&large), Err(CsrError::TooLarge(_))));
    assert!(matches!(
        read(&"x".repeat(1 << 20)),
        Err(CsrError::TooLarge(_))
    ));
}

#[test]
fn names_that_mislead_a_reader_are_refused() {
    for name in [
        &b"good.svc\0.evil.com"[..],
        "gööd.svc".as_bytes(),
        b"a\x1b[31m",
        b"a\nb",
        &[0xff],
    ] {
        let error = Csr::from_der(&request_for(&[(0x82, name)])).unwrap_err();
        assert!(error.to_string().contains("characters"), "{error}");
        assert!(!error.to_string().contains('\x1b'), "escaped: {error}");
        let error = Csr::from_der(&request_for(&[(0x86, name)])).unwrap_err();
        assert!(error.to_string().contains("characters"), "{error}");
    }
    for (identifier, name) in [
        (0x0c, &b"a\0b"[..]),
        (0x0c, &[0xff]),
        (0x13, b"a\x1bb"),
        (0x02, &[5]),
    ] {
        let error = Csr::from_der(&request(&common_name(identifier, name), &[])).unwrap_err();
        assert_eq!(error, CsrError::Subject("CN".to_owned()));
    }
    for octets in [&[10, 0, 0][..], &[0; 5], &[]] {
        assert!(Csr::from_der(&request_for(&[(0x87, octets)])).is_err());
    }
    assert!(
        Csr::from_der(&request_for(&[])).is_err(),
        "an empty SAN extension"
    );
}

#[test]
fn what_is_asked_twice_is_refused() {
    let names = san(&[(0x82, b"a.svc")]);
    let subject = tlv(SEQUENCE, &[]);
    let one = extension_request(std::slice::from_ref(&names));
    Csr::from_der(&request(&subject, std::slice::from_ref(&one))).unwrap();
    let twice = Csr::from_der(&request(&subject, &[one.clone(), one])).unwrap_err();
    assert!(matches!(twice, CsrError::Duplicate(_)), "{twice}");
    let both = extension_request(&[names.clone(), names]);
    let twice = Csr::from_der(&request(&subject, &[both])).unwrap_err();
    assert_eq!(twice, CsrError::Duplicate("2.5.29.17".to_owned()));
}

#[test]
fn what_a_request_asks_for_is_reported_and_none_of_it_is_copied() {
    let extensions = format!(
        "{NAMES}\nbasicConstraints=critical,CA:TRUE,pathlen:3\nkeyUsage=keyCertSign,digitalSignature\n\
         extendedKeyUsage=clientAuth,codeSigning\n1.2.3.4=critical,ASN1:NULL\nsubjectKeyIdentifier=hash"
    );
    let csr = Csr::from_pem(&by_openssl(EC, &extensions, "")).unwrap();
    let verified = csr.verified().unwrap();
    assert!(verified.asks_for_ca);
    let expected = [
        Usage::DigitalSignature,
        Usage::CertSign,
        Usage::ClientAuth,
        Usage::CodeSigning,
    ];
    assert_eq!(verified.usages, expected);
    let asked: Vec<_> = csr.extensions.iter().map(|e| e.oid.to_string()).collect();
    assert_eq!(asked.len(), 6, "{asked:?}");
    let unknown = csr
        .extensions
        .iter()
        .find(|e| e.oid.to_string() == "1.2.3.4")
        .unwrap();
    assert!(unknown.critical && unknown.value == [5, 0]);

    let grant = Grant::serving(None, vec![dns("hook.shop.svc")], lasting(1));
    let leaf = authority()
        .issue(&csr.public_key, &grant, now(), serial(2))
        .unwrap();
    assert!(leaf.ca.is_none());
    assert_eq!(leaf.names, [dns("hook.shop.svc")]);
    assert_eq!(leaf.extended_usages, Some(vec![Usage::ServerAuth]));
    let openssl = OpenSsl::new();
    openssl.write("c.pem", leaf.to_pem());
    assert!(
        !openssl
            .ok("x509 -in c.pem -noout -text")
            .contains("1.2.3.4")
    );
}

#[test]
fn odd_names_are_reported_and_refused_when_they_cannot_be_issued() {
    let issue = |der: &[u8]| {
        let csr = Csr::from_der(der).unwrap();
        let mut grant = Grant::serving(None, csr.names.clone(), lasting(1));
        grant.subject = csr.subject.clone();
        authority().issue(&csr.public_key, &grant, now(), serial(2))
    };
    let wildcard = issue(&request_for(&[(0x82, b"*.shop.svc")])).unwrap();
    assert!(wildcard.covers(&dns("a.SHOP.svc")) && !wildcard.covers(&dns("a.b.shop.svc")));
    let address = issue(&request_for(&[(0x82, b"10.0.0.1")])).unwrap_err();
    assert!(address.to_string().contains("IP address"), "{address}");
    let zone = issue(&request_for(&[(0x82, b"fe80::1%eth0")])).unwrap_err();
    assert!(zone.to_string().contains("port"), "{zone}");
    let directory = issue(&request_for(&[(0xa4, &common_name(0x0c, b"a"))])).unwrap_err();
    assert!(
        directory.to_string().contains("directoryName"),
        "{directory}"
    );
    let nobody = issue(&request(&tlv(SEQUENCE, &[]), &[])).unwrap_err();
    assert_eq!(nobody, IssueError::NoNames);
    // A subject without SANs is a client's identity.
    assert!(issue(&request(&common_name(0x0c, b"user"), &[])).is_ok());
    let unknown = extension(b"\x2a\x03", b"not DER");
    let csr = request(&tlv(SEQUENCE, &[]), &[extension_request(&[unknown])]);
    assert_eq!(Csr::from_der(&csr).unwrap().extensions.len(), 1);
}
