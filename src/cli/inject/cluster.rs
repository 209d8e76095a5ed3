//! caBundles in the API server.

use super::{Choice, Inject};
use crate::cli::kubernetes::KubernetesArgs;
use crate::cli::{ExitStatus, Printer};

pub(super) fn run(
    _args: &Inject,
    _choice: &Choice,
    _kubernetes: &KubernetesArgs,
    _printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    anyhow::bail!("inject --cluster is not there yet")
}
