//! `local-dev status`: what is attached, where to, since when, by whom.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::records;
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Format, Printer};
use crate::cluster::{Cluster, Selection};
use crate::injectable::{ObjectId, Record, Target, client_configs};

/// What is attached, where to, since when, by whom
#[derive(Debug, Args)]
pub(super) struct Status {
    /// Only configurations and CRDs with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

#[derive(Debug, Serialize)]
struct Item {
    kind: &'static str,
    name: String,
    webhook: String,
    url: String,
    service: Option<String>,
    since: String,
    by: String,
    host: String,
}

pub(super) fn run(
    args: &Status,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    crate::cli::runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let selection = Selection {
            labels: args.selector.clone(),
        };
        let found = records::find(&cluster, &selection, printer).await?;
        let mut items = Vec::new();
        let mut unmarked = Vec::new();
        for (id, known) in &found {
            match (&known.annotated, &known.remembered) {
                (Some(Ok(record)), _) => items.extend(rows(id, record, |_| true)),
                (Some(Err(error)), None) => printer.warning(&format!("{id}: {error}")),
                (Some(Err(_)) | None, Some(attachment)) => unmarked.push((id.clone(), attachment)),
                (None, None) => {}
            }
        }
        // Somebody removed the annotation; the object itself says whether that was all.
        let ids = unmarked.iter().map(|(id, _)| id.clone());
        let objects = cluster.get_injectables(ids).await;
        for ((id, object), (_, attachment)) in objects.into_iter().zip(&unmarked) {
            let Some(object) = object? else { continue };
            if records::uid(&object) == attachment.uid {
                let attached = |url: &str| calls(&object, url);
                items.extend(rows(&id, &attachment.record, attached));
            }
        }
        items.sort_by(|one, other| one.key().cmp(&other.key()));
        show(&items, printer)?;
        Ok(ExitStatus::Done)
    })
}

fn rows(id: &ObjectId, record: &Record, attached: impl Fn(&str) -> bool) -> Vec<Item> {
    let entries = record.webhooks.iter();
    entries
        .filter(|(_, entry)| attached(&entry.attached.url))
        .map(|(webhook, entry)| Item {
            kind: id.kind.as_str(),
            name: id.name.clone(),
            webhook: webhook.clone(),
            url: entry.attached.url.clone(),
            service: records::service(entry).map(|(name, ns)| format!("{name}.{ns}")),
            since: record.at.clone(),
            by: record.by.clone(),
            host: record.host.clone(),
        })
        .collect()
}

fn calls(object: &Value, url: &str) -> bool {
    let configs = client_configs(object).unwrap_or_default();
    configs
        .iter()
        .any(|config| matches!(&config.target, Ok(Target::Url(present)) if present == url))
}

impl Item {
    fn key(&self) -> (&str, &str, &str) {
        (self.kind, &self.name, &self.webhook)
    }
}

fn show(items: &[Item], printer: &Printer) -> anyhow::Result<()> {
    let data = serde_json::json!({ "items": items });
    printer.result(&data, || match printer.format() {
        Format::Name => {
            let mut names: Vec<_> = items
                .iter()
                .map(|item| format!("{}/{}\n", item.kind.to_lowercase(), item.name))
                .collect();
            names.dedup();
            names.concat()
        }
        format => {
            if items.is_empty() {
                return String::new();
            }
            let wide = format == Format::Wide;
            let mut heading = vec!["KIND", "NAME", "WEBHOOK", "URL", "SINCE", "BY"];
            if wide {
                heading.extend(["SERVICE", "HOST"]);
            }
            let mut rows: Vec<Vec<String>> = vec![heading.into_iter().map(str::to_owned).collect()];
            for item in items {
                let mut row = vec![
                    item.kind.to_owned(),
                    item.name.clone(),
                    item.webhook.clone(),
                    item.url.clone(),
                    item.since.clone(),
                    item.by.clone(),
                ];
                if wide {
                    row.push(item.service.clone().unwrap_or_default());
                    row.push(item.host.clone());
                }
                rows.push(row);
            }
            printer.table(&rows)
        }
    })?;
    if items.is_empty() {
        printer.hint("nothing is attached");
    }
    Ok(())
}
