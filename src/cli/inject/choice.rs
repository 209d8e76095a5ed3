//! Which client configs are meant: by object, by webhook, by Service.

use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use crate::injectable::{ClientConfig, Kind, ObjectId, Target};
use crate::pki::ServiceName;

/// Options that choose. Names choose their union; a Service narrows it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Choice")]
pub(in crate::cli) struct ChoiceArgs {
    /// A webhook, by its own name or its configuration's; repeatable
    #[arg(long = "webhook", value_name = "NAME")]
    pub(in crate::cli) webhooks: Vec<String>,
    /// A CustomResourceDefinition with a conversion webhook; repeatable
    #[arg(long = "crd", value_name = "NAME")]
    pub(in crate::cli) crds: Vec<String>,
    /// An APIService; repeatable
    #[arg(long = "apiservice", value_name = "NAME")]
    pub(in crate::cli) apiservices: Vec<String>,
    /// Only what calls this Service; repeatable, or separated by commas
    #[arg(long = "service", value_name = "NAME.NAMESPACE", value_delimiter = ',')]
    pub(in crate::cli) services: Vec<ServiceName>,
    /// Only objects with these labels; with --cluster
    #[arg(short = 'l', long, value_name = "SELECTOR", requires = "cluster")]
    pub(in crate::cli) selector: Option<String>,
}

impl ChoiceArgs {
    pub(in crate::cli) fn has_labels(&self) -> bool {
        self.selector.is_some()
    }

    pub(in crate::cli) fn resolve(&self) -> Choice {
        let named = |names: &[String], by: fn(String) -> By| -> Vec<Wanted> {
            let names = names.iter().cloned();
            names.map(|name| Wanted::new(by(name))).collect()
        };
        let mut names = named(&self.webhooks, By::Webhook);
        names.extend(named(&self.crds, |name| {
            By::Object(Kind::CustomResourceDefinition, name)
        }));
        names.extend(named(&self.apiservices, |name| {
            By::Object(Kind::ApiService, name)
        }));
        let services = self.services.iter().cloned();
        Choice {
            names,
            services: services
                .map(|service| Wanted::new(By::Service(service)))
                .collect(),
        }
    }
}

/// The choice, which remembers what of it was there. May be asked from several threads.
#[derive(Debug, Default)]
pub(in crate::cli) struct Choice {
    names: Vec<Wanted>,
    services: Vec<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    by: By,
    found: AtomicBool,
}

#[derive(Debug)]
enum By {
    Webhook(String),
    Object(Kind, String),
    Service(ServiceName),
}

impl Choice {
    /// Whether nothing was chosen, so that everything is meant.
    pub(in crate::cli) fn is_everything(&self) -> bool {
        self.names.is_empty() && self.services.is_empty()
    }

    /// Whether this client config is meant.
    pub(in crate::cli) fn has(&self, id: &ObjectId, config: &ClientConfig) -> bool {
        // All of them are asked: each remembers that it was there.
        let any = |wanted: &[Wanted]| {
            let found = wanted.iter().filter(|wanted| wanted.names(id, config));
            wanted.is_empty() || found.count() > 0
        };
        let by_name = any(&self.names);
        let by_service = any(&self.services);
        by_name && by_service
    }

    /// Whether this object was chosen by its own name.
    pub(in crate::cli) fn names(&self, id: &ObjectId) -> bool {
        self.names.iter().any(|wanted| match &wanted.by {
            By::Webhook(name) => is_configuration(id.kind) && *name == id.name,
            By::Object(kind, name) => *kind == id.kind && *name == id.name,
            By::Service(_) => false,
        })
    }

    /// What was chosen and has not been there, for a message.
    pub(in crate::cli) fn missing(&self) -> Vec<String> {
        let all = self.names.iter().chain(&self.services);
        all.filter(|wanted| !wanted.found.load(Ordering::Relaxed))
            .map(|wanted| match &wanted.by {
                By::Webhook(name) => format!("webhook or webhook configuration {name:?}"),
                By::Object(kind, name) => format!("{kind} {name:?}"),
                By::Service(service) => format!("client config that calls Service {service}"),
            })
            .collect()
    }
}

