//! Tricks with the subject.

use super::pkcs10::{forged, with};
use super::*;
use crate::pki::Attribute;

const SUBJECT: &str = "SubjectNotAllowed";
const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const UTF8: u8 = 0x0c;

fn named(what: &'static str, subject: &[(Attribute, &str)], says: &'static str) -> Escape {
    let rdns: Vec<_> = subject
        .iter()
        .map(|(kind, value)| vec![(kind.clone(), (*value).to_owned())])
        .collect();
    let csr = csr(&DistinguishedName::from_rdns(&rdns), &dns(&HOOK));
    (what, with(Ok(csr)), SUBJECT, says)
}

pub(super) fn escapes() -> Vec<Escape> {
    use Attribute::{CommonName, EmailAddress, Organization, OrganizationalUnit, SerialNumber};
    let cn_only = csr(&DistinguishedName::common_name_only("hook.team-a.svc"), &[]);
    let in_one_set = DistinguishedName::from_rdns(&[vec![
        (CommonName, "hook.team-a.svc".to_owned()),
        (CommonName, "kubernetes.default.svc".to_owned()),
    ]]);
    let long = format!("{}.team-a.svc", "a".repeat(60));
    let long_csr = csr(&DistinguishedName::common_name_only(&long), &dns(&[&long]));
    vec![
        (
            "a common name and no names",
            with(Ok(cn_only)),
            "NoNames",
            "ignore the common name",
        ),
        named(
            "a common name of another namespace",
            &[(CommonName, "hook.team-b.svc")],
            "not one of",
        ),
        named(
            "a common name that is part of a name",
            &[(CommonName, "hook")],
            "not one of",
        ),
        named(
            "the API server as common name",
            &[(CommonName, "kubernetes.default.svc")],
            "not one of",
        ),
        named(
            "a user as common name",
            &[(CommonName, "kubernetes-admin")],
            "not one of",
        ),
        named(
            "a node as common name",
            &[(CommonName, "system:node:node-1")],
            "not one of",
        ),
        named(
            "a common name with a trailing dot",
            &[(CommonName, "hook.team-a.svc.")],
            "not one of",
        ),
        named(
            "a common name with a blank",
            &[(CommonName, "hook.team-a.svc ")],
            "not one of",
        ),
        named("an empty common name", &[(CommonName, "")], "not one of"),
        named(
            "two common names",
            &[(CommonName, "hook.team-a.svc"), (CommonName, "evil.com")],
            "2 common names",
        ),
        named(
            "the same common name twice",
            &[
                (CommonName, "hook.team-a.svc"),
                (CommonName, "hook.team-a.svc"),
            ],
            "2 common names",
        ),
        (
            "two common names in one set",
            with(Ok(csr(&in_one_set, &dns(&HOOK)))),
            SUBJECT,
            "2 common names",
        ),
        (
            "a common name of more than 64 characters",
            with(Ok(long_csr)),
            SUBJECT,
            "64",
        ),
        named(
            "the organization system:masters",
            &[(Organization, "system:masters")],
            "system:masters",
        ),
        named(
            "system:masters behind a good common name",
            &[
                (CommonName, "hook.team-a.svc"),
                (Organization, "system:masters"),
            ],
            "system:masters",
        ),
        named("any organization", &[(Organization, "Example")], "Example"),
        named("an organizational unit", &[(OrganizationalUnit, "x")], "OU"),
        named(
            "an e-mail address in the subject",
            &[(EmailAddress, "a@b")],
            "only a common name",
        ),
        named(
            "a serial number in the subject",
            &[(SerialNumber, "1")],
            "only a common name",
        ),
        forged(
            "a NUL in the common name",
            &Forged::subject(&[(COMMON_NAME, UTF8, b"hook.team-a.svc\0.evil.com")]),
            "MalformedRequest",
            "control character",
        ),
        forged(
            "a common name in two-octet characters",
            &Forged::subject(&[(COMMON_NAME, 0x1e, b"\0h\0o\0o\0k")]),
            SUBJECT,
            "not one of",
        ),
        forged(
            "a homograph as common name",
            &Forged::subject(&[(COMMON_NAME, UTF8, "hook.te\u{430}m-a.svc".as_bytes())]),
            SUBJECT,
            "not one of",
        ),
        forged(
            "a subject attribute without a name",
            &Forged::subject(&[(&[1, 2, 3, 4], UTF8, b"x")]),
            SUBJECT,
            "only a common name",
        ),
    ]
}
