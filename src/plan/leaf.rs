//! Keep the pair in a certificate directory, or issue a new one, and why.

use std::fmt;

use time::OffsetDateTime;

use super::instant;
use crate::pki::{
    Authority, BACKDATE, Certificate, KeyAlgorithm, PrivateKey, PublicKeyKind, San, TrustBundle,
    Usage, Validity, verify_server,
};

/// What was found where the pair belongs.
#[derive(Debug)]
pub enum Existing {
    /// Nothing.
    Nothing,
    /// Something that is not a pair: one file alone, or one that does not read.
    Unusable(String),
    /// A certificate, what is sent beside it, its key and the `ca.crt` beside them.
    Pair {
        /// The leaf.
        leaf: Box<Certificate>,
        /// The rest of `tls.crt`.
        intermediates: Vec<Certificate>,
        /// The key.
        key: Box<PrivateKey>,
        /// `ca.crt`, when there is one that reads.
        bundle: Option<TrustBundle>,
    },
}

impl Existing {
    /// Reads the bytes of a pair.
    #[must_use]
    pub fn read(cert: &[u8], key: &[u8], ca: Option<&[u8]>) -> Self {
        let chain = match Certificate::all_from_pem(cert) {
            Ok(chain) => chain,
            Err(error) => return Self::Unusable(format!("tls.crt: {error}")),
        };
        let key = match PrivateKey::from_pem(key) {
            Ok(key) => key,
            Err(error) => return Self::Unusable(format!("tls.key: {error}")),
        };
        let mut chain = chain.into_iter();
        let Some(leaf) = chain.next() else {
            return Self::Unusable("tls.crt: no certificate found".to_owned());
        };
        Self::Pair {
            leaf: Box::new(leaf),
            intermediates: chain.collect(),
            key: Box::new(key),
            bundle: ca.and_then(|pem| TrustBundle::from_pem(pem).ok()),
        }
    }

    /// The names of the leaf, if there is one.
    #[must_use]
    pub fn names(&self) -> &[San] {
        match self {
            Self::Pair { leaf, .. } => &leaf.names,
            Self::Nothing | Self::Unusable(_) => &[],
        }
    }
}

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

/// Why a new pair is issued. `Display` is the one line for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There was none.
    Missing,
    /// What was there does not read.
    Unusable(String),
    /// Certificate and key do not belong together.
    KeyMismatch,
    /// It is signed by a CA other than the one in use, lost or replaced perhaps.
    OtherCa(String),
    /// Its time is over.
    Expired(OffsetDateTime),
    /// Its time has not come: a clock that was wrong.
    NotYetValid(OffsetDateTime),
    /// Its time is nearly over.
    RenewalDue(OffsetDateTime),
    /// It lacks names.
    NamesMissing(Vec<San>),
    /// It may not serve TLS.
    NotForServing,
    /// The `ca.crt` beside it is missing or another one.
    BundleDiffers,
    /// The key is of another kind than asked for.
    Algorithm(KeyAlgorithm),
    /// The user said so.
    Forced,
    /// It has names that are not wanted any more.
    NamesNotWanted(Vec<San>),
    /// It was issued by this signer, or from this Secret, and another one is configured now.
    OtherIssuer(String),
    /// Somebody asked for it while the program ran.
    Asked,
    /// The CA that signed it signs no more.
    CaRotated,
    /// The files were removed or changed while the program ran.
    FilesChanged,
}