impl Wanted {
    fn new(by: By) -> Self {
        Self {
            by,
            found: AtomicBool::new(false),
        }
    }

    fn names(&self, id: &ObjectId, config: &ClientConfig) -> bool {
        let names = match &self.by {
            By::Webhook(name) => {
                is_configuration(id.kind)
                    && (*name == id.name || config.webhook.as_ref() == Some(name))
            }
            By::Object(kind, name) => *kind == id.kind && *name == id.name,
            By::Service(service) => calls(config, service),
        };
        if names {
            self.found.store(true, Ordering::Relaxed);
        }
        names
    }
}

fn is_configuration(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::MutatingWebhookConfiguration | Kind::ValidatingWebhookConfiguration
    )
}

/// By `service`, or by a `url` whose host is one of the Service's names.
fn calls(config: &ClientConfig, service: &ServiceName) -> bool {
    match &config.target {
        Ok(Target::Service(target)) => {
            target.name == service.name && target.namespace == service.namespace
        }
        Ok(Target::Url(url)) => {
            let url: Option<http::Uri> = url.parse().ok();
            let host = url.as_ref().and_then(http::Uri::host).unwrap_or_default();
            let rest = host.strip_prefix(&service.to_string());
            rest.is_some_and(|rest| rest.is_empty() || rest == ".svc" || rest.starts_with(".svc."))
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::injectable::client_configs;

    fn webhooks() -> (ObjectId, Vec<ClientConfig>) {
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "shop"},
            "webhooks": [
                {"name": "a", "clientConfig": {"service": {"name": "hook", "namespace": "shop"}}},
                {"name": "b", "clientConfig": {"service": {"name": "hook", "namespace": "other"}}},
                {"name": "c", "clientConfig": {"url": "https://hook.shop.svc:8443/x"}},
                {"name": "d", "clientConfig": {"url": "https://hook.shops/x"}},
            ],
        });
        let configs = client_configs(&object).unwrap();
        (ObjectId::of(&object).unwrap(), configs)
    }

    fn chosen(args: &ChoiceArgs) -> (String, Vec<String>) {
        let choice = args.resolve();
        let (id, configs) = webhooks();
        let chosen = configs.iter().filter(|config| choice.has(&id, config));
        let names = chosen.filter_map(|config| config.webhook.clone()).collect();
        (names, choice.missing())
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn without_a_choice_everything_is_meant() {
        assert_eq!(chosen(&ChoiceArgs::default()).0, "abcd");
    }

    #[test]
    fn names_choose_their_union_and_a_service_narrows_it() {
        let by = |webhooks: &[&str], services: &[&str]| {
            chosen(&ChoiceArgs {
                webhooks: strings(webhooks),
                services: services.iter().map(|name| name.parse().unwrap()).collect(),
                ..ChoiceArgs::default()
            })
            .0
        };
        assert_eq!(by(&["a", "d"], &[]), "ad");
        assert_eq!(by(&["shop"], &[]), "abcd");
        assert_eq!(by(&["shop"], &["hook.shop"]), "ac");
        assert_eq!(by(&[], &["hook.shop", "hook.other"]), "abc");
        assert_eq!(by(&["b"], &["hook.shop"]), "");
    }

    #[test]
    fn what_was_not_there_is_known() {
        let args = ChoiceArgs {
            webhooks: strings(&["a", "typo"]),
            crds: strings(&["shop"]),
            services: vec!["hook.nowhere".parse().unwrap()],
            ..ChoiceArgs::default()
        };
        assert_eq!(
            chosen(&args).1,
            [
                "webhook or webhook configuration \"typo\"",
                "CustomResourceDefinition \"shop\"",
                "client config that calls Service hook.nowhere"
            ]
        );
    }
}
