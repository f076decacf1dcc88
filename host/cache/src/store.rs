//! The store: one immutable encoded object per key, and its indexes.
//!
//! Everything is in persistent trees. A reader takes a lock just long enough to look one key up, or
//! to take a [`Snapshot`], which is a few reference counts however many objects there are; a whole
//! query is answered from one snapshot. There is one writer at a time; it works out what to file
//! where before it takes the lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use imbl::OrdMap;
use wheelhouse_core::access::Page;
use wheelhouse_core::{Key, Object};

use crate::index::{Index, IndexFn};
use crate::snapshot::{Query, Snapshot, State, UnknownIndex};
use crate::version;

/// The built-in index of the UIDs of owners.
pub const OWNER_INDEX: &str = "metadata.ownerReferences.uid";

/// What happened to one key.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Arc<Key>,
    pub(crate) old: Option<Object>,
    pub(crate) new: Option<Object>,
}

/// For each index that is not pure, by position: what an object was filed under.
type Filed = Vec<Option<HashMap<Arc<Key>, Vec<String>>>>;

/// See the module.
pub struct Store {
    state: RwLock<State>,
    writer: Mutex<Filed>,
}

impl Default for Store {
    fn default() -> Self {
        let owners = Index::new(OWNER_INDEX, IndexFn::owner_uid());
        let state = State {
            objects: OrdMap::new(),
            by_key: imbl::HashMap::new(),
            indexes: Arc::new(vec![owners]),
            seen: "".into(),
            synced: false,
            bytes: 0,
        };
        Self { state: RwLock::new(state), writer: Mutex::new(vec![None]) }
    }
}

