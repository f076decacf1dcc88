//! One plugin, across its revisions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::series::OwnMetrics;
use wheelhouse_core::spec::Spec;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Gate, Granted, Key, Kind};
use wheelhouse_queue::{BackoffPolicy, QueueStats, WorkQueue};
use wheelhouse_sandbox::Revision;

use crate::metrics::PluginMetrics;
use crate::prepare::{Prepared, ungranted_sources};
use crate::revision::{Running, workers};
use crate::tally::{Record, Tally};
use crate::tracking::Dependencies;
use crate::turn::{Orders, Turn};

/// A plugin that runs, or that stands by to run.
pub struct Controller {
    queue: WorkQueue<Key>,
    metrics: Arc<PluginMetrics>,
    /// Taken while a switch or the end is under way, so that only one is.
    turn: tokio::sync::Mutex<Turn>,
    /// What it is to do, which those who have taken its turn listen to.
    orders: Orders,
    /// What a reader may see meanwhile.
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    revision: Arc<Revision>,
    client: Arc<wheelhouse_client::PluginClient>,
    usage: Arc<Usage>,
    gate: Arc<Gate>,
    dependencies: Arc<Dependencies>,
    number: u64,
    since: SystemTime,
    /// While it works.
    tally: Option<Arc<Tally>>,
}

/// How a switch went.
#[derive(Debug)]
pub struct Replaced {
    /// Whether all that the old revision had begun ended within the grace.
    pub drained: bool,
    /// The old revision, which could take over again at once; none if the plugin has ended.
    pub old: Option<Prepared>,
    /// What it had done; none if it did not work.
    pub before: Option<Record>,
}

/// What there is to tell of a plugin.
#[derive(Clone, Debug, Serialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Of the running revision's component.
    pub digest: String,
    /// 1, and one more for each switch.
    pub revision: u64,
    /// When the revision took over, in seconds since the epoch.
    pub since: u64,
    /// The kind that it reconciles.
    pub reconciles: String,
    /// All kinds that it watches.
    pub kinds: Vec<String>,
    /// Instances alive.
    pub instances: usize,
    /// Keys that wait.
    pub queued: usize,
    /// Keys that wait for their time.
    pub delayed: usize,
    /// Reconciles that run.
    pub active: usize,
    /// Traps and time-outs of this revision.
    pub traps: u64,
    /// Reconciles of this revision that did not end well, those among them.
    pub errors: u64,
    /// Whether its operator has it pause.
    pub paused: bool,
}

impl Controller {
    /// Starts a plugin: returns once the objects that exist have been requested and workers run.
    pub async fn start(prepared: Prepared) -> Self {
        let controller = Self::stand_by(prepared);
        controller.activate().await;
        controller
    }

    /// Has a plugin stand by: what it needs stays in the cache, and nothing is requested or reconciled
    /// before [`Controller::activate`].
    pub fn stand_by(prepared: Prepared) -> Self {
        // Of a life before: all is reconciled anew.
        prepared.shared.dependencies.clear();
        let current = Mutex::new(Current::of(&prepared, 1));
        Self {
            queue: WorkQueue::new(BackoffPolicy::default()),
            metrics: Arc::new(PluginMetrics::default()),
            turn: tokio::sync::Mutex::new(Turn::StandingBy(Box::new(prepared))),
            orders: Orders::default(),
            current,
        }
    }

    /// Sets to work a plugin that stands by: requests all objects that exist, and returns once workers
    /// run, or once they are not to any more. Anything else is left as it is.
    pub async fn activate(&self) {
        if self.orders.work() {
            self.set_to_work().await;
        }
    }

    async fn set_to_work(&self) {
        let mut turn = self.turn.lock().await;
        if !self.orders.works() {
            return;
        }
        let prepared = match std::mem::replace(&mut *turn, Turn::Over) {
            Turn::StandingBy(prepared) => prepared,
            other => {
                *turn = other;
                return;
            }
        };
        let mut running = Running::listen(*prepared, self.queue.clone(), Arc::clone(&self.metrics));
        self.update(|current| current.tally = Some(Arc::clone(&running.tally)));
        let started = running.start_sources();
        tokio::select! {
            biased;
            // Whoever gave the order waits for its turn, and sees to what has begun.
            () = self.orders.no_work() => {}
            () = started.wait() => running.start_workers(),
        }
        *turn = Turn::Running(Box::new(running));
    }

