//! Which source an object's bundle comes from.

use std::collections::BTreeMap;
use std::fmt;

use crate::controller::config::{BundleSource, Injection, Target};
use crate::injectable::Kind;
use crate::namespaced::NamespacedName;

const FROM_SIGNER: &str = "certtool.dev/inject-ca-from-signer";
const FROM_SECRET: &str = "certtool.dev/inject-ca-from-secret";
const CERT_MANAGER_SECRET: &str = "cert-manager.io/inject-ca-from-secret";
const CERT_MANAGER_API_SERVER: &str = "cert-manager.io/inject-apiserver-ca";

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::controller) enum Origin {
    /// A signer of the configuration.
    Signer(String),
    /// `ca.crt` of a Secret.
    Secret(NamespacedName),
    /// The CA of the API server's own certificate.
    ApiServer,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signer(name) => write!(f, "signer {name}"),
            Self::Secret(name) => write!(f, "Secret {name}"),
            Self::ApiServer => f.write_str("the API server's CA"),
        }
    }
}

/// Whose word it is that the source is the right one, and so what a Secret has to say to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::controller) enum Consent {
    /// The configuration names it: its author needs nobody's consent.
    File,
    /// An annotation of certtool's on the object.
    Certtool,
    /// An annotation of cert-manager's on the object.
    CertManager,
}

/// A source, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) struct Chosen {
    pub(in crate::controller) origin: Origin,
    pub(in crate::controller) consent: Consent,
}

/// What an object asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) enum Choice {
    /// Nothing, or nothing of this controller.
    Nothing,
    /// The bundle of this source.
    Of(Chosen),
    /// A signer that is not in this configuration; another controller may have it.
    Elsewhere(String),
    /// Something that cannot be done; in words for whoever maintains the object.
    Refused(String),
}

/// The kinds that have to be watched; none when nothing is injected.
pub(in crate::controller) fn kinds(injection: &Injection) -> Vec<Kind> {
    if injection.annotations || injection.cert_manager_annotations {
        return Kind::ALL.to_vec();
    }
    let wanted = |kind: &Kind| {
        let mut targets = injection.targets.iter();
        targets.any(|target| Kind::from(target.kind) == *kind)
    };
    Kind::ALL.into_iter().filter(wanted).collect()
}

