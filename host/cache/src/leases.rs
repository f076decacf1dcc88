//! Who holds an informer, and for which fields.
//!
//! A store keeps the union of what its holders read. Whoever reads less is shown less. That is settled
//! here, so that a read looks at one flag. It is raised before the store has more than its holder may
//! see, and never lowered: a reader may have an object in hand from before the store lost the rest.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wheelhouse_core::Fields;

use crate::index::IndexFn;
use crate::sink::Sink;
use crate::sync::{AtomicBool, Mutex, MutexGuard, PoisonError, watch};

struct Held {
    fields: Fields,
    narrower: Arc<AtomicBool>,
}

#[derive(Default)]
struct Table {
    next: u64,
    held: HashMap<u64, Held>,
    /// The most that the store has, or is about to have.
    stored: Option<Fields>,
}

impl Table {
    fn wanted(&self) -> Option<Fields> {
        self.held.values().map(|held| held.fields.clone()).reduce(|one, other| one.union(&other))
    }

    fn mark(&self, held: &Held) {
        if self.stored.as_ref().is_some_and(|stored| !held.fields.covers(stored)) {
            held.narrower.store(true, Ordering::Release);
        }
    }
}

/// All of an informer's.
pub(crate) struct Leases {
    table: Mutex<Table>,
    /// What the holders want together. It stays as it was when the last one goes.
    wanted: watch::Sender<Fields>,
}

impl Leases {
    pub(crate) fn new(fields: &Fields) -> Self {
        Self { table: Mutex::default(), wanted: watch::Sender::new(fields.clone()) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has to be kept, and to be told when that changes.
    pub(crate) fn wanted(&self) -> watch::Receiver<Fields> {
        self.wanted.subscribe()
    }

    /// The store will have, from now on, at most these fields; called before it has more.
    pub(crate) fn widen(&self, fields: &Fields) {
        let mut table = self.lock();
        table.stored =
            Some(table.stored.as_ref().map_or_else(|| fields.clone(), |stored| stored.union(fields)));
        table.held.values().for_each(|held| table.mark(held));
    }

    /// The store has, from now on, these fields and no others; called once it has no more.
    pub(crate) fn settle(&self, fields: &Fields) {
        self.lock().stored = Some(fields.clone());
    }

    /// Runs this unless somebody wants more than these fields, and lets nobody come meanwhile; whether
    /// it ran.
    pub(crate) fn unless_more_is_wanted(&self, fields: &Fields, then: impl FnOnce()) -> bool {
        let table = self.lock();
        let enough = table.wanted().is_none_or(|wanted| fields.covers(&wanted));
        if enough {
            then();
        }
        enough
    }

    fn announce(&self, table: &Table) {
        let Some(wanted) = table.wanted() else { return };
        self.wanted.send_if_modified(|was| {
            let changed = *was != wanted;
            *was = wanted;
            changed
        });
    }

    fn take(&self, fields: &Fields) -> (u64, Arc<AtomicBool>) {
        let narrower = Arc::new(AtomicBool::new(false));
        let held = Held { fields: fields.clone(), narrower: Arc::clone(&narrower) };
        let mut table = self.lock();
        table.mark(&held);
        table.next += 1;
        let id = table.next;
        table.held.insert(id, held);
        self.announce(&table);
        (id, narrower)
    }

    fn give_back(&self, id: u64) {
        let mut table = self.lock();
        table.held.remove(&id);
        self.announce(&table);
    }
}

/// One holder's.
pub(crate) struct Lease {
    sink: Arc<Sink>,
    id: u64,
    fields: Fields,
    narrower: Arc<AtomicBool>,
    /// Those that it has added.
    indexes: Mutex<BTreeSet<String>>,
}

impl Lease {
    pub(crate) fn new(sink: &Arc<Sink>, fields: &Fields) -> Arc<Self> {
        let (id, narrower) = sink.leases.take(fields);
        let (sink, fields) = (Arc::clone(sink), fields.clone());
        Arc::new(Self { sink, id, fields, narrower, indexes: Mutex::default() })
    }

    fn indexes(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an index that lasts as long as this.
    pub(crate) fn add_index(&self, name: &str, values: IndexFn) {
        if self.indexes().insert(name.to_owned()) {
            self.sink.store.add_index(name, values);
        }
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Raised once the store may have more fields than these.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.narrower)
    }

    /// Whether the store may have more fields than these, or had.
    pub(crate) fn narrower(&self) -> bool {
        self.narrower.load(Ordering::Acquire)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Before their fields go.
        for name in std::mem::take(&mut *self.indexes()) {
            self.sink.store.remove_index(&name);
        }
        self.sink.leases.give_back(self.id);
    }
}
