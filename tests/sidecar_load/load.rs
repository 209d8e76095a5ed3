//! Requests at a steady rate, and what became of them.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http::Request;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};

use crate::support::Usage;

/// An answer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many are under way at most: a machine that is busy otherwise gets fewer, not a heap of them.
const AT_ONCE: usize = 48;
/// Admission requests a second that are to be stood, of the 220 that are offered.
pub const RATE: u32 = 200;

/// Requests under way; the sum of them when it is stopped.
pub struct Load {
    tally: Arc<Tally>,
    started: Instant,
    usage: Usage,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Tally {
    admitted: AtomicU64,
    /// The API server itself was away: no webhook was asked.
    unreachable: Mutex<Vec<String>>,
    failures: Mutex<Vec<String>>,
}

/// What became of the requests.
#[derive(Debug)]
pub struct Sum {
    pub admitted: u64,
    pub unreachable: Vec<String>,
    pub failures: Vec<String>,
    pub seconds: f64,
    /// The share of the processors' time that this test took, with all that it started.
    pub own: f64,
    /// And others.
    pub others: f64,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests in {:.0} s ({:.0} admission requests a second by {:.0} % of the machine; others used {:.0} %), {} failed",
            self.admitted,
            self.seconds,
            self.admissions_a_second(),
            self.own * 100.0,
            self.others * 100.0,
            self.failures.len()
        )
    }
}

impl Sum {
    /// Each creation is two: it is defaulted and validated. Conversions come on top.
    pub fn admissions_a_second(&self) -> f64 {
        (self.admitted * 2) as f64 / self.seconds
    }

    /// No request failed, and each call had a handshake of its own: an old connection would hide a
    /// failure.
    #[track_caller]
    pub fn assert_all_admitted(&self, handshakes: u64) {
        assert!(
            self.failures.is_empty(),
            "{self}\n{}",
            self.failures.join("\n")
        );
        let unreachable = self.unreachable.join("\n");
        assert!(unreachable.is_empty(), "{self}\n{unreachable}");
        assert!(
            handshakes >= self.admitted * 2,
            "{handshakes} handshakes, {self}"
        );
    }

    /// As many admission requests a second over the whole run, of which the load makes up for what
    /// is late. The API server, the operators, the sidecars and the load share this machine with
    /// whatever else runs on it. A lower rate is forgiven only as far as others took the processors
    /// away: by twice their share, since what has to wait for its turn and finds cold caches needs
    /// more time for the same. Where there was no time left at all, half is enough: two slower
    /// processors have no more to give.
    #[track_caller]
    pub fn assert_rate(&self, least: u32) {
        // Something runs on every machine.
        let taken = if self.others < 0.05 {
            0.0
        } else {
            self.others * 2.0
        };
        let offered = (rate() * 2) as f64;
        let least = f64::from(least).min(offered * 0.9) * (1.0 - taken).max(0.0);
        let is_saturated = self.own + self.others > 0.95;
        let least = if is_saturated { least / 2.0 } else { least };
        assert!(
            self.admissions_a_second() >= least,
            "less than {least:.0}: {self}"
        );
    }
}

/// `CERTTOOL_LOAD_RATE`: requests a second, each of which is two admission requests.
pub fn rate() -> u64 {
    let given = std::env::var("CERTTOOL_LOAD_RATE").ok();
    given.map_or(110, |text| text.parse().unwrap())
}

/// At least so long; `CERTTOOL_LOAD_SECONDS` instead, if that is longer.
pub fn at_least(seconds: u64) -> Duration {
    let given = std::env::var("CERTTOOL_LOAD_SECONDS").ok();
    let given = given.map_or(0, |text| text.parse().unwrap());
    Duration::from_secs(seconds.max(given))
}

impl Load {
    /// Dry-run creations of Widgets, which the mutating and the validating webhook see, every
    /// fourth one in the version that is converted.
    pub fn start(kubeconfig: &Path) -> Self {
        Self::converting(kubeconfig, 4)
    }

