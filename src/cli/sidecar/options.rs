//! From options to what the loop is to do; every combination that makes no sense is said to.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use rustls_pki_types::ServerName;

use super::Sidecar;
use crate::NamespacedName;
use crate::authority::Settings;
use crate::cli::UsageError;
use crate::cluster::ConfigMapName;
use crate::injectable::{Kind, ObjectId};
use crate::pki::{San, check_size};
use crate::request::NewRequest;
use crate::sidecar::{OwnCa, Probe, Reload, Signer, TrustSource};

/// Whoever issues.
#[derive(Debug, Clone)]
pub(super) enum From {
    /// A signer of the CertificateSigningRequest API.
    Signer(String),
    /// A CA in a Secret.
    Secret(Box<OwnCa>),
}

/// Options that make sense together.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) cert_dir: PathBuf,
    pub(super) names: Vec<San>,
    pub(super) from: From,
    pub(super) trust: TrustSource,
    pub(super) validity: time::Duration,
    pub(super) probe: Option<Probe>,
    pub(super) reload: Option<Reload>,
    pub(super) timeout: Duration,
}

/// The entry of a ConfigMap that Kubernetes' own bundles use (`kube-root-ca.crt`).
const ENTRY: &str = "ca.crt";

/// How long a CA lives, by default.
const CA_LIFE: time::Duration = time::Duration::days(90);

fn wrong<T>(message: impl Into<String>) -> Result<T, UsageError> {
    Err(UsageError(message.into()))
}

impl Sidecar {
    pub(super) fn options(&self) -> Result<Options, UsageError> {
        let names = self.names.sans();
        if names.is_empty() {
            return wrong("for which names? Give --service NAME.NAMESPACE, or --host HOST");
        }
        check_size(&names).map_err(|error| UsageError(error.to_string()))?;
        let Some(cert_dir) = self.cert_dir.clone() else {
            return wrong(
                "where to? Give --cert-dir DIR, the directory that the server reads: a volume that both containers mount",
            );
        };
        let from = self.from()?;
        let once = self.once;
        let never_once = [
            ("--listen", self.listen.is_some()),
            ("--probe", self.probe.is_some()),
            ("--reload-signal", self.reload_signal.is_some()),
            ("--reload-pid-file", self.reload_pid_file.is_some()),
            ("--reload-exec", self.reload_exec.is_some()),
        ];
        if let Some((option, _)) = never_once.iter().find(|(_, given)| once && *given) {
            return wrong(format!(
                "{option} makes no sense with --once, which ends before the server starts: leave it out, or leave out --once"
            ));
        }
        self.check_listen()?;
        let probe = self.probe(&names)?;
        if self.require_served && probe.is_none() {
            return wrong(
                "--require-served needs --probe HOST:PORT, the address of the server, such as 127.0.0.1:9443",
            );
        }
        if self.require_served && self.listen.is_none() {
            return wrong("--require-served needs --listen :PORT, where readiness is served");
        }
        Ok(Options {
            trust: self.trust(&from)?,
            validity: self.lifetime(&from)?,
            reload: self.reload()?,
            timeout: self.timeout.unsigned_abs(),
            cert_dir,
            names,
            from,
            probe,
        })
    }

    fn from(&self) -> Result<From, UsageError> {
        let injects = !self.webhooks.is_empty() || !self.crds.is_empty();
        match (&self.signer, &self.ca_secret) {
            (Some(_), Some(_)) => wrong(
                "--signer and --ca-secret are two ways to get a certificate: with --signer somebody else has the CA, with --ca-secret it is the replicas' own; choose one",
            ),
            (None, None) => wrong(
                "who issues? --signer SIGNER asks through the CertificateSigningRequest API; --ca-secret NAMESPACE/NAME keeps a CA of the replicas' own in a Secret",
            ),
            (Some(_), None) if self.ca_validity.is_some() => wrong(
                "--ca-validity goes with --ca-secret: with --signer the CA is somebody else's",
            ),
            (Some(_), None) if injects => wrong(
                "--webhook and --crd go with --ca-secret: with --signer the CA is somebody else's, who puts it into the caBundles too (`certtool controller`, or `certtool inject --cluster`)",
            ),
            (Some(signer), None) => {
                check_signer(signer)?;
                Ok(From::Signer(signer.clone()))
            }
            (None, Some(secret)) => Ok(From::Secret(Box::new(OwnCa {
                secret: secret.clone(),
                settings: self.settings()?,
                objects: self.objects()?,
                service: self.single_service(),
            }))),
        }
    }

