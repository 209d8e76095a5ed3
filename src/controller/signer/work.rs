//! One request, from whatever state it is in to its end: approved and signed in one go, each
//! write guarded by the version of the object that it was decided on.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{debug, info, warn};

use super::facts::Memory;
use super::{Active, Context};
use crate::cluster::{Error, Event};
use crate::controller::authorities::Source;
use crate::controller::config::Signer;
use crate::controller::decide::{
    self, APPROVED_REASON, FAILED_REASON, Never, Step, approved_by_policy, to_sign, undecided,
};
use crate::controller::gate::NotLeader;
use crate::controller::metrics::Outcome;
use crate::controller::queue::Job;
use crate::pki::Certificate;
use crate::policy::{self, Terms};
use crate::random_serial;
use crate::request::{Decision, RequestObject, State, with_decision, with_failure};

/// A request whose Service or pod is missing is looked at this often.
const WAIT: Duration = Duration::from_secs(10);
/// The longest pause after an error.
const LONGEST: Duration = Duration::from_secs(30);
/// An answer that takes longer is an error.
const ANSWER: Duration = Duration::from_secs(20);
/// How often a write is made anew at once after somebody else was faster.
const ATTEMPTS: usize = 5;

/// How work on a request ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// For good, by a write of ours.
    Finished,
    /// There is nothing to be done until it changes.
    Nothing,
    /// Later.
    Again { signer: String, longest: Duration },
}

/// What stands in the way of a request for now.
enum Obstacle {
    Error(Error),
    /// Somebody else changed it.
    Changed,
    /// It is gone, or another one has its name.
    Gone,
    NotLeader,
    /// It waits for something in the cluster.
    Waits(String),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict { .. } => Self::Changed,
            Error::NotFound { .. } => Self::Gone,
            other => Self::Error(other),
        }
    }
}

impl From<NotLeader> for Obstacle {
    fn from(_: NotLeader) -> Self {
        Self::NotLeader
    }
}

/// What every request is worked on with.
#[derive(Clone)]
pub(super) struct Work {
    context: Arc<Context>,
    signers: Arc<Vec<Active>>,
    memory: Memory,
}

impl Work {
    pub(super) fn new(context: Context, signers: Vec<Active>) -> Self {
        Self {
            context: Arc::new(context),
            signers: Arc::new(signers),
            memory: Memory::default(),
        }
    }

    /// Works on one request.
    pub(super) async fn one(self, mut job: Job<String, RequestObject>) -> (String, Ended) {
        let Some(active) = self.signers.get(job.group).cloned() else {
            return (job.key, Ended::Nothing);
        };
        let signer = active.signer.name().to_owned();
        let mut object = job.object.take();
        let mut attempt = 1;
        let ended = loop {
            let result =
                tokio::time::timeout(3 * ANSWER, self.try_once(&active, &job, object.take()));
            let obstacle = match result.await {
                Ok(Ok(ended)) => break ended,
                Ok(Err(obstacle)) => obstacle,
                Err(_) => Obstacle::Waits("the API server does not answer".to_owned()),
            };
            let (uid, name) = (job.key.as_str(), job.name.as_str());
            let longest = match obstacle {
                Obstacle::Changed => {
                    self.context.metrics.conflict(&signer);
                    debug!(uid, name, "somebody else changed it: looking again");
                    if attempt < ATTEMPTS {
                        attempt += 1;
                        continue;
                    }
                    LONGEST
                }
                Obstacle::Gone => break Ended::Nothing,
                Obstacle::NotLeader => {
                    debug!(uid, name, "not the leader: nothing is written");
                    Duration::from_millis(500)
                }
                Obstacle::Waits(why) => {
                    if job.attempts == 0 {
                        info!(uid, ?name, signer, "waits: {why}");
                    }
                    WAIT
                }
                Obstacle::Error(error) => {
                    if job.attempts < 3 || job.attempts.is_multiple_of(10) {
                        warn!(
                            uid,
                            ?name,
                            signer,
                            attempts = job.attempts + 1,
                            "{}",
                            explained(&error, &signer)
                        );
                    }
                    LONGEST
                }
            };
            break Ended::Again {
                signer: signer.clone(),
                longest,
            };
        };
        (job.key, ended)
    }

