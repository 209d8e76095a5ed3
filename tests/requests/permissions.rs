//! A server that refuses: the message is the rule to add, and with it the command works.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    World,
    files::Said,
    support::{self, rule},
    world::{certificate, conditions},
};

const GROUP: &[&str] = &["certificates.k8s.io"];

/// A user with rights on these resources and no others.
async fn user<'a>(world: &World<'a>, name: &str, rights: &[(&str, &[&str])]) -> World<'a> {
    let rules: Vec<_> = rights
        .iter()
        .map(|(resource, verbs)| rule(GROUP, &[resource], verbs))
        .collect();
    let kubeconfig = world
        .cluster
        .service_account(&world.namespace, name, &[], &rules)
        .await;
    world.as_user(kubeconfig)
}

/// The rules in an error: `{apiGroups: [...], resources: [...], verbs: [...]...}`.
#[track_caller]
fn rules_in(said: &Said) -> Vec<Value> {
    let starts = said.stderr.match_indices("{apiGroups");
    let rules: Vec<Value> = starts
        .map(|(start, _)| {
            let end = start + said.stderr[start..].find('}').unwrap();
            serde_yaml::from_str(&said.stderr[start..=end]).unwrap()
        })
        .collect();
    assert!(!rules.is_empty(), "{said:?}");
    rules
}

/// The one rule in an error.
#[track_caller]
fn rule_in(said: &Said) -> Value {
    let [rule] = &rules_in(said)[..] else {
        panic!("more than one rule: {said:?}")
    };
    rule.clone()
}

/// Gives a user one more rule.
async fn grant(world: &World<'_>, user: &str, number: usize, rule: &Value) {
    let name = format!("{}-{user}-{number}", world.namespace);
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({ "metadata": { "name": name }, "rules": [rule] });
    world
        .api("POST", &format!("{rbac}/clusterroles"), &role)
        .await
        .unwrap();
    let binding = json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": user, "namespace": world.namespace }],
    });
    world
        .api("POST", &format!("{rbac}/clusterrolebindings"), &binding)
        .await
        .unwrap();
}

/// Runs a command with no rights at all and adds, each time, the rules that the error names,
/// until it succeeds; what each run said that was new.
async fn by_its_own_words(world: &World<'_>, name: &str, words: &str) -> Vec<Vec<Value>> {
    let user = user(world, name, &[]).await;
    for file in world.list(".") {
        if world.path(&file).is_file() {
            std::fs::copy(world.path(&file), user.path(&file)).unwrap();
        }
    }
    let mut added: Vec<Vec<Value>> = Vec::new();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let said = user.run(words);
        if said.code == 0 {
            return added;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{said:?} in spite of {added:?}"
        );
        let mut rules = rules_in(&said);
        rules.retain(|rule| !added.iter().flatten().any(|before| before == rule));
        // The API server learns of a rule a moment after it was written.
        if rules.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        let granted = added.iter().flatten().count();
        for (number, rule) in (granted..).zip(&rules) {
            grant(world, name, number, rule).await;
        }
        added.push(rules);
    }
}

fn signers_rule(world: &World<'_>, verb: &str) -> Value {
    json!({ "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": [verb], "resourceNames": [world.signer()] })
}

#[test]
fn approving_takes_the_rules_that_the_errors_name() {
    support::run(async {
        let world = World::new("mayapprove").await;
        world.submitted("hook");
        let added = by_its_own_words(&world, "approver", "approve @hook").await;
        let [get, both] = &added[..] else {
            panic!("to read, and all that approving takes: {added:?}")
        };
        assert_eq!(get[0]["verbs"], json!(["get"]));
        let [update, approve] = &both[..] else {
            panic!("the approval and the signer: {added:?}")
        };
        assert_eq!(
            update["resources"],
            json!(["certificatesigningrequests/approval"])
        );
        assert_eq!(*approve, signers_rule(&world, "approve"));
        assert_eq!(conditions(&world.object("hook").await), ["Approved"]);
    });
}

#[test]
fn signing_takes_the_rules_that_the_errors_name() {
    support::run(async {
        let world = World::new("maysign").await;
        world.openssl("req -new -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Signer -days 30 -addext keyUsage=critical,keyCertSign");
        world.approved("hook");
        let added =
            by_its_own_words(&world, "signer", "sign @hook --ca ca.crt --ca-key ca.key").await;
        assert_eq!(added.len(), 2, "{added:?}");
        assert_eq!(
            added[1][0]["resources"],
            json!(["certificatesigningrequests/status"])
        );
        assert_eq!(added[1][1], signers_rule(&world, "sign"));
        assert!(certificate(&world.object("hook").await).is_some());
    });
}

