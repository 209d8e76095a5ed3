//! `local-dev detach`: every attached webhook back as it was.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::records;
use super::select::KINDS;
use crate::cli::dry_run::{DryRunArgs, suffix};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Format, Printer};
use crate::cluster::{Cluster, Error, Mode, Selection};
use crate::injectable::{self, ANNOTATION, ObjectId, OnDrift, Outcome, Plan, Record, What};
use crate::store::{Attachment, AttachmentsFile};

/// Put every attached webhook back exactly as it was
///
/// Works after a crash or a reboot, and from another machine: the originals are in an
/// annotation on each object, and in a local file in case somebody removed it. What
/// somebody else has changed since is left alone and reported.
#[derive(Debug, Args)]
pub(super) struct Detach {
    /// Only this webhook configuration or CRD, by name; repeatable
    #[arg(long = "webhook", value_name = "NAME")]
    webhooks: Vec<String>,
    /// Only configurations and CRDs with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

pub(super) fn run(
    args: &Detach,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    crate::cli::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let selection = Selection {
            labels: args.selector.clone(),
        };
        let mut found = find(&cluster, &selection).await?;
        if !args.webhooks.is_empty() {
            found.retain(|id, _| args.webhooks.contains(&id.name));
        }
        let detached = detach(&cluster, &found, args.dry_run.mode(), printer).await?;
        show(&detached, args.dry_run.mode(), printer)?;
        let failed = detached.iter().any(|object| object.error.is_some());
        Ok(if failed {
            ExitStatus::Error
        } else {
            ExitStatus::Done
        })
    })
}

/// What became of one object.
#[derive(Debug, Serialize)]
pub(super) struct Detached {
    kind: &'static str,
    name: String,
    webhooks: Vec<DetachedWebhook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Debug, Serialize)]
struct DetachedWebhook {
    name: String,
    restored: bool,
    result: String,
}

/// The objects to detach, each with what the local file knows of it.
pub(super) type Found = BTreeMap<ObjectId, Option<Attachment>>;

/// Every object that is attached according to its annotation or to the local file.
pub(super) async fn find(cluster: &Cluster, selection: &Selection) -> anyhow::Result<Found> {
    let mut found = Found::new();
    for kind in KINDS {
        let annotated = cluster
            .list_injectable_metadata(kind, selection, |object| {
                let annotated = !object["metadata"]["annotations"][ANNOTATION].is_null();
                annotated.then(|| ObjectId::of(&object)).flatten()
            })
            .await?;
        found.extend(annotated.into_iter().map(|id| (id, None)));
    }
    // A selection by label cannot be applied to what the file remembers.
    let remembered = records::file(cluster)?.read()?;
    for attachment in remembered.objects {
        let Some(id) = attachment.object() else {
            continue;
        };
        if selection.labels.is_none() || found.contains_key(&id) {
            found.insert(id, Some(attachment));
        }
    }
    Ok(found)
}

/// Puts the objects back; one that fails does not stop the others.
pub(super) async fn detach(
    cluster: &Cluster,
    found: &Found,
    mode: Mode,
    printer: &Printer,
) -> anyhow::Result<Vec<Detached>> {
    let file = records::file(cluster)?;
    let ids: Vec<ObjectId> = found.keys().cloned().collect();
    let results = cluster
        .apply_plans(&ids, mode, |object| {
            let id = ObjectId::of(object);
            let remembered = id
                .as_ref()
                .and_then(|id| found.get(id))
                .and_then(Option::as_ref);
            plan(object, remembered, printer)
        })
        .await;
    let mut all = Vec::new();
    for (id, result) in results {
        let mut object = Detached {
            kind: id.kind.as_str(),
            name: id.name.clone(),
            webhooks: Vec::new(),
            error: None,
        };
        match result {
            Ok(Some(applied)) => {
                object.webhooks = applied
                    .plan
                    .outcomes
                    .iter()
                    .map(DetachedWebhook::of)
                    .collect();
                if mode == Mode::Apply && applied.plan.record.is_none() {
                    forget(&file, &id)?;
                }
            }
            Ok(None) => {
                printer.hint(&format!("{id} no longer exists"));
                if mode == Mode::Apply {
                    forget(&file, &id)?;
                }
                continue;
            }
            Err(error) => {
                printer.error(&anyhow::anyhow!("{id}: {error}"));
                object.error = Some(error.to_string());
            }
        }
        all.push(object);
    }
    Ok(all)
}

/// By the annotation, or by the local file where somebody removed it.
fn plan(object: &Value, remembered: Option<&Attachment>, printer: &Printer) -> Result<Plan, Error> {
    let id = ObjectId::of(object).unwrap_or_else(|| ObjectId {
        kind: injectable::Kind::ValidatingWebhookConfiguration,
        name: String::new(),
    });
    let remembered = remembered.filter(|attachment| attachment.uid == records::uid(object));
    let record = match Record::of_object(object) {
        Ok(Some(record)) => Some(record),
        Ok(None) => remembered.map(|attachment| attachment.record.clone()),
        Err(error) => match remembered {
            Some(attachment) => {
                printer.warning(&format!("{id}: {error}; used the local file instead"));
                Some(attachment.record.clone())
            }
            None => {
                return Err(injectable::Error::Record {
                    object: id,
                    source: error,
                }
                .into());
            }
        },
    };
    match record {
        Some(record) => Ok(injectable::detach(object, &record, OnDrift::Restore)?),
        // Made anew under the same name since: not what was attached.
        None => Ok(Plan {
            object: id,
            patch: None,
            outcomes: Vec::new(),
            record: None,
        }),
    }
}

fn forget(file: &AttachmentsFile, id: &ObjectId) -> anyhow::Result<()> {
    file.update(|attachments| attachments.forget(id.kind.as_str(), &id.name))?;
    Ok(())
}

impl Detached {
    /// One line a webhook, for people.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.webhooks.iter().map(|webhook| {
            format!(
                "{}/{} {}: {}",
                self.kind, self.name, webhook.name, webhook.result
            )
        })
    }
}

impl DetachedWebhook {
    fn of(outcome: &Outcome) -> Self {
        Self {
            name: outcome.webhook.clone(),
            restored: matches!(outcome.what, What::Restored { .. }),
            result: outcome.what.to_string(),
        }
    }
}

fn show(detached: &[Detached], mode: Mode, printer: &Printer) -> anyhow::Result<()> {
    let suffix = suffix(mode);
    let data = serde_json::json!({ "objects": detached });
    printer.result(&data, || {
        if printer.format() == Format::Name {
            return detached
                .iter()
                .map(|object| format!("{}/{}\n", object.kind.to_lowercase(), object.name))
                .collect();
        }
        detached
            .iter()
            .flat_map(Detached::lines)
            .map(|line| format!("{line}{suffix}\n"))
            .collect()
    })?;
    if detached.is_empty() {
        printer.hint("nothing is attached");
    }
    Ok(())
}
