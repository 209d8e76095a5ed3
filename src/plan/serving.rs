//! One pair in several places: which of them has it, and which may be written.

use time::OffsetDateTime;

use super::existing::Existing;
use super::leaf::{LeafPlan, Wanted, plan_leaf};
use super::reason::Reason;
use crate::pki::Authority;

/// What to do about a pair that belongs into several places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServingPlan {
    /// The place with this index has it; the others get it too.
    Keep(usize),
    /// Issue a new one.
    Issue(Reason),
}

/// Decides which place's pair is kept: the first good one. The reason for a new pair is the
/// first place's, since that is where others look for it.
#[must_use]
pub fn plan_serving(
    places: &[&Existing],
    wanted: &Wanted<'_>,
    authority: &Authority,
    now: OffsetDateTime,
) -> ServingPlan {
    let mut first = None;
    for (index, existing) in places.iter().enumerate() {
        match plan_leaf(existing, wanted, authority, now) {
            LeafPlan::Keep => return ServingPlan::Keep(index),
            LeafPlan::Issue(reason) if first.is_none() => first = Some(reason),
            LeafPlan::Issue(_) => {}
        }
    }
    ServingPlan::Issue(first.unwrap_or(Reason::Missing))
}

/// Whose a Secret is that should hold a serving pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// It holds nothing yet.
    Nobody,
    /// It is marked as certtool's, or what it holds was signed by the CA in use.
    Us,
    /// Something else: why it is not ours.
    SomebodyElse(String),
    /// It holds a CA, whose key is never given up.
    Authority(String),
}

/// Decides whose a Secret is: `empty` says that it has no entry of any content, `marked` that it
/// bears certtool's mark.
#[must_use]
pub fn holder(existing: &Existing, empty: bool, marked: bool, authority: &Authority) -> Holder {
    match existing {
        Existing::Pair { leaf, .. } if leaf.ca.is_some() => {
            Holder::Authority(leaf.subject.to_string())
        }
        _ if empty => Holder::Nobody,
        Existing::Pair { leaf, .. } if marked || authority.issued(leaf) => Holder::Us,
        Existing::Pair { leaf, .. } => {
            Holder::SomebodyElse(format!("a certificate that {} signed", leaf.issuer))
        }
        _ if marked => Holder::Us,
        Existing::Unusable(why) => Holder::SomebodyElse(format!("no pair that reads ({why})")),
        Existing::Nothing => Holder::SomebodyElse("other entries".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::pki::{KeyAlgorithm, Lifetime, PrivateKey};
    use crate::plan::fixtures::{self, NOW, names};

    const NAME: &str = "hook.shop.svc";

    fn ca(name: &str) -> Authority {
        fixtures::ca(name, Duration::days(3650))
    }

    fn pair(ca: &Authority) -> Existing {
        fixtures::pair(ca, &[NAME], Lifetime::of(Duration::days(30)))
    }

    #[test]
    fn the_first_good_pair_is_kept_and_a_new_one_has_the_first_reason() {
        let (ca, other) = (ca("ours"), ca("theirs"));
        let names = names(&[NAME]);
        let wanted = Wanted {
            names: &names,
            algorithm: None,
            renew_at: 0.67,
            force: false,
        };
        let (good, foreign) = (pair(&ca), pair(&other));
        let plan = |places: &[&Existing]| plan_serving(places, &wanted, &ca, NOW);
        assert_eq!(plan(&[&Existing::Nothing, &good]), ServingPlan::Keep(1));
        assert_eq!(plan(&[&good, &pair(&ca)]), ServingPlan::Keep(0));
        assert_eq!(
            plan(&[&foreign, &Existing::Nothing]),
            ServingPlan::Issue(Reason::OtherCa("CN=theirs".to_owned()))
        );
        assert_eq!(plan(&[]), ServingPlan::Issue(Reason::Missing));
    }

    #[test]
    fn a_secret_is_ours_by_its_mark_or_by_its_signature_and_a_ca_never_is() {
        let (ca, other) = (ca("ours"), ca("theirs"));
        assert_eq!(holder(&pair(&ca), false, false, &ca), Holder::Us);
        assert_eq!(holder(&pair(&other), false, true, &ca), Holder::Us);
        assert_eq!(
            holder(&pair(&other), false, false, &ca),
            Holder::SomebodyElse("a certificate that CN=theirs signed".to_owned())
        );
        assert_eq!(holder(&Existing::Nothing, true, false, &ca), Holder::Nobody);
        assert!(matches!(
            holder(&Existing::Nothing, false, false, &ca),
            Holder::SomebodyElse(_)
        ));
        let a_ca = Existing::Pair {
            leaf: Box::new(other.certificate().clone()),
            intermediates: Vec::new(),
            key: Box::new(PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()),
            bundle: None,
        };
        assert_eq!(
            holder(&a_ca, false, true, &ca),
            Holder::Authority("CN=theirs".to_owned())
        );
    }
}
