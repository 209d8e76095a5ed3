//! The schema and the reference are held against the code.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

const SCHEMA: &str = include_str!("../../../../docs/reference/controller.schema.json");
const REFERENCE: &str = include_str!("../../../../docs/reference/controller.md");

/// Files that together have every field.
fn full(authority: &Value) -> Value {
    json!({
        "apiVersion": "certtool.dev/v1alpha1",
        "kind": "ControllerConfig",
        "signers": [{
            "name": "a.example.com/b",
            "authority": authority,
            "approve": true,
            "policy": {
                "clusterDomain": "cluster.local",
                "otherRequesters": "Ignore",
                "rules": []
            },
            "limits": {
                "maximum": "2d", "default": "1d", "keys": ["ed25519"], "usages": ["server auth"]
            },
            "waitForObjects": "1m",
            "trustBundle": {"configMap": "ca", "key": "ca.crt", "namespaces": ["a"]}
        }],
        "injection": {
            "annotations": true,
            "certManagerAnnotations": true,
            "checkEvery": "1m",
            "targets": [{"kind": "APIService", "names": ["a"], "signer": "a.example.com/b"}]
        },
        "observability": {"events": false}
    })
}

fn authorities() -> [Value; 3] {
    [
        json!({"managed": {
            "secret": "a/b", "life": "30d", "rotateAt": 0.5, "algorithm": "ed25519",
            "settle": "1m", "permittedDns": [".svc"],
        }}),
        json!({"secret": "a/b"}),
        json!({"files": {"certificate": "c", "key": "k"}}),
    ]
}

fn read(value: &Value) -> Result<Config, String> {
    Config::from_yaml(&value.to_string()).map_err(|error| error.to_string())
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// The objects of the schema, as JSON pointers into a file.
fn objects(schema: &Value, at: &str, found: &mut Vec<(String, Value)>) {
    if schema["type"] == "object" {
        found.push((at.to_owned(), schema.clone()));
        for (field, schema) in schema["properties"].as_object().unwrap() {
            objects(schema, &format!("{at}/{field}"), found);
        }
    } else if schema["type"] == "array" {
        objects(&schema["items"], &format!("{at}/0"), found);
    }
}

/// The words between backquotes after "expected".
fn expected(error: &str) -> BTreeSet<String> {
    let list = error.split_once("expected").unwrap().1;
    let list = list.split("; did you mean").next().unwrap();
    let words = list.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

#[test]
fn the_schema_has_the_fields_that_the_code_has() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut found = Vec::new();
    objects(&schema, "", &mut found);
    assert_eq!(found.len(), 11);
    for authority in authorities() {
        read(&full(&authority)).unwrap();
    }
    for (at, schema) in found {
        assert_eq!(schema["additionalProperties"], false, "{at}");
        let file = authorities()
            .iter()
            .map(full)
            .find(|file| file.pointer(&at).is_some())
            .unwrap_or_else(|| panic!("no file has {at}"));
        let mut unknown = file.clone();
        unknown.pointer_mut(&at).unwrap()["unheardOf"] = json!(1);
        let error = read(&unknown).unwrap_err();
        assert!(error.contains("unknown field `unheardOf`"), "{at}: {error}");
        assert_eq!(expected(&error), keys(&schema["properties"]), "{at}");
        let required: BTreeSet<String> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|field| field.as_str().unwrap().to_owned())
            .collect();
        for field in keys(file.pointer(&at).unwrap()) {
            let mut without = file.clone();
            let object = without.pointer_mut(&at).unwrap().as_object_mut().unwrap();
            object.remove(&field);
            let missing = read(&without)
                .is_err_and(|error| error.contains(&format!("missing field `{field}`")));
            assert_eq!(missing, required.contains(&field), "{at}/{field}");
        }
    }
}

#[test]
fn the_reference_names_every_field() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut found = Vec::new();
    objects(&schema, "", &mut found);
    for (at, schema) in found {
        for field in keys(&schema["properties"]) {
            assert!(REFERENCE.contains(&field), "{at}/{field}");
        }
    }
}
