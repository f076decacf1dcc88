//! A plugin's code, alive: its warm instances and the calls into them.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument as _;
use wheelhouse_core::limits::{Isolation, Limit, Limits};
use wheelhouse_core::outcome::Request;
use wheelhouse_core::series::OwnMetrics;
use wheelhouse_core::spec::Spec;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ClusterAccess, Gate, Key, Kind, Object, Outcome};

use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::call::{self, Allowance};
use crate::compiled::Compiled;
use crate::convert;
use crate::error::CallError;
use crate::host::{Authority, InstanceState};
use crate::instance::Instance;
use crate::output::LogContext;

/// What a revision is started with.
pub struct RevisionSetup {
    /// What `describe` said with this configuration.
    pub spec: Arc<Spec>,
    /// A JSON object.
    pub config: Arc<str>,
    /// What it may do.
    pub gate: Arc<Gate>,
    /// Where its reads and writes go.
    pub cluster: Arc<dyn ClusterAccess>,
    /// What it may use.
    pub limits: Limits,
    /// What all revisions of the plugin have used.
    pub usage: Arc<Usage>,
    /// What all revisions of the plugin count in.
    pub metrics: Arc<OwnMetrics>,
}

/// An event of a watched kind, for the plugin's `map`.
#[derive(Clone, Debug)]
pub struct Event {
    /// The kind.
    pub kind: Kind,
    /// The object.
    pub key: Key,
    /// Before; none if it came.
    pub old: Option<Object>,
    /// After; none if it went.
    pub new: Option<Object>,
}

/// Calls of `map` and `index` at once, besides the reconciles.
const BESIDES: usize = 8;

/// One version of a plugin with one configuration. Share it by reference count.
pub struct Revision {
    compiled: Compiled,
    setup: RevisionSetup,
    log: Arc<LogContext>,
    kinds: Vec<Kind>,
    warm: Mutex<Warm>,
    /// Of the instances that calls use: no plugin takes all of the host's.
    places: Semaphore,
    /// Counted by reference: each instance holds one.
    live: Arc<()>,
    created: AtomicU64,
    traps: AtomicU64,
}

impl Revision {
    pub(crate) fn new(compiled: Compiled, mut setup: RevisionSetup) -> Self {
        // Of what the host has no room for, the limit is the host's.
        setup.limits.memory = setup.limits.memory.min(compiled.sandbox().max_memory());
        let places = setup.limits.concurrency as usize + BESIDES;
        let log = Arc::new(LogContext::new(&setup.spec.name, compiled.digest(), &setup.usage));
        let mut kinds = setup.spec.kinds();
        for permission in &setup.spec.permissions {
            if !kinds.contains(&permission.kind) {
                kinds.push(permission.kind.clone());
            }
        }
        Self {
            compiled,
            setup,
            log,
            kinds,
            warm: Mutex::default(),
            places: Semaphore::new(places),
            live: Arc::new(()),
            created: AtomicU64::new(0),
            traps: AtomicU64::new(0),
        }
    }

    /// What it is and needs.
    pub fn spec(&self) -> &Arc<Spec> {
        &self.setup.spec
    }

    /// The digest of its component.
    pub fn digest(&self) -> &str {
        self.compiled.digest()
    }

    /// Twelve digits of it, which tell revisions apart in logs.
    pub fn short_digest(&self) -> &str {
        self.log.revision()
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.setup.limits
    }

    /// Its configuration.
    pub fn config(&self) -> &Arc<str> {
        &self.setup.config
    }

    /// What the plugin counts of its own.
    pub fn metrics(&self) -> &Arc<OwnMetrics> {
        &self.setup.metrics
    }

    /// Instances that exist now.
    pub fn instances(&self) -> usize {
        Arc::strong_count(&self.live) - 1
    }

    /// Instances made so far.
    pub fn instances_created(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Calls that ended in a trap or at their deadline.
    pub fn traps(&self) -> u64 {
        self.traps.load(Ordering::Relaxed)
    }

    /// Whether the plugin has used so much that its calls are to be made [in the background].
    ///
    /// [in the background]: Self::in_background
    pub fn is_greedy(&self) -> bool {
        self.setup.usage.cpu_share().greedy
    }

    /// Does something on a thread that gives way to all others; calls that are made there stay there. None
    /// if there is no such thread any more. Whoever drops what this returns ends the doing.
    pub async fn in_background<T: Send + 'static>(
        &self,
        doing: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.compiled.sandbox().background().run(doing).await
    }