    /// One attempt, from the object as it is known or as it is now.
    async fn try_once(
        &self,
        active: &Active,
        job: &Job<String, RequestObject>,
        object: Option<RequestObject>,
    ) -> Result<Ended, Obstacle> {
        let signer = active.signer.as_ref();
        let request = match object {
            Some(request) => request,
            None => self
                .context
                .cluster
                .get_request(&job.name)
                .await?
                .filter(|request| request.uid == job.key)
                .ok_or(Obstacle::Gone)?
                .for_subresources(),
        };
        match request.state() {
            State::Denied | State::Failed | State::Issued => return Ok(Ended::Nothing),
            State::Pending if !signer.approve => return Ok(Ended::Nothing),
            State::Pending | State::Approved => {}
        }
        // An approval without a CA to sign with would only run out.
        let signing = active.signing.borrow().clone().map_err(Obstacle::Waits)?;
        let now = OffsetDateTime::now_utc();
        signing.at(now).map_err(Obstacle::Waits)?;
        let (request, terms) = match request.state() {
            State::Pending => {
                let decision = self.decide(signer, &request).await?;
                match undecided(decision, request.created, signer.wait_for_objects(), now) {
                    Step::Approve { message, terms } => {
                        let approved = self.approve(signer, &request, &message).await?;
                        (approved, Some(terms))
                    }
                    Step::Deny { reason, message } => {
                        return self.deny(signer, &request, reason, &message).await;
                    }
                    Step::Wait(why) => return Err(Obstacle::Waits(why)),
                    Step::Leave(why) => {
                        self.context.metrics.request(signer.name(), Outcome::left);
                        info!(uid = request.uid, name = ?request.name, signer = signer.name(), "left alone: {why}");
                        return Ok(Ended::Nothing);
                    }
                }
            }
            // Approved by this controller before it was restarted: by the same terms.
            _ if approved_by_policy(&request) => match self.decide(signer, &request).await? {
                policy::Decision::Approve { terms, .. } => (request, Some(terms)),
                _ => (request, None),
            },
            _ => (request, None),
        };
        self.sign(signer, &signing, &request, terms.as_deref(), job)
            .await
    }

    async fn decide(
        &self,
        signer: &Signer,
        request: &RequestObject,
    ) -> Result<policy::Decision, Obstacle> {
        let asked = policy::Request::from(request);
        let questions = policy::needed_facts(&asked, signer.policy());
        let cluster = &self.context.cluster;
        let facts = self
            .memory
            .find_out(cluster, &questions, &request.requester)
            .await?;
        Ok(policy::decide(&asked, signer.policy(), &facts))
    }

    async fn approve(
        &self,
        signer: &Signer,
        request: &RequestObject,
        message: &str,
    ) -> Result<RequestObject, Obstacle> {
        let now = instant(OffsetDateTime::now_utc());
        let object = with_decision(request, Decision::Approve, APPROVED_REASON, message, &now);
        let write = self.context.cluster.put_approval(&request.name, &object);
        let approved = self.context.gate.write(write).await??;
        self.context
            .metrics
            .request(signer.name(), Outcome::approved);
        info!(
            uid = request.uid,
            name = ?request.name,
            signer = signer.name(),
            requester = ?request.requester.username,
            pod = request.requester.pod().unwrap_or_default(),
            "approved: {message}"
        );
        Ok(approved.for_subresources())
    }

    async fn deny(
        &self,
        signer: &Signer,
        request: &RequestObject,
        reason: &'static str,
        message: &str,
    ) -> Result<Ended, Obstacle> {
        let now = instant(OffsetDateTime::now_utc());
        let object = with_decision(request, Decision::Deny, reason, message, &now);
        let write = self.context.cluster.put_approval(&request.name, &object);
        self.context.gate.write(write).await??;
        self.context.metrics.request(signer.name(), Outcome::denied);
        warn!(
            uid = request.uid,
            name = ?request.name,
            signer = signer.name(),
            requester = ?request.requester.username,
            reason,
            "denied: {message}"
        );
        self.report(request, true, reason, "Deny", message.to_owned());
        Ok(Ended::Finished)
    }

