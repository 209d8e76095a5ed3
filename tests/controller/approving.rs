//! Approval by policy: what is allowed, what is denied and why, what is left alone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    support,
    user::{REQUESTS, certificate, conditions},
    world::Site,
};

#[test]
fn a_pod_gets_a_certificate_for_its_service_within_a_second() {
    support::run(async {
        let site = Site::new("control").await;
        let controller = site.start();
        controller.until_ready();
        let pod = site.pod("hook").await;
        let hosts = [site.host("hook"), format!("hook.{}", site.namespace)];
        pod.csr("hook", &format!("DNS:{},DNS:{}", hosts[0], hosts[1]));
        // The pod's own client, as quick as any.
        let client = site.cluster.client(&site.path("hook.kubeconfig")).await;
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {
                "name": site.name("hook"),
                "labels": { "team": "a" }, "annotations": { "note": "kept" },
            },
            "spec": {
                "request": base64(pod.read("hook.csr")),
                "signerName": site.signer(),
                "usages": ["digital signature", "key encipherment", "server auth"],
                "expirationSeconds": 3600,
            },
        });
        let post = http::Request::post(REQUESTS)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        let began = Instant::now();
        let _: Value = client.request(post).await.unwrap();
        let object = loop {
            let object = site.object("hook").await;
            if certificate(&object).is_some() {
                break object;
            }
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{}",
                object["status"]
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        for host in hosts {
            site.certified("hook", &host).await;
        }
        assert!(!site.verifies("ca.crt", "hook.crt", "hook.kube-system.svc"));
        assert_eq!(conditions(&object), ["Approved"]);
        let approval = &object["status"]["conditions"][0];
        assert_eq!(approval["reason"], "AllowedByPolicy");
        // Everything else of the object is as it was.
        assert_eq!(object["metadata"]["labels"], json!({ "team": "a" }));
        assert_eq!(object["metadata"]["annotations"], json!({ "note": "kept" }));
        let life = site.not_after("hook.crt") - crate::files::now();
        assert!((3500..=3600).contains(&life), "{life}");
        controller.until_metric(
            "requests_total",
            "outcome=\"issued\"",
            crate::world::SOON,
            |n| n == 1.0,
        );
        controller.until_metric(
            "issue_duration_seconds_count",
            "",
            crate::world::SOON,
            |n| n == 1.0,
        );
    });
}

fn base64(text: String) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn forged_requests_are_denied_and_told_why() {
    support::run(async {
        let site = Site::new("forged").await;
        let controller = site.start();
        let pod = site.pod("hook").await;
        site.service("other").await;
        let own = site.host("hook");
        for (name, names, reason, words) in [
            (
                "foreign",
                "DNS:hook.kube-system.svc".to_owned(),
                "NameNotAllowed",
                "hook.kube-system.svc",
            ),
            (
                "neighbour",
                format!("DNS:{}", site.host("other")),
                "ServiceDoesNotSelectPod",
                "other",
            ),
            (
                "wildcard",
                format!("DNS:*.{}.svc", site.namespace),
                "NameNotAllowed",
                "*.",
            ),
            (
                "address",
                format!("DNS:{own},IP:10.0.0.1"),
                "NameNotAllowed",
                "10.0.0.1",
            ),
            (
                "mail",
                format!("DNS:{own},email:a@b.c"),
                "NameNotAllowed",
                "a@b.c",
            ),
        ] {
            if name == "neighbour" {
                // A Service that does not select the pod may do so later: no waiting here.
                site.config("    waitForObjects: 0s\n");
                controller.until_metric(
                    "config_reloads_total",
                    "success",
                    crate::world::SOON,
                    |n| n == 2.0,
                );
            }
            pod.csr(name, &names);
            pod.run(&format!("submit {name}.csr --name @{name} --signer %S"))
                .done();
            let condition = site.denied(name).await;
            assert_eq!(condition["reason"], reason, "{condition}");
            let message = condition["message"].as_str().unwrap();
            assert!(message.contains(words), "{name}: {message}");
        }
        let events = events(&site, "foreign").await;
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["type"], "Warning");
        assert_eq!(events[0]["reason"], "NameNotAllowed");
        assert_eq!(
            events[0]["regarding"]["uid"],
            site.object("foreign").await["metadata"]["uid"]
        );
        let log = controller.process.stderr();
        let line = log.lines().find(|line| line.contains("denied: ")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["uid"], site.object("foreign").await["metadata"]["uid"]);
        crate::files::assert_no_key(&log);
    });
}

/// The Events about a request, once there are some.
pub async fn events(site: &Site<'_>, request: &str) -> Vec<Value> {
    let name = site.name(request);
    support::eventually(crate::world::SOON, || async {
        let path = "/apis/events.k8s.io/v1/namespaces/default/events";
        let list = site.api("GET", path, &Value::Null).await.unwrap();
        let events: Vec<Value> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["regarding"]["name"] == name)
            .cloned()
            .collect();
        if events.is_empty() {
            return Err(format!("no Event about {name}"));
        }
        Ok(events)
    })
    .await
}

#[test]
fn a_service_that_comes_later_is_waited_for() {
    support::run(async {
        let site = Site::new("later").await;
        let controller = site.start();
        let pod = site.pod_without_service("hook").await;
        site.ask(&pod, "hook", "early");
        controller.until_metric("retries_total", "", crate::world::SOON, |count| {
            count >= 2.0
        });
        assert!(conditions(&site.object("early").await).is_empty());
        site.service("hook").await;
        site.certified("early", &site.host("hook")).await;
    });
}

