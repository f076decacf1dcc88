//! Who holds an informer, and for which fields.
//!
//! A store keeps the union of what its holders read, and says with every look at it what that is. Whoever
//! reads less leaves out the rest.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use wheelhouse_core::Fields;

use crate::index::IndexFn;
use crate::sink::Sink;
use crate::sync::{Mutex, MutexGuard, PoisonError, watch};

#[derive(Default)]
struct Table {
    next: u64,
    held: HashMap<u64, Fields>,
}

impl Table {
    fn wanted(&self) -> Option<Fields> {
        self.held.values().cloned().reduce(|one, other| one.union(&other))
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

    fn take(&self, fields: &Fields) -> u64 {
        let mut table = self.lock();
        table.next += 1;
        let id = table.next;
        table.held.insert(id, fields.clone());
        self.announce(&table);
        id
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
    /// Those that it has added.
    indexes: Mutex<BTreeSet<String>>,
}

impl Lease {
    pub(crate) fn new(sink: &Arc<Sink>, fields: &Fields) -> Arc<Self> {
        let id = sink.leases.take(fields);
        let (sink, fields) = (Arc::clone(sink), fields.clone());
        Arc::new(Self { sink, id, fields, indexes: Mutex::default() })
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