    fn settings(&self) -> Result<Settings, UsageError> {
        let ca_life = self.ca_validity.unwrap_or(CA_LIFE);
        let settings = Settings::new(ca_life, self.validity);
        settings.map_err(|error| UsageError(format!("--ca-validity, --validity: {error}")))
    }

    /// A name means configurations of either kind, unless it says which: `KIND/NAME`.
    fn objects(&self) -> Result<Vec<Vec<ObjectId>>, UsageError> {
        let of = |kind: Kind, name: &str| ObjectId {
            kind,
            name: name.to_owned(),
        };
        let both = [
            Kind::ValidatingWebhookConfiguration,
            Kind::MutatingWebhookConfiguration,
        ];
        let mut objects = Vec::new();
        for text in &self.webhooks {
            objects.push(match text.split_once('/') {
                None => both.into_iter().map(|kind| of(kind, text)).collect(),
                Some((kind, name)) => {
                    let kind: Kind = kind
                        .parse()
                        .map_err(|error| UsageError(format!("--webhook {text}: {error}")))?;
                    if !both.contains(&kind) {
                        return wrong(format!(
                            "--webhook {text} is no webhook configuration; for a CRD there is --crd NAME"
                        ));
                    }
                    vec![of(kind, name)]
                }
            });
        }
        let crds = self.crds.iter().map(|name| {
            let name = name.strip_prefix("crd/").unwrap_or(name);
            vec![of(Kind::CustomResourceDefinition, name)]
        });
        objects.extend(crds);
        let is_name = |name: &str| format!("x/{name}").parse::<NamespacedName>().is_ok();
        match objects.iter().flatten().find(|id| !is_name(&id.name)) {
            Some(id) => wrong(format!(
                "--webhook and --crd take the name of an object, and {:?} is none",
                id.name
            )),
            None => Ok(objects),
        }
    }

    /// An object may have webhooks of other servers: those are left alone, if it is clear which
    /// are ours.
    fn single_service(&self) -> Option<(String, String)> {
        match self.names.services.as_slice() {
            [service] => Some((service.namespace.clone(), service.name.clone())),
            _ => None,
        }
    }

    fn trust(&self, from: &From) -> Result<TrustSource, UsageError> {
        match (&self.ca, &self.trust_bundle, from) {
            (None, None, _) => Ok(TrustSource::Unknown),
            (_, _, From::Secret(_)) => wrong(
                "--ca and --trust-bundle go with --signer: the Secret of --ca-secret says itself what has to be trusted",
            ),
            (Some(_), Some(_), _) => {
                wrong("--ca and --trust-bundle both say what has to be trusted: choose one")
            }
            (Some(file), None, _) => Ok(TrustSource::File(file.clone())),
            (None, Some(text), _) => {
                let (name, key) = text.split_once(':').unwrap_or((text, ENTRY));
                let name: ConfigMapName = name
                    .parse()
                    .map_err(|error| UsageError(format!("--trust-bundle: {error}")))?;
                let key = key.to_owned();
                Ok(TrustSource::ConfigMap { name, key })
            }
        }
    }

    fn lifetime(&self, from: &From) -> Result<time::Duration, UsageError> {
        if let From::Signer(signer) = from {
            let request = NewRequest {
                name: "x".to_owned(),
                signer_name: signer.clone(),
                request: Vec::new(),
                usages: Signer::new(signer, "x").usages,
                expiration: Some(self.validity),
            };
            if let Err(error) = request.to_object() {
                return wrong(format!(
                    "--validity: {error}; with --ca-secret it can be less"
                ));
            }
        }
        Ok(self.validity)
    }

