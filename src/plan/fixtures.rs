//! A CA and the pairs that it issues.

use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::Existing;
use crate::pki::{
    Authority, CaSpec, DistinguishedName, Grant, KeyAlgorithm, Lifetime, NameConstraints,
    PrivateKey, San, Serial, TrustBundle,
};

pub(super) const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

/// A CA that issues leaves only.
pub(super) fn ca(name: &str, life: Duration) -> Authority {
    let spec = CaSpec {
        subject: DistinguishedName::common_name_only(name),
        validity: Lifetime::of(life).starting(NOW),
        path_length: Some(0),
        name_constraints: NameConstraints::default(),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    Authority::self_signed(&spec, key, Serial::from_random([7; 20])).unwrap()
}

pub(super) fn trust(ca: &Authority) -> TrustBundle {
    TrustBundle::new([ca.trust_anchor().clone()])
}

pub(super) fn names(names: &[&str]) -> Vec<San> {
    let dns = names.iter().map(|name| San::Dns((*name).to_owned()));
    dns.collect()
}

/// Issued at [`NOW`], its CA beside it.
pub(super) fn pair(ca: &Authority, of: &[&str], lifetime: Lifetime) -> Existing {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let grant = Grant::serving(None, names(of), lifetime.starting(NOW));
    let serial = Serial::from_random([9; 20]);
    let leaf = ca.issue(key.public_key(), &grant, NOW, serial).unwrap();
    Existing::Pair {
        leaf: Box::new(leaf),
        intermediates: vec![],
        key: Box::new(key),
        bundle: Some(trust(ca)),
    }
}
