//! What goes wrong around the controller, and that every request comes to its end all the same.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    faulty::{Fault, Proxy},
    support::{self, ControlPlane},
    user::certificate,
    world::{SOON, Site},
};

#[test]
fn an_api_server_that_stops_and_starts_is_waited_for() {
    support::run(async {
        let cluster = ControlPlane::dedicated();
        let site = Site::on(&cluster, "restart").await;
        let controller = site.start_with(&site.kubeconfig, "--leader-elect --lease-duration 6s");
        controller.until_metric("leader", "", SOON, |leader| leader == 1.0);
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "before");
        site.certified("before", &site.host("hook")).await;
        cluster.stop_api_server();
        controller.until_metric("leader", "", SOON, |leader| leader == 0.0);
        controller.until_metric("watch_restarts_total", "", SOON, |count| count >= 1.0);
        assert_eq!(
            controller.get("/healthz").0,
            200,
            "nobody restarts it for that"
        );
        cluster.start_api_server();
        site.ask(&pod, "hook", "after");
        site.certified("after", &site.host("hook")).await;
        // Killed, it forgets nothing either.
        cluster.kill_api_server();
        cluster.start_api_server();
        site.ask(&pod, "hook", "again");
        site.certified("again", &site.host("hook")).await;
    });
}

#[test]
fn an_api_server_that_hangs_is_waited_for() {
    support::run(async {
        let cluster = ControlPlane::dedicated();
        let site = Site::on(&cluster, "paused").await;
        let controller = site.start_with(&site.kubeconfig, "--leader-elect --lease-duration 6s");
        controller.until_metric("leader", "", SOON, |leader| leader == 1.0);
        let pod = site.pod("hook").await;
        cluster.pause_api_server();
        controller.until_metric("leader", "", SOON, |leader| leader == 0.0);
        cluster.resume_api_server();
        controller.until_metric("leader", "", SOON, |leader| leader == 1.0);
        site.ask(&pod, "hook", "after");
        site.certified("after", &site.host("hook")).await;
    });
}

#[test]
fn refusals_and_delays_are_tried_again_and_hold_up_nobody() {
    support::run(async {
        let site = Site::new("faulty").await;
        let proxy = Proxy::new(&site, &site.kubeconfig);
        let controller = site.start_with(&proxy.kubeconfig(), "--leader-elect=false");
        controller.until_ready();
        let pod = site.pod("hook").await;
        for (index, fault) in [
            Fault::status("/approval", 429, "TooManyRequests").every(2),
            Fault::status("/status", 500, "InternalError").every(2),
            Fault::status("/status", 409, "Conflict").every(2),
            Fault::status("/services/", 503, "ServiceUnavailable").at_most(2),
            Fault::delay("certificatesigningrequests/", Duration::from_millis(300)),
            // The write is made and nobody tells: it must not be made differently again.
            Fault::lose_answer("/approval").every(2),
            Fault::lose_answer("/status").every(2),
        ]
        .into_iter()
        .enumerate()
        {
            // What is remembered of Services and pods is forgotten by then.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            proxy.set(fault.clone());
            for number in 0..3 {
                site.ask(&pod, "hook", &format!("f{index}-{number}"));
            }
            for number in 0..3 {
                let name = format!("f{index}-{number}");
                site.certified(&name, &site.host("hook")).await;
                let conditions = site.object(&name).await["status"]["conditions"].clone();
                assert_eq!(
                    conditions.as_array().unwrap().len(),
                    1,
                    "{fault:?}: {conditions}"
                );
            }
            assert!(proxy.hits() > 0, "{fault:?}");
        }
        assert!(controller.metric("conflicts_total", "").unwrap() >= 1.0);
        assert!(controller.metric("retries_total", "").unwrap() >= 1.0);
    });
}

#[test]
fn one_request_that_always_fails_does_not_keep_the_others_waiting() {
    support::run(async {
        let site = Site::new("stuck").await;
        let proxy = Proxy::new(&site, &site.kubeconfig);
        let controller = site.start_with(&proxy.kubeconfig(), "--leader-elect=false");
        controller.until_ready();
        let pod = site.pod("hook").await;
        proxy.set(Fault::hang("-stuck"));
        // More than are worked on at a time would hang all of it; fewer must not.
        for number in 0..10 {
            site.ask(&pod, "hook", &format!("stuck{number}"));
        }
        site.ask(&pod, "hook", "fine");
        let began = Instant::now();
        site.certified("fine", &site.host("hook")).await;
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        assert!(proxy.hits() >= 10);
    });
}

