//! Steps from objects, decisions and times.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::controller::config::Config;
use crate::pki::{DistinguishedName, KeyAlgorithm, PrivateKey, San, create_csr};
use crate::policy::Refusal;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

fn limits(text: &str) -> Limits {
    let config = format!(
        "apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\nsigners:\n  \
         - name: a.example.com/b\n    authority: {{secret: a/b}}\n    limits: {text}\n"
    );
    Config::from_yaml(&config).unwrap().signers[0]
        .limits
        .clone()
}

fn request(
    usages: &[&str],
    expiration: Option<i64>,
    change: impl FnOnce(&mut Value),
) -> RequestObject {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let names = [San::Dns("hook.shop.svc".to_owned())];
    let csr = create_csr(&DistinguishedName::empty(), &names, &key).unwrap();
    let mut object = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "hook", "uid": "u", "resourceVersion": "7"},
        "spec": {
            "request": STANDARD.encode(csr),
            "signerName": "a.example.com/b",
            "usages": usages,
            "expirationSeconds": expiration,
        },
        "status": {},
    });
    change(&mut object);
    RequestObject::read(object).unwrap()
}

const SERVING: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

fn deny(reason: Refusal) -> Decision {
    let rule = Some("r".to_owned());
    Decision::Deny { rule, reason }
}

#[test]
fn a_missing_service_is_waited_for_and_then_denied() {
    let missing = || deny(Refusal::ServiceMissing("hook.shop".to_owned()));
    let patience = Duration::minutes(5);
    let step = |created| undecided(missing(), created, patience, NOW);
    assert!(matches!(step(Some(NOW)), Step::Wait(_)));
    assert!(matches!(
        step(Some(NOW - Duration::minutes(5) + Duration::SECOND)),
        Step::Wait(_)
    ));
    for created in [Some(NOW - Duration::minutes(5)), None] {
        let Step::Deny { reason, message } = step(created) else {
            panic!("not denied")
        };
        assert_eq!(reason, "ServiceDoesNotSelectPod");
        assert!(
            message.contains("hook.shop") && message.contains("(rule r)"),
            "{message}"
        );
    }
    // What the request itself says never passes.
    let step = undecided(deny(Refusal::NoNames), Some(NOW), patience, NOW);
    assert!(matches!(
        step,
        Step::Deny {
            reason: "NoNames",
            ..
        }
    ));
}

#[test]
fn what_the_policy_is_not_about_is_left_and_what_it_does_not_know_waits() {
    let ignore = |reason| undecided(Decision::Ignore { reason }, Some(NOW), Duration::ZERO, NOW);
    assert!(matches!(
        ignore(Ignored::OtherRequester("u".to_owned())),
        Step::Leave(_)
    ));
    let unknown = Ignored::Unknown {
        rule: "r".to_owned(),
        questions: Vec::new(),
    };
    assert!(matches!(ignore(unknown), Step::Wait(_)));
}

#[test]
fn somebody_elses_approval_is_signed_within_the_limits() {
    let limits = limits("{maximum: 30d, default: 1d}");
    let life = |expiration| {
        let request = request(&SERVING, expiration, |_| {});
        let (_, grant) = to_sign(&request, None, &limits, NOW).unwrap();
        assert_eq!(grant.names, [San::Dns("hook.shop.svc".to_owned())]);
        assert!(grant.ca.is_none() && grant.extensions.is_empty());
        grant.validity.not_after - NOW
    };
    let back = Duration::minutes(5);
    assert_eq!(life(Some(3600)), Duration::HOUR);
    assert_eq!(life(Some(86_400)), Duration::DAY - back);
    assert_eq!(life(None), Duration::DAY - back, "the default");
    assert_eq!(life(Some(31_536_000)), Duration::days(30) - back);
}

#[test]
fn what_the_limits_do_not_include_is_never_signed_whoever_approved_it() {
    let never = |usages: &[&str], text: &str| {
        let request = request(usages, None, |_| {});
        to_sign(&request, None, &limits(text), NOW)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    assert!(never(&["client auth"], "{}").contains("the usage \"client auth\""));
    assert!(never(&["cert sign"], "{}").contains("the usage \"cert sign\""));
    assert!(never(&["signing", "no such"], "{}").contains("no such"));
    assert!(never(&SERVING, "{keys: [rsa-4096]}").contains("keys of type ECDSA P-256"));
}

#[test]
fn a_request_that_does_not_verify_is_never_signed() {
    let broken = request(&SERVING, None, |object| {
        let pem = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
        object["spec"]["request"] = json!(STANDARD.encode(pem));
    });
    assert!(matches!(
        to_sign(&broken, None, &limits("{}"), NOW),
        Err(Never::Csr(_))
    ));
}

#[test]
fn the_controller_knows_its_own_approvals() {
    let with = |kind: &str, reason: &str| {
        let request = request(&SERVING, None, |object| {
            object["status"]["conditions"] =
                json!([{"type": kind, "status": "True", "reason": reason}]);
        });
        approved_by_policy(&request)
    };
    assert!(with("Approved", APPROVED_REASON));
    assert!(!with("Approved", "KubectlApprove"));
    assert!(!with("Denied", APPROVED_REASON));
}

#[test]
fn a_ca_out_of_date_is_no_failure_of_the_request() {
    let empty = IssueError::EmptyValidity {
        not_before: String::new(),
        not_after: String::new(),
    };
    assert!(may_issue_later(&empty));
    assert!(!may_issue_later(&IssueError::NameConstraints(
        "x".to_owned()
    )));
    assert!(!may_issue_later(&IssueError::NoNames));
}
