//! One rule against one request: allowed, refused, or not known yet.
//!
//! Everything that the request itself decides comes first, so that no question is put
//! to the cluster for a request that would be refused anyway.

use super::Request;
use super::asked::{Asked, Name};
use super::document::{CommonNameRule, NamesRule, Policy, Rule, ServiceCheck, WhenAbsent};
use super::facts::{Facts, Question};
use super::refusal::Refusal;
use super::requester::Requester;
use super::terms::Terms;
use crate::pki::{San, ServiceName};

/// A request with all that rules are held against.
pub(super) struct Case<'a> {
    pub(super) request: &'a Request,
    pub(super) requester: Requester<'a>,
    pub(super) policy: &'a Policy,
}

/// What a rule says.
pub(super) enum Outcome {
    Allowed(Box<Terms>),
    Refused(Refusal),
    /// It depends on these.
    Unknown(Vec<Question>),
}

impl Case<'_> {
    /// Whether the rule is about this requester.
    pub(super) fn concerns(&self, rule: &Rule) -> bool {
        let who = &rule.requester;
        let (request, requester) = (self.request, &self.requester);
        let by_kind = match (who.service_accounts.as_slice(), who.usernames.as_slice()) {
            ([], []) => !matches!(requester, Requester::Impostor(_)),
            (accounts, []) => accounts.iter().any(|account| account.matches(requester)),
            (_, users) => users
                .iter()
                .any(|user| user.matches(&request.username, requester)),
        };
        let in_group = |group: &str| request.groups.iter().any(|have| have == group);
        let by_group = who.groups.is_empty() || who.groups.iter().any(|group| in_group(&group.0));
        by_kind && by_group && !in_group("system:unauthenticated")
    }

    pub(super) fn evaluate(&self, rule: &Rule, asked: &Asked, facts: &Facts) -> Outcome {
        let mut needs = Needs::default();
        let lifetime = match self.check_request(rule, asked, &mut needs) {
            Ok(lifetime) => lifetime,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        match self.check_facts(rule, &needs, facts) {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(questions) if !questions.is_empty() => Outcome::Unknown(questions),
            Ok(_) => Outcome::Allowed(Box::new(Terms {
                common_name: asked.common_name.clone(),
                organizations: asked.organizations.clone(),
                names: asked.names.iter().map(Name::to_san).collect::<Vec<San>>(),
                usages: asked.usages.clone(),
                lifetime,
            })),
        }
    }

    /// All that the request itself decides; the Services that are left to look at.
    fn check_request(
        &self,
        rule: &Rule,
        asked: &Asked,
        needs: &mut Needs,
    ) -> Result<time::Duration, Refusal> {
        check_key(rule, asked)?;
        check_usages(rule, asked)?;
        if asked.name_count > rule.names.max_names.0 {
            return Err(Refusal::TooManyNames {
                count: asked.name_count,
                max: rule.names.max_names.0,
            });
        }
        for name in &asked.names {
            match self.allows(&rule.names, name) {
                Some(Basis::Written) => {}
                Some(Basis::Service(service)) => needs.service(service),
                None => {
                    return Err(Refusal::Name {
                        name: name.to_san().to_string(),
                        allowed: self.allowed_names(&rule.names),
                    });
                }
            }
        }
        if needs.pod(rule) && self.pod().is_none() {
            return Err(Refusal::NotAPod);
        }
        check_subject(rule, asked)?;
        check_lifetime(rule, asked)
    }

    fn allows(&self, rule: &NamesRule, name: &Name) -> Option<Basis> {
        let who = &self.requester;
        let written = match name {
            Name::Dns(name) => rule.dns.iter().any(|pattern| pattern.matches(name, who)),
            Name::Wildcard(parent) => rule.wildcards.iter().any(|p| p.matches(parent, who)),
            Name::Ip(ip) => rule.ips.iter().any(|range| range.contains(*ip)),
            Name::Uri(uri) => rule.uris.iter().any(|pattern| pattern.matches(uri, who)),
            Name::Email(email) => rule
                .emails
                .iter()
                .any(|pattern| pattern.matches(email, who)),
        };
        if written {
            return Some(Basis::Written);
        }
        let Name::Dns(name) = name else { return None };
        let service = self.service_of(name)?;
        let written = service.to_string();
        rule.services
            .iter()
            .any(|pattern| pattern.matches(&written, who))
            .then_some(Basis::Service(service))
    }

    /// The Service whose name this is: `SVC.NS`, `SVC.NS.svc`, `SVC.NS.svc.DOMAIN`.
    fn service_of(&self, name: &str) -> Option<ServiceName> {
        let mut parts = name.splitn(3, '.');
        let (service, namespace) = (parts.next()?, parts.next()?);
        let service = ServiceName {
            name: service.to_owned(),
            namespace: namespace.to_owned(),
        };
        let forms = service.dns_names(&self.policy.0.cluster_domain.0);
        forms.iter().any(|form| form == name).then_some(service)
    }

    /// What the rule means for this requester, for a message.
    fn allowed_names(&self, rule: &NamesRule) -> Vec<String> {
        let who = &self.requester;
        let services = rule
            .services
            .iter()
            .map(|p| format!("Service {}", p.shown(who)));
        let dns = rule.dns.iter().map(|p| p.shown(who));
        let wildcards = rule.wildcards.iter().map(|p| p.shown(who));
        let ips = rule.ips.iter().map(ToString::to_string);
        let texts = rule.uris.iter().chain(&rule.emails).map(|p| p.shown(who));
        services
            .chain(dns)
            .chain(wildcards)
            .chain(ips)
            .chain(texts)
            .collect()
    }

    fn pod(&self) -> Option<super::requester::BoundPod<'_>> {
        self.requester.account().and_then(|account| account.pod)
    }

    /// The questions without an answer, once no answer refuses.
    fn check_facts(
        &self,
        rule: &Rule,
        needs: &Needs,
        facts: &Facts,
    ) -> Result<Vec<Question>, Refusal> {
        let mut open = Vec::new();
        let signer_name = &self.request.signer_name;
        if rule.requester.access_review {
            match facts.signer_access(signer_name) {
                Some(true) => {}
                Some(false) => return Err(Refusal::SignerAccess(signer_name.clone())),
                None => open.push(Question::SignerAccess {
                    signer_name: signer_name.clone(),
                }),
            }
        }
        if rule.names.service_check == ServiceCheck::None {
            return Ok(open);
        }
        let mut labels = None;
        if needs.pod(rule)
            && let Some(account) = self.requester.account()
            && let Some(bound) = account.pod
        {
            match facts.pod(account.namespace, bound.name) {
                None => open.push(Question::Pod {
                    namespace: account.namespace.to_owned(),
                    name: bound.name.to_owned(),
                }),
                Some(None) => return Err(Refusal::PodMissing(bound.name.to_owned())),
                Some(Some(pod)) => {
                    if pod.uid != bound.uid || pod.service_account != account.name {
                        return Err(Refusal::PodDiffers(bound.name.to_owned()));
                    }
                    labels = Some((account.namespace, bound.name, &pod.labels));
                }
            }
        }
        for name in &needs.services {
            let service = match facts.service(name) {
                None => {
                    open.push(Question::Service(name.clone()));
                    continue;
                }
                Some(None) => return Err(Refusal::ServiceMissing(name.to_string())),
                Some(Some(service)) => service,
            };
            if rule.names.service_check == ServiceCheck::Exists {
                continue;
            }
            // Without labels the question about the pod is among the open ones.
            let Some((namespace, pod, labels)) = labels else {
                continue;
            };
            if name.namespace != namespace {
                return Err(Refusal::OtherNamespace {
                    service: name.to_string(),
                    namespace: namespace.to_owned(),
                });
            }
            if !service.selects(labels) {
                return Err(Refusal::NotSelected {
                    service: name.to_string(),
                    pod: pod.to_owned(),
                });
            }
        }
        Ok(open)
    }
}

