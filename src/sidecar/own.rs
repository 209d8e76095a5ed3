//! A pair signed by a CA of the replicas' own, which a Secret holds and [`crate::rotation`]
//! keeps.
//!
//! Every replica runs the same ticks over the same Secret: they agree by compare-and-swap, and
//! none of them leads. The leaf's key is made here, and no other replica ever sees it.

use time::{Duration, OffsetDateTime};

use super::failure::Failure;
use super::happening::Happening;
use super::issuer::{Issued, Order};
use crate::authority::{LeafDue, NotNow, Settings, Standing, Step, Trust, Waiting};
use crate::cluster::{Cluster, SecretName};
use crate::injectable::ObjectId;
use crate::pki::{Certificate, Grant, Lifetime, PrivateKey, TrustBundle, Usage};
use crate::plan::RENEW_ANNOTATION;
use crate::rotation::{Done, Injectables, Keeper, Tick};

/// How often the objects are looked at: a client-side `helm upgrade` resets a caBundle.
const PACE: Duration = Duration::seconds(10);

/// The CA, and who should trust it.
#[derive(Debug, Clone)]
pub struct OwnCa {
    /// The Secret.
    pub secret: SecretName,
    /// How it rotates; its `leaf_life` is the certificates' life.
    pub settings: Settings,
    /// Objects of which at least one should exist, in groups: a name may be that of a
    /// validating or of a mutating configuration, or of both.
    pub objects: Vec<Vec<ObjectId>>,
    /// The Service, `(NAMESPACE, NAME)`, if only webhooks that call it are changed.
    pub service: Option<(String, String)>,
}

/// The CA as it stands.
#[derive(Debug)]
pub(super) struct OwnIssuer {
    cluster: Cluster,
    label: String,
    own: OwnCa,
    objects: Injectables,
    keeper: Keeper,
    standing: Option<Standing>,
    /// When the CA is looked at again, and when that was decided.
    next: Option<(OffsetDateTime, OffsetDateTime)>,
    waiting: Option<String>,
    missing: Vec<String>,
    of_others: Vec<ObjectId>,
    told: Option<String>,
    warned: Vec<String>,
    superseded: Option<(String, OffsetDateTime)>,
    renew: Option<String>,
    /// Whether a tick was broken off for a pair that was about to end. Until there is another pair,
    /// none is any more: perhaps the CA cannot sign without.
    gave_way: bool,
}

