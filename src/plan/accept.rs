//! Whether a certificate that a signer issued is what was asked for.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::instant;
use crate::pki::{Certificate, PublicKey, San, TrustBundle, Usage, VerifyError, verify_server};

/// What was asked of the signer.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The key of the request.
    pub key: &'a PublicKey,
    /// The names of the request.
    pub names: &'a [San],
    /// The usages of the request.
    pub usages: &'a [Usage],
}

/// Why a certificate is not used. No key, and nothing but public data, is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// Nothing was issued.
    #[error("there is no certificate in it")]
    Empty,
    /// Not our key.
    #[error("it is for another key than the one that was asked for")]
    Key,
    /// A CA certificate.
    #[error("it is a CA certificate, and a server's was asked for")]
    Ca,
    /// Names are missing.
    #[error("it lacks the names {0}")]
    NamesMissing(String),
    /// Names that nobody asked for.
    #[error("it has names that were not asked for: {0}")]
    NamesNotAsked(String),
    /// Usages are missing.
    #[error("it lacks the usage {0}: clients would refuse the server")]
    UsageMissing(Usage),
    /// Usages that nobody asked for.
    #[error("it has the usage {0}, which was not asked for")]
    UsageNotAsked(Usage),
    /// Out of date.
    #[error("it is valid from {not_before} to {not_after}, and not now ({now})")]
    Dates {
        /// First instant.
        not_before: String,
        /// Last instant.
        not_after: String,
        /// This machine's clock.
        now: String,
    },
    /// Links that do not hold.
    #[error("its chain is broken: {child} is not signed by {parent}, which follows")]
    Chain {
        /// The lower certificate's subject.
        child: String,
        /// The upper one's.
        parent: String,
    },
    /// Clients would not trust it.
    #[error("clients that trust the bundle would not trust it: {0}")]
    Untrusted(#[from] VerifyError),
}

/// Checks a chain, the leaf first. With `trust`, it has to verify for each name as clients do.
///
/// # Errors
/// The first reason not to use it.
pub fn accept(
    chain: &[Certificate],
    asked: Asked<'_>,
    trust: Option<&TrustBundle>,
    now: OffsetDateTime,
) -> Result<(), Unacceptable> {
    let (leaf, above) = chain.split_first().ok_or(Unacceptable::Empty)?;
    if leaf.public_key != *asked.key {
        return Err(Unacceptable::Key);
    }
    if leaf.ca.is_some() {
        return Err(Unacceptable::Ca);
    }
    check_names(leaf, asked.names)?;
    check_usages(leaf, asked.usages)?;
    if !leaf.is_valid_at(now) {
        return Err(Unacceptable::Dates {
            not_before: instant(leaf.validity.not_before),
            not_after: instant(leaf.validity.not_after),
            now: instant(now),
        });
    }
    for (child, parent) in chain.iter().zip(above) {
        if child.issuer != parent.subject || child.check_signed_by(parent).is_err() {
            return Err(Unacceptable::Chain {
                child: child.subject.to_string(),
                parent: parent.subject.to_string(),
            });
        }
    }
    if let Some(trust) = trust {
        verify_server(leaf, above, trust, asked.names, now)?;
    }
    Ok(())
}

fn check_names(leaf: &Certificate, asked: &[San]) -> Result<(), Unacceptable> {
    let shown = |names: Vec<&San>| {
        let values: Vec<_> = names.iter().map(|name| name.value()).collect();
        values.join(", ")
    };
    let missing: Vec<_> = asked.iter().filter(|name| !leaf.covers(name)).collect();
    if !missing.is_empty() {
        return Err(Unacceptable::NamesMissing(shown(missing)));
    }
    let more: Vec<_> = leaf.names.iter().filter(|n| !asked.contains(n)).collect();
    if !more.is_empty() {
        return Err(Unacceptable::NamesNotAsked(shown(more)));
    }
    Ok(())
}

