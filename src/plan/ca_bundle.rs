//! What a caBundle becomes.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::injectable::{CaBundle, ClientConfig, Decision};
use crate::pki::TrustBundle;

/// What becomes of the certificates that are in a caBundle already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BundleMode {
    /// Those that are valid stay, ours are added.
    #[default]
    Merge,
    /// Ours take their place.
    Replace,
    /// Those that are valid stay and nothing is added, except where nothing would be left.
    Prune,
}

impl BundleMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Merge, Self::Replace, Self::Prune];

    /// As it is spelled.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Replace => "replace",
            Self::Prune => "prune",
        }
    }
}

impl fmt::Display for BundleMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a mode: merge, replace or prune")]
pub struct UnknownMode(String);

impl FromStr for BundleMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| UnknownMode(text.to_owned()))
    }
}

/// What a caBundle becomes, and how it got there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundlePlan {
    /// What to do with the field.
    pub decision: Decision,
    /// Certificates that were not there.
    pub added: usize,
    /// Subjects of the certificates that leave.
    pub dropped: Vec<String>,
    /// Whether something leaves that is no usable certificate: a placeholder, a key, garbage.
    pub repaired: bool,
}

/// Plans a caBundle: `ours` is what has to be trusted, checked before (see
/// [`Anchors`](crate::pki::Anchors)); without it, only [`BundleMode::Prune`] makes sense.
///
/// The field is set only when the meaning differs: the same certificates in another order or
/// spelling are left alone.
#[must_use]
pub fn plan_bundle(
    current: &CaBundle,
    ours: &TrustBundle,
    mode: BundleMode,
    now: OffsetDateTime,
) -> BundlePlan {
    let (there, clean) = match current {
        CaBundle::Absent | CaBundle::Empty => (TrustBundle::default(), true),
        CaBundle::Invalid(_) => (TrustBundle::default(), false),
        CaBundle::Pem(pem) => TrustBundle::usable(pem),
    };
    let valid = there.without_expired(now);
    let wanted = match mode {
        BundleMode::Merge => valid.merge(ours),
        BundleMode::Replace => ours.clone(),
        BundleMode::Prune
            if valid.is_empty() && !there.is_empty() || !clean && valid.is_empty() =>
        {
            ours.clone()
        }
        BundleMode::Prune => valid,
    };
    let missing = |of: &TrustBundle, from: &TrustBundle| -> Vec<String> {
        of.certificates()
            .iter()
            .filter(|certificate| !from.certificates().contains(certificate))
            .map(|certificate| certificate.subject.to_string())
            .collect()
    };
    let added = missing(&wanted, &there).len();
    let dropped = missing(&there, &wanted);
    let same = clean && added == 0 && dropped.is_empty();
    let decision = if same || wanted.is_empty() {
        // An empty caBundle means that the API server trusts its own roots: never our doing.
        Decision::Keep
    } else {
        Decision::Set(wanted.to_pem().into_bytes())
    };
    let keep = decision == Decision::Keep;
    BundlePlan {
        decision,
        added: if keep { 0 } else { added },
        dropped: if keep { Vec::new() } else { dropped },
        repaired: !keep && !clean,
    }
}

