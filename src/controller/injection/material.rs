//! What the caBundles of an object become, by their source.

use std::collections::BTreeMap;

use serde_json::Value;
use time::OffsetDateTime;

use super::choose::Consent;
use crate::authority::Trust;
use crate::injectable::{
    self, Plan, Tool, ca_bundle_owners, last_writer, managers, plan_ca_bundles,
};
use crate::pki::{Anchors, TrustBundle};
use crate::plan::{BundleMode, plan_client_config};

/// What a source gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::controller) enum Material {
    /// A signer's bundle. It is added to what is there, and what was the signer's and is trusted
    /// no more leaves: its state knows what that is.
    Signer(Trust),
    /// The whole bundle, as somebody else maintains it: a certificate that leaves it leaves the
    /// objects.
    Whole(TrustBundle),
}

/// Plans every caBundle of an object.
pub(in crate::controller) fn plan(
    object: &Value,
    material: &Material,
    now: OffsetDateTime,
) -> injectable::Result<Plan> {
    plan_ca_bundles(object, |config| match material {
        Material::Signer(trust) => trust.plan(&config.ca_bundle, BundleMode::Merge, now),
        Material::Whole(bundle) => {
            plan_client_config(config, bundle, BundleMode::Replace, now).decision
        }
    })
}

/// The annotation by which a Secret agrees that certtool injects its `ca.crt`.
const ALLOW: &str = "certtool.dev/allow-direct-injection";
/// The same, of cert-manager.
const ALLOW_CERT_MANAGER: &str = "cert-manager.io/allow-direct-injection";

/// What a Secret agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::controller) struct Consents {
    certtool: bool,
    cert_manager: bool,
}

impl Consents {
    /// Those of a Secret with these annotations; `ours` is one that certtool made.
    pub(in crate::controller) fn of(annotations: &BTreeMap<String, String>, ours: bool) -> Self {
        let says = |key: &str| annotations.get(key).is_some_and(|value| value == "true");
        let cert_manager = says(ALLOW_CERT_MANAGER);
        Self {
            certtool: says(ALLOW) || cert_manager || ours,
            cert_manager,
        }
    }

    /// Whether that is enough, or which annotation is missing.
    pub(in crate::controller) fn check(self, consent: Consent) -> Result<(), &'static str> {
        match consent {
            Consent::Certtool if !self.certtool => Err(ALLOW),
            Consent::CertManager if !self.cert_manager => Err(ALLOW_CERT_MANAGER),
            _ => Ok(()),
        }
    }
}

/// The bundle in a Secret's `ca.crt`, without what has expired.
pub(in crate::controller) fn ca_of_secret(
    ca: Option<&[u8]>,
    now: OffsetDateTime,
) -> Result<TrustBundle, String> {
    let pem = ca.ok_or("it has no ca.crt")?;
    let all = TrustBundle::from_pem(pem).map_err(|error| format!("its ca.crt: {error}"))?;
    let valid = all.without_expired(now);
    // An expired one alone is refused with its date.
    let bundle = if valid.is_empty() { all } else { valid };
    match Anchors::check(bundle, now) {
        Ok(anchors) => Ok(anchors.bundle),
        Err(error) => Err(format!("its ca.crt: {error}")),
    }
}

