//! What a reflector writes to: the store, and those who are told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wheelhouse_core::{Fields, Kind, Object, Scope};

use crate::fifo::{Cause, Queue};
use crate::leases::{Lease, Leases};
use crate::list_watch::Unreadable;
use crate::snapshot::Snapshot;
use crate::stats::{Counters, add};
use crate::store::Store;
use crate::sync::{Mutex, MutexGuard, PoisonError, watch};
use crate::writer::{Change, Writer};

/// One informer's. It does not keep the informer alive.
pub(crate) struct Sink {
    pub(crate) kind: Kind,
    pub(crate) scope: Scope,
    pub(crate) store: Store,
    pub(crate) counters: Counters,
    pub(crate) leases: Leases,
    started: Instant,
    queues: Mutex<Vec<Listener>>,
    /// What the store has of each object, once it has synced.
    synced: watch::Sender<Option<Fields>>,
}

/// Who is told.
struct Listener {
    queue: Arc<Queue>,
    /// Of these fields.
    fields: Fields,
}

impl Listener {
    /// Objects of the store.
    fn push(&self, changes: impl IntoIterator<Item = Change>, cause: Cause, kept: &Fields) {
        self.queue.push(changes, cause, !self.fields.covers(kept));
    }

    fn start(&self, now: &Snapshot) {
        self.queue.start(all(now), now.is_wider_than(&self.fields));
    }
}

/// Everything, as if it had come just now.
fn all(now: &Snapshot) -> impl Iterator<Item = Change> {
    now.iter().map(|(key, object)| Change { key: Arc::clone(key), old: None, new: Some(object.clone()) })
}

impl Sink {
    pub(crate) fn new(kind: &Kind, scope: &Scope, fields: &Fields) -> Self {
        Self {
            kind: kind.clone(),
            scope: scope.clone(),
            store: Store::default(),
            counters: Counters::default(),
            leases: Leases::new(fields),
            started: Instant::now(),
            queues: Mutex::default(),
            synced: watch::Sender::new(None),
        }
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a queue of everything that is there, now or once it is, and then of every change.
    pub(crate) fn add_queue(&self, queue: &Arc<Queue>, lease: &Lease) {
        let listener = Listener { queue: Arc::clone(queue), fields: lease.fields().clone() };
        // Nothing is applied meanwhile, so nothing is missed and nothing told twice.
        let writer = self.store.begin();
        if self.synced_with(&listener.fields) {
            listener.start(&self.store.snapshot());
        }
        self.queues().push(listener);
        drop(writer);
    }

    pub(crate) fn remove_queue(&self, queue: &Arc<Queue>) {
        self.queues().retain(|other| !Arc::ptr_eq(&other.queue, queue));
    }

    /// Tells a queue of everything that is there once more.
    pub(crate) fn replay(&self, queue: &Arc<Queue>) {
        // As above: a change must not be told before the state from which it comes.
        let writer = self.store.begin();
        let now = self.store.snapshot();
        let same = all(&now).map(|change| Change { old: change.new.clone(), ..change });
        if let Some(listener) = self.queues().iter().find(|listener| Arc::ptr_eq(&listener.queue, queue)) {
            listener.push(same, Cause::Resync, &self.store.fields());
        }
        drop(writer);
    }

    pub(crate) fn subscriptions(&self) -> u64 {
        self.queues().len() as u64
    }

    /// What is kept of each object.
    pub(crate) fn fields(&self) -> Fields {
        self.synced.borrow().clone().unwrap_or_else(|| self.leases.wanted().borrow().clone())
    }

    pub(crate) fn first_sync(&self) -> Option<Duration> {
        *self.counters.first_sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store has synced with these fields.
    pub(crate) fn synced_with(&self, fields: &Fields) -> bool {
        self.synced.borrow().as_ref().is_some_and(|kept| kept.covers(fields))
    }

    /// Waits for that.
    pub(crate) async fn wait_synced_with(&self, fields: &Fields) {
        let covers = |kept: &Option<Fields>| kept.as_ref().is_some_and(|kept| kept.covers(fields));
        // The sender is here.
        let _ = self.synced.subscribe().wait_for(covers).await;
    }

    /// The store first, then those who are told; the writer keeps both in one order.
    fn tell(&self, _writer: Writer<'_>, changes: &[Change]) {
        let kept = self.store.fields();
        for listener in self.queues().iter().filter(|listener| listener.queue.started()) {
            listener.push(changes.iter().cloned(), Cause::Live, &kept);
        }
    }

    /// The collection as a list with these fields found it.
    pub(crate) fn replace(
        &self,
        objects: Vec<Object>,
        unreadable: &[Unreadable],
        version: &str,
        fields: &Fields,
    ) {
        add(&self.counters.lists, 1);
        let first = self.synced.borrow().is_none();
        let mut writer = self.store.begin();
        let before = self.store.fields();
        let changes = writer.replace(objects, unreadable, version, fields);
        if first {
            let mut first_sync = self.counters.first_sync.lock().unwrap_or_else(PoisonError::into_inner);
            *first_sync = Some(self.started.elapsed());
        }
        self.synced.send_replace(Some(fields.clone()));
        for listener in self.queues().iter() {
            if listener.queue.started() {
                let wide = !listener.fields.covers(&before.union(fields));
                listener.queue.push_of_list(changes.iter().cloned(), wide);
            } else if fields.covers(&listener.fields) {
                listener.start(&self.store.snapshot());
            }
        }
        drop(writer);
    }

    /// Drops what is no longer read, unless it is again; whether it did. Nobody is told: nothing has
    /// happened.
    pub(crate) fn narrow(&self, fields: &Fields) -> bool {
        // Whoever comes after this and wants more waits for a list.
        let goes = self.leases.unless_more_is_wanted(fields, || {
            self.synced.send_replace(Some(fields.clone()));
        });
        if goes {
            self.store.begin().narrow(fields);
        }
        goes
    }

    pub(crate) fn upsert(&self, object: Object) {
        let mut writer = self.store.begin();
        let changes = writer.upsert(object);
        self.tell(writer, &changes);
    }

    pub(crate) fn remove(&self, last: &Object) {
        add(&self.counters.deleted, 1);
        let mut writer = self.store.begin();
        let change = writer.remove(last);
        self.tell(writer, change.as_slice());
    }

    pub(crate) fn unreadable(&self, unreadable: &Unreadable, deleted: bool, version: &str) {
        add(&self.counters.unreadable, 1);
        let Some(key) = &unreadable.key else { return };
        let mut writer = self.store.begin();
        let change = writer.unreadable(key, &unreadable.reason, deleted, version);
        self.tell(writer, change.as_slice());
    }

    pub(crate) fn bookmark(&self, version: &str) {
        add(&self.counters.bookmarks, 1);
        self.store.begin().bookmark(version);
    }
}
