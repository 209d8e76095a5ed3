//! Pointing an object's webhooks at a developer's machine.

use serde_json::{Map, Value};

use super::ca_bundle::encode;
use super::client_config::{ClientConfig, Target, client_configs};
use super::detach::difference;
use super::kind::{Kind, ObjectId};
use super::patch::{Edits, check_bundle, check_names, name_of};
use super::plan::{Outcome, Plan, What};
use super::record::{ANNOTATION, ANNOTATIONS_LIMIT, Attached, Entry, Record, sha256};
use super::{Error, Result};

/// Where to attach to, and what to write into the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachTo {
    /// `https://HOST:PORT`; each webhook's own path is appended.
    pub url_base: String,
    /// The CA that signed the machine's serving certificate, as PEM.
    pub ca_bundle_pem: Vec<u8>,
    /// Who attaches.
    pub by: String,
    /// The machine.
    pub host: String,
    /// When, as RFC 3339.
    pub at: String,
}

/// Plans the attachment of each client config that `select` picks: `service` becomes `url` and
/// `caBundle`, with the path kept and nothing else changed.
///
/// What is attached already keeps its recorded original and follows the new url and bundle; when it
/// is equal there is nothing to do. A config with a url that is not ours is left alone.
///
/// # Errors
/// An APIService, a malformed object, a url or bundle that cannot be used, an unreadable record on
/// the object, or a record that does not fit into an annotation.
pub fn attach(
    object: &Value,
    to: &AttachTo,
    select: impl Fn(&ClientConfig) -> bool,
) -> Result<Plan> {
    let id = ObjectId::of(object).ok_or_else(|| Error::not_injectable(object))?;
    if id.kind == Kind::ApiService {
        return Err(Error::NotAttachable { object: id });
    }
    check_url(&to.url_base)?;
    check_bundle(&to.ca_bundle_pem)?;
    let configs = client_configs(object)?;
    check_names(&configs, &id)?;
    let previous = Record::of_object(object).map_err(|source| Error::Record {
        object: id.clone(),
        source,
    })?;

    let mut record = Record::new(&to.at, &to.by, &to.host);
    if let Some(previous) = &previous {
        record.webhooks.clone_from(&previous.webhooks);
    }
    let mut edits = Edits::new(object);
    let mut outcomes = Vec::new();
    for config in configs.iter().filter(|config| select(config)) {
        let name = name_of(config, &id);
        let entry = record.webhooks.get(&name);
        let what = match step(object, config, entry, to) {
            Step::Leave(what) => what,
            Step::Attach { new, entry, again } => {
                let url = entry.attached.url.clone();
                edits.replace_config(config, new);
                record.webhooks.insert(name.clone(), entry);
                What::Attached { url, again }
            }
        };
        outcomes.push(Outcome {
            webhook: name,
            what,
        });
    }
    if edits.is_empty() {
        return Ok(Plan {
            object: id,
            patch: None,
            outcomes,
            record: previous,
        });
    }
    write_record(object, &mut edits, &record, &id)?;
    Ok(Plan {
        object: id,
        patch: edits.into_patch(),
        outcomes,
        record: Some(record),
    })
}

enum Step {
    Leave(What),
    Attach {
        new: Value,
        entry: Entry,
        again: bool,
    },
}

fn step(object: &Value, config: &ClientConfig, entry: Option<&Entry>, to: &AttachTo) -> Step {
    let skip = |reason: String| Step::Leave(What::Skipped { reason });
    let Some(Value::Object(current)) = object.pointer(&config.pointer) else {
        return skip("it has no clientConfig".to_owned());
    };
    let (original, again) = match (&config.target, entry) {
        (Err(error), _) => return skip(error.to_string()),
        // Also when there is a record: someone has put a service back since, and that is what
        // has to be restored.
        (Ok(Target::Service(_)), _) => (Value::Object(current.clone()), false),
        (Ok(Target::Url(url)), None) => {
            return skip(format!("it calls {url} rather than a Service"));
        }
        (Ok(Target::Url(url)), Some(entry)) if *url != entry.attached.url => {
            return skip(format!(
                "it was attached to {}, and somebody has changed that to {url} since",
                entry.attached.url
            ));
        }
        (Ok(Target::Url(_)), Some(entry)) => {
            let settled = difference(current, entry).is_none()
                && entry.attached == attached(&entry.original, to);
            if settled {
                return Step::Leave(What::Unchanged);
            }
            (entry.original.clone(), true)
        }
    };
    let attached = attached(&original, to);
    // From the present config, not the original: a field that someone has added since stays.
    let mut new: Map<String, Value> = current.clone();
    new.shift_remove("service");
    new.insert("url".to_owned(), Value::String(attached.url.clone()));
    new.insert(
        "caBundle".to_owned(),
        Value::String(encode(&to.ca_bundle_pem)),
    );
    Step::Attach {
        new: Value::Object(new),
        entry: Entry { original, attached },
        again,
    }
}

