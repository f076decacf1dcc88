//! The one who writes to a store.
//!
//! It works out the next state beside the one that readers see. What the two have in common they share;
//! of what changes, the nodes on the way to it are copied.

use std::collections::HashMap;
use std::sync::Arc;

use wheelhouse_core::{Fields, Key, Object};

use crate::index::Index;
use crate::list_watch::Unreadable;
use crate::snapshot::State;
use crate::store::{Filed, Store};
use crate::sync::{MutexGuard, PoisonError};
use crate::version;

/// What happened to one key.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Arc<Key>,
    pub(crate) old: Option<Object>,
    pub(crate) new: Option<Object>,
}

/// Moves a key's entries of one index, and puts the new object into those that stay. `old` is given
/// for pure indexes only.
pub(crate) fn refile(
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
    pub(crate) filed: MutexGuard<'a, Filed>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(store: &'a Store, filed: MutexGuard<'a, Filed>) -> Self {
        Self { store, filed }
    }

    /// Has one more who wants an index; whether there is one of this name.
    pub(crate) fn hold_index(&self, name: &str) -> bool {
        self.write(|state| {
            let Some(at) = state.indexes.iter().position(|index| &*index.name == name) else { return false };
            if let Some(index) = Arc::make_mut(&mut state.indexes).get_mut(at) {
                index.holders += 1;
            }
            true
        })
    }

    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
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
        if !state.unreadable.is_empty() {
            state.unreadable.remove(&*change.key);
        }
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

    /// Works out the next state beside the one that readers see, and puts it in its place: a reader waits
    /// for a few words to be moved, and never for a tree to be changed.
    fn advance_with(&mut self, version: &str, change: impl FnOnce(&mut Filed, &mut State)) {
        let mut next = self.store.read(State::clone);
        change(&mut self.filed, &mut next);
        advance(&mut next, version);
        let old = self.write(|state| std::mem::replace(state, next));
        // It is taken apart after the lock is released.
        drop(old);
    }

    fn apply(&mut self, change: &Change, indexes: Arc<Vec<Index>>, version: &str) {
        let moves = Self::moves(&indexes, change.old.as_ref(), change.new.as_ref());
        drop(indexes);
        self.advance_with(version, |filed, next| Self::put(filed, next, change, moves));
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
            self.write(|state| {
                // Of what could not be read nothing is known but its name.
                if !state.unreadable.is_empty() && !state.by_key.contains_key(&last.key()) {
                    state.unreadable.remove(&last.key());
                }
                advance(state, version);
            });
            return None;
        };
        let change = Change { key, old: Some(old), new: None };
        self.apply(&change, indexes, version);
        Some(change)
    }

    /// An object as a watch reports it, which cannot be made sense of: what it was before goes, and
    /// readers are told. If it is gone, that is all there is to tell.
    pub(crate) fn unreadable(
        &mut self,
        key: &Key,
        reason: &str,
        deleted: bool,
        version: &str,
    ) -> Option<Change> {
        let (present, indexes) = self.present(key);
        if present.as_ref().is_some_and(|(_, old)| version::older(version, old.resource_version())) {
            return None;
        }
        let mark = |state: &mut State| {
            if deleted {
                state.unreadable.remove(key);
            } else {
                state.unreadable.insert(Arc::new(key.clone()), reason.into());
            }
        };
        let Some((key, old)) = present else {
            drop(indexes);
            self.write(|state| {
                mark(state);
                advance(state, version);
            });
            return None;
        };
        let change = Change { key, old: Some(old), new: None };
        let moves = Self::moves(&indexes, change.old.as_ref(), None);
        drop(indexes);
        self.advance_with(version, |filed, next| {
            Self::put(filed, next, &change, moves);
            mark(next);
        });
        Some(change)
    }

    /// Nothing happened up to this version.
    pub(crate) fn bookmark(&mut self, version: &str) {
        self.write(|state| advance(state, version));
    }

    /// The collection as a list found it: what is not in it is gone. Readers see all of it at once.
    ///
    /// An object of a version that is there stays as it is, unless other fields of it are kept now: then it
    /// is replaced, and that is no change.
    pub(crate) fn replace(
        &mut self,
        objects: Vec<Object>,
        unreadable: &[Unreadable],
        version: &str,
        fields: &Fields,
    ) -> Vec<Change> {
        let mut next = self.store.read(State::clone);
        let afresh = next.fields != *fields;
        let before = next.objects.clone();
        let mut gone = before.clone();
        let mut changes = Vec::new();
        let filed = &mut *self.filed;
        next.unreadable.clear();
        for object in objects {
            let key = object.key();
            gone.remove(&key);
            let (change, told) = match next.objects.get_key_value(&key) {
                None => (Change { key: Arc::new(key), old: None, new: Some(object) }, true),
                Some((key, old)) => {
                    let same = same_version(old, &object);
                    if same && !afresh {
                        continue;
                    }
                    (Change { key: Arc::clone(key), old: Some(old.clone()), new: Some(object) }, !same)
                }
            };
            let moves = Self::moves(&next.indexes, change.old.as_ref(), change.new.as_ref());
            Self::put(filed, &mut next, &change, moves);
            if told {
                changes.extend(split(change));
            }
        }
        for (key, old) in gone {
            let change = Change { key, old: Some(old), new: None };
            let moves = Self::moves(&next.indexes, change.old.as_ref(), None);
            Self::put(filed, &mut next, &change, moves);
            changes.push(change);
        }
        for Unreadable { key, reason } in unreadable {
            if let Some(key) = key {
                next.unreadable.insert(Arc::new(key.clone()), reason.as_str().into());
            }
        }
        next.seen = version.into();
        next.synced = true;
        next.fields = fields.clone();
        // The old state is taken apart after the lock is released.
        let old = self.write(|state| std::mem::replace(state, next));
        drop((old, before));
        changes
    }

    /// Leaves out of every object all but these fields. No index looks at another one.
    pub(crate) fn narrow(&mut self, fields: &Fields) {
        let mut next = self.store.read(State::clone);
        let filed = &mut *self.filed;
        for (key, old) in &next.objects.clone() {
            let new = fields.project(old);
            let change = Change { key: Arc::clone(key), old: Some(old.clone()), new: Some(new) };
            let known = |filed: &Option<HashMap<Arc<Key>, Vec<String>>>| filed.as_ref()?.get(key).cloned();
            let moves = next.indexes.iter().zip(filed.iter()).map(|(index, filed)| {
                // What a function said before, it would say again.
                let values = if index.function.is_pure() {
                    index.function.values(old)
                } else {
                    known(filed).unwrap_or_default()
                };
                (index.function.is_pure().then(|| values.clone()), Some(values))
            });
            let moves = moves.collect();
            Self::put(filed, &mut next, &change, moves);
        }
        next.fields = fields.clone();
        let old = self.write(|state| std::mem::replace(state, next));
        drop(old);
    }
}

/// Whether nothing has happened between the two.
pub(crate) fn same_version(old: &Object, new: &Object) -> bool {
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
