//! One turn of the loop: look, decide, act.

use std::path::Path;
use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::failure::Failure;
use super::happening::{Happening, Observer};
use super::held::{self, Held};
use super::issuer::{Issued, Issuer, Order};
use super::reload::Told;
use super::served::Expected;
use super::status::Shared;
use super::trust::Trust;
use super::{Config, Outcome};
use crate::pki::{Certificate, TrustBundle};
use crate::plan::{
    Asked, Desired, Existing, LeafRecord, Reason, Renewal, accept, pause_after, plan_renewal,
};
use crate::store::{self, Contents, Origin, Pair, Stamp};

/// Files are put back at most so often before a fresh pair is asked for, too.
const MEDDLING: time::Duration = time::Duration::seconds(10);

/// The state of the loop.
pub(super) struct Turn {
    config: Config,
    desired: Desired,
    issuer: Issuer,
    trust: Trust,
    shared: Arc<Shared>,
    observer: Observer,
    expect: watch::Sender<Option<Expected>>,
    /// The pair that belongs on disk.
    held: Option<Held>,
    /// What the directory looked like when it was read.
    stamp: Option<Stamp>,
    /// Whether the files are other than the pair that is held.
    differs: bool,
    /// Renewals that were asked for and done.
    asked: u64,
    /// Why a new pair is needed besides what the plan says.
    because: Option<Reason>,
    meddled: Option<OffsetDateTime>,
    retry: Option<Retry>,
    failures: u32,
    in_vain: u32,
    reload: Option<Retry>,
    is_new: bool,
    /// Whether the last turn ended with a good pair on disk.
    is_settled: bool,
    trust_problem: Option<String>,
    last_failure: Option<Arc<Failure>>,
}

/// An attempt that has to wait, by the wall clock.
#[derive(Debug, Clone, Copy)]
struct Retry {
    failures: u32,
    set: OffsetDateTime,
    until: OffsetDateTime,
}

impl Retry {
    /// A clock that was set back must not make it wait longer.
    fn is_over(&self, now: OffsetDateTime) -> bool {
        now >= self.until || now < self.set
    }
}

impl Turn {
    pub(super) fn new(
        config: Config,
        issuer: Issuer,
        shared: Arc<Shared>,
        observer: Observer,
        expect: watch::Sender<Option<Expected>>,
    ) -> Self {
        Self {
            desired: Desired {
                names: config.names.clone(),
                algorithm: config.algorithm,
                renew_at: config.renew_at,
                seed: config.seed,
                issuer: issuer.label().to_owned(),
            },
            trust: Trust::new(config.trust.clone()),
            asked: shared.asked(),
            config,
            issuer,
            shared,
            observer,
            expect,
            held: None,
            stamp: None,
            differs: false,
            because: None,
            meddled: None,
            retry: None,
            failures: 0,
            in_vain: 0,
            reload: None,
            is_new: false,
            is_settled: false,
            trust_problem: None,
            last_failure: None,
        }
    }

