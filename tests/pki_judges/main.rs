//! What certtool makes and accepts, judged by the `openssl` command and by rustls-webpki.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authorities;
mod bundles;
mod forge;
mod made;
mod mutations;
mod openssl;
mod requests;

use certtool::pki::{
    Authority, CaSpec, DistinguishedName, Grant, KeyAlgorithm, Lifetime, NameConstraints,
    PrivateKey, San, Serial, Validity,
};
use time::{Duration, OffsetDateTime};

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn lasting(days: i64) -> Validity {
    Lifetime::of(Duration::days(days)).starting(now())
}

/// A serial number; its randomness is the caller's, so tests may count.
fn serial(n: u8) -> Serial {
    Serial::from_random([n; 20])
}

fn key(algorithm: KeyAlgorithm) -> PrivateKey {
    PrivateKey::generate(algorithm).unwrap()
}

fn dns(name: &str) -> San {
    San::Dns(name.to_owned())
}

fn ip(address: &str) -> San {
    San::Ip(address.parse().unwrap())
}

fn spec() -> CaSpec {
    CaSpec {
        subject: DistinguishedName::common_name_only("test CA"),
        validity: lasting(365),
        path_length: Some(0),
        name_constraints: NameConstraints::default(),
    }
}

fn authority() -> Authority {
    Authority::self_signed(&spec(), key(KeyAlgorithm::EcdsaP256), serial(1)).unwrap()
}

fn serving(names: &[San]) -> Grant {
    Grant::serving(None, names.to_vec(), lasting(1))
}
