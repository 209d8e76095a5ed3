//! Names put together at random from the pieces that tricks are made of, against a
//! definition of what is allowed that shares no code with the policy.

use proptest::prelude::*;

use super::*;

/// What the shipped policy allows to pod `team-a/hook-0`, by enumeration.
fn allowed(name: &str) -> bool {
    HOOK.contains(&name.to_ascii_lowercase().as_str())
}

fn name() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec![
        "hook",
        "HOOK",
        "other",
        "absent",
        "team-a",
        "Team-A",
        "team",
        "team-b",
        "svc",
        "cluster",
        "local",
        "cluster.local",
        "kubernetes",
        "default",
        "*",
        "evil",
        "com",
        "",
        "xn--hok-hna",
        "a_b",
        "1",
        "{namespace}",
        " ",
        "svc.cluster.local",
        "hook.team-a",
        "hook.team-a.svc",
    ]);
    let separator = prop::sample::select(vec![".", ".", ".", ".", "..", "", "/"]);
    let end = prop::sample::select(vec!["", "", "", "."]);
    (prop::collection::vec((label, separator), 1..6), end).prop_map(|(parts, end)| {
        let text: String = parts
            .iter()
            .flat_map(|(label, dot)| [*label, *dot])
            .collect();
        format!("{}{end}", text.trim_end_matches(['.', '/']))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn only_the_selecting_services_names_are_approved(
        names in prop::collection::vec(name(), 1..4)
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let request = naming(&names);
        let expected = names.iter().all(|name| allowed(name));
        match settle(&request, &shipped()) {
            Decision::Approve { terms, .. } => {
                prop_assert!(expected, "{names:?}");
                for name in terms.names() {
                    prop_assert!(HOOK.contains(&name.value().as_str()), "{name}");
                }
            }
            Decision::Deny { .. } => prop_assert!(!expected, "{names:?}"),
            Decision::Ignore { reason } => prop_assert!(false, "{reason}"),
        }
    }

    #[test]
    fn only_a_real_service_account_is_approved(
        username in "(system:)?(serviceaccounts?:)?(team-a|team|TEAM-A|\\*|):?(hook|x|):?(hook|)",
        groups in prop::collection::vec(prop::sample::select(vec![
            "system:serviceaccounts", "system:serviceaccounts:team-a",
            "system:serviceaccounts:team", "system:masters",
        ]), 0..4)
    ) {
        let request = Request { username: username.clone(), groups: strings(&groups), ..request() };
        let expected = username == "system:serviceaccount:team-a:hook"
            && groups.contains(&"system:serviceaccounts")
            && groups.contains(&"system:serviceaccounts:team-a");
        let approved = matches!(settle(&request, &shipped()), Decision::Approve { .. });
        prop_assert_eq!(approved, expected, "{} {:?}", username, groups);
    }
}
