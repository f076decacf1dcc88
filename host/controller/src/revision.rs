//! A revision at work: the tasks that feed the queue, and those that empty it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use wheelhouse_cache::{Delta, Informer, Subscription};
use wheelhouse_core::outcome::Request;
use wheelhouse_core::spec::{Mapping, Source};
use wheelhouse_core::{Key, Outcome};
use wheelhouse_queue::{Priority, Work, WorkQueue};
use wheelhouse_sandbox::{CallError, Event, Revision};

use crate::mapping::{Target, concerns, selects};
use crate::metrics::{PluginMetrics, ResultLabel};
use crate::prepare::Prepared;

/// However often a plugin wants to be asked again of everything, it is no more often than this.
const SHORTEST_RESYNC: Duration = Duration::from_secs(1);

/// What a source's events lead to.
#[derive(Clone)]
enum Role {
    /// The object itself.
    Reconciled,
    /// Its controller.
    Owned,
    /// What the mapping says, of the watch with this name.
    Watched(String, Mapping),
}

/// A revision at work. It begins by listening; then its sources and its workers are started.
pub(crate) struct Running {
    pub(crate) prepared: Prepared,
    queue: WorkQueue<Key>,
    metrics: Arc<PluginMetrics>,
    /// Until they are started.
    pumps: Vec<(Pump, Subscription)>,
    sources: JoinSet<()>,
    workers: JoinSet<()>,
    retired: watch::Sender<bool>,
}

impl Running {
    /// Listens: whatever changes from now on will be requested once the sources are started.
    pub(crate) fn listen(prepared: Prepared, queue: WorkQueue<Key>, metrics: Arc<PluginMetrics>) -> Self {
        let spec = Arc::clone(prepared.spec());
        let retired = watch::Sender::new(false);
        let target = Arc::new(Target { kind: spec.reconciles.kind.clone(), namespaced: prepared.namespaced });
        let of_kind = |kind| prepared.informers.get(kind).map(Vec::as_slice).unwrap_or_default();
        let reconciled = std::iter::once((&spec.reconciles, Role::Reconciled));
        let owned = spec.owns.iter().map(|source| (source, Role::Owned));
        let watched =
            spec.watches.iter().map(|w| (&w.source, Role::Watched(w.name.clone(), w.mapping.clone())));
        let mut pumps = Vec::new();
        for (source, role) in reconciled.chain(owned).chain(watched) {
            for informer in of_kind(&source.kind) {
                let mut subscription = informer.subscribe();
                if let (Role::Reconciled, Some(period)) = (&role, spec.options.resync) {
                    subscription = subscription.resync_every(period.max(SHORTEST_RESYNC));
                }
                let pump = Pump {
                    source: source.clone(),
                    role: role.clone(),
                    target: Arc::clone(&target),
                    revision: Arc::clone(&prepared.revision),
                    reconciled: of_kind(&spec.reconciles.kind).to_vec(),
                    queue: queue.clone(),
                    seen: watch::Sender::new(false),
                    retired: retired.subscribe(),
                };
                pumps.push((pump, subscription));
            }
        }
        let (sources, workers) = (JoinSet::new(), JoinSet::new());
        Self { prepared, queue, metrics, pumps, sources, workers, retired }
    }

    /// Starts to request objects: first those that exist, then whatever changes.
    pub(crate) fn start_sources(&mut self) -> Started {
        let mut initial = Vec::new();
        for (pump, subscription) in self.pumps.drain(..) {
            initial.push(pump.seen.subscribe());
            self.sources.spawn(pump.run(subscription));
        }
        Started(initial)
    }

    /// Starts to reconcile.
    pub(crate) fn start_workers(&mut self) {
        let revision = &self.prepared.revision;
        let workers = revision.spec().options.concurrency.clamp(1, revision.limits().concurrency.max(1));
        for _ in 0..workers {
            let (revision, queue, metrics) =
                (Arc::clone(revision), self.queue.clone(), Arc::clone(&self.metrics));
            let mut retired = self.retired.subscribe();
            self.workers.spawn(async move {
                loop {
                    let work = tokio::select! {
                        biased;
                        _ = retired.wait_for(|retired| *retired) => return,
                        work = queue.next() => work,
                    };
                    let Some(work) = work else { return };
                    if *retired.borrow() {
                        // It was taken at the very moment of the switch: it is the next revision's.
                        queue.add(work.key().clone(), Priority::High);
                        work.done();
                        return;
                    }
                    reconcile(&revision, &metrics, work).await;
                }
            });
        }
    }

    /// Takes nothing more from the queue. What runs goes on, and the changes that have been seen so far
    /// are still requested.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
    }

    /// Lets what runs end; what does not within the grace is stopped, and its key requested again.
    /// Whether all of it ended.
    pub(crate) async fn drain(mut self, grace: Duration) -> bool {
        self.retire();
        let all = async {
            while self.sources.join_next().await.is_some() {}
            while self.workers.join_next().await.is_some() {}
        };
        let drained = tokio::time::timeout(grace, all).await.is_ok();
        self.workers.shutdown().await;
        self.sources.shutdown().await;
        drained
    }
}

