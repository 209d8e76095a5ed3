//! Rights that are missing: the message names the verb, the resource and the rule to add.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::{
    World,
    support::{self, rule},
    world::{VALIDATING, alone},
};

const ADMISSION: &str = "admissionregistration.k8s.io";
const EXTENSIONS: &str = "apiextensions.k8s.io";
const MUTATING: &str = "mutatingwebhookconfigurations";
const CRDS: &str = "customresourcedefinitions";

/// All rights that attaching needs, the one on `without` excepted.
fn rights(without: (&str, &str)) -> Vec<PolicyRule> {
    let needed = [
        (ADMISSION, MUTATING, "list"),
        (ADMISSION, MUTATING, "get"),
        (ADMISSION, MUTATING, "patch"),
        (ADMISSION, VALIDATING, "list"),
        (ADMISSION, VALIDATING, "get"),
        (ADMISSION, VALIDATING, "patch"),
        (ADMISSION, VALIDATING, "create"),
        (ADMISSION, VALIDATING, "delete"),
        (EXTENSIONS, CRDS, "list"),
        (EXTENSIONS, CRDS, "get"),
        (EXTENSIONS, CRDS, "patch"),
        ("", "configmaps", "create"),
    ];
    needed
        .into_iter()
        .filter(|(_, resource, verb)| (*verb, *resource) != without)
        .map(|(group, resource, verb)| rule(&[group], &[resource], &[verb]))
        .collect()
}

#[test]
fn every_missing_right_is_named_with_the_rule_that_grants_it() {
    support::run(async {
        let world = World::new("rights").await;
        let paths = [
            world
                .configuration(MUTATING, "m", &[("m.example.com", "/mutate")])
                .await,
            world
                .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
                .await,
            world.crd().await,
        ];
        let before = world.contents(&paths).await;
        let ns = world.namespace.clone();
        let cases = [
            ("list", MUTATING, ADMISSION),
            ("list", CRDS, EXTENSIONS),
            ("create", VALIDATING, ADMISSION),
            ("create", "configmaps", ""),
            ("patch", MUTATING, ADMISSION),
            ("patch", VALIDATING, ADMISSION),
            ("patch", CRDS, EXTENSIONS),
        ];
        for (number, (verb, resource, group)) in cases.into_iter().enumerate() {
            let name = format!("dev-{number}");
            let rights = rights((verb, resource));
            let kubeconfig = world
                .cluster
                .service_account(&ns, &name, &[], &rights)
                .await;
            let user = world.as_user(kubeconfig);
            let server = user.serve();
            let said = user
                .attach(server.address().port(), &["-n", "default"])
                .ended(1)
                .explains(&format!("not allowed to {verb} {resource}"))
                .explains(&format!("system:serviceaccount:{ns}:{name}"))
                .explains(&format!(
                    "ole rule: {{apiGroups: [{group:?}], resources: [{resource:?}], verbs: [{verb:?}]"
                ));
            if verb == "create" {
                said.explains("do without the proof with --skip-proof");
            }
            // Not half of it, either.
            assert_eq!(world.contents(&paths).await, before, "{verb} {resource}");
            assert_eq!(
                user.local_dev(&["status", "-l", &world.label()]).stdout,
                "",
                "{verb} {resource}"
            );
        }

        // With all of them it works, and putting back names what is missing as well.
        let all = rights(("", ""));
        let kubeconfig = world.cluster.service_account(&ns, "all", &[], &all).await;
        let user = world.as_user(kubeconfig);
        let server = user.serve();
        user.attach(server.address().port(), &["-n", "default"])
            .done();
        let rights = rights(("patch", CRDS));
        let kubeconfig = world
            .cluster
            .service_account(&ns, "less", &[], &rights)
            .await;
        world
            .as_user(kubeconfig)
            .detach(&[])
            .ended(1)
            .prints("m.example.com: restored")
            .explains("not allowed to patch customresourcedefinitions");
        user.detach(&[]).done().prints("restored");
        assert_eq!(world.contents(&paths).await, before);
    });
}

#[test]
fn a_probe_that_is_refused_half_way_is_removed_and_one_that_cannot_be_is_named() {
    let cluster = alone();
    support::run(async {
        let world = World::on(&cluster, "half").await;
        world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let ns = world.namespace.clone();
        let attach = async |name: &str, rights: &[PolicyRule]| {
            let kubeconfig = cluster.service_account(&ns, name, &[], rights).await;
            let user = world.as_user(kubeconfig);
            let server = user.serve();
            user.attach(server.address().port(), &["-n", "default"])
                .ended(1)
        };
        attach("makes-no-config-map", &rights(("create", "configmaps"))).await;
        assert_eq!(world.probes().await, [""; 0]);

        let said = attach("deletes-nothing", &rights(("delete", VALIDATING))).await;
        let left = world.probes().await;
        assert_eq!(left.len(), 1, "{}", said.stderr);
        said.explains(&format!(
            "not allowed to delete validatingwebhookconfigurations.admissionregistration.k8s.io {:?}",
            left[0]
        ))
        .explains("verbs: [\"delete\"]");
        let path = format!("/apis/{ADMISSION}/v1/{VALIDATING}/{}", left[0]);
        world.delete(&path).await;
    });
}

#[test]
fn a_user_that_may_not_be_impersonated_is_no_matter_of_the_request() {
    support::run(async {
        let world = World::new("as").await;
        let ns = world.namespace.clone();
        let kubeconfig = world
            .cluster
            .service_account(&ns, "dev", &[], &rights(("", "")))
            .await;
        let user = world.as_user(kubeconfig);
        user.local_dev(&["status", "--as", "root"])
            .ended(1)
            .explains("cannot impersonate")
            .without("ClusterRole rule");
        // Whoever may do everything sees what another may not.
        let ann = format!("system:serviceaccount:{ns}:nobody");
        world
            .local_dev(&["status", "--as", &ann])
            .ended(1)
            .explains("not allowed to list");
    });
}
