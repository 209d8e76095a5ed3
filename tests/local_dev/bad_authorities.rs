//! CAs that cannot sign, or that nobody would believe: refused with the file and the fix.

use std::fs;

use time::Duration;

use crate::{
    Home,
    authorities::{EC, RSA, openssl_ca},
    judge::{self, openssl},
    made::write_ca,
};

const DAY: Duration = Duration::DAY;

/// A home with a good CA in `good.crt` and `good.key`, and a pair, to see that it stays.
fn home() -> Home {
    let home = Home::new();
    home.done(&[]);
    openssl_ca(home.path(), "good", EC, "");
    home
}

#[test]
fn a_ca_that_is_not_valid_now_is_refused_with_its_dates() {
    let home = home();
    for (name, dates, words) in [
        ("expired", (-DAY * 20, -DAY), "CN=expired expired on 20"),
        (
            "future",
            (DAY, DAY * 20),
            "CN=future is not valid before 20",
        ),
    ] {
        write_ca(home.path(), name, None, dates);
        let [certificate, key] = ["crt", "key"].map(|end| format!("{name}.{end}"));
        let args = ["--ca", &certificate, "--ca-key", &key];
        home.refuses(&args, &[&certificate, words, "--ca-key"]);
        // The same in a CA directory, where the message says what to do there.
        let dir = home.path().join(name);
        fs::create_dir(&dir).unwrap();
        fs::copy(home.path().join(&certificate), dir.join("ca.crt")).unwrap();
        fs::copy(home.path().join(&key), dir.join("ca.key")).unwrap();
        let path = dir.join("ca.crt");
        let move_away = format!("move {} and {}/ca.key away", path.display(), dir.display());
        home.refuses(&["--ca-dir", dir.to_str().unwrap()], &[words, &move_away]);
    }
}

#[test]
fn an_intermediate_under_a_root_that_is_over_is_refused() {
    let home = home();
    write_ca(home.path(), "root", None, (-DAY * 20, -DAY));
    write_ca(home.path(), "below", Some("root"), (-DAY * 10, DAY * 10));
    let args = ["--ca=below.crt", "--ca-key=below.key"];
    home.refuses(&args, &["below.crt", "CN=root expired on 20"]);
}

#[test]
fn a_certificate_that_is_no_ca_is_refused() {
    let home = home();
    let dir = home.path();
    let not_a_ca = "-addext basicConstraints=critical,CA:FALSE";
    openssl_ca(dir, "leaf", EC, not_a_ca);
    let args = ["--ca=leaf.crt", "--ca-key=leaf.key"];
    home.refuses(&args, &["leaf.crt", "CN=leaf is not a CA", "CA:TRUE"]);
    openssl_ca(
        dir,
        "mute",
        EC,
        "-addext keyUsage=critical,digitalSignature",
    );
    let args = ["--ca=mute.crt", "--ca-key=mute.key"];
    home.refuses(&args, &["mute.crt", "keyCertSign"]);
    // Version 1, as it is made without extensions.
    openssl(dir, "req -new -key good.key -subj /CN=v1 -out v1.csr");
    openssl(
        dir,
        "x509 -req -in v1.csr -signkey good.key -days 9 -out v1.crt",
    );
    home.refuses(
        &["--ca=v1.crt", "--ca-key=good.key"],
        &["v1.crt", "version 1"],
    );
}

#[test]
fn a_ca_that_may_not_sign_for_servers_is_refused() {
    let home = home();
    let dir = home.path();
    openssl_ca(dir, "clients", EC, "");
    openssl(dir, &format!("genpkey -out narrow.key {EC}"));
    openssl(
        dir,
        "req -new -key narrow.key -subj /CN=narrow -out narrow.csr",
    );
    let extensions = "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=clientAuth\n";
    home.write("extensions", extensions);
    let sign = "x509 -req -in narrow.csr -CA clients.crt -CAkey clients.key -days 9";
    openssl(dir, &format!("{sign} -extfile extensions -out narrow.crt"));
    let read = |name| fs::read_to_string(dir.join(name)).unwrap();
    home.write("chain.crt", read("narrow.crt") + &read("clients.crt"));
    let args = ["--ca=chain.crt", "--ca-key=narrow.key"];
    home.refuses(
        &args,
        &["chain.crt", "not trusted by TLS clients", "another CA"],
    );
}

#[test]
fn a_ca_that_may_not_sign_for_these_names_is_refused() {
    let home = home();
    let names = "-addext nameConstraints=critical,permitted;DNS:example.com";
    openssl_ca(home.path(), "names", EC, names);
    let args = ["--ca=names.crt", "--ca-key=names.key"];
    home.refuses(&args, &["localhost", "permitted", "example.com"]);
}

#[test]
fn a_key_of_another_ca_is_refused() {
    let home = home();
    openssl_ca(home.path(), "other", RSA, "");
    let args = ["--ca=good.crt", "--ca-key=other.key"];
    home.refuses(
        &args,
        &["good.crt", "other.key", "does not belong", "O=Org, CN=good"],
    );
    // A chain in the wrong order is that too: the first certificate is the one that signs.
    let read = |name| fs::read_to_string(home.path().join(name)).unwrap();
    home.write("reversed.crt", read("other.crt") + &read("good.crt"));
    let args = ["--ca=reversed.crt", "--ca-key=good.key"];
    home.refuses(
        &args,
        &["reversed.crt", "does not belong", "O=Org, CN=other"],
    );
    home.write("unrelated.crt", read("good.crt") + &read("other.crt"));
    let args = ["--ca=unrelated.crt", "--ca-key=good.key"];
    home.refuses(
        &args,
        &["unrelated.crt", "O=Org, CN=good", "O=Org, CN=other"],
    );
}

