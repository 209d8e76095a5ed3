//! Where pairs come from: the issuer, and what its certificates have to verify with.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;

use super::REMINDER;
use super::failure::Failure;
use super::happening::{Happening, Observer};
use super::held::Held;
use super::issuer::{Issued, Issuer, Order};
use super::status::Shared;
use super::trust::{Trust, TrustSource};
use crate::pki::{Certificate, TrustBundle};
use crate::plan::{Asked, LeafRecord, RENEW_ANNOTATION, Seed, accept};
use crate::store::Pair;

/// The issuer, and the trust bundle.
#[derive(Debug)]
pub(super) struct Source {
    issuer: Issuer,
    trust: Trust,
    /// What was said about the bundle or the CA, and when.
    problem: Option<(String, Instant)>,
    /// An annotation that was said to be none.
    unread: Option<String>,
}

impl Source {
    pub(super) fn new(issuer: Issuer, trust: TrustSource) -> Self {
        Self {
            issuer,
            trust: Trust::new(trust),
            problem: None,
            unread: None,
        }
    }

    /// What the pair's record calls the issuer.
    pub(super) fn label(&self) -> &str {
        self.issuer.label()
    }

    /// When the issuer wants to be looked at.
    pub(super) fn due(&self) -> Option<OffsetDateTime> {
        match &self.issuer {
            Issuer::Own(own) => own.next(),
            Issuer::Signer(_) => None,
        }
    }

    /// Whether a `ca.crt` is to be expected.
    pub(super) fn has_trust(&self) -> bool {
        self.trust.is_configured() || matches!(self.issuer, Issuer::Own(_))
    }

    /// What is waited for.
    pub(super) fn waiting(&self) -> Option<String> {
        self.issuer.waiting()
    }

    /// What has to be trusted, as far as that is known.
    pub(super) fn bundle(&self) -> Option<&TrustBundle> {
        match &self.issuer {
            Issuer::Own(own) => own.bundle(),
            Issuer::Signer(_) => self.trust.bundle(),
        }
    }

    /// Reads the bundle if it is time, and takes the CA's next step. The pair that there is ends at
    /// `not_after`, and is renewed at a fraction of its life: half-way between them that is urgent.
    pub(super) async fn refresh(
        &mut self,
        not_after: Option<OffsetDateTime>,
        renew_at: f64,
        observer: &Observer,
    ) {
        let share = (1.0 - renew_at) / 2.0;
        let refreshed = match &mut self.issuer {
            Issuer::Own(own) => own.tick_before(not_after, share, observer.as_ref()).await,
            Issuer::Signer(signer) => self.trust.refresh(signer.cluster(), false).await,
        };
        match refreshed {
            Ok(true) => self.problem = None,
            Ok(false) => {}
            Err(failure) => {
                let why = failure.to_string();
                let is_told =
                    |(told, at): &(String, Instant)| *told == why && at.elapsed() < REMINDER;
                if !self.problem.as_ref().is_some_and(is_told) {
                    self.problem = Some((why.clone(), Instant::now()));
                    observer(&match &self.issuer {
                        Issuer::Own(_) => Happening::Note {
                            is_warning: true,
                            reason: "CaNotKept",
                            message: why,
                        },
                        Issuer::Signer(_) => Happening::TrustUnreadable { why },
                    });
                }
            }
        }
    }

    /// Before when pairs must not have been received, as far as somebody asked for that.
    pub(super) fn renew_before(&mut self, observer: &Observer) -> Option<OffsetDateTime> {
        let asked = match &self.issuer {
            Issuer::Own(own) => own.renew(),
            Issuer::Signer(_) => self.trust.renew(),
        };
        let parsed = asked.map(|text| OffsetDateTime::parse(text.trim(), &Rfc3339));
        let unread = match &parsed {
            Some(Err(_)) => asked.map(ToOwned::to_owned),
            _ => None,
        };
        if unread != self.unread {
            if let Some(text) = &unread {
                observer(&Happening::Note {
                    is_warning: true,
                    reason: "AnnotationUnreadable",
                    message: format!(
                        "the annotation {RENEW_ANNOTATION} is no instant in RFC 3339, such as 2026-01-31T12:00:00Z (`date -u +%FT%TZ` prints the present one), and means nothing: {text:?}"
                    ),
                });
            }
            self.unread = unread;
        }
        parsed?.ok()
    }

    /// From when on a leaf is to be replaced because of its CA, if the rotation of that is ours.
    pub(super) fn superseded(
        &mut self,
        leaf: &Certificate,
        seed: Seed,
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        match &mut self.issuer {
            Issuer::Own(own) => own.superseded(leaf, seed.share(&leaf.serial), now),
            Issuer::Signer(_) => None,
        }
    }

    /// Until when a certificate that works is better kept.
    pub(super) fn settles_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match &self.issuer {
            Issuer::Own(own) => own.settles_at(now),
            Issuer::Signer(_) => None,
        }
    }

    /// A new pair that is what was ordered; `None` when the loop was woken before it came, and
    /// what was begun goes on the next time.
    pub(super) async fn obtain(
        &mut self,
        order: &Order<'_>,
        shared: &Shared,
        observer: &Observer,
    ) -> Result<Option<Held>, Failure> {
        // Not to be interrupted: a request that nobody remembers would be left behind.
        self.issuer.prepare(order).await?;
        let issued = tokio::select! {
            biased;
            issued = self.issuer.issue(order, observer.as_ref()) => issued?,
            // The files changed, or somebody asked: look at that first. The request stays.
            () = shared.wake.notified() => return Ok(None),
        };
        self.check(issued, order).await.map(Some)
    }

    /// Checks what was issued.
    async fn check(&mut self, issued: Issued, order: &Order<'_>) -> Result<Held, Failure> {
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
            names: order.names,
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
            issuer: self.label().to_owned(),
            received: now,
        });
        Ok(Held::of(pair, record))
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
