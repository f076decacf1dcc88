//! What each reconcile has read, and whom a change therefore concerns: a pure book, without I/O.
//!
//! It promises:
//!
//! - a read counts from the moment it is noted, which is before it is answered, while its reconcile
//!   still runs: a change that comes meanwhile finds its reader;
//! - a reconcile that ends well leaves what it has read, in place of what the one before has; any other
//!   leaves both;
//! - it never forgets a reader for want of room: it follows a whole kind for it instead, which is coarser;
//! - a change costs by whom it concerns, and by how many different fields queries of its kind ask for,
//!   and not by how many readers there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use wheelhouse_core::{FieldPath, Key, Kind, Object};

pub(crate) use query::Query;

mod query;
#[cfg(test)]
mod tests;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Dependencies of one reader.
    pub(crate) per_reader: usize,
    /// Bytes of all of them, about.
    pub(crate) bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        // A reader that needs more reads a good part of a kind. The bytes are some 300,000 dependencies.
        Self { per_reader: 1_000, bytes: 128 << 20 }
    }
}

/// What a dependency costs besides its texts: entries of three maps and what they point to.
const ENTRY: usize = 400;

/// A query whose texts are longer is followed as all in its namespace, or as the one name that it asks for.
const QUERY_BYTES: usize = 2 << 10;

/// Something that was read of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum On {
    /// An object, or that it is absent.
    Object(Arc<Key>),
    /// Whatever a query finds.
    Query(Arc<Query>),
    /// All of it that the plugin's sources select.
    Kind,
}

impl On {
    fn bytes(&self) -> usize {
        ENTRY
            + match self {
                Self::Object(key) => key.namespace.len() + key.name.len(),
                Self::Query(query) => query.bytes(),
                Self::Kind => 0,
            }
    }
}

/// Keys whose reconciles have read something.
type Readers = HashSet<Arc<Key>>;

/// A change of an object.
pub(crate) struct Change<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) key: &'a Key,
    pub(crate) old: Option<&'a Object>,
    pub(crate) new: Option<&'a Object>,
    /// It had states in between that nobody was told of, and that a reconcile may have read.
    pub(crate) folded: bool,
    /// The plugin's sources select it: its informer may have more, for others.
    pub(crate) selected: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Book {
    bounds: Bounds,
    /// What each reader has read, and whether the reconcile that runs, or the last one, has.
    readers: HashMap<Arc<Key>, HashMap<(Kind, On), bool>>,
    kinds: HashMap<Kind, OfKind>,
    count: usize,
    bytes: usize,
    coarsened: u64,
}

/// By namespace and value.
type Bucket = HashMap<String, HashMap<String, HashSet<Arc<Query>>>>;

#[derive(Default)]
struct OfKind {
    objects: HashMap<Arc<Key>, Readers>,
    queries: HashMap<Arc<Query>, Readers>,
    /// By the field that they ask for, their namespace, and the value: a change is looked up by its own.
    /// Queries that ask for no value of any field are under none and "".
    buckets: HashMap<Option<FieldPath>, Bucket>,
    all: Readers,
}

impl Book {
    #[cfg(test)]
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// How many dependencies there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How often a kind was followed as a whole for want of room.
    pub(crate) fn coarsened(&self) -> u64 {
        self.coarsened
    }

    /// A reconcile of this key begins. There is one at a time.
    pub(crate) fn begin(&mut self, reader: &Arc<Key>) {
        for read_now in self.readers.get_mut(reader).into_iter().flat_map(HashMap::values_mut) {
            *read_now = false;
        }
    }

    /// It reads an object, or looks for one.
    pub(crate) fn reads_object(&mut self, reader: &Arc<Key>, kind: &Kind, key: &Key) {
        let known = self.kinds.get(kind).and_then(|of_kind| of_kind.objects.get_key_value(key));
        let key = known.map_or_else(|| Arc::new(key.clone()), |(key, _)| Arc::clone(key));
        self.note(reader, kind, On::Object(key));
    }

    /// It asks for what a query finds.
    pub(crate) fn reads_query(&mut self, reader: &Arc<Key>, kind: &Kind, query: Query) {
        let query = if query.bytes() > QUERY_BYTES { query.widened() } else { query };
        let known = self.kinds.get(kind).and_then(|of_kind| of_kind.queries.get_key_value(&query));
        let query = known.map_or_else(|| Arc::new(query.clone()), |(query, _)| Arc::clone(query));
        self.note(reader, kind, On::Query(query));
    }

    fn note(&mut self, reader: &Arc<Key>, kind: &Kind, on: On) {
        let all = (kind.clone(), On::Kind);
        let dependency = (kind.clone(), on);
        if let Some(of_reader) = self.readers.get_mut(reader) {
            if of_reader.get(&all) == Some(&true) {
                return;
            }
            if let Some(read_now) = of_reader.get_mut(&dependency) {
                *read_now = true;
                return;
            }
            if of_reader.len() >= self.bounds.per_reader {
                return self.coarsen(reader, kind);
            }
        }
        if self.bytes + dependency.1.bytes() > self.bounds.bytes {
            return self.coarsen(reader, kind);
        }
        self.insert(reader, dependency);
    }

    /// Follows all of a kind for a reader, in place of all else that it has read of it. If it was another
    /// kind of which it had read too much, that one comes to this with its own next read.
    fn coarsen(&mut self, reader: &Arc<Key>, kind: &Kind) {
        self.coarsened += 1;
        let of_reader = self.readers.get(reader).into_iter().flatten();
        let of_kind = of_reader.map(|(dependency, _)| dependency).filter(|(of, _)| of == kind);
        for dependency in of_kind.cloned().collect::<Vec<_>>() {
            self.remove(reader, &dependency);
        }
        self.insert(reader, (kind.clone(), On::Kind));
    }

