//! What became of the caBundles of the cluster, for people and scripts.

use serde::Serialize;

use super::Choice;
use crate::cli::dry_run::suffix;
use crate::cli::{Format, Printer};
use crate::cluster::{Applied, Mode};
use crate::injectable::{Tool, What, ca_bundle_owners, client_configs, managers};

/// The outcome as data: a stable interface.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    objects: Vec<Object>,
}

#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: &'static str,
    name: String,
    webhooks: Vec<Webhook>,
}

#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    /// `added`, `replaced` or `unchanged`.
    change: &'static str,
    /// `insecureSkipTLSVerify` became false.
    skip_verify_cleared: bool,
}

impl Report {
    /// Takes note of the client configs that are meant, and warns of who may undo the change.
    pub(super) fn add(&mut self, applied: &Applied, choice: &Choice, printer: &Printer) {
        let id = &applied.plan.object;
        // An object that does not read has led to an error before.
        let configs = client_configs(&applied.before).unwrap_or_default();
        let existing = configs.iter().filter(|config| config.exists());
        let webhooks: Vec<_> = existing
            .zip(&applied.plan.outcomes)
            .filter(|(config, _)| choice.has(id, config))
            .map(|(_, outcome)| Webhook::of(&outcome.webhook, &outcome.what))
            .collect();
        if webhooks.is_empty() {
            return;
        }
        if webhooks.iter().any(Webhook::is_changed) {
            warn(applied, printer);
        }
        self.objects.push(Object {
            kind: id.kind.as_str(),
            name: id.name.clone(),
            webhooks,
        });
    }

    /// How many caBundles are changed.
    pub(super) fn changed(&self) -> usize {
        let webhooks = self.objects.iter().flat_map(|object| &object.webhooks);
        webhooks.filter(|webhook| webhook.is_changed()).count()
    }

    /// Writes the result to stdout, and a summary to stderr.
    pub(super) fn show(&mut self, mode: Mode, printer: &Printer) -> anyhow::Result<()> {
        self.objects.sort();
        let suffix = suffix(mode);
        printer.result(self, || {
            let objects = self.objects.iter();
            if printer.format() == Format::Name {
                return objects
                    .map(|object| format!("{}/{}\n", object.kind.to_lowercase(), object.name))
                    .collect();
            }
            objects.flat_map(|object| object.lines(suffix)).collect()
        })?;
        printer.hint(&self.summary(mode));
        Ok(())
    }

    fn summary(&self, mode: Mode) -> String {
        let all: usize = self
            .objects
            .iter()
            .map(|object| object.webhooks.len())
            .sum();
        let changed = self.changed();
        let objects = self.objects.iter();
        let objects = objects.filter(|object| object.webhooks.iter().any(Webhook::is_changed));
        let would = match mode {
            Mode::Apply => "",
            Mode::Check | Mode::Plan => "would be ",
        };
        format!(
            "{} in {} {would}changed, {} unchanged",
            count(changed, "caBundle"),
            count(objects.count(), "object"),
            all - changed
        )
    }
}

impl Object {
    fn lines(&self, suffix: &str) -> impl Iterator<Item = String> {
        self.webhooks.iter().map(move |webhook| {
            // A kind with one client config has no other name for it.
            let name = match webhook.name == self.name {
                true => String::new(),
                false => format!(" {}", webhook.name),
            };
            format!(
                "{}/{}{name}: {}{suffix}\n",
                self.kind,
                self.name,
                webhook.text()
            )
        })
    }
}

impl Webhook {
    fn of(name: &str, what: &What) -> Self {
        let (change, skip_verify_cleared) = match what {
            What::CaBundle { replaced, verify } => {
                (if *replaced { "replaced" } else { "added" }, *verify)
            }
            _ => ("unchanged", false),
        };
        Self {
            name: name.to_owned(),
            change,
            skip_verify_cleared,
        }
    }

    fn is_changed(&self) -> bool {
        self.change != "unchanged"
    }

    fn text(&self) -> String {
        let cleared = match self.skip_verify_cleared {
            true => ", insecureSkipTLSVerify cleared",
            false => "",
        };
        match self.is_changed() {
            true => format!("caBundle {}{cleared}", self.change),
            false => "unchanged".to_owned(),
        }
    }
}

/// Those who write a caBundle of their own, and manifests that have one.
fn warn(applied: &Applied, printer: &Printer) {
    let id = &applied.plan.object;
    for manager in managers(&applied.before) {
        if matches!(
            manager.tool,
            Tool::CertManager | Tool::OpenShiftServiceCa | Tool::Certtool
        ) {
            printer.warning(&format!("{id}: {manager}"));
        }
    }
    let owners = ca_bundle_owners(&applied.before);
    if !owners.is_empty() {
        printer.warning(&format!(
            "{id}: field manager {} has written a caBundle: if its manifest has the field, leave it \
             out, or the manifest puts it back when it is applied again",
            owners.join(", ")
        ));
    }
}

fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
