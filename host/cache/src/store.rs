//! The store: one immutable encoded object per key, and its indexes.
//!
//! Everything is in persistent trees. A reader takes a lock just long enough to look one key up, or
//! to take a [`Snapshot`], which is a few reference counts however many objects there are; a whole
//! query is answered from one snapshot. There is one writer at a time; it works out what to file
//! where before it takes the lock.

use std::collections::HashMap;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use wheelhouse_core::access::Page;
use wheelhouse_core::{Fields, Key, Object};

use crate::index::{Index, IndexFn};
use crate::snapshot::{Query, Snapshot, State, UnknownIndex};
use crate::sync::{Mutex, PoisonError, RwLock};
use crate::writer::{Writer, refile};

pub use wheelhouse_core::spec::OWNER_INDEX;

/// For each index that is not pure, by position: what an object was filed under.
pub(crate) type Filed = Vec<Option<HashMap<Arc<Key>, Vec<String>>>>;

/// See the module.
pub struct Store {
    pub(crate) state: RwLock<State>,
    writer: Mutex<Filed>,
}

/// How often a new index catches up with what has changed meanwhile before the writer waits for it.
const CATCH_UPS: usize = 16;
/// So many changed objects the writer may wait for.
const FEW: usize = 8;

/// Files in an index what differs between two snapshots; how many objects do.
fn catch_up(
    index: &mut Index,
    mut filed: Option<&mut HashMap<Arc<Key>, Vec<String>>>,
    before: &Snapshot,
    now: &Snapshot,
) -> usize {
    let mut changed = 0;
    for change in before.state.objects.diff(&now.state.objects) {
        let (key, old, new) = match change {
            DiffItem::Add(key, new) => (key, None, Some(new)),
            DiffItem::Update { old: (_, old), new: (key, new) } => (key, Some(old), Some(new)),
            DiffItem::Remove(key, old) => (key, Some(old), None),
        };
        let old = index.function.is_pure().then(|| old.map(|old| index.function.values(old))).flatten();
        let new = new.map(|new| (index.function.values(new), new));
        refile(index, filed.as_deref_mut(), key, old, new);
        changed += 1;
    }
    changed
}

impl Default for Store {
    fn default() -> Self {
        let owners = Index::new(OWNER_INDEX, IndexFn::owner_uid());
        let state = State {
            objects: OrdMap::new(),
            by_key: imbl::HashMap::new(),
            unreadable: OrdMap::new(),
            fields: Fields::of([]),
            indexes: Arc::new(vec![owners]),
            seen: "".into(),
            synced: false,
            bytes: 0,
        };
        Self { state: RwLock::new(state), writer: Mutex::new(vec![None]) }
    }
}

impl Store {
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Object> {
        self.read(|state| state.by_key.get(key).cloned())
    }

    /// What the objects may have besides metadata.
    pub(crate) fn fields(&self) -> Fields {
        self.read(|state| state.fields.clone())
    }

    /// Why an object that is there cannot be made sense of; none if it is not there, or can.
    pub fn unreadable(&self, key: &Key) -> Option<Arc<str>> {
        self.read(|state| state.unreadable.get(key).cloned())
    }

    /// Whether the first list has been applied whole.
    pub fn synced(&self) -> bool {
        self.read(|state| state.synced)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read(|state| state.objects.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the objects' encoded sizes.
    pub fn bytes(&self) -> u64 {
        self.read(|state| state.bytes)
    }

    /// All that is there now; what happens later does not change it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { state: self.read(State::clone) }
    }

    /// A page.
    ///
    /// # Errors
    /// If it matches on an index that there is not.
    pub fn list(&self, query: &Query<'_>) -> Result<Page, UnknownIndex> {
        self.snapshot().list(query)
    }

    /// How many match, whatever the page's bounds.
    ///
    /// # Errors
    /// If it matches on an index that there is not.
    pub fn count(&self, query: &Query<'_>) -> Result<u64, UnknownIndex> {
        self.snapshot().count(query)
    }

    /// Adds an index and files what is there. An index of this name stays as it is, and has one more
    /// who wants it.
    pub fn add_index(&self, name: &str, function: IndexFn) {
        // The function may be slow: it is asked outside of every lock, and again only for what
        // changed meanwhile.
        if self.hold_index(name) {
            return;
        }
        let mut filed = (!function.is_pure()).then(HashMap::new);
        let mut index = Index::new(name, function);
        let mut before = self.snapshot();
        for (key, object) in &before.state.objects {
            let values = index.function.values(object);
            refile(&mut index, filed.as_mut(), key, None, Some((values, object)));
        }
        // As long as there is much to catch up with, nobody has to wait for it.
        for _ in 0..CATCH_UPS {
            let now = self.snapshot();
            let changed = catch_up(&mut index, filed.as_mut(), &before, &now);
            before = now;
            if changed < FEW {
                break;
            }
        }
        let mut writer = self.begin();
        if writer.hold_index(name) {
            return;
        }
        let now = self.snapshot();
        catch_up(&mut index, filed.as_mut(), &before, &now);
        drop((before, now));
        writer.filed.push(filed);
        writer.write(|state| Arc::make_mut(&mut state.indexes).push(index));
    }

    fn hold_index(&self, name: &str) -> bool {
        self.begin().hold_index(name)
    }

    /// Has one less who wants an index, and drops it with the last; nothing if there is none of this name.
    /// The built-in one stays.
    pub fn remove_index(&self, name: &str) {
        let mut writer = self.begin();
        let position = self.read(|state| state.indexes.iter().position(|index| &*index.name == name));
        let Some(position) = position.filter(|_| name != OWNER_INDEX) else { return };
        let removed = writer.write(|state| {
            let indexes = Arc::make_mut(&mut state.indexes);
            let index = indexes.get_mut(position)?;
            index.holders = index.holders.saturating_sub(1);
            (index.holders == 0).then(|| indexes.remove(position))
        });
        if removed.is_some() {
            writer.filed.remove(position);
        }
        drop(removed);
    }

    /// The one writer.
    pub(crate) fn begin(&self) -> Writer<'_> {
        Writer::new(self, self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
