//! Several at once.

use std::fs;

use crate::{Ci, ci::certificates, support, world::LIMIT};

#[test]
fn several_at_once_agree_on_one_ca_and_one_pair() {
    support::run(async {
        let ci = Ci::new("race").await;
        for round in 0..3 {
            let paths = [ci.mutating().await, ci.validating().await];
            let secret = ci.in_namespace(&format!("pair-{round}"));
            let dirs: Vec<_> = (0..5)
                .map(|number| format!("certs-{round}-{number}"))
                .collect();
            let mut runs: Vec<_> = dirs
                .iter()
                .map(|dir| ci.start(&["--secret", &secret, "--cert-dir", dir]))
                .collect();
            for run in &mut runs {
                let status = run.wait(LIMIT);
                assert!(status.success(), "{}", run.stderr());
            }
            let name = format!("pair-{round}");
            let ca = ci.entry(&format!("{name}-ca"), "tls.crt").await;
            assert_eq!(ci.entry(&name, "ca.crt").await, ca);
            for path in &paths {
                let bundle = ci.bundles(path).await.remove(0);
                assert_eq!(certificates(&bundle), 1, "{bundle}");
                assert_eq!(bundle, ca);
                ci.world.delete(path).await;
            }
            let leaf = ci.entry(&name, "tls.crt").await;
            for dir in &dirs {
                let dir = ci.world.home.path().join(dir);
                assert_eq!(fs::read_to_string(dir.join("tls.crt")).unwrap(), leaf);
            }
            let made = runs
                .iter()
                .filter(|run| run.stdout().contains(&format!("/{name}-ca: created")))
                .count();
            assert_eq!(made, 1);
        }
    });
}

#[test]
fn a_secret_that_somebody_writes_meanwhile_is_read_again() {
    support::run(async {
        let ci = Ci::new("cas").await;
        ci.validating().await;
        ci.bootstrap(&[]).done();
        // Two renewals at once: the second sees what the first one wrote.
        let args = ["--host", "extra.example.com"];
        let mut runs: Vec<_> = (0..4).map(|_| ci.start(&args)).collect();
        for run in &mut runs {
            assert!(run.wait(LIMIT).success(), "{}", run.stderr());
        }
        let updated = runs
            .iter()
            .filter(|run| run.stdout().contains("/hook-tls: updated"))
            .count();
        assert_eq!(updated, 1, "{}", runs[0].stdout());
    });
}
