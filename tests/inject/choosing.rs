//! Which client configs are meant.

use crate::{Home, without_bundles};

const MANIFEST: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: shop}
webhooks:
- name: ours.example.com
  clientConfig:
    service: {name: hook, namespace: shop}
- name: theirs.example.com
  clientConfig:
    service: {name: hook, namespace: theirs}
- name: broken.example.com
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  conversion:
    strategy: Webhook
    webhook:
      clientConfig:
        service: {name: hook, namespace: shop}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: plain.example.com}
spec:
  conversion: {strategy: None} # not Webhook
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.metrics.example.com}
spec:
  service: {name: metrics, namespace: shop}
";

/// The lines after which a caBundle stands.
fn chosen(words: &str) -> Vec<String> {
    let home = Home::new();
    let said = home
        .piped(MANIFEST, &format!("inject --ca ca.crt {words}"))
        .done();
    assert_eq!(without_bundles(&said.stdout).concat(), MANIFEST);
    let lines: Vec<&str> = said.stdout.lines().collect();
    lines
        .iter()
        .zip(lines.iter().skip(1))
        .filter(|(line, _)| line.trim_start().starts_with("caBundle"))
        .map(|(_, next)| next.trim().to_owned())
        .collect()
}

#[test]
fn names_and_services_choose() {
    let ours = "service: {name: hook, namespace: shop}";
    let theirs = "service: {name: hook, namespace: theirs}";
    assert_eq!(chosen("--webhook ours.example.com"), [ours]);
    assert_eq!(
        chosen("--webhook ours.example.com --webhook theirs.example.com"),
        [ours, theirs]
    );
    assert_eq!(chosen("--service hook.shop"), [ours, ours]);
    assert_eq!(chosen("--webhook shop --service hook.theirs"), [theirs]);
    assert_eq!(
        chosen("--crd things.example.com --apiservice v1.metrics.example.com"),
        [ours, "service: {name: metrics, namespace: shop}"]
    );
}

#[test]
fn what_is_chosen_and_not_there_is_an_error() {
    let home = Home::new();
    for (words, why) in [
        (
            "--webhook typo",
            "webhook or webhook configuration \"typo\"; there are",
        ),
        (
            "--webhook ours.example.com --crd typo",
            "CustomResourceDefinition \"typo\"",
        ),
        (
            "--service hook.nowhere",
            "client config that calls Service hook.nowhere",
        ),
        (
            "--crd plain.example.com",
            "its conversion strategy is None, not Webhook",
        ),
    ] {
        home.piped(MANIFEST, &format!("inject --ca ca.crt {words}"))
            .refused(1, &["not in these manifests", why]);
    }
}

#[test]
fn a_broken_webhook_that_was_not_chosen_is_nobodys_business() {
    let home = Home::new();
    home.piped(MANIFEST, "inject --ca ca.crt").refused(
        1,
        &[
            "stdin, line 11 (document 1)",
            "webhook \"broken.example.com\": clientConfig is missing",
        ],
    );
    assert_eq!(chosen("--webhook ours.example.com").len(), 1);
}

#[test]
fn labels_and_the_whole_cluster_are_not_for_manifests() {
    let home = Home::new();
    home.piped(MANIFEST, "inject --ca ca.crt -l a=b")
        .refused(2, &["--cluster"]);
    home.certtool("inject --cluster --ca ca.crt")
        .refused(2, &["which objects"]);
    home.piped(MANIFEST, "inject").refused(2, &["which CA?"]);
    home.piped(MANIFEST, "inject --ca - ")
        .refused(2, &["both come from stdin"]);
    home.piped(MANIFEST, "inject --ca ca.crt -o json")
        .refused(2, &["-o is for --in-place"]);
    home.piped(MANIFEST, "inject --ca ca.crt --dry-run=server")
        .refused(2, &["--cluster"]);
}
