//! A revision at work: the tasks that feed the queue, and those that empty it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use wheelhouse_cache::{Delta, Informer, Subscription};
use wheelhouse_core::limits::Limit;
use wheelhouse_core::outcome::Request;
use wheelhouse_core::spec::{Mapping, Source};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Key, Outcome};
use wheelhouse_queue::{Priority, Work, WorkQueue};
use wheelhouse_sandbox::{CallError, Event, Revision};

use crate::mapping::{Target, concerns, selects};
use crate::metrics::{PluginMetrics, ResultLabel};
use crate::prepare::Prepared;
use crate::report::{Failed, Reports};

/// However often a plugin wants to be asked again of everything, it is no more often than this.
const SHORTEST_RESYNC: Duration = Duration::from_secs(1);

/// How long a background thread waits for another key.
const IDLE: Duration = Duration::from_millis(50);
/// Keys that are requested without a break.
const AT_ONCE: usize = 256;
/// How often a full queue is looked at.
const ROOM: Duration = Duration::from_millis(20);

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
                    usage: Arc::clone(&prepared.shared.usage),
                    reports: Arc::clone(&prepared.shared.reports),
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
            let worker = Worker {
                revision: Arc::clone(revision),
                queue: self.queue.clone(),
                metrics: Arc::clone(&self.metrics),
                reports: Arc::clone(&self.prepared.shared.reports),
                retired: self.retired.subscribe(),
            };
            self.workers.spawn(worker.run());
        }
    }

    /// Takes nothing more from the queue. What runs goes on, and the changes that have been seen so far
    /// are still requested.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
    }

    /// Lets what runs end; what does not within the grace, or before it is cut short, is stopped, and its
    /// key requested again. Whether all of it ended, and the revision, which listens no more.
    pub(crate) async fn drain(mut self, grace: Duration, cut: impl Future<Output = ()>) -> (bool, Prepared) {
        self.retire();
        let all = async {
            while self.sources.join_next().await.is_some() {}
            while self.workers.join_next().await.is_some() {}
        };
        let drained = tokio::select! {
            biased;
            () = cut => false,
            drained = tokio::time::timeout(grace, all) => drained.is_ok(),
        };
        self.workers.shutdown().await;
        self.sources.shutdown().await;
        (drained, self.prepared)
    }
}

/// Takes keys from the queue and has them reconciled, one after another.
#[derive(Clone)]
struct Worker {
    revision: Arc<Revision>,
    queue: WorkQueue<Key>,
    metrics: Arc<PluginMetrics>,
    reports: Arc<Reports>,
    retired: watch::Receiver<bool>,
}

impl Worker {
    async fn run(mut self) {
        loop {
            let Some(work) = self.take().await else { return };
            reconcile(&self.revision, &self.metrics, &self.reports, work).await;
            if !self.revision.is_greedy() {
                continue;
            }
            // All of a greedy plugin's work goes where nobody waits for it: to move each call there
            // would cost as much as the call.
            if self.revision.in_background(self.clone().run_while_greedy()).await == Some(false) {
                return;
            }
        }
    }

    /// Likewise, as long as there is something to do and the plugin is greedy. Whether there may be more.
    async fn run_while_greedy(mut self) -> bool {
        while self.revision.is_greedy() {
            match tokio::time::timeout(IDLE, self.take()).await {
                Ok(Some(work)) => reconcile(&self.revision, &self.metrics, &self.reports, work).await,
                Ok(None) => return false,
                Err(_) => break,
            }
        }
        true
    }

    /// The next key; none if the revision is to take no more.
    async fn take(&mut self) -> Option<Work<Key>> {
        let work = tokio::select! {
            biased;
            _ = self.retired.wait_for(|retired| *retired) => return None,
            work = self.queue.next() => work?,
        };
        if *self.retired.borrow() {
            // It was taken at the very moment of the switch: it is the next revision's.
            self.queue.add(work.key().clone(), Priority::High);
            work.done();
            return None;
        }
        Some(work)
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
    usage: Arc<Usage>,
    reports: Arc<Reports>,
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
        for (added, key) in self.keys(delta).await.into_iter().enumerate() {
            self.queue.add(key, priority);
            // A plugin's own `map` may name very many, and this is a thread that all plugins share.
            if added % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
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

    /// Waits while the plugin has more keys to reconcile than its queue should hold: what it maps then
    /// would only come on top. Meanwhile the changes that are to be mapped wait, one for each object.
    async fn wait_for_room(&self) {
        let limit = self.revision.limits().queued_keys as usize;
        let waiting = || {
            let stats = self.queue.stats();
            stats.ready + stats.delayed
        };
        if waiting() < limit {
            return;
        }
        self.usage.breach(Limit::QueuedKeys);
        let mut timer = tokio::time::interval(ROOM);
        while waiting() >= limit && !*self.retired.borrow() {
            timer.tick().await;
        }
    }

    /// Asks the plugin. If it fails to say, any object may be concerned, so all are requested.
    async fn map(&self, watch: &str, delta: Delta) -> Vec<Key> {
        self.wait_for_room().await;
        let (kind, object) = (self.source.kind.clone(), delta.key.clone());
        let event = Event { kind, key: delta.key, old: delta.old, new: delta.new };
        match self.revision.map(watch, event).await {
            Ok(keys) => return keys,
            Err(error) => {
                let (call, then) = (&format!("map {watch}"), "so every object is requested");
                let failed = Failed { call, object: &object, reconcile_id: "", then };
                self.reports.failed(&self.revision, &failed, &error);
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

/// Counts a reconcile as one that runs, until it is dropped: it may be stopped at any time.
struct Active<'a>(&'a PluginMetrics);

impl<'a> Active<'a> {
    fn new(metrics: &'a PluginMetrics) -> Self {
        metrics.active.inc();
        Self(metrics)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.dec();
    }
}

/// In every log line of a reconcile: unique within this process.
fn reconcile_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:08x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn reconcile(revision: &Arc<Revision>, metrics: &PluginMetrics, reports: &Reports, work: Work<Key>) {
    let (plugin, id) = (revision.spec().name.as_str(), reconcile_id());
    let key = work.key().clone();
    let attempt = work.attempt();
    metrics.queued.observe(work.waited().as_secs_f64());
    let active = Active::new(metrics);
    let begun = Instant::now();
    let called = revision.reconcile(Request { key: key.clone(), reconcile_id: id.clone(), attempt }).await;
    metrics.seconds.observe(begun.elapsed().as_secs_f64());
    drop(active);
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
            if reports.may_say(&error) {
                tracing::warn!(plugin, object = %key, reconcile_id = id, attempt, "failed, will be retried: {error}");
            }
            work.retry();
            "error"
        }
        Ok(Outcome::Terminal(error)) => {
            if reports.may_say(&error) {
                tracing::warn!(plugin, object = %key, reconcile_id = id, attempt, "failed, not retried until it changes: {error}");
            }
            work.give_up();
            "terminal_error"
        }
        Err(error) => {
            let (call, then) = ("reconcile", "it is retried");
            let failed = Failed { call, object: &key, reconcile_id: &id, then };
            reports.failed(revision, &failed, &error);
            work.retry();
            match error {
                CallError::Trap { .. } => "trap",
                CallError::Timeout { .. } | CallError::Cpu { .. } => "timeout",
                CallError::Instance(_) => "error",
            }
        }
    };
    if !matches!(result, "success" | "requeue_after") {
        metrics.errors.inc();
    }
    metrics.reconciles.get_or_create(&ResultLabel { result }).inc();
}
