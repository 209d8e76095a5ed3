//! The operator's Deployment as processes: three Pods, each a manager and a sidecar that share a
//! directory, behind one Service.

use std::{
    net::SocketAddr,
    process::Command,
    rc::Rc,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::{
    balancer::Balancer,
    controllers::Controllers,
    files::LIMIT,
    issuer::Setup,
    load::Load,
    operator::{self, Manifests, Operator},
    support::{self, Clock, ControlPlane, Process},
    world::{World, address, metric, until},
};

pub const REPLICAS: usize = 3;

/// A control plane of this program's own, for one test at a time: the names of the operator's
/// objects are fixed, and API servers are stopped.
pub fn alone() -> MutexGuard<'static, ControlPlane> {
    static ALONE: OnceLock<Mutex<ControlPlane>> = OnceLock::new();
    let plane = ALONE.get_or_init(|| Mutex::new(ControlPlane::dedicated()));
    plane.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct Deployment<'a> {
    pub world: World<'a>,
    pub pods: Vec<Pod>,
    pub balancer: Balancer,
    /// With a signer.
    pub controllers: Option<Controllers>,
    admin: Client,
    words: String,
}

/// One replica.
pub struct Pod {
    pub number: usize,
    pub address: SocketAddr,
    pub dir: String,
    pub sidecar: Process,
    /// What rules its next sidecar.
    pub clock: Option<Rc<Clock>>,
    manager: Option<Operator>,
    /// What the sidecars before this one counted.
    issued_before: u64,
}

impl<'a> Deployment<'a> {
    /// Three Pods that serve.
    pub async fn start(cluster: &'a ControlPlane, setup: Setup) -> Self {
        Self::prepared(cluster, setup, async |_| {}).await
    }

    /// The same, in a world where something was done before the sidecars start. Their
    /// directories are `serving-0` to `serving-2`.
    pub async fn prepared(
        cluster: &'a ControlPlane,
        setup: Setup,
        prepare: impl AsyncFnOnce(&World<'_>),
    ) -> Self {
        let words = setup.words();
        let world = World::on(cluster, "load", &format!("{words} --cert-dir serving")).await;
        let service = support::next_cluster_ip();
        cluster.apply(&operator::manifests(&Manifests {
            cluster_ip: Some(service),
            namespace: world.namespace.clone(),
            port: support::service_port(),
        }));
        let crd = format!("crd/{}", operator::CRD);
        cluster.kubectl(&["wait", "--for=condition=Established", &crd, "--timeout=30s"]);
        prepare(&world).await;
        let controllers = setup.prepare(&world).await;
        let addresses: Vec<SocketAddr> = (0..REPLICAS)
            .map(|_| (support::next_cluster_ip(), 9443).into())
            .collect();
        let mut pods = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            pods.push(Pod {
                number,
                address: *address,
                dir: format!("serving-{number}"),
                sidecar: Process::spawn(sidecar(&world, &words, &format!("{number}"), *address)),
                clock: None,
                manager: None,
                issued_before: 0,
            });
        }
        for pod in &mut pods {
            pod.start_manager(&world);
        }
        let balancer = Balancer::start((service, support::service_port()).into(), addresses);
        let deployment = Self {
            world,
            pods,
            balancer,
            controllers,
            admin: cluster.admin_client().await,
            words,
        };
        deployment.await_admission().await;
        deployment
    }

    /// Until the API server gets through to the webhooks.
    async fn await_admission(&self) {
        let cluster = self.world.cluster;
        for widget in [operator::WIDGET_V1, operator::WIDGET_V1BETA1] {
            support::eventually(LIMIT, || async {
                let args = ["create", "--dry-run=server", "-f", "-"];
                let made = cluster.try_kubectl(&args, widget);
                match made.status.success() {
                    true => Ok(()),
                    false => Err(String::from_utf8_lossy(&made.stderr).into_owned()),
                }
            })
            .await;
        }
    }

    /// Asks for another CA.
    pub fn rotate(&self) {
        let words = "ca rotate --secret %N/webhook-ca --now";
        self.world.admin(words).done();
    }

    pub fn load(&self) -> Load {
        // Two processors hardly stand the rate of admissions, the faults, and more conversions.
        Load::converting(&self.world.cluster.kubeconfig(), 12)
    }

    /// How many pairs the sidecars have written, the first ones included.
    pub fn issued(&mut self) -> u64 {
        self.pods.iter_mut().map(Pod::issued).sum()
    }

    /// The CA that signs, as the Secret says.
    pub async fn signing_ca(&self) -> Option<String> {
        self.entry("tls.crt").await
    }

    /// What has to be trusted, as the Secret says.
    pub async fn bundle(&self) -> Option<String> {
        self.entry("ca.crt").await
    }