#[test]
fn damaged_files_are_named() {
    let home = home();
    let certificate = fs::read_to_string(home.path().join("good.crt")).unwrap();
    let key = fs::read_to_string(home.path().join("good.key")).unwrap();
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    home.write("cut", cut(&certificate));
    home.write("cut.key", cut(&key));
    home.write("junk", "junk");
    home.write("noise", [0xFF, 0xFE, 0, 1, 2, 3]);
    home.write("huge", vec![b'x'; 2 << 20]);
    let body = key.lines().nth(1).unwrap();
    home.write(
        "swapped.key",
        key.replace(body, &body.chars().rev().collect::<String>()),
    );
    for file in ["cut", "junk", "noise", "huge"] {
        let args = ["--ca", file, "--ca-key=good.key"];
        home.refuses(&args, &[file]);
    }
    for file in ["cut.key", "junk", "noise", "huge", "swapped.key"] {
        let ran = home.refuses(&["--ca=good.crt", "--ca-key", file], &[file]);
        assert!(!ran.stderr.contains(&body[..20]), "{}", ran.stderr);
    }
}

#[test]
fn certificate_and_key_in_each_others_place_are_told_apart_without_showing_the_key() {
    let home = home();
    home.refuses(
        &["--ca=good.key", "--ca-key=good.crt"],
        &["good.key", "private key"],
    );
    let words = ["good.crt", "no private key found", "found CERTIFICATE"];
    home.refuses(&["--ca=good.crt", "--ca-key=good.crt"], &words);
}

#[test]
fn an_encrypted_key_is_refused_with_the_command_that_decrypts_it() {
    let home = home();
    let dir = home.path();
    let secret = "-in good.key -passout pass:secret";
    openssl(dir, &format!("pkcs8 -topk8 -out pkcs8.key {secret}"));
    openssl(dir, &format!("ec -aes256 -out sec1.key {secret}"));
    for key in ["pkcs8.key", "sec1.key"] {
        let args = ["--ca=good.crt", "--ca-key", key];
        home.refuses(&args, &[key, "encrypted with a passphrase", "openssl pkey"]);
    }
}

#[test]
fn missing_files_and_directories_in_their_place_are_named() {
    let home = home();
    fs::create_dir(home.path().join("dir")).unwrap();
    for (certificate, key, words) in [
        ("missing", "good.key", ["missing: no such file", "--ca "]),
        (
            "good.crt",
            "missing",
            ["missing: no such file", "--ca-key "],
        ),
        ("dir", "good.key", ["dir is a directory", "--ca"]),
        ("good.crt", "dir", ["dir is a directory", "--ca-key"]),
        ("good.crt/x", "good.key", ["good.crt", "--ca"]),
        ("/dev/null", "good.key", ["/dev/null", "--ca"]),
    ] {
        home.refuses(&["--ca", certificate, "--ca-key", key], &words);
    }
}

#[test]
fn one_option_of_the_pair_alone_or_both_ways_at_once_is_wrong_usage() {
    let home = home();
    home.refuses_usage(&["--ca=good.crt"], &["--ca-key"]);
    home.refuses_usage(&["--ca-key=good.key"], &["--ca <FILE>"]);
    let all = ["--ca=good.crt", "--ca-key=good.key", "--ca-dir=dir"];
    home.refuses_usage(&all, &["--ca-dir", "cannot be used with"]);
}

#[test]
fn a_damaged_local_ca_is_not_overwritten_and_the_message_says_how_to_go_on() {
    for (file, content) in [
        ("ca.key", "junk"),
        ("ca.crt", "junk"),
        ("ca.crt", ""),
        ("ca.key", ""),
    ] {
        let home = home();
        fs::write(home.ca().join(file), content).unwrap();
        let path = home.ca().join(file);
        let words = [
            path.to_str().unwrap(),
            "restore it, or move",
            "to make a new CA",
        ];
        home.refuses(&[], &words);
        fs::remove_file(home.ca().join("ca.crt")).unwrap();
        fs::remove_file(home.ca().join("ca.key")).unwrap();
        assert_eq!(home.reason(&[]), "OtherCA");
        judge::accepts(&home.certs(), &["localhost"]);
    }
    // Likewise a key that is there alone.
    let home = home();
    fs::remove_file(home.ca().join("ca.crt")).unwrap();
    fs::write(home.ca().join("ca.key"), "junk").unwrap();
    home.refuses(&[], &["ca.key", "restore it, or move"]);
}

#[test]
fn a_local_ca_whose_key_was_exchanged_is_refused() {
    let (home, other) = (home(), Home::new());
    other.done(&[]);
    fs::copy(other.ca().join("ca.key"), home.ca().join("ca.key")).unwrap();
    home.refuses(
        &[],
        &["ca.crt", "ca.key", "does not belong", "to make a new CA"],
    );
}
