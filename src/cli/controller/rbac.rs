//! The rights that a configuration of the controller needs, and no others, as manifests.

use serde_json::Value;

use crate::NamespacedName;
use crate::cli::rbac::Rules;
use crate::controller::config::{
    AuthoritySource, BundleSource, Config, Injection, Signer, Target, TrustBundle,
};
use crate::injectable::Kind;
use crate::policy::Lookups;

const REQUESTS: &str = "certificates.k8s.io";
const SECRETS: (&str, &[&str]) = ("", &["secrets"]);
const CONFIG_MAPS: (&str, &[&str]) = ("", &["configmaps"]);
const LEASES: (&str, &[&str]) = ("coordination.k8s.io", &["leases"]);
const EVENTS: (&str, &[&str]) = ("events.k8s.io", &["events"]);
/// Where Events about objects in no namespace are.
const DEFAULT: &str = "default";

/// Roles and their bindings; `lease` is what the replicas elect their leader by.
pub(super) fn manifests(
    config: &Config,
    lease: Option<&NamespacedName>,
    account: &NamespacedName,
) -> Vec<Value> {
    let mut rules = Rules::default();
    requests(&mut rules, &config.signers);
    let bundles = config
        .signers
        .iter()
        .filter_map(|s| s.trust_bundle.as_ref());
    for signer in &config.signers {
        authority(&mut rules, &signer.authority);
    }
    for bundle in bundles.clone() {
        trust_bundle(&mut rules, bundle);
    }
    let mut published: Vec<&str> = bundles
        .clone()
        .flat_map(|bundle| bundle.namespaces.iter().map(String::as_str))
        .collect();
    published.sort_unstable();
    published.dedup();
    if !published.is_empty() {
        rules.add(None, ("", &["namespaces"]), &["get"], &published);
    }
    injection(&mut rules, &config.injection);
    if let Some(lease) = lease {
        let namespace = Some(lease.namespace.as_str());
        rules.add(namespace, LEASES, &["get", "patch"], &[&lease.name]);
        // A create cannot be limited by name.
        rules.add(namespace, LEASES, &["create"], &[]);
    }
    if config.observability.events {
        // About requests and webhooks, and there is nothing else to do.
        rules.add(Some(DEFAULT), EVENTS, &["create"], &[]);
        let namespaces = bundles.flat_map(|bundle| &bundle.namespaces);
        for namespace in namespaces.chain([&account.namespace]) {
            rules.add(Some(namespace), EVENTS, &["create"], &[]);
        }
    }
    rules.manifests("certtool", account)
}

/// What is needed to decide and to sign.
fn requests(rules: &mut Rules, signers: &[Signer]) {
    if signers.is_empty() {
        return;
    }
    let of = |resources: &'static [&'static str]| (REQUESTS, resources);
    let all: Vec<&str> = signers.iter().map(Signer::name).collect();
    let approving = signers.iter().filter(|signer| signer.approve);
    let approves: Vec<&str> = approving.clone().map(Signer::name).collect();
    let watched = of(&["certificatesigningrequests"]);
    rules.add(None, watched, &["get", "list", "watch"], &[]);
    if !approves.is_empty() {
        let approval = of(&["certificatesigningrequests/approval"]);
        rules.add(None, approval, &["update"], &[]);
        rules.add(None, of(&["signers"]), &["approve"], &approves);
    }
    let status = of(&["certificatesigningrequests/status"]);
    rules.add(None, status, &["update"], &[]);
    rules.add(None, of(&["signers"]), &["sign"], &all);
    let asked = approving.map(|signer| signer.policy().lookups());
    let asked = asked.fold(Lookups::default(), |one, other| Lookups {
        services: one.services || other.services,
        pods: one.pods || other.pods,
        access: one.access || other.access,
    });
    if asked.services {
        rules.add(None, ("", &["services"]), &["get"], &[]);
    }
    if asked.pods {
        rules.add(None, ("", &["pods"]), &["get"], &[]);
    }
    if asked.access {
        let reviews = ("authorization.k8s.io", ["subjectaccessreviews"].as_slice());
        rules.add(None, reviews, &["create"], &[]);
    }
}

