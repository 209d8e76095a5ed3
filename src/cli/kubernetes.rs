//! How to reach the cluster: kubectl's own flags.

use std::path::PathBuf;

use clap::Args;

/// Kubernetes access as kubectl has it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kubernetes access")]
pub(super) struct KubernetesArgs {
    /// The kubeconfig file [default: $KUBECONFIG, ~/.kube/config, in-cluster]
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME", global = true)]
    pub(super) context: Option<String>,
    /// The namespace [default: the context's]
    #[arg(short, long, value_name = "NAME", global = true)]
    pub(super) namespace: Option<String>,
    /// The user to impersonate
    #[arg(long = "as", value_name = "USER", global = true)]
    pub(super) impersonate: Option<String>,
}

impl KubernetesArgs {
    pub(super) fn access(&self) -> crate::cluster::Access {
        crate::cluster::Access {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            impersonate: self.impersonate.clone(),
        }
    }
}
