//! Clusters that cannot be reached, or not be talked to.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    Said, World, support,
    world::{VALIDATING, alone},
};

/// `local-dev ARGS` without a cluster in the environment.
fn without_cluster(home: &Path, args: &[&str]) -> Said {
    let mut command = support::certtool(home);
    command.arg("local-dev").args(args);
    Said::of(command)
}

#[test]
fn without_a_kubeconfig_every_way_to_name_one_is_told() {
    let _watchdog = support::watchdog(std::time::Duration::from_secs(60));
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["attach", "--webhook", "x"][..],
        &["detach"],
        &["status"],
        &["run", "--webhook", "x", "--", "true"],
    ] {
        without_cluster(home.path(), args)
            .ended(1)
            .explains("no cluster to talk to: there is no kubeconfig (--kubeconfig, $KUBECONFIG, ~/.kube/config)");
    }
    let missing = home.path().join("missing").display().to_string();
    without_cluster(home.path(), &["status", "--kubeconfig", &missing])
        .ended(1)
        .explains(&missing);
    let broken = home.path().join("broken");
    fs::write(&broken, "{").unwrap();
    without_cluster(
        home.path(),
        &["status", "--kubeconfig", &broken.display().to_string()],
    )
    .ended(1)
    .explains("the kubeconfig cannot be used")
    .explains(&broken.display().to_string());
}

#[test]
fn a_cluster_that_is_not_there_or_not_trusted_is_named() {
    support::run(async {
        let world = World::new("unreachable").await;
        let original: Value = {
            let text = fs::read_to_string(world.cluster.kubeconfig()).unwrap();
            serde_yaml::from_str(&text).unwrap()
        };
        let status = |change: &dyn Fn(&mut Value), args: &[&str]| {
            let mut kubeconfig = original.clone();
            change(&mut kubeconfig);
            let file = world.home.path().join("kubeconfig");
            fs::write(&file, kubeconfig.to_string()).unwrap();
            let file = file.to_str().unwrap();
            world.local_dev(&[&["status", "--kubeconfig", file], args].concat())
        };
        let nothing = |_: &mut Value| {};
        let context = original["current-context"].as_str().unwrap();
        status(&nothing, &["--context", context]).done();
        status(&nothing, &["--context", "mistyped"])
            .ended(1)
            .explains(&format!("it has no context \"mistyped\"; it has {context}"));

        let port = support::free_port();
        let gone = |config: &mut Value| {
            config["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
        };
        status(&gone, &[])
            .ended(1)
            .explains(&format!(
                "cannot reach the API server https://127.0.0.1:{port}/: "
            ))
            .explains("onnection refused");

        let strange = support::pki::Ca::new("strange").pem;
        let untrusted = |config: &mut Value| {
            use base64::{Engine, engine::general_purpose::STANDARD};
            let cluster = config["clusters"][0]["cluster"].as_object_mut().unwrap();
            cluster.shift_remove("certificate-authority");
            cluster.insert(
                "certificate-authority-data".to_owned(),
                json!(STANDARD.encode(&strange)),
            );
        };
        let said = status(&untrusted, &[])
            .ended(1)
            .explains("cannot reach the API server");
        assert!(
            said.stderr.contains("certificate") || said.stderr.contains("UnknownIssuer"),
            "{}",
            said.stderr
        );

        let nobody = |config: &mut Value| {
            config["users"][0]["user"] = json!({ "token": "not-a-token" });
        };
        status(&nobody, &[])
            .ended(1)
            .explains("the API server does not accept these credentials")
            .without("not-a-token");
    });
}

#[test]
fn a_local_file_that_cannot_be_read_stops_attaching_and_not_detaching() {
    let cluster = alone();
    support::run(async {
        let world = World::on(&cluster, "unreadable").await;
        let webhook = world.serve();
        let path = world
            .configuration(VALIDATING, "v", &[("v.example.com", "/validate")])
            .await;
        let before = world.content(&path).await;
        let port = webhook.address().port();
        world.attach(port, &[]).done();
        let state = world.home.path().join(".local/state/certtool");
        let file = fs::read_dir(&state)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        fs::write(&file, "{").unwrap();
        world
            .local_dev(&["detach"])
            .done()
            .prints("restored")
            .explains("warning: ")
            .explains(&file.display().to_string());
        assert_eq!(world.content(&path).await, before);
        world
            .attach(port, &[])
            .ended(1)
            .explains(&file.display().to_string());
        assert_eq!(world.content(&path).await, before);
    });
}
