//! One plugin, across its revisions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

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
        if !self.orders.work() {
            return;
        }
        let mut turn = self.turn.lock().await;
        let Turn::StandingBy(prepared) = std::mem::replace(&mut *turn, Turn::Over) else { return };
        let mut running = Running::listen(*prepared, self.queue.clone(), Arc::clone(&self.metrics));
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
        *turn = match std::mem::replace(&mut *turn, Turn::Over) {
            Turn::Running(running) => {
                let (_, prepared) = running.drain(Duration::ZERO, self.orders.cut()).await;
                Turn::StandingBy(Box::new(prepared))
            }
            other => other,
        };
    }

    /// Switches to another revision. The old one ends what it has begun, up to the grace.
    /// Returns once the new one has taken over and the old one is gone; whether all that was begun ended.
    pub async fn replace(&self, prepared: Prepared, grace: Duration) -> bool {
        let mut turn = self.turn.lock().await;
        let number = self.current().number + 1;
        if self.spec().reconciles.kind != prepared.spec().reconciles.kind {
            // The same keys are other objects.
            prepared.shared.dependencies.clear();
        }
        let current = Current::of(&prepared, number);
        let old = match std::mem::replace(&mut *turn, Turn::Over) {
            Turn::Over => return true,
            Turn::StandingBy(_) => {
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
                *turn = Turn::StandingBy(Box::new(prepared));
                self.metrics.swaps.inc();
                return true;
            }
            Turn::Running(old) => old,
        };
        // The new revision listens before the old one stops to, so that no change falls between them;
        // and it requests nothing before the old workers have stopped to take requests, so that they do
        // not take what is meant for it.
        let mut new = Running::listen(prepared, self.queue.clone(), Arc::clone(&self.metrics));
        old.retire();
        let _ = new.start_sources();
        // They may take anything at once, since every kind has synced; the queue, with its timers, is
        // theirs now.
        new.start_workers();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
        *turn = Turn::Running(Box::new(new));
        self.metrics.swaps.inc();
        let drained = old.drain(grace, self.orders.cut()).await.0;
        if !self.current().tracks() {
            self.current().dependencies.clear();
        }
        drained
    }

    /// Stops: nothing new begins, what runs may end within the grace. Whether all of it did.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.queue.shut_down();
        self.orders.end();
        match std::mem::replace(&mut *self.turn.lock().await, Turn::Over) {
            Turn::Running(running) => running.drain(grace, self.orders.cut()).await.0,
            Turn::StandingBy(_) | Turn::Over => true,
        }
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
        }
    }

    fn tracks(&self) -> bool {
        self.revision.spec().options.track_dependencies
    }
}