    /// The same with so many creations for one that is converted: that is five calls more.
    pub fn converting(kubeconfig: &Path, one_in: u32) -> Self {
        let tally = Arc::new(Tally::default());
        let (stop, stopped) = oneshot::channel();
        let (told, path) = (Arc::clone(&tally), kubeconfig.to_owned());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = run(&path, &told, one_in) => {}
                    _ = stopped => {}
                }
                // Those under way still count.
                let deadline = Instant::now() + PATIENCE;
                while Arc::strong_count(&told) > 2 && Instant::now() < deadline {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        });
        Self {
            tally,
            started: Instant::now(),
            usage: Usage::now(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// How many were admitted up to now.
    pub fn admitted(&self) -> u64 {
        self.tally.admitted.load(Ordering::Relaxed)
    }

    /// Panics at the first request that failed.
    #[track_caller]
    pub fn assert_none_failed(&self) {
        let failures = self.tally.failures.lock().unwrap().clone();
        let first: Vec<_> = failures.iter().take(20).map(String::as_str).collect();
        assert!(
            failures.is_empty(),
            "{} of {} failed:\n{}",
            failures.len(),
            self.admitted() + failures.len() as u64,
            first.join("\n")
        );
    }

    pub fn stop(mut self) -> Sum {
        let (elapsed, (own, others)) = (self.started.elapsed(), self.usage.since());
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
        let failures = std::mem::take(&mut *self.tally.failures.lock().unwrap());
        Sum {
            admitted: self.tally.admitted.load(Ordering::Relaxed),
            unreachable: std::mem::take(&mut *self.tally.unreachable.lock().unwrap()),
            failures,
            seconds: elapsed.as_secs_f64(),
            own,
            others,
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(kubeconfig: &Path, tally: &Arc<Tally>, one_in: u32) {
    crate::support::install_crypto_provider();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    let started = Instant::now();
    let gap = Duration::from_secs(1) / u32::try_from(rate()).unwrap();
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    // One that is late is made up for: the rate is that of the whole.
    for number in 0_u32.. {
        tokio::time::sleep_until((started + gap * number).into()).await;
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let (client, tally) = (client.clone(), Arc::clone(tally));
        tokio::spawn(async move {
            let began = started.elapsed();
            let asked = ask(&client, number.is_multiple_of(one_in));
            let asked = tokio::time::timeout(PATIENCE, asked).await;
            match asked {
                Ok(Answer::Admitted) => {
                    tally.admitted.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Answer::Unreachable(why)) => note(&tally.unreachable, number, began, &why),
                Ok(Answer::Failed(why)) => note(&tally.failures, number, began, &why),
                Err(_) => note(&tally.failures, number, began, "no answer"),
            }
            drop(slot);
        });
    }
}

fn note(list: &Mutex<Vec<String>>, number: u32, began: Duration, why: &str) {
    let line = format!("request {number} after {:.1} s: {why}", began.as_secs_f64());
    list.lock().unwrap().push(line);
}

enum Answer {
    Admitted,
    Unreachable(String),
    Failed(String),
}

async fn ask(client: &Client, converted: bool) -> Answer {
    let (version, spec) = match converted {
        true => ("v1beta1", json!({ "size": "5x6" })),
        false => ("v1", json!({ "width": 3, "height": 4 })),
    };
    let widget = json!({
        "apiVersion": format!("example.certtool.dev/{version}"),
        "kind": "Widget",
        "metadata": { "generateName": "load-", "namespace": "default" },
        "spec": spec,
    });
    let path =
        format!("/apis/example.certtool.dev/{version}/namespaces/default/widgets?dryRun=All");
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&widget).unwrap())
        .unwrap();
    match client.request::<Value>(request).await {
        // The color is what the webhook adds: one that was not asked shows, too.
        Ok(made) if made["spec"]["color"] == "grey" => Answer::Admitted,
        Ok(made) => Answer::Failed(format!("passed by the webhook: {made}")),
        // No API server, or one that is on its way up and does not know all it serves yet.
        Err(error @ (kube::Error::Service(_) | kube::Error::HyperError(_))) => {
            Answer::Unreachable(error.to_string())
        }
        Err(kube::Error::Api(status))
            if status.message.contains("not yet ready to handle request")
                || [404, 429, 503].contains(&status.code)
                    && !status.message.contains("webhook") =>
        {
            Answer::Unreachable(status.message)
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}
