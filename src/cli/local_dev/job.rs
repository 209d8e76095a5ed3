//! The steps of an attachment: which webhooks, certificates, proof, and the change, which
//! happens as a whole or not at all.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::certs::{self, CertArgs, FoundServices};
use super::proof::Proving;
use super::reach::{self, ReachArgs, UrlHost};
use super::records::{self, Found, Known, Memory};
use super::restore::{self, Detached, Which};
use super::select::Choice;
use crate::cli::{Printer, instant};
use crate::cluster::{Applied, Cluster, Mode};
use crate::injectable::{
    self, AttachTo, ClientConfig, ObjectId, Outcome, Record, Target, Tool, What, client_configs,
    managers,
};
use crate::pki::{Host, TrustBundle};

/// An attachment to be made.
pub(super) struct Job<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) choice: &'a Choice,
    pub(super) certs: &'a CertArgs,
    pub(super) found: &'a FoundServices,
    pub(super) reach: &'a ReachArgs,
    pub(super) mode: Mode,
    /// How long to wait for a server; without it one try must do.
    pub(super) patience: Option<Duration>,
    /// The session that puts it back.
    pub(super) session: Option<&'a str>,
    pub(super) printer: &'a Printer,
}

/// What was attached.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attached {
    url_host: String,
    port: u16,
    proven: bool,
    pub(super) objects: Vec<AttachedObject>,
}

#[derive(Debug, Serialize)]
pub(super) struct AttachedObject {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) webhooks: Vec<AttachedWebhook>,
}

#[derive(Debug, Serialize)]
pub(super) struct AttachedWebhook {
    pub(super) name: String,
    attached: bool,
    changed: bool,
    pub(super) result: String,
}

/// Everything that the change needs.
struct Ready {
    objects: Vec<Value>,
    host: Host,
    bundle: TrustBundle,
    proven: bool,
}

