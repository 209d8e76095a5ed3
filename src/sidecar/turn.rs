//! One turn of the loop: look, decide, act.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::disk::{Disk, Look};
use super::failure::Failure;
use super::happening::{Happening, Observer};
use super::issuer::{Issuer, Order};
use super::reload::{Telling, Told};
use super::retry::Retry;
use super::served::Expected;
use super::source::Source;
use super::status::Shared;
use super::{Config, Outcome, REMINDER};
use crate::plan::{Desired, Existing, Reason, Renewal, pause_after, plan_renewal};
use crate::store::{self, CertDir};

/// Files that were changed more often in a row are somebody's who does not give in.
const MEDDLINGS: u32 = 3;

/// The state of the loop.
pub(super) struct Turn {
    desired: Desired,
    source: Source,
    disk: Disk,
    server: Option<Telling>,
    shared: Arc<Shared>,
    observer: Observer,
    /// Renewals that were asked for and done.
    asked: u64,
    /// Why a new pair is needed besides what the plan says.
    because: Option<Reason>,
    /// When it was said that somebody else writes to the directory all the time.
    contested: Option<Instant>,
    retry: Option<Retry>,
    failures: u32,
    in_vain: u32,
    reload: Option<Retry>,
    reload_failures: u32,
    /// What was issued and is not written yet: why it was asked for, and when.
    unwritten: Option<(Reason, Instant)>,
    is_new: bool,
    /// Whether the last turn ended with a good pair on disk.
    is_settled: bool,
    last_failure: Option<Arc<Failure>>,
}

impl Turn {
    pub(super) fn new(
        config: Config,
        issuer: Issuer,
        shared: Arc<Shared>,
        observer: Observer,
        expect: watch::Sender<Option<Expected>>,
    ) -> Self {
        let source = Source::new(issuer, config.trust);
        Self {
            desired: Desired {
                names: config.names,
                algorithm: config.algorithm,
                renew_at: config.renew_at,
                seed: config.seed,
                issuer: source.label().to_owned(),
                renew_before: None,
            },
            source,
            disk: Disk::new(config.dir, config.force, expect),
            server: config.reload.map(Telling::new),
            asked: shared.asked(),
            shared,
            observer,
            because: None,
            contested: None,
            retry: None,
            failures: 0,
            in_vain: 0,
            reload: None,
            reload_failures: 0,
            unwritten: None,
            is_new: false,
            is_settled: false,
            last_failure: None,
        }
    }

    /// When the issuer wants to be looked at.
    pub(super) fn issuer_due(&self) -> Option<OffsetDateTime> {
        self.source.due()
    }

    pub(super) fn dir(&self) -> &CertDir {
        self.disk.dir()
    }

    /// Whether pairs can be written here at all.
    pub(super) fn check_directory(&self) -> Result<(), store::Error> {
        self.disk.check(self.source.has_trust())
    }

    /// Why the last attempt failed.
    pub(super) fn failure(&self) -> Option<Arc<Failure>> {
        self.last_failure.clone()
    }

    /// What is waited for.
    pub(super) fn waiting(&self) -> Option<String> {
        self.source.waiting()
    }

