//! What a connection is made of, as kubectl finds it: the kubeconfig, or a service account's files.

use std::path::Path;

use kube::config::{Config, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::client::Access;
use super::error::{Error, Result};

/// Reads it anew.
pub(super) async fn configuration(access: &Access) -> Result<Config> {
    let options = KubeConfigOptions {
        context: access.context.clone(),
        ..Default::default()
    };
    if let Some(path) = &access.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(|error| in_file(path, error))?;
        return from_file(file, &options).await;
    }
    match Kubeconfig::read() {
        Ok(file) => from_file(file, &options).await,
        Err(KubeconfigError::FindPath) => Ok(Config::incluster().map_err(|_| Error::NoKubeconfig)?),
        Err(KubeconfigError::ReadConfig(error, path))
            if error.kind() == std::io::ErrorKind::NotFound =>
        {
            // As kubectl: a file that was named must be there, the default need not.
            if std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()) {
                return Err(Error::Kubeconfig(format!(
                    "$KUBECONFIG names {}, which does not exist",
                    path.display()
                )));
            }
            Config::incluster().map_err(|_| Error::NoKubeconfig)
        }
        Err(error) => Err(error.into()),
    }
}

/// Names the file, where kube does not.
fn in_file(path: &Path, error: KubeconfigError) -> Error {
    let path = path.display().to_string();
    match Error::from(error) {
        Error::Kubeconfig(why) if !why.contains(&path) => {
            Error::Kubeconfig(format!("{path}: {why}"))
        }
        error => error,
    }
}

async fn from_file(file: Kubeconfig, options: &KubeConfigOptions) -> Result<Config> {
    let contexts: Vec<String> = file
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect();
    match Config::from_custom_kubeconfig(file, options).await {
        Ok(config) => Ok(config),
        Err(KubeconfigError::LoadContext(name)) => Err(Error::Kubeconfig(format!(
            "it has no context {name:?}; it has {}",
            if contexts.is_empty() {
                "none".to_owned()
            } else {
                contexts.join(", ")
            }
        ))),
        Err(KubeconfigError::CurrentContextNotSet) => Err(Error::Kubeconfig(
            "it has no current-context; choose one with --context".to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}
