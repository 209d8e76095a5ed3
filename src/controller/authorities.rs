//! The CA of each signer: kept or read, and said whether it can sign.
//!
//! A CA in a Secret is kept by [`crate::rotation`]: one that certtool manages is made and
//! rotated, one of somebody else's is only read. Followers read too, for the metrics, and sign
//! by nothing that they read.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::config::{AuthoritySource, Signer};
use super::gate::{Gate, NotLeader};
use super::injector::Injector;
use super::metrics::Metrics;
use super::publishing::Publishing;
use super::signer::Context;
use crate::authority::{NotNow, Phase, ReadBack, Settings, Standing, Trust, Waiting};
use crate::cluster::Cluster;
use crate::pki::{Authority, Certificate, TrustBundle};
use crate::plan::instant;
use crate::rotation::Keeper;

/// What a signer signs with, or why it cannot.
pub(super) type Signing = Result<Source, String>;

/// A CA, and until when what is known of it counts.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// From a Secret that was just read.
    Standing(Box<Standing>),
    /// From files.
    Files(Arc<Authority>),
}

impl Source {
    /// The CA to sign with at `now`, the instant that the certificate's dates count from.
    pub(super) fn at(&self, now: OffsetDateTime) -> Result<Arc<Authority>, String> {
        let authority = match self {
            Self::Standing(standing) => {
                standing
                    .signing(now)
                    .map_err(|error| error.to_string())?
                    .authority
            }
            Self::Files(authority) => Arc::clone(authority),
        };
        authority
            .check_valid_at(now)
            .map_err(|error| error.to_string())?;
        Ok(authority)
    }

    /// The first end of a certificate that has to be trusted, in Unix time.
    fn first_end(&self) -> Option<i64> {
        let end = |certificate: &Certificate| certificate.validity.not_after.unix_timestamp();
        match self {
            Self::Standing(standing) => {
                let bundle = &standing.trust.bundle;
                bundle.certificates().iter().map(end).min()
            }
            Self::Files(authority) => Some(end(authority.trust_anchor())),
        }
    }

    fn certificate(&self) -> &Certificate {
        match self {
            Self::Standing(standing) => standing.authority().certificate(),
            Self::Files(authority) => authority.certificate(),
        }
    }
}

/// How often a CA is looked at that is there.
const LOOK: Duration = Duration::from_secs(10);
/// How often one is looked for that is not.
const LOOK_FOR: Duration = Duration::from_secs(2);
/// Steps of a rotation follow each other no faster.
const SHORTEST: Duration = Duration::from_millis(100);
/// How often the same trouble is said again.
const AGAIN: Duration = Duration::from_secs(600);

/// What followers say.
const FOLLOWER: &str = "this replica is not the leader";

/// A signer's CA before it has been looked for.
pub(super) fn unknown() -> Signing {
    Err("the CA has not been loaded yet".to_owned())
}

