//! Which objects, and which of their webhooks.

use crate::{
    Ci, support,
    world::{MUTATING, VALIDATING},
};

#[test]
fn only_client_configs_that_call_the_service_are_touched() {
    support::run(async {
        let ci = Ci::new("ours").await;
        let mixed = [
            ("first.example.com", "other", "/a"),
            ("second.example.com", "hook", "/b"),
            ("third.example.com", "other", "/c"),
        ];
        let mixed = ci.configuration(VALIDATING, "mixed", &mixed).await;
        let theirs = [("theirs.example.com", "other", "/d")];
        let theirs = ci.configuration(MUTATING, "theirs", &theirs).await;
        let before = ci.versions(std::slice::from_ref(&theirs)).await;
        let said = ci
            .bootstrap(&[])
            .done()
            .prints("second.example.com: caBundle added");
        assert!(
            !said.stdout.contains("first.example.com"),
            "{}",
            said.stdout
        );
        let bundles = ci.bundles(&mixed).await;
        let ca = ci.entry("hook-tls-ca", "tls.crt").await;
        assert_eq!(bundles, [String::new(), ca, String::new()]);
        assert_eq!(ci.versions(&[theirs]).await, before);
    });
}

#[test]
fn what_is_in_a_bundle_stays_and_placeholders_go() {
    support::run(async {
        let ci = Ci::new("merge").await;
        let path = ci.validating().await;
        let other = support::pki::Ca::new("somebody else's");
        let edit = async |ca: &str| {
            ci.world
                .edit(&path, |object| {
                    object["webhooks"][0]["clientConfig"]["caBundle"] = ca.into();
                })
                .await;
        };
        use base64::{Engine, engine::general_purpose::STANDARD};
        edit(&STANDARD.encode(&other.pem)).await;
        ci.bootstrap(&[]).done().prints("caBundle replaced");
        let bundle = ci.bundles(&path).await.remove(0);
        let ca = ci.entry("hook-tls-ca", "tls.crt").await;
        let body = |pem: &str| pem.replace(['\r', '\n'], "");
        assert!(body(&bundle).contains(&body(&other.pem)));
        assert!(bundle.contains(&ca));
        edit("Cg==").await;
        ci.bootstrap(&[]).done().prints("caBundle replaced");
        assert_eq!(ci.bundles(&path).await, [ca]);
    });
}

#[test]
fn named_objects_alone_are_touched() {
    support::run(async {
        let ci = Ci::new("named").await;
        let webhooks = [("own.example.com", "hook", "/x")];
        let own = ci.configuration(MUTATING, "own", &webhooks).await;
        let (v, m) = (ci.validating().await, ci.mutating().await);
        let crd = ci.crd().await;
        let bundled = async |path: &String| !ci.bundles(path).await[0].is_empty();
        ci.bootstrap(&["--webhook", &ci.named("v")]).done();
        assert!(bundled(&v).await && !bundled(&m).await);
        assert!(!bundled(&crd).await && !bundled(&own).await);
        let name = format!("mwc/{}", ci.named("m"));
        let crd_name = format!("widgets.{}", ci.world.group());
        ci.bootstrap(&["--webhook", &name, "--crd", &crd_name])
            .done();
        assert!(bundled(&m).await && bundled(&crd).await);
        ci.bootstrap(&["--webhook", "own.example.com"]).done();
        assert!(bundled(&own).await);
        ci.bootstrap(&["--webhook", "pod/x"])
            .ended(2)
            .explains("\"pod\" is not a kind with a caBundle");
        ci.bootstrap(&["--crd", "vwc/x"]).ended(2);
    });
}

#[test]
fn a_name_means_both_kinds_of_webhook_configuration() {
    support::run(async {
        let ci = Ci::new("both").await;
        let webhooks = [("both.example.com", "hook", "/x")];
        let one = ci.configuration(VALIDATING, "same", &webhooks).await;
        let other = ci.configuration(MUTATING, "same", &webhooks).await;
        ci.bootstrap(&["--webhook", &ci.named("same")]).done();
        assert!(!ci.bundles(&one).await[0].is_empty());
        assert!(!ci.bundles(&other).await[0].is_empty());
    });
}

