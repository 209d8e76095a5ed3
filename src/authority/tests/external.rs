//! A CA that somebody else maintains.

use time::Duration;

use super::fixtures::{NOW, Stored, at, holds, make, serial, settings, waits};
use crate::authority::{Phase, Settings, Waiting, plan, warnings};
use crate::pki::{
    Authority, CaConstraint, CaSpec, DistinguishedName, Grant, KeyAlgorithm, Lifetime,
    NameConstraints, PrivateKey, Usage,
};

#[test]
fn a_ca_that_somebody_else_maintains_is_watched_and_never_changed() {
    let settings = settings();
    let ca = make(&settings, 1, NOW);
    let external = Settings {
        rotate: false,
        ..settings.clone()
    };
    let mut secret = Stored::plain(&ca);
    let check = |secret: &Stored, settings: &Settings, expected: &str| {
        let state = secret.state();
        assert_eq!(state.phase(settings), Phase::External);
        for now in [NOW, at(25), at(40)] {
            waits(&plan(&state, settings, &holds(), now), &Waiting::Owner);
        }
        let said: Vec<_> = warnings(&state, settings, at(25))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(said.join("\n").contains(expected), "{said:?}");
    };
    check(&secret, &external, "the CA ends at 2026-12-21T12:00:00Z");
    secret.annotations.insert(
        "cert-manager.io/certificate-name".to_owned(),
        "webhook-ca".to_owned(),
    );
    check(
        &secret,
        &settings,
        "cert-manager keeps it, for the Certificate webhook-ca",
    );
    // An intermediate, its issuer in ca.crt as cert-manager writes it.
    let root = root(&settings);
    let intermediate = intermediate(&root);
    secret = Stored::plain(&intermediate);
    secret.set("ca.crt", root.certificate().to_pem().as_bytes());
    check(&secret, &settings, "an intermediate CA");
    assert_eq!(
        secret.state().trust().bundle.certificates(),
        [root.certificate().clone()]
    );
}

fn root(settings: &Settings) -> Authority {
    let spec = CaSpec {
        subject: DistinguishedName::common_name_only("root"),
        validity: Lifetime::of(settings.ca_life).starting(NOW),
        path_length: None,
        name_constraints: NameConstraints::default(),
    };
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    Authority::self_signed(&spec, key, serial(50)).unwrap()
}

fn intermediate(root: &Authority) -> Authority {
    let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut grant = Grant::serving(
        Some("intermediate"),
        Vec::new(),
        Lifetime::of(Duration::days(30)).starting(NOW),
    );
    grant.usages = vec![Usage::CertSign];
    grant.ca = Some(CaConstraint {
        path_length: Some(0),
    });
    let serial = serial(51);
    let certificate = root.issue(key.public_key(), &grant, NOW, serial).unwrap();
    Authority::new(vec![certificate], key).unwrap()
}
