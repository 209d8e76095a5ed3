//! One tick: fetch, publish, plan, apply.

use std::collections::BTreeMap;
use std::time::Instant;

use time::{Duration, OffsetDateTime};

use super::error::{Error, Result};
use super::injectables::Published;
use crate::authority::{
    CaState, Changes, Observation, Settings, Standing, Step, Trust, Waiting, check_continuity,
    clock_apart, plan, plan_first, read,
};
use crate::cluster::{Cluster, SecretData, SecretName, Written};
use crate::pki::{Authority, PrivateKey};

/// How often a tick begins anew because somebody else changed the Secret.
const ATTEMPTS: usize = 8;

/// Keeps the CA in one Secret.
#[derive(Debug)]
pub struct Keeper {
    cluster: Cluster,
    secret: SecretName,
    settings: Settings,
    /// The CA that was read last: if the Secret is gone or holds another one, that is noticed.
    known: Option<String>,
    checks_clock: bool,
}

/// What a tick found and did.
#[derive(Debug)]
pub struct Tick {
    /// The state after it.
    pub state: CaState,
    /// What that means for signing.
    pub standing: Standing,
    /// What was written to the Secret.
    pub did: Option<Done>,
    /// What it waits for, if nothing was written.
    pub waiting: Option<Waiting>,
    /// What became of the objects.
    pub published: Published,
    /// When to tick again at the latest, from now.
    pub next: std::time::Duration,
    /// The Secret's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What was written to the Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The first CA was made.
    Created,
    /// A step of a rotation was taken.
    Took(Step),
}

impl Tick {
    fn with_clock(mut self, apart: Option<Duration>) -> Self {
        self.standing = self.standing.with_clock(apart);
        self
    }
}

/// The Secret as it was read.
struct Found {
    data: SecretData,
    state: CaState,
    created: bool,
    read_at: OffsetDateTime,
}

impl Keeper {
    /// A keeper of the CA in `secret`.
    #[must_use]
    pub fn new(cluster: Cluster, secret: SecretName, settings: Settings) -> Self {
        Self {
            cluster,
            secret,
            settings,
            known: None,
            checks_clock: false,
        }
    }

    /// Compares `now` of each tick with the API server's clock: one that is far off takes no step
    /// and signs nothing. For whoever's `now` is the present.
    #[must_use]
    pub fn checking_the_clock(mut self) -> Self {
        self.checks_clock = true;
        self
    }

    /// How it rotates.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Other settings from now on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes one step, at most one write of the Secret. `publish` gives the objects the bundle
    /// and says what they hold after that; without a bundle it only looks (see [`Published`]).
    /// It is called before the plan is made, and once more when there was no Secret. `now` is
    /// the present instant.
    ///
    /// Dropping the future leaves Secret and objects as they are at that moment, which any
    /// other tick continues from.
    ///
    /// # Errors
    /// See [`Error`]; the Secret was not changed then. What was signed before stays valid.
    pub async fn tick<P, F>(&mut self, publish: P, now: OffsetDateTime) -> Result<Tick>
    where
        P: Fn(Option<Trust>) -> F,
        F: Future<Output = Result<Published>>,
    {
        let started = Instant::now();
        let clock =
            || now.saturating_add(Duration::try_from(started.elapsed()).unwrap_or_default());
        for _ in 0..ATTEMPTS {
            let Some(found) = self.find(&publish, &clock).await? else {
                continue;
            };
            let ca = found.state.current.authority.certificate();
            self.known = Some(ca.fingerprint());
            let published = publish(Some(found.state.trust())).await?;
            let seen = Observation {
                read_back: published.read_back.clone(),
                in_use: published.in_use.clone(),
                server_time: self.server_time(),
            };
            let now = clock();
            let apart = clock_apart(seen.server_time, &self.settings, now);
            let step = plan(&found.state, &self.settings, &seen, now);
            let new = match &step {
                Step::Wait { until, what } => {
                    let wait = *until - clock();
                    let waiting = Some(what.clone());
                    let ended = self.ended(found, published, waiting, wait);
                    return Ok(ended.with_clock(apart));
                }
                step => self.next_state(&found.state, step, clock())?,
            };
            let read_at = clock();
            if let Some(data) = self.write(&found, &new).await? {
                let state = self.parse(&data)?;
                self.known = Some(state.current.authority.certificate().fingerprint());
                let wrote = self.wrote(state, &found, step, published, read_at);
                return Ok(wrote.with_clock(apart));
            }
        }
        Err(Error::Outrun(self.secret.clone()))
    }

