//! `--check`, and what is wrong with how it is started.

use crate::Files;

const CONFIG: &str = "\
apiVersion: certtool.dev/v1alpha1
kind: ControllerConfig
signers:
  - name: example.com/serving
    authority:
      secret: certtool-system/serving-ca
    limits:
      maximum: 7d
";

fn check(config: &str) -> crate::files::Said {
    let files = Files::new();
    files.write("controller.yaml", config);
    files.certtool("controller --config controller.yaml --check")
}

#[test]
fn a_good_configuration_is_said_in_words_and_needs_no_cluster() {
    check(CONFIG)
        .done()
        .prints("signer example.com/serving")
        .prints("approves by its policy and signs")
        .prints("Secret certtool-system/serving-ca, somebody else's")
        .prints("7 days");
    let files = Files::new();
    files.write("controller.yaml", CONFIG);
    let said = files
        .certtool("controller --config controller.yaml --check -o json")
        .done();
    let data = said.json();
    assert_eq!(data["signers"][0]["name"], "example.com/serving");
    assert_eq!(data["signers"][0]["maximumSeconds"], 604_800);
}

#[test]
fn a_bad_configuration_is_an_error_with_the_line() {
    check(&CONFIG.replace("maximum", "maximun"))
        .ended(1)
        .prints_nothing()
        .explains("controller.yaml")
        .explains("line 8")
        .explains("did you mean `maximum`?");
    check("").ended(1).explains("missing field");
}

#[test]
fn wrong_usage_exits_with_2_and_a_missing_file_with_1() {
    let files = Files::new();
    files.certtool("controller").ended(2).explains("--config");
    files
        .certtool("controller --config nowhere.yaml")
        .ended(1)
        .explains("nowhere.yaml");
    files.write("c.yaml", CONFIG);
    files
        .certtool("controller --config c.yaml --lease-duration 1s")
        .ended(2)
        .explains("between 6s and 1h");
    files
        .certtool("controller --config c.yaml --listen 1.2.3.4.5:1")
        .ended(1)
        .explains("cannot listen on");
}

#[test]
fn without_a_cluster_it_does_not_start() {
    let files = Files::new();
    files.write("c.yaml", CONFIG);
    files
        .certtool("controller --config c.yaml --listen 127.0.0.1:0")
        .ended(1)
        .explains("no cluster to talk to");
}