    async fn entry(&self, name: &str) -> Option<String> {
        let secrets: Api<Secret> = Api::namespaced(self.admin.clone(), &self.world.namespace);
        let secret = secrets.get("webhook-ca").await.ok()?;
        String::from_utf8(secret.data?.remove(name)?.0).ok()
    }

    /// Kills a sidecar with -9, and starts another one.
    pub fn kill_sidecar(&mut self, number: usize) {
        self.pods[number].sidecar.signal("KILL");
        self.restart_sidecar(number);
    }

    /// Starts another sidecar, once the one before has ended.
    pub fn restart_sidecar(&mut self, number: usize) {
        let address = self.pods[number].address;
        let name = number.to_string();
        let mut command = sidecar(&self.world, &self.words, &name, address);
        let pod = &mut self.pods[number];
        if let Some(clock) = &pod.clock {
            clock.rule(&mut command);
        }
        pod.sidecar.wait(LIMIT);
        pod.issued_before = pod.issued();
        pod.sidecar = Process::spawn(command);
    }

    /// A Pod in the place of another one, as a rolling update does it: the new one serves before
    /// the old one is told to end. `name` is one that none had before.
    pub fn roll(&mut self, number: usize, name: &str) {
        let address: SocketAddr = (support::next_cluster_ip(), 9443).into();
        let mut pod = Pod {
            number,
            address,
            dir: format!("serving-{name}"),
            sidecar: Process::spawn(sidecar(&self.world, &self.words, name, address)),
            clock: None,
            manager: None,
            issued_before: self.pods[number].issued(),
        };
        pod.start_manager(&self.world);
        self.balancer.replace(number, address);
        let mut old = std::mem::replace(&mut self.pods[number], pod);
        // An endpoint that is gone is known everywhere only a moment later.
        thread::sleep(Duration::from_millis(500));
        assert!(old.sidecar.terminate(LIMIT).success());
        old.manager.take().unwrap().terminate(LIMIT);
    }

    /// Each manager serves what is on its disk, at last.
    pub fn assert_served(&mut self) {
        for pod in &mut self.pods {
            let health = address(&mut pod.sidecar);
            let deadline = Instant::now() + LIMIT;
            while metric(&health, "certtool_sidecar_certificate_served") != Some(1.0) {
                assert!(
                    Instant::now() < deadline,
                    "{} does not serve its pair:\n{}",
                    pod.number,
                    pod.sidecar.stderr()
                );
                thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// What the managers have logged of pairs that they could not load.
    pub fn assert_no_mismatch(&self) {
        for pod in &self.pods {
            pod.manager.as_ref().unwrap().assert_no_mismatch();
        }
    }

    pub fn said(&self) -> String {
        let said = self.pods.iter().map(|pod| {
            let said = support::last_lines(&pod.sidecar.stderr(), 40);
            format!("-- sidecar {}\n{said}\n", pod.number)
        });
        let controllers = self.controllers.iter().map(Controllers::said);
        said.chain(controllers).collect()
    }
}

impl Drop for Deployment<'_> {
    /// The next test's operator has the same names.
    fn drop(&mut self) {
        for (kind, name) in [
            ("mutatingwebhookconfiguration", operator::MUTATING),
            ("validatingwebhookconfiguration", operator::VALIDATING),
            ("crd", operator::CRD),
        ] {
            let args = ["delete", kind, name, "--ignore-not-found"];
            self.world.cluster.try_kubectl(&args, "");
        }
        let others = format!("--selector=other={}", self.world.namespace);
        let args = ["delete", "validatingwebhookconfigurations", &others];
        self.world.cluster.try_kubectl(&args, "");
    }
}

impl Pod {
    /// How many pairs this Pod has got.
    pub fn issued(&mut self) -> u64 {
        let said = self.sidecar.stderr();
        self.issued_before + said.matches("wrote a new pair").count() as u64
    }

    /// Starts the manager, once there is a pair for it.
    fn start_manager(&mut self, world: &World<'_>) {
        self.sidecar.wait_for("wrote a new pair", LIMIT);
        self.manager = Some(Operator::start(&operator::Options {
            kubeconfig: Some(world.kubeconfig.clone()),
            cert_dir: Some(world.path(&self.dir)),
            host: self.address.ip(),
            port: self.address.port(),
            args: ["--webhook-close-connections", "--zap-log-level=info"]
                .map(ToOwned::to_owned)
                .to_vec(),
            ..operator::Options::default()
        }));
    }

    /// Waits for one more.
    pub fn await_renewal(&mut self) {
        let before = self.issued();
        self.await_more_than(before);
    }

    /// Waits until there were more than this.
    pub fn await_more_than(&mut self, before: u64) {
        until(|| (self.issued() > before).then_some(()));
    }
}

fn sidecar(world: &World<'_>, words: &str, name: &str, address: SocketAddr) -> Command {
    let words = format!("{words} --cert-dir serving-{name} --probe {address}");
    let mut command = world.command(&words);
    command.env("POD_NAME", format!("operator-{name}"));
    command
}
