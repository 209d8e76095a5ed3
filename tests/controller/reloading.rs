//! The configuration's file changes while the controller runs.

use std::{fs, os::unix::fs::symlink};

use crate::{
    support,
    user::conditions,
    world::{SOON, Site},
};

#[test]
fn a_change_is_taken_over_and_a_bad_one_is_refused_aloud() {
    support::run(async {
        let site = Site::new("reload").await;
        site.config("    approve: false\n");
        let mut controller = site.start();
        controller.until_ready();
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "hook");
        site.config("    aproove: true\n");
        controller.until_metric("config_reloads_total", "failure", SOON, |count| {
            count == 1.0
        });
        assert_eq!(
            controller.metric("config_last_reload_successful", ""),
            Some(0.0)
        );
        controller.process.wait_for("did you mean `approve`?", SOON);
        let log = controller.process.stderr();
        assert!(
            log.contains("the configuration before it stays in force"),
            "{log}"
        );
        assert!(conditions(&site.object("hook").await).is_empty());
        // The configuration before it really is in force.
        site.run("approve @hook").done();
        site.certified("hook", &site.host("hook")).await;
        site.config("    approve: true\n");
        controller.until_metric("config_reloads_total", "success", SOON, |count| {
            count == 2.0
        });
        assert_eq!(
            controller.metric("config_last_reload_successful", ""),
            Some(1.0)
        );
        site.ask(&pod, "hook", "second");
        site.certified("second", &site.host("hook")).await;
    });
}

#[test]
fn a_mounted_config_map_that_the_kubelet_swaps_is_noticed() {
    support::run(async {
        let site = Site::new("swap").await;
        site.config("    approve: false\n");
        let config = site.read("config/controller.yaml");
        fs::remove_dir_all(site.path("config")).unwrap();
        site.write("config/..one/controller.yaml", &config);
        let directory = site.path("config");
        symlink("..one", directory.join("..data")).unwrap();
        symlink("..data/controller.yaml", directory.join("controller.yaml")).unwrap();
        let controller = site.start();
        controller.until_ready();
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "hook");
        let approving = config.replace("approve: false", "approve: true");
        site.write("config/..two/controller.yaml", approving);
        symlink("..two", directory.join("..data_tmp")).unwrap();
        let began = std::time::Instant::now();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
        site.certified("hook", &site.host("hook")).await;
        // By the notification, not by the slow look.
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    });
}

#[test]
fn a_signer_that_is_added_is_served_and_one_that_is_removed_is_not() {
    support::run(async {
        let site = Site::new("signers").await;
        let controller = site.start();
        controller.until_ready();
        let pod = site.pod("hook").await;
        let config = site.read("config/controller.yaml");
        let other = format!("{}.example.com/other", site.namespace);
        site.write(
            "config/controller.yaml",
            config.replace(&site.signer(), &other),
        );
        controller.until_metric("config_reloads_total", "success", SOON, |count| {
            count == 2.0
        });
        site.ask(&pod, "hook", "hook");
        pod.csr("theirs", &format!("DNS:{}", site.host("hook")));
        pod.run("submit theirs.csr --name @theirs --signer %N.example.com/other")
            .done();
        // It watches them, and says what it is not permitted to do.
        controller.until_metric("retries_total", &other, SOON, |count| count >= 1.0);
        assert!(conditions(&site.object("hook").await).is_empty());
        site.write("config/controller.yaml", config);
        site.certified("hook", &site.host("hook")).await;
    });
}
