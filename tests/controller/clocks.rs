//! The clock of the controller's machine is set wrong while it runs.

use std::time::Duration;

use crate::{
    publishing::{ca, find, managed, until},
    support::{self, Clock},
    user::conditions,
    world::{SOON, Site},
};

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;

/// The request's certificate, by which anybody with the published bundle is convinced now.
async fn is_signed(site: &Site<'_>, name: &str) {
    let bundle = find(site, &site.namespace).await.unwrap();
    site.write("ca.crt", bundle["data"]["ca.crt"].as_str().unwrap());
    site.certified(name, &site.host("hook")).await;
}

#[test]
fn a_clock_that_jumps_signs_nothing_wrong_and_drops_no_ca() {
    support::run(async {
        let (site, account) = managed("clock", &[]).await;
        let clock = Clock::new();
        let mut controller = site.start_changed(&account, "--leader-elect=false", |command| {
            clock.rule(command);
        });
        let pod = site.pod("hook").await;
        until(&site, &site.namespace, |text| text.contains("BEGIN")).await;
        site.ask(&pod, "hook", "right");
        is_signed(&site, "right").await;
        // Wrong by less than clocks may be: nobody is held up.
        for (name, shift) in [("ahead", 60 * SECOND), ("behind", -60 * SECOND)] {
            clock.set(shift);
            site.ask(&pod, "hook", name);
            is_signed(&site, name).await;
        }
        clock.set(0);
        for (name, shift) in [("early", 3 * HOUR), ("late", -3 * HOUR)] {
            let old = ca(&site, "tls.crt").await;
            clock.set(shift);
            controller.process.wait_for("the API server's are 10", SOON);
            controller.until_metric("ca_usable", "", SOON, |usable| usable == 0.0);
            site.ask(&pod, "hook", name);
            // Asked for by somebody whose clock is right.
            site.run("ca rotate --secret %N/ca").done();
            let before = site.secret().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(conditions(&site.object(name).await).is_empty());
            assert_eq!(
                site.secret().await,
                before,
                "nothing is begun by a wrong clock"
            );
            // Set right, everything goes on: the signature and the rotation.
            clock.set(0);
            site.until(name, "issued", |object| {
                crate::user::certificate(object).is_some()
            })
            .await;
            support::eventually(SOON, || async {
                let new = ca(&site, "tls.crt").await;
                (new != old).then_some(()).ok_or("not rotated".to_owned())
            })
            .await;
            is_signed(&site, name).await;
            is_signed(&site, "right").await;
        }
        // Two CAs that sign no more are trusted for another day: not by this clock.
        let trusted = find(&site, &site.namespace).await.unwrap();
        let trusted = trusted["data"]["ca.crt"].as_str().unwrap().to_owned();
        assert_eq!(trusted.matches("BEGIN").count(), 3);
        let before = site.secret().await;
        clock.set(3 * 24 * HOUR);
        controller.until_metric("ca_usable", "", SOON, |usable| usable == 0.0);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(site.secret().await, before);
        let after = find(&site, &site.namespace).await.unwrap();
        assert_eq!(after["data"]["ca.crt"], trusted);
        for name in ["right", "ahead", "behind", "early", "late"] {
            is_signed(&site, name).await;
        }
    });
}

#[test]
fn no_first_ca_is_made_by_a_wrong_clock() {
    support::run(async {
        let (site, account) = managed("first", &[]).await;
        let clock = Clock::new();
        clock.set(3 * HOUR);
        let mut controller = site.start_changed(&account, "--leader-elect=false", |command| {
            clock.rule(command);
        });
        controller
            .process
            .wait_for("no CA is made with such dates", SOON);
        let path = format!("/api/v1/namespaces/{}/secrets/ca", site.namespace);
        let found = site.api("GET", &path, &serde_json::Value::Null).await;
        assert!(found.is_err());
        clock.set(0);
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "hook");
        until(&site, &site.namespace, |text| text.contains("BEGIN")).await;
        is_signed(&site, "hook").await;
    });
}
