//! A signer that issues something else than what was asked for.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{World, files::LIMIT, support, world::until};

const KEEP: &str = "--service hook.%N --cert-dir serving --signer %S";

/// Writes a certificate of openssl's making into the request that is pending.
async fn answer(world: &World<'_>, names: &str, usages: &str, key: Option<&str>) {
    let name = until(|| {
        let pending = world.requests();
        let pending = pending.iter().find(|r| r["state"] == "Pending")?;
        Some(pending["name"].as_str().unwrap().to_owned())
    });
    world.admin(&format!("approve {name}")).done();
    let text = world.cluster.kubectl(&["get", "csr", &name, "-o", "json"]);
    let mut object: Value = serde_json::from_str(&text).unwrap();
    let request = STANDARD
        .decode(object["spec"]["request"].as_str().unwrap())
        .unwrap();
    world.write("request.csr", request);
    world.write(
        "extensions",
        format!("subjectAltName=critical,{names}\nextendedKeyUsage={usages}\nbasicConstraints=critical,CA:FALSE\nauthorityKeyIdentifier=keyid\n"),
    );
    let request = key.unwrap_or("request.csr");
    world.openssl(&format!(
        "x509 -req -in {request} -CA ca/ca.crt -CAkey ca/ca.key -days 1 -extfile extensions -out bad.crt"
    ));
    object["status"]["certificate"] = json!(STANDARD.encode(world.read("bad.crt")));
    let path = format!("/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/status");
    let output = world
        .cluster
        .try_kubectl(&["replace", "--raw", &path, "-f", "-"], &object.to_string());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn other_names_usages_or_keys_are_refused_and_the_old_pair_is_kept() {
    support::run(async {
        let world = World::new("refuses", KEEP).await;
        let signer = world.signs("--validity 1h");
        let mut process = world.start(KEEP);
        let first = world.next_serial("");
        process.wait_for("wrote a new pair", LIMIT);
        drop(signer);
        let n = &world.namespace;
        let good = format!("DNS:hook.{n},DNS:hook.{n}.svc,DNS:hook.{n}.svc.cluster.local");
        world.csr("other", &good);
        for (names, usages, key, why) in [
            (
                format!("{good},DNS:evil.svc"),
                "serverAuth",
                None,
                "names that were not asked for: evil.svc",
            ),
            (
                format!("DNS:hook.{n}"),
                "serverAuth",
                None,
                "it lacks the names",
            ),
            (
                good.clone(),
                "clientAuth",
                None,
                "it lacks the usage server auth",
            ),
            (
                good.clone(),
                "serverAuth,clientAuth",
                None,
                "usage client auth, which was not asked for",
            ),
            (
                good.clone(),
                "serverAuth",
                Some("other.csr"),
                "it is for another key",
            ),
        ] {
            process.signal("USR1");
            answer(&world, &names, usages, key).await;
            process.wait_for(why, LIMIT);
            assert_eq!(world.serial(), first, "{why}");
            world.assert_good();
        }
        // What is as it was asked for is taken, whoever made it.
        process.signal("USR1");
        answer(&world, &good, "serverAuth", None).await;
        world.next_serial(&first);
        world.assert_good();
    });
}