#[test]
fn manifests_name_the_service_and_the_objects() {
    support::run(async {
        let ci = Ci::new("manifests").await;
        let (v, m) = (ci.validating().await, ci.mutating().await);
        let mut object = ci.configured("v", &[("v.example.com", "hook", "/validate")]);
        object["apiVersion"] = "admissionregistration.k8s.io/v1".into();
        object["kind"] = "ValidatingWebhookConfiguration".into();
        let file = ci.file("manifests.yaml", &serde_yaml::to_string(&object).unwrap());
        // Without --service, too.
        let mut command = support::certtool(ci.world.home.path());
        command
            .env("KUBECONFIG", ci.world.cluster.kubeconfig())
            .args(["bootstrap", "-f", &file]);
        crate::world::Said::of(command)
            .done()
            .prints("v.example.com: caBundle added");
        assert!(!ci.bundles(&v).await[0].is_empty());
        assert!(ci.bundles(&m).await[0].is_empty());

        let broken = ci.file("broken.yaml", "a: [1\nb: 2\n");
        ci.bootstrap(&["-f", &broken])
            .ended(1)
            .explains("broken.yaml");
    });
}

#[test]
fn what_is_missing_or_does_not_fit_is_said_and_leaves_nothing_behind() {
    support::run(async {
        let ci = Ci::new("missing").await;
        let theirs = [("theirs.example.com", "other", "/d")];
        ci.configuration(VALIDATING, "theirs", &theirs).await;
        ci.bootstrap(&[])
            .ended(1)
            .explains("no webhook configuration, CustomResourceDefinition or APIService calls Service hook.")
            .explains("nothing was changed; --wait waits");
        ci.bootstrap(&["--webhook", &ci.named("nobody")])
            .ended(1)
            .explains(&format!(
                "there is no mutating or validating webhook configuration \"{}\"",
                ci.named("nobody")
            ));
        ci.bootstrap(&["--webhook", &ci.named("theirs")])
            .ended(1)
            .explains(&format!(
                "ValidatingWebhookConfiguration/{} does not call Service hook.{ns}, but Service other.{ns}",
                ci.named("theirs"),
                ns = ci.namespace()
            ));
        ci.bootstrap(&["--crd", "no.such.example.com", "--apiservice", "v1.no.such"])
            .ended(1)
            .explains("there is no CustomResourceDefinition/no.such.example.com; there is no APIService/v1.no.such");
        let plain = serde_json::json!({
            "metadata": { "name": format!("gadgets.{}", ci.world.group()) },
            "spec": {
                "group": ci.world.group(), "scope": "Namespaced",
                "names": { "plural": "gadgets", "singular": "gadget", "kind": "Gadget" },
                "versions": [{ "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": { "type": "object" } } }],
            }
        });
        ci.world
            .create(
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                plain,
            )
            .await;
        ci.bootstrap(&["--crd", &format!("gadgets.{}", ci.world.group())])
            .ended(1)
            .explains("its conversion strategy is None, not Webhook");
        assert!(!ci.exists(&ci.secret_path("hook-tls-ca")).await);
        assert!(!ci.exists(&ci.secret_path("hook-tls")).await);
    });
}

#[test]
fn the_pair_alone_is_made_with_no_inject() {
    support::run(async {
        let ci = Ci::new("alone").await;
        let path = ci.validating().await;
        ci.bootstrap(&["--no-inject"])
            .done()
            .prints("/hook-tls: created");
        assert_eq!(ci.bundles(&path).await, [""]);
        ci.bootstrap(&["--no-inject", "--webhook", "x"]).ended(2);
    });
}

#[test]
fn a_service_has_to_be_named_somewhere() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = support::certtool(home.path());
        command.arg("bootstrap").args(args);
        crate::world::Said::of(command)
    };
    run(&[]).ended(2).explains("which Service?");
    run(&["--service", "hook"])
        .ended(2)
        .explains("NAME.NAMESPACE");
    run(&["--service", "a.b", "--secret", "x/y", "--ca-secret", "x/y"])
        .ended(2)
        .explains("are both x/y");
    run(&["--service", "a.b", "--key-name", "tls.crt"])
        .ended(2)
        .explains("have to differ");
    run(&["--service", "a.b", "--failure-policy", "retry"])
        .ended(2)
        .explains("Fail or Ignore");
}
