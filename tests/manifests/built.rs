//! What kustomize makes of a directory.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    LIMIT,
    project::{built, repository},
    support,
};

/// The text and the objects.
pub fn build(dir: &Path) -> (String, Vec<Value>) {
    let mut command = Command::new(built("kustomize", &[]));
    command.arg("build").arg(dir);
    let output = support::output(command, LIMIT);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    // A deprecated field, a patch without a target.
    assert_eq!(stderr, "", "warnings of kustomize");
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = documents(&text);
    (text, objects)
}

pub fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("---\n").filter(|text| !text.trim().is_empty());
    documents
        .map(|text| serde_yaml::from_str(text).unwrap())
        .collect()
}

/// The roles whose names start like this, and their bindings, in the order of their kinds and
/// names, without annotations, each with its rules in an order that says nothing.
pub fn roles(objects: &[Value], prefix: &str) -> Vec<Value> {
    let mut found: Vec<Value> = objects
        .iter()
        .filter(|object| object["apiVersion"] == "rbac.authorization.k8s.io/v1")
        .filter(|object| {
            object["metadata"]["name"]
                .as_str()
                .unwrap()
                .starts_with(prefix)
        })
        .cloned()
        .collect();
    for object in &mut found {
        object["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("annotations");
        if let Some(rules) = object["rules"].as_array_mut() {
            rules.sort_by_key(|rule| {
                let [what, names, verbs] =
                    ["resources", "resourceNames", "verbs"].map(|key| &rule[key]);
                format!("{what} {names} {verbs}")
            });
        }
    }
    found.sort_by_key(|object| {
        let metadata = &object["metadata"];
        format!(
            "{} {} {}",
            object["kind"], metadata["namespace"], metadata["name"]
        )
    });
    found
}

/// The block of a page that is this file.
pub fn block(page: &str, file: &str) -> String {
    let text = fs::read_to_string(repository().join(page)).unwrap();
    let mut blocks = text.split("```yaml\n").skip(1);
    let block = blocks.find(|block| block.starts_with(&format!("# {file}\n")));
    let block = block.unwrap_or_else(|| panic!("{page} has no {file}"));
    block.split("```").next().unwrap().to_owned()
}
