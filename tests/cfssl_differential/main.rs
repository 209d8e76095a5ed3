//! certtool beside real cfssl 1.6.5 on generated CSR JSONs and signing configs: the same
//! certificate, or an error of certtool's that says why not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compare;
#[path = "../pki_judges/forge.rs"]
#[allow(dead_code)]
mod forge;
mod generate;
mod peer;

use certtool::cfssl::{CsrJson, SigningConfig};
use certtool::pki::{
    Authority, CaSpec, Certificate, Csr, DistinguishedName, Host, KeyAlgorithm, Lifetime,
    NameConstraints, PrivateKey, Serial, create_csr,
};
use time::{Duration, OffsetDateTime};

use compare::Tally;
use generate::Rng;
use peer::{Case, Peer};

/// How many inputs of each kind, and where the sequence starts:
/// `CERTTOOL_CFSSL_CASES=5000 CERTTOOL_CFSSL_SEED=7 cargo test --test cfssl_differential`.
fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn cases() -> usize {
    setting("CERTTOOL_CFSSL_CASES", 300)
}

fn rng(kind: usize) -> Rng {
    Rng::new(setting("CERTTOOL_CFSSL_SEED", 1) * 4 + kind)
}

fn serial() -> Serial {
    Serial::from_random([7; 20])
}

/// A CA that outlives every generated certificate, so that nothing is clamped.
fn authority(path_length: Option<u8>) -> Authority {
    let spec = CaSpec {
        subject: DistinguishedName::common_name_only("My Example Signer"),
        validity: Lifetime::of(Duration::weeks(52 * 150)).starting(OffsetDateTime::now_utc()),
        path_length,
        name_constraints: NameConstraints::default(),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let mut spec = spec;
    // `not_before` of a profile may lie in the past.
    spec.validity.not_before -= Duration::weeks(52 * 20);
    Authority::self_signed(&spec, key, serial()).unwrap()
}

fn our_request(json: &str) -> Result<Csr, String> {
    let request = CsrJson::parse(json).map_err(|error| error.to_string())?;
    request
        .check_for_request()
        .map_err(|error| error.to_string())?;
    let key = PrivateKey::generate(request.key_algorithm()).map_err(|error| error.to_string())?;
    let pem =
        create_csr(request.subject(), request.names(), &key).map_err(|error| error.to_string())?;
    Csr::from_pem(pem.as_bytes()).map_err(|error| error.to_string())
}

fn our_root(json: &str, now: OffsetDateTime) -> Result<Certificate, String> {
    let request = CsrJson::parse(json).map_err(|error| error.to_string())?;
    let grant = request.root(now).map_err(|error| error.to_string())?;
    let key = PrivateKey::generate(request.key_algorithm()).map_err(|error| error.to_string())?;
    let ca = Authority::self_signed_as(&grant, key, serial()).map_err(|error| error.to_string())?;
    Ok(ca.certificate().clone())
}

fn our_leaf(case: &Case, ca: &Authority, now: OffsetDateTime) -> Result<Certificate, String> {
    let config = SigningConfig::parse(&case.json).map_err(|error| error.to_string())?;
    let profile = config
        .profile(Some(&case.profile))
        .map_err(|error| error.to_string())?;
    let csr = Csr::from_pem(case.csr.as_bytes()).map_err(|error| error.to_string())?;
    let csr = csr.verified().map_err(|error| error.to_string())?;
    let hosts: Vec<_> = case
        .hosts
        .iter()
        .flatten()
        .map(|host| host.parse::<Host>().map(|host| host.to_san()))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    let grant = profile
        .grant(&csr, &hosts, now)
        .map_err(|error| error.to_string())?;
    ca.issue(&csr.public_key, &grant, now, serial())
        .map_err(|error| error.to_string())
}

#[test]
fn requests_are_those_of_cfssl() {
    let count = cases();
    let mut rng = rng(1);
    let cases: Vec<_> = (0..count)
        .map(|_| Case::new("csr", generate::csr_json(&mut rng, false)))
        .collect();
    let theirs = Peer::find().run(None, &cases);
    let mut tally = Tally::default();
    for (case, theirs) in cases.iter().zip(theirs) {
        tally.add(
            &case.json,
            our_request(&case.json),
            theirs.made,
            |ours, theirs| {
                compare::requests(
                    ours,
                    &Csr::from_pem(theirs).map_err(|error| error.to_string())?,
                )
            },
        );
    }
    tally.judge("requests", count / 3);
}

#[test]
fn roots_are_those_of_cfssl() {
    let count = cases();
    let mut rng = rng(2);
    let cases: Vec<_> = (0..count)
        .map(|_| Case::new("root", generate::csr_json(&mut rng, true)))
        .collect();
    let theirs = Peer::find().run(None, &cases);
    let mut tally = Tally::default();
    for (case, theirs) in cases.iter().zip(theirs) {
        tally.add(
            &case.json,
            our_root(&case.json, theirs.at),
            theirs.made,
            compare::certificate_pem,
        );
    }
    tally.judge("roots", count / 4);
}

#[test]
fn leaves_are_those_of_cfssl() {
    let count = cases();
    let mut rng = rng(3);
    let requests = generate::requests(&mut rng, 60);
    for path_length in [None, Some(2)] {
        let ca = authority(path_length);
        let cases: Vec<_> = (0..count * 2)
            .map(|_| Case {
                profile: rng
                    .pick(&["", "", "", "server", "server", "server", "default", "other"])
                    .to_string(),
                csr: rng.pick(&requests).clone(),
                hosts: rng
                    .chance(15)
                    .then(|| vec!["over.example.com".to_owned(), "10.9.8.7".to_owned()]),
                ..Case::new("sign", generate::config(&mut rng))
            })
            .collect();
        let theirs = Peer::find().run(Some(&ca), &cases);
        let mut tally = Tally::default();
        for (case, theirs) in cases.iter().zip(theirs) {
            tally.add(
                &case.describe(),
                our_leaf(case, &ca, theirs.at),
                theirs.made,
                compare::certificate_pem,
            );
        }
        tally.judge("leaves", count / 2);
    }
}

#[test]
fn the_recipe_is_the_same() {
    let json = r#"{
        "hosts": ["hook.default.svc", "hook.default", "172.22.109.184"],
        "CN": "hook.default.svc",
        "key": {"algo": "ecdsa", "size": 256}
    }"#;
    let root = r#"{"CN": "My Example Signer", "key": {"algo": "rsa", "size": 2048}}"#;
    let config = r#"{"signing": {"default": {
        "usages": ["digital signature", "key encipherment", "server auth"],
        "expiry": "876000h", "ca_constraint": {"is_ca": false}}}}"#;
    let peer = Peer::find();
    let made = peer.run(
        None,
        &[
            Case::new("csr", json.to_owned()),
            Case::new("root", root.to_owned()),
        ],
    );
    let csr = String::from_utf8(made[0].made.clone().unwrap()).unwrap();
    let ours = our_request(json).unwrap();
    compare::requests(&ours, &Csr::from_pem(csr.as_bytes()).unwrap()).unwrap();
    let ours = our_root(root, made[1].at).unwrap();
    compare::certificate_pem(&ours, made[1].made.as_ref().unwrap()).unwrap();

    let ca = authority(None);
    let case = Case {
        csr,
        ..Case::new("sign", config.to_owned())
    };
    let theirs = peer.run(Some(&ca), std::slice::from_ref(&case)).remove(0);
    let ours = our_leaf(&case, &ca, theirs.at).unwrap();
    compare::certificate_pem(&ours, &theirs.made.unwrap()).unwrap();
}
