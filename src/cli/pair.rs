//! A new key and the certificate that a CA signs for it.

use anyhow::Context;
use time::{Duration, OffsetDateTime};

use super::{duration, instant};
use crate::pki::{
    Authority, Certificate, Grant, KeyAlgorithm, PrivateKey, TrustBundle, verify_server,
};
use crate::random_serial;
use crate::store::Pair;

/// A pair that was made just now.
#[derive(Debug)]
pub(super) struct NewPair {
    pub(super) leaf: Certificate,
    pub(super) pair: Pair,
}

/// Makes a key and issues its certificate. `ca_name` is what errors call the CA.
pub(super) fn issue(
    authority: &Authority,
    ca_name: &str,
    grant: &Grant,
    algorithm: KeyAlgorithm,
    now: OffsetDateTime,
) -> anyhow::Result<NewPair> {
    let key = PrivateKey::generate(algorithm)?;
    let serial = random_serial().context("could not get randomness from the kernel")?;
    let leaf = authority.issue(key.public_key(), grant, now, serial)?;
    let intermediates: Vec<_> = authority.intermediates().cloned().collect();
    let anchors = TrustBundle::new([authority.trust_anchor().clone()]);
    // A CA can be complete and yet sign what no client accepts.
    verify_server(&leaf, &intermediates, &anchors, &[], now).with_context(|| {
        format!("{ca_name}: what this CA signs is not trusted by TLS clients; use another CA")
    })?;
    let chain = std::iter::once(&leaf).chain(&intermediates);
    let pair = Pair {
        cert: chain
            .map(Certificate::to_pem)
            .collect::<String>()
            .into_bytes(),
        key: key.to_pem()?.expose().as_bytes().to_vec(),
        ca: Some(anchors.to_pem().into_bytes()),
    };
    Ok(NewPair { leaf, pair })
}

/// That a certificate had to be cut to its CA's life.
pub(super) fn ends_early(leaf: &Certificate, asked_for: Duration) -> String {
    format!(
        "the certificate ends with its CA, on {}, before the {} asked for",
        instant(leaf.validity.not_after),
        duration::about(asked_for)
    )
}
