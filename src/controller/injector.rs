//! caBundles: the place of the injector's loop. It runs beside the signer, by the section
//! `injection` of the configuration, writes through the same gate and reports the same way.

use tracing::warn;

use super::config::Injection;
use super::signer::Context;

/// Injects until the configuration changes or the process ends.
pub(super) async fn run(_context: &Context, injection: &Injection) {
    if *injection != Injection::default() {
        warn!("the section injection of the configuration has no effect in this version");
    }
    std::future::pending::<()>().await;
}