    fn insert(&mut self, reader: &Arc<Key>, dependency: (Kind, On)) {
        let (kind, on) = &dependency;
        let of_kind = self.kinds.entry(kind.clone()).or_default();
        of_kind.readers_mut(on).insert(Arc::clone(reader));
        self.bytes += on.bytes();
        self.count += 1;
        self.readers.entry(Arc::clone(reader)).or_default().insert(dependency, true);
    }

    fn remove(&mut self, reader: &Arc<Key>, dependency: &(Kind, On)) {
        let (kind, on) = dependency;
        if let Some(of_kind) = self.kinds.get_mut(kind) {
            of_kind.remove(on, reader);
        }
        if let Some(of_reader) = self.readers.get_mut(reader)
            && of_reader.remove(dependency).is_some()
        {
            self.bytes -= on.bytes();
            self.count -= 1;
        }
    }

    /// The reconcile of this key ends; `whole` if it has read all that it needed.
    pub(crate) fn end(&mut self, reader: &Arc<Key>, whole: bool) {
        let of_reader = self.readers.get(reader).into_iter().flatten();
        let stale = of_reader.filter(|(_, read_now)| whole && !**read_now).map(|(on, _)| on.clone());
        for dependency in stale.collect::<Vec<_>>() {
            self.remove(reader, &dependency);
        }
        if let Some(of_reader) = self.readers.get_mut(reader) {
            if of_reader.is_empty() {
                self.readers.remove(reader);
            } else if of_reader.capacity() > 4 * of_reader.len() + 16 {
                of_reader.shrink_to_fit();
            }
        }
    }

    /// Forgets what this key's reconciles have read.
    pub(crate) fn forget(&mut self, reader: &Arc<Key>) {
        self.begin(reader);
        self.end(reader, true);
    }

    /// Whom a change concerns, each once; `own` is the kind of the readers, whose own objects are left
    /// to their source.
    pub(crate) fn concerned(&self, own: &Kind, change: &Change<'_>) -> Vec<Arc<Key>> {
        let Some(of_kind) = self.kinds.get(change.kind) else { return Vec::new() };
        let mut concerned = Readers::new();
        let mut add = |readers: &Readers| concerned.extend(readers.iter().cloned());
        if change.selected {
            add(&of_kind.all);
        }
        of_kind.objects.get(change.key).into_iter().for_each(&mut add);
        if change.folded {
            let queries = of_kind.queries.iter().filter(|(query, _)| query.may_find(change.key));
            queries.for_each(|(_, readers)| add(readers));
        } else {
            of_kind.finding(change, &mut add);
        }
        let own = (change.kind == own).then_some(change.key);
        concerned.into_iter().filter(|reader| Some(reader.as_ref()) != own).collect()
    }
}

impl OfKind {
    fn readers_mut(&mut self, on: &On) -> &mut Readers {
        match on {
            On::Object(key) => self.objects.entry(Arc::clone(key)).or_default(),
            On::Query(query) => {
                let (path, value) = query.bucket();
                let by_namespace = self.buckets.entry(path).or_default();
                let by_value = by_namespace.entry(query.namespace.clone()).or_default();
                by_value.entry(value.to_owned()).or_default().insert(Arc::clone(query));
                self.queries.entry(Arc::clone(query)).or_default()
            }
            On::Kind => &mut self.all,
        }
    }

    fn remove(&mut self, on: &On, reader: &Arc<Key>) {
        match on {
            On::Object(key) => {
                remove_reader(&mut self.objects, key, reader);
            }
            On::Query(query) => {
                if remove_reader(&mut self.queries, query, reader) {
                    self.remove_from_bucket(query);
                }
            }
            On::Kind => {
                self.all.remove(reader);
            }
        }
    }

    fn remove_from_bucket(&mut self, query: &Arc<Query>) {
        let (path, value) = query.bucket();
        let Some(by_namespace) = self.buckets.get_mut(&path) else { return };
        if let Some(by_value) = by_namespace.get_mut(&query.namespace) {
            if let Some(queries) = by_value.get_mut(value) {
                queries.remove(query);
                if queries.is_empty() {
                    by_value.remove(value);
                }
            }
            if by_value.is_empty() {
                by_namespace.remove(&query.namespace);
            }
        }
        if by_namespace.is_empty() {
            self.buckets.remove(&path);
        }
    }

    /// The readers of queries that find the object before or after the change.
    fn finding(&self, change: &Change<'_>, found: &mut impl FnMut(&Readers)) {
        for object in [change.old, change.new].into_iter().flatten() {
            for (path, by_namespace) in &self.buckets {
                let values = path.as_ref().map_or_else(|| vec!["".into()], |path| path.texts(object.value()));
                let everywhere = Some("").filter(|_| !change.key.namespace.is_empty());
                for namespace in everywhere.into_iter().chain([change.key.namespace.as_str()]) {
                    let Some(by_value) = by_namespace.get(namespace) else { continue };
                    let queries = values.iter().filter_map(|value| by_value.get(value.as_ref())).flatten();
                    for query in queries.filter(|query| query.finds(object)) {
                        self.queries.get(query).into_iter().for_each(&mut *found);
                    }
                }
            }
        }
    }
}

/// Whether it was the last one.
fn remove_reader<K: std::hash::Hash + Eq>(
    all: &mut HashMap<Arc<K>, Readers>,
    read: &Arc<K>,
    reader: &Arc<Key>,
) -> bool {
    let Some(readers) = all.get_mut(read) else { return false };
    readers.remove(reader);
    let last = readers.is_empty();
    if last {
        all.remove(read);
    }
    last
}