    /// Whether a call has an instance now. One whose caller has given up may have it for a moment more, on a
    /// thread that gives way to all others.
    pub fn is_busy(&self) -> bool {
        let warm = self.lock();
        Arc::strong_count(&self.live) - 1 > warm.instances.len()
    }

    /// Drops the instances that no call uses; the next call makes a new one.
    pub fn drop_idle(&self) {
        // Outside the lock: an instance's end is not quick.
        let idle = std::mem::take(&mut self.lock().instances);
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, Warm> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A warm instance if there is one, else a new one.
    async fn take(self: Arc<Self>) -> Result<Lease, CallError> {
        let warm = self.lock().instances.pop();
        if let Some((instance, _)) = warm {
            return Ok(Lease { revision: self, instance });
        }
        let setup = &self.setup;
        let state = InstanceState::new(
            Arc::clone(&setup.gate),
            Some(Arc::clone(&setup.cluster)),
            Arc::clone(&setup.config),
            Arc::clone(&self.log),
            setup.limits.clone(),
            Arc::clone(&setup.usage),
            self.kinds.clone(),
        )
        .with_metrics(&setup.metrics);
        let mut instance = Instance::new(&self.compiled, state).await?;
        instance.alive = Some(Arc::clone(&self.live));
        self.created.fetch_add(1, Ordering::Relaxed);
        Ok(Lease { revision: self, instance })
    }

    /// Runs a call of the plugin, on an instance, within these bounds.
    async fn call<T, F>(
        self: &Arc<Self>,
        time: (Duration, Limit),
        cpu: (Duration, Limit),
        call: impl FnOnce(Lease) -> F + Send + 'static,
    ) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let revision = Arc::clone(self);
        let answering = async move {
            let place = revision.places.acquire().await;
            let answer = call(Arc::clone(&revision).take().await?).await;
            drop(place);
            answer
        };
        // Wherever the call goes on, its reads and writes are part of what asked for it.
        let answering = Box::pin(answering.in_current_span());
        let allowance = Allowance { time, cpu, usage: Arc::clone(&self.setup.usage) };
        let result = call::run(answering, allowance, self.compiled.sandbox().background()).await;
        if let Err(error) = &result {
            if !matches!(error, CallError::Instance(_)) {
                self.traps.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(limit) = error.limit() {
                self.setup.usage.breach(limit);
            }
        }
        result
    }

    /// Reconciles one object. No two calls for one key may run at once; that is the caller's to see to.
    ///
    /// # Errors
    /// It trapped or went over a limit. Both have cost the instance, and nothing else.
    pub async fn reconcile(self: &Arc<Self>, request: Request) -> Result<Outcome, CallError> {
        self.reconcile_through(request, None, None).await
    }

    /// Likewise; this call's reads and writes go through that instead of [`RevisionSetup::cluster`]. What it
    /// holds is dropped when nothing of the call runs any more, which may be a moment after this has returned or
    /// was dropped: a call in the background is stopped when its thread next looks.
    ///
    /// # Errors
    /// As of [`Self::reconcile`].
    pub async fn reconcile_through(
        self: &Arc<Self>,
        request: Request,
        cluster: Option<Arc<dyn ClusterAccess>>,
        holds: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Result<Outcome, CallError> {
        let limits = &self.setup.limits;
        let limit = limits.reconcile_timeout;
        let timeout = self.setup.spec.options.timeout.map_or(limit, |own| own.min(limit));
        let cpu = (limits.reconcile_cpu, Limit::ReconcileCpu);
        self.call((timeout, Limit::ReconcileTimeout), cpu, move |mut lease| async move {
            let _held = holds;
            let key = request.key.to_string();
            lease.instance.state().begin(Authority::Full, timeout, &request.reconcile_id, &key);
            lease.instance.state().go_through(cluster);
            let request = wit::Request {
                key: convert::key_out(request.key),
                reconcile_id: request.reconcile_id,
                attempt: request.attempt,
                first_seen_ms: convert::unix_millis(request.first_seen),
            };
            let outcome = lease.instance.reconcile(&request).await?;
            lease.give_back();
            Ok(convert::outcome(outcome))
        })
        .await
    }

    /// The objects to reconcile after an event of the watch with this name.
    ///
    /// # Errors
    /// As of [`Self::reconcile`].
    pub async fn map(self: &Arc<Self>, watch: &str, event: Event) -> Result<Vec<Key>, CallError> {
        let timeout = self.setup.limits.map_timeout;
        let cpu = (self.setup.limits.call_cpu, Limit::CallCpu);
        let watch = watch.to_owned();
        self.call((timeout, Limit::MapTimeout), cpu, move |mut lease| async move {
            lease.instance.state().begin(Authority::Read, timeout, "", &event.key.to_string());
            let bytes = |object: Option<Object>| object.map(|object| object.as_bytes().to_vec());
            let event = wit::Event {
                kind: event.kind.as_str().to_owned(),
                key: convert::key_out(event.key),
                old: bytes(event.old),
                new: bytes(event.new),
            };
            let keys = lease.instance.map(&watch, &event).await?;
            lease.give_back();
            Ok(convert::mapped(keys))
        })
        .await
    }

    /// The values under which the index with this name finds the object.
    ///
    /// # Errors
    /// As of [`Self::reconcile`].
    pub async fn index(self: &Arc<Self>, name: &str, object: &Object) -> Result<Vec<String>, CallError> {
        let limits = &self.setup.limits;
        let (timeout, most) = (limits.index_timeout, limits.index_bytes);
        let cpu = (limits.call_cpu, Limit::CallCpu);
        let (name, object) = (name.to_owned(), object.clone());
        self.call((timeout, Limit::IndexTimeout), cpu, move |mut lease| async move {
            lease.instance.state().begin(Authority::None, timeout, "", &object.key().to_string());
            let values = lease.instance.index(&name, &object.as_bytes().to_vec()).await?;
            lease.give_back();
            convert::indexed(values, most).map_err(|reason| CallError::Trap {
                reason,
                backtrace: String::new(),
                limit: Some(Limit::IndexBytes),
            })
        })
        .await
    }

    /// Drops the instances that nobody has called for long, until there are none.
    async fn sweep(revision: Weak<Self>, idle: Duration) {
        loop {
            let Some(strong) = revision.upgrade() else { return };
            let mut dropped = Vec::new();
            let next = {
                let mut warm = strong.lock();
                let now = Instant::now();
                // The one that was given back last is taken first: those in front have waited longest.
                let idle_ones =
                    warm.instances.iter().take_while(|(_, since)| now.duration_since(*since) >= idle).count();
                dropped.extend(warm.instances.drain(..idle_ones));
                let next = warm.instances.first().map(|(_, since)| *since);
                warm.sweeping.take_if(|_| next.is_none());
                next
            };
            drop((dropped, strong));
            let Some(since) = next else { return };
            tokio::time::sleep_until(since + idle).await;
        }
    }
}

/// Instances that no call uses, each with the time since when. The last is the next to be used.
#[derive(Default)]
struct Warm {
    instances: Vec<(Instance, Instant)>,
    /// Who looks after those that are not used, if there are any.
    sweeping: Option<Sweeping>,
}

/// A task that ends with its revision: it would keep that one's memory for as long as it sleeps.
struct Sweeping(AbortHandle);

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An instance in use. Dropped without being given back (a trap, a deadline), it is gone.
struct Lease {
    revision: Arc<Revision>,
    instance: Instance,
}

impl Lease {
    fn give_back(mut self) {
        self.instance.calls += 1;
        let limits = &self.revision.setup.limits;
        self.instance.state().end();
        let worn = limits.isolation == Isolation::Fresh
            || self.instance.calls >= limits.instance_calls
            || self.instance.memory() > limits.instance_memory;
        if worn {
            return;
        }
        let idle = limits.instance_idle;
        let mut warm = self.revision.lock();
        warm.instances.push((self.instance, Instant::now()));
        warm.sweeping.get_or_insert_with(|| {
            let sweep = Revision::sweep(Arc::downgrade(&self.revision), idle);
            Sweeping(tokio::spawn(sweep).abort_handle())
        });
    }
}
