//! The trust bundle as a ConfigMap for clients: made, kept, and there before a CA signs.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use crate::{
    approving::events,
    support,
    user::{certificate, conditions, decode},
    world::{Controller, SOON, Site},
};

/// What publishing needs in each of the namespaces.
pub fn publishes() -> [PolicyRule; 2] {
    let config_maps = |verbs| support::rule(&[""], &["configmaps"], verbs);
    let mut known = config_maps(&["get", "patch"]);
    known.resource_names = Some(vec!["trust".to_owned()]);
    [config_maps(&["create"]), known]
}

/// What it needs to tell a namespace that is not there from one where it may do nothing.
fn looks_for(namespaces: &[&str]) -> PolicyRule {
    let mut rule = support::rule(&[""], &["namespaces"], &["get"]);
    rule.resource_names = Some(namespaces.iter().map(|&name| name.to_owned()).collect());
    rule
}

/// Lets the account publish in another namespace.
fn grant(site: &Site<'_>, namespace: &str) {
    let metadata = json!({ "name": "keeper", "namespace": namespace });
    let api = "rbac.authorization.k8s.io";
    let role = json!({
        "apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": metadata,
        "rules": publishes(),
    });
    let binding = json!({
        "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": metadata,
        "roleRef": { "apiGroup": api, "kind": "Role", "name": "keeper" },
        "subjects": [{ "kind": "ServiceAccount", "name": "keeper", "namespace": site.namespace }],
    });
    site.cluster.apply(&format!("{role}\n---\n{binding}\n"));
}

/// The field of a signer that publishes in these namespaces.
pub fn trust_bundle(namespaces: &[&str]) -> String {
    format!(
        "    trustBundle: {{configMap: trust, namespaces: [{}]}}\n",
        namespaces.join(", ")
    )
}

fn path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// The ConfigMap, if there is one.
pub async fn find(site: &Site<'_>, namespace: &str) -> Option<Value> {
    let path = format!("{}/trust", path(namespace));
    site.api("GET", &path, &Value::Null).await.ok()
}

/// The ConfigMap once its entry satisfies.
pub async fn until(site: &Site<'_>, namespace: &str, is: impl Fn(&str) -> bool) -> Value {
    support::eventually(SOON, || async {
        let found = find(site, namespace).await.unwrap_or_default();
        match is(found["data"]["ca.crt"].as_str().unwrap_or_default()) {
            true => Ok(found),
            false => Err(format!("{namespace}: {found}")),
        }
    })
    .await
}

async fn change(site: &Site<'_>, namespace: &str, patch: Value) {
    let path = format!("{}/trust", path(namespace));
    site.api("PATCH", &path, &patch).await.unwrap();
}

/// An entry of the CA's Secret.
pub async fn ca(site: &Site<'_>, entry: &str) -> String {
    let secret = site.secret().await;
    String::from_utf8(decode(&secret["data"][entry])).unwrap()
}

/// A site with a managed CA that is published, and an account to run as.
pub async fn managed(name: &str, namespaces: &[&str]) -> (Site<'static>, PathBuf) {
    let site = Site::new(name).await;
    let mut all = vec![site.namespace.as_str()];
    all.extend(namespaces);
    let fields = format!("    limits: {{maximum: 1d}}\n{}", trust_bundle(&all));
    let looks = [looks_for(&all)];
    let account = site
        .manage("settle: 2s", &fields, (&publishes(), &looks))
        .await;
    (site, account)
}

pub fn start(site: &Site<'_>, account: &std::path::Path) -> Controller {
    site.start_with(account, "--leader-elect=false")
}

