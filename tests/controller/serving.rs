//! `/healthz`, `/readyz` and `/metrics`.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::{
    support,
    world::{SOON, Site},
};

#[test]
fn health_readiness_and_metrics_are_served() {
    support::run(async {
        let site = Site::new("served").await;
        let controller = site.start();
        controller.until_ready();
        assert_eq!(controller.get("/healthz"), (200, "ok\n".to_owned()));
        assert_eq!(controller.get("/nothing").0, 404);
        assert_eq!(controller.ask("POST", "/metrics").0, 405);
        controller.until_metric("ca_usable", "", SOON, |usable| usable == 1.0);
        let (code, text) = controller.get("/metrics");
        assert_eq!(code, 200);
        assert!(text.ends_with("# EOF\n"), "{text}");
        let end = controller
            .metric("ca_not_after_timestamp_seconds", "")
            .unwrap();
        let year = crate::files::now() as f64 + 365.0 * 86_400.0;
        assert!((end - year).abs() < 100_000.0, "{end}");
        assert_eq!(controller.metric("leader", ""), Some(1.0));
        assert_eq!(controller.metric("build_info", "version"), Some(1.0));
    });
}

#[test]
fn it_is_not_ready_before_it_watches() {
    support::run(async {
        let site = Site::new("unready").await;
        let nobody = site
            .cluster
            .service_account(&site.namespace, "nobody", &[], &[])
            .await;
        let mut controller = site.start_with(&nobody, "--leader-elect=false");
        controller
            .process
            .wait_for("the watch of requests broke off", SOON);
        let (code, why) = controller.get("/readyz");
        assert_eq!(code, 503);
        assert!(why.contains(&site.signer()), "{why}");
        assert_eq!(controller.get("/healthz").0, 200);
    });
}

#[test]
fn peers_that_send_nothing_or_nonsense_hold_up_nobody() {
    support::run(async {
        let site = Site::new("peers").await;
        let controller = site.start();
        let silent: Vec<_> = (0..20)
            .map(|_| TcpStream::connect(("127.0.0.1", controller.port)).unwrap())
            .collect();
        assert_eq!(controller.get("/healthz").0, 200);
        let mut rude = TcpStream::connect(("127.0.0.1", controller.port)).unwrap();
        rude.write_all(&[0; 4096]).unwrap();
        rude.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut answer = Vec::new();
        let _ = rude.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
        assert_eq!(controller.get("/healthz").0, 200);
        drop(silent);
    });
}