fn attached(original: &Value, to: &AttachTo) -> Attached {
    let path = original
        .pointer("/service/path")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let slash = if path.is_empty() || path.starts_with('/') {
        ""
    } else {
        "/"
    };
    Attached {
        url: format!("{}{slash}{path}", to.url_base.trim_end_matches('/')),
        ca_bundle_sha256: sha256(&to.ca_bundle_pem),
    }
}

fn write_record(
    object: &Value,
    edits: &mut Edits<'_>,
    record: &Record,
    id: &ObjectId,
) -> Result<()> {
    let json = record.to_json();
    let annotations = object
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let others: usize = annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != ANNOTATION)
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    let size = others + ANNOTATION.len() + json.len();
    if size > ANNOTATIONS_LIMIT {
        return Err(Error::AnnotationsTooLarge {
            object: id.clone(),
            size,
            limit: ANNOTATIONS_LIMIT,
        });
    }
    if annotations.is_none() {
        edits.add("/metadata", "annotations", Value::Object(Map::new()));
    }
    edits.add("/metadata/annotations", ANNOTATION, Value::String(json));
    Ok(())
}

/// The API server wants https and a host, and no user, query or fragment; the path is each
/// webhook's own.
fn check_url(url: &str) -> Result<()> {
    let authority = url
        .strip_prefix("https://")
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    match authority {
        Some(authority)
            if !authority.is_empty()
                && !authority.starts_with(':')
                && !authority.contains(['/', '?', '#', '@', '\\'])
                && !authority.contains(|c: char| c.is_whitespace() || c.is_control()) =>
        {
            Ok(())
        }
        _ => Err(Error::BadUrl {
            url: url.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{CA, KEY, OTHER_CA, api_service, apply, crd, validating};
    use super::*;

    fn laptop() -> AttachTo {
        AttachTo {
            url_base: "https://192.168.1.7:9443".to_owned(),
            ca_bundle_pem: CA.into(),
            by: "ann".to_owned(),
            host: "laptop".to_owned(),
            at: "2026-11-21T10:00:00Z".to_owned(),
        }
    }

    #[test]
    fn service_becomes_url_and_bundle_and_nothing_else_changes() {
        let plan = attach(&validating(), &laptop(), |_| true).unwrap();
        let mut after = apply(&validating(), &plan);
        let bundle = encode(CA.as_bytes());
        assert_eq!(
            after["webhooks"][0]["clientConfig"],
            json!({"url": "https://192.168.1.7:9443/validate-a", "caBundle": bundle})
        );
        assert_eq!(
            after["webhooks"][1]["clientConfig"],
            json!({"url": "https://192.168.1.7:9443/validate-b", "caBundle": bundle})
        );
        after["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("annotations");
        for index in [0, 1] {
            after["webhooks"][index]["clientConfig"] =
                validating()["webhooks"][index]["clientConfig"].clone();
        }
        assert_eq!(after, validating());
        let said: Vec<_> = plan.outcomes.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "a.example.com: attached to https://192.168.1.7:9443/validate-a",
                "b.example.com: attached to https://192.168.1.7:9443/validate-b",
                "c.example.com: left alone: it calls https://elsewhere/c rather than a Service",
            ]
        );
    }

    #[test]
    fn the_record_is_compact_json_with_the_exact_original() {
        let plan = attach(&crd(), &laptop(), |_| true).unwrap();
        let after = apply(&crd(), &plan);
        let text = after["metadata"]["annotations"][ANNOTATION]
            .as_str()
            .unwrap();
        assert_eq!(
            text,
            format!(
                "{{\"version\":1,\"at\":\"2026-11-21T10:00:00Z\",\"by\":\"ann\",\
                 \"host\":\"laptop\",\"webhooks\":{{\"things.example.com\":{{\"original\":\
                 {{\"service\":{{\"namespace\":\"shop\",\"name\":\"hook\",\"path\":\"/convert\"}}}},\
                 \"attached\":{{\"url\":\"https://192.168.1.7:9443/convert\",\
                 \"caBundleSha256\":\"{}\"}}}}}}}}",
                sha256(CA.as_bytes())
            )
        );
        assert_eq!(Record::of_object(&after).unwrap(), plan.record);
        assert_eq!(
            after["metadata"]["annotations"].as_object().unwrap().len(),
            2
        );
        assert_eq!(
            after["spec"]["conversion"]["webhook"]["conversionReviewVersions"],
            json!(["v1"])
        );
    }

    #[test]
    fn only_selected_webhooks_are_attached_and_a_second_call_adds_to_the_record() {
        let only = |name: &'static str| {
            move |config: &ClientConfig| config.webhook.as_deref() == Some(name)
        };
        let first = attach(&validating(), &laptop(), only("a.example.com")).unwrap();
        let after = apply(&validating(), &first);
        assert_eq!(after["webhooks"][1], validating()["webhooks"][1]);
        let second = attach(&after, &laptop(), only("b.example.com")).unwrap();
        assert_eq!(second.record.unwrap().webhooks.len(), 2);
    }

    #[test]
    fn attaching_again_to_the_same_place_is_no_change() {
        let after = apply(
            &validating(),
            &attach(&validating(), &laptop(), |_| true).unwrap(),
        );
        let later = AttachTo {
            at: "2026-11-22T10:00:00Z".to_owned(),
            ..laptop()
        };
        let again = attach(&after, &later, |_| true).unwrap();
        assert_eq!(again.patch, None);
        assert_eq!(again.outcomes[0].what, What::Unchanged);
        assert_eq!(again.record, Record::of_object(&after).unwrap());
    }

    #[test]
    fn attaching_elsewhere_keeps_the_recorded_original() {
        let after = apply(
            &validating(),
            &attach(&validating(), &laptop(), |_| true).unwrap(),
        );
        let desk = AttachTo {
            url_base: "https://desk:9443/".to_owned(),
            ca_bundle_pem: OTHER_CA.into(),
            ..laptop()
        };
        let plan = attach(&after, &desk, |_| true).unwrap();
        let moved = apply(&after, &plan);
        assert_eq!(
            moved["webhooks"][0]["clientConfig"]["url"],
            json!("https://desk:9443/validate-a")
        );
        let entry = &plan.record.unwrap().webhooks["b.example.com"];
        assert_eq!(entry.original, validating()["webhooks"][1]["clientConfig"]);
        assert_eq!(entry.attached.ca_bundle_sha256, sha256(OTHER_CA.as_bytes()));
    }

    #[test]
    fn a_service_that_somebody_put_back_is_the_new_original() {
        let mut object = apply(
            &validating(),
            &attach(&validating(), &laptop(), |_| true).unwrap(),
        );
        let upgraded = json!({"service": {"namespace": "shop", "name": "new", "path": "/v2"}});
        object["webhooks"][0]["clientConfig"] = upgraded.clone();
        let plan = attach(&object, &laptop(), |_| true).unwrap();
        let entry = &plan.record.as_ref().unwrap().webhooks["a.example.com"];
        assert_eq!(entry.original, upgraded);
        assert_eq!(entry.attached.url, "https://192.168.1.7:9443/v2");
    }

    #[test]
    fn a_url_that_somebody_changed_is_left_alone() {
        let mut object = apply(
            &validating(),
            &attach(&validating(), &laptop(), |_| true).unwrap(),
        );
        object["webhooks"][0]["clientConfig"]["url"] = json!("https://bob:9443/validate-a");
        let plan = attach(&object, &laptop(), |_| true).unwrap();
        assert_eq!(plan.patch, None);
        assert!(
            plan.outcomes[0]
                .to_string()
                .contains("https://bob:9443/validate-a since")
        );
    }

    #[test]
    fn what_cannot_be_attached_is_an_error_that_says_why() {
        let error =
            |object: &Value, to: &AttachTo| attach(object, to, |_| true).unwrap_err().to_string();
        assert!(error(&api_service(), &laptop()).contains("APIService has no url"));
        for url in [
            "http://x:1",
            "https://",
            "https://:1",
            "https://x/y",
            "https://a b",
            "x",
            "https://u@x",
        ] {
            let to = AttachTo {
                url_base: url.to_owned(),
                ..laptop()
            };
            assert!(
                error(&validating(), &to).contains("https://HOST:PORT"),
                "{url}"
            );
        }
        let to = AttachTo {
            ca_bundle_pem: format!("{CA}{KEY}").into(),
            ..laptop()
        };
        assert!(error(&validating(), &to).contains("private key"));
        let mut object = validating();
        object["metadata"]["annotations"] = json!({ANNOTATION: "{"});
        assert!(error(&object, &laptop()).contains("cannot be read"));
        object["metadata"]["annotations"] = json!({ANNOTATION: "{\"version\":9}"});
        assert!(error(&object, &laptop()).contains("version 9"));
    }

    #[test]
    fn a_record_above_the_annotation_limit_is_refused() {
        let mut object = validating();
        object["metadata"]["annotations"] = json!({"x": "y".repeat(ANNOTATIONS_LIMIT - 200)});
        let error = attach(&object, &laptop(), |_| true).unwrap_err();
        assert!(
            matches!(error, Error::AnnotationsTooLarge { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("262144"), "{error}");
    }

    #[test]
    fn an_object_that_changed_since_it_was_read_is_not_patched() {
        let plan = attach(&validating(), &laptop(), |_| true).unwrap();
        for change in [
            |object: &mut Value| object["metadata"]["resourceVersion"] = json!("43"),
            |object: &mut Value| object["webhooks"][0]["name"] = json!("z"),
            |object: &mut Value| {
                object["webhooks"][0]["clientConfig"]["service"]["port"] = json!(1);
            },
        ] {
            let mut object = validating();
            change(&mut object);
            let before = object.clone();
            assert!(json_patch::patch(&mut object, plan.patch.as_ref().unwrap()).is_err());
            assert_eq!(object, before);
        }
    }
}
