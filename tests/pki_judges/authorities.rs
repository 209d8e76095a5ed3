//! CAs that somebody else made work as they are, or the refusal says why.

use certtool::pki::{
    Authority, AuthorityError, Certificate, IssueError, KeyAlgorithm, KeyError, PrivateKey,
    TrustBundle, verify_server,
};
use time::Duration;

use crate::openssl::OpenSsl;
use crate::{authority, dns, key, now, serial, serving, spec};

const CONFIG: &str = "[req]\nprompt = no\ndistinguished_name = dn\n[dn]\nCN = config CA\n\
    [ca]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign\n\
    [noski]\nbasicConstraints = CA:TRUE\nsubjectKeyIdentifier = none\nauthorityKeyIdentifier = none\n\
    [leaf]\nbasicConstraints = CA:FALSE\n\
    [nosign]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,digitalSignature\n\
    [root]\nbasicConstraints = critical,CA:TRUE,pathlen:0\n\
    [int]\nbasicConstraints = critical,CA:TRUE,pathlen:0\nkeyUsage = keyCertSign\nsubjectKeyIdentifier = hash\n";

fn with_config() -> OpenSsl {
    let openssl = OpenSsl::new();
    openssl.write("c.cnf", CONFIG);
    openssl
}

fn certificates(openssl: &OpenSsl, file: &str) -> Vec<Certificate> {
    Certificate::all_from_pem(&openssl.read(file)).unwrap()
}

fn load(openssl: &OpenSsl, certificate: &str, key: &str) -> Result<Authority, AuthorityError> {
    let key = PrivateKey::from_pem(&openssl.read(key)).unwrap();
    Authority::new(certificates(openssl, certificate), key)
}

/// A leaf by the CA in `ca.crt` and `ca.key`, accepted by both judges.
fn judge(openssl: &OpenSsl, what: &str) {
    let ca = load(openssl, "ca.crt", "ca.key").unwrap_or_else(|error| panic!("{what}: {error}"));
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let grant = serving(&[dns("a.svc")]);
    let leaf = ca
        .issue(leaf_key.public_key(), &grant, now(), serial(2))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(ca.issued(&leaf), "{what}");
    openssl.write("tls.crt", leaf.to_pem());
    openssl.write("anchor.crt", ca.trust_anchor().to_pem());
    let between: Vec<_> = ca.intermediates().cloned().collect();
    let chain: String = between.iter().map(Certificate::to_pem).collect();
    openssl.write("chain.crt", chain);
    let untrusted = if between.is_empty() {
        ""
    } else {
        "-untrusted chain.crt"
    };
    openssl.ok(&format!(
        "verify -CAfile anchor.crt {untrusted} -purpose sslserver -verify_hostname a.svc tls.crt"
    ));
    let bundle = TrustBundle::new([ca.trust_anchor().clone()]);
    verify_server(&leaf, &between, &bundle, &[dns("a.svc")], now())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    // The key is written as PKCS#8 whatever it was read from.
    openssl.write("written.key", ca.key().to_pem().unwrap().expose());
    let public = |file: &str| openssl.ok(&format!("pkey -in {file} -pubout"));
    assert_eq!(public("written.key"), public("ca.key"), "{what}");
}

#[test]
fn keys_of_every_encoding_are_read() {
    for (what, command) in [
        ("RSA PRIVATE KEY", "genrsa -traditional -out ca.key 2048"),
        (
            "EC PARAMETERS",
            "ecparam -name prime256v1 -genkey -out ca.key",
        ),
        (
            "EC PARAMETERS",
            "ecparam -name secp384r1 -genkey -out ca.key",
        ),
        (
            "EC PRIVATE KEY",
            "ecparam -name secp521r1 -genkey -noout -out ca.key",
        ),
        (
            "PRIVATE KEY",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out ca.key",
        ),
        (
            "PRIVATE KEY",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out ca.key",
        ),
        ("PRIVATE KEY", "genpkey -algorithm ED25519 -out ca.key"),
        (
            "PRIVATE KEY",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out ca.key",
        ),
        (
            "PRIVATE KEY",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out ca.key",
        ),
    ] {
        let openssl = with_config();
        openssl.ok(command);
        let text = String::from_utf8(openssl.read("ca.key")).unwrap();
        assert!(
            text.starts_with(&format!("-----BEGIN {what}-----")),
            "{text}"
        );
        openssl.ok("req -x509 -new -key ca.key -config c.cnf -extensions ca -days 30 -out ca.crt");
        judge(&openssl, command);
    }
}

