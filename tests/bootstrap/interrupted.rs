//! Ended half-way.

use std::{fs, time::Duration};

use crate::{
    Ci,
    ci::certificates,
    support,
    world::{LIMIT, alone},
};

#[test]
fn killed_at_any_point_and_run_again_it_finishes() {
    let cluster = alone();
    support::run(async {
        let ci = Ci::on(&cluster, "killed").await;
        let address = ci.service().await;
        for number in 0..24 {
            let path = ci.validating().await;
            let secret = ci.in_namespace(&format!("pair-{number}"));
            let dir = ci.cert_dir();
            let _ = fs::remove_dir_all(&dir);
            let args = [
                "--secret",
                &secret,
                "--cert-dir",
                dir.to_str().unwrap(),
                "--wait",
            ];
            let mut run = ci.start(&args);
            // A whole run takes about a hundred milliseconds.
            tokio::time::sleep(Duration::from_millis(number * 7)).await;
            if run.is_running() {
                run.signal("KILL");
                run.wait(LIMIT);
            }
            let server = ci.serve(address);
            ci.bootstrap(&args).done();
            let name = format!("pair-{number}");
            let ca = ci.entry(&format!("{name}-ca"), "tls.crt").await;
            assert_eq!(ci.bundles(&path).await, [ca.as_str()], "{number}");
            assert_eq!(certificates(&ci.entry(&name, "tls.crt").await), 1);
            assert_eq!(
                fs::read_to_string(dir.join("tls.crt")).unwrap(),
                ci.entry(&name, "tls.crt").await
            );
            drop(server);
            ci.world.delete(&path).await;
            for leftover in ci.world.probes().await {
                // A killed probe's configuration matches nobody's requests; a later one removes it.
                let path = format!(
                    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{leftover}"
                );
                let _ = ci
                    .world
                    .request("DELETE", &path, &serde_json::Value::Null)
                    .await;
            }
        }
    });
}

#[test]
fn interrupted_it_cleans_up_its_probe() {
    let cluster = alone();
    support::run(async {
        let ci = Ci::on(&cluster, "interrupted").await;
        ci.validating().await;
        ci.service().await;
        let mut run = ci.start(&["--cert-dir", "certs", "--wait"]);
        run.wait_for("connection refused", LIMIT);
        run.signal("INT");
        assert_eq!(run.wait(LIMIT).code(), Some(130), "{}", run.stderr());
        assert_eq!(ci.world.probes().await, [""; 0]);
    });
}
