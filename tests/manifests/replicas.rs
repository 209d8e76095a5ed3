//! Pods of the operator behind its Service, each with a manager and a sidecar at an address of its
//! own.

use std::thread;

use crate::{
    LIMIT,
    balancer::Balancer,
    operator::Operator,
    pod::{self, Pod},
    project::Project,
    sidecar,
    support::{self, Process},
};

/// A connection for each request, so that none is left out of a rotation; and what the manager
/// takes in and what it refuses.
const ARGS: [&str; 2] = ["--webhook-close-connections", "--zap-log-level=info"];

pub struct Replicas {
    all: Vec<Replica>,
    pub balancer: Balancer,
}

struct Replica {
    pod: Pod,
    sidecar: Process,
    manager: Operator,
}

impl Replicas {
    /// As many as the overlay asks for. All sidecars start at once, as they do when a Deployment
    /// is made.
    pub async fn start(project: &Project, count: usize) -> Self {
        let started = sidecar::pods(project, count)
            .await
            .into_iter()
            .map(|mut pod| {
                pod.is_at(support::next_cluster_ip());
                let sidecar = pod.start("certtool");
                (pod, sidecar)
            });
        let started: Vec<_> = started.collect();
        let mut all = Vec::new();
        for (pod, mut sidecar) in started {
            let manager = sidecar::start_beside(&pod, &mut sidecar, &ARGS).await;
            all.push(Replica {
                pod,
                sidecar,
                manager,
            });
        }
        let addresses = all.iter().map(|replica| replica.pod.address(9443));
        let balancer = Balancer::start(project.address(), addresses.collect());
        Self { all, balancer }
    }

    /// How many pairs the sidecars have written, the first ones included.
    pub fn issued(&self) -> usize {
        let said = self.all.iter().map(|replica| replica.sidecar.stderr());
        said.map(|said| said.matches("wrote a new pair").count())
            .sum()
    }

    /// Each manager serves what is on its disk, at last, and has never seen a pair that was none.
    pub async fn assert_served(&self) {
        for replica in &self.all {
            let (address, _) = replica.pod.probe("certtool", "readinessProbe");
            support::eventually(LIMIT, || async {
                let (_, text) = pod::get(address, "/metrics").ok_or("no metrics")?;
                let served = support::sample(&text, "certtool_sidecar_certificate_served");
                let said = || format!("{served:?}\n{}", replica.sidecar.stderr());
                (served == Some(1.0)).then_some(()).ok_or_else(said)
            })
            .await;
            replica.manager.assert_no_mismatch();
        }
    }

    /// Those that the managers are to serve.
    pub fn certificates(&self) -> impl Iterator<Item = String> {
        self.all.iter().map(|replica| replica.pod.certificate())
    }

    /// The end of what each sidecar has said.
    fn said(&self) -> String {
        let said = self.all.iter().map(|replica| {
            let said = support::last_lines(&replica.sidecar.stderr(), 40);
            format!("-- {}\n{said}\n", replica.pod.name())
        });
        said.collect()
    }
}

impl Drop for Replicas {
    /// Why requests failed may be in there.
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}
