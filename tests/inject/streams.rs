//! What comes out on stdout, and that it differs in the caBundle lines alone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Home, hook, without_bundles};

const SERVICE: &str = "    service: {name: hook, namespace: shop}\n";

fn operator_config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operator/config")
}

#[test]
fn one_file_comes_out_with_its_own_bytes_and_the_bundle() {
    let home = Home::new();
    let before = format!("# ours\n{}# end", hook(SERVICE)).replace('\n', "\r\n");
    home.write("hook.yaml", &before);
    let said = home.certtool("inject -f hook.yaml --ca ca.crt").done();
    let bundle = format!("    caBundle: {}\r\n    service", home.base64(&["ca.crt"]));
    assert_eq!(said.stdout, before.replace("    service", &bundle));
    assert_eq!(said.stderr, "1 caBundle in 1 object injected\n");
    let quiet = home.certtool("inject -q -f hook.yaml --ca ca.crt").done();
    assert_eq!((quiet.stdout, quiet.stderr.as_str()), (said.stdout, ""));
}

#[test]
fn stdin_is_the_default_and_other_kinds_pass_through() {
    let home = Home::new();
    let before = format!(
        "\u{feff}# Source: x\napiVersion: v1\nkind: ConfigMap\ndata:\n  a: 'caBundle: Cg=='\n  \
         b: \"{{{{ not ours }}}}\"\n---\n{}---\n# {{{{- end }}}}\nkind: Other\n",
        hook(SERVICE)
    );
    let after = home.injected(&before);
    assert_eq!(
        without_bundles(&after),
        before.split_inclusive('\n').collect::<Vec<_>>()
    );
    assert_ne!(after, before);
}

#[test]
fn every_style_keeps_its_other_lines() {
    let home = Home::new();
    let quoted = hook("    \"service\": {\"name\": 'hook', namespace: shop} # c\n");
    let anchored = hook("    service: &s {name: hook, namespace: shop}\n")
        + "- name: b\n  clientConfig:\n    service: *s\n    # the last\n";
    let merged = hook("    <<: {url: 'https://x'}\n    # below\n");
    let placeholder = hook(&format!("    caBundle: Cg== # ours\n{SERVICE}"));
    let block = hook(&format!("    caBundle: |-\n      Cg==\n{SERVICE}"));
    let empty = hook(&format!("    caBundle: \"\"\n{SERVICE}"));
    let null = hook(&format!("    caBundle: null\n{SERVICE}"));
    let blank = hook(&format!("    caBundle: '  '\n{SERVICE}"));
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        hook(SERVICE).replace('\n', "\n  ").trim_end()
    );
    for before in [
        quoted,
        anchored,
        placeholder,
        block,
        empty,
        null,
        blank,
        list,
        merged,
    ] {
        let after = home.injected(&before);
        let kept = |text: &str| {
            let lines = text.lines().filter(|line| {
                // A block scalar's content is a line of the bundle.
                !line.contains("caBundle:") && !line.trim().ends_with("==") && line.len() < 200
            });
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(kept(&after), kept(&before), "{after}");
        assert!(after.contains(&home.base64(&["ca.crt"])), "{after}");
    }
}

#[test]
fn json_stays_json() {
    let home = Home::new();
    let before = "{\n  \"apiVersion\": \"apiregistration.k8s.io/v1\",\n  \"kind\": \"APIService\",\n  \
        \"metadata\": {\"name\": \"v1.x.example.com\"},\n  \"spec\": {\n    \"service\": \
        {\"name\": \"a\", \"namespace\": \"b\"},\n    \"insecureSkipTLSVerify\": true\n  }\n}\n";
    let after = home.injected(before);
    let value: serde_json::Value = serde_json::from_str(&after).unwrap();
    assert_eq!(value["spec"]["caBundle"], home.base64(&["ca.crt"]).as_str());
    assert_eq!(value["spec"]["insecureSkipTLSVerify"], false);
    let bundle = format!("    \"caBundle\": \"{}\",\n", home.base64(&["ca.crt"]));
    assert_eq!(after.replace(&bundle, ""), before.replace("true", "false"));
}

#[test]
fn an_apiservice_with_a_good_bundle_that_skips_verification_does_so_no_more() {
    let home = Home::new();
    let before = format!(
        "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata:\n  name: v1.x\nspec:\n  \
         caBundle: {}\n  insecureSkipTLSVerify: true # for now\n  service: {{name: a, namespace: b}}\n",
        home.base64(&["ca.crt"])
    );
    assert_eq!(home.injected(&before), before.replace("true", "false"));
    home.piped(&before, "inject --ca ca.crt --check")
        .ended(3)
        .stdout
        .contains("insecureSkipTLSVerify would be cleared")
        .then_some(())
        .unwrap();
}

#[test]
fn several_files_become_one_stream_in_order() {
    let home = Home::new();
    home.write("d/b.yaml", hook(SERVICE));
    home.write("d/a.yml", "kind: First");
    home.write("d/sub/c.json", "{\"kind\": \"Third\"}\n");
    home.write("d/.hidden/d.yaml", ": [");
    home.write("d/notes.txt", ": [");
    let said = home.certtool("inject -f d --ca ca.crt").done();
    let documents: Vec<&str> = said.stdout.split("---\n").collect();
    assert_eq!(documents.len(), 3, "{}", said.stdout);
    assert_eq!(documents[0], "kind: First\n");
    assert_eq!(without_bundles(documents[1]).concat(), hook(SERVICE));
    assert_eq!(documents[2], "{\"kind\": \"Third\"}\n");
    let twice = home
        .certtool("inject -f d/b.yaml -f d/a.yml --ca ca.crt")
        .done();
    assert!(
        twice.stdout.ends_with("---\nkind: First"),
        "{}",
        twice.stdout
    );
}

#[test]
fn a_kubebuilder_project_changes_in_its_bundle_lines_alone() {
    let home = Home::new();
    let mut files = 0;
    for entry in walkdir::WalkDir::new(operator_config()) {
        let entry = entry.unwrap();
        if entry
            .path()
            .extension()
            .is_none_or(|extension| extension != "yaml")
        {
            continue;
        }
        let before = fs::read_to_string(entry.path()).unwrap();
        let after = home.injected(&before);
        assert_eq!(
            without_bundles(&after),
            before.split_inclusive('\n').collect::<Vec<_>>()
        );
        files += usize::from(after != before);
    }
    assert_eq!(files, 2, "the webhooks, and the patch of the CRD");
}

#[test]
fn a_private_pipe_works_as_a_file() {
    let home = Home::new();
    home.write("hook.yaml", hook(SERVICE));
    let mut command = std::process::Command::new("bash");
    let certtool = home.command("");
    command
        .envs(
            certtool
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(home.root())
        .args(["-c", "$0 inject -f <(cat hook.yaml) --ca <(cat ca.crt)"])
        .arg(certtool.get_program());
    let said = crate::Said::of(command).done();
    assert!(said.stdout.contains(&home.base64(&["ca.crt"])));
}
