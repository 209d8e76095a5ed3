//! `ca init` and `ca show`.

use serde_json::json;

use crate::{
    Files, World,
    support::{self, rule},
};

#[test]
fn a_ca_of_every_algorithm_signs_leaves_and_no_further_ca() {
    let files = Files::new();
    files.csr("hook", "DNS:hook.shop.svc");
    for (algorithm, key) in [
        ("ecdsa-p256", "ECDSA P-256"),
        ("ecdsa-p384", "ECDSA P-384"),
        ("ed25519", "Ed25519"),
        ("rsa-2048", "RSA 2048"),
        ("rsa-3072", "RSA 3072"),
        ("rsa-4096", "RSA 4096"),
    ] {
        files
            .certtool(&format!(
                "ca init --out-dir {algorithm} --algorithm {algorithm} --cn Signer-{algorithm}"
            ))
            .done()
            .prints("CA created:")
            .prints(key)
            .prints("CA:              yes, path length 0");
        let (ca, leaf) = (format!("{algorithm}/ca.crt"), format!("{algorithm}.crt"));
        assert_eq!(files.mode(&format!("{algorithm}/ca.key")), 0o600);
        files.assert_pair(&ca, &format!("{algorithm}/ca.key"));
        let text = files.x509(&ca, "-ext basicConstraints,keyUsage");
        for expected in [
            "critical",
            "CA:TRUE, pathlen:0",
            "Certificate Sign, CRL Sign",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        files
            .certtool(&format!(
                "sign --csr hook.csr --ca-dir {algorithm} --out {leaf}"
            ))
            .done();
        assert!(files.verifies(&ca, &leaf, "hook.shop.svc"), "{algorithm}");
        files
            .certtool(&format!("ca show --ca-dir {algorithm}"))
            .done()
            .prints(key);
    }
}

#[test]
fn a_ca_is_never_overwritten() {
    let files = Files::new();
    files.certtool("ca init --out-dir ca").done();
    let before = [files.read("ca/ca.crt"), files.read("ca/ca.key")];
    for words in ["", " --dry-run", " --cn Other", " --algorithm rsa-2048"] {
        files
            .certtool(&format!("ca init --out-dir ca{words}"))
            .ended(1)
            .prints_nothing()
            .explains("there is a CA in ca already, and it is never overwritten");
    }
    files.write("half/ca.key", "a key of mine");
    files.certtool("ca init --out-dir half").ended(1);
    assert_eq!(files.list("half"), ["ca.key"]);
    assert_eq!([files.read("ca/ca.crt"), files.read("ca/ca.key")], before);
    files
        .certtool("ca init --out-dir new --dry-run")
        .done()
        .prints("(dry run)");
    assert!(!files.exists("new"));
}

#[test]
fn many_at_the_same_time_make_one_ca() {
    let files = Files::new();
    let processes: Vec<_> = (0..6)
        .map(|n| {
            support::Process::spawn(files.command(&format!("ca init --out-dir ca --cn Number-{n}")))
        })
        .collect();
    let codes: Vec<_> = processes
        .into_iter()
        .map(|process| crate::files::Said::at_the_end_of(process).code)
        .collect();
    assert_eq!(
        codes.iter().filter(|code| **code == 0).count(),
        1,
        "{codes:?}"
    );
    files.assert_pair("ca/ca.crt", "ca/ca.key");
}

#[test]
fn a_constrained_ca_refuses_other_names_as_openssl_would() {
    let files = Files::new();
    files
        .certtool("ca init --out-dir ca --permitted-dns .svc --permitted-dns shop.example")
        .done();
    let constraints = files.x509("ca/ca.crt", "-ext nameConstraints");
    assert!(
        constraints.contains("critical") && constraints.contains("DNS:.svc"),
        "{constraints}"
    );
    files
        .certtool("ca show --ca-dir ca")
        .done()
        .prints("leaf certificates, for DNS names below .svc, shop.example; for any IP address");
    for (index, (name, allowed)) in [
        ("hook.shop.svc", true),
        ("shop.example", true),
        ("a.shop.example", true),
        ("*.shop.svc", true),
        ("svc", false),
        ("hook.shop.svc.cluster.local", false),
        ("workshop.example", false),
        ("example.com", false),
    ]
    .into_iter()
    .enumerate()
    {
        let csr = format!("r{index}");
        files.csr(&csr, &format!("DNS:{name}"));
        let said = files.certtool(&format!("sign --csr {csr}.csr --ca-dir ca --out {csr}.crt"));
        if allowed {
            said.done();
        } else {
            said.ended(1)
                .prints_nothing()
                .explains("the CA's name constraints forbid a name")
                .explains("RFC 5280, section 4.2.1.10");
            assert!(!files.exists(&format!("{csr}.crt")));
        }
        // openssl, given a certificate that the CA's key signs all the same, agrees.
        files.write("ext", format!("subjectAltName=DNS:{name}\n"));
        files.openssl(&format!("x509 -req -in {csr}.csr -CA ca/ca.crt -CAkey ca/ca.key -days 1 -extfile ext -out judged.crt"));
        let judged = files
            .try_openssl("verify -CAfile ca/ca.crt judged.crt")
            .status
            .success();
        assert_eq!(judged, allowed, "{name}");
    }
    for bad in ["*.svc", "http://svc", "10.0.0.0/8", "a..b"] {
        files
            .certtool(&format!("ca init --out-dir bad --permitted-dns {bad}"))
            .ended(1)
            .explains("DNS name");
        assert!(!files.exists("bad"), "{bad}");
    }
}

#[test]
fn a_path_length_is_kept_to() {
    let files = Files::new();
    files
        .certtool("ca init --out-dir root --path-length 1 --cn Root")
        .done()
        .prints("path length 1");
    files
        .certtool("ca show --ca-dir root")
        .done()
        .prints("leaf certificates, and CAs with up to 0 below them");
    files.certtool("ca init --out-dir leaf --cn Leaf").done();
    files
        .certtool("genkey --cn Intermediate --name intermediate")
        .done();
    let profile = json!({ "usages": ["cert sign", "crl sign"], "expiry": "24h",
                          "ca_constraint": { "is_ca": true, "max_path_len": 0, "max_path_len_zero": true } });
    files.write(
        "ca.json",
        json!({ "signing": { "default": profile } }).to_string(),
    );
    files
        .certtool("sign --csr intermediate.csr --ca-dir leaf --config ca.json -q")
        .ended(1)
        .prints_nothing()
        .explains("RFC 5280, section 4.2.1.9");
    files
        .certtool(
            "sign --csr intermediate.csr --ca-dir root --config ca.json -q --out intermediate.crt",
        )
        .done();
    // The intermediate signs, with its chain, and the chain verifies.
    files.write(
        "chain.pem",
        files.read("intermediate.crt") + &files.read("root/ca.crt"),
    );
    files.csr("hook", "DNS:hook.shop.svc");
    files
        .certtool("sign --csr hook.csr --ca chain.pem --ca-key intermediate-key.pem --out hook.crt")
        .done();
    assert_eq!(
        files.read("hook.crt").matches("BEGIN CERTIFICATE").count(),
        2
    );
    files.openssl("verify -x509_strict -CAfile root/ca.crt -untrusted hook.crt hook.crt");
}

#[test]
fn a_ca_from_cfssls_json_is_what_the_json_says() {
    let files = Files::new();
    files.write(
        "ca.json",
        r#"{ "CN": "My Example Signer", "key": { "algo": "rsa", "size": 2048 },
             "names": [{ "O": "Shop", "C": "DE" }], "ca": { "expiry": "87600h", "pathlen": 2 } }"#,
    );
    files
        .certtool("ca init --from ca.json --out-dir ca")
        .done()
        .prints("path length 2");
    assert_eq!(
        files.x509("ca/ca.crt", "-subject"),
        "subject=C = DE, O = Shop, CN = My Example Signer"
    );
    let years = (files.not_after("ca/ca.crt") - crate::files::now()) / (365 * 86_400);
    assert!((9..=10).contains(&years), "{years}");
    // Options say more than the file.
    files
        .certtool("ca init --from ca.json --out-dir short --validity 30d --path-length 0 --permitted-dns .svc")
        .done()
        .prints("path length 0");
    files
        .certtool("ca init --from ca.json --out-dir x --cn Other")
        .ended(2);
    files
        .certtool_reading("ca.json", "ca init --from - --out-dir piped")
        .done()
        .prints("CN=My Example Signer");
}

