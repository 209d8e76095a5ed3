//! The KRM function, by its specification.

use serde_json::{Value, json};

use crate::{Home, hook, without_bundles};

const SERVICE: &str = "    service: {name: hook, namespace: shop}\n";

fn list(config: &str) -> String {
    let item = hook(SERVICE).replace('\n', "\n  ");
    format!(
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- {} # ours\n- kind: Other # c\n{config}",
        item.trim_end()
    )
}

fn config(fields: &str) -> String {
    format!(
        "functionConfig:\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: ca}}\n  data:\n    {fields}\n"
    )
}

fn results(output: &str) -> Value {
    let start = output.find("\nresults:\n").map_or(0, |at| at + 1);
    let value: Value = serde_yaml::from_str(&output[start..]).unwrap();
    value["results"].clone()
}

#[test]
fn a_resource_list_gets_bundles_and_results_and_keeps_its_comments() {
    let home = Home::new();
    let input = list(&config("caFile: ca.crt"));
    let said = home.piped(&input, "krm").done();
    let (items, _) = said.stdout.split_at(said.stdout.find("results:").unwrap());
    assert_eq!(without_bundles(items).concat(), input);
    assert!(items.contains(&home.base64(&["ca.crt"])));
    assert_eq!(
        results(&said.stdout),
        json!([{
            "message": "caBundle added",
            "severity": "info",
            "resourceRef": {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "name": "shop",
            },
            "field": {"path": "webhooks[0].clientConfig.caBundle"},
        }])
    );
    let again = home.piped(items, "krm").done();
    assert_eq!(again.stdout, items);
}

#[test]
fn json_in_is_json_out() {
    let home = Home::new();
    let value: Value = serde_yaml::from_str(&list(&config("caFile: ca.crt"))).unwrap();
    let said = home.piped(value.to_string(), "krm").done().json();
    assert_eq!(
        said["items"][0]["webhooks"][0]["clientConfig"]["caBundle"],
        home.base64(&["ca.crt"]).as_str()
    );
    assert_eq!(said["results"][0]["severity"], "info");
    assert_eq!(said["items"][1], value["items"][1]);
}

#[test]
fn a_ca_in_the_config_itself_and_a_typed_config_are_understood() {
    let home = Home::new();
    let pem = home.read("ca.crt").replace('\n', "\n      ");
    let inline = list(&config(&format!("ca: |\n      {}", pem.trim_end())));
    let typed = list(
        "functionConfig:\n  apiVersion: certtool.dev/v1alpha1\n  kind: CABundle\n  spec:\n    \
         caFile: ca.crt\n    mode: replace\n    webhooks: [a.example.com]\n    services: [hook.shop]\n",
    );
    for input in [inline, typed] {
        let said = home.piped(&input, "krm").done();
        assert!(said.stdout.contains(&home.base64(&["ca.crt"])));
    }
}

#[test]
fn an_error_is_a_result_and_the_items_stay_as_they_are() {
    let home = Home::new();
    home.write("bad.crt", "no\n");
    let both =
        list(&config("caFile: ca.crt")).replace("service:", "url: https://x\n      service:");
    for (input, why) in [
        (list(""), "there is no functionConfig"),
        (list(&config("cafile: ca.crt")), "\"cafile\" is not known"),
        (list(&config("mode: merge")), "names no CA"),
        (list(&config("caFile: bad.crt")), "bad.crt is not injected"),
        (list(&config("caFile: gone.crt")), "could not open gone.crt"),
        (
            list(&config("{caFile: ca.crt, webhooks: typo}")),
            "there is no webhook or webhook configuration \"typo\"",
        ),
        (both, "clientConfig has both service and url"),
    ] {
        let said = home.piped(&input, "krm").ended(1).explains(&[why]);
        assert!(said.stdout.starts_with(&input), "{}", said.stdout);
        let results = results(&said.stdout);
        assert_eq!(results[0]["severity"], "error");
        assert!(
            results[0]["message"].as_str().unwrap().contains(why),
            "{results}"
        );
    }
}

#[test]
fn nothing_to_inject_into_is_a_warning() {
    let home = Home::new();
    let input = format!(
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n{}",
        config("caFile: ca.crt")
    );
    let said = home.piped(&input, "krm").done();
    assert_eq!(results(&said.stdout)[0]["severity"], "warning");
}

#[test]
fn what_is_no_resource_list_is_refused() {
    let home = Home::new();
    for input in [
        hook(SERVICE),
        String::new(),
        "- a\n".to_owned(),
        format!("{0}---\n{0}", list("")),
    ] {
        home.piped(input, "krm").refused(1, &["not a ResourceList"]);
    }
    home.piped("apiVersion: v9\nkind: ResourceList\n", "krm")
        .refused(1, &["apiVersion v9"]);
    home.piped("a: [\n", "krm").refused(1, &["stdin, line 1"]);
}
