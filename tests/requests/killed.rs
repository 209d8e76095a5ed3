//! `issue` killed anywhere and run again: it finishes, with one certificate.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use crate::{World, support, world::certificate};

/// How many issues are killed over and over.
const ISSUES: u32 = 12;

#[test]
fn killed_at_any_moment_it_finishes_with_one_certificate_and_leaves_no_second_key() {
    support::run_within(Duration::from_secs(300), async {
        let world = World::new("killed").await;
        world.ca();
        let issue = |n: u32| {
            format!("issue --name @r{n} --signer %S --service hook.%N --cert-dir s{n} --ca-dir ca")
        };
        let start = Instant::now();
        world.run(&issue(0)).done();
        let whole = start.elapsed();

        for n in 1..=ISSUES {
            let mut issued = BTreeSet::new();
            // Later and later, from before the key is made to after the pair is written.
            let steps = 9;
            for step in 0..=steps {
                let mut process = world.start(&issue(n));
                thread::sleep((whole * step + whole * n / ISSUES) / steps);
                process.signal("KILL");
                process.wait(crate::files::LIMIT);
                if let Some(object) = world.find(&format!("r{n}")).await
                    && let Some(pem) = certificate(&object)
                {
                    issued.insert((object["metadata"]["uid"].to_string(), pem));
                }
                let pair = ["tls.crt", "tls.key"]
                    .map(|file| world.path(&format!("s{n}/{file}")).is_file());
                assert_eq!(pair[0], pair[1], "half a pair");
            }
            world.run(&issue(n)).done();
            let object = world.object(&format!("r{n}")).await;
            let pem = certificate(&object).unwrap();
            issued.insert((object["metadata"]["uid"].to_string(), pem.clone()));
            assert_eq!(
                issued.len(),
                1,
                "more than one certificate was issued: {issued:?}"
            );
            assert_eq!(world.read(&format!("s{n}/tls.crt")), pem);
            world.assert_pair(&format!("s{n}/tls.crt"), &format!("s{n}/tls.key"));

            // Once more, so that whatever the last one left is gone.
            world.run(&issue(n)).done().prints("unchanged");
            assert_eq!(world.object(&format!("r{n}")).await, object);
            let left: Vec<_> = world
                .list(&format!("s{n}"))
                .into_iter()
                .filter(|name| name.contains("issue"))
                .collect();
            assert!(left.is_empty(), "{left:?}");
        }
    });
}
