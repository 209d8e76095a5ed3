//! Proof that the API server reaches this machine, waited for as long as it makes sense.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::time::Instant;

use super::reach::url_base;
use crate::cli::{Printer, TimedOut};
use crate::cluster::{Cluster, Error, ProbeTarget, Proof, Until, Verdict, listens, prove};
use crate::pki::{Host, TrustBundle};

/// How long a server that watches its files may take to load a pair that is new.
const RELOAD: Duration = Duration::from_secs(15);
/// Between two looks at whether something listens.
const LOOK: Duration = Duration::from_millis(100);
/// Between two proofs that fail.
const RETRY: Duration = Duration::from_millis(300);

/// What has to be proven.
pub(super) struct Proving<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) printer: &'a Printer,
    /// Hosts to try, likeliest first.
    pub(super) hosts: &'a [Host],
    /// Whether all of them lead to this machine itself.
    pub(super) local: bool,
    pub(super) port: u16,
    /// The distinct paths that are to be called.
    pub(super) paths: &'a [String],
    pub(super) bundle: &'a TrustBundle,
    /// Whether the pair was written just now.
    pub(super) is_new: bool,
    /// Until when to wait for a server; without it one try must do.
    pub(super) deadline: Option<Instant>,
}

impl Proving<'_> {
    /// The host at which the API server reaches this machine.
    pub(super) async fn host(&self) -> anyhow::Result<Host> {
        let started = Instant::now();
        let mut waiting = Waiting {
            printer: self.printer,
            said: None,
        };
        if let Some(deadline) = self.deadline.filter(|_| self.local) {
            self.await_listener(deadline, &mut waiting).await;
        }
        loop {
            let (problem, telling) = match self.find().await {
                Ok(Ok(reached)) => return Ok(self.comment(reached)),
                Ok(Err(tried)) => failure(self.port, &tried)?,
                Err(error) if error.is_transient() => (error.to_string(), None),
                Err(error) => return Err(unprovable(error)),
            };
            let reloads = self.is_new && telling == Some(Verdict::NotTrusted);
            let until = self.deadline.or(reloads.then_some(started + RELOAD));
            match until {
                Some(until) if Instant::now() < until => {
                    waiting.say(telling, &problem);
                    tokio::time::sleep(RETRY).await;
                }
                Some(_) if self.deadline.is_some() => {
                    let message = format!("timed out: {problem}\nnothing was changed");
                    return Err(TimedOut(message).into());
                }
                _ => bail!("{problem}\nnothing was changed"),
            }
        }
    }

    /// Waits for a server of this machine without asking the API server, which may take
    /// seconds for each host that is none.
    async fn await_listener(&self, deadline: Instant, waiting: &mut Waiting<'_>) {
        let ips: Vec<IpAddr> = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            .into_iter()
            .chain(self.hosts.iter().filter_map(|host| match host {
                Host::Ip(ip) => Some(*ip),
                Host::Dns(_) => None,
            }))
            .collect();
        while Instant::now() < deadline {
            for ip in &ips {
                if listens(*ip, self.port).await {
                    return;
                }
            }
            waiting.say(
                Some(Verdict::NotListening),
                &format!("nothing listens on port {} of this machine yet", self.port),
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Has the API server call the first path at every host, and the others where it arrives.
    async fn find(&self) -> crate::cluster::Result<Result<Reached, Vec<(Host, Proof)>>> {
        let Some((first, rest)) = self.paths.split_first() else {
            return Ok(Err(Vec::new()));
        };
        let targets: Vec<_> = self
            .hosts
            .iter()
            .map(|host| self.target(host, first))
            .collect();
        let namespace = &self.cluster.namespace;
        let proofs = prove(self.cluster, &targets, namespace, Until::FirstProof).await?;
        let mut tried: Vec<_> = self.hosts.iter().cloned().zip(proofs).collect();
        let Some((host, proof)) = tried.pop_if(|(_, proof)| proof.verdict.is_proof()) else {
            return Ok(Err(tried));
        };
        let targets: Vec<_> = rest.iter().map(|path| self.target(&host, path)).collect();
        let mut proofs = vec![(first.clone(), proof)];
        if !targets.is_empty() {
            let others = prove(self.cluster, &targets, namespace, Until::All).await?;
            proofs.extend(rest.iter().cloned().zip(others));
        }
        Ok(Ok(Reached { host, proofs }))
    }

    fn target(&self, host: &Host, path: &str) -> ProbeTarget {
        ProbeTarget {
            client_config: json!({
                "url": format!("{}{path}", url_base(host, self.port)),
                "caBundle": STANDARD.encode(self.bundle.to_pem()),
            }),
        }
    }

    fn comment(&self, reached: Reached) -> Host {
        for (path, proof) in &reached.proofs {
            let path = if path.is_empty() { "/" } else { path };
            match proof.verdict {
                Verdict::PathNotServed => self.printer.warning(&format!(
                    "the server on this machine is reached, but does not serve {path}: is this webhook registered in it?"
                )),
                verdict if verdict.is_proof() => {
                    let said = proof.cause();
                    let said = if said.is_empty() { "allowed" } else { said };
                    self.printer.detail(&format!("{path} is reached: {said}"));
                }
                _ => self.printer.warning(&format!("{path}: {}", proof.message)),
            }
        }
        reached.host
    }
}

/// A host at which the API server reaches this machine.
struct Reached {
    host: Host,
    /// Each path with what the API server said of it.
    proofs: Vec<(String, Proof)>,
}

/// Says why it waits, each time that the reason changes.
struct Waiting<'a> {
    printer: &'a Printer,
    said: Option<Option<Verdict>>,
}

impl Waiting<'_> {
    fn say(&mut self, verdict: Option<Verdict>, problem: &str) {
        if self.said != Some(verdict) {
            self.printer.progress(&format!("waiting: {problem}"));
            self.said = Some(verdict);
        }
    }
}

