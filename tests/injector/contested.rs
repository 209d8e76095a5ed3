//! Somebody else who keeps overwriting the field.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    site::{SOON, Site},
    support::{self, pki::Ca},
    world::encoded,
};

#[test]
fn whoever_keeps_overwriting_is_named_and_not_fought() {
    support::run(async {
        let site = Site::new("contest").await;
        site.config("annotations: true");
        let path = site.validating("hook", &["one"]).await;
        let quiet = site.validating("quiet", &["one"]).await;
        for path in [&path, &quiet] {
            site.annotate(path, &site.by_signer()).await;
        }
        let controller = site.start();
        let ca = site.made().await;
        site.holds(&path, &ca).await;
        site.holds(&quiet, &ca).await;
        let written = || controller.metric("injections_total", "written").unwrap();
        let before = written();
        let theirs = Ca::new("theirs").pem;
        let mut config = site.service();
        config["caBundle"] = json!(encoded(&theirs));
        let overwrite = json!({ "webhooks": [site.webhook("one.example.com", config)] });
        let began = Instant::now();
        let mut times = 0;
        while began.elapsed() < Duration::from_secs(8) {
            if site.bundles(&path).await != [theirs.clone()] {
                site.patch(&path, &overwrite).await;
                times += 1;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(times, 4, "it was put back three times and then left");
        assert_eq!(written() - before, 3.0);
        let note = site.event(&path, "CABundleContested").await;
        // The field manager of this test's patches.
        assert!(note.contains("field manager \"somebody\""), "{note}");
        controller.until_metric("injection_conflicts_total", "Validating", SOON, |n| {
            n == 4.0
        });
        // Another object is put right at once all the while.
        let reset = json!({ "webhooks": [site.webhook("one.example.com", site.service())] });
        site.patch(&quiet, &reset).await;
        site.holds_within(Duration::from_secs(5), &quiet, &ca).await;
        // After the pause it is tried again: theirs stays beside ours.
        support::eventually(SOON, || async {
            let bundles = site.bundles(&path).await;
            match bundles[0].contains(&ca) && bundles[0].contains(&theirs) {
                true => Ok(()),
                false => Err("not yet".to_owned()),
            }
        })
        .await;
        assert_eq!(site.events(&path, "CABundleContested").await.len(), 1);
    });
}
