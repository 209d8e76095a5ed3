//! Watches that break off, an API server that goes away, and changes that nobody tells of.

use std::time::Duration;

use serde_json::json;

use crate::{
    faulty::{Fault, Proxy},
    site::{SOON, Site},
    support::{self, ControlPlane},
    user,
};

const AT_ONCE: Duration = Duration::from_secs(5);

async fn reset(site: &Site<'_>, path: &str) {
    let webhooks = json!({ "webhooks": [site.webhook("one.example.com", site.service())] });
    site.patch(path, &webhooks).await;
}

/// A way to the API server for the controller.
async fn proxy<'a>(site: &Site<'a>, cluster: &'a ControlPlane) -> (Proxy, user::World<'a>) {
    let world = user::World::on(cluster, "proxy").await;
    (Proxy::new(&world, &site.kubeconfig), world)
}

#[test]
fn a_watch_whose_version_is_too_old_goes_on() {
    support::run(async {
        let cluster = support::control_plane();
        let site = Site::new("gone").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        let (proxy, _home) = proxy(&site, cluster).await;
        let controller = site.start_as(&proxy.kubeconfig(), "--leader-elect=false");
        let ca = site.made().await;
        proxy.set(Fault::gone().at_most(20));
        controller.until_metric(
            "injection_watch_restarts_total",
            "",
            Duration::from_secs(60),
            |n| n >= 1.0,
        );
        site.annotate(&path, &site.by_signer()).await;
        site.holds(&path, &ca).await;
    });
}

#[test]
fn what_no_watch_tells_is_found_by_the_periodic_check() {
    support::run(async {
        let cluster = support::control_plane();
        let site = Site::new("periodic").await;
        site.config("annotations: true, checkEvery: 3s");
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_signer()).await;
        let (proxy, _home) = proxy(&site, cluster).await;
        let _controller = site.start_as(&proxy.kubeconfig(), "--leader-elect=false");
        let ca = site.made().await;
        site.holds(&path, &ca).await;
        // Watches that are renewed from now on never answer; those that are open end soon.
        proxy.set(Fault::hang("watch="));
        tokio::time::sleep(Duration::from_secs(50)).await;
        reset(&site, &path).await;
        site.holds_within(Duration::from_secs(10), &path, &ca).await;
    });
}

#[test]
fn a_write_whose_answer_is_lost_is_not_taken_for_somebody_elses() {
    support::run(async {
        let cluster = support::control_plane();
        let site = Site::new("lost").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_signer()).await;
        let (proxy, _home) = proxy(&site, cluster).await;
        proxy.set(Fault::lose_answer("validatingwebhookconfigurations/").at_most(3));
        let controller = site.start_as(&proxy.kubeconfig(), "--leader-elect=false");
        let ca = site.made().await;
        site.holds(&path, &ca).await;
        for _ in 0..2 {
            proxy.set(Fault::lose_answer("validatingwebhookconfigurations/").at_most(2));
            reset(&site, &path).await;
            site.holds(&path, &ca).await;
        }
        proxy.set(Fault::none());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(
            controller
                .metric("injection_conflicts_total", "")
                .unwrap_or(0.0)
                <= 2.0
        );
        assert!(site.events(&path, "CABundleContested").await.is_empty());
    });
}

#[test]
fn an_api_server_that_restarts_interrupts_nothing_for_good() {
    support::run(async {
        let cluster = ControlPlane::dedicated();
        let site = Site::on(&cluster, "restart").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        site.annotate(&path, &site.by_signer()).await;
        let controller = site.start();
        let ca = site.made().await;
        site.holds(&path, &ca).await;
        for kill in [false, true] {
            match kill {
                true => cluster.kill_api_server(),
                false => cluster.stop_api_server(),
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            cluster.start_api_server();
            reset(&site, &path).await;
            site.holds(&path, &ca).await;
        }
        // The watches are back, and not only the periodic check.
        reset(&site, &path).await;
        site.holds_within(AT_ONCE, &path, &ca).await;
        assert_eq!(controller.get("/readyz").0, 200);
        site.run("ca rotate --secret %N/ca").done();
        support::eventually(SOON, || async {
            match site.ca().await.unwrap() == ca {
                true => Err("not switched".to_owned()),
                false => Ok(()),
            }
        })
        .await;
    });
}
