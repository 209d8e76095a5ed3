//! Inputs: mostly sensible, now and then odd in one place. The same on every run.

use certtool::pki::{Attribute, DistinguishedName};
use serde_json::{Map, Value, json};

use crate::forge::{extension, extension_request, request, san};

/// xorshift64*
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: usize) -> Self {
        Self((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % end
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Some of `good`, and at times one of `odd`.
    fn some(&mut self, good: &[&str], odd: &[&str], most: usize) -> Vec<String> {
        let mut all: Vec<String> = (0..self.below(most + 1))
            .map(|_| (*self.pick(good)).to_owned())
            .collect();
        if self.chance(3) {
            let at = self.below(all.len() + 1);
            all.insert(at, (*self.pick(odd)).to_owned());
        }
        all
    }
}

const HOSTS: &[&str] = &[
    "hook.default.svc",
    "hook.default.svc.cluster.local",
    "*.example.com",
    "Example.COM",
    "localhost",
    "under_score.example",
    "172.22.109.184",
    "10.0.0.1",
    "::1",
    "fd00::1:2",
    "::ffff:10.0.0.2",
    "admin@example.com",
    "a.b+c@sub.example.com",
    "root@localhost",
    "spiffe://cluster.local/ns/default/sa/hook",
    "https://example.com/path?x=y",
    "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
];

const ODD_HOSTS: &[&str] = &[
    "",
    "localhost:8080",
    "10.0.0.1:443",
    "a b",
    "trailing.",
    "*",
    "*.com",
    "a*.b.c",
    "ü.de",
    "Somebody <a@b.c>",
    "/path",
    "http://u@h/p",
    "http://h:80/",
    "http://h/%2f",
    "HTTP://h/",
    "1.2.3",
    "300.1.1.1",
    "010.0.0.1",
    "fe80::1%eth0",
    "a,b",
    "-a",
    "mailto:a@b.c",
    "tel:1",
    "a@b@c",
    "[::1]",
];

const EXPIRIES: &[&str] = &[
    "8760h",
    "1h30m",
    "876000h",
    "26280h0m0s",
    "43800h",
    "10m",
    "100h.5h",
];
const ODD_EXPIRIES: &[&str] = &[
    "", "0", "0s", "-1h", "365d", "1y", "x", "8760", "9999999h", " 1h",
];
const BACKDATES: &[&str] = &["5m", "1h", "0s", "", "24h", "-10m", "90s"];
const URLS: &[&str] = &[
    "http://crl.example.com/a.crl",
    "",
    "http://example.com/ocsp",
];

fn put(object: &mut Map<String, Value>, rng: &mut Rng, percent: usize, key: &str, value: Value) {
    if rng.chance(percent) {
        object.insert(key.to_owned(), value);
    }
}

fn expiry(rng: &mut Rng) -> Value {
    let from = if rng.chance(4) {
        ODD_EXPIRIES
    } else {
        EXPIRIES
    };
    json!(*rng.pick(from))
}

pub(crate) fn csr_json(rng: &mut Rng, root: bool) -> String {
    let mut object = Map::new();
    let long = "l".repeat(65);
    let names = [
        "example.com",
        "My Example Signer",
        "Zoë",
        "a*b & c",
        "user@example.com",
        "a,b+c=d",
        "",
        "system:node:a",
        &long,
        "東京",
    ];
    let key = if rng.chance(4) { "cn" } else { "CN" };
    let name = *rng.pick(&names);
    put(&mut object, rng, 85, key, json!(name));
    let hosts = rng.some(HOSTS, ODD_HOSTS, 5);
    put(&mut object, rng, 85, "hosts", json!(hosts));
    let entries: Vec<_> = (0..rng.below(4)).map(|_| name_entry(rng)).collect();
    put(&mut object, rng, 70, "names", Value::Array(entries));
    let keys = [
        json!({"algo": "ecdsa", "size": 256}),
        json!({"algo": "ecdsa", "size": 384}),
        json!({"algo": "ecdsa", "size": 521}),
        json!({"size": 384}),
        json!({"algo": "ecdsa"}),
        json!({"algo": "ed25519"}),
        json!({"algo": "ed25519", "size": 7}),
        json!({}),
        Value::Null,
    ];
    let odd_keys = [
        json!({"algo": "rsa", "size": 2048}),
        json!({"algo": "rsa"}),
        json!({"algo": "rsa", "size": 1024}),
        json!({"algo": "ecdsa", "size": 224}),
        json!({"algo": "dsa", "size": 2048}),
        json!({"size": 2048}),
        json!({"algo": "RSA", "size": 2048}),
        json!({"algo": "rsa", "size": 16384}),
        json!({"size": "256"}),
        json!({"algo": ""}),
        json!([]),
    ];
    let key = if rng.chance(10) {
        rng.pick(&odd_keys)
    } else {
        rng.pick(&keys)
    }
    .clone();
    put(&mut object, rng, 80, "key", key);
    if rng.chance(if root { 70 } else { 3 }) {
        let ca = ca_section(rng);
        object.insert("ca".to_owned(), ca);
    }
    let serials = ["1234", "x-1", ""];
    let serial = *rng.pick(&serials);
    put(&mut object, rng, 12, "serialnumber", json!(serial));
    let url = *rng.pick(URLS);
    put(
        &mut object,
        rng,
        if root { 20 } else { 3 },
        "crl_url",
        json!(url),
    );
    put(&mut object, rng, 2, "delegation_enabled", json!(true));
    put(&mut object, rng, 2, "delegation_enabled", json!(false));
    put(&mut object, rng, 2, "extensions", json!([]));
    put(&mut object, rng, 2, "host", json!("typo"));
    put(&mut object, rng, 2, "hosts", json!("not a list"));
    put(&mut object, rng, 2, "names", json!({"O": "not a list"}));
    put(&mut object, rng, 2, "CN", json!(5));
    Value::Object(object).to_string()
}

fn name_entry(rng: &mut Rng) -> Value {
    let mut entry = Map::new();
    for (key, values) in [
        ("C", ["DE", "US"]),
        ("ST", ["Bayern", "California"]),
        ("L", ["München", "San Francisco"]),
        ("O", ["system:masters", "Acme, Inc."]),
        ("OU", ["ops & dev", ""]),
    ] {
        let value = *rng.pick(&values);
        put(&mut entry, rng, 45, key, json!(value));
    }
    put(&mut entry, rng, 8, "E", json!("admin@example.com"));
    let oids = [
        json!({"1.2.3.4": "x"}),
        json!({"2.5.4.12": "Dr"}),
        json!({"2.5.4.3": "replaced"}),
        json!({"2.5.4.17": "80331"}),
        json!({"0.9.2342.19200300.100.1.25": "example"}),
    ];
    let odd = [
        json!({"1": "x"}),
        json!({"a.b": "x"}),
        json!({"3.1.1": "x"}),
        json!({"1.50.1": "x"}),
    ];
    let oid = if rng.chance(8) {
        rng.pick(&odd)
    } else {
        rng.pick(&oids)
    }
    .clone();
    put(&mut entry, rng, 12, "OID", oid);
    put(&mut entry, rng, 2, "SerialNumber", json!("77"));
    put(&mut entry, rng, 2, "CN", json!("misplaced"));
    Value::Object(entry)
}

fn ca_section(rng: &mut Rng) -> Value {
    let mut ca = Map::new();
    let length = *rng.pick(&[0, 0, 1, 3, -1, -2, 255]);
    put(&mut ca, rng, 50, "pathlen", json!(length));
    let zero = rng.chance(60);
    put(&mut ca, rng, 40, "pathlenzero", json!(zero));
    let life = expiry(rng);
    put(&mut ca, rng, 60, "expiry", life);
    let backdate = *rng.pick(BACKDATES);
    put(&mut ca, rng, 25, "backdate", json!(backdate));
    Value::Object(ca)
}

pub(crate) fn config(rng: &mut Rng) -> String {
    let mut signing = Map::new();
    if rng.chance(85) {
        let default = profile(rng);
        signing.insert("default".to_owned(), default);
    }
    if rng.chance(95) {
        let (server, other) = (profile(rng), profile(rng));
        let mut profiles = Map::new();
        put(&mut profiles, rng, 98, "server", server);
        put(&mut profiles, rng, 20, "other", other);
        signing.insert("profiles".to_owned(), Value::Object(profiles));
    }
    let mut top = Map::new();
    put(&mut top, rng, 99, "signing", Value::Object(signing));
    put(
        &mut top,
        rng,
        5,
        "auth_keys",
        json!({"k": {"type": "standard", "key": "0123456789abcdef"}}),
    );
    put(&mut top, rng, 3, "remotes", json!({"r": "localhost:1"}));
    put(&mut top, rng, 1, "sining", json!({}));
    Value::Object(top).to_string()
}

const USAGES: &[&str] = &[
    "signing",
    "digital signature",
    "content commitment",
    "key encipherment",
    "key agreement",
    "data encipherment",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
    "any",
    "server auth",
    "client auth",
    "code signing",
    "email protection",
    "s/mime",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "timestamping",
    "ocsp signing",
    "microsoft sgc",
    "netscape sgc",
];

fn profile(rng: &mut Rng) -> Value {
    let mut profile = Map::new();
    let mut usages = rng.some(USAGES, &["server_auth", "", "serverAuth"], 4);
    if usages.is_empty() && rng.chance(85) {
        usages.push("server auth".to_owned());
    }
    put(&mut profile, rng, 97, "usages", json!(usages));
    let life = expiry(rng);
    put(&mut profile, rng, 97, "expiry", life);
    let backdate = *rng.pick(BACKDATES);
    put(&mut profile, rng, 15, "backdate", json!(backdate));
    let times = [
        "2026-01-01T00:00:00Z",
        "2027-06-30T12:00:00+02:00",
        "2030-01-01T00:00:00.5Z",
        "0001-01-01T00:00:00Z",
    ];
    let time = *rng.pick(&times);
    put(&mut profile, rng, 6, "not_before", json!(time));
    let time = *rng.pick(&times);
    put(&mut profile, rng, 6, "not_after", json!(time));
    put(&mut profile, rng, 1, "not_after", json!("2026-01-01"));
    let is_ca = rng.chance(25);
    let length = *rng.pick(&[0, 0, 1, 1, 3, -1, 300]);
    let zero = rng.chance(50);
    let mut constraint = Map::new();
    put(&mut constraint, rng, 90, "is_ca", json!(is_ca));
    put(&mut constraint, rng, 40, "max_path_len", json!(length));
    put(&mut constraint, rng, 40, "max_path_len_zero", json!(zero));
    put(
        &mut profile,
        rng,
        50,
        "ca_constraint",
        Value::Object(constraint),
    );
    let issuers = [
        json!(["http://example.com/ca"]),
        json!([]),
        json!(["http://a/1", "http://b/2"]),
        Value::Null,
    ];
    let issuer = rng.pick(&issuers).clone();
    put(&mut profile, rng, 15, "issuer_urls", issuer);
    let url = *rng.pick(URLS);
    put(&mut profile, rng, 15, "ocsp_url", json!(url));
    let url = *rng.pick(URLS);
    put(&mut profile, rng, 15, "crl_url", json!(url));
    let flag = rng.chance(70);
    put(&mut profile, rng, 8, "ocsp_no_check", json!(flag));
    put(&mut profile, rng, 12, "copy_extensions", json!(flag));
    let lists = [
        "example",
        r"^[\w.*-]+$",
        r"(?i)^(.+\.)?EXAMPLE\.com$",
        "",
        "(",
        "a**",
        r"\.svc$",
    ];
    let list = *rng.pick(&lists);
    put(&mut profile, rng, 12, "name_whitelist", json!(list));
    let policies = [
        json!([{"id": "1.2.3.4"}]),
        json!([{"ID": "2.5.29.32.0", "Qualifiers": [{"Type": "id-qt-cps", "Value": "http://example.com/cps"}]}]),
        json!([{"id": "1.2.3", "qualifiers": [{"type": "id-qt-unotice", "value": "Zoë"}, {"type": "id-qt-cps", "value": ""}]}]),
        json!([]),
        json!([{"id": "1.2.3", "qualifiers": [{"type": "other"}]}]),
        json!([{"id": "x"}]),
    ];
    let policy = rng.pick(&policies).clone();
    put(&mut profile, rng, 10, "policies", policy);
    let bit = |rng: &mut Rng| rng.chance(75);
    let allow = json!({
        "Subject": bit(rng), "PublicKeyAlgorithm": true, "PublicKey": true, "SignatureAlgorithm": true,
        "DNSNames": bit(rng), "IPAddresses": bit(rng), "EmailAddresses": bit(rng), "URIs": bit(rng),
    });
    put(&mut profile, rng, 10, "CSRWhitelist", allow);
    put(&mut profile, rng, 2, "allowed_extensions", json!(["1.2.3"]));
    put(&mut profile, rng, 2, "cert_store", json!("x"));
    put(&mut profile, rng, 2, "auth_key", json!("k"));
    put(&mut profile, rng, 1, "remote", json!("r"));
    put(&mut profile, rng, 2, "lint_error_level", json!("reserved"));
    put(&mut profile, rng, 1, "lint_error_level", json!("error"));
    put(&mut profile, rng, 1, "lint_error_level", json!(0));
    put(
        &mut profile,
        rng,
        1,
        "ClientProvidesSerialNumbers",
        json!(true),
    );
    put(&mut profile, rng, 1, "usage", json!(["server auth"]));
    put(&mut profile, rng, 1, "Usages", json!(["client auth"]));
    put(&mut profile, rng, 1, "expiry", json!(8760));
    Value::Object(profile)
}

const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
const BASIC_CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
const TLS_FEATURE: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x01\x18";

/// Requests as other programs make them: any order of names, other string types.
pub(crate) fn requests(rng: &mut Rng, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            let names: Vec<(u8, &[u8])> = (0..rng.below(5))
                .map(|_| {
                    let odd: [(u8, &[u8]); 5] = [
                        (0x82, b"10.0.0.1"),
                        (0x82, b"a..b"),
                        (0x86, b"http://h:1/%41"),
                        (0xa4, b"\x30\x00"),
                        (0x82, b"trailing."),
                    ];
                    let good: [(u8, &[u8]); 8] = [
                        (0x82, b"hook.example.com"),
                        (0x82, b"*.Example.com"),
                        (0x82, b"a.svc"),
                        (0x87, &[10, 0, 0, 1]),
                        (0x81, b"a@example.com"),
                        (0x86, b"spiffe://a/b"),
                        (0x87, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
                        (
                            0x87,
                            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 3],
                        ),
                    ];
                    if rng.chance(3) {
                        *rng.pick(&odd)
                    } else {
                        *rng.pick(&good)
                    }
                })
                .collect();
            let mut extensions = Vec::new();
            if !names.is_empty() {
                extensions.push(san(&names));
            }
            if rng.chance(5) {
                extensions.push(extension(BASIC_CONSTRAINTS, b"\x30\x03\x01\x01\xff"));
            }
            if rng.chance(5) {
                extensions.push(extension(BASIC_CONSTRAINTS, b"\x30\x00"));
                extensions.dedup_by(|a, b| a[2..7] == b[2..7]);
            }
            if rng.chance(8) {
                extensions.push(extension(KEY_USAGE, b"\x03\x02\x05\xa0"));
            }
            if rng.chance(15) {
                extensions.push(extension(TLS_FEATURE, b"\x30\x03\x02\x01\x05"));
            }
            let attributes: Vec<_> = (!extensions.is_empty())
                .then(|| extension_request(&extensions))
                .into_iter()
                .collect();
            let der = request(subject(rng).as_der(), &attributes);
            certtool::pki::Csr::from_der(&der).unwrap().to_pem()
        })
        .collect()
}

fn subject(rng: &mut Rng) -> DistinguishedName {
    let oid = |text: &str| Attribute::Other(text.parse().unwrap());
    let choices = [
        (Attribute::CommonName, "hook.example.com"),
        (Attribute::Organization, "Acme, Inc."),
        (Attribute::Organization, "Zwölf & Co"),
        (Attribute::Country, "DE"),
        (Attribute::PostalCode, "80331"),
        (Attribute::StreetAddress, "Main St"),
        (Attribute::SerialNumber, "1"),
        (Attribute::EmailAddress, "a@example.com"),
        (oid("0.9.2342.19200300.100.1.25"), "dc"),
        (Attribute::OrganizationalUnit, ""),
    ];
    let rdns: Vec<Vec<_>> = (0..rng.below(5))
        .map(|_| {
            (0..=rng.below(8) / 7)
                .map(|_| {
                    let (attribute, text) = rng.pick(&choices).clone();
                    (attribute, text.to_owned())
                })
                .collect()
        })
        .collect();
    DistinguishedName::from_rdns(&rdns)
}
