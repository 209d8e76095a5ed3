//! Requests, genuine and forged, as values: for the tests of the policy and, submitted to a real
//! API server, for those of the controller (`tests/controller/escaping.rs`), which gives
//! `crate::pki` and `crate::policy` another meaning: there a request is kept as it is written.
//! So nothing here looks into a request.

mod der;
mod names;
mod pkcs10;
mod requesters;
mod spelling;
mod subjects;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use der::Forged;

use crate::pki::{Csr, DistinguishedName, KeyAlgorithm, PrivateKey, San, create_csr};
use crate::policy::Request;

/// A sentence about the trick, the request, the refusal's code, a part of its sentence.
pub(crate) type Escape = (&'static str, Request, &'static str, &'static str);

/// The forged ones.
pub(crate) fn all() -> Vec<Escape> {
    let mut all = names::escapes();
    all.extend(spelling::escapes());
    all.extend(subjects::escapes());
    all.extend(requesters::escapes());
    all.extend(pkcs10::escapes());
    all
}

pub(crate) fn dns(names: &[&str]) -> Vec<San> {
    names
        .iter()
        .map(|name| San::Dns((*name).to_owned()))
        .collect()
}

/// A well signed request, whatever it asks for: `create_csr` would refuse most of it.
pub(crate) fn csr(subject: &DistinguishedName, names: &[San]) -> Csr {
    let names: Vec<(u8, Vec<u8>)> = names
        .iter()
        .map(|name| match name {
            San::Dns(name) => (0x82, name.clone().into_bytes()),
            San::Uri(uri) => (0x86, uri.clone().into_bytes()),
            San::Email(email) => (0x81, email.clone().into_bytes()),
            San::Ip(IpAddr::V4(v4)) => (0x87, v4.octets().to_vec()),
            San::Ip(IpAddr::V6(v6)) => (0x87, v6.octets().to_vec()),
            San::Other(kind) => panic!("no encoding of {kind}"),
        })
        .collect();
    let names: Vec<(u8, &[u8])> = names.iter().map(|(tag, name)| (*tag, &name[..])).collect();
    let forged = match names.as_slice() {
        [] => Forged::with(&[]),
        names => Forged::names(names),
    };
    let forged = Forged {
        subject: subject.as_der().to_vec(),
        ..forged
    };
    forged.build().unwrap()
}

pub(crate) fn signed_by(key: &PrivateKey, subject: &DistinguishedName, names: &[San]) -> Csr {
    let pem = create_csr(subject, names, key).unwrap();
    Csr::from_pem(pem.as_bytes()).unwrap()
}

/// The names of Service `hook.team-a`.
pub(crate) const HOOK: [&str; 3] = [
    "hook.team-a",
    "hook.team-a.svc",
    "hook.team-a.svc.cluster.local",
];

pub(crate) fn good_csr() -> Csr {
    static GOOD: LazyLock<Csr> = LazyLock::new(|| {
        csr(
            &DistinguishedName::common_name_only("hook.team-a.svc"),
            &dns(&HOOK),
        )
    });
    GOOD.clone()
}

/// A request that the shipped policy approves: pod `hook-0` of service account
/// `team-a/hook` for Service `hook.team-a`.
pub(crate) fn request() -> Request {
    Request {
        signer_name: "certtool.dev/webhook-serving".to_owned(),
        username: "system:serviceaccount:team-a:hook".to_owned(),
        uid: "account-uid".to_owned(),
        groups: strings(&[
            "system:serviceaccounts",
            "system:serviceaccounts:team-a",
            "system:authenticated",
        ]),
        extra: BTreeMap::from([
            (
                "authentication.kubernetes.io/pod-name".to_owned(),
                strings(&["hook-0"]),
            ),
            (
                "authentication.kubernetes.io/pod-uid".to_owned(),
                strings(&["pod-uid-1"]),
            ),
        ]),
        usages: strings(&["digital signature", "key encipherment", "server auth"]),
        expiration_seconds: Some(86_400),
        csr: Ok(good_csr()),
    }
}

/// The same for these names, without a common name.
pub(crate) fn naming(names: &[&str]) -> Request {
    asking(csr(&DistinguishedName::empty(), &dns(names)))
}

pub(crate) fn asking(csr: Csr) -> Request {
    Request {
        csr: Ok(csr),
        ..request()
    }
}

/// The same by another service account, whose token is bound to pod `hook-0` there.
pub(crate) fn by_account(mut request: Request, namespace: &str, name: &str) -> Request {
    request.username = format!("system:serviceaccount:{namespace}:{name}");
    request.groups = vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    request
}

/// The same by a user who is no service account.
pub(crate) fn by_user(mut request: Request, username: &str, groups: &[&str]) -> Request {
    request.username = username.to_owned();
    request.groups = strings(groups);
    request.extra.clear();
    request
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Made as the forged ones are, without a trick.
pub(crate) fn plain() -> Request {
    Request {
        csr: Forged::extensions(&[]).build(),
        ..request()
    }
}
