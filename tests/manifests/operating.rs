//! The operator as it is shipped, three replicas behind one Service, called all the time while
//! their certificates are renewed and the CA changes, which a hundred other webhooks trust, too.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    LIMIT,
    built::block,
    controller,
    load::{Load, RATE, at_least},
    operator,
    project::{Project, copy, repository},
    replicas::Replicas,
    sidecar,
    support::{self, ControlPlane, Options},
    waiting::decode,
};

/// Of so many creations one is converted, which takes five calls beside the two for admission:
/// conversions go on during the rotations, and most of the machine's time is left for admission.
const CONVERTED: u32 = 16;
const REPLICAS: usize = 3;
/// Other webhooks that trust the same CA.
const OTHERS: usize = 100;
/// All that hold a bundle: those, the operator's two configurations and its CRD.
const ALL: usize = OTHERS + 3;
const RENEWALS: usize = 101;
const ROTATIONS: usize = 3;
/// The longest that a run may take on a machine that others use.
const LONGEST: Duration = Duration::from_secs(300);

/// The end of each overlay.
fn replicas() -> String {
    format!("replicas: [{{name: controller-manager, count: {REPLICAS}}}]\n")
}

/// `manifests/controller`, with a settle time that a test can wait for.
fn hastened(project: &Project) -> PathBuf {
    let dir = project.path().join("controller");
    copy(&repository().join("manifests/controller"), &dir);
    let file = dir.join("controller.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let secret = "secret: certtool-system/serving-ca\n";
    let hastened = text.replace(secret, &format!("{secret}      settle: 3s\n"));
    assert_ne!(text, hastened);
    fs::write(file, hastened).unwrap();
    dir
}

/// Held by a run, which has all that the machine gives.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One that notes nothing: each line of an audit log is written while a request waits.
fn project(overlay: &str) -> Project {
    let options = Options {
        controller_manager: true,
        ..Options::default()
    };
    sidecar::project_in(ControlPlane::dedicated_with(&options), overlay)
}

/// A CA in a Secret, and who trusts it.
struct Trust<'a> {
    project: &'a Project,
    secret: &'a str,
}