/// Tells when all objects that existed have been requested.
pub(crate) struct Started(Vec<watch::Receiver<bool>>);

impl Started {
    pub(crate) async fn wait(self) {
        for mut seen in self.0 {
            // An error is a task that has ended: nothing more will come of it.
            let _ = seen.wait_for(|seen| *seen).await;
        }
    }
}

/// Turns one subscription's deltas into requests.
struct Pump {
    source: Source,
    role: Role,
    target: Arc<Target>,
    revision: Arc<Revision>,
    /// Of the reconciled kind.
    reconciled: Vec<Informer>,
    queue: WorkQueue<Key>,
    /// Set once the initial objects have been requested.
    seen: watch::Sender<bool>,
    retired: watch::Receiver<bool>,
}

impl Pump {
    async fn run(mut self, mut subscription: Subscription) {
        loop {
            if subscription.initial_done() {
                self.seen.send_replace(true);
            }
            let delta = tokio::select! {
                biased;
                _ = self.retired.wait_for(|retired| *retired) => break,
                delta = subscription.next() => delta,
            };
            self.request(delta).await;
        }
        // The next revision is told of what is there. What went is told here, or nowhere.
        while let Some(delta) = subscription.try_next() {
            self.request(delta).await;
        }
    }

    async fn request(&self, delta: Delta) {
        if !concerns(&self.source, &delta) {
            return;
        }
        let priority = if delta.cause.is_live() { Priority::High } else { Priority::Low };
        for key in self.keys(delta).await {
            self.queue.add(key, priority);
        }
    }

    async fn keys(&self, delta: Delta) -> Vec<Key> {
        match &self.role {
            Role::Reconciled => vec![delta.key],
            Role::Owned => self.target.owners(&delta),
            Role::Watched(watch, Mapping::Plugin) => self.map(watch, delta).await,
            Role::Watched(_, mapping) => self.target.mapped(mapping, &delta),
        }
    }

    /// Asks the plugin. If it fails to say, any object may be concerned, so all are requested.
    async fn map(&self, watch: &str, delta: Delta) -> Vec<Key> {
        let (kind, object) = (self.source.kind.clone(), delta.key.clone());
        let event = Event { kind, key: delta.key, old: delta.old, new: delta.new };
        match self.revision.map(watch, event).await {
            Ok(keys) => return keys,
            Err(error) => {
                let plugin = self.revision.spec().name.as_str();
                tracing::warn!(plugin, watch, object = %object, "map() failed, so every object is requested: {error}");
            }
        }
        // The informer may be shared with plugins that watch more of the kind.
        let reconciles = &self.revision.spec().reconciles;
        let all = |informer: &Informer| {
            let snapshot = informer.snapshot();
            let known = snapshot.iter().filter(|(key, object)| selects(reconciles, key, object));
            known.map(|(key, _)| Key::clone(key)).collect::<Vec<_>>()
        };
        self.reconciled.iter().flat_map(all).collect()
    }
}

/// In every log line of a reconcile: unique within this process.
fn reconcile_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:08x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn reconcile(revision: &Revision, metrics: &PluginMetrics, work: Work<Key>) {
    let (plugin, id) = (revision.spec().name.as_str(), reconcile_id());
    let key = work.key().clone();
    let attempt = work.attempt();
    metrics.queued.observe(work.waited().as_secs_f64());
    metrics.active.inc();
    let begun = Instant::now();
    let called = revision.reconcile(Request { key: key.clone(), reconcile_id: id.clone(), attempt }).await;
    metrics.seconds.observe(begun.elapsed().as_secs_f64());
    metrics.active.dec();
    let result = match called {
        Ok(Outcome::Done) => {
            tracing::debug!(plugin, object = %key, reconcile_id = id, "reconciled");
            work.done();
            "success"
        }
        Ok(Outcome::RequeueAfter(after)) => {
            tracing::debug!(plugin, object = %key, reconcile_id = id, "reconciled; again in {after:?}");
            work.requeue_after(after);
            "requeue_after"
        }
        Ok(Outcome::Transient(error)) => {
            tracing::warn!(plugin, object = %key, reconcile_id = id, attempt, "failed, will be retried: {error}");
            work.retry();
            "error"
        }
        Ok(Outcome::Terminal(error)) => {
            tracing::warn!(plugin, object = %key, reconcile_id = id, attempt, "failed, not retried until it changes: {error}");
            work.give_up();
            "terminal_error"
        }
        Err(error) => {
            let backtrace = match &error {
                CallError::Trap { backtrace, .. } => backtrace.as_str(),
                _ => "",
            };
            tracing::error!(plugin, object = %key, reconcile_id = id, attempt, backtrace, "{error}");
            work.retry();
            match error {
                CallError::Trap { .. } => "trap",
                CallError::Timeout(..) => "timeout",
                CallError::Instance(_) => "error",
            }
        }
    };
    if !matches!(result, "success" | "requeue_after") {
        metrics.errors.inc();
    }
    metrics.reconciles.get_or_create(&ResultLabel { result }).inc();
}
