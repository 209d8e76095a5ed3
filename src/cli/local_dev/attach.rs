//! `local-dev attach`: the cluster's webhooks call this machine.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::certs::{self, CertArgs, Ensured, FoundServices};
use super::reach::{self, Reached, UrlHost};
use super::records;
use super::report::rfc3339;
use super::select::{Choice, SelectArgs};
use crate::cli::dry_run::{DryRunArgs, suffix};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Format, Printer, TimedOut, duration};
use crate::cluster::{Cluster, Mode, Proof, Verdict};
use crate::injectable::{
    self, AttachTo, ObjectId, Outcome, Record, Target, What, client_configs, managers,
};
use crate::pki::{Host, TrustBundle};

/// Point the cluster's webhooks at this machine, and prove that they arrive
///
/// clientConfig.service becomes clientConfig.url with the local CA as caBundle; path,
/// selectors, policies and every other field stay. The original is kept in an annotation
/// and in a local file; `local-dev detach` puts it back. Nothing is changed unless the API
/// server is proven to reach this machine over TLS that it trusts.
#[derive(Debug, Args)]
pub(super) struct Attach {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) reach: ReachArgs,
    /// Wait until something listens and answers
    #[arg(long)]
    pub(super) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub(super) timeout: time::Duration,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    pub(super) certs: CertArgs,
}

/// Where the API server is to call.
#[derive(Debug, Clone, Args)]
pub(super) struct ReachArgs {
    /// By which host the API server reaches this machine; auto tries and proves
    #[arg(long, value_name = "auto|HOST", default_value = "auto")]
    pub(super) url_host: UrlHost,
    /// The port that the webhook server listens on
    #[arg(long, value_name = "PORT", default_value_t = 9443)]
    pub(super) port: u16,
    /// Attach without the proof that the API server reaches this machine
    #[arg(long)]
    pub(super) skip_proof: bool,
}

pub(super) fn run(
    args: &Attach,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let found = certs::find_services(&args.certs, printer)?;
    let choice = Choice::new(&args.select, &found.services, &found.objects)?;
    crate::cli::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let job = Job {
            cluster: &cluster,
            choice: &choice,
            printer,
        };
        let patience = args.wait.then(|| args.timeout.unsigned_abs());
        let attached = job
            .attach(
                &args.certs,
                &found,
                &args.reach,
                args.dry_run.mode(),
                patience,
            )
            .await?;
        show(&attached, args.dry_run.mode(), printer)?;
        Ok(ExitStatus::Done)
    })
}

/// What `attach` works on.
pub(super) struct Job<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) choice: &'a Choice,
    pub(super) printer: &'a Printer,
}

/// What was attached.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attached {
    url_host: String,
    port: u16,
    proven: bool,
    objects: Vec<AttachedObject>,
}

#[derive(Debug, Serialize)]
struct AttachedObject {
    kind: &'static str,
    name: String,
    webhooks: Vec<AttachedWebhook>,
}

#[derive(Debug, Serialize)]
struct AttachedWebhook {
    name: String,
    changed: bool,
    result: String,
}

