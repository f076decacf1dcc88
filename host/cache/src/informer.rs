//! An informer: one kind's store, and who is told of its changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use wheelhouse_core::{Kind, Object};

use crate::fifo::{Queue, Subscription};
use crate::index::IndexFn;
use crate::resource::ApiResource;
use crate::snapshot::Snapshot;
use crate::stats::{Counters, InformerStats, add, read};
use crate::store::{Change, Store, Writer};

/// What the reflector writes to. It does not keep the informer alive.
pub(crate) struct Sink {
    pub(crate) kind: Kind,
    pub(crate) store: Store,
    pub(crate) counters: Counters,
    queues: Mutex<Vec<Arc<Queue>>>,
    synced: watch::Sender<bool>,
}

impl Sink {
    pub(crate) fn new(kind: &Kind) -> Self {
        Self {
            kind: kind.clone(),
            store: Store::default(),
            counters: Counters::default(),
            queues: Mutex::default(),
            synced: watch::Sender::new(false),
        }
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store first, then those who are told; the writer keeps both in one order.
    fn tell(&self, _writer: Writer<'_>, changes: &[Change], initial: bool) {
        for queue in self.queues().iter() {
            queue.push(changes.iter().cloned(), initial);
        }
    }

    pub(crate) fn replace(&self, objects: Vec<Object>, version: &str) {
        add(&self.counters.lists, 1);
        let first = !self.store.synced();
        let mut writer = self.store.begin();
        let changes = writer.replace(objects, version);
        self.tell(writer, &changes, first);
        if first {
            self.queues().iter().for_each(|queue| queue.start());
            self.synced.send_replace(true);
        }
    }

    pub(crate) fn upsert(&self, object: Object) {
        add(&self.counters.events, 1);
        let mut writer = self.store.begin();
        let changes = writer.upsert(object);
        self.tell(writer, &changes, false);
    }

    pub(crate) fn remove(&self, last: &Object) {
        add(&self.counters.events, 1);
        let mut writer = self.store.begin();
        let change = writer.remove(last);
        self.tell(writer, change.as_slice(), false);
    }

    pub(crate) fn bookmark(&self, version: &str) {
        self.store.begin().bookmark(version);
    }
}

/// Ends the watch when the last handle goes.
struct Shared {
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
/// subscription).
#[derive(Clone)]
pub struct Informer {
    shared: Arc<Shared>,
}

/// Remembers an informer without keeping it.
pub(crate) struct WeakInformer(std::sync::Weak<Shared>);

impl WeakInformer {
    pub(crate) fn upgrade(&self) -> Option<Informer> {
        self.0.upgrade().map(|shared| Informer { shared })
    }
}

impl Informer {
    pub(crate) fn new(sink: Arc<Sink>, resource: Option<Arc<ApiResource>>, reflector: AbortHandle) -> Self {
        Self { shared: Arc::new(Shared { sink, resource, reflector }) }
    }

    pub(crate) fn downgrade(&self) -> WeakInformer {
        WeakInformer(Arc::downgrade(&self.shared))
    }

    /// What it watches.
    pub fn kind(&self) -> &Kind {
        &self.shared.sink.kind
    }

    /// How the cluster served the kind when the informer was started; none if it did not.
    pub fn resource(&self) -> Option<&ApiResource> {
        self.shared.resource.as_deref()
    }

    /// The objects.
    pub fn store(&self) -> &Store {
        &self.shared.sink.store
    }

    /// All objects at this moment.
    pub fn snapshot(&self) -> Snapshot {
        self.store().snapshot()
    }

    /// Whether the first list has been applied whole.
    pub fn synced(&self) -> bool {
        *self.shared.sink.synced.borrow()
    }

    /// Waits for that.
    pub async fn wait_synced(&self) {
        // The sender is in what this handle holds.
        let _ = self.shared.sink.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Adds an index, at any time; one of this name stays as it is. The names of plugins' indexes
    /// should begin with the plugin's, since informers are shared.
    pub fn add_index(&self, name: &str, values: IndexFn) {
        self.store().add_index(name, values);
    }

    /// Drops an index.
    pub fn remove_index(&self, name: &str) {
        self.store().remove_index(name);
    }

    /// A handler's view: the objects that are there first, marked as initial, then every change.
    pub fn subscribe(&self) -> Subscription {
        let queue = Arc::new(Queue::default());
        let sink = &self.shared.sink;
        // Nothing is applied meanwhile, so nothing is missed and nothing told twice.
        let writer = sink.store.begin();
        let now = sink.store.snapshot();
        if now.synced() {
            let added = |(key, object): (&_, &Object)| Change {
                key: Arc::clone(key),
                old: None,
                new: Some(object.clone()),
            };
            queue.push(now.iter().map(added), true);
            queue.start();
        }
        sink.queues().push(Arc::clone(&queue));
        drop(writer);
        Subscription::new(self.clone(), queue)
    }

    pub(crate) fn unsubscribe(&self, queue: &Arc<Queue>) {
        self.shared.sink.queues().retain(|other| !Arc::ptr_eq(other, queue));
    }

    /// What it has and has done.
    pub fn stats(&self) -> InformerStats {
        let Sink { kind, store, counters, .. } = &*self.shared.sink;
        let now = store.snapshot();
        let entries = now.index_sizes().into_iter().map(|(name, n)| (name.to_string(), n as u64));
        InformerStats {
            kind: kind.clone(),
            synced: now.synced(),
            objects: now.len() as u64,
            bytes: now.bytes(),
            index_entries: entries.collect(),
            subscriptions: self.shared.sink.queues().len() as u64,
            events: read(&counters.events),
            relists: read(&counters.lists).saturating_sub(1),
            watch_errors: read(&counters.watch_errors),
            undecodable: read(&counters.undecodable),
        }
    }
}
