//! A revision at work: the tasks that feed the queue, and those that empty it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;
use wheelhouse_cache::{Delta, Informer, Subscription};
use wheelhouse_core::Key;
use wheelhouse_core::limits::Limit;
use wheelhouse_core::spec::{Mapping, Source};
use wheelhouse_core::usage::Usage;
use wheelhouse_queue::{Priority, WorkQueue};
use wheelhouse_sandbox::{Event, Revision};

use crate::mapping::{Target, concerns, selects};
use crate::metrics::PluginMetrics;
use crate::prepare::Prepared;
use crate::report::{Failed, Reports};
use crate::tally::Tally;
use crate::ticks;
use crate::trace;
use crate::tracking::{Follower, Tracking};
use crate::worker::Worker;

/// However often a plugin wants to be asked again of everything, it is no more often than this.
const SHORTEST_RESYNC: Duration = Duration::from_secs(1);

/// Keys that are requested without a break.
const AT_ONCE: usize = 256;
/// How long a call in the background may take to see that it has been stopped.
const SETTLE: Duration = Duration::from_secs(5);
/// How often a full queue is looked at.
const ROOM: Duration = Duration::from_millis(20);

/// What a source's events lead to.
#[derive(Clone)]
enum Role {
    /// The object itself.
    Reconciled,
    /// Its controller, or any owner.
    Owned { any_owner: bool },
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
    followers: Vec<(Follower, Subscription)>,
    tracking: Option<Arc<Tracking>>,
    pub(crate) tally: Arc<Tally>,
    sources: JoinSet<()>,
    workers: JoinSet<()>,
    retired: watch::Sender<bool>,
}

impl Running {
    /// Listens: whatever changes from now on will be requested once the sources are started.
    pub(crate) fn listen(prepared: Prepared, queue: WorkQueue<Key>, metrics: Arc<PluginMetrics>) -> Self {
        let spec = Arc::clone(prepared.spec());
        let retired = watch::Sender::new(false);
        let target = Arc::new(Target {
            kind: spec.reconciles.kind.clone(),
            namespaced: prepared.namespaced,
            namespaces: spec.reconciles.namespaces.clone(),
        });
        let of_kind = |kind| prepared.informers.get(kind).map(Vec::as_slice).unwrap_or_default();
        let reconciled = std::iter::once((&spec.reconciles, Role::Reconciled));
        let owned = spec.owns.iter().map(|o| (&o.source, Role::Owned { any_owner: o.any_owner }));
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
        let tracking = spec.options.track_dependencies.then(|| {
            let cluster = Arc::clone(&prepared.client) as Arc<_>;
            Tracking::new(&spec, cluster, &prepared.shared.dependencies, &prepared.informers)
        });
        let following = tracking.iter().flat_map(|tracking| {
            let follower =
                || Follower::new(tracking, &queue, &metrics.dependency_requeues, retired.subscribe());
            Follower::subscriptions(tracking).into_iter().map(move |subscription| (follower(), subscription))
        });
        let followers = following.collect();
        let (sources, workers) = (JoinSet::new(), JoinSet::new());
        let tally = Arc::new(Tally::new(Instant::now()));
        Self { prepared, queue, metrics, pumps, followers, tracking, tally, sources, workers, retired }
    }

    /// Starts to request objects: first those that exist, then whatever changes.
    pub(crate) fn start_sources(&mut self) -> Started {
        let mut initial = Vec::new();
        for (pump, subscription) in self.pumps.drain(..) {
            initial.push(pump.seen.subscribe());
            self.sources.spawn(pump.run(subscription));
        }
        let schedule = &self.prepared.shared.ticks;
        ticks::start(&self.prepared.spec().ticks, schedule, &self.queue, &self.retired, &mut self.sources);
        for (follower, subscription) in self.followers.drain(..) {
            self.sources.spawn(follower.run(subscription));
        }
        Started(initial)
    }

    /// Starts to reconcile.
    pub(crate) fn start_workers(&mut self) {
        let revision = &self.prepared.revision;
        for _ in 0..workers(revision) {
            let worker = Worker {
                revision: Arc::clone(revision),
                queue: self.queue.clone(),
                metrics: Arc::clone(&self.metrics),
                reports: Arc::clone(&self.prepared.shared.reports),
                tracking: self.tracking.clone(),
                tally: Arc::clone(&self.tally),
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
        self.settled().await;
        (drained, self.prepared)
    }

    /// Waits until no call of the revision runs any more: one in the background ends when its thread next looks
    /// whether anybody waits for it.
    async fn settled(&self) {
        let revision = &self.prepared.revision;
        let quiet = async {
            let mut timer = tokio::time::interval(Duration::from_millis(2));
            while revision.is_busy() {
                timer.tick().await;
            }
        };
        if tokio::time::timeout(SETTLE, quiet).await.is_err() {
            let plugin = revision.spec().name.as_str();
            tracing::warn!(
                plugin,
                "a call that was stopped has not ended within {SETTLE:?}: the machine is overloaded"
            );
        }
    }
}

/// How many reconciles of a revision may run at once.
pub(crate) fn workers(revision: &Revision) -> u32 {
    revision.spec().options.concurrency.clamp(1, revision.limits().concurrency.max(1))
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
            self.request(delta, subscription.folded()).await;
        }
        // The next revision is told of what is there. What went is told here, or nowhere.
        while let Some(delta) = subscription.try_next() {
            self.request(delta, subscription.folded()).await;
        }
    }

    async fn request(&self, delta: Delta, folded: bool) {
        if !concerns(&self.source, &delta, folded) {
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
            Role::Owned { any_owner } => self.target.owners(*any_owner, &delta),
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
        // Who empties the queue may wait for this one before it begins.
        self.seen.send_replace(true);
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
        let span = trace::of_map(&self.revision, watch, &object);
        match self.revision.map(watch, event).instrument(span).await {
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