impl Job<'_> {
    /// Certificates, proof, then the change. Without `patience` one try must do.
    pub(super) async fn attach(
        &self,
        certs: &CertArgs,
        found: &FoundServices,
        reach: &ReachArgs,
        mode: Mode,
        patience: Option<Duration>,
    ) -> anyhow::Result<Attached> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let objects = self.choice.find(self.cluster).await?;
        if objects.is_empty() {
            bail!(
                "no webhook {} in {}; `kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations` lists them",
                self.choice.describe(),
                self.cluster.server
            );
        }
        let paths = self.paths(&objects).await?;
        if paths.is_empty() {
            bail!(
                "the webhooks {} call no Service: there is nothing to attach",
                self.choice.describe()
            );
        }
        let hosts = reach::hosts(self.cluster, &reach.url_host).await;
        let now = OffsetDateTime::now_utc();
        if mode != Mode::Apply {
            // The pair is a file of this machine, and stays as it is too.
            let bundle = certs::existing_bundle(certs, now)?;
            return self
                .change(&objects, &hosts[..1], reach.port, &bundle, mode, false)
                .await;
        }
        let ensured = certs::ensure(certs, found, &hosts, now)?;
        for warning in &ensured.warnings {
            self.printer.warning(warning);
        }
        if let Some(reason) = &ensured.reason {
            self.printer.hint(&format!(
                "new pair in {}: {reason}",
                ensured.cert_dir.display()
            ));
        }
        let bundle = TrustBundle::new([ensured.authority.authority.trust_anchor().clone()]);
        if reach.skip_proof {
            return self
                .change(&objects, &hosts[..1], reach.port, &bundle, mode, false)
                .await;
        }
        let reached = self
            .reach(&hosts, reach.port, &paths, &bundle, &ensured, deadline)
            .await?;
        for (path, proof) in &reached.proofs {
            self.comment(path, proof);
        }
        self.change(&objects, &[reached.host], reach.port, &bundle, mode, true)
            .await
    }

    /// The distinct paths that the chosen webhooks are called at.
    async fn paths(&self, objects: &[ObjectId]) -> anyhow::Result<Vec<String>> {
        let mut paths = Vec::new();
        for id in objects {
            let Some(object) = self.cluster.get_injectable(id).await? else {
                continue;
            };
            let record = Record::of_object(&object).ok().flatten();
            for config in client_configs(&object).map_err(crate::cluster::Error::from)? {
                if !self.choice.has(&object, &config) {
                    continue;
                }
                let path = match &config.target {
                    Ok(Target::Service(service)) => service.path.clone().unwrap_or_default(),
                    Ok(Target::Url(url)) => {
                        let name = config.webhook.as_ref().unwrap_or(&id.name);
                        let Some(entry) =
                            record.as_ref().and_then(|record| record.webhooks.get(name))
                        else {
                            continue;
                        };
                        if entry.attached.url != *url {
                            continue;
                        }
                        entry.original["service"]["path"]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned()
                    }
                    Err(_) => continue,
                };
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
        Ok(paths)
    }

    async fn reach(
        &self,
        hosts: &[Host],
        port: u16,
        paths: &[String],
        bundle: &TrustBundle,
        ensured: &Ensured,
        deadline: Option<Instant>,
    ) -> anyhow::Result<Reached> {
        // A server that watches its files takes a moment to load a pair that is new.
        const RELOAD: Duration = Duration::from_secs(15);
        let reload = Instant::now() + RELOAD;
        let pem = bundle.to_pem().into_bytes();
        let mut said = None;
        loop {
            let tried = match reach::find(self.cluster, hosts, port, paths, &pem).await? {
                Ok(reached) => return Ok(reached),
                Err(tried) => tried,
            };
            let Some((host, proof)) = reach::most_telling(&tried) else {
                bail!("there is no host to try");
            };
            let now = Instant::now();
            let reloading = ensured.reason.is_some() && proof.verdict == Verdict::NotTrusted;
            let until = deadline.or((reloading && now < reload).then_some(reload));
            let problem = explain(host, port, proof);
            match until {
                Some(until) if now < until => {
                    if said.as_ref() != Some(&proof.verdict) {
                        self.printer.progress(&format!("waiting: {problem}"));
                        said = Some(proof.verdict);
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Some(_) if deadline.is_some() => {
                    return Err(
                        TimedOut(format!("timed out: {problem}\nnothing was changed")).into(),
                    );
                }
                _ => bail!("{problem}{}\nnothing was changed", others(&tried, host)),
            }
        }
    }

    /// The change itself: the local file first, so that a kill in between loses no original.
    async fn change(
        &self,
        objects: &[ObjectId],
        hosts: &[Host],
        port: u16,
        bundle: &TrustBundle,
        mode: Mode,
        proven: bool,
    ) -> anyhow::Result<Attached> {
        let host = hosts
            .first()
            .ok_or_else(|| anyhow::anyhow!("there is no host to try"))?;
        let to = AttachTo {
            url_base: reach::url_base(host, port),
            ca_bundle_pem: bundle.to_pem().into_bytes(),
            by: records::who(),
            host: records::machine(),
            at: rfc3339(OffsetDateTime::now_utc().replace_nanosecond(0)?),
        };
        let file = records::file(self.cluster)?;
        let results = self
            .cluster
            .apply_plans(objects, mode, |object| {
                let plan =
                    injectable::attach(object, &to, |config| self.choice.has(object, config))?;
                if mode == Mode::Apply && plan.patch.is_some() {
                    records::remember(&file, object, &plan)?;
                }
                Ok(plan)
            })
            .await;
        let mut attached = Attached {
            url_host: host.to_string(),
            port,
            proven,
            objects: Vec::new(),
        };
        let mut failed = Vec::new();
        for (id, result) in results {
            match result {
                Ok(Some(applied)) => {
                    if changes(&applied.plan.outcomes) {
                        for manager in managers(&applied.before) {
                            self.printer.warning(&format!("{id}: {manager}"));
                        }
                    }
                    attached
                        .objects
                        .push(AttachedObject::of(&id, &applied.plan.outcomes));
                }
                Ok(None) => self
                    .printer
                    .warning(&format!("{id} was deleted in the meantime")),
                Err(error) => failed.push(format!("{id}: {error}")),
            }
        }
        if !failed.is_empty() {
            bail!(
                "not all webhooks were attached; `certtool local-dev detach` puts back those that were\n{}",
                failed.join("\n")
            );
        }
        Ok(attached)
    }

    fn comment(&self, path: &str, proof: &Proof) {
        let path = if path.is_empty() { "/" } else { path };
        match proof.verdict {
            Verdict::PathNotServed => self.printer.warning(&format!(
                "the server on this machine is reached, but does not serve {path}: is this webhook registered in it?"
            )),
            verdict if verdict.is_proof() => {
                self.printer.detail(&format!("{path}: reached {}", proof.message));
            }
            _ => self.printer.warning(&format!("{path}: {}", proof.message)),
        }
    }
}

fn changes(outcomes: &[Outcome]) -> bool {
    outcomes
        .iter()
        .any(|outcome| matches!(outcome.what, What::Attached { .. }))
}

impl AttachedObject {
    fn of(id: &ObjectId, outcomes: &[Outcome]) -> Self {
        Self {
            kind: id.kind.as_str(),
            name: id.name.clone(),
            webhooks: outcomes
                .iter()
                .map(|outcome| AttachedWebhook {
                    name: outcome.webhook.clone(),
                    changed: matches!(outcome.what, What::Attached { .. }),
                    result: outcome.what.to_string(),
                })
                .collect(),
        }
    }
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
            "the probe was stopped before it came to this machine, by somebody else's admission control; {said}"
        ),
        _ => format!(
            "the API server does not reach {host} port {port}: name a host that it can reach with --url-host; {said}"
        ),
    }
}

fn others(tried: &[(Host, Proof)], said: &Host) -> String {
    let others: Vec<_> = tried
        .iter()
        .filter(|(host, _)| host != said)
        .map(|(host, proof)| format!("\n  also tried {host}: {}", proof.message))
        .collect();
    others.concat()
}

/// Writes the result to stdout.
fn show(attached: &Attached, mode: Mode, printer: &Printer) -> anyhow::Result<()> {
    let suffix = suffix(mode);
    printer.result(attached, || {
        if printer.format() == Format::Name {
            return attached
                .objects
                .iter()
                .map(|object| format!("{}/{}\n", object.kind.to_lowercase(), object.name))
                .collect();
        }
        attached
            .objects
            .iter()
            .flat_map(|object| {
                object.webhooks.iter().map(move |webhook| {
                    format!(
                        "{}/{} {}: {}{suffix}\n",
                        object.kind, object.name, webhook.name, webhook.result
                    )
                })
            })
            .collect()
    })?;
    if mode == Mode::Apply {
        printer.hint(&format!(
            "{}; `certtool local-dev detach` puts everything back",
            attached.summary()
        ));
    }
    Ok(())
}

impl Attached {
    /// One line for people.
    pub(super) fn summary(&self) -> String {
        let webhooks: usize = self
            .objects
            .iter()
            .map(|object| object.webhooks.len())
            .sum();
        let proven = if self.proven {
            ", proven by a request through it"
        } else {
            ""
        };
        format!(
            "{webhooks} webhooks are attached: the API server calls {} port {}{proven}",
            self.url_host, self.port
        )
    }
}