#[test]
fn the_bundle_is_made_in_each_namespace_kept_and_there_before_a_new_ca_signs() {
    support::run(async {
        let cluster = support::control_plane();
        let second = cluster.namespace("clients").await;
        let absent = format!("{second}-absent");
        let (site, account) = managed("trust", &[&second, &absent]).await;
        grant(&site, &second);
        let mut controller = start(&site, &account);
        let pod = site.pod("hook").await;
        // A namespace without clients holds nothing up, and is said once.
        site.ask(&pod, "hook", "one");
        site.until("one", "issued", |object| certificate(object).is_some())
            .await;
        let there = format!("there is no namespace \\\"{absent}\\\" yet");
        controller.process.wait_for(&there, SOON);
        let mut versions = Vec::new();
        for namespace in [&site.namespace, &second] {
            let object = find(&site, namespace).await.unwrap();
            assert_eq!(object["data"]["ca.crt"], ca(&site, "ca.crt").await);
            let label = &object["metadata"]["labels"]["app.kubernetes.io/managed-by"];
            assert_eq!(label, "certtool");
            versions.push(object["metadata"]["resourceVersion"].clone());
        }
        // Spoilt by somebody, with an entry of his own, and deleted.
        let own = ca(&site, "ca.crt").await;
        let data = json!({ "data": { "ca.crt": "garbage", "theirs": "kept" } });
        change(&site, &second, data).await;
        let object = until(&site, &second, |text| text == own).await;
        assert_eq!(object["data"]["theirs"], "kept");
        let gone = format!("{}/trust", path(&second));
        site.api("DELETE", &gone, &Value::Null).await.unwrap();
        until(&site, &second, |text| text == own).await;
        // Some looks later the other one was not written again.
        let object = find(&site, &site.namespace).await.unwrap();
        assert_eq!(object["metadata"]["resourceVersion"], versions[0]);
        let said = controller.process.stderr().matches(&there).count();
        assert_eq!(said, 1, "{}", controller.process.stderr());
        // It comes into being.
        let namespace = json!({ "metadata": { "name": absent } });
        site.api("POST", "/api/v1/namespaces", &namespace)
            .await
            .unwrap();
        controller
            .process
            .wait_for("resources: [\\\"configmaps\\\"]", SOON);
        grant(&site, &absent);
        until(&site, &absent, |text| text == own).await;

        let old = ca(&site, "tls.crt").await;
        site.run("ca rotate --secret %N/ca").done();
        let (mut looks, mut before) = (0, 0);
        loop {
            let signs = ca(&site, "tls.crt").await;
            for namespace in [&site.namespace, &second, &absent] {
                let object = find(&site, namespace).await.unwrap();
                let trusted = object["data"]["ca.crt"].as_str().unwrap();
                assert!(trusted.contains(&signs), "{namespace}: {trusted}");
                let both = trusted.matches("BEGIN").count() == 2;
                before += usize::from(both && signs == old);
            }
            looks += 1;
            if signs != old {
                break;
            }
            assert!(looks < 2000, "{}", controller.process.stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(before > 0, "never seen before it signed");
        site.ask(&pod, "hook", "two");
        let object = until(&site, &second, |_| true).await;
        site.write("ca.crt", object["data"]["ca.crt"].as_str().unwrap());
        for request in ["one", "two"] {
            site.certified(request, &site.host("hook")).await;
        }
    });
}

#[test]
fn an_entry_of_somebody_elses_is_left_alone_and_holds_the_ca_up() {
    support::run(async {
        let cluster = support::control_plane();
        let second = cluster.namespace("theirs").await;
        let (site, account) = managed("theirs", &[&second]).await;
        grant(&site, &second);
        let theirs = |data: Value| json!({ "metadata": { "name": "trust" }, "data": data });
        let taken = theirs(json!({ "ca.crt": "theirs" }));
        site.api("POST", &path(&second), &taken).await.unwrap();
        let beside = theirs(json!({ "other.crt": "theirs" }));
        site.api("POST", &path(&site.namespace), &beside)
            .await
            .unwrap();
        let mut controller = start(&site, &account);
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "hook");
        controller.process.wait_for("made by somebody else", SOON);
        controller.until_metric("retries_total", "", SOON, |count| count >= 2.0);
        assert!(conditions(&site.object("hook").await).is_empty());
        let object = until(&site, &second, |_| true).await;
        assert_eq!(object["data"], taken["data"]);
        // What is beside it is nobody's.
        let object = until(&site, &site.namespace, |text| text.contains("BEGIN")).await;
        assert_eq!(object["data"]["other.crt"], "theirs");
        assert_eq!(object["metadata"].get("labels"), None);
        let told = support::eventually(SOON, || async {
            let path = format!("/apis/events.k8s.io/v1/namespaces/{second}/events");
            let list = site.api("GET", &path, &Value::Null).await.unwrap();
            let event = list["items"][0].clone();
            (!event.is_null()).then_some(event).ok_or("none".to_owned())
        })
        .await;
        assert_eq!(told["reason"], "NotCerttools");
        assert_eq!(told["regarding"]["kind"], "ConfigMap");
        let label =
            json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "certtool" } } });
        change(&site, &second, label).await;
        let object = until(&site, &second, |text| text.contains("BEGIN")).await;
        site.write("ca.crt", object["data"]["ca.crt"].as_str().unwrap());
        site.certified("hook", &site.host("hook")).await;
        assert_eq!(events(&site, "hook").await.len(), 1);
    });
}