    /// Has a plugin that runs stand by, at once: what it has begun is stopped, wherever it is, and its keys
    /// are requested again. A switch or an end that waits for reconciles waits no more. Returns once
    /// nothing of the plugin runs.
    pub async fn deactivate(&self) {
        self.orders.stand_by();
        let mut turn = self.turn.lock().await;
        self.lay_down(&mut turn, Duration::ZERO).await;
        // When it works again, it requests everything; and others may have seen to this by then.
        self.queue.clear();
    }

    /// Has a plugin begin nothing until [`Controller::resume`]: what runs may end within the grace, and its
    /// caches stay filled. Returns once nothing of it runs.
    pub async fn pause(&self, grace: Duration) {
        self.orders.pause(true);
        let mut turn = self.turn.lock().await;
        // It may go on by now.
        if self.orders.paused() {
            self.lay_down(&mut turn, grace).await;
        }
    }

    /// Ends a pause: all objects are requested, as at a start.
    pub async fn resume(&self) {
        self.orders.pause(false);
        self.set_to_work().await;
    }

    /// Whether it is paused.
    pub fn paused(&self) -> bool {
        self.orders.paused()
    }

    async fn lay_down(&self, turn: &mut Turn, grace: Duration) {
        *turn = match std::mem::replace(turn, Turn::Over) {
            Turn::Running(running) => {
                let (_, prepared) = running.drain(grace, self.orders.cut()).await;
                self.update(|current| current.tally = None);
                Turn::StandingBy(Box::new(prepared))
            }
            other => other,
        };
    }

    /// Switches to another revision. The old one ends what it has begun, up to the grace.
    /// Returns once the new one has taken over and the old one does nothing any more.
    pub async fn replace(&self, prepared: Prepared, grace: Duration) -> Replaced {
        let mut turn = self.turn.lock().await;
        let number = self.current().number + 1;
        if self.spec().reconciles.kind != prepared.spec().reconciles.kind {
            // The same keys are other objects.
            prepared.shared.dependencies.clear();
        }
        let current = Current::of(&prepared, number);
        let old = match std::mem::replace(&mut *turn, Turn::Over) {
            Turn::Over => return Replaced { drained: true, old: None, before: None },
            Turn::StandingBy(old) => {
                self.update(|now| *now = current);
                *turn = Turn::StandingBy(Box::new(prepared));
                self.metrics.swaps.inc();
                return Replaced { drained: true, old: Some(*old), before: None };
            }
            Turn::Running(old) => old,
        };
        let before = old.tally.record(Instant::now());
        // The new revision listens before the old one stops to, so that no change falls between them;
        // and it requests nothing before the old workers have stopped to take requests, so that they do
        // not take what is meant for it.
        let mut new = Running::listen(prepared, self.queue.clone(), Arc::clone(&self.metrics));
        old.retire();
        let _ = new.start_sources();
        // They may take anything at once, since every kind has synced; the queue, with its timers, is
        // theirs now.
        new.start_workers();
        let tally = Some(Arc::clone(&new.tally));
        self.update(|now| *now = Current { tally, ..current });
        *turn = Turn::Running(Box::new(new));
        self.metrics.swaps.inc();
        let (drained, old) = old.drain(grace, self.orders.cut()).await;
        if !self.current().tracks() {
            self.current().dependencies.clear();
        }
        Replaced { drained, old: Some(old), before: Some(before) }
    }

    /// From now on nothing new begins. What runs goes on, and so does a switch that has begun.
    pub fn end(&self) {
        self.queue.shut_down();
        self.orders.end();
    }