impl OwnIssuer {
    pub(super) fn new(cluster: Cluster, own: OwnCa) -> Self {
        let all = own.objects.iter().flatten().cloned().collect();
        let mut objects = Injectables::new(all);
        if let Some((namespace, service)) = &own.service {
            objects = objects.calling(namespace, service);
        }
        Self {
            label: format!("Secret {}", own.secret),
            keeper: Keeper::new(cluster.clone(), own.secret.clone(), own.settings.clone())
                .checking_the_clock(),
            objects,
            own,
            cluster,
            standing: None,
            next: None,
            waiting: None,
            missing: Vec::new(),
            of_others: Vec::new(),
            told: None,
            warned: Vec::new(),
            superseded: None,
            renew: None,
            gave_way: false,
        }
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn usages(&self) -> &[Usage] {
        &Usage::SERVING
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn waiting(&self) -> Option<String> {
        self.waiting.clone()
    }

    pub(super) fn bundle(&self) -> Option<&TrustBundle> {
        Some(&self.standing.as_ref()?.trust.bundle)
    }

    /// What the Secret's [`RENEW_ANNOTATION`] says.
    pub(super) fn renew(&self) -> Option<&str> {
        self.renew.as_deref()
    }

    /// When [`OwnIssuer::tick`] is due.
    pub(super) fn next(&self) -> Option<OffsetDateTime> {
        self.next.map(|(_, next)| next)
    }

    fn is_due(&self, now: OffsetDateTime) -> bool {
        // A clock that was set back must not make it wait longer.
        self.next.is_none_or(|(set, next)| now >= next || now < set)
    }

    /// [`OwnIssuer::tick`], if it is time, broken off for a pair with no more than this share of its
    /// life left: giving a bundle to many objects may take longer. The next tick goes on from what was
    /// written, and nothing is lost by that, as long as the CA can sign as it stands.
    pub(super) async fn tick_before(
        &mut self,
        not_after: Option<OffsetDateTime>,
        share: f64,
        tell: &(dyn Fn(&Happening) + Send + Sync),
    ) -> Result<bool, Failure> {
        let gives_way = self.standing.is_some() && !self.gave_way;
        let Some(not_after) = not_after.filter(|_| gives_way) else {
            self.gave_way = false;
            return self.tick(false, tell).await;
        };
        let urgent = not_after - self.own.settings.leaf_life * share;
        let left = urgent - OffsetDateTime::now_utc();
        let left = std::time::Duration::try_from(left).unwrap_or_default();
        let ticked = tokio::time::timeout(left, self.tick(false, tell)).await;
        self.gave_way = ticked.is_err();
        ticked.unwrap_or(Ok(false))
    }

    /// Takes the next step of the CA, if it is time; what there is to tell goes to `tell`. Whether
    /// it was.
    pub(super) async fn tick(
        &mut self,
        at_once: bool,
        tell: &(dyn Fn(&Happening) + Send + Sync),
    ) -> Result<bool, Failure> {
        let now = OffsetDateTime::now_utc();
        if !at_once && !self.is_due(now) {
            return Ok(false);
        }
        let (objects, cluster) = (&self.objects, &self.cluster);
        let publish = |trust: Option<Trust>| async move {
            objects.publish(cluster, trust.as_ref(), now).await
        };
        match self.keeper.tick(publish, now).await {
            Ok(tick) => {
                self.tell(&tick, tell);
                let pause = Duration::try_from(tick.next).unwrap_or(PACE).min(PACE);
                self.next = Some((now, now + pause));
                self.standing = Some(tick.standing);
                self.renew = tick.annotations.get(RENEW_ANNOTATION).cloned();
                Ok(true)
            }
            Err(error) => {
                // Others have a look at it too: not at once again.
                self.next = Some((now, now + self.own.settings.pace().min(PACE)));
                Err(Failure::Rotation(error))
            }
        }
    }

    fn tell(&mut self, tick: &Tick, tell: &(dyn Fn(&Happening) + Send + Sync)) {
        let note = |is_warning, reason, message| {
            tell(&Happening::Note {
                is_warning,
                reason,
                message,
            });
        };
        let secret = &self.own.secret;
        let phase = &tick.standing.phase;
        match &tick.did {
            Some(Done::Created) => {
                note(false, "CaCreated", format!("made a CA in Secret {secret}"));
            }
            Some(Done::Took(step)) => {
                let message = format!("the CA in Secret {secret}: {} ({phase})", words(step));
                note(false, "CaRotation", message);
            }
            None => {}
        }
        for id in &tick.published.changed {
            note(
                false,
                "CaBundleWritten",
                format!("wrote the caBundle of {id}"),
            );
        }
        let is_missing = |group: &&Vec<ObjectId>| {
            let missing = &tick.published.missing;
            group.iter().all(|id| missing.contains(id))
        };
        let missing = self.own.objects.iter().filter(is_missing);
        let missing: Vec<String> = missing
            .filter_map(|group| Some(group.first()?.name.clone()))
            .collect();
        if missing != self.missing {
            if !missing.is_empty() {
                let names = missing.join(", ");
                let message = format!(
                    "waiting for webhooks that do not exist yet: {names}; they get the CA once they do"
                );
                note(true, "WebhookMissing", message);
            }
            self.missing = missing;
        }
        let of_others = &tick.published.of_others;
        if *of_others != self.of_others {
            if let (Some((namespace, service)), false) = (&self.own.service, of_others.is_empty()) {
                let names: Vec<_> = of_others.iter().map(ToString::to_string).collect();
                let message = format!(
                    "the CA is not put into {}: no webhook of it calls the Service {service}.{namespace}, and those of others are left alone; correct --service, or the object",
                    names.join(", ")
                );
                note(true, "WebhookOfOthers", message);
            }
            self.of_others.clone_from(of_others);
        }
        self.waiting = match &tick.waiting {
            Some(what @ Waiting::Objects(lacking)) if !lacking.is_empty() => {
                Some(format!("the CA in Secret {secret} waits for {what}"))
            }
            _ => None,
        };
        let lacking = match &tick.published.read_back {
            crate::authority::ReadBack::Lacking(lacking) => Some(lacking.join("; ")),
            _ => None,
        };
        if lacking != self.told {
            if let Some(lacking) = &lacking {
                note(
                    true,
                    "CaBundleNotWritten",
                    format!("not every webhook has the CA: {lacking}"),
                );
            }
            self.told = lacking;
        }
        let warnings: Vec<String> = tick
            .standing
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect();
        if warnings != self.warned {
            for warning in &warnings {
                note(true, "CaWarning", format!("Secret {secret}: {warning}"));
            }
            self.warned = warnings;
        }
    }

    /// Until when a certificate that works is better kept, since some API server may not have
    /// noticed the bundle with the CA that signs now.
    pub(super) fn settles_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let signing = self.standing.as_ref()?.signing(now).ok()?;
        Some(signing.settled_at).filter(|at| now < *at)
    }

    /// From when on a leaf is to be replaced because of its CA. `share` spreads the replicas.
    pub(super) fn superseded(
        &mut self,
        leaf: &Certificate,
        share: f64,
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        match self.standing.as_ref()?.leaf_due(leaf, now) {
            LeafDue::No => {
                self.superseded = None;
                None
            }
            LeafDue::Now => Some(now),
            LeafDue::Soon => {
                let is_known = |(serial, _): &&(String, OffsetDateTime)| *serial == leaf.serial;
                let since = match self.superseded.as_ref().filter(is_known) {
                    Some((_, since)) => *since,
                    None => {
                        self.superseded = Some((leaf.serial.clone(), now));
                        now
                    }
                };
                let left = leaf.validity.not_after - since;
                let spread = (left / 4_i32).clamp(Duration::ZERO, Duration::MINUTE);
                Some(since + spread * share)
            }
        }
    }

    /// Whether the CA signs as it stands, or as the Secret says if that was read too long ago.
    async fn can_sign(&mut self) -> Result<bool, Failure> {
        let now = OffsetDateTime::now_utc();
        let Some(standing) = &self.standing else {
            return Ok(false);
        };
        match standing.signing(now) {
            Ok(_) => Ok(true),
            Err(NotNow::Stale(_)) => {
                let read = self.keeper.read_again(standing, now).await;
                let Some(standing) = read.map_err(Failure::Rotation)? else {
                    return Ok(false);
                };
                let signs = standing.signing(now).is_ok();
                self.standing = Some(standing);
                Ok(signs)
            }
            Err(_) => Ok(false),
        }
    }

    /// Signs for a new key.
    pub(super) async fn issue(
        &mut self,
        order: &Order<'_>,
        tell: &(dyn Fn(&Happening) + Send + Sync),
    ) -> Result<Issued, Failure> {
        if !self.can_sign().await? {
            self.tick(true, tell).await?;
            self.can_sign().await?;
        }
        let key = PrivateKey::generate(order.algorithm)?;
        let now = OffsetDateTime::now_utc();
        let not_now = |why: String| Failure::Authority {
            secret: self.own.secret.to_string(),
            why,
        };
        let standing = self.standing.as_ref();
        let standing = standing.ok_or_else(|| not_now("it was not read".to_owned()))?;
        let signing = standing.signing(now).map_err(|error| {
            let what = self.told.as_ref().or(self.waiting.as_ref());
            not_now(what.map_or_else(|| error.to_string(), |what| format!("{error}: {what}")))
        })?;
        let validity = Lifetime::of(self.own.settings.leaf_life).starting(now);
        let grant = Grant::serving(None, order.names.to_vec(), validity);
        let serial = crate::random_serial()
            .map_err(|_| not_now("the kernel gives no randomness".to_owned()))?;
        let authority = signing.authority;
        let leaf = authority
            .issue(key.public_key(), &grant, now, serial)
            .map_err(|error| not_now(error.to_string()))?;
        self.gave_way = false;
        let chain = std::iter::once(leaf).chain(authority.intermediates().cloned());
        Ok(Issued {
            chain: chain.collect(),
            key,
            by: self.label.clone(),
        })
    }
}

/// What was done, for people.
fn words(step: &Step) -> &'static str {
    match step {
        Step::Adopt => "taken charge of",
        Step::Start(_) => "the next CA was made, and is published",
        Step::Absorb => "the rotation that was asked for is under way already",
        Step::LongerLeaves => "certificates may live longer from now on",
        Step::Prove => "it is trusted everywhere",
        Step::Unprove(_) => "it is not trusted everywhere any more",
        Step::Switch => "the next CA signs from now on",
        Step::Drop(_) => "the CA before is trusted no more",
        _ => "its state was recorded",
    }
}