    /// When the issuer wants to be looked at.
    pub(super) fn issuer_due(&self) -> Option<OffsetDateTime> {
        match &self.issuer {
            Issuer::Own(own) => own.next(),
            Issuer::Signer(_) => None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.config.dir.path()
    }

    /// Whether pairs can be written here at all.
    pub(super) fn check_directory(&self) -> Result<(), store::Error> {
        let guard = self.config.dir.lock()?;
        let with_ca = self.trust.is_configured() || matches!(self.issuer, Issuer::Own(_));
        guard.check_writable(with_ca, self.config.force)
    }

    /// Why the last attempt failed.
    pub(super) fn failure(&self) -> Option<Arc<Failure>> {
        self.last_failure.clone()
    }

    /// What is waited for.
    pub(super) fn waiting(&self) -> Option<String> {
        self.issuer.waiting()
    }

    /// The pair, when all is well.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let leaf = self.held.as_ref().filter(|_| self.is_settled)?.leaf()?;
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
        self.refresh_trust().await;
        let now = OffsetDateTime::now_utc();
        let asked = self.shared.asked();
        if asked != self.asked {
            self.asked = asked;
            self.because = Some(Reason::Asked);
            self.retry = None;
        }
        self.reload_again(now).await;
        if let Some(retry) = self.blocked_disk(now) {
            return retry.until;
        }
        if self.differs && self.held.as_ref().is_some_and(|held| held.is_usable(now)) {
            match self.write(now) {
                Ok(()) => self.tell(&Happening::Restored),
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

    /// Reads the directory, if it has changed since it was read.
    fn look(&mut self) {
        let stamp = self.config.dir.stamp();
        if self.stamp.as_ref() == Some(&stamp) {
            return;
        }
        let contents = self.config.dir.read();
        self.stamp = Some(stamp);
        let now = OffsetDateTime::now_utc();
        let found = match contents {
            // What is somebody else's is replaced if that is forced, and never served as ours.
            Ok(Contents::Pair { pair, origin }) => (origin == Origin::Ours).then_some(pair),
            Ok(Contents::Empty | Contents::Half { .. }) | Err(_) => None,
        };
        match (&self.held, found) {
            (None, Some(pair)) => {
                let held = Held::of(pair, held::read_note(&self.config.dir));
                self.expect(&held, None);
                self.held = Some(held);
            }
            (None, None) => {}
            (Some(held), found) if found.as_ref() == Some(&held.pair) => {
                self.differs = false;
                self.show(now);
            }
            (Some(_), _) => {
                self.differs = true;
                self.shared.nothing_on_disk();
                // A key that others could read or replace is better not used for long; but
                // whoever meddles on and on gets no certificate each time.
                let is_again = |at: OffsetDateTime| now - at < MEDDLING && now >= at;
                if !self.meddled.is_some_and(is_again) {
                    self.because = Some(Reason::FilesChanged);
                }
                self.meddled = Some(now);
            }
        }
    }

    async fn refresh_trust(&mut self) {
        let observer = self.observer.clone();
        let refreshed = match &mut self.issuer {
            Issuer::Own(own) => own.tick(false, &move |told| observer(told)).await,
            Issuer::Signer(signer) => {
                let read = self.trust.refresh(signer.cluster(), false).await;
                read.map(drop)
            }
        };
        match refreshed {
            Ok(()) if self.bundle().is_some() => self.trust_problem = None,
            Ok(()) => {}
            Err(failure) => {
                let why = failure.to_string();
                if self.trust_problem.as_ref() != Some(&why) {
                    self.trust_problem = Some(why.clone());
                    self.tell(&Happening::TrustUnreadable { why });
                }
            }
        }
    }

    /// What has to be trusted, as far as that is known.
    fn bundle(&self) -> Option<&TrustBundle> {
        match &self.issuer {
            Issuer::Own(own) => own.bundle(),
            Issuer::Signer(_) => self.trust.bundle(),
        }
    }

    /// The plan, and what the CA's own rotation asks for.
    fn plan_with_ca(&mut self, now: OffsetDateTime) -> Renewal {
        let plan = self.plan(now);
        let (Issuer::Own(own), Renewal::Keep { due }) = (&mut self.issuer, &plan) else {
            return plan;
        };
        let Some(leaf) = self.held.as_ref().and_then(Held::leaf) else {
            return plan;
        };
        let share = self.config.seed.share(&leaf.serial);
        match own.superseded(leaf, share, now) {
            Some(at) if now >= at => Renewal::Renew(Reason::CaRotated),
            Some(at) => Renewal::Keep { due: at.min(*due) },
            None => plan,
        }
    }

    /// Until when a pair that works is kept, whatever asks for a new one.
    fn settles_at(&self, reason: &Reason, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let Issuer::Own(own) = &self.issuer else {
            return None;
        };
        let works = self.held.as_ref().is_some_and(|held| held.is_usable(now));
        if !works || matches!(reason, Reason::OtherCa(_) | Reason::NamesMissing(_)) {
            return None;
        }
        own.settles_at(now)
    }

    fn plan(&self, now: OffsetDateTime) -> Renewal {
        let nothing = Existing::Nothing;
        let (existing, record) = match &self.held {
            Some(held) => (&held.existing, held.record.as_ref()),
            None => (&nothing, None),
        };
        plan_renewal(existing, record, &self.desired, self.bundle(), now)
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
            if let Some(leaf) = self.held.as_ref().and_then(Held::leaf) {
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

    /// Lets readiness and metrics know what is on disk.
    fn show(&self, now: OffsetDateTime) {
        if let Some(held) = self.held.as_ref().filter(|held| held.is_usable(now))
            && let Some(leaf) = held.leaf()
        {
            let due = match self.plan(now) {
                Renewal::Keep { due } => due,
                Renewal::Rewrite | Renewal::Renew(_) => now,
            };
            self.shared.on_disk(leaf, due);
        }
    }

    /// Puts another bundle beside the pair.
    fn rewrite(&mut self, now: OffsetDateTime) -> OffsetDateTime {
        let (Some(held), Some(bundle)) = (&self.held, self.bundle()) else {
            return now;
        };
        let held = held.with_bundle(bundle);
        let before = self.held.replace(held);
        if let Err(error) = self.write(now) {
            self.held = before;
            return self.fail(error.into(), now);
        }
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
            names: &self.config.names,
            algorithm: self.config.algorithm.unwrap_or_default(),
        };
        let observer = self.observer.clone();
        let told = move |happening: &Happening| observer(happening);
        // Not to be interrupted: a request that nobody remembers would be left behind.
        if let Err(failure) = self.issuer.prepare(&order).await {
            return self.fail(failure, OffsetDateTime::now_utc());
        }
        let issued = tokio::select! {
            biased;
            issued = self.issuer.issue(&order, &told) => issued,
            // The files changed, or somebody asked: look at that first. The request stays.
            () = self.shared.wake.notified() => return now,
        };
        let taken = match issued {
            Ok(issued) => self.take_over(issued).await,
            Err(failure) => Err(failure),
        };
        let now = OffsetDateTime::now_utc();
        match taken {
            Ok(()) => self.succeed(reason, started, now).await,
            Err(failure) => self.fail(failure, now),
        }
    }

    /// Checks what was issued, and puts it in force.
    async fn take_over(&mut self, issued: Issued) -> Result<(), Failure> {
        let Issued { chain, key, by } = issued;
        // The bundle as it is after the signature: the CA may be new.
        if self.trust.is_configured() {
            let refreshed = self.trust.refresh(self.issuer.cluster(), true).await;
            if let (Err(failure), None) = (refreshed, self.trust.bundle()) {
                return Err(failure);
            }
        }
        let now = OffsetDateTime::now_utc();
        let asked = Asked {
            key: key.public_key(),
            names: &self.config.names,
            usages: self.issuer.usages(),
        };
        accept(&chain, asked, self.bundle(), now)
            .map_err(|why| Failure::Unacceptable { by, why })?;
        let bundle = match self.bundle() {
            Some(bundle) => Some(bundle.clone()),
            None => root_of(&chain),
        };
        let cert: String = sent(&chain).map(Certificate::to_pem).collect();
        let pair = Pair {
            cert: cert.into_bytes(),
            key: key.to_pem()?.expose().as_bytes().to_vec(),
            ca: bundle.map(|bundle| bundle.to_pem().into_bytes()),
        };
        let record = chain.first().map(|leaf| LeafRecord {
            fingerprint: leaf.fingerprint(),
            issuer: self.desired.issuer.clone(),
            received: now,
        });
        // Held even if it cannot be written now: then only the writing is tried again.
        self.held = Some(Held::of(pair, record));
        self.differs = true;
        self.because = None;
        Ok(self.write(now)?)
    }

    async fn succeed(
        &mut self,
        reason: Reason,
        started: Instant,
        now: OffsetDateTime,
    ) -> OffsetDateTime {
        self.is_new = true;
        self.is_settled = true;
        self.failures = 0;
        self.retry = None;
        self.last_failure = None;
        self.because = None;
        let took = started.elapsed();
        self.shared.issued(&reason, took);
        let plan = self.plan(now);
        let due = match plan {
            Renewal::Keep { due } => due,
            Renewal::Rewrite | Renewal::Renew(_) => now,
        };
        if let Some(leaf) = self.held.as_ref().and_then(Held::leaf) {
            self.shared.on_disk(leaf, due);
            self.tell(&Happening::Issued {
                reason,
                serial: leaf.serial.clone(),
                not_after: leaf.validity.not_after,
                due,
                took,
            });
            if matches!(plan, Renewal::Renew(_)) {
                self.in_vain += 1;
                let not_after = leaf.validity.not_after;
                self.tell(&Happening::NothingGained { not_after });
                self.retry = Some(self.pause(self.in_vain, now));
            } else {
                self.in_vain = 0;
            }
        }
        self.reload = None;
        self.tell_server(now, 0).await;
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

    /// How long the pair that is held is still valid.
    fn remaining(&self, now: OffsetDateTime) -> Option<time::Duration> {
        let leaf = self.held.as_ref()?.leaf()?;
        Some(leaf.validity.not_after - now)
    }

    fn pause(&self, failures: u32, now: OffsetDateTime) -> Retry {
        let remaining = self.remaining(now).unwrap_or_default();
        let pause = pause_after(failures, remaining, self.config.seed);
        Retry {
            failures,
            set: now,
            until: now + pause,
        }
    }

    /// Writes the pair that is held, and the note about it.
    fn write(&mut self, now: OffsetDateTime) -> Result<(), store::Error> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let guard = self.config.dir.lock()?;
        // Names of ours that another hand replaced are still not ours to delete.
        let written = guard.write(&held.pair, self.config.force);
        drop(guard);
        written?;
        // Looked at once more: somebody may have been quicker.
        self.stamp = None;
        self.differs = false;
        if let Some(record) = &held.record {
            // Without it the pair is as good; the disk may be full.
            let _ = held::write_note(&self.config.dir, record);
        }
        self.show(now);
        self.expect(held, Some(Instant::now()));
        Ok(())
    }

    fn expect(&self, held: &Held, written: Option<Instant>) {
        if let Some(leaf) = held.leaf() {
            self.expect.send_replace(Some(Expected {
                leaf: leaf.clone(),
                trust: held.bundle().cloned(),
                written,
            }));
        }
    }

    async fn reload_again(&mut self, now: OffsetDateTime) {
        if let Some(retry) = self.reload.filter(|retry| retry.is_over(now)) {
            self.tell_server(now, retry.failures).await;
        }
    }

    async fn tell_server(&mut self, now: OffsetDateTime, failures: u32) {
        let Some(reload) = &self.config.reload else {
            return;
        };
        let told = reload.tell().await;
        self.shared.reloaded(told.is_ok());
        match told {
            Ok(told) => {
                let how = match told {
                    Told::Yes(how) => how,
                    Told::NobodyThere(why) => format!("not needed, {why}"),
                };
                self.reload = None;
                self.tell(&Happening::Reloaded { how });
            }
            Err(why) => {
                let failures = failures + 1;
                self.reload = Some(self.pause(failures, now));
                self.tell(&Happening::ReloadFailed { why });
            }
        }
    }
}

/// What a server sends: the chain without its root, which the peer has or does not trust.
fn sent(chain: &[Certificate]) -> impl Iterator<Item = &Certificate> {
    let is_sent =
        |(index, certificate): &(usize, &Certificate)| *index == 0 || !certificate.is_self_issued();
    let chain = chain.iter().enumerate().filter(is_sent);
    chain.map(|(_, certificate)| certificate)
}

/// The root at the end of a chain.
fn root_of(chain: &[Certificate]) -> Option<TrustBundle> {
    let (_, above) = chain.split_first()?;
    let root = above.last().filter(|top| top.is_self_issued())?;
    Some(TrustBundle::new([root.clone()]))
}
