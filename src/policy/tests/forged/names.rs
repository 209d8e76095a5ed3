//! Names of other Services, of other domains, of too many.

use super::*;

pub(super) const NOT_ALLOWED: &str = "NameNotAllowed";
pub(super) const OTHERS: &str = "allowed are Service *.team-a";

pub(super) fn named(
    what: &'static str,
    name: &str,
    code: &'static str,
    says: &'static str,
) -> Escape {
    (what, naming(&[name]), code, says)
}

fn of_other_namespaces() -> Vec<Escape> {
    vec![
        named(
            "another namespace's Service",
            "hook.team-b.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "another namespace's Service by its short name",
            "hook.team-b",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "another namespace's Service by its full name",
            "hook.team-b.svc.cluster.local",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "a namespace that one's own begins with",
            "hook.team.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "a namespace that begins with one's own",
            "hook.team-a-prod.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "a namespace that ends with one's own",
            "hook.x-team-a.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "upper case for another namespace",
            "hook.TEAM-B.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "kube-system's Service",
            "metrics-server.kube-system.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        (
            "the prefix namespace asks for the longer one's Service",
            by_account(naming(&["hook.team-a.svc"]), "team", "hook"),
            NOT_ALLOWED,
            "allowed are Service *.team",
        ),
        (
            "own namespace first, another's Service among many names",
            naming(&["hook.team-a", "hook.team-a.svc", "hook.team-b.svc"]),
            NOT_ALLOWED,
            OTHERS,
        ),
        (
            "own Service's names with another namespace as the last of thirty",
            naming(&[&["hook.team-a.svc"; 29][..], &["db.team-b.svc"]].concat()),
            NOT_ALLOWED,
            OTHERS,
        ),
    ]
}

fn of_the_api_server() -> Vec<Escape> {
    const SAYS: &str = "API server itself";
    let in_default = |what, name: &str| {
        let request = by_account(naming(&[name]), "default", "hook");
        (what, request, NOT_ALLOWED, SAYS)
    };
    vec![
        named(
            "the API server's name",
            "kubernetes.default.svc",
            NOT_ALLOWED,
            SAYS,
        ),
        named(
            "the API server's bare name",
            "kubernetes",
            NOT_ALLOWED,
            SAYS,
        ),
        in_default(
            "the API server's name from its own namespace",
            "kubernetes.default.svc",
        ),
        in_default(
            "the API server's short name from its own namespace",
            "kubernetes.default",
        ),
        in_default(
            "the API server's full name from its own namespace",
            "kubernetes.default.svc.cluster.local",
        ),
        in_default(
            "the API server's name in upper case from its own namespace",
            "KUBERNETES.Default.SVC",
        ),
        in_default("a wildcard over the API server's name", "*.default.svc"),
    ]
}

fn embedded() -> Vec<Escape> {
    vec![
        named(
            "own Service's name under another domain",
            "hook.team-a.svc.evil.com",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "own Service's full name under another domain",
            "hook.team-a.svc.cluster.local.evil.com",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "another domain before own Service's name",
            "evil.com.hook.team-a.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "another namespace's Service before own namespace",
            "hook.team-b.svc.team-a.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "another cluster domain",
            "hook.team-a.svc.cluster.example",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "half of the cluster domain",
            "hook.team-a.svc.cluster",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "the cluster domain with more behind it",
            "hook.team-a.svc.cluster.local.local",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "the cluster domain without svc",
            "hook.team-a.cluster.local",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "pod instead of svc",
            "hook.team-a.pod.cluster.local",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "a host below own Service",
            "hook-0.hook.team-a.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "own namespace as a Service of another",
            "team-a.kube-system.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "the Service's name without its namespace",
            "hook",
            NOT_ALLOWED,
            OTHERS,
        ),
        named("the namespace alone", "team-a", NOT_ALLOWED, OTHERS),
        named(
            "own namespace with svc and no Service",
            "team-a.svc",
            NOT_ALLOWED,
            OTHERS,
        ),
        named("localhost", "localhost", NOT_ALLOWED, OTHERS),
        named(
            "a name of the internet",
            "www.google.com",
            NOT_ALLOWED,
            OTHERS,
        ),
        named(
            "a name of the internet whose domain is the Service",
            "hook.com",
            NOT_ALLOWED,
            OTHERS,
        ),
    ]
}

fn too_many() -> Vec<Escape> {
    let many =
        |count: usize| -> Vec<String> { (0..count).map(|n| format!("s{n}.team-a.svc")).collect() };
    let of = |names: &[String]| naming(&names.iter().map(String::as_str).collect::<Vec<_>>());
    vec![
        (
            "one name more than allowed",
            of(&many(31)),
            "TooManyNames",
            "31 names",
        ),
        (
            "a thousand names",
            of(&many(1000)),
            "TooManyNames",
            "1000 names",
        ),
        (
            "five thousand names",
            of(&many(5000)),
            "TooManyNames",
            "5000 names",
        ),
        (
            "one good name a thousand times",
            naming(&["hook.team-a.svc"; 1000]),
            "TooManyNames",
            "1000 names",
        ),
        (
            "no name at all",
            asking(csr(&DistinguishedName::empty(), &[])),
            "NoNames",
            "no subject alternative",
        ),
    ]
}

fn of_services() -> Vec<Escape> {
    const CODE: &str = "ServiceDoesNotSelectPod";
    vec![
        named(
            "a Service that does not exist",
            "absent.team-a.svc",
            CODE,
            "does not exist",
        ),
        named(
            "another pod's Service",
            "other.team-a.svc",
            CODE,
            "does not select",
        ),
        named(
            "a Service without a selector",
            "manual.team-a.svc",
            CODE,
            "does not select",
        ),
        named(
            "a Service that leads out of the cluster",
            "outside.team-a.svc",
            CODE,
            "does not select",
        ),
        (
            "another pod's Service beside one's own",
            naming(&["hook.team-a.svc", "other.team-a.svc"]),
            CODE,
            "does not select",
        ),
        named(
            "another pod's Service in upper case",
            "OTHER.team-a.svc",
            CODE,
            "does not select",
        ),
    ]
}

pub(super) fn escapes() -> Vec<Escape> {
    [
        of_other_namespaces(),
        of_the_api_server(),
        embedded(),
        too_many(),
        of_services(),
    ]
    .concat()
}