impl Store {
    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Object> {
        self.read(|state| state.by_key.get(key).cloned())
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

    /// Adds an index and files what is there. An index of this name stays as it is.
    pub fn add_index(&self, name: &str, function: IndexFn) {
        // The function may be slow: it is asked outside of every lock, and again only for what
        // changed meanwhile.
        let before = self.snapshot();
        if before.index(name).is_some() {
            return;
        }
        let mut filed = (!function.is_pure()).then(HashMap::new);
        let mut index = Index::new(name, function);
        for (key, object) in &before.state.objects {
            let values = index.function.values(object);
            refile(&mut index, filed.as_mut(), key, None, Some((values, object)));
        }
        let mut writer = self.begin();
        let now = self.snapshot();
        if now.index(name).is_some() {
            return;
        }
        for change in before.state.objects.diff(&now.state.objects) {
            let (key, old, new) = match change {
                imbl::ordmap::DiffItem::Add(key, new) => (key, None, Some(new)),
                imbl::ordmap::DiffItem::Update { old: (_, old), new: (key, new) } => {
                    (key, Some(old), Some(new))
                }
                imbl::ordmap::DiffItem::Remove(key, old) => (key, Some(old), None),
            };
            let old = index.function.is_pure().then(|| old.map(|old| index.function.values(old))).flatten();
            let new = new.map(|new| (index.function.values(new), new));
            refile(&mut index, filed.as_mut(), key, old, new);
        }
        drop((before, now));
        writer.filed.push(filed);
        writer.write(|state| Arc::make_mut(&mut state.indexes).push(index));
    }

    /// Drops an index; nothing if there is none of this name. The built-in one stays.
    pub fn remove_index(&self, name: &str) {
        let mut writer = self.begin();
        let position = self.read(|state| state.indexes.iter().position(|index| &*index.name == name));
        if let Some(position) = position.filter(|_| name != OWNER_INDEX) {
            writer.filed.remove(position);
            let removed = writer.write(|state| Arc::make_mut(&mut state.indexes).remove(position));
            drop(removed);
        }
    }

    /// The one writer.
    pub(crate) fn begin(&self) -> Writer<'_> {
        Writer { store: self, filed: self.writer.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// Moves a key's entries of one index, and puts the new object into those that stay. `old` is given
/// for pure indexes only.
fn refile(
    index: &mut Index,
    filed: Option<&mut HashMap<Arc<Key>, Vec<String>>>,
    key: &Arc<Key>,
    old: Option<Vec<String>>,
    new: Option<(Vec<String>, &Object)>,
) {
    let old = match filed {
        None => old.unwrap_or_default(),
        Some(filed) => match new.as_ref().filter(|(values, _)| !values.is_empty()) {
            Some((values, _)) => filed.insert(Arc::clone(key), values.clone()),
            None => filed.remove(key),
        }
        .unwrap_or_default(),
    };
    for value in &old {
        if !new.as_ref().is_some_and(|(values, _)| values.contains(value)) {
            index.unfile(key, value);
        }
    }
    if let Some((values, object)) = new {
        for value in &values {
            index.file(key, value, object);
        }
    }
}

/// The values that one index's entries of a key go by, before and after.
type Move = (Option<Vec<String>>, Option<Vec<String>>);

/// What a key has now.
type Present = Option<(Arc<Key>, Object)>;

/// Exclusive right to write.
pub(crate) struct Writer<'a> {
    store: &'a Store,
    filed: MutexGuard<'a, Filed>,
}

impl Writer<'_> {
    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.store.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn moves(indexes: &[Index], old: Option<&Object>, new: Option<&Object>) -> Vec<Move> {
        let of = |index: &Index| {
            let old = old.filter(|_| index.function.is_pure());
            (old.map(|o| index.function.values(o)), new.map(|o| index.function.values(o)))
        };
        indexes.iter().map(of).collect()
    }

    /// Puts one key's object into a state, or takes it out.
    fn put(filed: &mut Filed, state: &mut State, change: &Change, moves: Vec<Move>) {
        let size = |object: &Option<Object>| object.as_ref().map_or(0, |o| o.as_bytes().len() as u64);
        state.bytes = (state.bytes + size(&change.new)).saturating_sub(size(&change.old));
        match &change.new {
            Some(new) => {
                state.objects.insert(Arc::clone(&change.key), new.clone());
                state.by_key.insert(Arc::clone(&change.key), new.clone());
            }
            None => {
                state.objects.remove(&*change.key);
                state.by_key.remove(&*change.key);
            }
        }
        let indexes = Arc::make_mut(&mut state.indexes);
        for ((index, filed), (old, new)) in indexes.iter_mut().zip(filed.iter_mut()).zip(moves) {
            let new = new.zip(change.new.as_ref());
            refile(index, filed.as_mut(), &change.key, old, new);
        }
    }

    fn present(&self, key: &Key) -> (Present, Arc<Vec<Index>>) {
        self.store.read(|state| {
            let present = state.objects.get_key_value(key);
            (present.map(|(key, object)| (Arc::clone(key), object.clone())), Arc::clone(&state.indexes))
        })
    }

    fn apply(&mut self, change: &Change, indexes: Arc<Vec<Index>>, version: &str) {
        let moves = Self::moves(&indexes, change.old.as_ref(), change.new.as_ref());
        // Else the entries would be shared, and copied.
        drop(indexes);
        let filed = &mut *self.filed;
        let mut state = self.store.state.write().unwrap_or_else(PoisonError::into_inner);
        Self::put(filed, &mut state, change, moves);
        advance(&mut state, version);
    }

    /// An object as a watch reports it. Nothing if it is no news: a version that is there, or older.
    /// A new UID under an old name is a deletion and an addition.
    pub(crate) fn upsert(&mut self, object: Object) -> Vec<Change> {
        let (present, indexes) = self.present(&object.key());
        let version = object.resource_version().to_owned();
        let Some((key, old)) = present else {
            let change = Change { key: Arc::new(object.key()), old: None, new: Some(object) };
            self.apply(&change, indexes, &version);
            return vec![change];
        };
        let same = old.uid() == object.uid();
        let stale = version::older(&version, old.resource_version());
        if stale || (same && version == old.resource_version() && !version.is_empty()) {
            return Vec::new();
        }
        let change = Change { key, old: Some(old), new: Some(object) };
        self.apply(&change, indexes, &version);
        split(change)
    }

    /// A deletion as a watch reports it. Nothing if the key is not there, or has come again since.
    pub(crate) fn remove(&mut self, last: &Object) -> Option<Change> {
        let version = last.resource_version();
        let (present, indexes) = self.present(&last.key());
        let gone = present.filter(|(_, old)| {
            (old.uid() == last.uid() || last.uid().is_empty())
                && !version::older(version, old.resource_version())
        });
        let Some((key, old)) = gone else {
            drop(indexes);
            self.bookmark(version);
            return None;
        };
        let change = Change { key, old: Some(old), new: None };
        self.apply(&change, indexes, version);
        Some(change)
    }

    /// Nothing happened up to this version.
    pub(crate) fn bookmark(&mut self, version: &str) {
        self.write(|state| advance(state, version));
    }

    /// The collection as a list found it: what is not in it is gone. Readers see all of it at once.
    pub(crate) fn replace(&mut self, objects: Vec<Object>, version: &str) -> Vec<Change> {
        let mut next = self.store.read(State::clone);
        let before = next.objects.clone();
        let mut gone = before.clone();
        let mut changes = Vec::new();
        let filed = &mut *self.filed;
        for object in objects {
            let key = object.key();
            gone.remove(&key);
            let change = match next.objects.get_key_value(&key) {
                None => Change { key: Arc::new(key), old: None, new: Some(object) },
                Some((_, old)) if same_version(old, &object) => continue,
                Some((key, old)) => {
                    Change { key: Arc::clone(key), old: Some(old.clone()), new: Some(object) }
                }
            };
            let moves = Self::moves(&next.indexes, change.old.as_ref(), change.new.as_ref());
            Self::put(filed, &mut next, &change, moves);
            changes.extend(split(change));
        }
        for (key, old) in gone {
            let change = Change { key, old: Some(old), new: None };
            let moves = Self::moves(&next.indexes, change.old.as_ref(), None);
            Self::put(filed, &mut next, &change, moves);
            changes.push(change);
        }
        next.seen = version.into();
        next.synced = true;
        // The old state is taken apart after the lock is released.
        let old = self.write(|state| std::mem::replace(state, next));
        drop((old, before));
        changes
    }
}

fn same_version(old: &Object, new: &Object) -> bool {
    old.uid() == new.uid()
        && old.resource_version() == new.resource_version()
        && !new.resource_version().is_empty()
}

fn advance(state: &mut State, version: &str) {
    if !version.is_empty() && !version::reaches(&state.seen, version) {
        state.seen = version.into();
    }
}

/// A new UID under an old name is two objects.
fn split(change: Change) -> Vec<Change> {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) if old.uid() != new.uid() => {
            let Change { key, old, new } = change;
            vec![Change { key: Arc::clone(&key), old, new: None }, Change { key, old: None, new }]
        }
        _ => vec![change],
    }
}