#[test]
fn cfssl_s_label_for_ed25519_is_read() {
    let openssl = with_config();
    openssl.ok("genpkey -algorithm ED25519 -out ca.key");
    let text = String::from_utf8(openssl.read("ca.key")).unwrap();
    let text = text.replace("PRIVATE KEY", "Ed25519 PRIVATE KEY");
    PrivateKey::from_pem(text.as_bytes()).unwrap();
}

#[test]
fn subjects_of_every_shape_make_chains_that_verify() {
    let shapes = [
        ("default", "/DC=a/DC=b/O=one+OU=two/CN=ca"),
        ("utf8only", "/O=Zwölf/CN=Zoë"),
        ("nombstr", "/O=Zwölf/CN=Zoë"),
        ("MASK:0x0800", "/O=Zwölf/CN=Zoë"),
        ("utf8only", "/O=a/O=b/O=c"),
    ];
    for (mask, subject) in shapes {
        for extensions in ["ca", "noski"] {
            let openssl = with_config();
            openssl.write(
                "c.cnf",
                CONFIG.replace("[dn]", &format!("string_mask = {mask}\n[dn]")),
            );
            openssl.ok("ecparam -name prime256v1 -genkey -out ca.key");
            openssl.ok(&format!(
                "req -x509 -new -utf8 -key ca.key -config c.cnf -extensions {extensions} -days 30 \
                 -multivalue-rdn -subj {subject} -out ca.crt"
            ));
            judge(&openssl, &format!("{mask} {subject} {extensions}"));
            let ca = &certificates(&openssl, "ca.crt")[0];
            assert_eq!(ca.subject_key_id.is_none(), extensions == "noski");
            if subject.contains("Zoë") {
                assert_eq!(ca.subject.to_string(), "O=Zwölf, CN=Zoë", "{mask}");
            }
        }
    }
}

/// A root in root.crt and root.key, an intermediate in int.crt and ca.key.
fn with_intermediate(root_extensions: &str) -> OpenSsl {
    let openssl = with_config();
    openssl.ok("ecparam -name secp384r1 -genkey -out root.key");
    openssl.ok("ecparam -name prime256v1 -genkey -out ca.key");
    openssl.ok(&format!(
        "req -x509 -new -key root.key -config c.cnf -extensions {root_extensions} -days 30 -subj /CN=root -out root.crt"
    ));
    openssl.ok("req -new -key ca.key -config c.cnf -subj /CN=intermediate -out int.csr");
    openssl.ok(
        "x509 -req -in int.csr -CA root.crt -CAkey root.key -CAcreateserial -days 20 \
         -extfile c.cnf -extensions int -out int.crt",
    );
    openssl
}

fn join(openssl: &OpenSsl, files: &[&str]) {
    let text: Vec<u8> = files.iter().flat_map(|file| openssl.read(file)).collect();
    openssl.write("ca.crt", text);
}

#[test]
fn an_intermediate_issues_with_its_chain() {
    let openssl = with_intermediate("ca");
    join(&openssl, &["int.crt", "root.crt"]);
    judge(&openssl, "intermediate");
    let ca = load(&openssl, "ca.crt", "ca.key").unwrap();
    let chain: Vec<_> = ca.chain().map(|c| c.subject.to_string()).collect();
    assert_eq!(chain, ["CN=intermediate", "CN=root"]);
    assert_eq!(ca.intermediates().count(), 1);

    join(&openssl, &["root.crt", "int.crt"]);
    let error = load(&openssl, "ca.crt", "ca.key").unwrap_err();
    assert!(
        matches!(error, AuthorityError::KeyMismatch { .. }),
        "{error}"
    );
    join(&openssl, &["int.crt", "int.crt"]);
    let error = load(&openssl, "ca.crt", "ca.key").unwrap_err();
    assert!(matches!(error, AuthorityError::Chain { .. }), "{error}");
}

