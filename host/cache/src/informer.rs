//! An informer: one kind's store, and who is told of its changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::AbortHandle;
use wheelhouse_core::{Fields, Key, Kind, Object, Scope};

use crate::fifo::Queue;
use crate::index::IndexFn;
use crate::leases::Lease;
use crate::resource::ApiResource;
use crate::sink::Sink;
use crate::snapshot::Snapshot;
use crate::stats::{InformerStats, read};
use crate::store::Store;
use crate::subscription::Subscription;

/// Ends the watch when the last handle goes.
struct Shared {
    /// Unlike that of any other informer of this process.
    id: u64,
    sink: Arc<Sink>,
    resource: Option<Arc<ApiResource>>,
    reflector: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reflector.abort();
    }
}

/// A handle of a shared informer: the watch lasts, and the store stays, while there is one (or a
/// subscription). Each is for certain fields; clones share that. What a handle reads has these fields,
/// whatever others are kept for somebody else.
#[derive(Clone)]
pub struct Informer {
    shared: Arc<Shared>,
    lease: Arc<Lease>,
}

/// Remembers an informer without keeping it.
pub(crate) struct WeakInformer(std::sync::Weak<Shared>);

impl WeakInformer {
    /// A handle for these fields. If they are not kept yet, the reflector lists again.
    pub(crate) fn upgrade(&self, fields: &Fields) -> Option<Informer> {
        let shared = self.0.upgrade()?;
        let lease = Lease::new(&shared.sink, fields);
        Some(Informer { shared, lease })
    }

    pub(crate) fn stats(&self) -> Option<InformerStats> {
        self.0.upgrade().map(|shared| stats(&shared.sink))
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Informer {
    pub(crate) fn new(
        sink: Arc<Sink>,
        lease: Arc<Lease>,
        resource: Option<Arc<ApiResource>>,
        reflector: AbortHandle,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::new(Shared { id, sink, resource, reflector }), lease }
    }

    pub(crate) fn downgrade(&self) -> WeakInformer {
        WeakInformer(Arc::downgrade(&self.shared))
    }

    /// Unlike that of any other informer of this process; handles of one informer have the same.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// What it watches.
    pub fn kind(&self) -> &Kind {
        &self.shared.sink.kind
    }

    /// What of it: at least what was asked for.
    pub fn scope(&self) -> &Scope {
        &self.shared.sink.scope
    }

    /// The fields that this handle is for.
    pub fn fields(&self) -> &Fields {
        self.lease.fields()
    }

    /// One object, if there is one, with this handle's fields.
    ///
    /// # Errors
    /// If it is there, and cannot be made sense of: why.
    pub fn look_up(&self, key: &Key) -> Result<Option<Object>, Arc<str>> {
        let (found, wider) =
            self.store().read(|state| (state.look_up(key), !self.fields().covers(&state.fields)));
        found.map(|object| object.map(|object| if wider { self.fields().project(&object) } else { object }))
    }

    /// An object of a snapshot as this handle may see it: without the fields that are kept for others alone.
    pub fn view(&self, now: &Snapshot, object: Object) -> Object {
        match self.narrowed(now) {
            Some(fields) => fields.project(&object),
            None => object,
        }
    }

    /// The fields that are to be left of a snapshot's objects; none if they have no others.
    pub fn narrowed(&self, now: &Snapshot) -> Option<&Fields> {
        now.is_wider_than(self.fields()).then(|| self.fields())
    }

    /// How the cluster served the kind when the informer was started; none if it did not.
    pub fn resource(&self) -> Option<&ApiResource> {
        self.shared.resource.as_deref()
    }

    /// The objects, possibly with more fields than this handle is for: see [`Self::view`].
    pub fn store(&self) -> &Store {
        &self.shared.sink.store
    }

    /// All objects at this moment, likewise.
    pub fn snapshot(&self) -> Snapshot {
        self.store().snapshot()
    }

    /// Whether the first list has been applied whole, with this handle's fields.
    pub fn synced(&self) -> bool {
        self.shared.sink.synced_with(self.fields())
    }

    /// Waits for that.
    pub async fn wait_synced(&self) {
        self.shared.sink.wait_synced_with(self.fields()).await;
    }

    /// Likewise, up to a deadline; whether it is.
    pub async fn wait_synced_within(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.wait_synced()).await.is_ok()
    }

    /// Adds an index, at any time; it lasts as long as this handle and its clones, or as those of others
    /// who have added one of this name. One that is there stays as it is: what a name means must be the
    /// same for all. It may look at this handle's fields and at no others.
    pub fn add_index(&self, name: &str, values: IndexFn) {
        self.lease.add_index(name, values);
    }

    /// A handler's view: the objects that are there first, marked as initial, then every change.
    pub fn subscribe(&self) -> Subscription {
        let queue = Arc::new(Queue::default());
        self.shared.sink.add_queue(&queue, &self.lease);
        Subscription::new(self.clone(), queue)
    }

    pub(crate) fn unsubscribe(&self, queue: &Arc<Queue>) {
        self.shared.sink.remove_queue(queue);
    }

    /// Tells one handler of everything that is there.
    pub(crate) fn replay(&self, queue: &Arc<Queue>) {
        self.shared.sink.replay(queue);
    }

    /// What it has and has done.
    pub fn stats(&self) -> InformerStats {
        stats(&self.shared.sink)
    }
}

fn stats(sink: &Sink) -> InformerStats {
    let Sink { kind, scope, store, counters, .. } = sink;
    let now = store.snapshot();
    let entries = now.index_sizes().into_iter().map(|(name, n)| (name.to_string(), n as u64));
    InformerStats {
        kind: kind.clone(),
        scope: scope.clone(),
        fields: sink.fields(),
        synced: now.synced(),
        first_sync: sink.first_sync(),
        objects: now.len() as u64,
        bytes: now.bytes(),
        unreadable: now.unreadable() as u64,
        index_entries: entries.collect(),
        subscriptions: sink.subscriptions(),
        events: counters.events().to_vec(),
        relists: read(&counters.lists).saturating_sub(1),
        errors: counters.errors(),
    }
}