impl Reason {
    /// A word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::Unusable(_) => "Unusable",
            Self::KeyMismatch => "KeyMismatch",
            Self::OtherCa(_) => "OtherCA",
            Self::Expired(_) => "Expired",
            Self::NotYetValid(_) => "NotYetValid",
            Self::RenewalDue(_) => "RenewalDue",
            Self::NamesMissing(_) => "NamesMissing",
            Self::NotForServing => "NotForServing",
            Self::BundleDiffers => "BundleDiffers",
            Self::Algorithm(_) => "Algorithm",
            Self::Forced => "Forced",
            Self::NamesNotWanted(_) => "NamesNotWanted",
            Self::OtherIssuer(_) => "OtherIssuer",
            Self::Asked => "Asked",
            Self::CaRotated => "CARotated",
            Self::FilesChanged => "FilesChanged",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there was no pair"),
            Self::Unusable(why) => write!(f, "the pair could not be read ({why})"),
            Self::KeyMismatch => f.write_str("the key did not belong to the certificate"),
            Self::OtherCa(issuer) => write!(f, "the pair was signed by another CA ({issuer})"),
            Self::Expired(at) => write!(f, "the certificate expired on {}", instant(*at)),
            Self::NotYetValid(at) => {
                write!(f, "the certificate was not valid before {}", instant(*at))
            }
            Self::RenewalDue(at) => write!(
                f,
                "the certificate was due for renewal, since it ends on {}",
                instant(*at)
            ),
            Self::NamesMissing(names) => write!(f, "the certificate lacked {}", some(names)),
            Self::NamesNotWanted(names) => write!(
                f,
                "the certificate had names that are not wanted: {}",
                some(names)
            ),
            Self::OtherIssuer(issuer) => write!(f, "the pair was issued by {issuer}"),
            Self::Asked => f.write_str("it was asked for"),
            Self::CaRotated => f.write_str("another CA signs now"),
            Self::FilesChanged => f.write_str("the files were removed or changed by another hand"),
            Self::NotForServing => f.write_str("the certificate was not for server authentication"),
            Self::BundleDiffers => {
                f.write_str("the ca.crt beside the pair was missing or not this CA's")
            }
            Self::Algorithm(algorithm) => write!(f, "the key was not {algorithm}"),
            Self::Forced => f.write_str("--force was given"),
        }
    }
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
    let (leaf, intermediates, key, bundle) = match existing {
        Existing::Nothing => return Some(Reason::Missing),
        Existing::Unusable(why) => return Some(Reason::Unusable(why.clone())),
        Existing::Pair {
            leaf,
            intermediates,
            key,
            bundle,
        } => (leaf, intermediates, key, bundle),
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
    let missing: Vec<San> = wanted
        .names
        .iter()
        .filter(|name| !leaf.covers(name))
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Some(Reason::NamesMissing(missing));
    }
    if let Some(algorithm) = wanted.algorithm.filter(|algorithm| !is_of(key, *algorithm)) {
        return Some(Reason::Algorithm(algorithm));
    }
    if bundle
        .as_ref()
        .is_none_or(|bundle| !bundle.contains_all(&anchors))
    {
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

/// The first few names.
fn some(names: &[San]) -> String {
    let shown: Vec<_> = names.iter().take(5).map(San::value).collect();
    let mut text = shown.join(", ");
    if names.len() > shown.len() {
        text.push_str(&format!(" and {} more", names.len() - shown.len()));
    }
    text
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
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::pki::{CaSpec, DistinguishedName, Grant, Lifetime, NameConstraints, Serial};

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn authority(name: &str) -> Authority {
        let spec = CaSpec {
            subject: DistinguishedName::common_name_only(name),
            validity: Lifetime::of(Duration::days(3650)).starting(NOW),
            path_length: Some(0),
            name_constraints: NameConstraints::default(),
        };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        Authority::self_signed(&spec, key, Serial::from_random([7; 20])).unwrap()
    }

    fn names(names: &[&str]) -> Vec<San> {
        names
            .iter()
            .map(|name| San::Dns((*name).to_owned()))
            .collect()
    }

    fn pair(authority: &Authority, of: &[&str], days: i64) -> Existing {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let validity = Lifetime::of(Duration::days(days)).starting(NOW);
        let grant = Grant::serving(None, names(of), validity);
        let leaf = authority
            .issue(key.public_key(), &grant, NOW, Serial::from_random([9; 20]))
            .unwrap();
        Existing::Pair {
            leaf: Box::new(leaf),
            intermediates: vec![],
            key: Box::new(key),
            bundle: Some(TrustBundle::new([authority.trust_anchor().clone()])),
        }
    }

    fn wanted(names: &[San]) -> Wanted<'_> {
        Wanted {
            names,
            algorithm: None,
            renew_at: 0.9,
            force: false,
        }
    }

    fn code(
        existing: &Existing,
        of: &[&str],
        authority: &Authority,
        now: OffsetDateTime,
    ) -> &'static str {
        match plan_leaf(existing, &wanted(&names(of)), authority, now) {
            LeafPlan::Keep => "Keep",
            LeafPlan::Issue(reason) => reason.code(),
        }
    }

    #[test]
    fn a_good_pair_is_kept_until_nine_tenths_of_its_life_are_over() {
        let ca = authority("ca");
        let existing = pair(&ca, &["a", "b"], 30);
        assert_eq!(code(&existing, &["a"], &ca, NOW), "Keep");
        assert_eq!(
            code(&existing, &["a"], &ca, NOW + Duration::days(26)),
            "Keep"
        );
        assert_eq!(
            code(&existing, &["a"], &ca, NOW + Duration::days(28)),
            "RenewalDue"
        );
        assert_eq!(
            code(&existing, &["a"], &ca, NOW + Duration::days(31)),
            "Expired"
        );
        assert_eq!(
            code(&existing, &["a"], &ca, NOW - Duration::days(1)),
            "NotYetValid"
        );
    }

    #[test]
    fn a_pair_for_seconds_is_not_due_at_once_in_spite_of_its_backdating() {
        let ca = authority("ca");
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let validity = Lifetime::of(Duration::seconds(10)).starting(NOW);
        let grant = Grant::serving(None, names(&["a"]), validity);
        let leaf = ca
            .issue(key.public_key(), &grant, NOW, Serial::from_random([9; 20]))
            .unwrap();
        let existing = Existing::Pair {
            leaf: Box::new(leaf),
            intermediates: vec![],
            key: Box::new(key),
            bundle: Some(TrustBundle::new([ca.trust_anchor().clone()])),
        };
        let after = |seconds| NOW + Duration::seconds(seconds);
        assert_eq!(code(&existing, &["a"], &ca, NOW), "Keep");
        assert_eq!(code(&existing, &["a"], &ca, after(8)), "Keep");
        assert_eq!(code(&existing, &["a"], &ca, after(9)), "RenewalDue");
        assert_eq!(code(&existing, &["a"], &ca, after(11)), "Expired");
    }

    #[test]
    fn reasons_write_dates_as_the_rest_of_the_output_does() {
        assert_eq!(
            Reason::Expired(NOW).to_string(),
            "the certificate expired on 2026-11-21T12:00:00Z"
        );
    }

    #[test]
    fn another_ca_is_noticed_even_under_the_same_name() {
        let (ca, other) = (authority("ca"), authority("ca"));
        assert_eq!(code(&pair(&other, &["a"], 30), &["a"], &ca, NOW), "OtherCA");
    }

    #[test]
    fn a_name_that_is_missing_is_named() {
        let ca = authority("ca");
        let existing = pair(&ca, &["a", "*.x.y"], 30);
        assert_eq!(code(&existing, &["a", "b.x.y"], &ca, NOW), "Keep");
        let plan = plan_leaf(&existing, &wanted(&names(&["a", "b.b.x.y"])), &ca, NOW);
        assert_eq!(
            plan,
            LeafPlan::Issue(Reason::NamesMissing(names(&["b.b.x.y"])))
        );
    }

    #[test]
    fn a_key_of_another_certificate_is_noticed() {
        let ca = authority("ca");
        let Existing::Pair {
            leaf,
            intermediates,
            bundle,
            ..
        } = pair(&ca, &["a"], 30)
        else {
            unreachable!()
        };
        let key = Box::new(PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap());
        let torn = Existing::Pair {
            leaf,
            intermediates,
            key,
            bundle,
        };
        assert_eq!(code(&torn, &["a"], &ca, NOW), "KeyMismatch");
    }

    #[test]
    fn a_missing_ca_file_or_another_algorithm_is_a_reason() {
        let ca = authority("ca");
        let Existing::Pair {
            leaf,
            intermediates,
            key,
            ..
        } = pair(&ca, &["a"], 30)
        else {
            unreachable!()
        };
        let mut existing = Existing::Pair {
            leaf,
            intermediates,
            key,
            bundle: None,
        };
        assert_eq!(code(&existing, &["a"], &ca, NOW), "BundleDiffers");
        if let Existing::Pair { bundle, .. } = &mut existing {
            *bundle = Some(TrustBundle::new([ca.trust_anchor().clone()]));
        }
        let names = names(&["a"]);
        let rsa = Wanted {
            algorithm: Some(KeyAlgorithm::Rsa2048),
            ..wanted(&names)
        };
        assert_eq!(
            plan_leaf(&existing, &rsa, &ca, NOW),
            LeafPlan::Issue(Reason::Algorithm(KeyAlgorithm::Rsa2048))
        );
    }

    #[test]
    fn a_leaf_that_ends_with_its_ca_is_not_renewed_in_vain() {
        let ca = authority("ca");
        let existing = pair(&ca, &["a"], 9999);
        assert_eq!(
            code(&existing, &["a"], &ca, NOW + Duration::days(3649)),
            "Keep"
        );
    }

    #[test]
    fn what_is_missing_or_unreadable_is_issued() {
        let ca = authority("ca");
        assert_eq!(code(&Existing::Nothing, &[], &ca, NOW), "Missing");
        assert_eq!(
            code(&Existing::read(b"junk", b"junk", None), &[], &ca, NOW),
            "Unusable"
        );
    }
}
