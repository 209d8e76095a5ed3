//! A CA in a Secret: made, brought from files, or put in the place of one that is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, bail};
use time::OffsetDateTime;

use super::{Init, make, show};
use crate::authority::{CaState, Changes, still_trusted};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Printer, input, runtime};
use crate::cluster::{Cluster, Mode, SecretData, SecretName, Written};
use crate::pki::Authority;

pub(super) fn run(
    args: &Init,
    secret: &SecretName,
    now: OffsetDateTime,
    kubernetes: &KubernetesArgs,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let authority = match (&args.ca, &args.ca_key) {
        (Some(cert), Some(key)) => {
            let (cert_name, cert) = input::read(cert)?;
            let (key_name, key) = input::read(key)?;
            let authority = Authority::from_pem(&cert, &cert_name, &key, &key_name)?;
            authority.check_valid_at(now)?;
            Some(authority)
        }
        _ => None,
    };
    // Options are checked before the cluster is asked.
    let order = args.grant(now)?;
    runtime::interruptible(async {
        let cluster = Cluster::connect(&kubernetes.access()).await?;
        let there = cluster.get_secret(secret).await?;
        if let Some(data) = &there {
            check_replaceable(args, secret, data)?;
        }
        let authority = match authority {
            Some(authority) => authority,
            None => make(&order.0, order.1)?,
        };
        let authority = Arc::new(authority);
        let old = there.as_ref().map(|there| still_trusted(&there.data));
        let old = old.unwrap_or_default();
        let state = CaState::repaired(Arc::clone(&authority), old, now);
        let mode = args.dry_run.mode();
        if mode != Mode::Plan {
            write(&cluster, secret, there.as_ref(), &state, mode).await?;
        }
        if there.is_some() {
            warn(secret, &state, printer);
        }
        show(&authority, &format!("Secret {secret}"), mode, printer)
    })
}

fn check_replaceable(args: &Init, secret: &SecretName, data: &SecretData) -> anyhow::Result<()> {
    if !args.replace {
        bail!(
            "there is a Secret {secret} already, and it is never overwritten: choose another name, or look at it with `certtool ca show --secret {secret}`; --replace repairs one whose CA is lost or damaged"
        );
    }
    if let Some(certificate) = data.annotations.get("cert-manager.io/certificate-name") {
        bail!(
            "cert-manager keeps the Secret {secret}, for the Certificate {certificate}, and would put its own CA back: repair it there"
        );
    }
    Ok(())
}

async fn write(
    cluster: &Cluster,
    secret: &SecretName,
    there: Option<&SecretData>,
    state: &CaState,
    mode: Mode,
) -> anyhow::Result<()> {
    let dry_run = mode == Mode::Check;
    let nothing = BTreeMap::new();
    let annotations = there
        .map_or(&BTreeMap::new(), |data| &data.annotations)
        .clone();
    let data = there.map_or(&nothing, |data| &data.data);
    let changes = Changes::to(state, None, data, &annotations)?;
    let written = match there {
        Some(data) => {
            let update = cluster.update_ca_secret(secret, data, &changes, dry_run);
            update.await.with_context(|| format!("Secret {secret}"))?
        }
        None => cluster.create_ca_secret(secret, &changes, dry_run).await?,
    };
    match written {
        Written::Done(_) => Ok(()),
        Written::Outrun => bail!(
            "somebody else made or changed the Secret {secret} at the same time; look at it with `certtool ca show --secret {secret}`"
        ),
    }
}

fn warn(secret: &SecretName, state: &CaState, printer: &Printer) {
    let trusted = match state.retired.as_slice() {
        [] => "nothing could be read of the CA before, so that certificates of it are trusted only where objects still hold it".to_owned(),
        retired => {
            let names: Vec<_> = retired
                .iter()
                .map(|retired| retired.certificate.subject.to_string())
                .collect();
            format!("{} stays trusted until it ends, and signs no more", names.join(" and "))
        }
    };
    printer.warning(&format!(
        "the CA in Secret {secret} is another one now: {trusted}. Every certificate has to be issued anew; a controller or sidecar does that once the new CA is trusted everywhere"
    ));
}