#[test]
fn a_service_that_never_comes_is_a_denial_after_the_configured_time() {
    support::run(async {
        let site = Site::new("never").await;
        site.config("    waitForObjects: 3s\n");
        let _controller = site.start();
        let pod = site.pod_without_service("hook").await;
        site.ask(&pod, "hook", "lost");
        let began = Instant::now();
        let condition = site.denied("lost").await;
        assert_eq!(condition["reason"], "ServiceDoesNotSelectPod");
        assert!(
            began.elapsed() >= Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn requests_of_other_signers_are_not_touched() {
    support::run(async {
        let site = Site::new("others").await;
        let controller = site.start();
        let pod = site.pod("hook").await;
        pod.csr("theirs", &format!("DNS:{}", site.host("hook")));
        pod.run("submit theirs.csr --name @theirs --signer %N.example.com/other")
            .done();
        site.ask(&pod, "hook", "mine");
        site.certified("mine", &site.host("hook")).await;
        let theirs = site.object("theirs").await;
        assert_eq!(theirs["status"], json!({}), "{theirs}");
        controller.until_metric("requests_total", "approved", crate::world::SOON, |n| {
            n == 1.0
        });
    });
}

#[test]
fn a_requester_whom_no_rule_is_about_is_left_to_others_if_the_policy_says_so() {
    support::run(async {
        let site = Site::new("ignore").await;
        site.config(
            "    policy:\n      otherRequesters: Ignore\n      rules:\n        - name: pods\n          \
             requester: {serviceAccounts: [\"*/*\"]}\n          names: {services: [\"*.{namespace}\"]}\n          \
             usages: {allowed: [digital signature, key encipherment, server auth]}\n          \
             keys: [ecdsa-p256]\n          lifetime: {maximum: 1d, whenAbsent: Maximum}\n",
        );
        let controller = site.start();
        // The administrator is no service account.
        site.submitted("admin");
        controller.until_metric(
            "requests_total",
            "outcome=\"left\"",
            crate::world::SOON,
            |count| count == 1.0,
        );
        assert!(conditions(&site.object("admin").await).is_empty());
        site.run("approve @admin").done();
        site.certified("admin", "admin.shop.svc").await;
    });
}

/// A ClusterRole that lets a service account ask a signer.
fn grant(site: &Site<'_>, account: &str, signer: &str) {
    let role = format!("{}-{account}-asks", site.namespace);
    site.cluster.apply(&format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {role}}}, rules: [\
         {{apiGroups: [certificates.k8s.io], resources: [signers], verbs: [request], resourceNames: [{signer}]}}]}}\n\
         ---\n\
         {{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: {role}}}, \
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}, \
         subjects: [{{kind: ServiceAccount, name: {account}, namespace: {}}}]}}\n",
        site.namespace
    ));
}

#[test]
fn a_requester_needs_leave_from_rbac_if_the_policy_says_so() {
    support::run(async {
        let site = Site::new("access").await;
        site.config(
            "    waitForObjects: 0s\n    policy:\n      rules:\n        - name: pods\n          \
             requester: {serviceAccounts: [\"*/*\"], accessReview: true}\n          \
             names: {services: [\"*.{namespace}\"]}\n          \
             usages: {allowed: [digital signature, key encipherment, server auth]}\n          \
             keys: [ecdsa-p256]\n          lifetime: {maximum: 1d, whenAbsent: Maximum}\n",
        );
        let mut controller = site.start();
        let granted = site.pod("granted").await;
        let other = site.pod("other").await;
        let none = site.pod("none").await;
        grant(&site, "granted", &site.signer());
        grant(&site, "other", "example.com/another");
        // Without the right to ask, nobody is let in and nobody is turned away.
        site.ask(&granted, "granted", "one");
        let missing = "resources: [\\\"subjectaccessreviews\\\"]";
        controller.process.wait_for(missing, crate::world::SOON);
        assert!(conditions(&site.object("one").await).is_empty());
        site.cluster.apply(&format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: {0}-reviews}}, \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: \"system:auth-delegator\"}}, \
             subjects: [{{kind: ServiceAccount, name: controller, namespace: {0}}}]}}\n",
            site.namespace
        ));
        site.certified("one", &site.host("granted")).await;
        for (pod, name) in [(&other, "other"), (&none, "none")] {
            site.ask(pod, name, name);
            let condition = site.denied(name).await;
            assert_eq!(condition["reason"], "SignerAccessDenied", "{name}");
            let message = condition["message"].as_str().unwrap();
            assert!(message.contains("the verb \"request\""), "{message}");
        }
        // A denial is for ever, the next request is another one.
        grant(&site, "none", &site.signer());
        let mut attempt = 0;
        support::eventually(crate::world::SOON, || {
            attempt += 1;
            let name = format!("again{attempt}");
            let (site, none) = (&site, &none);
            async move {
                site.ask(none, "none", &name);
                let ended = |object: &Value| !conditions(object).is_empty();
                let object = site.until(&name, "decided", ended).await;
                match conditions(&object).contains(&"Approved") {
                    true => Ok(()),
                    false => Err(object["status"].to_string()),
                }
            }
        })
        .await;
    });
}
