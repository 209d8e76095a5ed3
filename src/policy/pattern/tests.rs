//! Each pattern with names that it has and names made to look like them.

use proptest::prelude::*;

use super::super::requester::{Account, SOMEBODY};
use super::*;

fn dns(text: &str) -> DnsPattern {
    DnsPattern::try_from(text.to_owned()).unwrap()
}

fn problem<T>(result: Result<T, PatternError>) -> String {
    result.err().unwrap().problem
}

#[test]
fn a_star_stays_within_its_label() {
    let pattern = dns("web-*.example.com");
    for (name, expected) in [
        ("web-1.example.com", true),
        ("web-1.2.example.com", false),
        ("web-1.example.com.evil.com", false),
        ("web1.example.com", false),
        ("x.web-1.example.com", false),
        ("example.com", false),
    ] {
        assert_eq!(pattern.matches(name, &SOMEBODY), expected, "{name}");
    }
}

#[test]
fn a_star_matches_no_punycode_but_a_written_label_does() {
    assert!(!dns("*.example.com").matches("xn--80ak6aa92e.example.com", &SOMEBODY));
    assert!(dns("xn--80ak6aa92e.example.com").matches("xn--80ak6aa92e.example.com", &SOMEBODY));
}

#[test]
fn placeholders_are_the_requesters_own_values() {
    let pattern = dns("{pod}.{serviceaccount}.{namespace}.svc");
    assert!(pattern.matches("hook-0.hook.team-a.svc", &SOMEBODY));
    assert!(!pattern.matches("hook-0.hook.team.svc", &SOMEBODY));
    assert!(!pattern.matches("hook-0.hook.team-a.svc", &Requester::User));
    assert_eq!(pattern.shown(&SOMEBODY), "hook-0.hook.team-a.svc");
}

#[test]
fn a_value_with_dots_cannot_make_labels_of_its_own() {
    let dotted = Requester::Account(Account {
        namespace: "team-a",
        name: "kubernetes.default.svc",
        pod: None,
    });
    assert!(
        !dns("{serviceaccount}.example.com").matches("kubernetes.default.svc.example.com", &dotted)
    );
    assert!(!dns("{serviceaccount}").matches("kubernetes.default.svc", &dotted));
    // In a URI a dot separates nothing.
    let uri = TextPattern::try_from("spiffe://d/sa/{serviceaccount}".to_owned()).unwrap();
    assert!(uri.matches("spiffe://d/sa/kubernetes.default.svc", &dotted));
}

#[test]
fn patterns_that_cover_too_much_or_are_ambiguous_are_refused() {
    for (text, expected) in [
        (
            "{namespace}-{serviceaccount}.example.com",
            "two placeholders",
        ),
        ("{namespace}*.example.com", "a placeholder and a *"),
        ("{tenant}.example.com", "the placeholders are"),
        ("{Namespace}}.example.com", "the placeholders are"),
        ("a.*", "too much"),
        ("*", "too much"),
        ("*.*.svc", "every namespace"),
        ("hook.team-*.svc.cluster.local", "every namespace"),
        ("svc.*.svc", "every namespace"),
        ("{pod}.*.*.svc", "every namespace"),
        ("hook.team-a.svc.", "dot"),
        (".team-a.svc", "dot"),
        ("a..b", "every part"),
        ("my_hook.b", "every part"),
        ("-a.b", "every part"),
        ("", "empty"),
    ] {
        let given = problem(DnsPattern::try_from(text.to_owned()));
        assert!(given.contains(expected), "{text}: {given}");
    }
    assert!(problem(ServicePattern::try_from("*.*".to_owned())).contains("every namespace"));
    assert!(problem(ServicePattern::try_from("hook".to_owned())).contains("NAME.NAMESPACE"));
    assert!(problem(ServicePattern::try_from("a.b.svc".to_owned())).contains("NAME.NAMESPACE"));
    assert!(problem(WildcardPattern::try_from("a.example.com".to_owned())).contains("*."));
    assert!(problem(WildcardPattern::try_from("*.com".to_owned())).contains("two parts"));
    assert!(problem(WildcardPattern::try_from("*.*.b.com".to_owned())).contains("two parts"));
    assert!(problem(TextPattern::try_from("spiffe://d/*".to_owned())).contains("without *"));
    assert!(
        problem(TextPattern::try_from("{namespace}{pod}".to_owned()))
            .contains("could be given one name")
    );
    let dashed = TextPattern::try_from("urn:{serviceaccount}-x.{namespace}".to_owned());
    assert!(problem(dashed).contains("could be given one name"));
    assert!(problem(TextPattern::try_from("{ns}".to_owned())).contains("placeholders are"));
}

#[test]
fn upper_case_in_a_pattern_means_the_same_as_lower_case() {
    assert_eq!(dns("WEB.Example.COM"), dns("web.example.com"));
}

proptest! {
    #[test]
    fn a_value_can_be_read_back_from_the_name_it_makes(
        a in "[a-z]([a-z0-9-]{0,5}[a-z0-9])?", b in "[a-z]([a-z0-9-]{0,5}[a-z0-9])?"
    ) {
        let of = |namespace| Requester::Account(Account { namespace, name: "x", pod: None });
        let pattern = dns("pre-{namespace}-post.{serviceaccount}.svc");
        let name = pattern.shown(&of(&a));
        prop_assert_eq!(pattern.matches(&name, &of(&b)), a == b);
    }
}
