//! A plugin's code, alive: its warm instances and the calls into them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::outcome::Request;
use wheelhouse_core::series::OwnMetrics;
use wheelhouse_core::spec::Spec;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ClusterAccess, Gate, Key, Kind, Object, Outcome};

use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::compiled::{Compiled, bounded};
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

/// One version of a plugin with one configuration. Share it by reference count.
pub struct Revision {
    compiled: Compiled,
    setup: RevisionSetup,
    log: Arc<LogContext>,
    kinds: Vec<Kind>,
    warm: Mutex<Vec<Instance>>,
    /// Counted by reference: each instance holds one.
    live: Arc<()>,
    created: AtomicU64,
    traps: AtomicU64,
}

impl Revision {
    pub(crate) fn new(compiled: Compiled, setup: RevisionSetup) -> Self {
        let log = Arc::new(LogContext::new(&setup.spec.name, compiled.digest()));
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

    /// Drops the instances that no call uses; the next call makes a new one.
    pub fn drop_idle(&self) {
        drop(std::mem::take(&mut *self.lock()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A warm instance if there is one, else a new one.
    async fn take(&self) -> Result<Lease<'_>, CallError> {
        if let Some(instance) = self.lock().pop() {
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

    fn count<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        if matches!(result, Err(CallError::Trap { .. } | CallError::Timeout(..))) {
            self.traps.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Reconciles one object. No two calls for one key may run at once; that is the caller's to see to.
    ///
    /// # Errors
    /// It trapped or took longer than its deadline. Both have cost the instance, and nothing else.
    pub async fn reconcile(&self, request: Request) -> Result<Outcome, CallError> {
        let limit = self.setup.limits.reconcile_timeout;
        let timeout = self.setup.spec.options.timeout.map_or(limit, |own| own.min(limit));
        let called = bounded(timeout, Limit::ReconcileTimeout, async {
            let mut lease = self.take().await?;
            let key = request.key.to_string();
            lease.instance.state().begin(Authority::Full, timeout, &request.reconcile_id, &key);
            let request = wit::Request {
                key: convert::key_out(request.key),
                reconcile_id: request.reconcile_id,
                attempt: request.attempt,
            };
            let outcome = lease.instance.reconcile(&request).await?;
            lease.give_back();
            Ok(convert::outcome(outcome))
        });
        self.count(called.await)
    }

    /// The objects to reconcile after an event of the watch with this name.
    ///
    /// # Errors
    /// As of [`Self::reconcile`].
    pub async fn map(&self, watch: &str, event: Event) -> Result<Vec<Key>, CallError> {
        let timeout = self.setup.limits.map_timeout;
        let called = bounded(timeout, Limit::MapTimeout, async {
            let mut lease = self.take().await?;
            lease.instance.state().begin(Authority::Read, timeout, "", &event.key.to_string());
            let bytes = |object: Option<Object>| object.map(|object| object.as_bytes().to_vec());
            let event = wit::Event {
                kind: event.kind.as_str().to_owned(),
                key: convert::key_out(event.key),
                old: bytes(event.old),
                new: bytes(event.new),
            };
            let keys = lease.instance.map(watch, &event).await?;
            lease.give_back();
            Ok(keys.into_iter().map(convert::key_in).collect())
        });
        self.count(called.await)
    }

    /// The values under which the index with this name finds the object.
    ///
    /// # Errors
    /// As of [`Self::reconcile`].
    pub async fn index(&self, name: &str, object: &Object) -> Result<Vec<String>, CallError> {
        let timeout = self.setup.limits.index_timeout;
        let called = bounded(timeout, Limit::IndexTimeout, async {
            let mut lease = self.take().await?;
            lease.instance.state().begin(Authority::None, timeout, "", &object.key().to_string());
            let values = lease.instance.index(name, &object.as_bytes().to_vec()).await?;
            lease.give_back();
            Ok(values)
        });
        self.count(called.await)
    }
}

/// An instance in use. Dropped without being given back (a trap, a deadline), it is gone.
struct Lease<'a> {
    revision: &'a Revision,
    instance: Instance,
}

impl Lease<'_> {
    fn give_back(mut self) {
        self.instance.calls += 1;
        let limits = &self.revision.setup.limits;
        let worn =
            self.instance.calls >= limits.instance_calls || self.instance.memory() > limits.memory / 4 * 3;
        if !worn {
            self.instance.state().end();
            self.revision.lock().push(self.instance);
        }
    }
}