    /// Stops: nothing new begins, what runs may end within the grace. Whether all of it did.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.end();
        match std::mem::replace(&mut *self.turn.lock().await, Turn::Over) {
            Turn::Running(running) => running.drain(grace, self.orders.cut()).await.0,
            Turn::StandingBy(_) | Turn::Over => true,
        }
    }

    /// How the running revision's reconciles have ended; none while it does not work.
    pub fn record(&self) -> Option<Record> {
        self.current().tally.map(|tally| tally.record(Instant::now()))
    }

    fn update(&self, change: impl FnOnce(&mut Current)) {
        change(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the running revision declared.
    pub fn spec(&self) -> Arc<Spec> {
        Arc::clone(self.current().revision.spec())
    }

    /// Whether this is what runs: the same code with the same configuration and the same limits.
    pub fn runs(&self, digest: &str, config: &str, limits: &Limits) -> bool {
        let revision = self.current().revision;
        revision.digest() == digest && &**revision.config() == config && revision.limits() == limits
    }

    /// The digest of the running revision's component, and its configuration.
    pub fn runs_what(&self) -> (String, Arc<str>) {
        let revision = self.current().revision;
        (revision.digest().to_owned(), Arc::clone(revision.config()))
    }

    /// The digest of the running revision's component.
    pub fn digest(&self) -> String {
        self.current().revision.digest().to_owned()
    }

    /// The limits of the running revision.
    pub fn limits(&self) -> Limits {
        self.current().revision.limits().clone()
    }

    /// What of the running revision's sources is not granted any more.
    pub fn ungranted_sources(&self) -> Vec<Permission> {
        let current = self.current();
        ungranted_sources(&current.gate, current.revision.spec())
    }

    /// What the running revision declares and is not granted: each such call is denied.
    pub fn ungranted(&self) -> Vec<Permission> {
        let current = self.current();
        current.gate.lacks(current.revision.spec().permissions.iter().map(|permission| (permission, "")))
    }

    /// What its operator grants, to all of its revisions.
    pub fn granted(&self) -> Arc<Granted> {
        Arc::clone(self.current().gate.granted())
    }

    /// What the gate has denied of all of its revisions.
    pub fn denials(&self) -> Vec<(Verb, Option<Kind>, u64)> {
        self.current().gate.granted().denials()
    }

    /// The kind that it reconciles.
    pub fn reconciled(&self) -> Kind {
        self.spec().reconciles.kind.clone()
    }

    /// What its reconciles depend on, and how often a kind was followed as a whole for want of room; none
    /// if it does not track dependencies.
    pub fn dependencies(&self) -> Option<(u64, u64)> {
        let current = self.current();
        current.tracks().then(|| current.dependencies.counts())
    }

    /// Its counters.
    pub fn metrics(&self) -> &Arc<PluginMetrics> {
        &self.metrics
    }

    /// What the plugin counts of its own.
    pub fn own_metrics(&self) -> Arc<OwnMetrics> {
        Arc::clone(self.current().revision.metrics())
    }

    /// How many of its reconciles may run at once.
    pub fn workers(&self) -> u32 {
        workers(&self.current().revision)
    }

    /// Its queue's counters.
    pub fn queue(&self) -> QueueStats {
        self.queue.stats()
    }

    /// Its client, for the counters.
    pub fn client(&self) -> Arc<wheelhouse_client::PluginClient> {
        self.current().client
    }

    /// What it has used of its limits.
    pub fn usage(&self) -> Arc<Usage> {
        self.current().usage
    }

    /// What there is to tell of it.
    pub fn status(&self) -> PluginStatus {
        let Current { revision, number, since, .. } = self.current();
        let spec = revision.spec();
        let queue = self.queue.stats();
        PluginStatus {
            name: spec.name.clone(),
            version: spec.version.clone(),
            digest: revision.digest().to_owned(),
            revision: number,
            since: since.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            reconciles: spec.reconciles.kind.as_str().to_owned(),
            kinds: spec.kinds().iter().map(|kind| kind.as_str().to_owned()).collect(),
            instances: revision.instances(),
            queued: queue.ready,
            delayed: queue.delayed,
            active: queue.in_flight,
            traps: revision.traps(),
            errors: self.record().map_or(0, |record| record.errors + record.traps),
            paused: self.orders.paused(),
        }
    }
}

impl Current {
    fn of(prepared: &Prepared, number: u64) -> Self {
        Self {
            revision: Arc::clone(&prepared.revision),
            client: Arc::clone(&prepared.client),
            usage: Arc::clone(&prepared.shared.usage),
            gate: Arc::clone(&prepared.gate),
            dependencies: Arc::clone(&prepared.shared.dependencies),
            number,
            since: SystemTime::now(),
            tally: None,
        }
    }

    fn tracks(&self) -> bool {
        self.revision.spec().options.track_dependencies
    }
}
