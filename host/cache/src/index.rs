//! Secondary indexes: the values under which an object is filed, and what is filed.
//!
//! An index is one ordered map from (value, key) to the object. So what has a value is a range in the
//! order of pages, a page starts anywhere at no cost, and a value that nothing has takes no room. The
//! object is there, and not just its key: to look each one up among a hundred thousand others
//! costs several times what reading it does.

use std::cmp::Ordering;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;
use wheelhouse_core::{FieldPath, Key, Object};

/// Bytes of one object's values, each with its place, in an index by field: some two thousand short ones. An
/// entry costs ten times that, and an array in an object may be long.
const MOST: usize = 64 << 10;

type Values = dyn Fn(&Object) -> Vec<String> + Send + Sync;

/// Which values an object has.
#[derive(Clone)]
pub struct IndexFn {
    values: Arc<Values>,
    /// Asked again of the same object, it answers the same: nothing has to be remembered.
    pure: bool,
    /// The label whose value it is.
    label: Option<Arc<str>>,
}

impl IndexFn {
    /// The scalar values at a path. One of a label is used by label selectors, too. An object that has more than
    /// 64 KiB of them is not indexed.
    pub fn field(path: FieldPath) -> Self {
        let label = path.as_label().map(Into::into);
        let said = std::sync::atomic::AtomicBool::new(false);
        let values = move |object: &Object| {
            let values = path.texts(object.value());
            if values.iter().map(|value| value.len() + size_of::<String>()).sum::<usize>() > MOST {
                // Not each time that such an object changes: whoever writes objects would fill the log.
                if !said.swap(true, std::sync::atomic::Ordering::Relaxed) {
                    tracing::warn!(
                        object = %object.key(), %path, values = values.len(),
                        "the object is not indexed, and no other one like it: it has more than 64 KiB of values there"
                    );
                }
                return Vec::new();
            }
            values.into_iter().map(Into::into).collect()
        };
        Self { values: Arc::new(values), pure: true, label }
    }

    /// The UIDs of the object's owners.
    pub fn owner_uid() -> Self {
        let values = |object: &Object| {
            let owners = object.value().at(&["metadata", "ownerReferences"]);
            let owners = owners.into_iter().flat_map(|owners| owners.items());
            owners.filter_map(|owner| Some(owner.get("uid")?.as_str()?.to_owned())).collect()
        };
        Self { values: Arc::new(values), pure: true, label: None }
    }

    /// Any function. It is called once per version of an object, on the task that applies the
    /// watch: it must be quick. A panic is "no values".
    pub fn from_fn(values: impl Fn(&Object) -> Vec<String> + Send + Sync + 'static) -> Self {
        Self { values: Arc::new(values), pure: false, label: None }
    }

    /// The object's values, each once, in order.
    pub fn values(&self, object: &Object) -> Vec<String> {
        let values = catch_unwind(AssertUnwindSafe(|| (self.values)(object)));
        let mut values = values.unwrap_or_else(|_| {
            tracing::warn!(object = %object.key(), "an index function panicked: the object is not indexed");
            Vec::new()
        });
        values.sort_unstable();
        values.dedup();
        values
    }

    pub(crate) fn is_pure(&self) -> bool {
        self.pure
    }

    pub(crate) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
}

impl fmt::Debug for IndexFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexFn").field("pure", &self.pure).finish_non_exhaustive()
    }
}

/// An object is filed under a value. Ordered by value, then as lists are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    value: Arc<str>,
    key: Arc<Key>,
}

/// One index's entries. A clone is a snapshot, and costs nothing.
#[derive(Clone)]
pub(crate) struct Index {
    pub(crate) name: Arc<str>,
    pub(crate) function: IndexFn,
    /// How many want it.
    pub(crate) holders: usize,
    entries: OrdMap<Entry, Object>,
}

impl Index {
    pub(crate) fn new(name: &str, function: IndexFn) -> Self {
        Self { name: name.into(), function, holders: 1, entries: OrdMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Files an object under a value, or what the key has now in place of what it had.
    pub(crate) fn file(&mut self, key: &Arc<Key>, value: &str, object: &Object) {
        let mut entry = Entry { value: value.into(), key: Arc::clone(key) };
        // A value that many objects have is stored once.
        if let Some((neighbour, _)) = self.entries.get_next(&entry).filter(|(n, _)| n.value == entry.value) {
            entry.value = Arc::clone(&neighbour.value);
        } else if let Some((neighbour, _)) =
            self.entries.get_prev(&entry).filter(|(n, _)| n.value == entry.value)
        {
            entry.value = Arc::clone(&neighbour.value);
        }
        self.entries.insert(entry, object.clone());
    }

    pub(crate) fn unfile(&mut self, key: &Arc<Key>, value: &str) {
        self.entries.remove(&Entry { value: value.into(), key: Arc::clone(key) });
    }

    /// The keys and objects with this value after that key, in a namespace or ("") in all.
    pub(crate) fn matching<'a>(
        &'a self,
        value: &str,
        namespace: &'a str,
        after: Option<&Key>,
    ) -> Matching<'a> {
        let value: Arc<str> = value.into();
        let first = Key::new(namespace, "");
        let start = after.filter(|after| **after > first).cloned().unwrap_or(first);
        let excluded = after.cloned();
        let range = self.entries.range(Entry { value: Arc::clone(&value), key: Arc::new(start) }..);
        Matching { range, entries: &self.entries, value, namespace, excluded }
    }
}

/// See [`Index::matching`]. A clone goes on from where this one is.
#[derive(Clone)]
pub(crate) struct Matching<'a> {
    range: RangedIter<'a, Entry, Object, DefaultSharedPtr>,
    entries: &'a OrdMap<Entry, Object>,
    value: Arc<str>,
    namespace: &'a str,
    excluded: Option<Key>,
}

impl Matching<'_> {
    /// Whether a key has the value; a look-up, whatever has been passed.
    pub(crate) fn has(&self, key: &Arc<Key>) -> bool {
        self.entries.contains_key(&Entry { value: Arc::clone(&self.value), key: Arc::clone(key) })
    }
}

impl<'a> Iterator for Matching<'a> {
    type Item = (&'a Arc<Key>, &'a Object);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (Entry { value, key }, object) = self.range.next()?;
            if *value != self.value || !(self.namespace.is_empty() || key.namespace == self.namespace) {
                return None;
            }
            if self.excluded.as_ref().is_none_or(|after| key.as_ref().cmp(after) == Ordering::Greater) {
                return Some((key, object));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hostile_an_array_that_would_fill_an_index_is_left_out_of_it() {
        let index = IndexFn::field(".spec.zones[*]".parse().unwrap());
        let values = |zones: Vec<String>| {
            let object = json!({"metadata": {"name": "a"}, "spec": {"zones": zones}});
            index.values(&Object::from_value(&object).unwrap()).len()
        };
        let short = |count: usize| (0..count).map(|i| format!("{i:04}")).collect();
        assert_eq!((values(short(2_000)), values(short(100_000))), (2_000, 0));
        assert_eq!((values(vec!["x".repeat(60_000)]), values(vec!["x".repeat(70_000)])), (1, 0));
    }
}