/// Why a name is allowed.
enum Basis {
    /// The rule has it.
    Written,
    /// The rule has the Service, which is to be looked at.
    Service(ServiceName),
}

/// What is to be looked at in the cluster.
#[derive(Default)]
struct Needs {
    services: Vec<ServiceName>,
}

impl Needs {
    fn service(&mut self, service: ServiceName) {
        if !self.services.contains(&service) {
            self.services.push(service);
        }
    }

    /// Whether the pod matters.
    fn pod(&self, rule: &Rule) -> bool {
        rule.names.service_check == ServiceCheck::SelectsPod && !self.services.is_empty()
    }
}

fn check_key(rule: &Rule, asked: &Asked) -> Result<(), Refusal> {
    if rule.keys.iter().any(|key| key.is(&asked.key)) {
        return Ok(());
    }
    Err(Refusal::Key {
        given: asked.key.to_string(),
        allowed: join(rule.keys.iter().map(|key| key.0.name())),
    })
}

fn check_usages(rule: &Rule, asked: &Asked) -> Result<(), Refusal> {
    let usages = &rule.usages;
    let mut all = asked.usages.iter().chain(&asked.extension_usages);
    if let Some(usage) = all.find(|usage| usages.allowed.iter().all(|allowed| allowed.0 != **usage))
    {
        return Err(Refusal::Usage {
            given: usage.name(),
            allowed: join(usages.allowed.iter().map(|usage| usage.0.name())),
        });
    }
    let mut required = usages.required.iter();
    match required.find(|usage| !asked.usages.contains(&usage.0)) {
        Some(usage) => Err(Refusal::UsageMissing(usage.0.name())),
        None if asked.usages.is_empty() => Err(Refusal::UsageMissing("(any at all)")),
        None => Ok(()),
    }
}

fn check_subject(rule: &Rule, asked: &Asked) -> Result<(), Refusal> {
    if let Some(name) = &asked.common_name
        && rule.subject.common_name == CommonNameRule::Forbidden
    {
        return Err(Refusal::CommonNameForbidden(name.clone()));
    }
    let allowed = &rule.subject.organizations;
    let mut given = asked.organizations.iter();
    match given.find(|given| allowed.iter().all(|allowed| allowed.0 != **given)) {
        Some(organization) => Err(Refusal::Organization(organization.clone())),
        None => Ok(()),
    }
}

fn check_lifetime(rule: &Rule, asked: &Asked) -> Result<time::Duration, Refusal> {
    let maximum = rule.lifetime.maximum();
    let max = maximum.whole_seconds();
    match (asked.expiration_seconds, rule.lifetime.when_absent) {
        (Some(asked), _) if asked > max => Err(Refusal::LifetimeTooLong { asked, max }),
        (Some(asked), _) => Ok(time::Duration::seconds(asked)),
        (None, WhenAbsent::Maximum) => Ok(maximum),
        (None, WhenAbsent::Deny) => Err(Refusal::LifetimeAbsent(max)),
    }
}

fn join(words: impl Iterator<Item = &'static str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
