//! A server that refuses: the message is the rule to add, and with it the command works.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::{
    World,
    support::{self, rule},
    world::last,
};

const ADMISSION: &str = "admissionregistration.k8s.io";
const EXTENSIONS: &str = "apiextensions.k8s.io";
const REGISTRATION: &str = "apiregistration.k8s.io";
const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";
const CRDS: &str = "customresourcedefinitions";
const APISERVICES: &str = "apiservices";

type Right = (&'static str, &'static str, &'static str);

/// All that `--service` and `-l` need.
const LISTED: [Right; 8] = [
    (ADMISSION, MUTATING, "list"),
    (ADMISSION, MUTATING, "patch"),
    (ADMISSION, VALIDATING, "list"),
    (ADMISSION, VALIDATING, "patch"),
    (EXTENSIONS, CRDS, "list"),
    (EXTENSIONS, CRDS, "patch"),
    (REGISTRATION, APISERVICES, "list"),
    (REGISTRATION, APISERVICES, "patch"),
];

/// All that names need.
const NAMED: [Right; 8] = [
    (ADMISSION, MUTATING, "get"),
    (ADMISSION, MUTATING, "patch"),
    (ADMISSION, VALIDATING, "get"),
    (ADMISSION, VALIDATING, "patch"),
    (EXTENSIONS, CRDS, "get"),
    (EXTENSIONS, CRDS, "patch"),
    (REGISTRATION, APISERVICES, "get"),
    (REGISTRATION, APISERVICES, "patch"),
];

fn rules(rights: &[Right], without: Option<Right>) -> Vec<PolicyRule> {
    rights
        .iter()
        .filter(|right| Some(**right) != without)
        .map(|(group, resource, verb)| rule(&[group], &[resource], &[verb]))
        .collect()
}

/// Puts another CA in the place of ours.
fn other(words: &str) -> String {
    format!("inject --cluster --ca other.crt --mode replace {words}")
}

async fn every_right_is_needed(world: &World<'static>, rights: &[Right], words: &str, names: &str) {
    let ns = world.namespace.clone();
    for (number, right) in rights.iter().enumerate() {
        let (group, resource, verb) = *right;
        let name = format!("{names}-{number}");
        let rules = rules(rights, Some(*right));
        let kubeconfig = world.cluster.service_account(&ns, &name, &[], &rules).await;
        let said = world
            .as_user(kubeconfig)
            .inject(words)
            .ended(1)
            .explains(&format!("not allowed to {verb} {resource}.{group}"))
            .explains(&format!(
                "ClusterRole rule: {{apiGroups: [{group:?}], resources: [{resource:?}], \
                 verbs: [{verb:?}]"
            ));
        if verb != "patch" {
            // What cannot be read stops everything before anything is written.
            said.prints_nothing();
        }
        // The next one has something to do again.
        world.run(&other(words)).done();
    }
    let kubeconfig = world
        .cluster
        .service_account(&ns, names, &[], &rules(rights, None))
        .await;
    world
        .as_user(kubeconfig)
        .inject(&format!("{words} --mode replace"))
        .done()
        .explains("4 caBundles in 4 objects changed");
}

#[test]
fn each_right_is_needed_and_named_when_it_is_missing() {
    support::run(async {
        let world = World::new("rights").await;
        world.write("other.crt", support::pki::Ca::new("other").pem);
        world.mutating("m", &["a"]).await;
        world.validating("v", &["b"]).await;
        world.crd().await;
        let service = world.api_service().await;
        let words = "--webhook @m --webhook @v --crd widgets.%G --apiservice v9.%G";
        every_right_is_needed(&world, &NAMED, words, "named").await;
        world.run(&other(words)).done();
        every_right_is_needed(&world, &LISTED, "--service hook.%N", "listed").await;
        world.delete(&service).await;
    });
}

#[test]
fn rights_to_one_object_alone_will_do() {
    support::run(async {
        let world = World::new("one").await;
        let crd = world.crd().await;
        let service = world.api_service().await;
        let ns = world.namespace.clone();
        let on = |group: &str, resource: &str, path: &str| {
            let mut rule = rule(&[group], &[resource], &["get", "patch"]);
            rule.resource_names = Some(vec![last(path).to_owned()]);
            rule
        };
        let rules = [
            on(EXTENSIONS, CRDS, &crd),
            on(REGISTRATION, APISERVICES, &service),
        ];
        let kubeconfig = world.cluster.service_account(&ns, "one", &[], &rules).await;
        let user = world.as_user(kubeconfig);
        user.inject("--crd widgets.%G --apiservice v9.%G").done();
        assert_eq!(world.bundles(&crd).await, [world.ca.as_str()]);
        user.inject("--crd others.%G")
            .ended(1)
            .explains("not allowed to get");
        world.delete(&service).await;
    });
}

#[test]
fn a_user_who_may_not_write_sees_what_would_change() {
    support::run(async {
        let world = World::new("viewer").await;
        world.validating("v", &["a"]).await;
        let ns = world.namespace.clone();
        let rights = [(ADMISSION, MUTATING, "get"), (ADMISSION, VALIDATING, "get")];
        let rules = rules(&rights, None);
        let kubeconfig = world
            .cluster
            .service_account(&ns, "viewer", &[], &rules)
            .await;
        let user = world.as_user(kubeconfig);
        user.inject("--webhook @v --check")
            .ended(3)
            .prints("caBundle added (dry run)");
        user.inject("--webhook @v --dry-run=server")
            .ended(1)
            .explains("verbs: [\"patch\"]");
    });
}
