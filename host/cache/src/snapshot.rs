//! A store at one moment, and the queries that it answers.

use std::ops::ControlFlow;
use std::sync::Arc;

use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{HashMap, OrdMap};
use wheelhouse_core::access::Page;
use wheelhouse_core::field_selector::FieldRequirement;
use wheelhouse_core::{Fields, Key, LabelSelector, Object};

use crate::index::{Index, IndexFn, Matching};

/// So many of the labels that a selector wants to have one value are looked up, where there are indexes of
/// them. Which of more it were does not matter: the whole selector is looked at for each object.
const LABELS: usize = 16;

/// Which objects, and which page of them. The default is all, on one page.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// "" for all.
    pub namespace: &'a str,
    /// Of their labels.
    pub selector: &'a LabelSelector,
    /// Of their fields: what no index answers.
    pub fields: &'a [&'a FieldRequirement],
    /// Index and value; all must match.
    pub matches: &'a [(&'a str, &'a str)],
    /// Objects in a page, at most; 0 for no bound.
    pub limit: usize,
    /// Bytes of a page: it ends at the object that reaches them; 0 for no bound.
    pub bytes: usize,
    /// The key after which the page starts.
    pub after: Option<&'a Key>,
}

impl Default for Query<'static> {
    fn default() -> Self {
        static ALL: LabelSelector = LabelSelector::all();
        Self { namespace: "", selector: &ALL, fields: &[], matches: &[], limit: 0, bytes: 0, after: None }
    }
}

impl Query<'_> {
    /// Whether its selectors select an object; indexes are not asked.
    pub fn selects(&self, object: &Object) -> bool {
        self.selector.matches(object.value())
            && self.fields.iter().all(|requirement| requirement.holds(object.value()))
    }

    fn selects_all(&self) -> bool {
        self.selector.is_empty() && self.fields.is_empty()
    }
}

/// There is no index of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no index {0:?}")]
pub struct UnknownIndex(pub String);

#[derive(Clone)]
pub(crate) struct State {
    /// In the order of lists.
    pub(crate) objects: OrdMap<Arc<Key>, Object>,
    /// The same, to get one: in order, it takes a dozen comparisons of keys all over the memory.
    pub(crate) by_key: HashMap<Arc<Key>, Object>,
    /// Those that are there and could not be decoded, and why.
    pub(crate) unreadable: OrdMap<Arc<Key>, Arc<str>>,
    /// What the objects may have besides metadata.
    pub(crate) fields: Fields,
    pub(crate) indexes: Arc<Vec<Index>>,
    /// The newest version of the collection that is known to be in here.
    pub(crate) seen: Arc<str>,
    pub(crate) synced: bool,
    pub(crate) bytes: u64,
}

impl State {
    pub(crate) fn look_up(&self, key: &Key) -> Result<Option<Object>, Arc<str>> {
        match self.by_key.get(key) {
            Some(object) => Ok(Some(object.clone())),
            None => self.unreadable.get(key).map_or(Ok(None), |reason| Err(Arc::clone(reason))),
        }
    }
}

/// A store at one moment.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) state: State,
}

impl Snapshot {
    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Object> {
        self.state.by_key.get(key)
    }

    /// One object, if there is one.
    ///
    /// # Errors
    /// If it is there, and cannot be made sense of: why.
    pub fn look_up(&self, key: &Key) -> Result<Option<Object>, Arc<str>> {
        self.state.look_up(key)
    }

    /// Whether its objects may have other fields than these.
    pub fn is_wider_than(&self, fields: &Fields) -> bool {
        !fields.covers(&self.state.fields)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Key>, &Object)> {
        self.state.objects.iter()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.state.objects.is_empty()
    }

    /// The sum of the objects' encoded sizes.
    pub fn bytes(&self) -> u64 {
        self.state.bytes
    }

    /// How many more there are that cannot be made sense of.
    pub fn unreadable(&self) -> usize {
        self.state.unreadable.len()
    }

    /// Whether the first list has been applied whole.
    pub fn synced(&self) -> bool {
        self.state.synced
    }

    /// Every write to the kind up to this resource version is in here.
    pub fn seen(&self) -> &str {
        &self.state.seen
    }

    pub(crate) fn index(&self, name: &str) -> Option<&Index> {
        self.state.indexes.iter().find(|index| &*index.name == name)
    }

    /// An index's function.
    pub fn index_fn(&self, name: &str) -> Option<&IndexFn> {
        self.index(name).map(|index| &index.function)
    }

    /// How many entries each index has.
    pub fn index_sizes(&self) -> Vec<(Arc<str>, usize)> {
        self.state.indexes.iter().map(|index| (Arc::clone(&index.name), index.len())).collect()
    }

    /// Looks for all that match, in order, after the query's key and whatever its bounds.
    ///
    /// # Errors
    /// If it matches on an index that there is not.
    pub fn scan<'a>(&'a self, query: &Query<'a>) -> Result<Scan<'a>, UnknownIndex> {
        let mut wanted: Vec<(&'a Index, &'a str)> = Vec::with_capacity(query.matches.len());
        // Each once: what is wanted twice is as much as what is wanted once.
        let mut want = |index: &'a Index, value: &'a str| {
            if !wanted.iter().any(|(other, v)| std::ptr::eq(*other, index) && *v == value) {
                wanted.push((index, value));
            }
        };
        for (index, value) in query.matches {
            want(self.index(index).ok_or_else(|| UnknownIndex((*index).to_owned()))?, value);
        }
        // What a label must be is looked up where there is an index of it.
        for (label, value) in query.selector.equalities().take(LABELS) {
            if let Some(index) = self.state.indexes.iter().find(|index| index.function.label() == Some(label))
            {
                want(index, value);
            }
        }
        let mut matching: Vec<_> = wanted
            .into_iter()
            .map(|(index, value)| index.matching(value, query.namespace, query.after))
            .collect();
        let (source, others) = match (matching.pop(), matching.is_empty()) {
            (None, _) => (Source::All(self.state.objects.range(start(query)..)), Vec::new()),
            (Some(only), true) => (Source::One(only), Vec::new()),
            (Some(last), false) => {
                matching.push(last);
                (Source::Race(matching.clone()), matching)
            }
        };
        // Without a selector no object is even looked at: a count of an index's entries needs none.
        Ok(Scan { source, others, query: *query, selects_all: query.selects_all() })
    }

