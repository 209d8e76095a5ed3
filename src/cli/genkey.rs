//! `certtool genkey`: a key and a request for it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::{ExitStatus, Printer, UsageError, input};
use crate::cfssl::CsrJson;
use crate::pki::{
    DistinguishedName, Host, KeyAlgorithm, MAX_COMMON_NAME, PrivateKey, San, ServiceName,
    check_size, create_csr,
};
use crate::store::{Durability, secret_file};

/// Make a private key and a CSR: NAME-key.pem (mode 0600) and NAME.csr
#[derive(Debug, Args)]
pub(super) struct Genkey {
    /// cfssl's CSR JSON, or - for stdin
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["cn", "algorithm"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    names: NameArgs,
    /// The common name [default: none; the names carry the identity]
    #[arg(long, value_name = "CN")]
    cn: Option<String>,
    /// The key's algorithm [default: ecdsa-p256]
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<KeyAlgorithm>,
    /// The directory for both files
    #[arg(long, value_name = "DIR", default_value = ".")]
    out_dir: PathBuf,
    /// What the files' names begin with
    #[arg(long, value_name = "NAME", default_value = "server")]
    name: String,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

/// Names to be valid for.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct NameArgs {
    /// A Service, as NAME.NAMESPACE; repeatable
    #[arg(long = "service", value_name = "NAME.NAMESPACE")]
    pub(super) services: Vec<ServiceName>,
    /// A DNS name, IP address or wildcard; repeatable
    #[arg(long = "host", value_name = "HOST")]
    pub(super) hosts: Vec<Host>,
    /// The cluster's DNS domain
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", value_parser = domain)]
    pub(super) cluster_domain: String,
}

fn domain(text: &str) -> Result<String, String> {
    match text.parse::<Host>() {
        Ok(Host::Dns(name)) if !name.starts_with('*') => Ok(name),
        Ok(_) => Err("it must be a DNS domain, such as cluster.local".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl NameArgs {
    /// The names, each once, in order.
    pub(super) fn sans(&self) -> Vec<San> {
        let services = self
            .services
            .iter()
            .flat_map(|service| service.dns_names(&self.cluster_domain));
        let hosts = self.hosts.iter().map(Host::to_san);
        let mut names = Vec::new();
        for name in services.map(San::Dns).chain(hosts) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// What a request is made from.
pub(super) struct Material {
    pub(super) subject: DistinguishedName,
    pub(super) names: Vec<San>,
    pub(super) algorithm: KeyAlgorithm,
}

/// From cfssl's JSON, or from options; options add names to the JSON's. A common name that
/// is too long is left out, with a warning, where there are names to carry the identity.
pub(super) fn material(
    from: Option<&PathBuf>,
    names: &NameArgs,
    cn: Option<&str>,
    algorithm: Option<KeyAlgorithm>,
    printer: &Printer,
) -> anyhow::Result<Material> {
    let mut material = match from {
        Some(path) => {
            let (name, text) = input::read(path)?;
            let text = String::from_utf8(text).with_context(|| format!("{name} is not UTF-8"))?;
            let json = CsrJson::parse(&text).with_context(|| name.clone())?;
            json.check_for_request().with_context(|| name)?;
            Material {
                subject: json.subject().clone(),
                names: json.names().to_vec(),
                algorithm: json.key_algorithm(),
            }
        }
        None => Material {
            subject: match cn {
                Some(cn) if cn.chars().count() > MAX_COMMON_NAME => {
                    let problem = format!(
                        "--cn has {} characters, and at most {MAX_COMMON_NAME} are allowed (RFC 5280, ub-common-name)",
                        cn.chars().count()
                    );
                    if names.sans().is_empty() {
                        return Err(
                            UsageError(format!("{problem}: use --host or --service")).into()
                        );
                    }
                    printer.warning(&format!(
                        "{problem}: it is left out, since the other names carry the identity"
                    ));
                    DistinguishedName::empty()
                }
                Some(cn) => DistinguishedName::common_name_only(cn),
                None => DistinguishedName::empty(),
            },
            names: Vec::new(),
            algorithm: algorithm.unwrap_or_default(),
        },
    };
    for name in names.sans() {
        if !material.names.contains(&name) {
            material.names.push(name);
        }
    }
    if material.names.is_empty() && material.subject.is_empty() {
        return Err(UsageError(
            "for which names? Give --service NAME.NAMESPACE, --host HOST, or --from CSR.json"
                .to_owned(),
        )
        .into());
    }
    check_size(&material.names)?;
    Ok(material)
}

pub(super) fn run(args: &Genkey, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let material = material(
        args.from.as_ref(),
        &args.names,
        args.cn.as_deref(),
        args.algorithm,
        printer,
    )?;
    if args.name.is_empty() || args.name.contains('/') {
        return Err(UsageError(
            "--name is the beginning of a file name; the directory is --out-dir".to_owned(),
        )
        .into());
    }
    let key_path = args.out_dir.join(format!("{}-key.pem", args.name));
    let csr_path = args.out_dir.join(format!("{}.csr", args.name));
    for path in [&key_path, &csr_path] {
        if !args.force && path.symlink_metadata().is_ok() {
            bail!(
                "{} exists, and is not overwritten without --force: choose another --name or --out-dir",
                path.display()
            );
        }
    }
    let key = PrivateKey::generate(material.algorithm)?;
    let csr = create_csr(&material.subject, &material.names, &key)?;
    if material.names.is_empty() {
        printer.warning("the request has no subject alternative name: clients ignore the common name (Go since 1.15); add --host or --service");
    }
    std::fs::create_dir_all(&args.out_dir)
        .with_context(|| format!("could not make {}", args.out_dir.display()))?;
    let write = if args.force {
        secret_file::write_replace
    } else {
        secret_file::write_new
    };
    let pem = key.to_pem()?;
    write(
        &key_path,
        pem.expose().as_bytes(),
        0o600,
        Durability::Durable,
        "--out-dir",
    )?;
    let written = write(
        &csr_path,
        csr.as_bytes(),
        0o644,
        Durability::Durable,
        "--out-dir",
    );
    if written.is_err() && !args.force {
        // Nobody has this key's request, and it would be in the way of the next attempt.
        let _ = std::fs::remove_file(&key_path);
    }
    written?;
    let names: Vec<_> = material.names.iter().map(ToString::to_string).collect();
    let data = serde_json::json!({
        "key": key_path, "csr": csr_path, "subject": material.subject.to_string(),
        "names": names, "keyAlgorithm": material.algorithm.name(),
    });
    printer.result(&data, || {
        format!(
            "key    {} ({}, mode 0600)\ncsr    {}\nnames  {}\n",
            key_path.display(),
            material.algorithm,
            csr_path.display(),
            names.join(", ")
        )
    })?;
    printer.hint(&format!("next: certtool submit {} --name NAME --signer SIGNER, or certtool sign --csr {0} --ca-dir DIR", csr_path.display()));
    Ok(ExitStatus::Done)
}
