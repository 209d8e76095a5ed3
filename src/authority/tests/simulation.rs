//! Several replicas that run the planner at once over one Secret, with clocks that differ,
//! pauses at any point, kills at any point, and people who ask for rotations.
//!
//! After every single action the invariants of the design are checked: a certificate that can
//! still be valid, for the slowest clock, is signed by a CA that every object trusts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::fixtures::{NOW, SECRET, Stored, make};
use crate::authority::{
    CaState, Observation, Phase, ROTATE_ANNOTATION, ReadBack, Settings, Standing, Step, plan,
    plan_first,
};
use crate::injectable::{CaBundle, Decision, encode};
use crate::pki::{Authority, TrustBundle};
use crate::plan::BundleMode;

/// splitmix64, so that a seed gives the same run everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn millis(&mut self, end: u64) -> Duration {
        Duration::milliseconds(self.below(end).try_into().unwrap())
    }
}

/// An object with a caBundle.
#[derive(Clone)]
struct Object {
    version: u64,
    bundle: CaBundle,
    trusted: BTreeSet<String>,
    /// Patches fail until then.
    refuses_until: OffsetDateTime,
}

/// The API server.
struct World {
    now: OffsetDateTime,
    secret: Option<(u64, Stored)>,
    objects: Vec<Object>,
    version: u64,
    made: u64,
    first_cas: usize,
    switches: usize,
    drops: usize,
    /// Issuer and end of every certificate that was given out.
    leaves: Vec<(String, OffsetDateTime)>,
    given: usize,
}

/// Where a replica is in its tick. Anything may happen between two of these.
enum At {
    Start,
    /// The clock was read; the Secret is read next.
    Reading(OffsetDateTime),
    /// There is no Secret: a first CA was made.
    Creating(Arc<Authority>),
    /// An object is read next, then patched.
    Injecting(Tick, usize),
    Patching(Tick, usize, u64, String),
    Looking(Tick, usize),
    Planning(Tick),
    Writing(Tick, Box<CaState>, Step),
    /// A certificate is being signed.
    Signing(Tick, Arc<Authority>, OffsetDateTime),
}

#[derive(Clone)]
struct Tick {
    read_at: OffsetDateTime,
    version: u64,
    stored: Stored,
    state: CaState,
    holds: bool,
}

struct Replica {
    ahead: Duration,
    asleep_until: OffsetDateTime,
    at: At,
}

