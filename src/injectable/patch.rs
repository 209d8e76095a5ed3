//! Guarded JSON patches, and the plan that gives each client config its caBundle.
//!
//! The API server applies a JSON patch to the newest object and retries by itself on a conflict, so
//! an index alone may hit another webhook. Each patch therefore begins with `test` operations on
//! `/metadata/resourceVersion` and on the name at each index it uses; when one fails the API server
//! answers 422 and nothing has changed: read the object again and plan anew.

use std::collections::BTreeSet;

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation,
};
use serde_json::Value;

use super::ca_bundle::{CaBundle, encode};
use super::client_config::{ClientConfig, client_configs};
use super::error::BadBundle;
use super::kind::{Kind, ObjectId};
use super::plan::{Outcome, Plan, What};
use super::{Error, Result};

/// What the caller wants of one client config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Leave it: it is not ours, or it means the same already.
    Keep,
    /// This PEM.
    Set(Vec<u8>),
    /// Do not touch the object, and say why.
    Refuse(String),
}

/// Plans the caBundles of an object: `decide` is asked for each client config that exists.
///
/// `decide` compares meaning; bytes that are equal to the present ones are a no-op in any case.
/// An APIService that skips verification gets `insecureSkipTLSVerify: false` with its bundle, since
/// the API server accepts only one of the two.
///
/// # Errors
/// The object is malformed, two of its webhooks have one name, `decide` refuses, or it gives bytes
/// that are not a bundle of certificates.
pub fn plan_ca_bundles(
    object: &Value,
    mut decide: impl FnMut(&ClientConfig) -> Decision,
) -> Result<Plan> {
    let id = ObjectId::of(object).ok_or_else(|| Error::not_injectable(object))?;
    let configs = client_configs(object)?;
    let mut edits = Edits::new(object);
    let mut outcomes = Vec::new();
    for config in configs.iter().filter(|config| config.exists()) {
        let what = match decide(config) {
            Decision::Keep => What::Unchanged,
            Decision::Refuse(reason) => {
                return Err(Error::Refused {
                    object: id,
                    webhook: config.webhook.clone(),
                    reason,
                });
            }
            Decision::Set(pem) => set_ca_bundle(&mut edits, config, &id, &pem)?,
        };
        outcomes.push(Outcome {
            webhook: name_of(config, &id),
            what,
        });
    }
    if !edits.is_empty() {
        check_names(&configs, &id)?;
    }
    Ok(Plan {
        object: id,
        patch: edits.into_patch(),
        outcomes,
        record: None,
    })
}

fn set_ca_bundle(
    edits: &mut Edits<'_>,
    config: &ClientConfig,
    id: &ObjectId,
    pem: &[u8],
) -> Result<What> {
    check_bundle(pem)?;
    let verify = id.kind == Kind::ApiService && config.insecure_skip_tls_verify;
    if config.ca_bundle.pem() == Some(pem) && !verify {
        return Ok(What::Unchanged);
    }
    edits.guard(config);
    if verify {
        edits.replace(&config.pointer, "insecureSkipTLSVerify", Value::Bool(false));
    }
    // `add` replaces what is there (RFC 6902, 4.1), and does not fail when nothing is.
    edits.add(&config.pointer, "caBundle", Value::String(encode(pem)));
    Ok(What::CaBundle {
        replaced: config.ca_bundle != CaBundle::Absent,
        verify,
    })
}

/// The name under which a client config is recorded and reported.
pub(super) fn name_of(config: &ClientConfig, id: &ObjectId) -> String {
    config.webhook.clone().unwrap_or_else(|| id.name.clone())
}

/// Refuses objects in which a name does not identify one webhook.
pub(super) fn check_names(configs: &[ClientConfig], id: &ObjectId) -> Result<()> {
    let mut seen = BTreeSet::new();
    for config in configs {
        let (Some(name), Some(index)) = (&config.webhook, config.index) else {
            continue;
        };
        if name.is_empty() {
            return Err(Error::Unnamed {
                object: id.clone(),
                index,
            });
        }
        if !seen.insert(name) {
            return Err(Error::DuplicateName {
                object: id.clone(),
                webhook: name.clone(),
            });
        }
    }
    Ok(())
}