/// Plans the caBundle of a client config: as [`plan_bundle`], and an APIService that has a good
/// bundle but asks for no verification is set all the same, since only that clears its
/// `insecureSkipTLSVerify`.
#[must_use]
pub fn plan_client_config(
    config: &ClientConfig,
    ours: &TrustBundle,
    mode: BundleMode,
    now: OffsetDateTime,
) -> BundlePlan {
    let mut plan = plan_bundle(&config.ca_bundle, ours, mode, now);
    if plan.decision == Decision::Keep
        && config.insecure_skip_tls_verify
        && let Some(pem) = config.ca_bundle.pem()
    {
        plan.decision = Decision::Set(pem.to_vec());
    }
    plan
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use time::{Duration, OffsetDateTime};

    use super::*;
    use crate::injectable::encode;
    use crate::pki::{
        Authority, CaSpec, Certificate, DistinguishedName, KeyAlgorithm, NameConstraints,
        PrivateKey, Serial, Validity,
    };

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn ca(name: &str, days_left: i64) -> Certificate {
        let spec = CaSpec {
            subject: DistinguishedName::common_name_only(name),
            validity: Validity::new(NOW - Duration::days(30), NOW + Duration::days(days_left)),
            path_length: Some(0),
            name_constraints: NameConstraints::default(),
        };
        let key = PrivateKey::generate(KeyAlgorithm::default()).unwrap();
        let ca = Authority::self_signed(&spec, key, Serial::from_random([1; 20])).unwrap();
        ca.certificate().clone()
    }

    fn field(certificates: &[&Certificate]) -> CaBundle {
        let pem: String = certificates.iter().map(|c| c.to_pem()).collect();
        CaBundle::of_text(&encode(pem.as_bytes()))
    }

    /// The certificates after the plan, or `None` when the field stays.
    fn after(plan: &BundlePlan) -> Option<TrustBundle> {
        match &plan.decision {
            Decision::Set(pem) => Some(TrustBundle::from_pem(pem).unwrap()),
            Decision::Keep => None,
            Decision::Refuse(why) => panic!("{why}"),
        }
    }

    fn bundle(certificates: &[&Certificate]) -> TrustBundle {
        TrustBundle::new(certificates.iter().map(|c| (*c).clone()))
    }

    #[test]
    fn merging_keeps_what_is_valid_adds_ours_and_drops_the_expired() {
        let (ours, theirs, old) = (ca("ours", 10), ca("theirs", 5), ca("old", -1));
        let current = field(&[&theirs, &old]);
        let plan = plan_bundle(&current, &bundle(&[&ours]), BundleMode::Merge, NOW);
        assert_eq!(after(&plan), Some(bundle(&[&ours, &theirs])));
        assert_eq!((plan.added, plan.dropped), (1, vec!["CN=old".to_owned()]));
    }

    #[test]
    fn replacing_leaves_ours_alone() {
        let (ours, theirs) = (ca("ours", 10), ca("theirs", 5));
        let plan = plan_bundle(
            &field(&[&theirs]),
            &bundle(&[&ours]),
            BundleMode::Replace,
            NOW,
        );
        assert_eq!(after(&plan), Some(bundle(&[&ours])));
    }

    #[test]
    fn pruning_adds_nothing_unless_nothing_would_be_left() {
        let (ours, theirs, old) = (ca("ours", 10), ca("theirs", 5), ca("old", -1));
        let prune = |current: &CaBundle, ours: &TrustBundle| {
            after(&plan_bundle(current, ours, BundleMode::Prune, NOW))
        };
        let ours_bundle = bundle(&[&ours]);
        assert_eq!(
            prune(&field(&[&theirs, &old]), &ours_bundle),
            Some(bundle(&[&theirs]))
        );
        assert_eq!(prune(&field(&[&theirs]), &ours_bundle), None);
        assert_eq!(
            prune(&field(&[&old]), &ours_bundle),
            Some(ours_bundle.clone())
        );
        let placeholder = CaBundle::of_text("Cg==");
        assert_eq!(prune(&placeholder, &ours_bundle), Some(ours_bundle.clone()));
        assert_eq!(prune(&CaBundle::Absent, &ours_bundle), None);
        assert_eq!(prune(&field(&[&old]), &TrustBundle::default()), None);
    }

    #[test]
    fn the_same_certificates_in_another_order_or_spelling_stay_as_they_are() {
        let (ours, theirs) = (ca("ours", 10), ca("theirs", 5));
        let pem = format!("# mine\n{}\n\n{}", theirs.to_pem(), ours.to_pem());
        let current = CaBundle::of_text(&encode(pem.as_bytes()));
        for mode in [BundleMode::Merge, BundleMode::Replace] {
            let plan = plan_bundle(&current, &bundle(&[&ours, &theirs]), mode, NOW);
            assert_eq!(plan.decision, Decision::Keep);
        }
    }

    #[test]
    fn placeholders_and_what_is_no_certificate_are_repaired() {
        let (ours, theirs) = (ca("ours", 10), ca("theirs", 5));
        let ours_bundle = bundle(&[&ours]);
        for text in ["", "Cg==", " ", "%%%", "bm90IHBlbQ=="] {
            let plan = plan_bundle(
                &CaBundle::of_text(text),
                &ours_bundle,
                BundleMode::Merge,
                NOW,
            );
            assert_eq!(after(&plan), Some(ours_bundle.clone()), "{text:?}");
        }
        let broken = format!(
            "-----BEGIN CERTIFICATE-----\nAAAA\n{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            theirs.to_pem()
        );
        let current = CaBundle::of_text(&encode(broken.as_bytes()));
        let plan = plan_bundle(&current, &ours_bundle, BundleMode::Merge, NOW);
        assert_eq!(after(&plan), Some(bundle(&[&ours, &theirs])));
        assert!(plan.repaired);
    }
}