fn trust_bundle(rules: &mut Rules, bundle: &TrustBundle) {
    for namespace in &bundle.namespaces {
        let namespace = Some(namespace.as_str());
        let verbs = ["get", "patch"];
        rules.add(namespace, CONFIG_MAPS, &verbs, &[&bundle.config_map]);
        rules.add(namespace, CONFIG_MAPS, &["create"], &[]);
    }
}

/// What is needed to keep caBundles. Which Secrets annotations name, nobody knows beforehand.
fn injection(rules: &mut Rules, injection: &Injection) {
    let by_annotation = injection.annotations || injection.cert_manager_annotations;
    for kind in Kind::ALL {
        let of_kind = |target: &&Target| Kind::from(target.kind) == kind;
        let targets = || injection.targets.iter().filter(of_kind);
        if !by_annotation && targets().next().is_none() {
            continue;
        }
        if by_annotation || targets().any(|t| t.names.is_empty()) {
            let verbs = ["get", "list", "watch", "patch"];
            rules.add_injectable(kind, &verbs, &[]);
            continue;
        }
        let names = targets().flat_map(|t| &t.names).map(String::as_str);
        let names: Vec<&str> = names.collect();
        rules.add_injectable(kind, &["list", "watch"], &[]);
        rules.add_injectable(kind, &["get", "patch"], &names);
    }
    for target in &injection.targets {
        if let BundleSource::Secret(secret) = &target.source {
            let verbs = ["get", "list", "watch"];
            rules.add(Some(&secret.namespace), SECRETS, &verbs, &[&secret.name]);
        }
    }
}

