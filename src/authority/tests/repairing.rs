//! What is still trusted of a Secret that cannot be read.

use std::collections::BTreeSet;

use super::fixtures::{NOW, Stored, at, holds, lacking, make, steady, waits};
use crate::authority::{CaState, Reason, Step, Waiting, plan, still_trusted};
use crate::pki::TrustBundle;

#[test]
fn a_repair_keeps_trusting_what_could_still_be_read_until_it_ends() {
    let (secret, settings) = steady();
    let old = secret.state().current.authority.certificate().clone();
    let new = make(&settings, 2, at(1));
    let repaired = CaState::repaired(new.clone(), [old.clone(), old.clone()], at(1));
    let mut secret = Stored::new(&repaired);
    let state = secret.state();
    assert_eq!(state.retired.len(), 1);
    assert_eq!(state.trust().bundle.certificates().len(), 2);
    // It signs nothing before it is trusted, and the old one stays until then at least.
    assert_eq!(plan(&state, &settings, &lacking(), at(1)), Step::Adopt);
    let state = secret.change(|state| state.adopted(&settings));
    waits(
        &plan(&state, &settings, &lacking(), at(40)),
        &Waiting::Objects(vec!["webhook x".to_owned()]),
    );
    let state = secret.change(|state| state.proven(at(2)));
    let due: BTreeSet<_> = [old.fingerprint()].into();
    assert_eq!(
        plan(&state, &settings, &holds(), at(31)),
        Step::Drop(due.into_iter().collect())
    );
}

#[test]
fn a_repair_trusts_nothing_that_somebody_else_put_there() {
    let (mut secret, settings) = steady();
    let b = make(&settings, 2, NOW);
    let state = secret.change(|state| {
        let started = state.started(b.clone(), Reason::Scheduled, &settings, NOW);
        started.proven(NOW).switched(&settings, NOW)
    });
    let a = state.retired[0].certificate.clone();
    let b = b.certificate().clone();
    assert_eq!(
        TrustBundle::new(still_trusted(&secret.data)),
        TrustBundle::new([a.clone(), b.clone()])
    );
    let other = make(&settings, 9, NOW).certificate().to_pem();
    secret.set("tls.crt", other.as_bytes());
    secret.set("ca.crt", other.as_bytes());
    assert_eq!(still_trusted(&secret.data), [a]);
    secret.set("ca.crt", format!("{other}{}", b.to_pem()).as_bytes());
    assert!(still_trusted(&secret.data).contains(&b));
    // Without a record nobody can tell them apart.
    secret.set("authority.json", b"{");
    assert_eq!(
        TrustBundle::new(still_trusted(&secret.data))
            .certificates()
            .len(),
        3
    );
}
