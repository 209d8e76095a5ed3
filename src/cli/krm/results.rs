//! The results of a KRM function, and how they get into the ResourceList.

use std::fmt;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use crate::injectable::ObjectId;
use crate::manifest::{Change, DocumentError, Edited, Note, documents, to_value};

/// One finding, as the KRM Functions Specification has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Result {
    message: String,
    pub(super) severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_ref: Option<ResourceRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<Field>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Error,
    Warning,
    Info,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRef {
    api_version: &'static str,
    kind: &'static str,
    name: String,
}

#[derive(Debug, Serialize)]
struct Field {
    path: String,
}

impl ResourceRef {
    fn of(id: &ObjectId) -> Self {
        Self {
            api_version: id.kind.api_version(),
            kind: id.kind.as_str(),
            name: id.name.clone(),
        }
    }
}

impl Result {
    fn new(severity: Severity, message: String) -> Self {
        Self {
            message,
            severity,
            resource_ref: None,
            field: None,
        }
    }

    pub(super) fn error(message: String) -> Self {
        Self::new(Severity::Error, message)
    }

    pub(super) fn warning(message: String) -> Self {
        Self::new(Severity::Warning, message)
    }

    pub(super) fn of_error(error: &DocumentError) -> Self {
        Self {
            resource_ref: error.object.as_ref().map(ResourceRef::of),
            ..Self::error(error.reason.to_string())
        }
    }

    pub(super) fn of_note(note: &Note) -> Self {
        Self {
            resource_ref: Some(ResourceRef::of(&note.object)),
            ..Self::new(Severity::Info, note.nothing.to_string())
        }
    }

    pub(super) fn of_change(change: &Change) -> Self {
        let mut what = Vec::new();
        match change.edited {
            Edited::Added => what.push("caBundle added"),
            Edited::Replaced => what.push("caBundle replaced"),
            Edited::Kept => {}
        }
        if change.verify {
            what.push("insecureSkipTLSVerify cleared");
        }
        let key = match change.edited {
            Edited::Kept => "insecureSkipTLSVerify",
            Edited::Added | Edited::Replaced => "caBundle",
        };
        Self {
            resource_ref: Some(ResourceRef::of(&change.object)),
            field: Some(Field {
                path: path_of(&format!("{}/{key}", change.pointer)),
            }),
            ..Self::new(Severity::Info, what.join(", "))
        }
    }
}

impl fmt::Display for Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(object) = &self.resource_ref {
            write!(f, "{}/{}: ", object.kind, object.name)?;
        }
        if let Some(field) = &self.field {
            write!(f, "{}: ", field.path)?;
        }
        f.write_str(&self.message)
    }
}

/// `/webhooks/0/clientConfig` as `webhooks[0].clientConfig`
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for token in pointer.split('/').skip(1) {
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push('[');
            path.push_str(token);
            path.push(']');
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(token);
        }
    }
    path
}

/// The ResourceList with these results; its text stays as it is where that is possible, so that
/// comments do.
pub(super) fn with_results(list: &[u8], results: &[Result]) -> anyhow::Result<Vec<u8>> {
    let new = serde_json::to_value(results).context("the results cannot be written")?;
    let before = value_of(list)?;
    let mut wanted = before.clone();
    let fields = wanted
        .as_object_mut()
        .context("the ResourceList is not a mapping")?;
    match fields.get_mut("results") {
        Some(Value::Array(there)) => there.extend(new.as_array().into_iter().flatten().cloned()),
        _ if results.is_empty() => {}
        _ => {
            fields.insert("results".to_owned(), new.clone());
        }
    }
    if wanted == before {
        return Ok(list.to_vec());
    }
    let mut text = list.to_vec();
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let appended = serde_yaml::to_string(&serde_json::json!({ "results": new }))?;
    text.extend_from_slice(appended.as_bytes());
    if value_of(&text).is_ok_and(|after| after == wanted) {
        return Ok(text);
    }
    // JSON, flow style, or results that were there before.
    let is_json = list.trim_ascii_start().starts_with(b"{");
    let mut text = if is_json {
        serde_json::to_vec_pretty(&wanted)?
    } else {
        serde_yaml::to_string(&wanted)?.into_bytes()
    };
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    Ok(text)
}

fn value_of(list: &[u8]) -> anyhow::Result<Value> {
    let mut all = documents("stdin", list);
    match (all.next(), all.next()) {
        (Some(document), None) => Ok(to_value(&document)?),
        _ => anyhow::bail!("stdin is not one document"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(list: &str) -> String {
        let results = [Result::error("nothing given".to_owned())];
        String::from_utf8(with_results(list.as_bytes(), &results).unwrap()).unwrap()
    }

    #[test]
    fn results_are_appended_and_comments_stay() {
        assert_eq!(
            with("kind: ResourceList # c\nitems:\n- a: 1 # d"),
            "kind: ResourceList # c\nitems:\n- a: 1 # d\nresults:\n- message: nothing given\n  severity: error\n"
        );
    }

    #[test]
    fn a_list_that_nothing_can_be_appended_to_is_written_anew() {
        for list in [
            "{\"kind\":\"ResourceList\",\"items\":[]}",
            "{kind: ResourceList, items: []}",
            "kind: ResourceList\nresults: []\n",
            "kind: ResourceList\n...\n",
        ] {
            let value = value_of(with(list).as_bytes()).unwrap();
            assert_eq!(value["results"][0]["message"], "nothing given", "{list}");
            assert_eq!(value["kind"], "ResourceList");
        }
        let json = with("{\"kind\":\"ResourceList\"}");
        assert!(serde_json::from_str::<Value>(&json).is_ok());
    }

    #[test]
    fn a_pointer_is_written_as_a_path() {
        assert_eq!(
            path_of("/webhooks/12/clientConfig/caBundle"),
            "webhooks[12].clientConfig.caBundle"
        );
    }
}
