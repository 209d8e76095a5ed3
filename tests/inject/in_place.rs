//! `--in-place`, `--dry-run` and `--check`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::json;

use crate::{Home, hook, without_bundles};

const SERVICE: &str = "    service: {name: hook, namespace: shop}\n";

#[test]
fn files_are_changed_in_place_with_mode_and_link_kept_and_others_untouched() {
    let home = Home::new();
    home.write("d/hook.yaml", hook(SERVICE));
    home.write("d/other.yaml", "kind: Other\n");
    home.write("elsewhere/real", hook(SERVICE));
    symlink("../elsewhere/real", home.path("d/link.yaml")).unwrap();
    fs::set_permissions(home.path("d/hook.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    let other = fs::metadata(home.path("d/other.yaml")).unwrap();
    let said = home
        .certtool("inject -i -f d -f elsewhere/real --ca ca.crt")
        .done();
    assert_eq!(
        said.stdout,
        "d/hook.yaml:8: ValidatingWebhookConfiguration/shop, webhook \"a.example.com\": caBundle added\n\
         d/link.yaml:8: ValidatingWebhookConfiguration/shop, webhook \"a.example.com\": caBundle added\n"
    );
    for file in ["d/hook.yaml", "elsewhere/real"] {
        let after = home.read(file);
        assert_eq!(without_bundles(&after).concat(), hook(SERVICE));
        assert!(after.contains(&home.base64(&["ca.crt"])));
    }
    assert!(home.path("d/link.yaml").is_symlink());
    let mode = |file| fs::metadata(home.path(file)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("d/hook.yaml"), 0o640);
    let now = fs::metadata(home.path("d/other.yaml")).unwrap();
    assert_eq!(
        (now.ino(), now.mtime_nsec()),
        (other.ino(), other.mtime_nsec())
    );
    assert_eq!(
        fs::read_dir(home.path("d")).unwrap().count(),
        3,
        "nothing is left behind"
    );

    let before = fs::metadata(home.path("d/hook.yaml")).unwrap();
    home.certtool("inject -i -f d --ca ca.crt")
        .refused(0, &["nothing to do"]);
    let after = fs::metadata(home.path("d/hook.yaml")).unwrap();
    assert_eq!(
        (after.ino(), after.mtime_nsec()),
        (before.ino(), before.mtime_nsec())
    );
}

#[test]
fn check_and_dry_run_write_nothing_and_say_what_would_change() {
    let home = Home::new();
    home.write("hook.yaml", hook(SERVICE));
    let line = "hook.yaml:8: ValidatingWebhookConfiguration/shop, webhook \"a.example.com\": caBundle would be added\n";
    for (words, code) in [("--check", 3), ("--dry-run", 0), ("-i --dry-run=client", 0)] {
        let said = home
            .certtool(&format!("inject -f hook.yaml --ca ca.crt {words}"))
            .ended(code);
        assert_eq!(said.stdout, line);
        assert_eq!(home.read("hook.yaml"), hook(SERVICE));
    }
    let json_said = home
        .certtool("inject -f hook.yaml --ca ca.crt --check -o json")
        .ended(3)
        .json();
    assert_eq!(
        json_said,
        json!({"items": [{
            "file": "hook.yaml", "line": 8, "kind": "ValidatingWebhookConfiguration",
            "name": "shop", "webhook": "a.example.com", "change": "added",
            "skipVerifyCleared": false,
        }]})
    );
    let names = home
        .certtool("inject -f hook.yaml --ca ca.crt --in-place -o name")
        .done();
    assert_eq!(names.stdout, "ValidatingWebhookConfiguration/shop\n");
    home.certtool("inject -f hook.yaml --ca ca.crt --check")
        .refused(0, &["nothing to do"]);
}

#[test]
fn an_error_in_one_file_leaves_all_as_they_were() {
    let home = Home::new();
    home.write("d/a.yaml", hook(SERVICE));
    home.write("d/b.yaml", hook("    url: [\n"));
    for words in ["-i", "", "--check"] {
        home.certtool(&format!("inject {words} -f d --ca ca.crt"))
            .refused(1, &["d/b.yaml, line", "nothing was written"]);
    }
    assert_eq!(home.read("d/a.yaml"), hook(SERVICE));
}

#[test]
fn what_cannot_be_written_in_place_is_refused() {
    let home = Home::new();
    home.certtool("inject -i --ca ca.crt")
        .refused(2, &["--in-place writes files"]);
    home.certtool("inject -i -f /dev/null --ca ca.crt")
        .refused(1, &["/dev/null is not a regular file"]);
    home.certtool("inject -f gone.yaml --ca ca.crt")
        .refused(1, &["gone.yaml", "No such file"]);
    home.write("empty/x.txt", "");
    home.certtool("inject -f empty --ca ca.crt")
        .refused(1, &["no .yaml, .yml or .json file"]);
}