#[test]
fn show_says_what_a_ca_is_worth_and_finds_what_is_not_one() {
    let files = Files::new();
    files.certtool("ca init --out-dir ca --validity 30d").done();
    let data = files.certtool("ca show --ca-dir ca -o json").done().json();
    let ca = &data["certificates"][0];
    let fingerprint = files
        .x509("ca/ca.crt", "-fingerprint -sha256")
        .replace(':', "")
        .to_lowercase();
    assert!(
        fingerprint.ends_with(ca["fingerprint"].as_str().unwrap()),
        "{fingerprint} {ca}"
    );
    assert_eq!(ca["usable"], true);
    assert_eq!(ca["pathLength"], 0);
    files
        .certtool("ca show --ca ca/ca.crt")
        .done()
        .prints("Expires:         in 30 days");
    files.ca_between("old", -20, -10);
    files
        .certtool("ca show --ca old.crt")
        .ended(3)
        .prints("EXPIRED");
    files.openssl("req -new -x509 -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.crt -subj /CN=Leaf -days 30 -addext basicConstraints=CA:FALSE");
    files
        .certtool("ca show --ca leaf.crt")
        .ended(3)
        .prints("nothing: it is not a CA");
    files
        .certtool("ca show --ca-dir nothing")
        .ended(1)
        .explains("nothing/ca.crt: no such file");
    files
        .certtool("ca show")
        .ended(1)
        .explains("local-ca/ca.crt");
    // The default is the local CA of local-dev.
    files.certtool("local-dev --cert-dir serving").done();
    files.certtool("ca show").done().prints("May sign:");
}