/// What an object asks for by its metadata, `signers` being those of the configuration.
pub(in crate::controller) fn choose<'a>(
    injection: &Injection,
    signers: impl IntoIterator<Item = &'a str>,
    kind: Kind,
    name: &str,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Choice {
    let mut claims: Vec<(Chosen, String)> = Vec::new();
    for target in &injection.targets {
        if Kind::from(target.kind) == kind && selects(target, name, labels) {
            let origin = match &target.source {
                BundleSource::Signer(name) => Origin::Signer(name.clone()),
                BundleSource::Secret(name) => Origin::Secret(name.clone()),
            };
            let consent = Consent::File;
            claims.push((Chosen { origin, consent }, "the configuration".to_owned()));
        }
    }
    // An empty value, as a template leaves behind, asks for nothing.
    let value = |key: &str| {
        let value = annotations.get(key).map(|value| value.trim());
        value.filter(|value| !value.is_empty())
    };
    let mut claim = |key: &str, origin, consent| {
        claims.push((Chosen { origin, consent }, format!("annotation {key}")));
    };
    let (ours, theirs) = (injection.annotations, injection.cert_manager_annotations);
    for (honoured, key, consent) in [
        (ours, FROM_SECRET, Consent::Certtool),
        (theirs, CERT_MANAGER_SECRET, Consent::CertManager),
    ] {
        let Some(text) = value(key).filter(|_| honoured) else {
            continue;
        };
        match text.parse() {
            Ok(name) => claim(key, Origin::Secret(name), consent),
            Err(_) => {
                return Choice::Refused(format!(
                    "annotation {key}: {text:?} is not NAMESPACE/NAME of a Secret"
                ));
            }
        }
    }
    if theirs && value(CERT_MANAGER_API_SERVER) == Some("true") {
        let consent = Consent::CertManager;
        claim(CERT_MANAGER_API_SERVER, Origin::ApiServer, consent);
    }
    let mut elsewhere = None;
    if let Some(name) = value(FROM_SIGNER).filter(|_| ours) {
        if signers.into_iter().any(|signer| signer == name) {
            let origin = Origin::Signer(name.to_owned());
            claim(FROM_SIGNER, origin, Consent::Certtool);
        } else {
            elsewhere = Some(name.to_owned());
        }
    }
    if let Some((other, by)) = claims.iter().find(|(chosen, _)| {
        claims
            .first()
            .is_some_and(|(first, _)| first.origin != chosen.origin)
    }) && let Some((first, first_by)) = claims.first()
    {
        return Choice::Refused(format!(
            "two sources contradict each other, so that neither is injected: {} ({first_by}) and {} ({by})",
            first.origin, other.origin
        ));
    }
    let chosen = claims.into_iter().map(|(chosen, _)| chosen);
    match (chosen.min_by_key(|chosen| chosen.consent), elsewhere) {
        (Some(chosen), None) => Choice::Of(chosen),
        (None, Some(signer)) => Choice::Elsewhere(signer),
        (None, None) => Choice::Nothing,
        (Some(chosen), Some(signer)) => Choice::Refused(format!(
            "two sources contradict each other, so that neither is injected: {} and signer {signer} (annotation {FROM_SIGNER})",
            chosen.origin
        )),
    }
}