impl Trust<'_> {
    /// An entry of the Secret, PEM.
    fn entry(&self, name: &str) -> String {
        let path = format!("jsonpath={{.data.{}}}", name.replace('.', "\\."));
        let (namespace, secret) = self.secret.split_once('/').unwrap();
        let words = ["get", "secret", secret, "-n", namespace, "-o", &path];
        let pem = self.project.cluster().kubectl(&words);
        String::from_utf8(decode(&pem)).unwrap()
    }

    /// The CA that signs.
    fn signing(&self) -> String {
        self.entry("tls.crt")
    }

    /// The bundles of all configurations and of the CRD.
    fn bundles(&self) -> Vec<String> {
        let kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations,crds";
        let list = self
            .project
            .cluster()
            .kubectl(&["get", kinds, "-o", "json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let bundle = |item: &Value| {
            let webhook = &item["webhooks"][0]["clientConfig"]["caBundle"];
            let conversion = &item["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"];
            let bundle = webhook.as_str().or(conversion.as_str());
            String::from_utf8(decode(bundle.unwrap_or_default())).unwrap()
        };
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(bundle)
            .collect()
    }

    /// How many trust a CA.
    fn holding(&self, ca: &str) -> usize {
        let bundles = self.bundles();
        bundles.iter().filter(|held| held.contains(ca)).count()
    }

    /// Every bundle holds every CA that is to be trusted, and verifies every pair that is served.
    fn assert_whole(&self, replicas: &Replicas) {
        let (trusted, pairs, bundles) = loop {
            let trusted = self.entry("ca.crt");
            let pairs: Vec<_> = replicas.certificates().collect();
            let bundles = self.bundles();
            // Nothing that was read is older than a step of the rotation.
            if self.entry("ca.crt") == trusted {
                break (trusted, pairs, bundles);
            }
        };
        assert_eq!(bundles.len(), ALL);
        let end = "-----END CERTIFICATE-----\n";
        for ca in trusted.split_inclusive(end) {
            let holding = bundles.iter().filter(|held| held.contains(ca)).count();
            assert_eq!(holding, ALL, "hold\n{ca}of\n{trusted}");
        }
        for bundle in BTreeSet::from_iter(&bundles) {
            for pair in &pairs {
                assert!(self.verifies(bundle, pair), "{pair}\nwith\n{bundle}");
            }
        }
    }

    fn verifies(&self, bundle: &str, certificate: &str) -> bool {
        let file = |name: &str, text: &str| {
            let file = self.project.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        let mut verify = std::process::Command::new("openssl");
        verify
            .args(["verify", "-CAfile"])
            .arg(file("bundle.crt", bundle))
            .arg(file("seen.crt", certificate));
        support::output(verify, LIMIT).status.success()
    }

    /// Waits until each replica has a pair of this CA.
    async fn until_signed_by(&self, ca: &str, replicas: &Replicas) {
        support::eventually(LIMIT, || async {
            match replicas.certificates().all(|pair| self.verifies(ca, &pair)) {
                true => Ok(()),
                false => Err("another CA's pair".to_owned()),
            }
        })
        .await;
    }

    /// Asks for one rotation after another under load, until the certificates were renewed often
    /// enough. The CAs, the first one included.
    async fn rotates_under_load(&self, replicas: &Replicas) -> Vec<String> {
        let everywhere = || async {
            match self.holding(&self.signing()) {
                ALL => Ok(()),
                number => Err(format!("{number} of {ALL} trust the CA")),
            }
        };
        support::eventually(LIMIT, everywhere).await;
        self.project.works().await;
        let (first, connections) = (replicas.issued(), replicas.balancer.connections());
        let load = Load::converting(&self.project.cluster().kubeconfig(), CONVERTED);
        let started = Instant::now();
        let mut cas = vec![self.signing()];
        for _ in 0..ROTATIONS {
            let secret = self.secret;
            let rotating = Instant::now();
            let rotate = format!("certtool ca rotate --secret {secret} --now --wait --timeout 95s");
            self.project.shell_within(LONGEST / 3, &rotate);
            println!("a rotation took {:.1} s", rotating.elapsed().as_secs_f64());
            let new = self.signing();
            assert!(!cas.contains(&new));
            // It signs because all trust it.
            assert_eq!(self.holding(&new), ALL);
            self.until_signed_by(&new, replicas).await;
            self.assert_whole(replicas);
            load.assert_none_failed();
            cas.push(new);
        }
        while replicas.issued() < first + RENEWALS || started.elapsed() < at_least(30) {
            load.assert_none_failed();
            let renewed = replicas.issued() - first;
            assert!(started.elapsed() < LONGEST, "{renewed} renewals");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let sum = load.stop();
        let handshakes = replicas.balancer.connections() - connections;
        let renewed = replicas.issued() - first;
        println!(
            "{sum}, {handshakes} handshakes, {renewed} renewals of {REPLICAS} replicas, \
             {ROTATIONS} rotations of a CA in {ALL} objects",
        );
        sum.assert_all_admitted(handshakes);
        sum.assert_rate(RATE);
        self.assert_whole(replicas);
        replicas.assert_served().await;
        cas
    }
}

#[test]
fn with_the_controllers_signer_no_request_fails_while_certificates_and_cas_are_replaced() {
    let _alone = alone();
    support::run_within(LONGEST * 2, async {
        let overlay = block(
            "docs/sidecar.md",
            "config/certtool/kustomization.yaml: a signer",
        );
        // The API knows no shorter life.
        let short = sidecar::adding(["--validity=10m", "--renew-at=0.0025"]);
        let project = project(&format!("{overlay}patches:\n{short}{}", replicas()));
        let pods = controller::deploy(project.cluster(), &hastened(&project)).await;
        let mut controllers: Vec<_> = pods.iter().map(|pod| pod.start("controller")).collect();
        let annotation = "{certtool.dev/inject-ca-from-signer: example.com/serving}";
        let others = operator::others("other", OTHERS, operator::NAMESPACE, annotation);
        project.cluster().apply(&others);
        let replicas = Replicas::start(&project, REPLICAS).await;
        let trust = Trust {
            project: &project,
            secret: "certtool-system/serving-ca",
        };
        let cas = trust.rotates_under_load(&replicas).await;
        // Pairs of the CAs before are still valid.
        for ca in &cas {
            assert_eq!(trust.holding(ca), ALL);
        }
        for controller in &mut controllers {
            assert!(controller.is_running(), "{}", controller.stderr());
        }
    });
}

#[test]
fn with_a_ca_of_the_replicas_own_no_request_fails_while_certificates_and_cas_are_replaced() {
    let _alone = alone();
    support::run_within(LONGEST * 2, async {
        let overlay = block("docs/sidecar.md", "config/certtool/kustomization.yaml");
        let mut options = vec!["--validity=100s".to_owned(), "--renew-at=0.02".to_owned()];
        let mut rules = String::new();
        for number in 0..OTHERS {
            options.push(format!(
                "--webhook=validatingwebhookconfiguration/other-{number}"
            ));
            let _ = writeln!(
                rules,
                "    - {{op: add, path: /rules/-, value: {{apiGroups: [admissionregistration.k8s.io], \
                 resources: [validatingwebhookconfigurations], verbs: [get, patch], \
                 resourceNames: [other-{number}]}}}}"
            );
        }
        let options = sidecar::adding(options.iter().map(String::as_str));
        let rights = "- target: {kind: ClusterRole, name: certtool-sidecar-.*}\n  patch: |-\n";
        let overlay = format!("{overlay}{options}{rights}{rules}{}", replicas());
        let project = project(&overlay);
        let others = operator::others("other", OTHERS, operator::NAMESPACE, "{}");
        project.cluster().apply(&others);
        let replicas = Replicas::start(&project, REPLICAS).await;
        let trust = Trust {
            project: &project,
            secret: "operator-system/webhook-ca",
        };
        trust.rotates_under_load(&replicas).await;
    });
}