fn authority(rules: &mut Rules, authority: &AuthoritySource) {
    match authority {
        AuthoritySource::Managed(managed) => {
            let secret = &managed.secret;
            let namespace = Some(secret.namespace.as_str());
            rules.add(namespace, SECRETS, &["get", "patch"], &[&secret.name]);
            rules.add(namespace, SECRETS, &["create"], &[]);
        }
        AuthoritySource::Secret(secret) => {
            rules.add(Some(&secret.namespace), SECRETS, &["get"], &[&secret.name]);
        }
        AuthoritySource::Files { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(signers: &str, role: &str, namespace: &Value) -> Vec<String> {
        let text =
            format!("apiVersion: certtool.dev/v1alpha1\nkind: ControllerConfig\n{signers}\n");
        let config = Config::from_yaml(&text).unwrap();
        let name = |text: &str| text.parse::<NamespacedName>().unwrap();
        let objects = manifests(&config, Some(&name("ops/lease")), &name("ops/bot"));
        let mut found = objects.iter().filter(|object| {
            object["kind"] == role && object["metadata"]["namespace"] == *namespace
        });
        let rules = found.next().map_or_else(Vec::new, |object| {
            assert_eq!(objects.len() % 2, 0);
            object["rules"].as_array().unwrap().clone()
        });
        let words = |value: &Value| -> Vec<String> {
            let words = value.as_array().into_iter().flatten();
            words
                .map(|word| word.as_str().unwrap().to_owned())
                .collect()
        };
        let line = |rule: &Value| {
            let fields = ["resources", "verbs", "resourceNames"].map(|field| words(&rule[field]));
            fields.map(|words| words.join(",")).join(" ")
        };
        rules.iter().map(line).collect()
    }

    #[test]
    fn a_signer_takes_the_rights_that_its_policy_and_its_ca_need() {
        let shipped = "signers: [{name: a.io/x, authority: {managed: {secret: ca/one}}}]";
        assert_eq!(
            rules(shipped, "ClusterRole", &Value::Null),
            [
                "certificatesigningrequests get,list,watch ",
                "certificatesigningrequests/approval update ",
                "signers approve a.io/x",
                "certificatesigningrequests/status update ",
                "signers sign a.io/x",
                "services get ",
                "pods get ",
            ]
        );
        assert_eq!(
            rules(shipped, "Role", &json!("ca")),
            ["secrets get,patch one", "secrets create "]
        );
        assert_eq!(
            rules(shipped, "Role", &json!("ops")),
            ["leases get,patch lease", "leases create ", "events create "]
        );
        assert_eq!(
            rules(shipped, "Role", &json!("default")),
            ["events create "]
        );
    }

    #[test]
    fn a_trust_bundle_takes_rights_where_it_is_published() {
        let published = "signers: [{name: a.io/x, authority: {secret: ca/one}, \
                         trustBundle: {configMap: trust, namespaces: [shop, ops]}}]";
        let cluster = rules(published, "ClusterRole", &Value::Null);
        assert_eq!(cluster.last().unwrap(), "namespaces get ops,shop");
        let bundle = ["configmaps get,patch trust", "configmaps create "];
        let events = "events create ";
        assert_eq!(
            rules(published, "Role", &json!("shop")),
            [bundle.as_slice(), &[events]].concat()
        );
        let lease = ["leases get,patch lease", "leases create "];
        assert_eq!(
            rules(published, "Role", &json!("ops")),
            [bundle.as_slice(), &lease, &[events]].concat()
        );
    }

    #[test]
    fn injection_takes_rights_on_what_is_chosen() {
        let named = "injection: {targets: [\
                     {kind: CustomResourceDefinition, names: [a.b, c.d], secret: shop/tls}, \
                     {kind: APIService, selector: x=y, secret: shop/tls}]}";
        assert_eq!(
            rules(named, "ClusterRole", &Value::Null),
            [
                "customresourcedefinitions list,watch ",
                "customresourcedefinitions get,patch a.b,c.d",
                "apiservices get,list,watch,patch ",
            ]
        );
        assert_eq!(
            rules(named, "Role", &json!("shop")),
            ["secrets get,list,watch tls"]
        );
        assert_eq!(rules(named, "Role", &json!("default")), ["events create "]);
        let annotated = "injection: {annotations: true}";
        let all = rules(annotated, "ClusterRole", &Value::Null);
        assert_eq!(all.len(), 4);
        assert_eq!(all[3], "apiservices get,list,watch,patch ");
    }

    #[test]
    fn what_is_switched_off_takes_no_right() {
        let signs = "signers: [{name: a.io/x, approve: false, authority: {secret: ops/one}}]\n\
                     observability: {events: false}";
        assert_eq!(
            rules(signs, "ClusterRole", &Value::Null),
            [
                "certificatesigningrequests get,list,watch ",
                "certificatesigningrequests/status update ",
                "signers sign a.io/x",
            ]
        );
        assert_eq!(
            rules(signs, "Role", &json!("ops")),
            [
                "secrets get one",
                "leases get,patch lease",
                "leases create "
            ]
        );
        assert!(rules(signs, "Role", &json!("default")).is_empty());
    }

    #[test]
    fn a_policy_that_asks_for_access_takes_that_right() {
        let reviews = "signers: [{name: a.io/x, authority: {files: {certificate: c, key: k}}, \
                       policy: {rules: [{name: r, requester: {groups: [devs], accessReview: true}, \
                       names: {dns: [x.y]}, usages: {allowed: [server auth]}, \
                       keys: [ecdsa-p256], lifetime: {maximum: 1d}}]}}]";
        let cluster = rules(reviews, "ClusterRole", &Value::Null);
        assert_eq!(cluster.last().unwrap(), "subjectaccessreviews create ");
        assert!(!cluster.iter().any(|rule| rule.contains("services")));
        assert!(rules(reviews, "Role", &json!("ca")).is_empty());
    }
}