struct Simulation {
    random: Random,
    settings: Settings,
    world: World,
    replicas: Vec<Replica>,
    kills: bool,
    /// Few certificates, and short ones.
    quiet: bool,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut settings = Settings::new(Duration::MINUTE, Duration::seconds(8)).unwrap();
        settings.settle = Duration::seconds(2);
        settings.skew = Duration::seconds(2);
        settings.fresh = Duration::seconds(3);
        settings.check().unwrap();
        let replicas = (0..3)
            .map(|_| Replica {
                // Within the bound of each other, and of the API server.
                ahead: random.millis(2000) - Duration::seconds(1),
                asleep_until: NOW,
                at: At::Start,
            })
            .collect();
        let object = Object {
            version: 0,
            bundle: CaBundle::Absent,
            trusted: BTreeSet::new(),
            refuses_until: NOW,
        };
        Self {
            world: World {
                now: NOW,
                secret: None,
                objects: vec![object; 3],
                version: 1,
                made: 0,
                first_cas: 0,
                switches: 0,
                drops: 0,
                leaves: Vec::new(),
                given: 0,
            },
            random,
            settings,
            replicas,
            kills: true,
            quiet: false,
        }
    }

    fn step(&mut self) {
        let now = self.world.now + self.random.millis(60);
        self.world.now = now;
        let index = usize::try_from(self.random.below(3)).unwrap();
        if self.kills && self.random.one_in(150) {
            self.replicas[index].at = At::Start;
        }
        if self.kills && self.random.one_in(60) {
            self.replicas[index].asleep_until = now + self.random.millis(15_000);
        }
        if self.kills && self.random.one_in(200) {
            let until = now + self.random.millis(10_000);
            let object = usize::try_from(self.random.below(3)).unwrap();
            self.world.objects[object].refuses_until = until;
        }
        if self.replicas[index].asleep_until > now {
            return;
        }
        let at = std::mem::replace(&mut self.replicas[index].at, At::Start);
        let clock = now + self.replicas[index].ahead;
        self.replicas[index].at = self.act(at, clock);
        let writes = matches!(self.replicas[index].at, At::Writing(..));
        if self.kills && writes && self.random.one_in(4) {
            // A write that takes its time to arrive.
            self.replicas[index].asleep_until = now + self.random.millis(15_000);
        }
        self.check();
    }

    fn act(&mut self, at: At, clock: OffsetDateTime) -> At {
        let world = &mut self.world;
        match at {
            At::Start => At::Reading(clock),
            At::Reading(read_at) => match &world.secret {
                None => {
                    let seen: Vec<_> = world
                        .objects
                        .iter()
                        .filter_map(|object| object.bundle.pem())
                        .flat_map(|pem| TrustBundle::usable(pem).0.certificates().to_vec())
                        .collect();
                    plan_first(SECRET, &seen, None, clock).unwrap();
                    world.made += 1;
                    At::Creating(make(&self.settings, world.made, clock))
                }
                Some((version, stored)) => {
                    let tick = Tick {
                        read_at,
                        version: *version,
                        stored: stored.clone(),
                        state: stored.state(),
                        holds: true,
                    };
                    At::Injecting(tick, 0)
                }
            },
            At::Creating(ca) => {
                if world.secret.is_none() {
                    let state = CaState::first(ca, &self.settings, clock);
                    world.version += 1;
                    world.secret = Some((world.version, Stored::new(&state)));
                    world.first_cas += 1;
                }
                At::Start
            }
            At::Injecting(tick, index) => {
                let Some(object) = world.objects.get(index) else {
                    return At::Looking(tick, 0);
                };
                let trust = tick.state.trust();
                match trust.plan(&object.bundle, BundleMode::Merge, clock) {
                    Decision::Set(pem) => {
                        let pem = String::from_utf8(pem).unwrap();
                        At::Patching(tick, index, object.version, pem)
                    }
                    _ => At::Injecting(tick, index + 1),
                }
            }
            At::Patching(tick, index, version, pem) => {
                world.version += 1;
                let number = world.version;
                let object = &mut world.objects[index];
                if object.version == version && world.now >= object.refuses_until {
                    *object = Object {
                        refuses_until: world.now,
                        version: number,
                        bundle: CaBundle::of_text(&encode(pem.as_bytes())),
                        trusted: TrustBundle::usable(pem.as_bytes())
                            .0
                            .certificates()
                            .iter()
                            .map(crate::pki::Certificate::fingerprint)
                            .collect(),
                    };
                }
                At::Injecting(tick, index + 1)
            }
            At::Looking(mut tick, index) => {
                let Some(object) = world.objects.get(index) else {
                    return At::Planning(tick);
                };
                tick.holds &= tick.state.trust().is_in(&object.bundle);
                At::Looking(tick, index + 1)
            }
            At::Planning(tick) => self.plan(tick, clock),
            At::Writing(tick, state, step) => {
                let (version, mut stored) = (tick.version, tick.stored);
                if world
                    .secret
                    .as_ref()
                    .is_some_and(|(now, _)| *now == version)
                {
                    stored.write(&state, Some(&tick.state));
                    world.version += 1;
                    world.secret = Some((world.version, stored));
                    world.switches += usize::from(step == Step::Switch);
                    world.drops += usize::from(matches!(step, Step::Drop(_)));
                }
                At::Start
            }
            At::Signing(tick, ca, counted_from) => {
                let issuer = ca.certificate().fingerprint();
                // Now and then as long as it may be, else a little.
                let life = [self.random.millis(2_000), Duration::HOUR][usize::from(!self.quiet)];
                let end = ca.latest_end(counted_from).min(counted_from + life);
                world.leaves.push((issuer, end));
                world.given += 1;
                At::Planning(tick)
            }
        }
    }

    fn plan(&mut self, tick: Tick, clock: OffsetDateTime) -> At {
        let read_back = match tick.holds {
            true => ReadBack::Holds,
            false => ReadBack::Lacking(vec!["object".to_owned()]),
        };
        if self.random.one_in(if self.quiet { 6 } else { 2 }) {
            let standing = Standing::of(&tick.state, &self.settings, &read_back, tick.read_at);
            if let Ok(signing) = standing.signing(clock) {
                return At::Signing(tick, signing.authority, clock);
            }
        }
        // What is in use, or about to be, now and then.
        let signed = self.world.leaves.iter().map(|(issuer, _)| issuer.clone());
        let signing = self
            .replicas
            .iter()
            .filter_map(|replica| match &replica.at {
                At::Signing(_, ca, _) => Some(ca.certificate().fingerprint()),
                _ => None,
            });
        let in_use: BTreeSet<_> = signed.chain(signing).collect();
        let seen = Observation {
            read_back,
            in_use: self.random.one_in(2).then_some(in_use),
            server_time: Some(self.world.now),
        };
        let (state, settings) = (&tick.state, &self.settings);
        let step = plan(state, settings, &seen, clock);
        let next = match &step {
            Step::Wait { .. } => return At::Start,
            Step::Adopt => state.adopted(settings),
            Step::Start(reason) => {
                self.world.made += 1;
                let ca = make(settings, self.world.made, clock);
                state.started(ca, *reason, settings, clock)
            }
            Step::Absorb => state.absorbed(),
            Step::LongerLeaves => state.with_longer_leaves(settings),
            Step::Prove => state.proven(clock),
            Step::Unprove(_) => state.unproven(),
            Step::Switch => state.switched(settings, clock),
            Step::Stop => state.stopped(settings, clock),
            Step::Drop(which) => state.dropped(which, clock),
        };
        At::Writing(tick, Box::new(next), step)
    }

    fn check(&mut self) {
        let world = &mut self.world;
        // For the slowest clock of any API server.
        let slowest = world.now - Duration::seconds(1);
        world.leaves.retain(|(_, end)| *end >= slowest);
        for (issuer, end) in &world.leaves {
            for (index, object) in world.objects.iter().enumerate() {
                assert!(
                    object.trusted.contains(issuer),
                    "at {} object {index} does not trust {issuer}, of which a certificate is valid until {end}; it trusts {:?}",
                    world.now,
                    object.trusted
                );
            }
        }
        assert!(world.first_cas <= 1);
    }

    fn ask(&mut self, how: &str) {
        if let Some((version, stored)) = &mut self.world.secret {
            self.world.version += 1;
            *version = self.world.version;
            stored
                .annotations
                .insert(ROTATE_ANNOTATION.to_owned(), how.to_owned());
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.random.one_in(500) {
                self.quiet = !self.quiet;
            }
            if self.random.one_in(2000) {
                let how = ["now", "requested"][usize::from(self.random.one_in(2))];
                self.ask(how);
            }
            self.step();
        }
    }

    /// Without kills and requests, until nothing is left of any rotation.
    fn settle(&mut self) {
        self.kills = false;
        for _ in 0..20_000 {
            self.step();
            let Some((_, stored)) = &self.world.secret else {
                continue;
            };
            let state = stored.state();
            let only = BTreeSet::from([state.current.authority.certificate().fingerprint()]);
            let objects = &self.world.objects;
            if matches!(state.phase(&self.settings), Phase::Steady { .. })
                && state.request.is_none()
                && objects.iter().all(|object| object.trusted == only)
            {
                return;
            }
        }
        panic!("no steady state after 20,000 steps");
    }
}

#[test]
fn no_certificate_is_ever_outside_a_bundle_however_replicas_interleave() {
    let mut totals = BTreeMap::new();
    let seeds = std::env::var("CERTTOOL_TEST_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(4);
    for seed in 0..seeds {
        let mut simulation = Simulation::new(seed);
        simulation.run(8_000);
        simulation.settle();
        let world = &simulation.world;
        assert_eq!(world.first_cas, 1, "seed {seed}");
        assert!(
            world.switches >= 3,
            "seed {seed}: {} rotations",
            world.switches
        );
        assert_eq!(
            world.switches,
            world.drops.max(world.switches),
            "seed {seed}"
        );
        *totals.entry("rotations").or_insert(0) += world.switches;
        *totals.entry("drops").or_insert(0) += world.drops;
        *totals.entry("certificates").or_insert(0) += world.given;
    }
    println!("{totals:?}");
    assert!(
        totals["drops"] > 0 && totals["certificates"] > 100,
        "{totals:?}"
    );
}
