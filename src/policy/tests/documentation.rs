//! The schema and the reference are held against the code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::pki::Attribute;

const SCHEMA: &str = include_str!("../../../docs/reference/approval-policy.schema.json");
const REFERENCE: &str = include_str!("../../../docs/approval-policy.md");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// Every field, so that each object of the schema has a counterpart to be changed.
fn full() -> Value {
    json!({
        "apiVersion": "certtool.dev/v1alpha1",
        "kind": "ApprovalPolicy",
        "signerNames": ["example.com/serving"],
        "clusterDomain": "cluster.local",
        "otherRequesters": "Deny",
        "rules": [{
            "name": "full",
            "description": "everything",
            "requester": {
                "serviceAccounts": ["a/*"], "usernames": [], "groups": ["g"], "accessReview": true
            },
            "names": {
                "services": ["*.{namespace}"], "serviceCheck": "Exists", "dns": ["a.b"],
                "wildcards": ["*.a.b"], "ips": ["10.0.0.0/8"], "uris": ["urn:x"],
                "emails": ["a@b"], "maxNames": 3
            },
            "subject": {"commonName": "Forbidden", "organizations": ["o"]},
            "usages": {"allowed": ["server auth"], "required": ["server auth"]},
            "keys": ["ed25519"],
            "lifetime": {"maximum": "1h", "whenAbsent": "Deny"}
        }]
    })
}

fn read(value: &Value) -> Result<Policy, PolicyError> {
    Policy::from_yaml(&value.to_string())
}