#[test]
fn a_watch_that_has_expired_is_begun_anew_and_nothing_is_missed() {
    support::run(async {
        let site = Site::new("expired").await;
        let proxy = Proxy::new(&site, &site.kubeconfig);
        proxy.set(Fault::gone());
        let controller = site.start_with(&proxy.kubeconfig(), "--leader-elect=false");
        controller.until_metric("watch_restarts_total", "", SOON, |count| count >= 3.0);
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "meanwhile");
        // Each listing finds what the watch missed.
        site.certified("meanwhile", &site.host("hook")).await;
        proxy.set(Fault::none());
        site.ask(&pod, "hook", "after");
        site.certified("after", &site.host("hook")).await;
        controller.until_metric("requests_total", "outcome=\"issued\"", SOON, |n| n == 2.0);
    });
}

#[test]
fn a_compacted_history_is_listed_anew() {
    support::run(async {
        let cluster = ControlPlane::dedicated();
        let site = Site::on(&cluster, "compacted").await;
        let controller = site.start();
        controller.until_ready();
        let pod = site.pod("hook").await;
        // Asleep while the history that its watch would go on from is forgotten.
        controller.process.signal("STOP");
        let ports = cluster.dir().join("ports/kube-apiserver");
        assert!(ports.exists());
        site.ask(&pod, "hook", "meanwhile");
        compact(&cluster);
        cluster.kill_api_server();
        cluster.start_api_server();
        controller.process.signal("CONT");
        site.certified("meanwhile", &site.host("hook")).await;
        site.ask(&pod, "hook", "after");
        site.certified("after", &site.host("hook")).await;
    });
}

/// Has etcd forget everything before now, through its HTTP gateway.
fn compact(cluster: &ControlPlane) {
    use std::io::{Read, Write};
    let port = std::fs::read_to_string(cluster.dir().join("ports/etcd")).unwrap();
    let ask = |path: &str, body: &Value| -> Value {
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", port.trim().parse().unwrap())).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let start = body.find('{').unwrap_or_else(|| panic!("{answer}"));
        let end = body.rfind('}').unwrap();
        serde_json::from_str(&body[start..=end]).unwrap()
    };
    let range = ask("/v3/kv/range", &json!({ "key": "AA==" }));
    let revision = range["header"]["revision"].clone();
    let answer = ask(
        "/v3/kv/compaction",
        &json!({ "revision": revision, "physical": true }),
    );
    assert!(answer["header"].is_object(), "{answer}");
}

#[test]
fn a_controller_killed_in_the_middle_leaves_nothing_undone() {
    support::run(async {
        let site = Site::new("kill9").await;
        let pod = site.pod("hook").await;
        pod.csr("hook", &format!("DNS:{}", site.host("hook")));
        let client = site.cluster.client(&site.path("hook.kubeconfig")).await;
        let mut controller = site.start();
        controller.until_ready();
        let creating = async {
            for number in 0..100 {
                crate::masses::create(&client, &site, &pod, "hook.csr", &format!("k{number}"))
                    .await;
            }
        };
        let killing = async {
            let mut kills = 0;
            for pause in [60, 90, 130, 40, 75] {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                controller.process.signal("KILL");
                kills += 1;
                controller = site.start();
            }
            kills
        };
        let ((), kills) = futures::join!(creating, killing);
        assert_eq!(kills, 5);
        for number in 0..100 {
            let name = format!("k{number}");
            let object = site
                .until(&name, "issued", |object| certificate(object).is_some())
                .await;
            let conditions = object["status"]["conditions"].as_array().unwrap();
            assert_eq!(conditions.len(), 1, "{conditions:?}");
            if number % 10 == 0 {
                site.certified(&name, &site.host("hook")).await;
            }
        }
    });
}

#[test]
fn rights_that_are_withdrawn_are_missed_aloud_and_work_goes_on_when_they_are_back() {
    support::run(async {
        let site = Site::new("withdrawn").await;
        let mut controller = site.start();
        controller.until_ready();
        let pod = site.pod("hook").await;
        site.ask(&pod, "hook", "before");
        site.certified("before", &site.host("hook")).await;
        let binding = format!(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{}:controller",
            site.namespace
        );
        let mut object = site.api("GET", &binding, &Value::Null).await.unwrap();
        site.api("DELETE", &binding, &Value::Null).await.unwrap();
        // The API server learns of it a moment later.
        std::thread::sleep(Duration::from_secs(1));
        site.ask(&pod, "hook", "meanwhile");
        controller.process.wait_for("not allowed to get", SOON);
        assert!(
            controller
                .process
                .stderr()
                .contains("Role rule: {apiGroups:")
        );
        assert_eq!(certificate(&site.object("meanwhile").await), None);
        assert_eq!(controller.get("/healthz").0, 200);
        for field in ["resourceVersion", "uid", "creationTimestamp"] {
            object["metadata"].as_object_mut().unwrap().remove(field);
        }
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        site.api("POST", bindings, &object).await.unwrap();
        site.certified("meanwhile", &site.host("hook")).await;
    });
}
