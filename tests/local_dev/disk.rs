//! Directories that cannot be written to: named, and what was there stays.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use crate::{
    Home,
    home::{assert_unchanged, mode, ran, snapshot, under},
    judge,
};

/// Runs a script as root of a namespace with mounts of its own, then certtool.
const MOUNTS: [&str; 5] = ["unshare", "--map-root-user", "--mount", "sh", "-c"];

fn can_mount(home: &Home) -> bool {
    let mut command = Command::new(MOUNTS[0]);
    let script = format!("mount -t tmpfs none '{}'", home.path().display());
    let can = command.args(&MOUNTS[1..]).arg(script).output();
    let can = can.is_ok_and(|output| output.status.success());
    if !can {
        eprintln!("nothing can be mounted here: not tested");
    }
    can
}

fn mounted(options: &str, on: &Path) -> [String; 6] {
    let script = format!(
        r#"mount -t tmpfs -o {options} none '{}' && exec "$0" "$@""#,
        on.display()
    );
    let [a, b, c, d, e] = MOUNTS.map(str::to_owned);
    [a, b, c, d, e, script]
}

#[test]
fn a_file_in_the_place_of_a_directory_is_named_with_the_option() {
    let home = Home::new();
    home.done(&[]);
    let file = home.write("file", "mine");
    let path = file.to_str().unwrap();
    for option in ["--cert-dir", "--ca-dir"] {
        for below in ["", "/certs", "/a/b/c"] {
            let found = format!("{path} is a plain file where a directory is needed");
            home.refuses(&[option, &format!("{path}{below}")], &[&found, option]);
        }
        home.refuses(&[option, "/dev/null/x"], &["/dev/null is a device", option]);
    }
    assert_eq!(fs::read(file).unwrap(), b"mine");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let home = Home::new();
    home.done(&[]);
    for option in ["--cert-dir", "--ca-dir"] {
        // Not even root makes a directory there.
        home.refuses(
            &[option, "/proc/certtool/certs"],
            &["/proc/certtool", option],
        );
    }
    symlink("nowhere", home.path().join("dangling")).unwrap();
    let words = ["dangling", "which does not exist", "--cert-dir"];
    home.refuses(&["--cert-dir=dangling"], &words);
    symlink("circle", home.path().join("circle")).unwrap();
    home.refuses(&["--cert-dir=circle"], &["circle", "--cert-dir"]);
}

#[test]
fn a_missing_directory_is_made_with_those_above_it() {
    let home = Home::new();
    home.done(&["--cert-dir=a/b/c", "--ca-dir=d/e"]);
    judge::accepts(&home.path().join("a/b/c"), &["localhost"]);
    assert_eq!(mode(home.path().join("a/b/c")), 0o700);
    assert_eq!(mode(home.path().join("d/e")), 0o700);
}

#[test]
fn a_link_to_a_directory_is_as_good_as_the_directory() {
    let home = Home::new();
    fs::create_dir(home.path().join("real")).unwrap();
    symlink("real", home.path().join("link")).unwrap();
    home.done(&["--cert-dir=link"]);
    judge::accepts(&home.path().join("real"), &["localhost"]);
    assert_eq!(home.reason(&["--cert-dir=real"]), "unchanged");
}

#[test]
fn without_permission_the_old_pair_stays() {
    let home = Home::new();
    home.done(&[]);
    for dir in [home.certs(), home.ca()] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o500)).unwrap();
    }
    let before = snapshot(home.path());
    let is_root = fs::metadata(home.path()).unwrap().uid() == 0;
    let drop = "--bounding-set=-dac_override,-dac_read_search";
    let root = ["setpriv", drop, "--inh-caps=-all"];
    let wrapper: &[&str] = if is_root { &root } else { &["env"] };
    let run = |args: &[&str]| ran(under(wrapper, &home.command(args)));
    let words = ["permission denied", "ls -ld", "--cert-dir"];
    run(&["--host=new.example"]).is_refusal(1, &words);
    let below = home.certs().join("below");
    let args = ["--cert-dir", below.to_str().unwrap()];
    run(&args).is_refusal(1, &["permission denied", below.to_str().unwrap()]);
    let below = home.ca().join("below");
    let args = ["--ca-dir", below.to_str().unwrap()];
    run(&args).is_refusal(1, &["permission denied", "--ca-dir"]);
    // Reading is still enough for nothing to do.
    assert_eq!(run(&[]).code, 0);
    assert_unchanged(&before, home.path());
    judge::accepts(&home.certs(), &["localhost"]);
}