/// Who may have overwritten the caBundles of an object as it was found, in words.
pub(in crate::controller) fn overwriters(object: &Value) -> String {
    let mut names = ca_bundle_owners(object);
    if names.is_empty() {
        // Nobody owns a field that was removed.
        names.extend(last_writer(object).map(str::to_owned));
    }
    let mut said: Vec<String> = names
        .into_iter()
        .map(|name| format!("field manager {name:?}"))
        .collect();
    let tools = managers(object);
    let tools = tools
        .iter()
        .filter(|manager| !matches!(manager.tool, Tool::FieldManager | Tool::Certtool));
    said.extend(tools.map(|manager| format!("{} ({})", manager.tool, manager.evidence)));
    match said.is_empty() {
        true => "a writer that the object does not name".to_owned(),
        false => said.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::Duration;

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-21 12:00 UTC);

    fn ca(days: i64) -> crate::pki::Certificate {
        use crate::pki::{
            Authority, CaSpec, DistinguishedName, KeyAlgorithm, NameConstraints, PrivateKey,
            Serial, Validity,
        };
        let spec = CaSpec {
            subject: DistinguishedName::common_name_only("Test CA"),
            validity: Validity::new(NOW - Duration::days(9), NOW + Duration::days(days)),
            path_length: Some(0),
            name_constraints: NameConstraints::default(),
        };
        let key = PrivateKey::generate(KeyAlgorithm::default()).unwrap();
        let ca = Authority::self_signed(&spec, key, Serial::from_random([1; 20])).unwrap();
        ca.certificate().clone()
    }

    fn object(bundle: &str) -> Value {
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": { "name": "v1.x", "resourceVersion": "1" },
            "spec": { "service": { "name": "s", "namespace": "n" },
                "caBundle": injectable::encode(bundle.as_bytes()) },
        })
    }

    fn result(bundle: &str, material: &Material) -> Option<String> {
        let patch = plan(&object(bundle), material, NOW).unwrap().patch?;
        let mut object = object(bundle);
        json_patch::patch(&mut object, &patch).unwrap();
        let configs = injectable::client_configs(&object).unwrap();
        Some(String::from_utf8(configs[0].ca_bundle.pem().unwrap().to_vec()).unwrap())
    }

    #[test]
    fn a_signers_bundle_is_added_and_a_whole_one_takes_the_place() {
        let (ours, theirs) = (ca(2), ca(1));
        let bundle = TrustBundle::new([ours.clone()]);
        let signer = Material::Signer(Trust {
            bundle: bundle.clone(),
            former: Default::default(),
        });
        let both = format!("{}{}", ours.to_pem(), theirs.to_pem());
        assert_eq!(result(&theirs.to_pem(), &signer), Some(both.clone()));
        assert_eq!(result(&both, &signer), None);
        let whole = Material::Whole(bundle);
        assert_eq!(result(&theirs.to_pem(), &whole), Some(ours.to_pem()));
        assert_eq!(result(&both, &whole), Some(ours.to_pem()));
        assert_eq!(result(&ours.to_pem(), &whole), None);
    }

    #[test]
    fn a_secret_agrees_by_the_annotation_of_whoever_asks() {
        let consents = |keys: &[&str], ours| {
            let annotations = keys
                .iter()
                .map(|key| ((*key).to_owned(), "true".to_owned()))
                .collect();
            Consents::of(&annotations, ours)
        };
        for (found, certtool, cert_manager) in [
            (consents(&[], false), Err(ALLOW), Err(ALLOW_CERT_MANAGER)),
            (consents(&[], true), Ok(()), Err(ALLOW_CERT_MANAGER)),
            (consents(&[ALLOW], false), Ok(()), Err(ALLOW_CERT_MANAGER)),
            (consents(&[ALLOW_CERT_MANAGER], false), Ok(()), Ok(())),
        ] {
            assert_eq!(found.check(Consent::Certtool), certtool);
            assert_eq!(found.check(Consent::CertManager), cert_manager);
            assert_eq!(found.check(Consent::File), Ok(()));
        }
        let no = BTreeMap::from([(ALLOW.to_owned(), "yes".to_owned())]);
        assert!(Consents::of(&no, false).check(Consent::Certtool).is_err());
    }

    #[test]
    fn only_certificates_that_are_valid_come_out_of_a_secret() {
        let (good, old) = (ca(1), ca(-1));
        let both = format!("{}{}", good.to_pem(), old.to_pem());
        let bundle = ca_of_secret(Some(both.as_bytes()), NOW).unwrap();
        assert_eq!(bundle.certificates(), [good]);
        for (text, says) in [
            (None, "no ca.crt"),
            (Some(""), "empty"),
            (Some(old.to_pem().as_str()), "expired"),
            (Some("garbage"), "ca.crt"),
        ] {
            let why = ca_of_secret(text.map(str::as_bytes), NOW).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn whoever_owns_the_field_is_named_or_else_whoever_wrote_last() {
        let entry = |manager: &str, time: &str, fields: Value| json!({ "manager": manager, "operation": "Update", "time": time, "fieldsV1": fields });
        let owns = json!({ "f:spec": { "f:caBundle": {} } });
        let mut object = object("x");
        object["metadata"]["managedFields"] = json!([
            entry("certtool", "2026-11-21T12:00:02Z", owns.clone()),
            entry("old", "2026-11-21T12:00:00Z", json!({})),
            entry("last", "2026-11-21T12:00:01Z", json!({})),
        ]);
        assert_eq!(overwriters(&object), "field manager \"last\"");
        object["metadata"]["managedFields"][1]["fieldsV1"] = owns;
        object["metadata"]["annotations"] = json!({ "meta.helm.sh/release-name": "shop" });
        assert_eq!(
            overwriters(&object),
            "field manager \"old\", Helm (annotation meta.helm.sh/release-name)"
        );
    }
}
