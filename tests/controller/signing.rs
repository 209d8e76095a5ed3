//! Signing what others approve, and what can never be signed.

use base64::Engine;
use serde_json::json;

use crate::{
    support,
    user::{certificate, conditions},
    world::Site,
};

const ONLY_SIGNS: &str = "    approve: false\n    limits: {maximum: 2d, default: 1d}\n";

#[test]
fn what_others_approve_is_signed_as_kube_controller_manager_signs() {
    support::run(async {
        let site = Site::new("approved").await;
        site.config(ONLY_SIGNS);
        let controller = site.start();
        site.csr("hook", "DNS:hook.shop.svc,IP:10.0.0.1");
        site.run("submit hook.csr --name @hook --signer %S --expiration 90d")
            .done();
        controller.until_ready();
        assert!(
            conditions(&site.object("hook").await).is_empty(),
            "it approves nothing"
        );
        site.run("approve @hook").done();
        site.certified("hook", "hook.shop.svc").await;
        site.certified("hook", "10.0.0.1").await;
        // Clamped to the maximum, five minutes of which lie in the past.
        let life = site.not_after("hook.crt") - crate::files::now();
        assert!((172_400..=172_500).contains(&life), "{life}");
        let extensions = site.x509("hook.crt", "-ext basicConstraints,extendedKeyUsage");
        assert!(extensions.contains("CA:FALSE"), "{extensions}");
        assert!(
            extensions.contains("TLS Web Server Authentication"),
            "{extensions}"
        );
        assert!(!extensions.contains("Client"), "{extensions}");
    });
}

#[test]
fn what_can_never_be_signed_fails_and_says_why() {
    support::run(async {
        let site = Site::new("fails").await;
        site.config(ONLY_SIGNS);
        let controller = site.start();
        site.csr("good", "DNS:good.shop.svc");
        let csr = site.read("good.csr");
        site.create("client", csr.as_bytes(), &["client auth"])
            .await
            .unwrap();
        site.openssl("req -new -newkey rsa:1024 -nodes -keyout weak.key -out weak.csr -subj / -addext subjectAltName=DNS:weak.shop.svc");
        site.create("weak", site.read("weak.csr").as_bytes(), &["server auth"])
            .await
            .unwrap();
        for (name, why) in [("client", "client auth"), ("weak", "RSA")] {
            site.run(&format!("approve @{name}"));
            site.approve(name).await;
            let object = site
                .until(name, "failed", |object| {
                    conditions(object).contains(&"Failed")
                })
                .await;
            assert_eq!(conditions(&object), ["Approved", "Failed"]);
            assert_eq!(certificate(&object), None);
            let failed = &object["status"]["conditions"][1];
            assert_eq!(failed["reason"], "SignerValidationFailure");
            assert!(
                failed["message"].as_str().unwrap().contains(why),
                "{failed}"
            );
        }
        controller.until_metric(
            "requests_total",
            "outcome=\"failed\"",
            crate::world::SOON,
            |n| n == 2.0,
        );
        // The next one is signed as ever.
        site.approved("next");
        site.certified("next", "next.shop.svc").await;
    });
}

impl Site<'_> {
    /// Approves as somebody who does not look.
    async fn approve(&self, name: &str) {
        let object = self.object(name).await;
        if !conditions(&object).is_empty() {
            return;
        }
        let mut object = object;
        object["status"]["conditions"] = json!([{
            "type": "Approved", "status": "True", "reason": "KubectlApprove", "message": "x",
        }]);
        let path = format!("{}/{}/approval", crate::user::REQUESTS, self.name(name));
        self.api("PUT", &path, &object).await.unwrap();
    }
}

#[test]
fn a_request_that_does_not_parse_stops_nobody() {
    support::run(async {
        let site = Site::new("unparsed").await;
        let _controller = site.start();
        let pod = site.pod("hook").await;
        // The API server reads the first block alone; certtool takes one block and no more.
        pod.csr("one", &format!("DNS:{}", site.host("hook")));
        let twice = format!("{0}{0}", pod.read("one.csr"));
        let client = site.cluster.client(&site.path("hook.kubeconfig")).await;
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": { "name": site.name("twice") },
            "spec": {
                "request": base64::engine::general_purpose::STANDARD.encode(twice),
                "signerName": site.signer(), "usages": ["server auth"],
            },
        });
        let post = http::Request::post(crate::user::REQUESTS)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        client.request::<serde_json::Value>(post).await.unwrap();
        let condition = site.denied("twice").await;
        assert_eq!(condition["reason"], "MalformedRequest", "{condition}");
        site.ask(&pod, "hook", "good");
        site.certified("good", &site.host("hook")).await;
    });
}

#[test]
fn without_a_ca_nothing_is_approved_and_everything_is_once_it_is_there() {
    support::run(async {
        let site = Site::new("noca").await;
        let path = format!("/api/v1/namespaces/{}/secrets/ca", site.namespace);
        site.api("DELETE", &path, &serde_json::Value::Null)
            .await
            .unwrap();
        let mut controller = site.start();
        controller
            .process
            .wait_for("there is no Secret", crate::world::SOON);
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "hook");
        controller.until_metric("retries_total", "", crate::world::SOON, |count| {
            count >= 1.0
        });
        assert!(conditions(&site.object("hook").await).is_empty());
        controller.until_metric("ca_usable", "", crate::world::SOON, |n| n == 0.0);
        site.run("ca init --secret %N/ca").done();
        let ca = site
            .api("GET", &path, &serde_json::Value::Null)
            .await
            .unwrap();
        site.write("ca.crt", crate::user::decode(&ca["data"]["tls.crt"]));
        site.certified("hook", &site.host("hook")).await;
        controller.until_metric("ca_usable", "", crate::world::SOON, |n| n == 1.0);
    });
}

#[test]
fn a_managed_ca_is_made_on_first_start_by_one_of_two_replicas_and_rotates_on_demand() {
    support::run(async {
        let site = Site::new("managed").await;
        let account = site
            .manage(
                "life: 30d, settle: 2s",
                "    limits: {maximum: 1d}\n",
                (&[], &[]),
            )
            .await;
        let elect = "--leader-elect --lease-duration 6s";
        let (first, second) = (
            site.start_with(&account, elect),
            site.start_with(&account, elect),
        );
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "one");
        site.until("one", "issued", |object| certificate(object).is_some())
            .await;
        let trust = async || {
            let ca = site.secret().await;
            site.write("ca.crt", crate::user::decode(&ca["data"]["ca.crt"]));
            crate::user::decode(&ca["data"]["tls.crt"])
        };
        let old = trust().await;
        site.certified("one", &site.host("hook")).await;
        site.run("ca rotate --secret %N/ca").done();
        let new = support::eventually(crate::world::SOON, || async {
            let now = trust().await;
            (now != old).then_some(now).ok_or("not rotated".to_owned())
        })
        .await;
        site.ask(&pod, "hook", "two");
        site.certified("two", &site.host("hook")).await;
        site.write("new.crt", new);
        site.certified("one", &site.host("hook")).await;
        assert!(site.verifies("new.crt", "two.crt", &site.host("hook")));
        assert!(!site.verifies("new.crt", "one.crt", &site.host("hook")));
        drop((first, second));
    });
}
