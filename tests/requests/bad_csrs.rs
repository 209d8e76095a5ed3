//! Requests that are bad in every way that was thought of: nothing is signed, submitted or
//! lost, and the message says what is wrong.

use std::fmt::Write;

use crate::{
    Files, World,
    files::EC,
    forge::{SEQUENCE, common_name, extension, extension_request, request, request_for, san, tlv},
    support,
};

fn pem(der: Vec<u8>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", der))
}

fn subject() -> Vec<u8> {
    tlv(SEQUENCE, &[])
}

/// What is wrong, in a file of its own each, and in the message.
fn bad(files: &Files) -> Vec<(&'static str, &'static str)> {
    files.csr("good", "DNS:hook.shop.svc");
    let good = files.read("good.csr");
    files.openssl("req -in good.csr -outform der -out good.der");
    let der = std::fs::read(files.path("good.der")).unwrap();
    let mut forged = der.clone();
    *forged.last_mut().unwrap() ^= 1;
    files.write("signature.csr", pem(forged));
    files.write("der-after.csr", pem([&der[..], b"\x05\x00"].concat()));
    files.write("text-after.csr", format!("{good}and more\n"));
    files.write("two.csr", good.repeat(2));
    files.write("cut.csr", &good[..good.len() - 60]);
    files.write("empty.csr", "");
    files.write("nul.csr", b"\0\0\0\0");
    files.write("der.csr", &der);
    files.write("key.csr", files.read("good.key"));
    files.openssl("req -new -x509 -key good.key -subj /CN=x -out certificate.csr -days 1");
    files.openssl(&format!(
        "req -new {EC} -sha1 -keyout k -out sha1.csr -subj /CN=x"
    ));
    files.openssl("req -new -newkey rsa:1024 -nodes -keyout k -out rsa1024.csr -subj /CN=x");
    files.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout k -out curve.csr -subj /CN=x");
    let one = san(&[(0x82, b"a.svc")]);
    let other = san(&[(0x82, b"b.svc")]);
    files.write(
        "two-requests.csr",
        pem(request(
            &subject(),
            &[
                extension_request(std::slice::from_ref(&one)),
                extension_request(std::slice::from_ref(&other)),
            ],
        )),
    );
    files.write(
        "two-sans.csr",
        pem(request(&subject(), &[extension_request(&[one, other])])),
    );
    files.write(
        "nul-name.csr",
        pem(request_for(&[(0x82, b"hook.svc\0.evil.com")])),
    );
    files.write(
        "latin1-name.csr",
        pem(request_for(&[(0x82, b"h\xfck.svc")])),
    );
    files.write(
        "utf8-name.csr",
        pem(request_for(&[(0x82, "hük.svc".as_bytes())])),
    );
    files.write("short-ip.csr", pem(request_for(&[(0x87, b"\x0a\x00\x00")])));
    files.write("no-names.csr", pem(request_for(&[])));
    files.write(
        "nul-subject.csr",
        pem(request(&common_name(0x0c, b"hook\0evil"), &[])),
    );
    files.write(
        "escape-subject.csr",
        pem(request(&common_name(0x0c, b"\x1b[31mhook"), &[])),
    );
    let unreadable = extension(b"\x55\x1d\x13", b"\xff\xff");
    files.write(
        "extension.csr",
        pem(request(&subject(), &[extension_request(&[unreadable])])),
    );
    let mut large = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    for _ in 0..16_000 {
        let _ = writeln!(large, "{}", "A".repeat(64));
    }
    files.write("large.csr", large + "-----END CERTIFICATE REQUEST-----\n");
    files.write("huge.csr", vec![b'A'; 5 << 20]);
    vec![
        ("signature", "the signature does not verify with the key"),
        ("der-after", "there are bytes after it"),
        ("text-after", "there is text after"),
        (
            "two",
            "2 PEM blocks found where one CERTIFICATE REQUEST is expected",
        ),
        ("cut", "malformed PEM"),
        ("empty", "no certificate signing request found"),
        ("nul", "malformed PEM"),
        ("der", "malformed PEM"),
        (
            "key",
            "no certificate signing request found, but a PRIVATE KEY",
        ),
        (
            "certificate",
            "no certificate signing request found, but a CERTIFICATE",
        ),
        ("sha1", "it is signed with ECDSA-SHA1"),
        ("rsa1024", "RSA with 1024 bits"),
        ("curve", "unsupported kind"),
        ("two-requests", "twice"),
        ("two-sans", "twice"),
        ("nul-name", "characters that a certificate cannot carry"),
        ("latin1-name", "characters that a certificate cannot carry"),
        ("utf8-name", "characters that a certificate cannot carry"),
        (
            "short-ip",
            "subject alternative name extension is malformed",
        ),
        (
            "no-names",
            "subject alternative name extension is malformed",
        ),
        ("nul-subject", "has a control character"),
        ("escape-subject", "has a control character"),
        ("extension", "extension 2.5.29.19 does not decode"),
        ("large", "more than 131072 is refused"),
        ("huge", "is larger than 4 MiB"),
    ]
}