#[test]
fn issuing_takes_the_rules_that_the_errors_name() {
    support::run(async {
        let world = World::new("mayissue").await;
        world.openssl("req -new -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Signer -days 30 -addext keyUsage=critical,keyCertSign");
        let issue = "issue --name @hook --signer %S --service hook.%N --cert-dir serving --ca ca.crt --ca-key ca.key";
        let added = by_its_own_words(&world, "issuer", issue).await;
        // get and create requests; two to approve; two to sign.
        assert_eq!(added.len(), 4, "{added:?}");
        let added = added.concat();
        assert_eq!(added.len(), 6, "{added:?}");
        assert!(added.contains(&signers_rule(&world, "approve")));
        assert!(added.contains(&signers_rule(&world, "sign")));
    });
}

#[test]
fn reading_and_asking_take_a_rule_each() {
    support::run(async {
        let world = World::new("mayread").await;
        world.submitted("hook");
        let nobody = user(&world, "nobody", &[]).await;
        nobody.write("hook.csr", world.read("hook.csr"));
        for (words, verb) in [
            ("list", "list"),
            ("list --signer %S -l a=b", "list"),
            ("describe @hook", "get"),
            ("fetch @hook", "get"),
            ("approve --all-pending --signer %S", "list"),
        ] {
            let said = nobody.run(words).ended(1).prints_nothing();
            let rule = rule_in(&said);
            assert_eq!(rule["verbs"], json!([verb]), "{words}");
            assert_eq!(
                rule["resources"],
                json!(["certificatesigningrequests"]),
                "{words}"
            );
        }
        let asker = user(
            &world,
            "reader",
            &[("certificatesigningrequests", &["get"])],
        )
        .await;
        asker.csr("new", "DNS:new.shop.svc");
        let said = asker.run("submit new.csr --name @new --signer %S").ended(1);
        assert_eq!(rule_in(&said)["verbs"], json!(["create"]));
        assert_eq!(
            rule_in(&said).get("resourceNames"),
            None,
            "a create cannot be limited by name"
        );
        let said = asker
            .run("submit new.csr --name @hook --signer %S --replace")
            .ended(1);
        assert_eq!(rule_in(&said)["verbs"], json!(["delete"]));
        assert!(world.find("hook").await.is_some());
    });
}

#[test]
fn a_signer_for_one_signer_name_signs_no_other() {
    support::run(async {
        let world = World::new("onesigner").await;
        world.openssl("req -new -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Signer -days 30 -addext keyUsage=critical,keyCertSign");
        world.approved("mine");
        world.csr("theirs", "DNS:theirs.shop.svc");
        world
            .run("submit theirs.csr --name @theirs --signer %N.example.com/other")
            .done();
        world.run("approve @theirs").done();
        let mut sign = rule(GROUP, &["signers"], &["sign"]);
        sign.resource_names = Some(vec![world.signer()]);
        let rules = [
            sign,
            rule(GROUP, &["certificatesigningrequests"], &["get", "list"]),
            rule(GROUP, &["certificatesigningrequests/status"], &["update"]),
        ];
        let kubeconfig = world
            .cluster
            .service_account(&world.namespace, "one", &[], &rules)
            .await;
        let user = world.as_user(kubeconfig);
        for file in ["ca.crt", "ca.key"] {
            user.write(file, world.read(file));
        }
        let said = user
            .run("sign @theirs @mine --ca ca.crt --ca-key ca.key")
            .ended(1)
            .prints("-mine signed")
            .explains("not permitted to sign requests for");
        assert_eq!(
            rule_in(&said)["resourceNames"],
            json!([format!("{}.example.com/other", world.namespace)])
        );
        assert_eq!(certificate(&world.object("theirs").await), None);
        // A failure is recorded under the same rule, or said not to be.
        world.csr("bad", "DNS:10.0.0.1");
        world
            .run("submit bad.csr --name @bad --signer %N.example.com/other")
            .done();
        world.run("approve @bad").done();
        user.run("sign @bad --ca ca.crt --ca-key ca.key")
            .ended(1)
            .explains("and this could not be recorded")
            .explains("not permitted to sign requests for");
        assert_eq!(conditions(&world.object("bad").await), ["Approved"]);
    });
}