/// Keeps `sender` at what `signer` signs with; never ends.
pub(super) async fn follow(
    signer: &Signer,
    context: &Context,
    injector: &Injector,
    sender: &watch::Sender<Signing>,
) {
    let Context { cluster, gate, .. } = context;
    let mut publishing = Publishing::of(signer, context, injector);
    let mut said = Said::default();
    let mut keeper = keeper(signer, cluster);
    loop {
        let leader = gate.is_open();
        if !leader {
            publishing.forget();
        }
        let mut waits = None;
        let (found, pause) = match &mut keeper {
            None if leader => (
                publish_files(from_files(signer), &mut publishing, gate).await,
                LOOK,
            ),
            None => (from_files(signer), LOOK),
            Some(keeper) if leader => tick(keeper, &mut publishing, gate, &mut waits).await,
            Some(keeper) => (read(keeper, signer, cluster).await, LOOK),
        };
        said.waits(signer.name(), waits);
        let end = found.as_ref().ok().and_then(Source::first_end);
        context.metrics.bundle(signer.name(), end);
        said.say(signer, &found, &context.metrics);
        let pause = match &found {
            Ok(_) => pause.clamp(SHORTEST, LOOK),
            Err(_) => LOOK_FOR,
        };
        let found = match leader {
            true => found,
            false => Err(FOLLOWER.to_owned()),
        };
        sender.send_if_modified(|signing| {
            // A fresh look at the same CA is news for nobody who waits.
            let same = match (&*signing, &found) {
                (Ok(old), Ok(new)) => old.certificate() == new.certificate(),
                (Err(old), Err(new)) => old == new,
                _ => false,
            };
            *signing = found;
            !same
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = gate.opened(), if !leader => {}
        }
    }
}

/// What keeps the CA in its Secret; `None` for one in files.
fn keeper(signer: &Signer, cluster: &Cluster) -> Option<Keeper> {
    let (secret, settings) = match &signer.authority {
        AuthoritySource::Files { .. } => return None,
        AuthoritySource::Secret(secret) => (secret, Settings::external()),
        AuthoritySource::Managed(managed) => {
            let settings = managed.settings(signer.limits.maximum());
            // Checked when the configuration was read.
            (
                &managed.secret,
                settings.unwrap_or_else(|_| Settings::external()),
            )
        }
    };
    let keeper = Keeper::new(cluster.clone(), secret.clone(), settings);
    Some(keeper.checking_the_clock())
}

/// One step, as the leader; `waits` is what people may have to do something about.
async fn tick(
    keeper: &mut Keeper,
    publishing: &mut Publishing<'_>,
    gate: &Gate,
    waits: &mut Option<String>,
) -> (Signing, Duration) {
    let now = OffsetDateTime::now_utc();
    let publisher = &*publishing;
    let publish = |trust: Option<Trust>| async move { publisher.publish(trust.as_ref()).await };
    match gate.write(keeper.tick(publish, now)).await {
        Err(NotLeader) => {
            publishing.forget();
            (Err(FOLLOWER.to_owned()), SHORTEST)
        }
        Ok(Err(error)) => (Err(error.to_string()), LOOK_FOR),
        Ok(Ok(tick)) => {
            if let Some(done) = &tick.did {
                info!("the CA: {done:?}");
            }
            publishing.set_phase(tick.standing.phase);
            *waits = match &tick.waiting {
                Some(waiting @ Waiting::Objects(_)) => Some(waiting.to_string()),
                _ => None,
            };
            (Ok(Source::Standing(Box::new(tick.standing))), tick.next)
        }
    }
}

/// The state, as a follower: nothing is written.
async fn read(keeper: &Keeper, signer: &Signer, cluster: &Cluster) -> Signing {
    let secret = match &signer.authority {
        AuthoritySource::Managed(managed) => &managed.secret,
        AuthoritySource::Secret(secret) => secret,
        AuthoritySource::Files { .. } => return from_files(signer),
    };
    let name = secret;
    let now = OffsetDateTime::now_utc();
    let found = cluster.get_secret(name).await;
    let Some(data) = found.map_err(|error| error.to_string())? else {
        return Err(format!("there is no Secret {name}"));
    };
    let state = crate::authority::read(&name.to_string(), &data.data, &data.annotations)
        .map_err(|error| error.to_string())?;
    let standing = Standing::of(&state, keeper.settings(), &ReadBack::Holds, now);
    Ok(Source::Standing(Box::new(standing)))
}

/// A CA in files signs once clients can trust it, as one in a Secret does.
async fn publish_files(found: Signing, publishing: &mut Publishing<'_>, gate: &Gate) -> Signing {
    let source = found?;
    let Source::Files(authority) = &source else {
        return Ok(source);
    };
    let trust = Trust {
        bundle: TrustBundle::new([authority.trust_anchor().clone()]),
        former: BTreeSet::new(),
    };
    match gate.write(publishing.publish(Some(&trust))).await {
        Err(NotLeader) => Err(FOLLOWER.to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(published)) => {
            publishing.set_phase(Phase::External);
            match published.read_back {
                ReadBack::Lacking(_) | ReadBack::Unknown => Err(NotNow::Unproven.to_string()),
                ReadBack::Holds => Ok(source),
            }
        }
    }
}

fn from_files(signer: &Signer) -> Signing {
    let AuthoritySource::Files { certificate, key } = &signer.authority else {
        return unknown();
    };
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let (cert_name, key_name) = (certificate.display(), key.display());
    Authority::from_pem(
        &read(certificate)?,
        &cert_name.to_string(),
        &read(key)?,
        &key_name.to_string(),
    )
    .map(|authority| Source::Files(Arc::new(authority)))
    .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

/// What was said about a CA, so that it is not said every few seconds.
#[derive(Debug, Default)]
struct Said {
    trouble: Option<(String, Instant)>,
    waits: Option<(String, Instant)>,
    using: Option<String>,
}

impl Said {
    /// Says what a CA waits for.
    fn waits(&mut self, signer: &str, waits: Option<String>) {
        match waits {
            None => self.waits = None,
            Some(text) => {
                let said = self.waits.as_ref();
                if said.is_none_or(|(before, at)| *before != text || at.elapsed() >= AGAIN) {
                    warn!(signer, "the CA waits for {text}");
                    self.waits = Some((text, Instant::now()));
                }
            }
        }
    }

    fn say(&mut self, signer: &Signer, found: &Signing, metrics: &Metrics) {
        let now = OffsetDateTime::now_utc();
        let name = signer.name();
        let usable = found
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|source| source.at(now));
        let end = usable
            .as_ref()
            .map(|ca| ca.certificate().validity.not_after);
        metrics.ca(name, end.as_ref().ok().map(|end| end.unix_timestamp()));
        let trouble = match (&usable, end) {
            (Err(why), _) if why == FOLLOWER => None,
            (Err(why), _) => Some(format!("nothing can be signed: {why}")),
            (Ok(_), Ok(end)) if end < now.saturating_add(signer.limits.maximum()) => Some(format!(
                "the CA ends at {}, before a certificate of the longest life would: certificates are cut",
                instant(end)
            )),
            _ => None,
        };
        match trouble {
            None => self.trouble = None,
            Some(text) => {
                let said = self.trouble.as_ref();
                if said.is_none_or(|(before, at)| *before != text || at.elapsed() >= AGAIN) {
                    match usable {
                        Ok(_) => warn!(signer = name, "{text}"),
                        Err(_) => error!(signer = name, "{text}"),
                    }
                    self.trouble = Some((text, Instant::now()));
                }
            }
        }
        let Ok(authority) = usable else { return };
        let ca = authority.certificate();
        let fingerprint = ca.fingerprint();
        if self.using.as_ref() != Some(&fingerprint) {
            info!(
                signer = name,
                ca = ca.subject.to_string(),
                fingerprint,
                until = ca.validity.not_after.to_string(),
                "the CA that signs"
            );
            self.using = Some(fingerprint);
        }
    }
}