    /// Reads the Secret, and nothing else, for a standing that is too old to sign by: giving a
    /// bundle to many objects may take longer than a state may be old. `None` when there is no Secret.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn read_again(
        &self,
        before: &Standing,
        now: OffsetDateTime,
    ) -> Result<Option<Standing>> {
        let Some(data) = self.cluster.get_secret(&self.secret).await? else {
            return Ok(None);
        };
        let state = self.parse(&data)?;
        if state.is_ours(&self.settings) {
            check_continuity(&self.secret.to_string(), &state, self.known.as_deref())?;
        }
        let apart = clock_apart(self.server_time(), &self.settings, now);
        let standing = before.read_again(&state, &self.settings, now);
        Ok(Some(standing.with_clock(apart)))
    }

    /// The Secret, made if there has never been one; `None` when somebody else was faster.
    async fn find<P, F>(
        &self,
        publish: &P,
        clock: &impl Fn() -> OffsetDateTime,
    ) -> Result<Option<Found>>
    where
        P: Fn(Option<Trust>) -> F,
        F: Future<Output = Result<Published>>,
    {
        let read_at = clock();
        if let Some(data) = self.cluster.get_secret(&self.secret).await? {
            let state = self.parse(&data)?;
            // Whoever maintains a CA of their own replaces it as they see fit.
            if state.is_ours(&self.settings) {
                check_continuity(&self.secret.to_string(), &state, self.known.as_deref())?;
            }
            return Ok(Some(Found {
                data,
                state,
                created: false,
                read_at,
            }));
        }
        if !self.settings.rotate && self.known.is_none() {
            return Err(Error::Missing(self.secret.clone()));
        }
        if let Some(apart) = clock_apart(self.server_time(), &self.settings, clock()) {
            return Err(Error::Clock(apart));
        }
        let seen = match &self.known {
            Some(_) => Vec::new(),
            None => publish(None).await?.seen,
        };
        let secret = self.secret.to_string();
        plan_first(&secret, &seen, self.known.as_deref(), clock())?;
        let authority = self.make(clock())?;
        let read_at = clock();
        let state = CaState::first(authority.into(), &self.settings, read_at);
        let changes = Changes::to(&state, None, &Default::default(), &Default::default())?;
        let written = self
            .cluster
            .create_ca_secret(&self.secret, &changes, false)
            .await?;
        let Written::Done(data) = written else {
            return Ok(None);
        };
        Ok(Some(Found {
            state: self.parse(&data)?,
            data,
            created: true,
            read_at,
        }))
    }

    fn server_time(&self) -> Option<OffsetDateTime> {
        self.checks_clock
            .then(|| self.cluster.server_time())
            .flatten()
    }

    fn next_state(&self, state: &CaState, step: &Step, now: OffsetDateTime) -> Result<CaState> {
        let settings = &self.settings;
        Ok(match step {
            Step::Wait { .. } => state.clone(),
            Step::Adopt => state.adopted(settings),
            Step::Start(reason) => state.started(self.make(now)?.into(), *reason, settings, now),
            Step::Absorb => state.absorbed(),
            Step::LongerLeaves => state.with_longer_leaves(settings),
            Step::Prove => state.proven(now),
            Step::Unprove(_) => state.unproven(),
            Step::Switch => state.switched(settings, now),
            Step::Stop => state.stopped(settings, now),
            Step::Drop(fingerprints) => state.dropped(fingerprints, now),
        })
    }

    fn make(&self, now: OffsetDateTime) -> Result<Authority> {
        let serial = crate::random_serial().map_err(|_| Error::Entropy)?;
        let order = self.settings.order(&self.secret.to_string(), &serial, now);
        let key = PrivateKey::generate(order.algorithm)?;
        Ok(Authority::self_signed(&order.spec, key, serial)?)
    }

    async fn write(&self, found: &Found, new: &CaState) -> Result<Option<SecretData>> {
        let Found { data, state, .. } = found;
        let changes = Changes::to(new, Some(state), &data.data, &data.annotations)?;
        let written = self
            .cluster
            .update_ca_secret(&self.secret, data, &changes, false)
            .await?;
        Ok(match written {
            Written::Done(data) => Some(data),
            Written::Outrun => None,
        })
    }

    fn parse(&self, data: &SecretData) -> Result<CaState> {
        let secret = self.secret.to_string();
        Ok(read(&secret, &data.data, &data.annotations)?)
    }

    fn ended(
        &self,
        found: Found,
        published: Published,
        waiting: Option<Waiting>,
        wait: Duration,
    ) -> Tick {
        let standing = Standing::of(
            &found.state,
            &self.settings,
            &published.read_back,
            found.read_at,
        );
        // Others change the Secret too, and people ask for rotations.
        let longest = self.settings.fresh.max(self.settings.pace());
        let wait = wait.clamp(Duration::milliseconds(50), longest);
        Tick {
            standing,
            state: found.state,
            did: found.created.then_some(Done::Created),
            waiting,
            published,
            next: wait.unsigned_abs(),
            annotations: found.data.annotations,
        }
    }

    fn wrote(
        &self,
        state: CaState,
        found: &Found,
        step: Step,
        published: Published,
        read_at: OffsetDateTime,
    ) -> Tick {
        // What the objects hold was read for the state before.
        let read_back = match state.trust() == found.state.trust() {
            true => published.read_back.clone(),
            false => crate::authority::ReadBack::Unknown,
        };
        let did = match found.created {
            true => Done::Created,
            false => Done::Took(step),
        };
        Tick {
            standing: Standing::of(&state, &self.settings, &read_back, read_at),
            state,
            did: Some(did),
            waiting: None,
            published,
            next: std::time::Duration::ZERO,
            annotations: found.data.annotations.clone(),
        }
    }
}
