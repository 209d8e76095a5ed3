//! `-f`: Services found in manifests, and manifests that are none.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    Home,
    home::{names, ran, under},
    judge,
};

/// A webhook configuration that names a Service.
fn webhook(service: &str, namespace: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\n\
         kind: ValidatingWebhookConfiguration\n\
         metadata:\n  name: {service}\n\
         webhooks:\n\
         - name: {service}.example.com\n  clientConfig:\n    service:\n      \
         name: {service}\n      namespace: {namespace}\n      path: /validate\n"
    )
}

fn services(report: &Value) -> Vec<String> {
    let mut names = names(report);
    names.retain(|name| name.ends_with(".svc"));
    names
        .iter()
        .map(|name| name["DNS:".len()..].to_owned())
        .collect()
}

fn warnings(report: &Value) -> Vec<&str> {
    let warnings = report["warnings"].as_array().unwrap().iter();
    warnings.map(|warning| warning.as_str().unwrap()).collect()
}

/// The sources of the test operator, which kubebuilder laid out.
fn operator(directory: &str) -> String {
    format!("{}/tests/operator/{directory}", env!("CARGO_MANIFEST_DIR"))
}

const BUILT: &[u8] = include_bytes!("fixtures/kustomize-build.yaml");

#[test]
fn a_file_of_several_documents_names_every_service_once() {
    let home = Home::new();
    let documents = [
        webhook("one", "shop"),
        "# nothing but a comment\n".to_owned(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n".to_owned(),
        webhook("two", "shop"),
        webhook("one", "shop"),
    ];
    let file = home.write("all.yaml", documents.join("---\n"));
    let report = home.report(&["-f", file.to_str().unwrap()]);
    assert_eq!(services(&report), ["one.shop.svc", "two.shop.svc"]);
    assert!(warnings(&report).is_empty(), "{report}");
    judge::accepts(&home.certs(), &["two.shop.svc.cluster.local"]);
}

#[test]
fn a_directory_is_read_below_too_but_not_what_is_hidden_or_no_manifest() {
    let home = Home::new();
    home.write("config/b.yml", webhook("b", "shop"));
    home.write("config/sub/a.yaml", webhook("a", "shop"));
    let json = serde_yaml::from_str::<Value>(&webhook("j", "shop")).unwrap();
    home.write("config/sub/j.json", json.to_string());
    home.write("config/.git/hidden.yaml", webhook("hidden", "shop"));
    home.write("config/notes.txt", webhook("text", "shop"));
    home.write("config/README.md", "{{ not yaml");
    let report = home.report(&["-f", "config"]);
    assert_eq!(
        services(&report),
        ["b.shop.svc", "a.shop.svc", "j.shop.svc"]
    );
}

#[test]
fn stdin_files_and_directories_can_be_given_together() {
    let home = Home::new();
    home.write("one.yaml", webhook("one", "shop"));
    home.write("more/two.yaml", webhook("two", "shop"));
    let args = [
        "-f",
        "one.yaml",
        "-f",
        "more",
        "-f",
        "-",
        "--service=own.shop",
        "-o",
        "json",
    ];
    let ran = home.run_with_stdin(&args, webhook("three", "shop").as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = services(&ran.json());
    for name in ["own", "one", "two", "three"] {
        assert!(found.contains(&format!("{name}.shop.svc")), "{found:?}");
    }
}

#[test]
fn what_kustomize_builds_names_the_services_of_webhooks_and_of_the_crds_conversion() {
    let home = Home::new();
    let ran = home.run_with_stdin(&["-f", "-", "-o", "json"], BUILT);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    // Not the metrics Service, which no client config names.
    assert_eq!(
        services(&report),
        ["operator-webhook-service.operator-system.svc"]
    );
    assert!(warnings(&report).is_empty(), "{report}");
    judge::accepts(
        &home.certs(),
        &["operator-webhook-service.operator-system.svc"],
    );

    // A conversion webhook alone is enough.
    let text = String::from_utf8(BUILT.to_vec()).unwrap();
    let crd = text
        .split("---\n")
        .find(|d| d.contains("kind: CustomResourceDefinition"));
    let home = Home::new();
    let file = home.write("crd.yaml", crd.unwrap());
    let report = home.report(&["-f", file.to_str().unwrap()]);
    assert_eq!(
        services(&report),
        ["operator-webhook-service.operator-system.svc"]
    );
}

#[test]
fn the_places_that_name_a_service_are_told_on_request() {
    let home = Home::new();
    home.write("hook.yaml", format!("# first\n{}", webhook("hook", "shop")));
    let ran = home.done(&["-v", "-f", "hook.yaml"]);
    let place = "hook.yaml, line 9, ValidatingWebhookConfiguration/hook: Service hook.shop";
    assert!(
        ran.stderr.lines().any(|line| line == place),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_placeholders_of_an_unbuilt_kubebuilder_directory_are_reported_and_not_covered() {
    let home = Home::new();
    for directory in ["config/webhook", "config"] {
        let report = home.report(&["-f", &operator(directory)]);
        assert!(services(&report).is_empty(), "{report}");
        let warnings = warnings(&report);
        let of = |object: &str| {
            warnings
                .iter()
                .filter(|warning| warning.contains(object))
                .count()
        };
        assert_eq!(
            of("MutatingWebhookConfiguration/mutating-webhook-configuration"),
            1
        );
        assert_eq!(
            of("ValidatingWebhookConfiguration/validating-webhook-configuration"),
            1
        );
        for warning in &warnings {
            for word in [
                "webhook-service.system",
                "placeholder",
                "kustomize build",
                ", line ",
            ] {
                assert!(warning.contains(word), "{word}: {warning}");
            }
        }
    }
}

#[test]
fn a_template_is_reported_with_its_document_and_the_rest_is_read() {
    let home = Home::new();
    let helm = [
        webhook("before", "shop"),
        format!(
            "{{{{- if .Values.enabled }}}}\n{}{{{{- end }}}}\n",
            webhook("inside", "shop")
        ),
        webhook("unquoted", "{{ .Release.Namespace }}"),
        webhook("quoted", "\"{{ .Release.Namespace }}\""),
        webhook("after", "shop"),
    ];
    home.write("templates/hooks.yaml", helm.join("---\n"));
    home.write("templates/other.yaml", webhook("other", "shop"));
    let report = home.report(&["-f", "templates"]);
    assert_eq!(
        services(&report),
        ["before.shop.svc", "after.shop.svc", "other.shop.svc"]
    );
    let warnings = warnings(&report);
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    for (document, words) in [
        ("(document 2)", "Go template"),
        ("(document 3)", "Go template"),
        ("ValidatingWebhookConfiguration/quoted", "placeholder"),
    ] {
        let found = warnings.iter().find(|warning| warning.contains(document));
        let warning = found.unwrap_or_else(|| panic!("{document}: {warnings:#?}"));
        assert!(
            warning.contains(words) && warning.contains("render"),
            "{warning}"
        );
        assert!(
            warning.starts_with("templates/hooks.yaml, line "),
            "{warning}"
        );
    }
}

#[test]
fn manifests_that_name_nothing_are_worth_a_warning() {
    let home = Home::new();
    home.write(
        "cm.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
    );
    home.write("empty.yaml", "");
    for file in ["cm.yaml", "empty.yaml"] {
        let report = home.report(&["-f", file]);
        let warnings = warnings(&report);
        assert!(
            warnings.iter().any(|w| w.contains("adds no names")),
            "{warnings:?}"
        );
    }
    let ran = home.run_with_stdin(&["-f", "-"], b"");
    assert!(
        ran.code == 0 && ran.stderr.contains("adds no names"),
        "{ran:?}"
    );
    home.write("hook.yaml", webhook("hook", "shop"));
    let report = home.report(&["-f", "cm.yaml", "-f", "hook.yaml"]);
    assert!(warnings(&report).is_empty(), "{report}");
}

#[test]
fn malformed_manifests_are_refused_with_file_line_and_document() {
    let home = Home::new();
    let good = webhook("good", "shop");
    let broken = "apiVersion: admissionregistration.k8s.io/v1\n\
                  kind: ValidatingWebhookConfiguration\nwebhooks: [\n";
    let lines = good.lines().count() + 1;
    let tab = "kind: ValidatingWebhookConfiguration\nwebhooks:\n\t- name: x\n";
    let twice = "kind: ValidatingWebhookConfiguration\nkind: ConfigMap\n";
    for (name, content, line, words) in [
        (
            "broken.yaml",
            format!("{good}---\n{broken}"),
            lines + 3,
            "not valid YAML",
        ),
        ("tab.yaml", format!("{good}---\n{tab}"), lines + 3, "tab"),
        (
            "twice.yaml",
            format!("{good}---\n{twice}"),
            lines + 2,
            "twice",
        ),
        (
            "broken.json",
            "{\"kind\": \"ValidatingWebhookConfiguration\",\n \"webhooks\": ]}".to_owned(),
            1,
            "not valid",
        ),
        ("scalar.yaml", "a: [\n".to_owned(), 1, "not valid YAML"),
    ] {
        home.write(name, content);
        home.refuses(
            &["-f", name],
            &[&format!("{name}, line {line} (document "), words],
        );
    }
}

#[test]
fn binary_and_utf16_files_are_told_from_yaml() {
    let home = Home::new();
    let noise: Vec<u8> = (0..2000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    home.write("noise.yaml", &noise);
    home.refuses(
        &["-f", "noise.yaml"],
        &["noise.yaml", "not UTF-8 text", "binary"],
    );
    // One that mentions the kind, so that it is looked at more closely.
    let named = [&noise[..], b"\nkind: ValidatingWebhookConfiguration\n"].concat();
    home.write("named.yaml", &named);
    home.refuses(&["-f", "named.yaml"], &["named.yaml", "not UTF-8 text"]);
    home.write("zeros.yaml", [0; 4096]);
    home.refuses(&["-f", "zeros.yaml"], &["zeros.yaml", "not UTF-8 text"]);
    let utf16: Vec<u8> = webhook("hook", "shop")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    home.write("utf16.yaml", [&[0xFF, 0xFE], &utf16[..]].concat());
    home.refuses(&["-f", "utf16.yaml"], &["utf16.yaml", "UTF-16", "convert"]);
}

#[test]
fn a_webhook_that_calls_nobody_and_an_old_api_version_are_named() {
    let home = Home::new();
    let both =
        webhook("hook", "shop").replace("    service:", "    url: https://x.y/\n    service:");
    home.write("both.yaml", both);
    let object = "ValidatingWebhookConfiguration/hook";
    home.refuses(
        &["-f", "both.yaml"],
        &["both.yaml, line ", object, "hook.example.com"],
    );
    let old = webhook("hook", "shop").replace("k8s.io/v1", "k8s.io/v1beta1");
    home.write("old.yaml", old);
    home.refuses(
        &["-f", "old.yaml"],
        &["old.yaml, line 1", "v1beta1", "1.22"],
    );
}

#[test]
fn paths_that_lead_nowhere_are_named() {
    let home = Home::new();
    home.refuses(&["-f", "missing.yaml"], &["missing.yaml", "No such file"]);
    fs::create_dir(home.path().join("empty")).unwrap();
    home.write("empty/notes.txt", "x");
    home.refuses(&["-f", "empty"], &["empty: no .yaml, .yml or .json file"]);
    std::os::unix::fs::symlink("circle", home.path().join("circle")).unwrap();
    home.refuses(&["-f", "circle"], &["circle", "symbolic links"]);
    fs::create_dir(home.path().join("links")).unwrap();
    std::os::unix::fs::symlink("nowhere", home.path().join("links/a.yaml")).unwrap();
    home.refuses(&["-f", "links"], &["links/a.yaml", "No such file"]);
    // A good file before it changes nothing.
    home.write("good.yaml", webhook("good", "shop"));
    home.refuses(
        &["-f", "good.yaml", "-f", "missing.yaml"],
        &["missing.yaml"],
    );
    assert!(!home.certs().exists() && !home.ca().exists());
}

#[test]
fn a_manifest_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let file = home.write("secret.yaml", webhook("hook", "shop"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let ran = ran(without_privileges(
        home.path(),
        &home.command(&["-f", "secret.yaml"]),
    ));
    ran.is_refusal(1, &["secret.yaml", "Permission denied"]);
}

/// Root reads everything, unless it is without two capabilities.
fn without_privileges(home: &Path, command: &std::process::Command) -> std::process::Command {
    use std::os::unix::fs::MetadataExt;
    let is_root = fs::metadata(home).unwrap().uid() == 0;
    let drop = "--bounding-set=-dac_override,-dac_read_search";
    let root = ["setpriv", drop, "--inh-caps=-all"];
    under(if is_root { &root } else { &["env"] }, command)
}
