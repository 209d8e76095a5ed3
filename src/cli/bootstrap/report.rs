//! What was done, gathered over all attempts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::Job;
use crate::cli::dry_run::suffix;
use crate::cli::report::{NameReport, names};
use crate::cli::{Format, instant};
use crate::cluster::{Mode, SecretName};
use crate::injectable::{ObjectId, Outcome, What as Done};
use crate::pki::{Authority, Certificate};
use crate::plan::Reason;

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum What {
    Created,
    Updated,
    Unchanged,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }

    /// A later attempt finds in order what an earlier one did.
    fn after(self, earlier: Option<Self>) -> Self {
        match (earlier, self) {
            (Some(earlier), Self::Unchanged) => earlier,
            (Some(Self::Created), _) => Self::Created,
            _ => self,
        }
    }
}

/// Where the CA is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum AuthorityPlace {
    Secret(#[serde(serialize_with = "shown")] SecretName),
    Directory(PathBuf),
    File(PathBuf),
}

fn shown<S: serde::Serializer>(name: &SecretName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

impl fmt::Display for AuthorityPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(secret) => write!(f, "Secret {secret}"),
            Self::Directory(path) | Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What the attempts did so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    namespaces: Vec<String>,
    authority: Option<(AuthorityReport, What)>,
    certificate: Option<CertificateReport>,
    secret: Option<(SecretName, What)>,
    cert_dir: Option<(PathBuf, What)>,
    objects: BTreeMap<ObjectId, BTreeMap<String, Vec<String>>>,
    proven: Option<usize>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorityReport {
    result: What,
    #[serde(flatten)]
    place: AuthorityPlace,
    subject: String,
    not_after: String,
    fingerprint: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateReport {
    result: &'static str,
    reason: Option<ReasonReport>,
    names: Vec<NameReport>,
    not_after: String,
    serial: String,
    fingerprint: String,
}

#[derive(Debug, Clone, Serialize)]
struct ReasonReport {
    code: &'static str,
    message: String,
}

impl Ledger {
    pub(super) fn namespace(&mut self, name: &str) {
        self.namespaces.push(name.to_owned());
    }

    pub(super) fn authority(&mut self, authority: &Authority, place: &AuthorityPlace, what: What) {
        let what = what.after(self.authority.as_ref().map(|(_, what)| *what));
        let certificate = authority.certificate();
        let report = AuthorityReport {
            result: what,
            place: place.clone(),
            subject: certificate.subject.to_string(),
            not_after: instant(certificate.validity.not_after),
            fingerprint: certificate.fingerprint(),
        };
        self.authority = Some((report, what));
    }

    pub(super) fn certificate(&mut self, leaf: &Certificate, reason: Option<Reason>) {
        let reason = reason.map(|reason| ReasonReport {
            code: reason.code(),
            message: reason.to_string(),
        });
        let earlier = self.certificate.take().and_then(|report| report.reason);
        let reason = reason.or(earlier);
        self.certificate = Some(CertificateReport {
            result: if reason.is_some() {
                "issued"
            } else {
                "unchanged"
            },
            reason,
            names: names(&leaf.names),
            not_after: instant(leaf.validity.not_after),
            serial: leaf.serial.clone(),
            fingerprint: leaf.fingerprint(),
        });
    }

    /// Whether a pair was issued by this run.
    pub(super) fn has_issued(&self) -> bool {
        self.certificate
            .as_ref()
            .is_some_and(|report| report.reason.is_some())
    }

    pub(super) fn secret(&mut self, name: &SecretName, what: What) {
        let what = what.after(self.secret.as_ref().map(|(_, what)| *what));
        self.secret = Some((name.clone(), what));
    }

    pub(super) fn cert_dir(&mut self, path: &Path, what: What) {
        let what = what.after(self.cert_dir.as_ref().map(|(_, what)| *what));
        self.cert_dir = Some((path.to_owned(), what));
    }

    pub(super) fn object(&mut self, id: &ObjectId, outcomes: &[Outcome]) {
        let webhooks = self.objects.entry(id.clone()).or_default();
        for outcome in outcomes {
            let done = webhooks.entry(outcome.webhook.clone()).or_default();
            let text = outcome.what.to_string();
            if outcome.what != Done::Unchanged && !done.contains(&text) {
                done.push(text);
            }
        }
    }

    pub(super) fn proven(&mut self, count: usize) {
        self.proven = Some(count);
    }

    pub(super) fn report(self, job: &Job<'_>) -> anyhow::Result<Report> {
        let (authority, _) = self.authority.context("no CA was used")?;
        let certificate = self.certificate.context("no pair was made")?;
        let objects: Vec<ObjectReport> = self
            .objects
            .into_iter()
            .map(|(id, webhooks)| ObjectReport::of(&id, webhooks))
            .collect();
        let secret = self.secret.map(|(name, result)| SecretReport {
            name: name.to_string(),
            result,
        });
        let cert_dir = self
            .cert_dir
            .map(|(path, result)| CertDirReport { path, result });
        let changed = authority.result != What::Unchanged
            || secret.as_ref().is_some_and(|s| s.result != What::Unchanged)
            || cert_dir
                .as_ref()
                .is_some_and(|d| d.result != What::Unchanged)
            || objects.iter().any(|object| object.changed)
            || !self.namespaces.is_empty();
        Ok(Report {
            changed,
            dry_run: job.mode != Mode::Apply,
            services: job.services.iter().map(ToString::to_string).collect(),
            namespaces_created: self.namespaces,
            authority,
            certificate,
            secret,
            cert_dir,
            objects,
            proven: self.proven.is_some(),
            webhooks_proven: self.proven.unwrap_or_default(),
        })
    }
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    changed: bool,
    dry_run: bool,
    services: Vec<String>,
    namespaces_created: Vec<String>,
    authority: AuthorityReport,
    certificate: CertificateReport,
    secret: Option<SecretReport>,
    cert_dir: Option<CertDirReport>,
    objects: Vec<ObjectReport>,
    proven: bool,
    #[serde(skip)]
    webhooks_proven: usize,
}

#[derive(Debug, Serialize)]
struct SecretReport {
    name: String,
    result: What,
}

#[derive(Debug, Serialize)]
struct CertDirReport {
    path: PathBuf,
    result: What,
}

#[derive(Debug, Serialize)]
struct ObjectReport {
    kind: &'static str,
    name: String,
    changed: bool,
    webhooks: Vec<WebhookReport>,
}

#[derive(Debug, Serialize)]
struct WebhookReport {
    name: String,
    changed: bool,
    result: String,
}

impl ObjectReport {
    fn of(id: &ObjectId, webhooks: BTreeMap<String, Vec<String>>) -> Self {
        let webhooks: Vec<WebhookReport> = webhooks
            .into_iter()
            .map(|(name, done)| WebhookReport {
                name,
                changed: !done.is_empty(),
                result: if done.is_empty() {
                    Done::Unchanged.to_string()
                } else {
                    done.join(", ")
                },
            })
            .collect();
        Self {
            kind: id.kind.as_str(),
            name: id.name.clone(),
            changed: webhooks.iter().any(|webhook| webhook.changed),
            webhooks,
        }
    }
}

impl Report {
    /// Writes it to stdout, and what follows from it to stderr.
    pub(super) fn show(&self, job: &Job<'_>) -> anyhow::Result<()> {
        let suffix = suffix(job.mode);
        job.printer.result(self, || {
            if job.printer.format() == Format::Name {
                self.names()
            } else {
                self.text(suffix)
            }
        })?;
        if self.proven {
            let what = match self.webhooks_proven {
                1 => "1 webhook is".to_owned(),
                count => format!("{count} webhooks are"),
            };
            job.printer.hint(&format!(
                "{what} reached by the API server over TLS that it trusts"
            ));
        } else if job.mode == Mode::Apply && !job.args.no_inject {
            job.printer
                .hint("not proven: --wait has the API server call every webhook");
        }
        Ok(())
    }

    fn names(&self) -> String {
        let mut lines = Vec::new();
        if let AuthorityPlace::Secret(secret) = &self.authority.place {
            lines.push(format!("secret/{}", secret.name));
        }
        if let Some(secret) = &self.secret {
            let name = secret.name.rsplit('/').next().unwrap_or(&secret.name);
            lines.push(format!("secret/{name}"));
        }
        for object in &self.objects {
            lines.push(format!("{}/{}", object.kind.to_lowercase(), object.name));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn text(&self, suffix: &str) -> String {
        let mut lines = Vec::new();
        for namespace in &self.namespaces_created {
            lines.push(format!("Namespace/{namespace}: created{suffix}"));
        }
        let authority = &self.authority;
        lines.push(format!(
            "CA in {}: {}{suffix}, valid until {}",
            authority.place,
            authority.result.as_str(),
            authority.not_after
        ));
        let certificate = &self.certificate;
        let reason = certificate
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(" ({})", reason.message));
        let places = [
            self.secret
                .as_ref()
                .map(|secret| (format!("Secret {}", secret.name), secret.result)),
            self.cert_dir
                .as_ref()
                .map(|dir| (dir.path.display().to_string(), dir.result)),
        ];
        for (place, result) in places.into_iter().flatten() {
            let reason = if result == What::Unchanged {
                ""
            } else {
                &reason
            };
            lines.push(format!(
                "pair in {place}: {}{reason}{suffix}, valid until {}",
                result.as_str(),
                certificate.not_after
            ));
        }
        for object in &self.objects {
            for webhook in &object.webhooks {
                let name = if webhook.name == object.name {
                    String::new()
                } else {
                    format!(" {}", webhook.name)
                };
                let suffix = if webhook.changed { suffix } else { "" };
                lines.push(format!(
                    "{}/{}{name}: {}{suffix}",
                    object.kind, object.name, webhook.result
                ));
            }
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
