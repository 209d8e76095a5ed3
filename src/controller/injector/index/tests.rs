//! What the index knows of objects and of what they hold.

use super::*;
use crate::authority::Trust;
use crate::controller::config::Config;
use crate::controller::injection::choose;
use crate::pki::TrustBundle;

const KIND: Kind = Kind::ValidatingWebhookConfiguration;

fn id(name: &str) -> ObjectId {
    let name = name.to_owned();
    ObjectId { kind: KIND, name }
}

fn ours() -> Choice {
    let text = "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\nsigners:\n  \
                - {name: example.com/a, authority: {secret: ns/a}}\n\
                injection: {annotations: true}\n";
    let injection = Config::from_yaml(text).unwrap().injection;
    let annotation = (
        "certtool.dev/inject-ca-from-signer".to_owned(),
        "example.com/a".to_owned(),
    );
    let annotations = BTreeMap::from([annotation]);
    let labels = BTreeMap::new();
    choose(
        &injection,
        ["example.com/a"],
        KIND,
        "x",
        &labels,
        &annotations,
    )
}

fn origin() -> Origin {
    Origin::Signer("example.com/a".to_owned())
}

fn supply(former: &str) -> Supply {
    let trust = Trust {
        bundle: TrustBundle::default(),
        former: BTreeSet::from([former.to_owned()]),
    };
    Supply::Good(Arc::new(Material::Signer(trust)), None)
}

fn outcomes(webhooks: &[(&str, bool)]) -> Vec<Outcome> {
    let outcome = |(webhook, changes): &(&str, bool)| Outcome {
        webhook: (*webhook).to_owned(),
        what: match changes {
            true => What::CaBundle {
                replaced: true,
                verify: false,
            },
            false => What::Unchanged,
        },
    };
    webhooks.iter().map(outcome).collect()
}

/// One with the object `x` at version 1, listed.
fn listed() -> (Index, u64) {
    let mut index = Index::of(&[KIND]);
    let (edition, _) = index.supply(&origin(), supply("one"));
    index.listing(KIND);
    assert!(index.seen(&id("x"), "u", "1", &ours()));
    assert_eq!(index.listed(KIND), []);
    (index, edition)
}

#[test]
fn an_object_is_due_until_it_holds_this_edition_at_this_version() {
    let (mut index, edition) = listed();
    index
        .get_mut(&id("x"))
        .unwrap()
        .wrote(edition, "2", &outcomes(&[("a", true)]));
    assert!(!index.is_due(&id("x")));
    assert!(!index.seen(&id("x"), "u", "2", &ours()), "our own write");
    assert!(index.seen(&id("x"), "u", "3", &ours()), "somebody's write");
    index.get_mut(&id("x")).unwrap().holds(
        edition,
        "3",
        Instant::now(),
        &outcomes(&[("a", false)]),
    );
    assert_eq!(index.supply(&origin(), supply("one")), (edition, false));
    assert!(!index.is_due(&id("x")));
    assert!(index.supply(&origin(), supply("two")).1);
    assert!(index.is_due(&id("x")), "another edition");
}

#[test]
fn what_a_listing_does_not_have_or_asks_for_nothing_is_forgotten() {
    let (mut index, _) = listed();
    index.seen(&id("y"), "v", "1", &ours());
    index.listing(KIND);
    index.seen(&id("y"), "v", "1", &ours());
    assert_eq!(index.listed(KIND), [id("x")]);
    assert_eq!(index.objects_of(&origin()), [id("y")]);
    index.seen(&id("y"), "v", "2", &Choice::Nothing);
    assert_eq!(index.objects_of(&origin()), []);
}

#[test]
fn only_what_was_held_and_changed_since_is_taken() {
    let (mut index, edition) = listed();
    let entry = index.get_mut(&id("x")).unwrap();
    assert!(
        !entry.was_taken(edition, "1", &outcomes(&[("a", true)])),
        "never held"
    );
    entry.wrote(edition, "2", &outcomes(&[("a", true)]));
    let added = outcomes(&[("a", false), ("b", true)]);
    assert!(
        !entry.was_taken(edition, "3", &added),
        "a webhook was added"
    );
    assert!(entry.was_taken(edition, "3", &outcomes(&[("a", true)])));
    assert!(
        !entry.was_taken(edition, "2", &outcomes(&[("a", true)])),
        "it ran out"
    );
    assert!(
        !entry.was_taken(edition + 1, "3", &outcomes(&[("a", true)])),
        "another edition"
    );
}

#[test]
fn a_proof_is_a_reading_that_began_after_it_was_asked_for() {
    let (mut index, edition) = listed();
    let early = Instant::now();
    let since = early + Duration::from_secs(1);
    let late = since + Duration::from_secs(1);
    let lacking = |index: &Index, since| {
        index
            .lacking(&origin(), edition, since, Some(early), late)
            .len()
    };
    assert_eq!(lacking(&index, None), 1);
    let entry = index.get_mut(&id("x")).unwrap();
    entry.wrote(edition, "2", &outcomes(&[("a", true)]));
    assert_eq!(
        (lacking(&index, None), lacking(&index, Some(since))),
        (0, 1)
    );
    let entry = index.get_mut(&id("x")).unwrap();
    entry.holds(edition, "2", early, &outcomes(&[("a", false)]));
    assert_eq!(lacking(&index, Some(since)), 1);
    let entry = index.get_mut(&id("x")).unwrap();
    entry.holds(edition, "2", late, &outcomes(&[("a", false)]));
    assert_eq!(lacking(&index, Some(since)), 0);
    // Trouble of before the attempt is none.
    index
        .get_mut(&id("x"))
        .unwrap()
        .lacks("why".to_owned(), early);
    let troubles = |tried| {
        index.lacking(&origin(), edition, None, tried, late)[0]
            .1
            .clone()
    };
    assert_eq!(troubles(Some(since)), None);
    assert_eq!(troubles(None), Some("why".to_owned()));
    // One that is left alone is not waited for.
    let entry = index.get_mut(&id("x")).unwrap();
    for _ in 0..4 {
        entry.contest.lost(late.into_std());
    }
    assert_eq!(lacking(&index, Some(since)), 0);
}

#[test]
fn a_kind_is_unknown_until_it_was_listed() {
    let mut index = Index::of(&[KIND]);
    let unlisted = |index: &Index| index.unlisted(&[KIND, Kind::ApiService]);
    assert!(!unlisted(&index)[0].1);
    index.broken(KIND, "forbidden".to_owned());
    let [(why, true)] = &unlisted(&index)[..] else {
        panic!();
    };
    assert!(why.contains("forbidden"), "{why}");
    index.listing(KIND);
    index.listed(KIND);
    assert_eq!(unlisted(&index), []);
}
