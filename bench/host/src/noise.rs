//! What a noisy plugin costs a quiet one.
//!
//! The quiet one is asked to reconcile a thousand times a second, by a clock of its own: a time is from
//! when it was asked to when it has answered. Beside it another plugin does its worst, with the limits
//! that every plugin has. Both are at work as they are in a host: on a runtime with a thread for each
//! processor, sixteen workers of the noisy one. The one that floods its queue has all of a controller, whose
//! queue is full of a thousand Pods that want to be reconciled again at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Dispatch;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use wheelhouse_cache::{Rest, rest};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::trace::TARGET;
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};
use wheelhouse_sandbox::{Sandbox, SandboxConfig};

use crate::hosted;
use crate::report::{Row, Unit};
use crate::samples::Samples;
use crate::world::{Plugin, World};

/// How long one phase lasts: first alone, then beside one kind of noise, then alone, and so on.
const PHASE: Duration = Duration::from_secs(1);
/// The noise is at it for so long before: what the noisy plugin has saved up of its share of the prompt
/// threads, while it was not at it, it uses once.
const BEFORE: Duration = Duration::from_millis(300);
/// Of each the p99 is taken, and the median of those is what counts: whatever else the machine does in one
/// round or another does not.
const ROUNDS: usize = 7;
/// Between two bursts of a plugin that is at it now and then: time to save up its share again.
const REST: Duration = Duration::from_millis(100);
/// Between two requests to the quiet plugin.
const PACE: Duration = Duration::from_millis(1);
/// A plugin's workers, as the host's limits have it.
const WORKERS: usize = 16;
/// What the design allows.
const MUST: f64 = 2.0;

/// What the noisy one does.
struct Kind {
    /// None floods its queue.
    argument: Option<&'static str>,
    name: &'static str,
    /// It ends by itself, and rests between two calls.
    bursts: bool,
}

const fn kind(argument: &'static str, name: &'static str) -> Kind {
    Kind { argument: Some(argument), name, bursts: false }
}

const KINDS: [Kind; 8] = [
    kind("spin", "spinning"),
    kind("allocate", "allocating"),
    Kind { argument: None, name: "flooding the queue", bursts: false },
    kind("list", "listing everything"),
    kind("write", "writing at its quota"),
    kind("log", "logging at its quota"),
    Kind { bursts: true, ..kind("spin 100", "spinning now and then") },
    Kind { bursts: true, ..kind("list 100", "listing everything now and then") },
];

/// Measures all of it, with a store of so many Pods.
pub(crate) fn measure(component: &[u8], pods: usize) -> Result<Vec<Row>> {
    // The API server is another process's in earnest.
    let (send, receive) = std::sync::mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let server = thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let cluster = DevCluster::start(DevClusterConfig::default()).await?;
            let _ = send.send(cluster.url());
            let _ = ended.await;
            cluster.shutdown().await;
            Ok(())
        })
    });
    let url = receive.recv().context("the API server did not start")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let rows = runtime.block_on(measure_beside(component, pods, &url));
    runtime.shutdown_background();
    let _ = end.send(());
    server.join().map_err(|_| anyhow::anyhow!("the API server panicked"))??;
    rows
}

