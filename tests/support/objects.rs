//! Objects that send the API server to a test's webhook.
//!
//! Each webhook sees its own namespace only, so that tests do not get into each other's
//! way on the shared control plane. Cluster-scoped names should contain the namespace.

use std::{net::SocketAddr, time::Duration};

use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        core::v1::{ConfigMap, Service},
        discovery::v1::EndpointSlice,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{Api, Client, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use base64::{Engine, engine::general_purpose::STANDARD};

/// A `clientConfig` by Service; without a CA no `caBundle` is set.
pub fn by_service(namespace: &str, name: &str, port: u16, path: &str, ca: Option<&str>) -> Value {
    let mut config = json!({
        "service": { "namespace": namespace, "name": name, "port": port, "path": path }
    });
    set_ca(&mut config, ca);
    config
}

/// A `clientConfig` by URL.
pub fn by_url(address: SocketAddr, path: &str, ca: Option<&str>) -> Value {
    let mut config = json!({ "url": format!("https://{address}{path}") });
    set_ca(&mut config, ca);
    config
}

fn set_ca(config: &mut Value, ca: Option<&str>) {
    if let Some(pem) = ca {
        config["caBundle"] = json!(STANDARD.encode(pem));
    }
}

/// A Service without pods at a loopback address; where its server listens, port included.
pub async fn service(client: &Client, namespace: &str, name: &str, port: u16) -> SocketAddr {
    let address = super::next_cluster_ip();
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let object = json!({
        "metadata": { "name": name },
        "spec": {
            "clusterIP": address.to_string(),
            "ports": [{ "name": "https", "port": port, "targetPort": port }],
        }
    });
    create(&services, object).await;
    // An APIService is available only if its Service has an endpoint, whatever its address:
    // the API server connects to the clusterIP. Loopback is refused here.
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let object = json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/service-name": name } },
        "addressType": "IPv4",
        "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
        "endpoints": [{ "addresses": ["192.0.2.1"], "conditions": { "ready": true } }],
    });
    create(&slices, object).await;
    SocketAddr::from((address, port))
}

/// One validating webhook for the ConfigMaps of a namespace, failing closed.
pub async fn validating_webhook(
    client: &Client,
    name: &str,
    namespace: &str,
    client_config: &Value,
) -> ValidatingWebhookConfiguration {
    create(
        &Api::all(client.clone()),
        webhooks(name, namespace, client_config),
    )
    .await
}

/// One mutating webhook for the ConfigMaps of a namespace, failing closed.
pub async fn mutating_webhook(
    client: &Client,
    name: &str,
    namespace: &str,
    client_config: &Value,
) -> MutatingWebhookConfiguration {
    create(
        &Api::all(client.clone()),
        webhooks(name, namespace, client_config),
    )
    .await
}

/// The configuration of one webhook, validating or mutating.
pub fn webhooks(name: &str, namespace: &str, client_config: &Value) -> Value {
    json!({
        "metadata": { "name": name },
        "webhooks": [{
            "name": "configmaps.test.certtool.dev",
            "clientConfig": client_config,
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE", "UPDATE"], "scope": "Namespaced",
            }],
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
        }]
    })
}

/// A CRD `widgets.GROUP`, stored as v1, served as v1 (`spec.hostname`) and v1beta1
/// (`spec.host`), converted by a webhook.
pub async fn converted_crd(
    client: &Client,
    group: &str,
    client_config: &Value,
) -> CustomResourceDefinition {
    let version = |name: &str, field: &str| {
        json!({
            "name": name, "served": true, "storage": name == "v1",
            "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                "spec": { "type": "object", "properties": { field: { "type": "string" } } }
            }}}
        })
    };
    let object = json!({
        "metadata": { "name": format!("widgets.{group}") },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget" },
            "versions": [version("v1", "hostname"), version("v1beta1", "host")],
            "conversion": {
                "strategy": "Webhook",
                "webhook": { "conversionReviewVersions": ["v1"], "clientConfig": client_config },
            },
        }
    });
    create(&Api::all(client.clone()), object).await
}

/// An APIService `v1.GROUP` that is served by a Service. Delete it at the end: a group that
/// does not answer shows in everybody's discovery.
pub async fn api_service(
    client: &Client,
    group: &str,
    (namespace, name, port): (&str, &str, u16),
    ca: Option<&str>,
) -> APIService {
    let mut object = json!({
        "metadata": { "name": format!("v1.{group}") },
        "spec": {
            "group": group, "version": "v1",
            "groupPriorityMinimum": 1000, "versionPriority": 10,
            "service": { "namespace": namespace, "name": name, "port": port },
        }
    });
    set_ca(&mut object["spec"], ca);
    create(&Api::all(client.clone()), object).await
}

/// A ConfigMap with this name and these labels.
pub fn config_map(name: &str, labels: &[(&str, &str)]) -> ConfigMap {
    let labels = labels
        .iter()
        .map(|&(key, value)| (key.to_owned(), json!(value)));
    let labels = labels.collect::<serde_json::Map<_, _>>();
    serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap()
}

/// Creates ConfigMaps until the API server's answer satisfies the test: it learns of a
/// webhook, or of a new caBundle, a moment after that was written. Returns that answer.
pub async fn until_config_map(
    client: &Client,
    namespace: &str,
    labels: &[(&str, &str)],
    satisfied: impl Fn(&kube::Result<ConfigMap>) -> bool,
) -> kube::Result<ConfigMap> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let mut object = config_map("", labels);
    object.metadata.name = None;
    object.metadata.generate_name = Some("probe-".to_owned());
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    super::eventually(Duration::from_secs(30), || async {
        let answer = api.create(&params, &object).await;
        if satisfied(&answer) {
            Ok(answer)
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let described = object.to_string();
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object)
        .await
        .unwrap_or_else(|error| panic!("creating {described}: {error}"))
}
