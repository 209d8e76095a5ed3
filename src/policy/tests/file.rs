//! What is refused in a policy file, with the line and what was probably meant.

use super::*;

fn changed(from: &str, to: &str) -> PolicyError {
    assert!(DEFAULT_POLICY.contains(from), "{from}");
    Policy::from_yaml(&DEFAULT_POLICY.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn the_shipped_policy_is_read_and_can_be_given_other_signers() {
    assert_eq!(
        shipped().signer_names().collect::<Vec<_>>(),
        ["certtool.dev/webhook-serving"]
    );
    let policy = Policy::for_webhooks(&["example.com/a", "example.com/b"]).unwrap();
    assert_eq!(
        policy.signer_names().collect::<Vec<_>>(),
        ["example.com/a", "example.com/b"]
    );
    assert!(Policy::for_webhooks(&["kubernetes.io/kubelet-serving"]).is_err());
    assert!(Policy::for_webhooks(&[]).is_err());
}

#[test]
fn every_mistake_is_refused_and_said() {
    for (from, to, says) in [
        ("signerNames:", "signerName:", "did you mean `signerNames`?"),
        (
            "serviceAccounts",
            "serviceaccounts",
            "did you mean `serviceAccounts`?",
        ),
        ("      maximum", "      max", "did you mean `maximum`?"),
        ("SelectsPod", "selectsPod", "did you mean `SelectsPod`?"),
        (
            "    keys:",
            "    extra: 1\n    keys:",
            "unknown field `extra`",
        ),
        ("v1alpha1", "v1", "certtool.dev/v1alpha1"),
        ("kind: ApprovalPolicy", "kind: Policy", "ApprovalPolicy"),
        ("kind: ApprovalPolicy\n", "", "missing field `kind`"),
        (
            "    keys: [",
            "    keys: [ecdsa, ",
            "unknown key algorithm \"ecdsa\"",
        ),
        (
            "    keys: [ecdsa-p256",
            "    keys: []\n    #",
            "keys is empty",
        ),
        (
            "      required: [server auth]",
            "      required: [client auth]",
            "required but not allowed",
        ),
        (
            "allowed: [",
            "allowed: [servr auth, ",
            "unknown usage \"servr auth\"",
        ),
        ("allowed: [", "allowed: [cert sign, ", "is for CAs"),
        ("allowed: [", "allowed: [any, ", "every usage at once"),
        ("      services: [\"*.{namespace}\"]", "", "names is empty"),
        ("[\"*.{namespace}\"]", "[*.{namespace}]", "quotation marks"),
        ("\"*.{namespace}\"", "{namespace}", "quotation marks"),
        ("\"*.{namespace}\"", "\"*.*\"", "every namespace"),
        ("maximum: 30d", "maximum: 30", "not a duration"),
        ("maximum: 30d", "maximum: 5m", "shorter than 10m"),
        (
            "maximum: 30d",
            "maximum: 30d\n      maximum: 60d",
            "duplicate field",
        ),
        ("[\"*/*\"]", "[]", "says nobody"),
        (
            "[\"*/*\"]",
            "[\"*/*\"]\n      usernames: [ann]",
            "two rules",
        ),
        (
            "serviceAccounts: [\"*/*\"]",
            "usernames: [ann]",
            "users are none",
        ),
        (
            "serviceAccounts: [\"*/*\"]",
            "usernames: [\"system:serviceaccount:a:*\"]",
            "NAMESPACE/NAME",
        ),
        (
            "[\"*/*\"]",
            "[\"*/*\"]\n      groups: [\"team-*\"]",
            "written out",
        ),
        (
            "[\"*/*\"]",
            "[\"*/*\"]\n      groups: [\"system:unauthenticated\"]",
            "everybody in the world",
        ),
        (
            "    usages:",
            "    subject: {organizations: [\"system:masters\"]}\n    usages:",
            "Kubernetes' own",
        ),
        (
            "    usages:",
            "    subject: {organizations: [\"SYSTEM:nodes\"]}\n    usages:",
            "Kubernetes' own",
        ),
        (
            "certtool.dev/webhook-serving]",
            "kubernetes.io/kubelet-serving]",
            "the cluster itself",
        ),
        (
            "certtool.dev/webhook-serving]",
            "\"certtool.dev/*\"]",
            "DOMAIN/NAME",
        ),
        ("[certtool.dev/webhook-serving]", "[]", "about nothing"),
        (
            "clusterDomain: cluster.local",
            "clusterDomain: cluster.local.",
            "not a DNS domain",
        ),
        (
            "- name: webhook-serving",
            "- name: Webhook serving",
            "lower-case",
        ),
        (
            "      serviceCheck",
            "      maxNames: 0\n      serviceCheck",
            "between 1 and 1000",
        ),
        (
            "      serviceCheck",
            "      maxNames: -1\n      serviceCheck",
            "maxNames",
        ),
        (
            "      serviceCheck",
            "      ips: [10.0.0.1/8]\n      serviceCheck",
            "did you mean 10.0.0.0/8?",
        ),
    ] {
        let error = changed(from, to).to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn the_line_is_that_of_the_mistake() {
    let line_of = |text: &str| {
        1 + DEFAULT_POLICY
            .lines()
            .position(|line| line.contains(text))
            .unwrap()
    };
    let given = changed(
        "required: [server auth]",
        "required:\n      - server auth\n      - x",
    );
    assert_eq!(given.line(), Some(line_of("required:") + 2), "{given}");
    let given = changed("maximum: 30d", "maximum: soon");
    assert_eq!(given.line(), Some(line_of("maximum:")), "{given}");
    assert!(given.to_string().starts_with("line "), "{given}");
    assert_eq!(given.to_string().matches("line ").count(), 1, "{given}");
}

#[test]
fn two_rules_of_one_name_and_two_documents_are_refused() {
    let rules = &DEFAULT_POLICY[DEFAULT_POLICY.find("  - name").unwrap()..];
    let twice = Policy::from_yaml(&format!("{DEFAULT_POLICY}{rules}")).unwrap_err();
    assert!(twice.to_string().contains("webhook-serving"), "{twice}");
    let documents = format!("{DEFAULT_POLICY}---\n{DEFAULT_POLICY}");
    assert!(Policy::from_yaml(&documents).is_err());
    assert!(Policy::from_yaml("").is_err());
}

#[test]
fn a_policy_without_rules_denies_everything() {
    let text = &DEFAULT_POLICY[..DEFAULT_POLICY.find("  - name").unwrap()];
    let none = Policy::from_yaml(&format!("{} []", text.trim_end())).unwrap();
    assert_eq!(refusal(&request(), &none).code(), "RequesterNotAllowed");
}

#[test]
fn a_policy_within_another_file_is_checked_as_a_whole() {
    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        #[expect(dead_code)]
        policy: Policy,
    }
    let text = DEFAULT_POLICY.replace("[certtool.dev/webhook-serving]", "[]");
    let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
    let error = serde_yaml::from_str::<Outer>(&format!("policy:\n{indented}")).unwrap_err();
    assert!(error.to_string().contains("about nothing"), "{error}");
}
