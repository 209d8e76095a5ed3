//! What changed, for people and scripts.

use serde::Serialize;

use crate::cli::Format;
use crate::manifest::{Change, Edited};

/// One caBundle that changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    file: String,
    line: usize,
    kind: &'static str,
    name: String,
    webhook: Option<String>,
    change: &'static str,
    /// `insecureSkipTLSVerify` became false.
    skip_verify_cleared: bool,
}

impl Item {
    pub(super) fn new(file: &str, change: Change) -> Self {
        Self {
            file: file.to_owned(),
            line: change.line,
            kind: change.object.kind.as_str(),
            name: change.object.name,
            webhook: change.webhook,
            change: match change.edited {
                Edited::Added => "added",
                Edited::Replaced => "replaced",
                Edited::Kept => "kept",
            },
            skip_verify_cleared: change.verify,
        }
    }

    fn object(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// `FILE:LINE: KIND/NAME, webhook "X": caBundle added`
    pub(super) fn line(&self, done: bool) -> String {
        let webhook = self.webhook.as_ref();
        let webhook = webhook.map_or_else(String::new, |name| format!(", webhook {name:?}"));
        let be = if done { "" } else { " would be" };
        let mut what = Vec::new();
        if self.change != "kept" {
            what.push(format!("caBundle{be} {}", self.change));
        }
        if self.skip_verify_cleared {
            what.push(format!("insecureSkipTLSVerify{be} cleared"));
        }
        format!(
            "{}:{}: {}{webhook}: {}\n",
            self.file,
            self.line,
            self.object(),
            what.join(", ")
        )
    }
}

/// The list, as text.
pub(super) fn text(items: &[Item], format: Format, done: bool) -> String {
    if format != Format::Name {
        return items.iter().map(|item| item.line(done)).collect();
    }
    let mut names: Vec<_> = items.iter().map(Item::object).collect();
    names.dedup();
    names.iter().map(|name| format!("{name}\n")).collect()
}

/// `3 caBundles in 2 objects`
pub(super) fn count(items: &[Item]) -> String {
    let mut objects: Vec<_> = items.iter().map(|item| (item.kind, &item.name)).collect();
    objects.sort_unstable();
    objects.dedup();
    let plural = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    format!(
        "{} in {}",
        plural(items.len(), "caBundle"),
        plural(objects.len(), "object")
    )
}
