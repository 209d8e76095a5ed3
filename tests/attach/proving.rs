//! That the API server reaches this machine is proven before anything changes.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    time::Duration,
};

use crate::{
    World,
    support::{self, pki::Ca, webhook::Webhook},
    world::{LIMIT, VALIDATING},
};

async fn one_webhook(world: &World<'_>, path: &str) -> String {
    world
        .configuration(VALIDATING, "v", &[("v.example.com", path)])
        .await
}

#[test]
fn when_nothing_listens_that_is_said_and_nothing_changes() {
    support::run(async {
        let world = World::new("silent").await;
        let path = one_webhook(&world, "/validate").await;
        let before = world.get(&path).await;
        let port = support::free_port();
        let said = world
            .attach(port, &[])
            .ended(1)
            .explains(&format!(
                "nothing listens on 127.0.0.1 port {port}: start your operator first, or use --wait"
            ))
            .explains(&format!(
                "dial tcp 127.0.0.1:{port}: connect: connection refused"
            ))
            .explains("nothing was changed");
        // The API server's full words once; of the other hosts the cause.
        assert_eq!(
            said.stderr.matches("failed calling webhook").count(),
            1,
            "{}",
            said.stderr
        );
        for line in said
            .stderr
            .lines()
            .filter(|line| line.contains("also tried"))
        {
            assert!(line.len() < 200 && !line.contains("Post"), "{line}");
        }
        assert_eq!(world.get(&path).await, before);
    });
}

#[test]
fn a_certificate_that_the_api_server_does_not_trust_is_diagnosed_in_its_words() {
    support::run(async {
        let world = World::new("strange").await;
        let path = one_webhook(&world, "/validate").await;
        let before = world.get(&path).await;
        // The pair is made, so that it is not new any more: a new one is given time.
        world.attach(support::free_port(), &[]).ended(1);

        let directory = tempfile::tempdir().unwrap();
        let strange = Ca::new("strange");
        strange.write_pair(directory.path(), &["127.0.0.1"]);
        let webhook = Webhook::start(([127, 0, 0, 1], 0), directory.path());
        world
            .attach(webhook.address().port(), &[])
            .ended(1)
            .explains("something listens on 127.0.0.1 port")
            .explains("does it serve the pair that certtool wrote?")
            .explains("x509: certificate signed by unknown authority")
            .explains("nothing was changed");

        // Trusted, but for another name.
        let data = world.home.path().join(".local/share/certtool/local-ca");
        let ca = fs::read_to_string(data.join("ca.crt")).unwrap();
        assert!(ca.contains("BEGIN CERTIFICATE"));
        let key = data.join("ca.key");
        let host = "laptop.example.com";
        let said = world
            .attach(webhook.address().port(), &["--url-host", host])
            .ended(1)
            .explains("the API server does not reach laptop.example.com")
            .explains("name a host that it can reach with --url-host");
        assert!(key.exists() && !said.stderr.contains("BEGIN"));
        assert_eq!(world.get(&path).await, before);
    });
}

#[test]
fn with_wait_a_server_that_comes_later_is_attached() {
    support::run(async {
        let world = World::new("later").await;
        let path = one_webhook(&world, "/validate").await;
        let port = support::free_port();
        let (label, number) = (world.label(), port.to_string());
        let mut attach = world.start(&["attach", "-l", &label, "--port", &number, "--wait"]);
        attach.wait_for(
            &format!("waiting: nothing listens on port {port} of this machine yet"),
            LIMIT,
        );
        assert_eq!(world.urls(&path).await, [""]);

        // First with a certificate that is not ours, then with ours.
        let directory = tempfile::tempdir().unwrap();
        Ca::new("strange").write_pair(directory.path(), &["127.0.0.1"]);
        let _webhook = Webhook::start(([127, 0, 0, 1], port), directory.path());
        attach.wait_for("waiting: something listens", LIMIT);
        for file in ["tls.crt", "tls.key"] {
            fs::copy(world.cert_dir().join(file), directory.path().join(file)).unwrap();
        }
        let status = attach.wait(LIMIT);
        assert!(status.success(), "{}", attach.stderr());
        assert_eq!(
            world.urls(&path).await,
            [format!("https://127.0.0.1:{port}/validate")]
        );
    });
}

#[test]
fn a_wait_ends_with_what_was_missing_and_exit_code_124() {
    support::run(async {
        let world = World::new("waited").await;
        let path = one_webhook(&world, "/validate").await;
        let before = world.get(&path).await;
        world
            .attach(support::free_port(), &["--wait", "--timeout", "1s"])
            .ended(124)
            .explains("timed out: nothing listens on 127.0.0.1")
            .explains("connection refused")
            .explains("nothing was changed");
        assert_eq!(world.get(&path).await, before);
    });
}