/// The objects of the schema, as JSON pointers into `full()`, with their schemas.
fn objects() -> Vec<(String, Value)> {
    fn walk(schema: &Value, at: &str, found: &mut Vec<(String, Value)>) {
        if schema["type"] == "object" {
            found.push((at.to_owned(), schema.clone()));
            for (field, schema) in schema["properties"].as_object().unwrap() {
                walk(schema, &format!("{at}/{field}"), found);
            }
        } else if schema["type"] == "array" {
            walk(&schema["items"], &format!("{at}/0"), found);
        }
    }
    let mut found = Vec::new();
    walk(&schema(), "", &mut found);
    found
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// The words between backquotes after "expected".
fn expected_words(error: &str) -> BTreeSet<String> {
    let list = error.split_once("expected").unwrap().1;
    let list = list
        .split_once("; did you mean")
        .map_or(list, |(list, _)| list);
    list.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_schema_has_the_fields_that_the_code_has() {
    read(&full()).unwrap();
    let objects = objects();
    assert_eq!(objects.len(), 7);
    for (at, schema) in objects {
        assert_eq!(schema["additionalProperties"], false, "{at}");
        let properties = keys(&schema["properties"]);
        assert_eq!(keys(full().pointer(&at).unwrap()), properties, "{at}");
        let mut unknown = full();
        unknown.pointer_mut(&at).unwrap()["unheardOf"] = json!(1);
        let error = read(&unknown).unwrap_err().to_string();
        assert!(error.contains("unknown field `unheardOf`"), "{at}: {error}");
        assert_eq!(expected_words(&error), properties, "{at}");
    }
}

#[test]
fn the_schema_requires_what_the_code_requires() {
    for (at, schema) in objects() {
        for field in keys(&schema["properties"]) {
            let mut without = full();
            without
                .pointer_mut(&at)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(&field);
            let required = schema["required"]
                .as_array()
                .is_some_and(|fields| fields.contains(&json!(field)));
            let missing =
                read(&without).is_err_and(|error| error.to_string().contains("missing field"));
            assert_eq!(missing, required, "{at}/{field}");
            // What can be left out has its default written down, unless it is required
            // that one of several is there.
            assert_eq!(
                schema["properties"][&field].get("default").is_none(),
                required,
                "{at}/{field}"
            );
        }
    }
}

#[test]
fn the_schema_has_the_defaults_that_the_code_has() {
    for (at, schema) in objects() {
        for (field, schema) in schema["properties"].as_object().unwrap() {
            let Some(default) = schema.get("default") else {
                continue;
            };
            let change = |value: Option<Value>| {
                let mut changed = full();
                let object = changed.pointer_mut(&at).unwrap().as_object_mut().unwrap();
                object.remove(field);
                if let Some(value) = value {
                    object.insert(field.clone(), value);
                }
                read(&changed).map_err(|error| error.to_string())
            };
            assert_eq!(change(None), change(Some(default.clone())), "{at}/{field}");
        }
    }
}

#[test]
fn the_schema_has_the_words_that_the_code_has() {
    for (at, schema) in objects() {
        for (field, schema) in schema["properties"].as_object().unwrap() {
            let Some(words) = schema["enum"].as_array() else {
                continue;
            };
            let mut wrong = full();
            wrong.pointer_mut(&at).unwrap()[field] = json!("unheardOf");
            let error = read(&wrong).unwrap_err().to_string();
            let words: BTreeSet<String> = words
                .iter()
                .map(|word| word.as_str().unwrap().to_owned())
                .collect();
            assert_eq!(expected_words(&error), words, "{at}/{field}");
        }
    }
    let words = |value: &Value| -> Vec<String> {
        let words = value["enum"].as_array().unwrap();
        words
            .iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let with = |at: &str, word: &str| {
        let mut changed = full();
        *changed.pointer_mut(at).unwrap() = json!([word]);
        read(&changed)
    };
    let usages = words(&schema()["$defs"]["usage"]);
    for usage in &usages {
        let mut changed = full();
        changed["rules"][0]["usages"] = json!({ "allowed": [usage] });
        read(&changed).unwrap();
    }
    let all: Vec<_> = crate::pki::Usage::all()
        .map(crate::pki::Usage::name)
        .collect();
    let never = all
        .iter()
        .filter(|name| !usages.iter().any(|usage| usage == *name));
    assert_eq!(
        never.copied().collect::<Vec<_>>(),
        ["cert sign", "crl sign", "any"]
    );
    let keys = words(&schema()["properties"]["rules"]["items"]["properties"]["keys"]["items"]);
    assert_eq!(keys.len(), 8);
    for key in keys {
        with("/rules/0/keys", &key).unwrap();
    }
}

/// The fenced blocks of the reference with this information string.
fn blocks(info: &str) -> Vec<&'static str> {
    let fence = format!("```yaml {info}\n");
    REFERENCE
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect()
}

#[test]
fn the_reference_shows_the_shipped_policy() {
    assert_eq!(blocks("default"), [DEFAULT_POLICY]);
}

#[test]
fn the_reference_has_every_field() {
    for (_, schema) in objects() {
        for field in keys(&schema["properties"]) {
            let named = REFERENCE.contains(&format!("{field}`"))
                || REFERENCE.contains(&format!("[].{field}."));
            assert!(named || field == "rules", "{field}");
        }
    }
}

fn of(signer: &str, mut request: Request, csr: Csr) -> Request {
    signer.clone_into(&mut request.signer_name);
    request.expiration_seconds = Some(3600);
    request.csr = Ok(csr);
    request
}

#[test]
fn the_example_with_leave_from_rbac_decides_as_described() {
    let policy = Policy::from_yaml(blocks("example")[0]).unwrap();
    let ask = |account: &str, name: &str| {
        let csr = csr(&DistinguishedName::empty(), &dns(&[name]));
        let mut request = of("example.com/webhooks", request(), csr);
        request.extra.clear();
        request.extra = super::request().extra;
        by_account(request, "platform-a", account)
    };
    let good = ask("webhook", "x-webhook.platform-a.svc");
    assert_eq!(needed_facts(&good, &policy).len(), 3);
    let mut facts = look_up(&needed_facts(&good, &policy));
    let pod = Pod {
        uid: "pod-uid-1".to_owned(),
        labels: BTreeMap::from([("app".to_owned(), "hook".to_owned())]),
        service_account: "webhook".to_owned(),
    };
    facts.set_pod("platform-a", "hook-0", Some(pod));
    assert!(matches!(
        decide(&good, &policy, &facts),
        Decision::Approve { .. }
    ));
    facts.set_signer_access("example.com/webhooks", false);
    assert!(matches!(
        decide(&good, &policy, &facts),
        Decision::Deny { .. }
    ));
    for escape in [
        ask("webhook", "webhook.platform-a.svc"),
        ask("webhook", "x-webhook.platform-b.svc"),
        ask("hook", "x-webhook.platform-a.svc"),
    ] {
        refusal(&escape, &policy);
    }
}

#[test]
fn the_example_of_a_stateful_set_decides_as_described() {
    let policy = Policy::from_yaml(blocks("example")[1]).unwrap();
    let ask = |names: &[San], usages: &[&str]| {
        let csr = csr(&DistinguishedName::empty(), names);
        let mut request = of("example.com/peers", request(), csr);
        request.usages = strings(usages);
        by_account(request, "databases", "postgres")
    };
    let both = ["digital signature", "server auth", "client auth"];
    let own = San::Dns("hook-0.postgres.databases.svc".to_owned());
    let spiffe = San::Uri("spiffe://cluster.local/ns/databases/sa/postgres".to_owned());
    let good = ask(&[own.clone(), spiffe], &both);
    assert_eq!(needed_facts(&good, &policy), []);
    assert_eq!(terms(&good, &policy).names().len(), 2);
    let other_pod = San::Dns("hook-1.postgres.databases.svc".to_owned());
    let other_account = San::Uri("spiffe://cluster.local/ns/databases/sa/admin".to_owned());
    refusal(&ask(&[other_pod], &both), &policy);
    refusal(&ask(&[own.clone(), other_account], &both), &policy);
    refusal(&ask(&[own], &["digital signature", "server auth"]), &policy);
}

#[test]
fn the_example_of_developers_decides_as_described() {
    let policy = Policy::from_yaml(blocks("example")[2]).unwrap();
    let subject = DistinguishedName::from_rdns(&[vec![(
        Attribute::Organization,
        "Example Development".to_owned(),
    )]]);
    let ask = |groups: &[&str], ip: &str| {
        let mut names = dns(&["ann.dev.example.com"]);
        names.push(San::Ip(ip.parse().unwrap()));
        let request = of("example.com/development", request(), csr(&subject, &names));
        by_user(request, "ann", groups)
    };
    terms(&ask(&["developers"], "172.22.109.184"), &policy);
    refusal(&ask(&["developers"], "172.23.0.1"), &policy);
    let other = settle(&ask(&["guests"], "172.22.109.184"), &policy);
    assert!(matches!(other, Decision::Ignore { .. }), "{other:?}");
}
