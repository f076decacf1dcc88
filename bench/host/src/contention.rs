//! What a writer costs those who read: a store that is read on one thread while the watch of its
//! informer brings updates on another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::stream;
use tokio::time::MissedTickBehavior;
use wheelhouse_cache::{
    BoxFuture, Event, EventStream, Failure, Informer, ListPage, ListRequest, ListWatch, WatchRequest,
};
use wheelhouse_core::Object;
use wheelhouse_core::encoding::EncodeOptions;

use crate::report::{Row, Unit};
use crate::samples::Samples;
use crate::world::{NODE, Pods, informer_of, pod_json, pod_key};

/// Updates a second.
const RATE: u64 = 10_000;
/// How long one phase lasts: first at rest, then beside the writer, and so on in turn.
const PHASE: Duration = Duration::from_millis(500);
const PHASES: usize = 6;

/// Lists Pods, and while it is told to, changes one after another.
#[derive(Clone)]
struct Busy {
    pods: Pods,
    writes: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
}

/// The Pod with this number, changed for the nth time: another node, so that indexes change, too.
fn changed(number: usize, pods: usize, n: u64) -> Option<Object> {
    let version = format!(r#""resourceVersion":"{}""#, 1_000_000 + n);
    let json = pod_json(number + n as usize % 7, pods);
    let name = format!(r#""name":"pod-{number:06}""#);
    let json = json.replacen(&format!(r#""name":"pod-{:06}""#, number + n as usize % 7), &name, 1);
    let start = json.find(r#""resourceVersion":""#)?;
    let end = start + 19 + json.get(start + 19..)?.find('"')? + 1;
    let json = format!("{}{version}{}", json.get(..start)?, json.get(end..)?);
    Object::from_json(json.as_bytes(), &EncodeOptions::default()).ok()
}

impl ListWatch for Busy {
    fn list<'a>(&'a self, request: ListRequest<'a>) -> BoxFuture<'a, Result<ListPage, Failure>> {
        self.pods.list(request)
    }

    fn watch<'a>(&'a self, _: WatchRequest<'a>) -> BoxFuture<'a, Result<EventStream, Failure>> {
        const BATCH: u64 = 10;
        let mut timer = tokio::time::interval(Duration::from_micros(BATCH * 1_000_000 / RATE));
        timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (pods, writes, written) = (self.pods.0, Arc::clone(&self.writes), Arc::clone(&self.written));
        let events = stream::unfold((timer, 0_u64), move |(mut timer, due)| {
            let (writes, written) = (Arc::clone(&writes), Arc::clone(&written));
            async move {
                let mut due = due;
                loop {
                    if due > 0 && writes.load(Ordering::Relaxed) {
                        let n = written.fetch_add(1, Ordering::Relaxed);
                        // A stride that hits all of them, in no order that a cache would like.
                        let number = (n as usize).wrapping_mul(7_919) % pods;
                        let object = changed(number, pods, n)?;
                        return Some((Ok(Event::Modified(object)), (timer, due - 1)));
                    }
                    timer.tick().await;
                    due = BATCH;
                }
            }
        });
        Box::pin(async { Ok(Box::pin(events) as EventStream) })
    }
}

/// Gets, timed, until the phase is over.
fn read(informer: &Informer, pods: usize, samples: &mut Samples) {
    let began = Instant::now();
    let mut number = 0_usize;
    while began.elapsed() < PHASE {
        let keys: Vec<_> = (0..100).map(|n| pod_key((number + n * 613) % pods)).collect();
        samples.time(keys.len(), |time| keys.get(time).and_then(|key| informer.store().get(key)));
        number += 1_009;
    }
}

/// Gets at rest and beside a writer.
pub(crate) fn measure(pods: usize) -> Result<Vec<Row>> {
    let (writes, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let busy = Busy { pods: Pods(pods), writes: Arc::clone(&writes), written: Arc::clone(&written) };
    let (send, receive) = std::sync::mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let watch = thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let informer = informer_of(busy).await?;
            informer.wait_synced().await;
            let _ = send.send(informer);
            let _ = ended.await;
            Ok(())
        })
    });
    let informer = receive.recv().context("the informer did not sync")?;
    let (mut at_rest, mut beside) = (Samples::default(), Samples::default());
    let mut busy_for = Duration::ZERO;
    read(&informer, pods, &mut Samples::default());
    for _ in 0..PHASES {
        read(&informer, pods, &mut at_rest);
        writes.store(true, Ordering::Relaxed);
        let began = Instant::now();
        read(&informer, pods, &mut beside);
        busy_for += began.elapsed();
        writes.store(false, Ordering::Relaxed);
    }
    let entries = informer.store().snapshot().index_sizes();
    anyhow::ensure!(entries.iter().any(|(name, n)| &**name == NODE && *n == pods), "the index is wrong");
    drop(informer);
    let _ = end.send(());
    watch.join().map_err(|_| anyhow::anyhow!("the watch panicked"))??;

    let rate = written.load(Ordering::Relaxed) as f64 / busy_for.as_secs_f64();
    let row = |name: String, samples: &Samples, other: &Samples| {
        Row::once(name, Unit::Nanoseconds, samples.p99()).within_times(3.0, "at rest", other.p99())
    };
    Ok(vec![
        Row::times("a get, at rest", &at_rest),
        Row::times(format!("a get, beside {rate:.0} updates/s"), &beside).beside("at rest", &at_rest),
        Row::once("p99 of a get, at rest", Unit::Nanoseconds, at_rest.p99()),
        row(format!("p99 of a get, beside {rate:.0} updates/s"), &beside, &at_rest),
    ])
}
