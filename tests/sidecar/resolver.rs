//! The library: a resolver that follows a directory, and the loop in a server's own process.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use certtool::{
    cluster::{Access, Cluster},
    resolver::{DirResolver, load},
    store::{CertDir, Force, Pair},
};

use crate::{World, example, support, support::objects, support::pki::Ca, world::until};

fn pair(ca: &Ca, name: &str) -> Pair {
    let made = tempfile::tempdir().unwrap();
    ca.write_pair(made.path(), &[name]);
    Pair {
        cert: fs::read(made.path().join("tls.crt")).unwrap(),
        key: fs::read(made.path().join("tls.key")).unwrap(),
        ca: Some(ca.pem.clone().into_bytes()),
    }
}

fn leaf(resolver: &DirResolver) -> Vec<u8> {
    let current = resolver.current().unwrap();
    current.cert[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    pem::parse(&pair.cert).unwrap().contents().to_vec()
}

fn write(path: &Path, pair: &Pair) {
    CertDir::new(path).write(pair, Force::No).unwrap();
}

#[test]
fn a_resolver_follows_the_directory_and_keeps_the_last_good_pair() {
    support::install_crypto_provider();
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("serving");
    let resolver = DirResolver::start(&path);
    assert!(!resolver.is_loaded());
    assert!(
        resolver
            .problem()
            .unwrap()
            .to_string()
            .contains("has no tls.crt")
    );
    let ca = Ca::new("ca");
    let (one, two) = (pair(&ca, "one"), pair(&ca, "two"));
    write(&path, &one);
    until(|| resolver.is_loaded().then_some(()));
    assert_eq!(leaf(&resolver), der(&one));
    assert!(resolver.problem().is_none());
    let torn = Pair {
        key: two.key.clone(),
        ..one.clone()
    };
    write(&path, &torn);
    until(|| resolver.problem());
    assert_eq!(
        leaf(&resolver),
        der(&one),
        "certificate and key do not belong together"
    );
    let said = resolver.problem().unwrap().to_string();
    assert!(!said.contains("PRIVATE"), "{said}");
    write(&path, &two);
    until(|| (leaf(&resolver) == der(&two)).then_some(()));
    assert!(resolver.problem().is_none());
    fs::remove_dir_all(&path).unwrap();
    until(|| resolver.problem());
    assert_eq!(leaf(&resolver), der(&two));
    write(&path, &one);
    until(|| (leaf(&resolver) == der(&one)).then_some(()));
}

#[test]
fn a_reader_that_resolves_the_directory_once_never_sees_a_mismatch() {
    support::install_crypto_provider();
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("serving");
    let ca = Ca::new("ca");
    let pairs: Vec<_> = (0..8).map(|n| pair(&ca, &format!("n{n}"))).collect();
    write(&path, &pairs[0]);
    let stop = Arc::new(AtomicBool::new(false));
    let writes = Arc::new(AtomicUsize::new(0));
    let (stopped, written, count) = (Arc::clone(&stop), path.clone(), Arc::clone(&writes));
    let writer = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let writes = count.fetch_add(1, Ordering::Relaxed);
            write(&written, &pairs[writes % pairs.len()]);
        }
    });
    let dir = CertDir::new(&path);
    let mut reads = 0;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while (reads < 1000 || writes.load(Ordering::Relaxed) < 300)
        && std::time::Instant::now() < deadline
    {
        load(&dir).unwrap();
        // A reader of its own that resolves `..data` once and opens the files in it.
        let data = fs::read_link(path.join("..data")).unwrap();
        let read = |name: &str| fs::read(path.join(&data).join(name));
        if let (Ok(cert), Ok(key)) = (read("tls.crt"), read("tls.key")) {
            let chain = vec![pem::parse(&cert).unwrap().into_contents().into()];
            let key = rustls::pki_types::pem::PemObject::from_pem_slice(&key).unwrap();
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            rustls::sign::CertifiedKey::from_der(chain, key, &provider).unwrap();
        }
        reads += 1;
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    let writes = writes.load(Ordering::Relaxed);
    assert!(
        reads > 100 && writes > 100,
        "{reads} reads, {writes} writes"
    );
}

#[test]
fn the_example_keeps_its_own_certificate_and_is_called_by_the_api_server() {
    support::run(async {
        let options = "--service hook.%N --cert-dir serving --ca-secret %N/hook-ca --webhook validatingwebhookconfiguration/%N";
        let world = World::new("example", options).await;
        let client = world.cluster.admin_client().await;
        let port = support::service_port();
        let address = objects::service(&client, &world.namespace, "hook", port).await;
        let config = objects::by_service(&world.namespace, "hook", port, "/", None);
        objects::validating_webhook(&client, &world.namespace, &world.namespace, &config).await;
        let access = Access {
            kubeconfig: Some(world.kubeconfig.clone()),
            ..Access::default()
        };
        let cluster = Cluster::connect(&access).await.unwrap();
        let options = example::Options {
            listen: address,
            service: format!("hook.{}", world.namespace).parse().unwrap(),
            ca_secret: format!("{}/hook-ca", world.namespace).parse().unwrap(),
            configuration: world.namespace.clone(),
            cert_dir: world.path("serving"),
        };
        let serving = example::run(options, cluster);
        let asking = async {
            let answer = objects::until_config_map(
                &client,
                &world.namespace,
                &[("deny", "true")],
                |answer| matches!(answer, Err(kube::Error::Api(status)) if status.message.contains("denied by the example")),
            );
            answer.await.unwrap_err();
            let answer = objects::until_config_map(&client, &world.namespace, &[], Result::is_ok);
            answer.await.unwrap();
        };
        tokio::select! {
            ended = serving => panic!("the server ended: {ended:?}"),
            () = asking => {}
        }
    });
}
