//! The configuration's file, followed while the controller runs.
//!
//! The directory is watched and not the file, since the kubelet swaps a link in it; and the
//! file is read now and then all the same, since notifications can be missed. A change that
//! is refused is reported, once, and the configuration in force stays.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::config::Config;
use super::metrics::Metrics;
use super::reporter::Reporter;
use crate::cluster::Event;

/// How often the file is read without a notification.
const LOOK: Duration = Duration::from_secs(10);
/// A change of several files is over by then.
const SETTLED: Duration = Duration::from_millis(100);

/// Sends each accepted configuration; `text` is that of the first. Never ends.
pub(super) async fn follow(
    path: &Path,
    text: String,
    configs: &watch::Sender<Arc<Config>>,
    metrics: &Metrics,
    reporter: &Reporter,
) {
    metrics.reload(true);
    let (sender, mut notified) = mpsc::channel(1);
    let _watcher = watch_directory(path, sender.clone())
        .inspect_err(|error| {
            warn!(
                "changes of {} are noticed within {LOOK:?} only: {error}",
                path.display()
            );
        })
        .ok();
    let mut seen = Ok(text);
    loop {
        tokio::select! {
            _ = notified.recv() => tokio::time::sleep(SETTLED).await,
            () = tokio::time::sleep(LOOK) => {}
        }
        // Notifications since then are about the same change.
        while notified.try_recv().is_ok() {}
        let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
        if read == seen {
            continue;
        }
        let config = match &read {
            Ok(text) => Config::from_yaml(text).map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        seen = read;
        match config {
            Ok(config) => {
                metrics.reload(true);
                info!("{} changed: taken over", path.display());
                configs.send_if_modified(|current| {
                    let differs = **current != config;
                    *current = Arc::new(config);
                    differs
                });
            }
            Err(why) => {
                metrics.reload(false);
                let problem = format!(
                    "{} changed and is refused, the configuration before it stays in force: {why}",
                    path.display()
                );
                error!("{problem}");
                report(reporter, &problem);
            }
        }
    }
}

fn watch_directory(path: &Path, sender: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let mut watcher = notify::recommended_watcher(move |_| {
        // One that is waiting already says the same.
        let _ = sender.try_send(());
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// An Event on the pod, where the Deployment says which one this is.
fn report(reporter: &Reporter, problem: &str) {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(name), Some(namespace)) = (variable("POD_NAME"), variable("POD_NAMESPACE")) else {
        return;
    };
    reporter.report(Event {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: Some(namespace),
        name,
        uid: variable("POD_UID").unwrap_or_default(),
        warning: true,
        reason: "ConfigurationRefused".to_owned(),
        action: "Reload",
        note: problem.to_owned(),
    });
}
