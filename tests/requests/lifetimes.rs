//! What a certificate says and how long, beside kube-controller-manager's own.

use serde_json::json;

use crate::{
    World,
    files::{EC, Said, now},
    support::{self, ControlPlane, Options},
    world::certificate,
};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

#[test]
fn a_certificate_lives_as_long_as_kube_controller_manager_would_let_it() {
    support::run(async {
        let world = World::new("life").await;
        world.ca();
        world.csr("hook", "DNS:hook.shop.svc");
        let profile = json!({ "usages": ["digital signature", "key encipherment", "server auth"], "expiry": "48h" });
        world.write(
            "signing.json",
            json!({ "signing": { "default": profile } }).to_string(),
        );
        for (index, (asked, options, life)) in [
            // Dated back by five minutes, and so much shorter, from eight hours on.
            ("", "", 365 * DAY - 300),
            ("--expiration 24h", "", DAY - 300),
            ("--expiration 8h", "", 8 * HOUR - 300),
            ("--expiration 7h", "", 7 * HOUR),
            ("--expiration 10m", "", 600),
            ("--expiration 24h", "--validity 1h", HOUR),
            ("", "--validity 30d", 30 * DAY - 300),
            ("", "--config signing.json", 2 * DAY - 300),
            ("--expiration 24h", "--config signing.json", DAY - 300),
            ("--expiration 90d", "--config signing.json", 2 * DAY - 300),
            // Never longer than the CA.
            ("", "--validity 100y", 3650 * DAY),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("r{index}");
            world
                .run(&format!(
                    "submit hook.csr --name @{name} --signer %S {asked}"
                ))
                .done();
            world.run(&format!("approve @{name}")).done();
            world
                .run(&format!("sign @{name} --ca-dir ca {options} -q"))
                .done();
            world.write("tls.crt", certificate(&world.object(&name).await).unwrap());
            let off = world.not_after("tls.crt") - now() - life;
            assert!(off.abs() < 90, "{asked} {options}: {off} s off");
        }
    });
}

#[test]
fn the_certificate_is_the_one_that_kube_controller_manager_makes() {
    support::run(async {
        let cluster = ControlPlane::dedicated_with(&Options {
            controller_manager: true,
            ..Options::default()
        });
        let world = World::on(&cluster, "kcm").await;
        world.openssl(&format!(
            "req -new {EC} -keyout k -out client.csr -subj /O=shop/CN=hook \
             -addext subjectAltName=DNS:hook.shop.svc,IP:10.0.0.1 -addext basicConstraints=CA:TRUE -addext 1.2.3.4=DER:0500"
        ));
        let pki = cluster.dir().join("pki");
        for (index, (life, usages)) in [
            (
                "",
                vec!["client auth", "digital signature", "key encipherment"],
            ),
            ("--expiration 24h", vec!["client auth", "digital signature"]),
            ("--expiration 1h", vec!["client auth"]),
        ]
        .into_iter()
        .enumerate()
        {
            for (who, signer) in [
                ("theirs", "kubernetes.io/kube-apiserver-client"),
                ("ours", "%S"),
            ] {
                let mut submit = world.command(&format!(
                    "submit client.csr --name @{who}{index} --signer {signer} {life}"
                ));
                for usage in &usages {
                    submit.args(["--usage", usage]);
                }
                Said::of(submit).done();
                world.run(&format!("approve @{who}{index}")).done();
            }
            world
                .run(&format!(
                    "sign @ours{index} --ca {} --ca-key {}",
                    pki.join("ca.crt").display(),
                    pki.join("ca.key").display()
                ))
                .done();
            world
                .run(&format!("fetch @theirs{index} --wait --timeout 50s"))
                .done();
            let mut texts = Vec::new();
            let mut ends = Vec::new();
            for who in ["theirs", "ours"] {
                let object = world.object(&format!("{who}{index}")).await;
                world.write("x.crt", certificate(&object).unwrap());
                let text = [
                    "-subject -nameopt RFC2253",
                    "-issuer",
                    "-ext subjectAltName",
                    "-ext keyUsage",
                    "-ext extendedKeyUsage",
                    "-ext basicConstraints",
                    "-ext authorityKeyIdentifier",
                    "-pubkey",
                ];
                texts.push(text.map(|what| world.x509("x.crt", what)));
                ends.push(world.not_after("x.crt"));
                assert!(!world.x509("x.crt", "-text").contains("1.2.3.4"));
            }
            assert_eq!(texts[0], texts[1], "{life}");
            assert!((ends[0] - ends[1]).abs() < 60, "{life}: {ends:?}");
        }
    });
}