    /// The pair, when all is well.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.on_disk().filter(|_| self.is_settled)
    }

    /// The pair, when nothing is wrong with it but that it is due.
    pub(super) fn kept(&self) -> Option<Outcome> {
        let now = OffsetDateTime::now_utc();
        let is_only_due = matches!(self.plan(now), Renewal::Renew(Reason::RenewalDue(_)));
        self.on_disk()
            .filter(|_| is_only_due && !self.disk.differs())
    }

    fn on_disk(&self) -> Option<Outcome> {
        let leaf = self.disk.leaf()?;
        Some(Outcome {
            is_new: self.is_new,
            names: leaf.names.clone(),
            serial: leaf.serial.clone(),
            issuer: leaf.issuer.to_string(),
            not_after: leaf.validity.not_after,
        })
    }

    fn tell(&self, happening: &Happening) {
        (self.observer)(happening);
    }

    /// Does what is to do now, and says when to come back at the latest.
    pub(super) async fn take(&mut self) -> OffsetDateTime {
        self.is_settled = false;
        self.look();
        self.source
            .refresh(self.disk.not_after(), self.desired.renew_at, &self.observer)
            .await;
        self.desired.renew_before = self.source.renew_before(&self.observer);
        let now = OffsetDateTime::now_utc();
        let asked = self.shared.asked();
        if asked != self.asked {
            self.asked = asked;
            self.because = Some(Reason::Asked);
            self.retry = None;
        }
        self.hear_server(now);
        if let Some(retry) = self.blocked_disk(now) {
            return retry.until;
        }
        if self.disk.differs() && self.disk.usable(now).is_some() {
            match self.disk.write() {
                Ok(()) => {
                    if let Some((reason, started)) = self.unwritten.take() {
                        return self.succeed(reason, started, now);
                    }
                    self.show(now);
                    self.tell_restored();
                }
                Err(error) => return self.fail(error.into(), now),
            }
        }
        let plan = self.plan_with_ca(now);
        let reason = match (plan, self.because.clone()) {
            (Renewal::Renew(reason), _) | (_, Some(reason)) => reason,
            (Renewal::Rewrite, None) => return self.rewrite(now),
            (Renewal::Keep { due }, None) => return self.keep(due, now),
        };
        if let Some(retry) = self.retry.filter(|retry| !retry.is_over(now)) {
            return retry.until;
        }
        if let Some(until) = self.settles_at(&reason, now) {
            return until;
        }
        self.renew(reason, now).await
    }

    /// When writing is tried again, if that is what failed: until then nothing is asked for
    /// that could not be written either.
    fn blocked_disk(&self, now: OffsetDateTime) -> Option<Retry> {
        let disk_failed = matches!(self.last_failure.as_deref(), Some(Failure::Store(_)));
        self.retry
            .filter(|retry| disk_failed && !retry.is_over(now))
    }

    fn look(&mut self) {
        let now = OffsetDateTime::now_utc();
        match self.disk.look(now) {
            Look::Same => {}
            Look::AsHeld => self.show(now),
            Look::Changed { again } => {
                self.shared.nothing_on_disk();
                // A key that others could read or replace is better not used for long; but
                // whoever meddles on and on gets no certificate each time.
                if !again {
                    self.because = Some(Reason::FilesChanged);
                }
            }
        }
    }

    /// The plan, and what the CA's own rotation asks for.
    fn plan_with_ca(&mut self, now: OffsetDateTime) -> Renewal {
        let plan = self.plan(now);
        let (Some(leaf), Renewal::Keep { due }) = (self.disk.leaf(), &plan) else {
            return plan;
        };
        match self.source.superseded(leaf, self.desired.seed, now) {
            Some(at) if now >= at => Renewal::Renew(Reason::CaRotated),
            Some(at) => Renewal::Keep { due: at.min(*due) },
            None => plan,
        }
    }

    /// Until when a pair that works is kept, whatever asks for a new one.
    fn settles_at(&self, reason: &Reason, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let works = self.disk.usable(now).is_some();
        if !works || matches!(reason, Reason::OtherCa(_) | Reason::NamesMissing(_)) {
            return None;
        }
        self.source.settles_at(now)
    }

    fn plan(&self, now: OffsetDateTime) -> Renewal {
        let nothing = Existing::Nothing;
        let (existing, record) = match self.disk.held() {
            Some(held) => (&held.existing, held.record.as_ref()),
            None => (&nothing, None),
        };
        plan_renewal(existing, record, &self.desired, self.source.bundle(), now)
    }

    fn keep(&mut self, due: OffsetDateTime, now: OffsetDateTime) -> OffsetDateTime {
        if self.failures > 0 {
            self.failures = 0;
            self.shared.well();
        }
        self.retry = None;
        self.last_failure = None;
        self.is_settled = true;
        if !self.is_shown() {
            self.show(now);
            if let Some(leaf) = self.disk.leaf() {
                self.tell(&Happening::Kept {
                    not_after: leaf.validity.not_after,
                    due,
                });
            }
        }
        due
    }

    fn is_shown(&self) -> bool {
        use crate::serve::Status;
        self.shared.started().is_ok()
    }

    /// Says that files were put back; not each time if that goes on and on.
    fn tell_restored(&mut self) {
        if self.disk.meddlings() <= MEDDLINGS {
            self.contested = None;
            self.tell(&Happening::Restored);
        } else if self.contested.is_none_or(|at| at.elapsed() >= REMINDER) {
            self.contested = Some(Instant::now());
            let dir = self.disk.dir().path().display();
            self.tell(&Happening::Note {
                is_warning: true,
                reason: "DirectoryContested",
                message: format!(
                    "the files in {dir} are changed by another hand as soon as they were put back, again and again: does another certtool sidecar, or something else, write to the same directory? Give each one of its own"
                ),
            });
        }
    }

    /// Lets readiness and metrics know what is on disk.
    fn show(&self, now: OffsetDateTime) {
        if let Some(leaf) = self.disk.usable(now).and_then(|held| held.leaf()) {
            self.shared.on_disk(leaf, due(&self.plan(now), now));
        }
    }

    /// Puts another bundle beside the pair.
    fn rewrite(&mut self, now: OffsetDateTime) -> OffsetDateTime {
        let Some(bundle) = self.source.bundle() else {
            return now;
        };
        if let Err(error) = self.disk.write_bundle(bundle) {
            return self.fail(error.into(), now);
        }
        self.show(now);
        self.tell(&Happening::TrustWritten);
        now
    }

    async fn renew(&mut self, reason: Reason, now: OffsetDateTime) -> OffsetDateTime {
        let started = Instant::now();
        if self.waiting().is_none() {
            self.tell(&Happening::Asking {
                reason: reason.clone(),
                issuer: self.desired.issuer.clone(),
            });
        }
        let order = Order {
            names: &self.desired.names,
            algorithm: self.desired.algorithm.unwrap_or_default(),
        };
        let obtained = self
            .source
            .obtain(&order, &self.shared, &self.observer)
            .await;
        let written = match obtained {
            Ok(None) => return now,
            Ok(Some(held)) => {
                self.disk.hold(held);
                self.because = None;
                self.unwritten = Some((reason.clone(), started));
                self.disk.write().map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        let now = OffsetDateTime::now_utc();
        match written {
            Ok(()) => self.succeed(reason, started, now),
            Err(failure) => self.fail(failure, now),
        }
    }

    fn succeed(&mut self, reason: Reason, started: Instant, now: OffsetDateTime) -> OffsetDateTime {
        self.unwritten = None;
        self.is_new = true;
        self.is_settled = true;
        self.failures = 0;
        self.retry = None;
        self.last_failure = None;
        let took = started.elapsed();
        self.shared.issued(&reason, took);
        let plan = self.plan(now);
        let due = due(&plan, now);
        if let Some(leaf) = self.disk.leaf() {
            self.shared.on_disk(leaf, due);
            let not_after = leaf.validity.not_after;
            self.tell(&Happening::Issued {
                reason,
                serial: leaf.serial.clone(),
                not_after,
                due,
                took,
            });
            if matches!(plan, Renewal::Renew(_)) {
                self.in_vain += 1;
                self.tell(&Happening::NothingGained { not_after });
                self.retry = Some(self.pause(self.in_vain, now));
            } else {
                self.in_vain = 0;
            }
        }
        self.reload_failures = 0;
        self.tell_server();
        self.retry.map_or(due, |retry| retry.until)
    }

    fn fail(&mut self, failure: Failure, now: OffsetDateTime) -> OffsetDateTime {
        self.failures += 1;
        let retry = self.pause(self.failures, now);
        self.retry = Some(retry);
        self.shared.failed(&failure, self.failures);
        let failure = Arc::new(failure);
        self.last_failure = Some(Arc::clone(&failure));
        self.tell(&Happening::Failed {
            failure,
            failures: self.failures,
            retry_in: retry.until - now,
            remaining: self.remaining(now),
        });
        retry.until
    }

    /// How long the pair on disk is still valid.
    fn remaining(&self, now: OffsetDateTime) -> Option<time::Duration> {
        Some(self.disk.not_after()? - now)
    }

    fn pause(&self, failures: u32, now: OffsetDateTime) -> Retry {
        let remaining = self.remaining(now).unwrap_or_default();
        let pause = pause_after(failures, remaining, self.desired.seed);
        Retry::after(pause, now)
    }

    fn tell_server(&mut self) {
        self.reload = None;
        if let Some(server) = &mut self.server {
            let shared = Arc::clone(&self.shared);
            server.begin(move || shared.wake.notify_one());
        }
    }

    /// What became of telling the server, which is tried again if it failed.
    fn hear_server(&mut self, now: OffsetDateTime) {
        let Some(told) = self.server.as_mut().and_then(Telling::ended) else {
            if self.reload.is_some_and(|retry| retry.is_over(now)) {
                self.tell_server();
            }
            return;
        };
        self.shared.reloaded(match &told {
            Ok(Told::Yes(_)) => "Told",
            Ok(Told::NobodyThere(_)) => "NobodyThere",
            Err(_) => "Failed",
        });
        match told {
            Ok(told) => {
                let how = match told {
                    Told::Yes(how) => how,
                    Told::NobodyThere(why) => format!("not needed, {why}"),
                };
                self.reload_failures = 0;
                self.tell(&Happening::Reloaded { how });
            }
            Err(why) => {
                self.reload_failures += 1;
                self.reload = Some(self.pause(self.reload_failures, now));
                self.tell(&Happening::ReloadFailed { why });
            }
        }
        if self.server.as_ref().is_some_and(Telling::is_outdated) {
            self.tell_server();
        }
    }
}

/// When the pair is renewed, for people and metrics.
fn due(plan: &Renewal, now: OffsetDateTime) -> OffsetDateTime {
    match plan {
        Renewal::Keep { due } => *due,
        Renewal::Rewrite | Renewal::Renew(_) => now,
    }
}
