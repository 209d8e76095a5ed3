//! Names spelt so that one reader sees another name than the next, and other kinds of
//! names than DNS names.

use super::names::{NOT_ALLOWED, OTHERS, named};
use super::*;

const INVALID: &str = "InvalidName";

fn raw(what: &'static str, name: &[u8], says: &'static str) -> Escape {
    let request = Request {
        csr: Forged::names(&[(0x82, name)]).build(),
        ..request()
    };
    (what, request, "MalformedRequest", says)
}

fn misspelt() -> Vec<Escape> {
    vec![
        named(
            "a trailing dot",
            "hook.team-a.svc.",
            INVALID,
            "ends with a dot",
        ),
        named(
            "a trailing dot on another namespace's Service",
            "hook.team-b.svc.",
            INVALID,
            "ends with a dot",
        ),
        named(
            "two trailing dots",
            "hook.team-a.svc..",
            INVALID,
            "ends with a dot",
        ),
        named(
            "a leading dot",
            ".hook.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "a leading dot alone before the namespace",
            ".team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "an empty label",
            "hook..team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named("an empty name", "", INVALID, "not a DNS name"),
        named("a dot alone", ".", INVALID, "ends with a dot"),
        named(
            "an underscore",
            "my_hook.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "a label of 64 characters",
            &format!("{}.team-a.svc", "a".repeat(64)),
            INVALID,
            "at most 63",
        ),
        named(
            "a name of more than 253 characters",
            &format!("{}team-a.svc", "abcdefg.".repeat(32)),
            INVALID,
            "253",
        ),
        named(
            "a label that begins with a hyphen",
            "-hook.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "a label that ends with a hyphen",
            "hook-.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "a blank before the name",
            " hook.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "a blank within the name",
            "hook.team-a.svc evil.com",
            INVALID,
            "not a DNS name",
        ),
        named(
            "two names in one, by a comma",
            "hook.team-a.svc,evil.com",
            INVALID,
            "not a DNS name",
        ),
        named("a port", "hook.team-a.svc:443", INVALID, "not a DNS name"),
        named(
            "a URL as a DNS name",
            "https://hook.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named("a path", "hook.team-a.svc/x", INVALID, "not a DNS name"),
        named(
            "a percent sign",
            "hook%2eteam-b.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "a backslash",
            "hook\\.team-b.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "an e-mail address as a DNS name",
            "a@hook.team-a.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "a placeholder of the policy's own",
            "hook.{namespace}.svc",
            INVALID,
            "not a DNS name",
        ),
        named(
            "an IPv4 address as a DNS name",
            "10.0.0.1",
            INVALID,
            "looks like",
        ),
        named(
            "an IPv6 address as a DNS name",
            "::1",
            INVALID,
            "not a DNS name",
        ),
        named(
            "a number as top-level domain",
            "hook.team-a.1",
            INVALID,
            "looks like",
        ),
        raw(
            "a NUL in the name",
            b"hook.team-a.svc\0.evil.com",
            "characters",
        ),
        raw(
            "a NUL behind another namespace's name",
            b"hook.team-b.svc\0.team-a.svc",
            "characters",
        ),
        raw(
            "a line feed in the name",
            b"hook.team-a.svc\nevil.com",
            "characters",
        ),
        raw(
            "letters outside ASCII",
            "hóok.team-a.svc".as_bytes(),
            "characters",
        ),
        raw(
            "a full-width dot",
            "hook\u{ff0e}team-a.svc".as_bytes(),
            "characters",
        ),
        raw(
            "a Cyrillic letter in the namespace",
            "hook.te\u{430}m-b.svc".as_bytes(),
            "characters",
        ),
        raw(
            "octets that are no text",
            b"hook\xff.team-a.svc",
            "characters",
        ),
    ]
}

fn of_other_kinds() -> Vec<Escape> {
    let san = |what, san: San, code, says| {
        let csr = csr(&DistinguishedName::empty(), &[san]);
        (what, asking(csr), code, says)
    };
    let ip = |text: &str| San::Ip(text.parse().unwrap());
    let raw = |what, tag, content: &[u8], code, says| {
        let names = [(0x82, HOOK[1].as_bytes()), (tag, content)];
        let request = Request {
            csr: Forged::names(&names).build(),
            ..request()
        };
        (what, request, code, says)
    };
    vec![
        named(
            "a wildcard over own namespace",
            "*.team-a.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "a wildcard over another namespace",
            "*.team-b.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "a wildcard over all namespaces",
            "*.svc",
            INVALID,
            "top-level",
        ),
        named(
            "a wildcard over the cluster domain",
            "*.svc.cluster.local",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "a wildcard for everything",
            "*",
            INVALID,
            "whole first label",
        ),
        named(
            "a wildcard over own namespace's short names",
            "*.team-a",
            INVALID,
            "top-level",
        ),
        named(
            "a wildcard within a label",
            "h*k.team-a.svc",
            INVALID,
            "whole first label",
        ),
        named(
            "a wildcard for the namespace",
            "hook.*.svc",
            INVALID,
            "whole first label",
        ),
        named(
            "two wildcards",
            "*.*.svc.cluster.local",
            INVALID,
            "whole first label",
        ),
        named(
            "punycode before own namespace",
            "xn--hok-hna.team-a.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "punycode for the namespace",
            "hook.xn--tem-b-6cd.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "punycode in upper case",
            "XN--hok-hna.team-a.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        san("an IPv4 address", ip("10.96.0.1"), NOT_ALLOWED, OTHERS),
        san("an IPv6 address", ip("fd00::1"), NOT_ALLOWED, OTHERS),
        san("the loopback address", ip("127.0.0.1"), NOT_ALLOWED, OTHERS),
        san(
            "an IPv4 address written as IPv6",
            ip("::ffff:10.96.0.1"),
            INVALID,
            "written as IPv6",
        ),
        san(
            "the unspecified address",
            ip("0.0.0.0"),
            INVALID,
            "no single host",
        ),
        san(
            "a multicast address",
            ip("ff02::1"),
            INVALID,
            "no single host",
        ),
        san(
            "a SPIFFE identity",
            San::Uri("spiffe://cluster.local/ns/team-a/sa/hook".into()),
            NOT_ALLOWED,
            OTHERS,
        ),
        san(
            "own Service as a URI",
            San::Uri("https://hook.team-a.svc".into()),
            NOT_ALLOWED,
            OTHERS,
        ),
        san(
            "an e-mail address",
            San::Email("hook@team-a.svc".into()),
            NOT_ALLOWED,
            OTHERS,
        ),
        san(
            "own Service as an e-mail address",
            San::Email("hook.team-a.svc".into()),
            NOT_ALLOWED,
            OTHERS,
        ),
        raw(
            "another name than the known kinds",
            0xa0,
            &[],
            NOT_ALLOWED,
            "otherName",
        ),
        raw(
            "a directory name",
            0xa4,
            &[0x30, 0],
            NOT_ALLOWED,
            "directoryName",
        ),
        raw(
            "a registered ID",
            0x88,
            &[0x2a],
            NOT_ALLOWED,
            "registeredID",
        ),
        raw("an X.400 address", 0xa3, &[], NOT_ALLOWED, "x400Address"),
        raw(
            "a kind of name that does not exist",
            0x89,
            b"x",
            "MalformedRequest",
            "alternative name",
        ),
        raw(
            "an IP address of five octets",
            0x87,
            &[1, 2, 3, 4, 5],
            "MalformedRequest",
            "alternative name",
        ),
        raw(
            "a network instead of an address",
            0x87,
            &[10, 0, 0, 0, 255, 0, 0, 0],
            "MalformedRequest",
            "alternative name",
        ),
    ]
}

pub(super) fn escapes() -> Vec<Escape> {
    [misspelt(), of_other_kinds()].concat()
}