/// Every extended usage that was asked for, and none besides; of the key usages, which signers
/// adapt to the kind of key, a digital signature is what TLS cannot do without.
fn check_usages(leaf: &Certificate, asked: &[Usage]) -> Result<(), Unacceptable> {
    let has = |usages: &Option<Vec<Usage>>| -> BTreeSet<&'static str> {
        let usages = usages.iter().flatten();
        usages.map(|usage| usage.name()).collect()
    };
    let (keys, extended) = (has(&leaf.key_usages), has(&leaf.extended_usages));
    for usage in asked.iter().filter(|usage| !usage.is_key_usage()) {
        if !extended.contains(usage.name()) {
            return Err(Unacceptable::UsageMissing(*usage));
        }
    }
    let signs = Usage::DigitalSignature;
    if leaf.key_usages.is_some() && asked.contains(&signs) && !keys.contains(signs.name()) {
        return Err(Unacceptable::UsageMissing(signs));
    }
    let granted = leaf
        .key_usages
        .iter()
        .chain(&leaf.extended_usages)
        .flatten();
    let asked: BTreeSet<_> = asked.iter().map(|usage| usage.name()).collect();
    match granted
        .into_iter()
        .find(|usage| !asked.contains(usage.name()))
    {
        Some(usage) => Err(Unacceptable::UsageNotAsked(*usage)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;
    use crate::pki::{
        Authority, CaConstraint, CaSpec, DistinguishedName, Grant, KeyAlgorithm, Lifetime,
        NameConstraints, PrivateKey, Serial,
    };

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    struct Bench {
        ca: Authority,
        key: PrivateKey,
        names: Vec<San>,
    }

    impl Bench {
        fn new() -> Self {
            let spec = CaSpec {
                subject: DistinguishedName::common_name_only("ca"),
                validity: Lifetime::of(Duration::days(10)).starting(NOW),
                path_length: None,
                name_constraints: NameConstraints::default(),
            };
            let key = || PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
            Self {
                ca: Authority::self_signed(&spec, key(), Serial::from_random([7; 20])).unwrap(),
                key: key(),
                names: vec![San::Dns("hook.shop.svc".to_owned())],
            }
        }

        /// What `accept` says of a certificate for `key` that is as asked but for `change`.
        fn accept_for(
            &self,
            key: &PrivateKey,
            change: impl FnOnce(&mut Grant),
        ) -> Result<(), Unacceptable> {
            let validity = Lifetime::of(Duration::hours(1)).starting(NOW);
            let mut grant = Grant::serving(None, self.names.clone(), validity);
            change(&mut grant);
            let serial = Serial::from_random([9; 20]);
            let leaf = self
                .ca
                .issue(key.public_key(), &grant, NOW, serial)
                .unwrap();
            let trust = TrustBundle::new([self.ca.trust_anchor().clone()]);
            accept(&[leaf], self.asked(), Some(&trust), NOW)
        }

        fn accept(&self, change: impl FnOnce(&mut Grant)) -> Result<(), Unacceptable> {
            self.accept_for(&self.key, change)
        }

        fn asked(&self) -> Asked<'_> {
            Asked {
                key: self.key.public_key(),
                names: &self.names,
                usages: &Usage::SERVING,
            }
        }
    }

    #[test]
    fn what_was_asked_for_is_accepted() {
        let bench = Bench::new();
        assert_eq!(bench.accept(|_| {}), Ok(()));
        // Key encipherment means nothing for such a key, and some signers leave it out.
        let lean = vec![Usage::DigitalSignature, Usage::ServerAuth];
        assert_eq!(bench.accept(|grant| grant.usages = lean), Ok(()));
        // Order is nothing.
        assert_eq!(bench.accept(|grant| grant.usages.reverse()), Ok(()));
    }

    #[test]
    fn another_key_is_refused() {
        let bench = Bench::new();
        let other = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        assert_eq!(bench.accept_for(&other, |_| {}), Err(Unacceptable::Key));
    }

    #[test]
    fn more_or_fewer_names_are_refused() {
        let bench = Bench::new();
        let evil = San::Dns("kubernetes.default.svc".to_owned());
        let more = bench.accept(|grant| grant.names.push(evil.clone()));
        let shown = "kubernetes.default.svc".to_owned();
        assert_eq!(more, Err(Unacceptable::NamesNotAsked(shown)));
        let other = bench.accept(|grant| grant.names = vec![evil]);
        let shown = "hook.shop.svc".to_owned();
        assert_eq!(other, Err(Unacceptable::NamesMissing(shown)));
    }

    #[test]
    fn more_or_fewer_usages_are_refused() {
        let bench = Bench::new();
        let with = |usages: &[Usage]| bench.accept(|grant| grant.usages = usages.to_vec());
        let (signs, serves) = (Usage::DigitalSignature, Usage::ServerAuth);
        assert_eq!(with(&[signs]), Err(Unacceptable::UsageMissing(serves)));
        let client = Usage::ClientAuth;
        let missing = Err(Unacceptable::UsageMissing(serves));
        assert_eq!(with(&[signs, client]), missing);
        let more = with(&[signs, serves, client]);
        assert_eq!(more, Err(Unacceptable::UsageNotAsked(client)));
        let enciphers = with(&[Usage::KeyEncipherment, serves]);
        assert_eq!(enciphers, Err(Unacceptable::UsageMissing(signs)));
    }

    #[test]
    fn a_ca_certificate_is_refused() {
        let bench = Bench::new();
        let made = bench.accept(|grant| {
            grant.ca = Some(CaConstraint {
                path_length: Some(0),
            });
        });
        assert_eq!(made, Err(Unacceptable::Ca));
    }

    #[test]
    fn one_that_is_not_valid_now_is_refused() {
        let bench = Bench::new();
        let validity = Lifetime::of(Duration::hours(1)).starting(NOW);
        let grant = Grant::serving(None, bench.names.clone(), validity);
        let serial = Serial::from_random([9; 20]);
        let leaf = bench.ca.issue(bench.key.public_key(), &grant, NOW, serial);
        let chain = [leaf.unwrap()];
        for hours in [-1, 2] {
            let now = NOW + Duration::hours(hours);
            let refused = accept(&chain, bench.asked(), None, now).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "it is valid from 2026-11-21T11:55:00Z to 2026-11-21T13:00:00Z, and not now ({})",
                    instant(now)
                )
            );
        }
    }

    #[test]
    fn a_chain_that_does_not_hold_or_is_not_trusted_is_refused() {
        let (bench, other) = (Bench::new(), Bench::new());
        let validity = Lifetime::of(Duration::hours(1)).starting(NOW);
        let grant = Grant::serving(None, bench.names.clone(), validity);
        let serial = Serial::from_random([9; 20]);
        let leaf = bench.ca.issue(bench.key.public_key(), &grant, NOW, serial);
        let leaf = leaf.unwrap();
        // The same subject with another key.
        let broken = [leaf.clone(), other.ca.certificate().clone()];
        let refused = accept(&broken, bench.asked(), None, NOW);
        assert!(matches!(refused, Err(Unacceptable::Chain { .. })));
        let whole = [leaf.clone(), bench.ca.certificate().clone()];
        assert_eq!(accept(&whole, bench.asked(), None, NOW), Ok(()));
        let trust = TrustBundle::new([other.ca.trust_anchor().clone()]);
        let refused = accept(&whole, bench.asked(), Some(&trust), NOW);
        assert!(matches!(refused, Err(Unacceptable::Untrusted(_))));
        assert_eq!(
            accept(&[], bench.asked(), None, NOW),
            Err(Unacceptable::Empty)
        );
    }
}
