//! What stands in the manifests and no run would miss.

use serde_json::{Value, json};

use crate::{built::build, project::repository};

fn shipped() -> Vec<Value> {
    build(&repository().join("manifests/controller")).1
}

fn find<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    found.next().unwrap_or_else(|| panic!("no {kind}"))
}

/// Beyond what Pod Security asks of a restricted pod.
pub fn assert_confined(pod: &Value, container: &Value) {
    let security = &container["securityContext"];
    let either = |field: &str| match &security[field] {
        Value::Null => &pod["securityContext"][field],
        value => value,
    };
    assert_eq!(either("runAsNonRoot"), true);
    assert!(either("runAsUser").as_u64().unwrap() > 0);
    assert_eq!(either("seccompProfile")["type"], "RuntimeDefault");
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
    assert!(container["resources"]["limits"]["memory"].is_string());
    assert!(container["resources"]["requests"]["cpu"].is_string());
    // One that is throttled misses its lease.
    assert!(container["resources"]["limits"]["cpu"].is_null());
}

#[test]
fn the_controllers_pods_are_confined_and_one_is_always_left() {
    let objects = shipped();
    let deployment = find(&objects, "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_confined(pod, &pod["containers"][0]);
    assert_eq!(deployment["spec"]["replicas"], 2);
    let budget = find(&objects, "PodDisruptionBudget");
    assert_eq!(budget["spec"]["minAvailable"], 1);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for selector in [
        &budget["spec"]["selector"]["matchLabels"],
        &find(&objects, "Service")["spec"]["selector"],
        &deployment["spec"]["selector"]["matchLabels"],
        &pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
}

#[test]
fn everything_is_in_one_namespace_but_the_events_about_requests() {
    let objects = shipped();
    let elsewhere: Vec<_> = objects
        .iter()
        .filter(|object| {
            object["metadata"]["namespace"]
                .as_str()
                .is_some_and(|n| n != "certtool-system")
        })
        .map(|object| (object["kind"].as_str().unwrap(), object["rules"].clone()))
        .collect();
    let events =
        json!([{ "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"] }]);
    assert_eq!(elsewhere, [("Role", events), ("RoleBinding", Value::Null)]);
}