#[test]
fn a_ca_of_somebody_elses_is_published_too_and_what_it_replaces_stays() {
    support::run(async {
        for files in [false, true] {
            let site = Site::new("external").await;
            let secret = site.secret().await;
            site.write("ca.key", decode(&secret["data"]["tls.key"]));
            site.write("mounted/tls.crt", site.read("ca.crt"));
            site.write("mounted/tls.key", site.read("ca.key"));
            site.config(&trust_bundle(&[&site.namespace]));
            if files {
                let config = site.read("config/controller.yaml");
                let secret = format!("secret: {}/ca", site.namespace);
                let mounted = "files: {certificate: mounted/tls.crt, key: mounted/tls.key}";
                site.write("config/controller.yaml", config.replace(&secret, mounted));
            }
            // Without the rights to publish nothing is signed, and the log says which.
            let mut controller = site.start();
            let pod = site.pod("hook").await;
            site.ask(&pod, "hook", "one");
            controller
                .process
                .wait_for("resources: [\\\"configmaps\\\"]", SOON);
            controller
                .process
                .wait_for("not trusted everywhere yet", SOON);
            assert!(conditions(&site.object("one").await).is_empty());
            drop(controller);
            let own = [crate::world::own_rights().as_slice(), &publishes()].concat();
            let cluster = crate::world::rights(&site.signer());
            let account = site
                .cluster
                .service_account(&site.namespace, "publisher", &own, &cluster)
                .await;
            let _controller = start(&site, &account);
            let first = site.read("ca.crt");
            until(&site, &site.namespace, |text| text == first).await;
            site.certified("one", &site.host("hook")).await;
            // Its owner replaces it.
            site.run("ca init --cn Second --out-dir second").done();
            let second = site.read("second/ca.crt");
            match files {
                true => {
                    site.write("mounted/tls.key", site.read("second/ca.key"));
                    site.write("mounted/tls.crt", &second);
                }
                false => {
                    let ours = "ca init --secret %N/ca --replace --ca second/ca.crt --ca-key second/ca.key";
                    site.run(ours).done();
                }
            }
            let object = until(&site, &site.namespace, |text| text.contains(&second)).await;
            let both = object["data"]["ca.crt"].as_str().unwrap();
            assert!(both.contains(&first));
            site.ask(&pod, "hook", "two");
            site.write("ca.crt", both);
            site.certified("two", &site.host("hook")).await;
            assert!(site.verifies("second/ca.crt", "two.crt", &site.host("hook")));
        }
    });
}

#[test]
fn a_ca_that_is_lost_while_nobody_looks_is_known_by_the_bundle() {
    support::run(async {
        let (site, account) = managed("lost", &[]).await;
        let controller = start(&site, &account);
        let object = until(&site, &site.namespace, |text| text.contains("BEGIN")).await;
        drop(controller);
        let secret = format!("/api/v1/namespaces/{}/secrets/ca", site.namespace);
        site.api("DELETE", &secret, &Value::Null).await.unwrap();
        let mut controller = start(&site, &account);
        controller
            .process
            .wait_for("is still in a trust bundle", SOON);
        assert!(site.api("GET", &secret, &Value::Null).await.is_err());
        let after = find(&site, &site.namespace).await.unwrap();
        assert_eq!(after["data"], object["data"]);
    });
}