/// Why no host works: the failure that says most in full, the others by their causes.
fn failure(port: u16, tried: &[(Host, Proof)]) -> anyhow::Result<(String, Option<Verdict>)> {
    // What listens but is not trusted says more than what does not answer.
    let rank = |verdict: Verdict| match verdict {
        Verdict::NotTrusted => 0,
        Verdict::Inconclusive => 1,
        Verdict::NotListening => 2,
        _ => 3,
    };
    let Some((host, proof)) = tried.iter().min_by_key(|(_, proof)| rank(proof.verdict)) else {
        bail!("there is no host to try");
    };
    let mut problem = explain(host, port, proof);
    if proof.verdict != Verdict::Inconclusive {
        for (other, proof) in tried.iter().filter(|(other, _)| other != host) {
            problem.push_str(&format!("\n  also tried {other}: {}", proof.cause()));
        }
    }
    Ok((problem, Some(proof.verdict)))
}

/// Why the API server does not reach this machine, in its own words, and what to do.
fn explain(host: &Host, port: u16, proof: &Proof) -> String {
    let said = format!("the API server says: {}", proof.message);
    match proof.verdict {
        Verdict::NotListening => format!(
            "nothing listens on {host} port {port}: start your operator first, or use --wait, or `certtool local-dev run -- COMMAND`; {said}"
        ),
        Verdict::NotTrusted => format!(
            "something listens on {host} port {port}, but the API server does not trust it: does it serve the pair that certtool wrote? {said}"
        ),
        Verdict::Inconclusive => format!(
            "the probe, a ConfigMap that is never stored, was stopped before it came to this machine: \
             choose a namespace that allows it with --namespace, or do without the proof with --skip-proof; {said}"
        ),
        _ => format!(
            "the API server does not reach {host} port {port}: name a host that it can reach with --url-host; {said}"
        ),
    }
}

/// A right that only the proof needs can be done without.
fn unprovable(error: Error) -> anyhow::Error {
    let hint = matches!(error, Error::Forbidden { .. });
    let error = anyhow::Error::new(error);
    if hint {
        anyhow::anyhow!("{error}\nor do without the proof with --skip-proof")
    } else {
        error
    }
}
