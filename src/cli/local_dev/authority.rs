//! The CA that signs for this machine: an existing one, or a local one made once.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use time::{Duration, OffsetDateTime};

use crate::cli::{UsageError, instant};
use crate::pki::{
    Authority, CaSpec, DistinguishedName, KeyAlgorithm, Lifetime, NameConstraints, PrivateKey,
    Serial,
};
use crate::random_serial;
use crate::store::locations::Locations;
use crate::store::{CaDir, CaFiles, secret_file};

/// Which CA signs.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct CaArgs {
    /// Directory of the local CA (ca.crt, ca.key), made if missing [default: the user's data directory]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ca", "ca_key"])]
    ca_dir: Option<PathBuf>,
    /// Certificate of an existing CA, such as a kubeadm cluster's own; its chain may follow it
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    ca: Option<PathBuf>,
    /// Private key of the existing CA
    #[arg(long, value_name = "FILE", requires = "ca")]
    ca_key: Option<PathBuf>,
}

/// An authority and where it came from.
#[derive(Debug)]
pub(in crate::cli) struct LocalAuthority {
    pub(in crate::cli) authority: Authority,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// What was made just now, in a sentence.
    pub(in crate::cli) made: Option<String>,
    /// The key's mode, if others than its owner can read it.
    pub(super) open_mode: Option<u32>,
}

/// The life of a local CA: as long as the machine is likely to be used.
const LIFE: Duration = Duration::days(3650);

impl CaArgs {
    /// The authority; made if the CA directory has none.
    pub(super) fn load(
        &self,
        locations: &Locations,
        now: OffsetDateTime,
    ) -> anyhow::Result<LocalAuthority> {
        match (&self.ca, &self.ca_key) {
            (Some(certificate), Some(key)) => {
                let found = load_files(certificate.clone(), key.clone())?;
                check_dates(&found, now)
                    .map_err(|error| anyhow!("{error}; name another CA with --ca and --ca-key"))?;
                Ok(found)
            }
            (None, None) => {
                let dir = match &self.ca_dir {
                    Some(dir) => dir.clone(),
                    None => locations.local_ca()?,
                };
                load_or_make(&CaDir::new(dir).chosen_by("--ca-dir"), now)
            }
            _ => Err(UsageError("--ca and --ca-key belong together".to_owned()).into()),
        }
    }
}

/// Whether the CA and all that certifies it are valid now: peers look at all of it.
fn check_dates(found: &LocalAuthority, now: OffsetDateTime) -> anyhow::Result<()> {
    let Some(certificate) = found.authority.chain().find(|ca| !ca.is_valid_at(now)) else {
        return Ok(());
    };
    let validity = certificate.validity;
    let problem = if now < validity.not_before {
        format!("is not valid before {}", instant(validity.not_before))
    } else {
        format!("expired on {}", instant(validity.not_after))
    };
    bail!(
        "{}: the CA certificate {} {problem}",
        found.certificate.display(),
        certificate.subject
    )
}

impl CaArgs {
    /// The authority as [`CaArgs::load`] would find it, or one like that which it would make,
    /// with nothing written.
    pub(super) fn preview(
        &self,
        locations: &Locations,
        now: OffsetDateTime,
    ) -> anyhow::Result<Authority> {
        if self.ca.is_none() {
            let path = match &self.ca_dir {
                Some(dir) => dir.clone(),
                None => locations.local_ca()?,
            };
            if !CaDir::new(path).chosen_by("--ca-dir").read()?.is_complete() {
                return self_signed(PrivateKey::generate(KeyAlgorithm::EcdsaP256)?, now);
            }
        }
        Ok(self.load(locations, now)?.authority)
    }
}

fn load_files(certificate: PathBuf, key: PathBuf) -> anyhow::Result<LocalAuthority> {
    let read = |path: &PathBuf, flag| -> anyhow::Result<Vec<u8>> {
        secret_file::read(path, flag)?.with_context(|| {
            format!(
                "{}: no such file; {flag} names the CA's file",
                path.display()
            )
        })
    };
    let files = CaFiles {
        cert: Some(read(&certificate, "--ca")?),
        key: Some(read(&key, "--ca-key")?),
    };
    let authority = parse(&files, &certificate, &key)?;
    Ok(LocalAuthority {
        authority,
        certificate,
        key,
        made: None,
        open_mode: None,
    })
}