    /// A page.
    ///
    /// # Errors
    /// If it matches on an index that there is not.
    pub fn list(&self, query: &Query<'_>) -> Result<Page, UnknownIndex> {
        let mut pager = Pager::new(query);
        let _full = self.scan(query)?.flatten().try_for_each(|(_, object)| pager.take(object));
        let mut page = pager.page;
        self.name_unreadable(&mut page, query);
        Ok(page)
    }

    /// Names the objects that may or may not match, in the part of the order that a page is of.
    pub fn name_unreadable(&self, page: &mut Page, query: &Query<'_>) {
        let start = query.after.cloned().unwrap_or_else(|| Key::new(query.namespace, ""));
        let inside = |key: &Key| {
            (query.namespace.is_empty() || key.namespace == query.namespace)
                && query.after.is_none_or(|after| key > after)
                && page.more_after.as_ref().is_none_or(|last| key <= last)
        };
        let found = self.state.unreadable.range(start..).map(|(key, _)| key.as_ref());
        page.unreadable = found.filter(|key| inside(key)).cloned().collect();
    }

    /// How many match, whatever the page's bounds.
    ///
    /// # Errors
    /// If it matches on an index that there is not.
    pub fn count(&self, query: &Query<'_>) -> Result<u64, UnknownIndex> {
        let query = Query { after: None, ..*query };
        if let Some(all) = self.count_at_once(&query) {
            return Ok(all);
        }
        Ok(self.scan(&query)?.flatten().count() as u64)
    }

    /// Likewise, if that can be told without a look at them.
    pub fn count_at_once(&self, query: &Query<'_>) -> Option<u64> {
        let all = query.namespace.is_empty() && query.matches.is_empty() && query.selects_all();
        all.then_some(self.state.objects.len() as u64)
    }
}

/// The first key that a query may find.
fn start(query: &Query<'_>) -> Key {
    let first = Key::new(query.namespace, "");
    query.after.filter(|after| **after > first).cloned().unwrap_or(first)
}

/// Keys and objects, in order; none in place of each that was looked at and does not match, so that
/// whoever scans can take a break, however few match.
///
/// Where several indexes have what is wanted, the one that has the fewest is found first, at the cost of as
/// many steps in each, and with nothing to show for it but places to take a break at.
pub struct Scan<'a> {
    source: Source<'a>,
    /// They must have it, too.
    others: Vec<Matching<'a>>,
    query: Query<'a>,
    selects_all: bool,
}

enum Source<'a> {
    All(RangedIter<'a, Arc<Key>, Object, DefaultSharedPtr>),
    One(Matching<'a>),
    /// The one of the others that ends first is to be the source.
    Race(Vec<Matching<'a>>),
}

impl<'a> Iterator for Scan<'a> {
    type Item = Option<(&'a Arc<Key>, &'a Object)>;

    fn next(&mut self) -> Option<Self::Item> {
        let Query { namespace, after, .. } = self.query;
        let (key, object) = match &mut self.source {
            Source::One(matching) => matching.next()?,
            Source::All(range) => {
                let (key, object) = range.next()?;
                if !namespace.is_empty() && key.namespace != namespace {
                    return None;
                }
                if after.is_some_and(|after| **key <= *after) {
                    return Some(None);
                }
                (key, object)
            }
            Source::Race(racing) => {
                if let Some(first) = racing.iter_mut().position(|matching| matching.next().is_none()) {
                    self.source = Source::One(self.others.swap_remove(first));
                }
                return Some(None);
            }
        };
        let matches = self.others.iter().all(|other| other.has(key))
            && (self.selects_all || self.query.selects(object));
        Some(matches.then_some((key, object)))
    }
}

/// Cuts a page, by a query's bounds, from objects in order.
#[derive(Debug)]
pub struct Pager {
    limit: usize,
    max_bytes: usize,
    bytes: usize,
    /// As far as it is filled.
    pub page: Page,
}

impl Pager {
    /// An empty page.
    pub fn new(query: &Query<'_>) -> Self {
        let page = Page { objects: Vec::new(), more_after: None, unreadable: Vec::new() };
        Self { limit: query.limit, max_bytes: query.bytes, bytes: 0, page }
    }

    /// Takes the next object, or breaks if the page is full: then this one is what comes after it.
    pub fn take(&mut self, object: &Object) -> ControlFlow<()> {
        let full = (self.limit > 0 && self.page.objects.len() >= self.limit)
            || (self.max_bytes > 0 && self.bytes >= self.max_bytes);
        if full {
            self.page.more_after = self.page.objects.last().map(Object::key);
            return ControlFlow::Break(());
        }
        self.bytes += object.as_bytes().len();
        self.page.objects.push(object.clone());
        ControlFlow::Continue(())
    }
}
