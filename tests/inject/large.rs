//! Twenty megabytes, and thousands of files.

use std::fmt::Write;

use crate::{Home, hook, without_bundles};

#[test]
fn a_manifest_of_20_mb_differs_in_its_bundle_lines_alone() {
    let home = Home::new();
    let mut manifest = String::new();
    let filler = "# a line of a comment that is of no interest to anybody at all\n".repeat(400);
    for number in 0.. {
        if manifest.len() > 20_000_000 {
            break;
        }
        writeln!(manifest, "---\nkind: Other{number}\n{filler}---").unwrap();
        manifest += &hook("    service: {name: hook, namespace: shop}\n");
    }
    let after = home.injected(&manifest);
    assert!(after.len() > manifest.len());
    assert_eq!(without_bundles(&after).concat(), manifest);
}

#[test]
fn thousands_of_files_are_written_in_place_or_as_one_stream() {
    let home = Home::new();
    for number in 0..3000 {
        let manifest = if number % 3 == 0 {
            hook("    url: https://x\n")
        } else {
            format!("kind: Other{number}\n")
        };
        home.write(&format!("d/{}/{number}.yaml", number % 7), manifest);
    }
    let stream = home.certtool("inject -f d --ca ca.crt").done().stdout;
    assert_eq!(stream.matches("caBundle").count(), 1000);
    assert_eq!(stream.matches("\n---\n").count(), 2999);
    let said = home.certtool("inject -i -f d --ca ca.crt").done();
    assert_eq!(said.stdout.lines().count(), 1000);
    home.certtool("inject --check -f d --ca ca.crt").done();
}
