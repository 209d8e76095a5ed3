//! Keep the pair in a certificate directory, or issue a new one, and why.

use time::OffsetDateTime;

use super::existing::Existing;
use super::reason::Reason;
use crate::pki::{
    Authority, BACKDATE, KeyAlgorithm, PrivateKey, PublicKeyKind, San, TrustBundle, Usage,
    Validity, verify_server,
};

/// What the pair is to be.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Names that it must cover; it may have more.
    pub names: &'a [San],
    /// The key algorithm, when the user insists on one.
    pub algorithm: Option<KeyAlgorithm>,
    /// After which fraction of its life it is renewed.
    pub renew_at: f64,
    /// Issue a new pair in any case.
    pub force: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafPlan {
    /// The pair is as it should be.
    Keep,
    /// Issue a new one.
    Issue(Reason),
}

/// Decides about the pair in a certificate directory.
#[must_use]
pub fn plan_leaf(
    existing: &Existing,
    wanted: &Wanted<'_>,
    authority: &Authority,
    now: OffsetDateTime,
) -> LeafPlan {
    match reason(existing, wanted, authority, now) {
        Some(reason) => LeafPlan::Issue(reason),
        None => LeafPlan::Keep,
    }
}

fn reason(
    existing: &Existing,
    wanted: &Wanted<'_>,
    authority: &Authority,
    now: OffsetDateTime,
) -> Option<Reason> {
    let (leaf, intermediates, key, bundle) = match existing.parts() {
        Ok(parts) => parts,
        Err(reason) => return Some(reason),
    };
    if wanted.force {
        return Some(Reason::Forced);
    }
    if leaf.public_key != *key.public_key() {
        return Some(Reason::KeyMismatch);
    }
    let Some(validity) = Some(leaf.validity).filter(|validity| now <= validity.not_after) else {
        return Some(Reason::Expired(leaf.validity.not_after));
    };
    if now < validity.not_before {
        return Some(Reason::NotYetValid(validity.not_before));
    }
    let for_serving = leaf
        .extended_usages
        .as_ref()
        .is_none_or(|usages| usages.contains(&Usage::ServerAuth));
    if !for_serving {
        return Some(Reason::NotForServing);
    }
    let anchors = TrustBundle::new([authority.trust_anchor().clone()]);
    // Names apart: a name that is missing has a reason of its own.
    let trusted =
        authority.issued(leaf) && verify_server(leaf, intermediates, &anchors, &[], now).is_ok();
    if !trusted {
        return Some(Reason::OtherCa(leaf.issuer.to_string()));
    }
    if let Some(missing) = Reason::names_missing(leaf, wanted.names) {
        return Some(missing);
    }
    if let Some(algorithm) = wanted.algorithm.filter(|algorithm| !is_of(key, *algorithm)) {
        return Some(Reason::Algorithm(algorithm));
    }
    if bundle.is_none_or(|bundle| !bundle.contains_all(&anchors)) {
        return Some(Reason::BundleDiffers);
    }
    // A leaf that already ends with its CA cannot be made to end later.
    let ends_with_ca = validity.not_after >= authority.certificate().validity.not_after;
    if now >= renewal(&validity, wanted.renew_at) && !ends_with_ca {
        return Some(Reason::RenewalDue(validity.not_after));
    }
    None
}

/// When so much of the life is over. It counts from the signature: a pair for one minute
/// would be due at once if the backdating counted.
fn renewal(validity: &Validity, fraction: f64) -> OffsetDateTime {
    let signed = (validity.not_before + BACKDATE).min(validity.not_after);
    Validity::new(signed, validity.not_after).at_fraction(fraction)
}

pub(super) fn is_of(key: &PrivateKey, algorithm: KeyAlgorithm) -> bool {
    use crate::pki::Curve;
    matches!(
        (key.public_key().kind(), algorithm),
        (PublicKeyKind::Ecdsa(Curve::P256), KeyAlgorithm::EcdsaP256)
            | (PublicKeyKind::Ecdsa(Curve::P384), KeyAlgorithm::EcdsaP384)
            | (PublicKeyKind::Ecdsa(Curve::P521), KeyAlgorithm::EcdsaP521)
            | (PublicKeyKind::Ed25519, KeyAlgorithm::Ed25519)
            | (PublicKeyKind::Rsa { bits: 2048 }, KeyAlgorithm::Rsa2048)
            | (PublicKeyKind::Rsa { bits: 3072 }, KeyAlgorithm::Rsa3072)
            | (PublicKeyKind::Rsa { bits: 4096 }, KeyAlgorithm::Rsa4096)
            | (PublicKeyKind::Rsa { bits: 8192 }, KeyAlgorithm::Rsa8192)
    )
}

#[cfg(test)]
mod tests;