async fn measure_beside(component: &[u8], pods: usize, url: &str) -> Result<Vec<Row>> {
    tracing::dispatcher::set_global_default(log())?;
    let client = rest::connect(kube::Config::new(url.parse()?))?;
    create_config_map(&client).await?;
    let sandbox = Sandbox::new(SandboxConfig::default())?;
    let compiled = sandbox.compile(component.into()).await?;
    let world = World::filled(pods).await?;
    let plugin = async || {
        let plugin = world.plugin_of(&compiled, Limits::default(), Rest::new(client.clone())).await?;
        anyhow::Ok(Arc::new(plugin))
    };
    let quiet = plugin().await?;
    asked(&quiet, PHASE).await?;

    let mut rows = Vec::new();
    for kind in &KINDS {
        let name = kind.name;
        let noisy = plugin().await?;
        let (mut alone, mut beside, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let quietly = asked(&quiet, PHASE).await?.p99();
            let mut workers = JoinSet::new();
            let flooding = match kind.argument {
                Some(argument) => {
                    make_noise(&mut workers, &noisy, argument, kind.bursts);
                    None
                }
                None => Some(hosted::flooding(&sandbox, &compiled, &world, &Limits::default()).await?),
            };
            tokio::time::sleep(BEFORE).await;
            let disturbed = asked(&quiet, PHASE).await?.p99();
            drop(workers);
            if let Some(controller) = flooding {
                let record = controller.record();
                controller.stop(hosted::GRACE).await;
                let floods = record.is_some_and(|record| record.good > world.pods as u64);
                anyhow::ensure!(floods, "it does not flood its queue: {record:?}");
            }
            alone.push(quietly);
            beside.push(disturbed);
            times.push(disturbed / quietly);
            // What is left of it ends.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let alone = median(alone);
        rows.push(Row::once(format!("p99 alone, before {name}"), Unit::Nanoseconds, alone));
        let spread = times
            .iter()
            .copied()
            .fold((f64::MAX, 0.0), |(least, most): (f64, f64), times| (least.min(times), most.max(times)));
        let times = median(times);
        let name = format!("p99 beside one that is {name}: {times:.2} × ({:.1}–{:.1})", spread.0, spread.1);
        let beside = Row::once(name, Unit::Nanoseconds, median(beside));
        rows.push(beside.within_times(MUST, "alone", alone));
    }
    Ok(rows)
}

/// What is logged goes all the way to where it would be written. Spans are made for traces alone, as in a host
/// that has none.
pub(crate) fn log() -> Dispatch {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
    let lines = lines.with_filter(filter_fn(|metadata| metadata.target() != TARGET));
    Registry::default().with(lines).into()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn create_config_map(client: &kube::Client) -> Result<()> {
    let body = serde_json::json!({"metadata": {"name": "noise", "namespace": "default"}});
    let request = http::Request::post("/api/v1/namespaces/default/configmaps")
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&body)?)?;
    client.request_text(request).await?;
    Ok(())
}

/// All workers of the noisy plugin, at it again and again until they are dropped.
fn make_noise(workers: &mut JoinSet<()>, plugin: &Arc<Plugin>, argument: &'static str, bursts: bool) {
    for _ in 0..WORKERS {
        let plugin = Arc::clone(plugin);
        workers.spawn(async move {
            loop {
                // It is stopped again and again; how is not measured here.
                if plugin.worker_turn("noise", argument, !bursts).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if bursts {
                    tokio::time::sleep(REST).await;
                }
            }
        });
    }
}

/// Asks the quiet plugin at its pace, for so long. How long each answer took.
async fn asked(plugin: &Arc<Plugin>, phase: Duration) -> Result<Samples> {
    let (send, mut receive) = mpsc::unbounded_channel::<Instant>();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    #[allow(clippy::disallowed_methods, reason = "a clock's thread waits for its next tick")]
    let clock = thread::spawn(move || {
        let begun = Instant::now();
        let mut next = begun;
        while begun.elapsed() < phase && !stopped.load(Ordering::Relaxed) {
            next += PACE;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if send.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let plugin = Arc::clone(plugin);
    // A task, as a worker is one.
    let worker = tokio::spawn(async move {
        let mut samples = Samples::default();
        let mut number = 0_usize;
        while let Some(asked) = receive.recv().await {
            plugin.run("quiet", number).await?;
            samples.push(asked);
            number += 1;
        }
        anyhow::Ok(samples)
    });
    let samples = worker.await?;
    stop.store(true, Ordering::Relaxed);
    clock.join().map_err(|_| anyhow::anyhow!("the clock panicked"))?;
    samples
}