/// The CA in a directory, made if there is none.
pub(in crate::cli) fn load_or_make(
    dir: &CaDir,
    now: OffsetDateTime,
) -> anyhow::Result<LocalAuthority> {
    let (certificate, key) = (dir.cert_path(), dir.key_path());
    let files = dir.read()?;
    let move_away = format!(
        "move {} and {} away and run again to make a new CA",
        certificate.display(),
        key.display()
    );
    let advise = |error: anyhow::Error| anyhow!("{error:#}; restore it, or {move_away}");
    if files.is_complete() {
        let found = LocalAuthority {
            authority: parse(&files, &certificate, &key).map_err(advise)?,
            open_mode: dir.key_permissions_too_open()?,
            made: None,
            certificate: certificate.clone(),
            key: key.clone(),
        };
        check_dates(&found, now).map_err(|error| anyhow!("{error}; {move_away}"))?;
        return Ok(found);
    }
    // Another process may be making it at this moment.
    let guard = dir.lock_exclusive()?;
    let files = guard.read()?;
    let (authority, made) = match (&files.cert, &files.key) {
        (Some(_), Some(_)) => (parse(&files, &certificate, &key).map_err(advise)?, None),
        (None, None) => {
            let made = self_signed(PrivateKey::generate(KeyAlgorithm::EcdsaP256)?, now)?;
            guard.create(
                made.certificate().to_pem().as_bytes(),
                made.key().to_pem()?.expose().as_bytes(),
            )?;
            (
                made,
                Some(format!("created a local CA in {}", dir.path().display())),
            )
        }
        (None, Some(pem)) => {
            let private = PrivateKey::from_pem(pem)
                .with_context(|| format!("could not read the CA key {}", key.display()))
                .map_err(advise)?;
            let made = self_signed(private, now)?;
            guard.add_cert(made.certificate().to_pem().as_bytes())?;
            let note = format!(
                "{} had no certificate: made a new one for it",
                key.display()
            );
            (made, Some(note))
        }
        (Some(_), None) => bail!(
            "{} is there but its key {} is not: restore the key, or move the certificate away \
             and run again to make a new CA",
            certificate.display(),
            key.display()
        ),
    };
    Ok(LocalAuthority {
        authority,
        certificate,
        key,
        made,
        open_mode: None,
    })
}

fn parse(files: &CaFiles, certificate: &Path, key: &Path) -> anyhow::Result<Authority> {
    let (Some(cert_pem), Some(key_pem)) = (&files.cert, &files.key) else {
        bail!("the CA is incomplete");
    };
    let (cert_name, key_name) = (certificate.display(), key.display());
    Ok(Authority::from_pem(
        cert_pem,
        &cert_name.to_string(),
        key_pem,
        &key_name.to_string(),
    )?)
}

fn self_signed(key: PrivateKey, now: OffsetDateTime) -> anyhow::Result<Authority> {
    new_authority("certtool local CA", key, now)
}

/// A CA of this key for ten years.
pub(in crate::cli) fn new_authority(
    name: &str,
    key: PrivateKey,
    now: OffsetDateTime,
) -> anyhow::Result<Authority> {
    let serial = random_serial().context("could not get randomness from the kernel")?;
    let spec = CaSpec {
        subject: DistinguishedName::common_name_only(&common_name(name, serial)),
        validity: Lifetime::of(LIFE).starting(now),
        path_length: Some(0),
        name_constraints: NameConstraints::default(),
    };
    Ok(Authority::self_signed(&spec, key, serial)?)
}

/// Two CAs with one name and different keys give the most puzzling of all errors
/// ("possibly because of ECDSA verification failure"): each gets a name of its own.
fn common_name(name: &str, serial: Serial) -> String {
    let mut number = serial.to_string();
    number.truncate(8);
    format!("{name} {number}")
}