#[test]
fn a_read_only_file_system_is_named() {
    let home = Home::new();
    if !can_mount(&home) {
        return;
    }
    home.done(&[]);
    let there = home.path().join("there");
    fs::create_dir(&there).unwrap();
    let before = snapshot(home.path());
    for option in ["--cert-dir", "--ca-dir"] {
        for dir in [there.clone(), there.join("below")] {
            let mounted = mounted("ro", &there);
            let wrapper: Vec<_> = mounted.iter().map(String::as_str).collect();
            let dir = dir.to_str().unwrap();
            let refused = ran(under(&wrapper, &home.command(&[option, dir])));
            refused.is_refusal(1, &[dir, "the file system is read-only", option]);
        }
    }
    assert_unchanged(&before, home.path());
}

#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    let home = Home::new();
    if !can_mount(&home) {
        return;
    }
    home.done(&[]);
    let there = home.path().join("there");
    fs::create_dir(&there).unwrap();
    // Two pages: one for each of two files, and none for the third.
    let script = format!(
        r#"mount -t tmpfs -o size=8k none '{there}' && "$0" "$@"; code=$?; ls -A '{there}'; exit $code"#,
        there = there.display()
    );
    let wrapper = [&MOUNTS[..], &[&script]].concat();
    let dir = there.join("certs");
    let args = ["--cert-dir", dir.to_str().unwrap()];
    let refused = ran(under(&wrapper, &home.command(&args)));
    refused.is_refusal(
        1,
        &[dir.to_str().unwrap(), "no space is left", "--cert-dir"],
    );
}

/// Runs with no file larger than 512 bytes: a key fits, a certificate does not.
fn without_space(home: &Home, prologue: &str, args: &[&str]) -> crate::Ran {
    let script = format!(r#"{prologue} ulimit -f 1; exec "$0" "$@""#);
    ran(under(&["sh", "-c", &script], &home.command(args)))
}

#[test]
fn a_disk_that_fills_during_the_write_leaves_the_old_pair() {
    let home = Home::new();
    home.done(&["--host=old.example"]);
    let before = snapshot(&home.certs());
    for args in [&["--host=new.example"][..], &["--force"]] {
        let refused = without_space(&home, "trap '' XFSZ;", args);
        let words = ["tls.crt", "no space is left", "unchanged", "--cert-dir"];
        refused.is_refusal(1, &words);
        let names = |snapshot: &crate::home::Snapshot| snapshot.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&before), names(&snapshot(&home.certs())));
        judge::accepts(&home.certs(), &["old.example"]);
    }
    assert_eq!(home.reason(&["--host=old.example"]), "unchanged");
}

#[test]
fn a_disk_that_fills_during_the_first_write_leaves_nothing() {
    let home = Home::new();
    let refused = without_space(&home, "trap '' XFSZ;", &[]);
    refused.is_refusal(1, &["ca.crt", "no space is left", "--ca-dir"]);
    assert!(!home.ca().exists() && !home.certs().exists());

    home.done(&["--cert-dir=elsewhere"]);
    let refused = without_space(&home, "trap '' XFSZ;", &[]);
    refused.is_refusal(1, &["tls.crt", "no space is left", "--cert-dir"]);
    assert!(!home.certs().exists());
    home.done(&[]);
    judge::accepts(&home.certs(), &["localhost"]);
}

#[test]
fn a_process_killed_by_the_file_size_limit_leaves_what_the_next_run_repairs() {
    const SIGXFSZ: i32 = 25;
    let home = Home::new();
    assert_eq!(without_space(&home, "", &[]).code, 128 + SIGXFSZ);
    home.done(&[]);
    judge::accepts(&home.certs(), &["localhost"]);
    let before = home.report(&[]);
    assert_eq!(without_space(&home, "", &["--force"]).code, 128 + SIGXFSZ);
    judge::accepts(&home.certs(), &["localhost"]);
    let after = home.report(&[]);
    assert_eq!(before["fingerprint"], after["fingerprint"]);
    // What the killed one left is gone after the next write.
    home.done(&["--force"]);
    let entries = fs::read_dir(home.certs()).unwrap().count();
    assert_eq!(entries, 6, "three names, ..data, and two generations");
}

#[test]
fn without_a_home_the_message_names_the_variable_and_the_option() {
    let home = Home::new();
    for value in [None, Some(""), Some("relative")] {
        let mut command = home.command(&[]);
        command.env_remove("XDG_DATA_HOME");
        match value {
            None => command.env_remove("HOME"),
            Some(value) => command.env("HOME", value),
        };
        ran(command).is_refusal(1, &["HOME is not set to an absolute path", "--ca-dir"]);
    }
    assert!(!home.certs().exists());
}