    fn check_listen(&self) -> Result<(), UsageError> {
        let Some(address) = &self.listen else {
            return Ok(());
        };
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(()),
            _ => wrong(format!(
                "--listen {address:?} is not [HOST]:PORT, such as :8081 or 127.0.0.1:8081"
            )),
        }
    }

    fn probe(&self, names: &[San]) -> Result<Option<Probe>, UsageError> {
        let Some(address) = &self.probe else {
            return Ok(None);
        };
        let is_address = address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        if !is_address {
            return wrong(format!(
                "--probe {address:?} is not HOST:PORT, such as 127.0.0.1:9443"
            ));
        }
        // The API server calls a Service as NAME.NAMESPACE.svc.
        let service = self.names.services.first();
        let service = service.map(|service| format!("{}.{}.svc", service.name, service.namespace));
        let name = service.or_else(|| {
            let dns = |name: &San| matches!(name, San::Dns(dns) if !dns.starts_with('*'));
            let first = names.iter().find(|name| dns(name));
            let first = first.or_else(|| names.iter().find(|name| matches!(name, San::Ip(_))));
            first.map(San::value)
        });
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        match name {
            Some(name) => Ok(Some(Probe {
                address: address.clone(),
                name,
            })),
            None => wrong(
                "--probe asks the server for one of its names, and there are only wildcards: add --service NAME.NAMESPACE or --host HOST",
            ),
        }
    }

    fn reload(&self) -> Result<Option<Reload>, UsageError> {
        match (
            &self.reload_signal,
            &self.reload_pid_file,
            &self.reload_exec,
        ) {
            (None, None, None) => Ok(None),
            (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => wrong(
                "--reload-exec and --reload-signal are two ways to tell the server: choose one",
            ),
            (Some(_), None, None) => wrong(
                "--reload-signal needs --reload-pid-file FILE, in which the server writes its process number",
            ),
            (None, Some(_), None) => {
                wrong("--reload-pid-file needs --reload-signal NAME, such as HUP")
            }
            (Some(signal), Some(pid_file), None) => {
                let (signal, name) = signal_of(signal)?;
                let pid_file = pid_file.clone();
                Ok(Some(Reload::Signal {
                    signal,
                    name,
                    pid_file,
                }))
            }
            (None, None, Some(command)) => {
                let mut words = command.split_whitespace().map(str::to_owned);
                let Some(program) = words.next() else {
                    return wrong("--reload-exec is empty: give a program, and its arguments");
                };
                let args = words.collect();
                Ok(Some(Reload::Exec { program, args }))
            }
        }
    }
}

/// Signers of Kubernetes' own, none of which signs what the API server would trust of a webhook
/// (<https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>).
fn check_signer(signer: &str) -> Result<(), UsageError> {
    if signer.starts_with("kubernetes.io/") {
        return wrong(format!(
            "--signer {signer}: the signers of kubernetes.io are for kubelets and for clients of the API server, and sign no certificate of a webhook: use a signer name of your own, such as example.com/serving"
        ));
    }
    let request = NewRequest {
        name: "x".to_owned(),
        signer_name: signer.to_owned(),
        request: Vec::new(),
        usages: Signer::new(signer, "x").usages,
        expiration: None,
    };
    match request.to_object() {
        Ok(_) => Ok(()),
        Err(error) => wrong(format!("--signer: {error}")),
    }
}