impl Job<'_> {
    /// Attaches, unless `stop` comes first: then nothing was changed, and there is no result.
    /// Not to be dropped half-way.
    pub(super) async fn attach(
        &self,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<Option<Attached>> {
        let ready = tokio::select! {
            biased;
            () = stop => None,
            ready = self.prepare() => Some(ready?),
        };
        match ready {
            Some(ready) => self.change(ready).await.map(Some),
            None => {
                self.cluster.settled().await;
                Ok(None)
            }
        }
    }

    async fn prepare(&self) -> anyhow::Result<Ready> {
        let deadline = self.patience.map(|patience| Instant::now() + patience);
        let objects = self.choice.find(self.cluster).await?;
        let paths = self.paths(&objects)?;
        let mut hosts = reach::hosts(self.cluster, &self.reach.url_host).await;
        let now = OffsetDateTime::now_utc();
        if self.mode != Mode::Apply {
            // The pair is a file of this machine, and stays as it is too.
            let bundle = certs::existing_bundle(self.certs, now)?;
            return Ok(Ready {
                objects,
                host: hosts.swap_remove(0),
                bundle,
                proven: false,
            });
        }
        let ensured = certs::ensure(self.certs, self.found, &hosts, now)?;
        // A session has made its certificates, and said so, before its command was started.
        if self.session.is_none() {
            for warning in &ensured.warnings {
                self.printer.warning(warning);
            }
        }
        if let Some(reason) = &ensured.reason {
            let directory = ensured.cert_dir.display();
            self.printer
                .hint(&format!("new pair in {directory}: {reason}"));
        }
        let bundle = TrustBundle::new([ensured.authority.authority.trust_anchor().clone()]);
        let host = if self.reach.skip_proof {
            hosts.swap_remove(0)
        } else {
            let proving = Proving {
                cluster: self.cluster,
                printer: self.printer,
                hosts: &hosts,
                local: self.reach.url_host == UrlHost::Auto,
                port: self.reach.port,
                paths: &paths,
                bundle: &bundle,
                is_new: ensured.reason.is_some(),
                deadline,
            };
            proving.host().await?
        };
        Ok(Ready {
            objects,
            host,
            bundle,
            proven: !self.reach.skip_proof,
        })
    }

    /// The distinct paths that the chosen webhooks are called at.
    fn paths(&self, objects: &[Value]) -> anyhow::Result<Vec<String>> {
        let mut paths = Vec::new();
        let mut others = Vec::new();
        for object in objects {
            let Some(id) = ObjectId::of(object) else {
                continue;
            };
            let record = Record::of_object(object).ok().flatten();
            let configs = client_configs(object)?;
            for config in configs
                .iter()
                .filter(|config| self.choice.has(object, config))
            {
                let name = config.webhook.as_ref().unwrap_or(&id.name);
                match path(config, record.as_ref(), name) {
                    Ok(path) if paths.contains(&path) => {}
                    Ok(path) => paths.push(path),
                    Err(reason) => others.push(format!("{id} {name}: {reason}")),
                }
            }
        }
        if paths.is_empty() {
            bail!(
                "there is nothing to attach: none of the webhooks {} calls a Service\n{}",
                self.choice.describe(),
                others.join("\n")
            );
        }
        Ok(paths)
    }

    async fn change(&self, ready: Ready) -> anyhow::Result<Attached> {
        let to = AttachTo {
            url_base: reach::url_base(&ready.host, self.reach.port),
            ca_bundle_pem: ready.bundle.to_pem().into_bytes(),
            by: records::who(),
            host: records::machine(),
            at: instant(OffsetDateTime::now_utc().replace_nanosecond(0)?),
        };
        let memory = Memory::of(self.cluster)?;
        let plan = |_: &ObjectId, object: &Value| {
            let chosen = |config: &ClientConfig| self.choice.has(object, config);
            Ok(injectable::attach(object, &to, chosen)?)
        };
        let note = |applied: &[Applied]| match self.mode {
            Mode::Apply => memory.remember(applied, self.session),
            Mode::Check | Mode::Plan => Ok(()),
        };
        let results = self
            .cluster
            .apply_plans(ready.objects, self.mode, plan, note)
            .await?;
        let mut attached = Attached {
            url_host: ready.host.to_string(),
            port: self.reach.port,
            proven: ready.proven,
            objects: Vec::new(),
        };
        let mut done = Vec::new();
        let mut failed = Vec::new();
        for (id, result) in results {
            match result {
                Ok(Some(applied)) => {
                    self.warn(&id, &applied);
                    attached
                        .objects
                        .push(AttachedObject::of(&id, &applied.plan.outcomes));
                    done.push(applied);
                }
                Ok(None) => {
                    self.printer
                        .warning(&format!("{id} was deleted in the meantime"));
                    let forgotten = [(id, None)];
                    if let Err(error) = memory.update(&forgotten) {
                        self.printer.warning(&error.to_string());
                    }
                }
                Err(error) => failed.push(format!("{id}: {error}")),
            }
        }
        if !failed.is_empty() {
            let undone = self.undo(&done).await;
            bail!("{}\n{undone}", failed.join("\n"));
        }
        if self.session.is_some() && self.mode == Mode::Apply {
            // What was attached already, by whatever process, ends with this session too.
            memory.remember(&done, self.session)?;
        }
        Ok(attached)
    }

    /// Says who may undo this, and from whom it was taken.
    fn warn(&self, id: &ObjectId, applied: &Applied) {
        let outcomes = &applied.plan.outcomes;
        if !outcomes.iter().any(Outcome::is_attached) {
            return;
        }
        if let Ok(Some(before)) = Record::of_object(&applied.before)
            && !records::is_ours(&before)
        {
            let urls: Vec<_> = outcomes
                .iter()
                .filter(|outcome| matches!(outcome.what, What::Attached { again: true, .. }))
                .filter_map(|outcome| before.webhooks.get(&outcome.webhook))
                .map(|entry| entry.attached.url.as_str())
                .collect();
            if !urls.is_empty() {
                self.printer.warning(&format!(
                    "{id} was attached to {} by {} since {}, and is not any more",
                    urls.join(", "),
                    before.by,
                    before.at
                ));
            }
        }
        for manager in managers(&applied.before) {
            // kubectl does nothing of its own accord.
            let is_kubectl = manager.tool == Tool::FieldManager
                && manager
                    .name
                    .as_deref()
                    .is_some_and(|name| name.starts_with("kubectl"));
            if !is_kubectl {
                self.printer.warning(&format!("{id}: {manager}"));
            }
        }
    }

    /// Takes back what was attached before something failed; what became of it.
    async fn undo(&self, done: &[Applied]) -> String {
        const NOTHING: &str = "nothing was changed";
        if self.mode != Mode::Apply {
            return NOTHING.to_owned();
        }
        let mut kept = 0;
        let mut found = Found::new();
        for applied in done {
            match &applied.plan.record {
                Some(record) if applied.plan.patch.is_some() => {
                    if Record::of_object(&applied.before) == Ok(None) {
                        let known = Known::annotated(Ok(record.clone()));
                        found.insert(applied.plan.object.clone(), known);
                    } else {
                        kept += 1;
                    }
                }
                _ => {}
            }
        }
        if found.is_empty() && kept == 0 {
            return NOTHING.to_owned();
        }
        let put_back =
            restore::put_back(self.cluster, &found, Which::All, self.mode, self.printer).await;
        let failures = match put_back {
            Ok(detached) => detached.iter().filter_map(Detached::failure).collect(),
            Err(error) => vec![error.to_string()],
        };
        if failures.is_empty() && kept == 0 {
            return "those that were attached were put back: nothing is changed".to_owned();
        }
        let mut lines =
            vec!["others are attached; `certtool local-dev detach` puts them back".to_owned()];
        lines.extend(failures);
        lines.join("\n")
    }
}

/// The path that a webhook is called at, or why it is left alone.
fn path(config: &ClientConfig, record: Option<&Record>, name: &str) -> Result<String, String> {
    match &config.target {
        Ok(Target::Service(service)) => Ok(service.path.clone().unwrap_or_default()),
        Ok(Target::Url(url)) => {
            let entry = record.and_then(|record| record.webhooks.get(name));
            match entry.filter(|entry| entry.attached.url == *url) {
                Some(entry) => {
                    let path = entry.original["service"]["path"].as_str();
                    Ok(path.unwrap_or_default().to_owned())
                }
                None => Err(format!("it calls {url}")),
            }
        }
        Err(error) => Err(error.to_string()),
    }
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
                    attached: outcome.is_attached(),
                    changed: matches!(outcome.what, What::Attached { .. }),
                    result: outcome.what.to_string(),
                })
                .collect(),
        }
    }
}

impl Attached {
    /// One line for people.
    pub(super) fn summary(&self) -> String {
        let webhooks = self.objects.iter().flat_map(|object| &object.webhooks);
        let count = match webhooks.filter(|webhook| webhook.attached).count() {
            1 => "1 webhook is attached".to_owned(),
            count => format!("{count} webhooks are attached"),
        };
        let proven = if self.proven {
            ", proven by a request through it"
        } else {
            ""
        };
        format!(
            "{count}: the API server calls {} port {}{proven}",
            self.url_host, self.port
        )
    }
}