#[test]
fn of_several_hosts_that_work_the_likeliest_is_used() {
    support::run(async {
        let world = World::new("several").await;
        let path = one_webhook(&world, "/validate").await;
        fs::create_dir_all(world.cert_dir()).unwrap();
        let webhook = Webhook::start((Ipv4Addr::UNSPECIFIED, 0), &world.cert_dir());
        let port = webhook.address().port();
        world.attach(port, &[]).done();
        assert_eq!(
            world.urls(&path).await,
            [format!("https://127.0.0.1:{port}/validate")]
        );
    });
}

#[test]
fn a_server_on_another_address_of_this_machine_is_found() {
    let Some(ip) = outward_address() else {
        eprintln!("not tested: this machine has loopback addresses alone");
        return;
    };
    support::run(async {
        let world = World::new("outward").await;
        let path = one_webhook(&world, "/validate").await;
        let webhook = Webhook::start((ip, 0), &world.cert_dir());
        let port = webhook.address().port();
        world.attach(port, &[]).done();
        assert_eq!(
            world.urls(&path).await,
            [format!("https://{ip}:{port}/validate")]
        );
    });
}

/// The address that this machine has for others.
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && TcpListener::bind((ip, 0)).is_ok()).then_some(ip)
}

#[test]
fn a_named_host_is_used_and_covered_by_the_certificate() {
    support::run(async {
        let world = World::new("named").await;
        let path = one_webhook(&world, "/validate").await;
        let webhook = world.serve();
        let port = webhook.address().port();
        world.attach(port, &["--url-host", "localhost"]).done();
        assert_eq!(
            world.urls(&path).await,
            [format!("https://localhost:{port}/validate")]
        );
        // Another address of loopback is not in the certificate unless it is asked for.
        let address = support::next_cluster_ip();
        let webhook = Webhook::start((address, 0), &world.cert_dir());
        let port = webhook.address().port();
        let host = address.to_string();
        world
            .attach(port, &["--url-host", &host])
            .done()
            .prints("attached anew to")
            .explains("new pair in");
        assert_eq!(
            world.urls(&path).await,
            [format!("https://{host}:{port}/validate")]
        );
    });
}

#[test]
fn an_ipv6_address_is_written_in_brackets() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("not tested: this machine has no IPv6");
        return;
    }
    support::run(async {
        let world = World::new("six").await;
        let path = one_webhook(&world, "/validate").await;
        let webhook = Webhook::start((Ipv6Addr::LOCALHOST, 0), &world.cert_dir());
        let port = webhook.address().port();
        world.attach(port, &["--url-host", "::1"]).done();
        assert_eq!(
            world.urls(&path).await,
            [format!("https://[::1]:{port}/validate")]
        );
        world
            .attach(port, &["--url-host", "[::1]"])
            .ended(2)
            .explains("did you mean ::1?");
        world.detach(&[]).done().prints("restored");
    });
}

#[test]
fn a_path_that_is_not_served_is_a_warning() {
    support::run(async {
        let world = World::new("path").await;
        let path = world
            .configuration(
                VALIDATING,
                "v",
                &[
                    ("v.example.com", "/validate"),
                    ("w.example.com", "/forgotten"),
                ],
            )
            .await;
        let webhook = world.serve();
        world
            .attach(webhook.address().port(), &[])
            .done()
            .explains(
                "warning: the server on this machine is reached, but does not serve /forgotten",
            )
            .without("does not serve /validate");
        assert!(world.urls(&path).await.iter().all(|url| !url.is_empty()));
    });
}

#[test]
fn a_probe_that_somebody_else_stops_can_be_made_elsewhere_or_done_without() {
    support::run(async {
        let world = World::new("stopped").await;
        // It denies every ConfigMap of this namespace, since nobody answers.
        let path = one_webhook(&world, "/validate").await;
        let ns = &world.namespace;
        let webhook = world.serve();
        let port = webhook.address().port();
        support::eventually(Duration::from_secs(20), || async {
            let said = world.attach(port, &["-n", ns]);
            match said.code {
                1 => Ok(said),
                _ => {
                    world.detach(&[]).done();
                    Err(said.stderr)
                }
            }
        })
        .await
        .explains("stopped before it came to this machine")
        .explains("--skip-proof")
        .explains("v.example.com");
        assert_eq!(world.urls(&path).await, [""]);
        world
            .attach(port, &["-n", "no-such-namespace"])
            .ended(1)
            .explains(
                "there is no namespace \"no-such-namespace\": choose another with --namespace",
            );
        world
            .attach(port, &["-n", ns, "--skip-proof"])
            .done()
            .without("proven");
        assert!(!world.urls(&path).await[0].is_empty());
    });
}