/// Refuses bytes that must not get into a caBundle.
pub(super) fn check_bundle(pem: &[u8]) -> Result<()> {
    let bundle = CaBundle::of_text(&encode(pem));
    let bad = match &bundle {
        CaBundle::Absent | CaBundle::Empty => Some(BadBundle::Empty),
        CaBundle::Invalid(fault) => Some(BadBundle::Fault(fault.clone())),
        CaBundle::Pem(_) => bundle.findings().into_iter().next().map(BadBundle::Finding),
    };
    bad.map_or(Ok(()), |finding| Err(Error::BadBundle { finding }))
}

/// The operations of a patch: guards first, then changes.
pub(super) struct Edits<'a> {
    object: &'a Value,
    guards: Vec<PatchOperation>,
    changes: Vec<PatchOperation>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(object: &'a Value) -> Self {
        Self {
            object,
            guards: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Makes the patch fail unless this client config is still the one it was.
    pub(super) fn guard(&mut self, config: &ClientConfig) {
        match (config.index, &config.webhook) {
            (Some(index), Some(name)) => {
                let path = format!("/webhooks/{index}");
                self.test(&path, "name", Value::String(name.clone()));
            }
            _ if config.pointer.starts_with("/spec/conversion/") => {
                self.test("/spec/conversion", "strategy", Value::from("Webhook"));
            }
            _ => {}
        }
    }

    pub(super) fn test(&mut self, parent: &str, key: &str, value: Value) {
        self.guards.push(PatchOperation::Test(TestOperation {
            path: pointer(parent, key),
            value,
        }));
    }

    pub(super) fn add(&mut self, parent: &str, key: &str, value: Value) {
        self.changes.push(PatchOperation::Add(AddOperation {
            path: pointer(parent, key),
            value,
        }));
    }

    pub(super) fn replace(&mut self, parent: &str, key: &str, value: Value) {
        self.changes.push(PatchOperation::Replace(ReplaceOperation {
            path: pointer(parent, key),
            value,
        }));
    }

    pub(super) fn remove(&mut self, parent: &str, key: &str) {
        self.changes.push(PatchOperation::Remove(RemoveOperation {
            path: pointer(parent, key),
        }));
    }

    /// Replaces a whole client config by another, if it is still the one that was read.
    pub(super) fn replace_config(&mut self, config: &ClientConfig, new: Value) {
        self.guard(config);
        if let Some(current) = self.object.pointer(&config.pointer) {
            self.test(&config.pointer, "", current.clone());
        }
        self.replace(&config.pointer, "", new);
    }

    pub(super) fn into_patch(self) -> Option<Patch> {
        if self.changes.is_empty() {
            return None;
        }
        let version = self.object.pointer("/metadata/resourceVersion");
        let mut operations = Vec::with_capacity(1 + self.guards.len() + self.changes.len());
        if let Some(version) = version {
            operations.push(PatchOperation::Test(TestOperation {
                path: pointer("/metadata", "resourceVersion"),
                value: version.clone(),
            }));
        }
        operations.extend(self.guards);
        operations.extend(self.changes);
        Some(Patch(operations))
    }
}

/// `parent` is one of our own pointers, without escapes; `key` may be any text, and empty for the
/// parent itself.
fn pointer(parent: &str, key: &str) -> PointerBuf {
    let parents = parent.split('/').skip(1);
    PointerBuf::from_tokens(parents.chain((!key.is_empty()).then_some(key)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixtures::{CA, KEY, OTHER_CA, api_service, apply, crd, validating};
    use super::*;

    fn set(pem: &str) -> impl Fn(&ClientConfig) -> Decision {
        let pem = pem.as_bytes().to_vec();
        move |_| Decision::Set(pem.clone())
    }

    #[test]
    fn the_patch_is_guarded_and_touches_the_bundle_alone() {
        let plan = plan_ca_bundles(&validating(), |config| match config.webhook.as_deref() {
            Some("b.example.com") => Decision::Set(CA.into()),
            _ => Decision::Keep,
        })
        .unwrap();
        assert_eq!(
            serde_json::to_value(plan.patch.unwrap()).unwrap(),
            json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": "42"},
                {"op": "test", "path": "/webhooks/1/name", "value": "b.example.com"},
                {"op": "add", "path": "/webhooks/1/clientConfig/caBundle",
                 "value": encode(CA.as_bytes())},
            ])
        );
        let said: Vec<_> = plan.outcomes.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "a.example.com: unchanged",
                "b.example.com: caBundle replaced",
                "c.example.com: unchanged",
            ]
        );
    }

    #[test]
    fn nothing_to_do_is_no_patch() {
        for object in [validating(), crd(), api_service()] {
            let first = plan_ca_bundles(&object, set(CA)).unwrap();
            assert!(first.patch.is_some());
            let second = plan_ca_bundles(&apply(&object, &first), set(CA)).unwrap();
            assert_eq!(second.patch, None);
            assert!(
                plan_ca_bundles(&object, |_| Decision::Keep)
                    .unwrap()
                    .patch
                    .is_none()
            );
        }
    }

    #[test]
    fn a_reordered_list_fails_the_patch_instead_of_taking_another_webhook() {
        let plan = plan_ca_bundles(&validating(), set(CA)).unwrap();
        let mut changed = validating();
        changed["webhooks"].as_array_mut().unwrap().swap(0, 1);
        assert!(json_patch::patch(&mut changed, &plan.patch.unwrap()).is_err());
    }

    #[test]
    fn an_api_service_is_verified_from_now_on() {
        let plan = plan_ca_bundles(&api_service(), set(CA)).unwrap();
        let after = apply(&api_service(), &plan);
        assert_eq!(after["spec"]["insecureSkipTLSVerify"], json!(false));
        assert_eq!(after["spec"]["caBundle"], json!(encode(CA.as_bytes())));
        assert_eq!(
            plan.outcomes[0].to_string(),
            "v1.metrics.example.com: caBundle added, insecureSkipTLSVerify cleared"
        );
    }

    #[test]
    fn a_crd_without_a_conversion_webhook_is_left_alone() {
        for conversion in [json!({"strategy": "None"}), Value::Null] {
            let mut object = crd();
            object["spec"]["conversion"] = conversion;
            let plan = plan_ca_bundles(&object, set(CA)).unwrap();
            assert_eq!((plan.patch, plan.outcomes), (None, vec![]));
        }
        let mut object = crd();
        object["spec"]["conversion"]["webhook"] = Value::Null;
        assert_eq!(plan_ca_bundles(&object, set(CA)).unwrap().patch, None);
    }

    #[test]
    fn what_is_no_bundle_is_refused_before_anything_is_planned() {
        for (pem, reason) in [
            (KEY.to_owned(), "private key"),
            (format!("{CA}{KEY}"), "private key"),
            (String::new(), "empty"),
            ("garbage".to_owned(), "no PEM block"),
        ] {
            let error = plan_ca_bundles(&validating(), set(&pem)).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        let error = plan_ca_bundles(&validating(), |_| Decision::Refuse("no".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ValidatingWebhookConfiguration/shop webhook \"a.example.com\": no"
        );
    }

    #[test]
    fn two_webhooks_of_one_name_are_refused() {
        let mut object = validating();
        object["webhooks"][1]["name"] = json!("a.example.com");
        let error = plan_ca_bundles(&object, set(OTHER_CA)).unwrap_err();
        assert!(error.to_string().contains("two webhooks named"), "{error}");
    }

    #[test]
    fn other_kinds_and_wrong_shapes_are_errors_that_name_the_field() {
        let error = plan_ca_bundles(&json!({"kind": "Pod", "apiVersion": "v1"}), set(CA));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .starts_with("v1 Pod has no caBundle")
        );
        let mut object = validating();
        object["webhooks"] = json!({"a": 1});
        assert_eq!(
            plan_ca_bundles(&object, set(CA)).unwrap_err().to_string(),
            "ValidatingWebhookConfiguration/shop: webhooks is a mapping, not a list; correct the \
             object"
        );
        object["webhooks"] = json!([1]);
        assert!(plan_ca_bundles(&object, set(CA)).is_err());
    }
}