#[test]
fn a_bad_request_is_neither_signed_nor_submitted() {
    support::run(async {
        let world = World::new("badcsr").await;
        world.ca();
        let bad = bad(&world);
        for (file, why) in &bad {
            world
                .run(&format!(
                    "sign --csr {file}.csr --ca-dir ca --out {file}.crt"
                ))
                .ended(1)
                .prints_nothing()
                .explains(why)
                .explains(&format!("{file}.csr"))
                .says_nothing_of("panicked");
            assert!(!world.exists(&format!("{file}.crt")), "{file}");
            world
                .run(&format!("submit {file}.csr --name @{file} --signer %S"))
                .ended(1)
                .prints_nothing()
                .explains(why);
            assert_eq!(world.find(file).await, None, "{file}");
        }
        // From stdin too.
        for file in ["two", "large", "huge", "key"] {
            world
                .certtool_reading(&format!("{file}.csr"), "sign --csr - --ca-dir ca")
                .ended(1)
                .prints_nothing();
        }
        // Among the good one, they do not stop it.
        let count = bad.len();
        world
            .run("sign --csr . --ca-dir ca --out-dir out")
            .ended(1)
            .prints(&format!("signed 1, not signed {count}\n"));
        assert_eq!(world.list("out"), ["good.crt"]);
    });
}

#[test]
fn a_bad_request_is_described_as_far_as_it_reads() {
    let files = Files::new();
    for (file, why) in bad(&files) {
        let said = files.certtool(&format!("describe {file}.csr"));
        match file {
            "signature" | "sha1" | "rsa1024" | "curve" => {
                said.done().prints("NOT VALID").prints(why);
            }
            _ => {
                said.ended(1).prints_nothing().explains(why);
            }
        }
    }
}

#[test]
fn names_that_no_client_can_ask_for_are_refused_and_odd_ones_are_kept() {
    let files = Files::new();
    files.certtool("ca init --out-dir ca").done();
    for (name, why) in [
        (&b"10.0.0.1"[..], "it is an IP address"),
        (b"fd00::1", "it is an IP address"),
        (b"a..b", "matches nothing"),
        (b"hook.svc:443", "matches nothing"),
        (b"*", "matches nothing"),
        (b"a.*.svc", "matches nothing"),
        (b"", "matches nothing"),
        (b" hook.svc", "matches nothing"),
    ] {
        files.write("r.csr", pem(request_for(&[(0x82, name)])));
        files
            .certtool("sign --csr r.csr --ca-dir ca")
            .ended(1)
            .prints_nothing()
            .explains(why);
    }
    for name in ["*.shop.svc", "xn--hk-mka.svc", "HOOK.shop.svc", "localhost"] {
        files.csr("r", &format!("DNS:{name}"));
        let said = files.certtool("sign --csr r.csr --ca-dir ca").done();
        files.write("r.crt", said.stdout);
        assert!(
            files.x509("r.crt", "-ext subjectAltName").contains(name),
            "{name}"
        );
    }
    // No SAN: a certificate for a client, and worth a warning for a server.
    files.openssl(&format!(
        "req -new {EC} -keyout k -out cn.csr -subj /CN=hook"
    ));
    files
        .certtool("sign --csr cn.csr --ca-dir ca --out cn.crt")
        .done()
        .explains("has no subject alternative name");
    files.openssl(&format!("req -new {EC} -keyout k -out none.csr -subj /"));
    files
        .certtool("sign --csr none.csr --ca-dir ca")
        .ended(1)
        .explains("it asks for no name");
}