fn selects(target: &Target, name: &str, labels: &BTreeMap<String, String>) -> bool {
    match &target.selector {
        Some(selector) => selector.matches(labels),
        None => target.names.iter().any(|wanted| wanted == name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::config::Config;

    const KIND: Kind = Kind::ValidatingWebhookConfiguration;

    fn injection(fields: &str) -> Injection {
        let text = format!(
            "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\nsigners:\n  \
             - {{name: example.com/a, authority: {{secret: ns/a}}}}\n\
             injection: {{{fields}}}\n"
        );
        Config::from_yaml(&text).unwrap().injection
    }

    fn chosen(injection: &Injection, annotations: &[(&str, &str)]) -> Choice {
        let annotations = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let labels = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        let signers = ["example.com/a"];
        choose(injection, signers, KIND, "hook", &labels, &annotations)
    }

    fn of(origin: Origin, consent: Consent) -> Choice {
        Choice::Of(Chosen { origin, consent })
    }

    fn secret(name: &str) -> Origin {
        Origin::Secret(name.parse().unwrap())
    }

    #[test]
    fn annotations_count_only_where_they_are_switched_on() {
        let all = [
            ((FROM_SIGNER, "example.com/a"), "annotations"),
            ((FROM_SECRET, "ns/s"), "annotations"),
            ((CERT_MANAGER_SECRET, "ns/s"), "certManagerAnnotations"),
            ((CERT_MANAGER_API_SERVER, "true"), "certManagerAnnotations"),
        ];
        let expected = [
            of(
                Origin::Signer("example.com/a".to_owned()),
                Consent::Certtool,
            ),
            of(secret("ns/s"), Consent::Certtool),
            of(secret("ns/s"), Consent::CertManager),
            of(Origin::ApiServer, Consent::CertManager),
        ];
        for ((annotation, switch), expected) in all.into_iter().zip(expected) {
            for on in ["annotations", "certManagerAnnotations"] {
                let found = chosen(&injection(&format!("{on}: true")), &[annotation]);
                match on == switch {
                    true => assert_eq!(found, expected),
                    false => assert_eq!(found, Choice::Nothing, "{annotation:?} {on}"),
                }
            }
        }
    }

    #[test]
    fn what_asks_for_nothing_gets_nothing() {
        let both = injection("annotations: true, certManagerAnnotations: true");
        for annotation in [
            (FROM_SIGNER, ""),
            (FROM_SECRET, " "),
            (CERT_MANAGER_API_SERVER, "false"),
            (CERT_MANAGER_API_SERVER, "yes"),
            ("cert-manager.io/inject-ca-from", "ns/certificate"),
        ] {
            assert_eq!(
                chosen(&both, &[annotation]),
                Choice::Nothing,
                "{annotation:?}"
            );
        }
    }

    #[test]
    fn what_does_not_read_or_contradicts_is_refused_by_name() {
        let both = injection("annotations: true, certManagerAnnotations: true");
        for key in [FROM_SECRET, CERT_MANAGER_SECRET] {
            let Choice::Refused(why) = chosen(&both, &[(key, "no-namespace")]) else {
                panic!("{key}");
            };
            assert!(why.contains(key) && why.contains("no-namespace"), "{why}");
        }
        for (one, other) in [
            ((FROM_SECRET, "ns/a"), (CERT_MANAGER_SECRET, "ns/b")),
            ((FROM_SECRET, "ns/a"), (FROM_SIGNER, "example.com/a")),
            ((FROM_SECRET, "ns/a"), (FROM_SIGNER, "example.com/unknown")),
            (
                (CERT_MANAGER_API_SERVER, "true"),
                (CERT_MANAGER_SECRET, "ns/b"),
            ),
        ] {
            let Choice::Refused(why) = chosen(&both, &[one, other]) else {
                panic!("{one:?} {other:?}");
            };
            assert!(why.contains("contradict"), "{why}");
        }
    }

    #[test]
    fn a_signer_of_another_controller_is_none_of_ours() {
        let on = injection("annotations: true");
        assert_eq!(
            chosen(&on, &[(FROM_SIGNER, "example.com/b")]),
            Choice::Elsewhere("example.com/b".to_owned())
        );
    }

    #[test]
    fn targets_select_by_name_or_label_within_their_kind() {
        let target = |fields: &str| {
            injection(&format!(
                "annotations: true, targets: [{{signer: example.com/a, {fields}}}]"
            ))
        };
        let ours = of(Origin::Signer("example.com/a".to_owned()), Consent::File);
        for (fields, expected) in [
            (
                "kind: ValidatingWebhookConfiguration, names: [x, hook]",
                true,
            ),
            ("kind: ValidatingWebhookConfiguration, names: [x]", false),
            (
                "kind: ValidatingWebhookConfiguration, selector: app=shop",
                true,
            ),
            (
                "kind: ValidatingWebhookConfiguration, selector: app=cart",
                false,
            ),
            ("kind: MutatingWebhookConfiguration, names: [hook]", false),
        ] {
            let found = chosen(&target(fields), &[]);
            let expected = if expected {
                ours.clone()
            } else {
                Choice::Nothing
            };
            assert_eq!(found, expected, "{fields}");
        }
    }

    #[test]
    fn the_file_needs_no_consent_even_if_an_annotation_says_the_same() {
        let both = injection(
            "annotations: true, targets: [{secret: ns/s, kind: ValidatingWebhookConfiguration, names: [hook]}]",
        );
        assert_eq!(
            chosen(&both, &[(FROM_SECRET, "ns/s")]),
            of(secret("ns/s"), Consent::File)
        );
        assert!(matches!(
            chosen(&both, &[(FROM_SECRET, "ns/other")]),
            Choice::Refused(_)
        ));
    }

    #[test]
    fn only_kinds_that_can_be_chosen_are_watched() {
        assert_eq!(kinds(&Injection::default()), []);
        assert_eq!(kinds(&injection("annotations: true")), Kind::ALL);
        let one = "targets: [{kind: APIService, names: [x], secret: ns/s}]";
        assert_eq!(kinds(&injection(one)), [Kind::ApiService]);
    }
}
