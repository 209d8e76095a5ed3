//! A managed CA that is lost or damaged while the controller runs: reported, left as it is,
//! signed by no other, and repaired by the commands of `docs/rotating-a-ca.md`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    publishing::{ca, find, managed, start, until},
    support,
    user::{World, certificate, conditions},
    world::{Controller, SOON, Site},
};

fn path(site: &Site<'_>) -> String {
    format!("/api/v1/namespaces/{}/secrets/ca", site.namespace)
}

/// Nothing is signed, and the log says why.
async fn is_refused(
    site: &Site<'_>,
    controller: &mut Controller,
    pod: &World<'_>,
    name: &str,
    why: &str,
) {
    controller.process.wait_for(why, SOON);
    controller.until_metric("ca_usable", "", SOON, |usable| usable == 0.0);
    site.ask(pod, "hook", name);
    let tries = controller.metric("retries_total", "").unwrap_or_default();
    controller.until_metric("retries_total", "", SOON, |count| count >= tries + 3.0);
    let object = site.object(name).await;
    assert!(conditions(&object).is_empty(), "{name}: {object}");
}

/// The request is signed by what the Secret holds now, and clients trust it.
async fn is_signed(site: &Site<'_>, name: &str) {
    let object = site
        .until(name, "issued", |object| certificate(object).is_some())
        .await;
    site.write(&format!("{name}.crt"), certificate(&object).unwrap());
    site.write("tls.crt", ca(site, "tls.crt").await);
    assert!(site.verifies("tls.crt", &format!("{name}.crt"), &site.host("hook")));
    is_trusted(site, name).await;
}

async fn is_trusted(site: &Site<'_>, name: &str) {
    let bundle = find(site, &site.namespace).await.unwrap();
    site.write("bundle.crt", bundle["data"]["ca.crt"].as_str().unwrap());
    assert!(site.verifies("bundle.crt", &format!("{name}.crt"), &site.host("hook")));
}

#[test]
fn a_ca_that_is_deleted_is_missed_and_made_anew_by_a_person_only() {
    support::run(async {
        let (site, account) = managed("deleted", &[]).await;
        let mut controller = start(&site, &account);
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "before");
        is_signed(&site, "before").await;
        site.api("DELETE", &path(&site), &Value::Null)
            .await
            .unwrap();
        is_refused(&site, &mut controller, &pod, "after", "but there was one").await;
        assert!(site.api("GET", &path(&site), &Value::Null).await.is_err());
        is_trusted(&site, "before").await;
        site.run("ca init --secret %N/ca").done();
        is_signed(&site, "after").await;
        // Who had a certificate before is trusted on.
        is_trusted(&site, "before").await;
    });
}

#[test]
fn a_ca_that_is_cut_or_exchanged_is_left_as_it_is_until_it_is_repaired() {
    support::run(async {
        let (site, account) = managed("damaged", &[]).await;
        let mut controller = start(&site, &account);
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "before");
        is_signed(&site, "before").await;
        for (entry, file) in [("tls.crt", "backup.crt"), ("tls.key", "backup.key")] {
            site.write(file, ca(&site, entry).await);
        }
        site.run("ca init --cn Other --out-dir other").done();
        let cut = ca(&site, "tls.key").await[..60].to_owned();
        let encoded = |text: &str| Value::from(STANDARD.encode(text));
        let [cert, key] = ["other/ca.crt", "other/ca.key"].map(|file| encoded(&site.read(file)));
        let backup = "ca init --secret %N/ca --replace --ca backup.crt --ca-key backup.key";
        for (name, data, why, repair) in [
            (
                "cut",
                json!({ "tls.key": encoded(&cut) }),
                "could not read the CA key tls.key",
                backup,
            ),
            (
                "exchanged",
                json!({ "tls.crt": cert, "tls.key": key, "ca.crt": cert }),
                "somebody put another CA there",
                backup,
            ),
            (
                "garbage",
                json!({ "tls.crt": encoded("garbage") }),
                "could not read the CA certificate tls.crt",
                "ca init --secret %N/ca --replace",
            ),
        ] {
            let patch = json!({ "data": data });
            let damaged = site.api("PATCH", &path(&site), &patch).await.unwrap();
            is_refused(&site, &mut controller, &pod, name, why).await;
            let left = site.secret().await;
            assert_eq!(
                left["metadata"]["resourceVersion"],
                damaged["metadata"]["resourceVersion"]
            );
            is_trusted(&site, "before").await;
            site.run(repair).done();
            is_signed(&site, name).await;
            is_trusted(&site, "before").await;
        }
        // The other CA was never trusted by anybody.
        let other = site.read("other/ca.crt");
        let bundle = until(&site, &site.namespace, |_| true).await;
        assert!(
            !bundle["data"]["ca.crt"]
                .as_str()
                .unwrap()
                .contains(other.trim())
        );
        crate::files::assert_no_key(&controller.process.stderr());
    });
}