#[test]
fn a_chain_that_never_verifies_is_refused() {
    let openssl = with_intermediate("root");
    join(&openssl, &["int.crt", "root.crt"]);
    let error = load(&openssl, "ca.crt", "ca.key").unwrap_err();
    assert!(
        matches!(error, AuthorityError::ChainPathLength { .. }),
        "{error}"
    );

    // Another root of the same name, as after a re-keying.
    let openssl = with_intermediate("ca");
    openssl.ok("ecparam -name secp384r1 -genkey -out root.key");
    openssl.ok(
        "req -x509 -new -key root.key -config c.cnf -extensions ca -subj /CN=root -out root.crt",
    );
    join(&openssl, &["int.crt", "root.crt"]);
    let error = load(&openssl, "ca.crt", "ca.key").unwrap_err();
    assert!(
        matches!(error, AuthorityError::ChainSignature { .. }),
        "{error}"
    );
}

#[test]
fn certificates_that_cannot_sign_are_refused_with_the_reason() {
    let openssl = with_config();
    openssl.ok("ecparam -name prime256v1 -genkey -out ca.key");
    openssl.ok("req -new -key ca.key -config c.cnf -subj /CN=v1 -out ca.csr");
    openssl.ok("x509 -req -in ca.csr -signkey ca.key -days 9 -out ca.crt");
    let error = load(&openssl, "ca.crt", "ca.key").unwrap_err().to_string();
    assert!(
        error.contains("version 1") && error.contains("openssl x509 -req"),
        "{error}"
    );

    let make = |extensions: &str| {
        openssl.ok(&format!(
            "req -x509 -new -key ca.key -config c.cnf -extensions {extensions} -out ca.crt"
        ));
        load(&openssl, "ca.crt", "ca.key").unwrap_err()
    };
    assert!(matches!(
        make("leaf"),
        AuthorityError::NotCa { version: 3, .. }
    ));
    assert!(matches!(make("nosign"), AuthorityError::MayNotSign(_)));
    assert!(matches!(
        Authority::new(Vec::new(), key(KeyAlgorithm::EcdsaP256)).unwrap_err(),
        AuthorityError::Empty
    ));

    let ca = authority();
    let error = Authority::new(vec![ca.certificate().clone()], key(KeyAlgorithm::EcdsaP256));
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&ca.certificate().fingerprint()), "{error}");
}

#[test]
fn an_expired_ca_signs_nothing() {
    let mut spec = spec();
    spec.validity.not_before -= Duration::days(20);
    spec.validity.not_after = now() - Duration::days(1);
    let ca = Authority::self_signed(&spec, key(KeyAlgorithm::EcdsaP256), serial(1)).unwrap();
    let leaf_key = key(KeyAlgorithm::EcdsaP256);
    let error = ca
        .issue(
            leaf_key.public_key(),
            &serving(&[dns("a")]),
            now(),
            serial(2),
        )
        .unwrap_err();
    assert!(matches!(error, IssueError::CaNotValid { .. }), "{error}");
}

#[test]
fn encrypted_keys_are_recognised_and_how_to_decrypt_them_is_said() {
    let openssl = OpenSsl::new();
    for command in [
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:secret -out k.pem",
        "genrsa -traditional -aes128 -passout pass:secret -out k.pem 2048",
    ] {
        openssl.ok(command);
        let error = PrivateKey::from_pem(&openssl.read("k.pem")).unwrap_err();
        assert_eq!(error, KeyError::Encrypted, "{command}");
        assert!(error.to_string().contains("openssl pkey"), "{error}");
    }
    openssl.ok("genrsa -out k.pem 1024");
    let error = PrivateKey::from_pem(&openssl.read("k.pem")).unwrap_err();
    assert_eq!(error, KeyError::Unusable);
}
