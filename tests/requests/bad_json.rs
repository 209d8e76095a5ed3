//! cfssl's JSON with mistakes: no key, no CA and no certificate, and the place of the
//! mistake in the message.

use crate::Files;

#[test]
fn a_csr_json_with_a_mistake_makes_no_key_and_no_ca() {
    let files = Files::new();
    for (json, why) in [
        (
            r#"{ "CN": "hook", "hots": ["a.svc"] }"#,
            "did you mean \"hosts\"?",
        ),
        (r#"{ "CN": "hook", "colour": 1 }"#, "unknown key"),
        (r#"{ "CN": 5 }"#, "expected a string, found a number"),
        (
            r#"{ "CN": "hook", "hosts": "a.svc" }"#,
            "expected a list, found a string",
        ),
        (
            r#"{ "CN": "hook", "hosts": [["a.svc"]] }"#,
            "expected a string, found a list",
        ),
        (
            r#"{ "CN": "hook", "key": "rsa" }"#,
            "expected an object, found a string",
        ),
        (
            r#"{ "CN": "hook", "key": { "algo": "rsa", "size": "2048" } }"#,
            "found a string",
        ),
        (
            r#"{ "CN": "hook", "key": { "algo": "rsa", "size": 1024 } }"#,
            "1024",
        ),
        (
            r#"{ "CN": "hook", "key": { "algo": "dsa", "size": 2048 } }"#,
            "dsa",
        ),
        (
            r#"{ "CN": "hook", "key": { "algo": "ecdsa", "size": 255 } }"#,
            "255",
        ),
        ("{ // the hook\n \"CN\": \"hook\" }", "JSON has no comments"),
        ("{ \"CN\": \"hook\" # the hook\n }", "JSON has no comments"),
        (r#"{ "CN": "hook", }"#, "line 1, column 17: not valid JSON"),
        (r#"{ "CN": "hook" } { }"#, "line 1"),
        (
            r#"{ "CN": "hook", "cn": "other" }"#,
            "the key is given twice",
        ),
        ("[]", "expected an object"),
        ("", "it is empty"),
        ("CN: hook", "not valid JSON"),
        ("\u{feff}{}", "byte order mark"),
    ] {
        files.write("server.json", json);
        for command in [
            "genkey --from server.json --out-dir made",
            "ca init --from server.json --out-dir made",
        ] {
            files
                .certtool(command)
                .ended(1)
                .prints_nothing()
                .explains("server.json")
                .explains(why);
            assert!(!files.exists("made"), "{command}: {json}");
        }
    }
    files.write("server.json", b"{ \"CN\": \"h\xfcck\" }");
    files
        .certtool("genkey --from server.json")
        .ended(1)
        .explains("is not UTF-8");
    files.write(
        "server.json",
        r#"{ "CN": "hook", "ca": { "expiry": "24h" } }"#,
    );
    files
        .certtool("genkey --from server.json")
        .ended(1)
        .explains("for a new CA only");
    files.write(
        "server.json",
        r#"{ "CN": "hook", "hosts": ["10.0.0.1:443"] }"#,
    );
    files
        .certtool("genkey --from server.json")
        .ended(1)
        .explains("10.0.0.1:443");
    files.write("server.json", "{}");
    files
        .certtool("genkey --from server.json")
        .ended(2)
        .explains("for which names?");
    files
        .certtool("ca init --from server.json --out-dir made")
        .ended(1)
        .explains("a CA needs a \"CN\"");
    files.write(
        "server.json",
        r#"{ "CN": "hook", "ca": { "expiry": "365d" } }"#,
    );
    files
        .certtool("ca init --from server.json --out-dir made")
        .ended(1)
        .explains("365d");
    files
        .certtool("genkey --from missing.json")
        .ended(1)
        .explains("could not open missing.json");
    files.certtool("genkey --from .").ended(1);
    assert!(!files.exists("made") && !files.exists("server-key.pem"));
}

#[test]
fn a_signing_config_with_a_mistake_signs_nothing() {
    let files = Files::new();
    files.certtool("ca init --out-dir ca").done();
    files.csr("hook", "DNS:hook.shop.svc");
    let usages = r#""usages": ["digital signature", "server auth"]"#;
    for (profile, why) in [
        (
            r#""usages": ["digital signature", "sever auth"], "expiry": "24h""#,
            "sever auth",
        ),
        (usages, "a profile needs an \"expiry\""),
        (&format!(r#"{usages}, "expiry": "1d""#), "1d"),
        (
            &format!(r#"{usages}, "expiry": 24"#),
            "expected a string, found a number",
        ),
        (
            &format!(r#"{usages}, "expiry": "24h", "is_ca": true"#),
            "unknown key",
        ),
        (
            &format!(r#"{usages}, "expiry": "24h", "remote": "signer""#),
            "signing.default.remote",
        ),
        (
            &format!(r#"{usages}, "expiry": "24h", "auth_key": "k""#),
            "auth_key",
        ),
        (
            &format!(r#"{usages}, "expiry": "24h", "name_whitelist": "(""#),
            "name_whitelist",
        ),
        (
            &format!(
                r#"{usages}, "expiry": "24h", "not_before": "2030-01-01T00:00:00Z", "not_after": "2029-01-01T00:00:00Z""#
            ),
            "lies before",
        ),
    ] {
        files.write(
            "signing.json",
            format!("{{ \"signing\": {{ \"default\": {{ {profile} }} }} }}"),
        );
        files
            .certtool("sign --csr hook.csr --ca-dir ca --config signing.json --out hook.crt -q")
            .ended(1)
            .prints_nothing()
            .explains("signing.json")
            .explains(why);
        assert!(!files.exists("hook.crt"), "{profile}");
    }
    files.write(
        "signing.json",
        format!("{{ \"signing\": {{ \"default\": {{ {usages}, \"expiry\": \"24h\" }} }} }}"),
    );
    files
        .certtool("sign --csr hook.csr --ca-dir ca --config signing.json --profile www")
        .ended(1)
        .prints_nothing()
        .explains("no profile \"www\"");
    for words in [
        "--config signing.json --validity 1h",
        "--profile www",
        "--config signing.json --usage server_auth",
    ] {
        files
            .certtool(&format!("sign --csr hook.csr --ca-dir ca {words}"))
            .ended(2)
            .prints_nothing();
    }
    files
        .certtool("sign --csr hook.csr --ca-dir ca --config signing.json")
        .done();
}
