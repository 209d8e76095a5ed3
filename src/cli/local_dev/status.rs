//! `local-dev status`: what is attached, where to, since when, by whom.

use clap::Args;
use serde::Serialize;

use super::select::KINDS;
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Format, Printer};
use crate::cluster::{Cluster, Selection};
use crate::injectable::{ANNOTATION, ObjectId, Record, RecordError};

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
        let mut items = Vec::new();
        for kind in KINDS {
            let records = cluster
                .list_injectable_metadata(kind, &selection, |object| {
                    let annotation = object["metadata"]["annotations"][ANNOTATION].as_str()?;
                    Some((ObjectId::of(&object)?, Record::parse(annotation)))
                })
                .await?;
            for (id, record) in records {
                match record {
                    Ok(record) => items.extend(rows(&id, &record)),
                    Err(error) => warn(&id, &error, printer),
                }
            }
        }
        show(&items, printer)?;
        Ok(ExitStatus::Done)
    })
}

fn warn(id: &ObjectId, error: &RecordError, printer: &Printer) {
    printer.warning(&format!("{id}: {error}"));
}

fn rows<'a>(id: &'a ObjectId, record: &'a Record) -> impl Iterator<Item = Item> + 'a {
    record.webhooks.iter().map(|(webhook, entry)| {
        let service = &entry.original["service"];
        let text = |key: &str| service[key].as_str();
        Item {
            kind: id.kind.as_str(),
            name: id.name.clone(),
            webhook: webhook.clone(),
            url: entry.attached.url.clone(),
            service: text("name")
                .zip(text("namespace"))
                .map(|(name, ns)| format!("{name}.{ns}")),
            since: record.at.clone(),
            by: record.by.clone(),
            host: record.host.clone(),
        }
    })
}

fn show(items: &[Item], printer: &Printer) -> anyhow::Result<()> {
    let data = serde_json::json!({ "items": items });
    printer.result(&data, || match printer.format() {
        Format::Name => items
            .iter()
            .map(|item| format!("{}/{}\n", item.kind.to_lowercase(), item.name))
            .collect(),
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