    async fn sign(
        &self,
        signer: &Signer,
        signing: &Source,
        request: &RequestObject,
        terms: Option<&Terms>,
        job: &Job<String, RequestObject>,
    ) -> Result<Ended, Obstacle> {
        let now = OffsetDateTime::now_utc();
        // Again, since an approval lies between: the CA must be one that signs now.
        let authority = signing.at(now).map_err(Obstacle::Waits)?;
        let (key, grant) = match to_sign(request, terms, &signer.limits, now) {
            Ok(to_sign) => to_sign,
            Err(never) => return self.fail(signer, request, &never).await,
        };
        let serial = random_serial()
            .map_err(|error| Obstacle::Waits(format!("no randomness from the kernel: {error}")))?;
        let leaf = match authority.issue(&key, &grant, now, serial) {
            Ok(leaf) => leaf,
            Err(error) if decide::may_issue_later(&error) => {
                return Err(Obstacle::Waits(error.to_string()));
            }
            Err(error) => return self.fail(signer, request, &Never::Issue(error)).await,
        };
        let chain: String = std::iter::once(&leaf)
            .chain(authority.intermediates())
            .map(Certificate::to_pem)
            .collect();
        let encoded = base64::engine::general_purpose::STANDARD.encode(chain);
        let mut object = request.object.clone();
        object["status"]["certificate"] = Value::String(encoded);
        let write = self
            .context
            .cluster
            .put_request_status(&request.name, &object);
        self.context.gate.write(write).await??;
        let latency = latency(
            request.created,
            job.seen.elapsed(),
            OffsetDateTime::now_utc(),
        );
        self.context.metrics.issued_after(signer.name(), latency);
        info!(
            uid = request.uid,
            name = ?request.name,
            signer = signer.name(),
            requester = ?request.requester.username,
            serial = leaf.serial.to_string(),
            until = instant(leaf.validity.not_after),
            "issued"
        );
        let note = format!(
            "issued a certificate that is valid until {}",
            instant(leaf.validity.not_after)
        );
        self.report(request, false, "CertificateIssued", "Sign", note);
        Ok(Ended::Finished)
    }

    async fn fail(
        &self,
        signer: &Signer,
        request: &RequestObject,
        never: &Never,
    ) -> Result<Ended, Obstacle> {
        let message = never.to_string();
        let now = instant(OffsetDateTime::now_utc());
        let object = with_failure(request, FAILED_REASON, &message, &now);
        let write = self
            .context
            .cluster
            .put_request_status(&request.name, &object);
        self.context.gate.write(write).await??;
        self.context.metrics.request(signer.name(), Outcome::failed);
        warn!(
            uid = request.uid,
            name = ?request.name,
            signer = signer.name(),
            requester = ?request.requester.username,
            "failed, it can never be signed: {message}"
        );
        self.report(request, true, FAILED_REASON, "Sign", message);
        Ok(Ended::Finished)
    }

    fn report(
        &self,
        request: &RequestObject,
        warning: bool,
        reason: &str,
        action: &'static str,
        note: String,
    ) {
        self.context.reporter.report(Event {
            api_version: "certificates.k8s.io/v1".to_owned(),
            kind: "CertificateSigningRequest".to_owned(),
            namespace: None,
            name: request.name.clone(),
            uid: request.uid.clone(),
            warning,
            reason: reason.to_owned(),
            action,
            note,
        });
    }
}

/// An error with the rule that would help, where access is what is missing.
fn explained(error: &Error, signer: &str) -> String {
    let verb = ["approve", "sign"].into_iter().find(|verb| {
        matches!(error, Error::Forbidden { message, .. } | Error::Api { message, .. }
            if message.contains("user not permitted to") && message.contains(verb))
    });
    match verb {
        Some(verb) => format!(
            "not permitted to {verb} requests for {signer}: add the ClusterRole rule \
             {{apiGroups: [\"certificates.k8s.io\"], resources: [\"signers\"], verbs: [\"{verb}\"], resourceNames: [\"{signer}\"]}}"
        ),
        None => error.to_string(),
    }
}

/// From creation to now. The API server notes creations in whole seconds; a request that was
/// seen as soon as it was made is timed from then.
fn latency(created: Option<OffsetDateTime>, seen: Duration, now: OffsetDateTime) -> Duration {
    let since = created.map_or(time::Duration::ZERO, |created| now - created);
    let at_least = since.saturating_sub(time::Duration::SECOND);
    Duration::try_from(at_least).unwrap_or_default().max(seen)
}

fn instant(at: OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).unwrap_or(at);
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}