/// Signals that servers take for "reload"; those that end or stop a process by themselves are
/// none.
fn signal_of(name: &str) -> Result<(Signal, &'static str), UsageError> {
    let upper = name.to_uppercase();
    let signals = [
        ("HUP", Signal::HUP),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("WINCH", Signal::WINCH),
    ];
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let found = signals.into_iter().find(|(name, _)| *name == bare);
    match found {
        Some((name, signal)) => Ok((signal, name)),
        None => wrong(format!(
            "--reload-signal {name:?} is no signal for reloading: use HUP, USR1, USR2 or WINCH"
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        sidecar: Sidecar,
    }

    fn options(words: &str) -> Result<Options, String> {
        let words = std::iter::once("sidecar").chain(words.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.sidecar.options().map_err(|error| error.to_string())
    }

    const GOOD: &str = "--service hook.shop --cert-dir d --signer example.com/serving";

    #[test]
    fn what_makes_no_sense_is_said_with_what_does() {
        for (words, instead) in [
            (
                "--cert-dir d --signer example.com/s",
                "--service NAME.NAMESPACE",
            ),
            (
                "--service hook.shop --signer example.com/s",
                "--cert-dir DIR",
            ),
            (
                "--service hook.shop --cert-dir d",
                "--ca-secret NAMESPACE/NAME",
            ),
            ("+ --ca-secret a/b", "choose one"),
            ("+ --webhook w", "go with --ca-secret"),
            ("+ --crd w", "certtool inject --cluster"),
            ("+ --ca-validity 9d", "goes with --ca-secret"),
            (
                "-- --ca-secret a/b --validity 1y --ca-validity 9d",
                "--ca-validity",
            ),
            ("-- --ca-secret a/b --webhook crd/x", "--crd NAME"),
            ("-- --ca-secret a/b --webhook what/x", "what"),
            ("+ --validity 9m", "10 minutes"),
            ("+ --validity 100y", "68 years"),
            ("+ --renew-at 0", "between 0 and 1"),
            ("+ --renew-at 1", "between 0 and 1"),
            ("+ --renew-at x", "between 0 and 1"),
            ("-- --ca-secret a/b --crd crds/x", "\"crds/x\" is none"),
            ("-- --ca-secret a/b --webhook X", "\"X\" is none"),
            ("+ --cluster-domain a_b..c", "--cluster-domain"),
            ("+ --cluster-domain 10.0.0.1", "such as cluster.local"),
            ("+ --listen 8081", "such as :8081"),
            ("+ --listen :x", "such as :8081"),
            ("+ --listen localhost:99999", "such as :8081"),
            ("+ --once --listen :1", "leave out --once"),
            ("+ --once --probe a:1", "leave out --once"),
            ("+ --once --reload-exec x", "leave out --once"),
            ("+ --require-served --listen :1", "--probe HOST:PORT"),
            ("+ --require-served --probe a:1", "--listen :PORT"),
            ("+ --probe 9443", "127.0.0.1:9443"),
            ("+ --probe :9443", "127.0.0.1:9443"),
            ("+ --probe a:0", "127.0.0.1:9443"),
            ("+ --reload-signal HUP", "--reload-pid-file FILE"),
            ("+ --reload-pid-file f", "--reload-signal NAME"),
            ("+ --reload-signal KILL --reload-pid-file f", "HUP, USR1"),
            ("+ --reload-signal HUP --reload-exec x", "choose one"),
            ("+ --ca f --trust-bundle a/b", "choose one"),
            ("+ --trust-bundle b", "NAMESPACE/NAME"),
            (
                "--service hook.shop --cert-dir d --ca-secret a/b --ca f",
                "go with --signer",
            ),
            (
                "--service hook.shop --cert-dir d --ca-secret a",
                "NAMESPACE/NAME",
            ),
            (
                "--service hook.shop --cert-dir d --signer serving",
                "DOMAIN/NAME",
            ),
            (
                "--service hook.shop --cert-dir d --signer kubernetes.io/kubelet-serving",
                "a signer name of your own",
            ),
            (
                "--host *.x.y --cert-dir d --signer example.com/s --probe a:1",
                "only wildcards",
            ),
        ] {
            let words = words.replace('+', GOOD);
            let words = words.replace("-- ", "--service hook.shop --cert-dir d ");
            // clap's own usage errors are exit code 2 as well.
            let error = options(&words)
                .expect_err(&words)
                .replace("DOMAIN/PATH", "");
            let instead = instead.replace("DOMAIN/NAME", "example.com/serving");
            assert!(error.contains(&instead), "{words}: {error}");
        }
    }

    #[test]
    fn what_makes_sense_is_taken() {
        let options = options(&format!(
            "{GOOD} --host 10.0.0.1 --trust-bundle a/b:bundle.pem --probe [::1]:9443 --listen :8081 \
             --require-served --reload-signal sighup --reload-pid-file /run/x.pid"
        ))
        .unwrap();
        assert_eq!(options.names.len(), 4);
        let probe = options.probe.unwrap();
        assert_eq!(probe.name.to_str(), "hook.shop.svc");
        assert!(matches!(
            options.reload,
            Some(Reload::Signal { name: "HUP", .. })
        ));
        let TrustSource::ConfigMap { name, key } = options.trust else {
            panic!()
        };
        assert_eq!(
            (name.to_string().as_str(), key.as_str()),
            ("a/b", "bundle.pem")
        );
    }

    #[test]
    fn a_command_is_words_and_no_shell() {
        let words = ["sidecar", "--reload-exec", "nginx  -s reload; rm *"];
        let given = GOOD.split_whitespace();
        let line = Line::try_parse_from(words.into_iter().chain(given)).unwrap();
        let reload = line.sidecar.options().unwrap().reload.unwrap();
        let args = ["-s", "reload;", "rm", "*"].map(str::to_owned).to_vec();
        let program = "nginx".to_owned();
        assert_eq!(reload, Reload::Exec { program, args });
    }
}