#[test]
fn a_ca_in_a_secret_is_made_once_with_no_more_rights_than_it_takes() {
    support::run(async {
        let world = World::new("secret").await;
        for mode in ["client", "server"] {
            world
                .run(&format!("ca init --secret %N/signer --dry-run={mode}"))
                .done()
                .prints("dry run)");
            world
                .run("ca show --secret %N/signer")
                .ended(1)
                .explains("there is no Secret");
        }
        let rights = [rule(&[""], &["secrets"], &["get", "create"])];
        let kubeconfig = world
            .cluster
            .service_account(&world.namespace, "ca", &rights, &[])
            .await;
        let user = world.as_user(kubeconfig);
        user.run("ca init --secret %N/signer --cn In-a-Secret")
            .done()
            .prints("CA created: Secret");
        user.run("ca init --secret %N/signer")
            .ended(1)
            .explains("already, and it is never overwritten");
        user.run("ca show --secret %N/signer")
            .done()
            .prints("CN=In-a-Secret");
        user.run("ca init --secret other/signer")
            .ended(1)
            .explains("Role rule: {apiGroups: [\"\"], resources: [\"secrets\"], verbs: [\"get\"]");
        world
            .run("ca init --secret no-such-namespace/signer")
            .ended(1)
            .explains("no namespace \"no-such-namespace\"");
        world
            .run("ca init --secret signer")
            .ended(2)
            .explains("NAMESPACE/NAME");
        world.run("ca init --secret a/b --out-dir c").ended(2);
    });
}
