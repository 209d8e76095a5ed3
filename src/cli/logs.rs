//! Logs of long-running commands: structured, on stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use super::Printer;

/// Sends what is traced to stderr, in the form that `--log-format` asks for.
pub(super) fn start(printer: &Printer) {
    let filter = match printer.verbosity() {
        // The crates below say what certtool says too, with less of it.
        0 => "warn,kube_client=off,kube_runtime=off",
        1 => "warn,kube_client=off,kube_runtime=off,certtool=info",
        2 => "warn,kube_client=off,kube_runtime=off,certtool=debug",
        3 => "info,certtool=trace",
        _ => "debug,certtool=trace",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_target(false)
        .with_ansi(printer.colors_messages())
        .with_writer(io::stderr);
    // An error means that something traces already, which is as good.
    let _ = if printer.writes_json_messages() {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
}
