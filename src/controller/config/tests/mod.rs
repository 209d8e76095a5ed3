//! Files that are read and files that are refused.

use super::*;

mod documentation;

const SMALL: &str = "\
apiVersion: certtool.dev/v1alpha1
kind: ControllerConfig
signers:
  - name: example.com/serving
    authority:
      secret: certtool-system/serving-ca
";

fn error(text: &str) -> String {
    Config::from_yaml(text).unwrap_err().to_string()
}

#[test]
fn a_small_file_has_the_documented_defaults() {
    let config = Config::from_yaml(SMALL).unwrap();
    let [signer] = config.signers.as_slice() else {
        panic!("{config:?}")
    };
    assert_eq!(signer.name(), "example.com/serving");
    assert!(signer.approve);
    assert_eq!(
        signer.policy(),
        &Policy::for_webhooks(&["example.com/serving"]).unwrap()
    );
    assert_eq!(signer.limits.maximum(), Duration::days(30));
    assert_eq!(signer.limits.default_life(), Duration::days(30));
    assert_eq!(signer.wait_for_objects(), Duration::minutes(5));
    assert!(config.observability.events);
    assert_eq!(config.injection, Injection::default());
}

#[test]
fn an_unknown_key_is_an_error_with_the_line_and_what_was_meant() {
    let said = error(&SMALL.replace("    authority:", "    aproove: true\n    authority:"));
    assert!(said.starts_with("line 5"), "{said}");
    assert!(said.contains("unknown field `aproove`"), "{said}");
    assert!(said.contains("did you mean `approve`?"), "{said}");
    let said = error(&SMALL.replace("      secret:", "      secrets:"));
    assert!(
        said.contains("line 6") && said.contains("did you mean `secret`?"),
        "{said}"
    );
}

#[test]
fn a_policy_is_written_inline_and_its_errors_have_lines() {
    let policy = "    policy:
      rules:
        - name: all
          requester: {serviceAccounts: [\"*/*\"]}
          names: {services: [\"*.{namespace}\"]}
          usages: {allowed: [server auth]}
          keys: [ecdsa-p256]
          lifetime: {maximum: 1d}
";
    let text = format!("{SMALL}{policy}");
    let config = Config::from_yaml(&text).unwrap();
    let names: Vec<_> = config.signers[0].policy().signer_names().collect();
    assert_eq!(names, ["example.com/serving"]);
    let said = error(&text.replace("lifetime:", "livetime:"));
    assert!(said.contains("line 14"), "{said}");
    assert!(said.contains("did you mean `lifetime`?"), "{said}");
    let said = error(&text.replace("[ecdsa-p256]", "[ecdsa-p255]"));
    assert!(said.contains("line 13"), "{said}");
    let said = error(&format!("{text}    approve: false\n"));
    assert!(said.contains("its policy would decide nothing"), "{said}");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let second = "  - name: example.com/serving\n    authority: {secret: a/b}\n";
    for (text, why) in [
        (format!("{SMALL}{second}"), "two signers have the name"),
        (
            SMALL.replace(
                "secret: certtool-system/serving-ca",
                "files: {certificate: a, key: b}\n      secret: a/b",
            ),
            "give exactly one",
        ),
        (
            SMALL.replace("certtool-system/serving-ca", "serving-ca"),
            "not NAMESPACE/NAME",
        ),
        (
            SMALL.replace("example.com/serving", "kubernetes.io/x"),
            "identities of the cluster itself",
        ),
        (
            format!("{SMALL}    limits: {{maximum: 1d, default: 2d}}\n"),
            "limits.default is longer",
        ),
        (
            format!("{SMALL}    limits: {{maximum: 1m}}\n"),
            "shorter than 10m",
        ),
        (
            format!("{SMALL}    limits: {{usages: [cert sign]}}\n"),
            "no rule allows a CA",
        ),
        (
            format!("{SMALL}    limits: {{keys: []}}\n"),
            "limits.keys is empty",
        ),
        (
            format!("{SMALL}    waitForObjects: 13h\n"),
            "longer than 12h",
        ),
        (
            SMALL.replace(
                "secret: certtool-system/serving-ca",
                "managed: {secret: a/b, life: 20d}",
            ),
            "is too short for leaves",
        ),
        (
            SMALL.replace(
                "secret: certtool-system/serving-ca",
                "managed: {secret: a/b, rotateAt: 1.5}",
            ),
            "fraction",
        ),
        (
            format!(
                "{SMALL}injection: {{targets: [{{kind: APIService, names: [x], signer: a.b/c}}]}}\n"
            ),
            "which is not in this file",
        ),
        (
            "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\n".to_owned(),
            "nothing to do",
        ),
        (
            SMALL.replace("ControllerConfig", "ApprovalPolicy"),
            "expected `ControllerConfig`",
        ),
        (String::new(), "missing field"),
    ] {
        let said = error(&text);
        assert!(said.contains(why), "{why:?} not in {said:?} of\n{text}");
    }
}

#[test]
fn two_signers_do_not_share_a_secret_that_rotates() {
    let managed = SMALL.replace(
        "secret: certtool-system/serving-ca",
        "managed: {secret: a/b}",
    );
    let second = "  - name: example.com/other\n    authority: {managed: {secret: a/b}}\n";
    assert!(error(&format!("{managed}{second}")).contains("share the Secret a/b"));
}

#[test]
fn two_signers_do_not_publish_into_one_entry() {
    let signer = |name: &str, key: &str, namespaces: &str| {
        format!(
            "  - {{name: example.com/{name}, authority: {{secret: a/{name}}}, \
             trustBundle: {{configMap: trust, key: {key}, namespaces: {namespaces}}}}}\n"
        )
    };
    let of = |signers: &[String]| {
        let text = format!(
            "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\nsigners:\n{}",
            signers.concat()
        );
        Config::from_yaml(&text).map_err(|error| error.to_string())
    };
    let one = signer("one", "ca.crt", "[a, b, b]");
    let error = of(&[one.clone(), signer("two", "ca.crt", "[c, b]")]).unwrap_err();
    assert!(error.contains("the same entry b/trust ca.crt"), "{error}");
    of(&[one.clone(), signer("two", "ca.crt", "[c]")]).unwrap();
    of(&[one, signer("two", "two.crt", "[a]")]).unwrap();
    for key in ["'a b'", "''", "..", "a/b"] {
        let error = of(&[signer("one", key, "[a]")]).unwrap_err();
        assert!(error.contains("is not a key"), "{error}");
    }
}
