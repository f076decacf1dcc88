//! A store at one moment, and the queries that it answers.

use std::ops::ControlFlow;
use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use wheelhouse_core::access::Page;
use wheelhouse_core::field_selector::FieldRequirement;
use wheelhouse_core::{Fields, Key, LabelSelector, Object};

use crate::index::{Index, IndexFn, Matching};

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

/// Keys and objects, in order; none in place of each that was looked at and does not match, so that
/// whoever scans can take a break, however few match.
pub type Scan<'a> = Box<dyn Iterator<Item = Option<(&'a Arc<Key>, &'a Object)>> + Send + 'a>;

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
        let (namespace, after) = (query.namespace, query.after);
        let query = *query;
        // Without a selector no object is even looked at: a count of an index's entries needs none.
        let selected =
            move |(_, object): &(&'a Arc<Key>, &'a Object)| query.selects_all() || query.selects(object);
        let mut matching = Vec::with_capacity(query.matches.len());
        for (index, value) in query.matches {
            let index = self.index(index).ok_or_else(|| UnknownIndex((*index).to_owned()))?;
            matching.push(index.matching(value, namespace, after));
        }
        // What a label must be is looked up where there is an index of it.
        for (label, value) in query.selector.equalities() {
            if let Some(index) = self.state.indexes.iter().find(|index| index.function.label() == Some(label))
            {
                matching.push(index.matching(value, namespace, after));
            }
        }
        if matching.is_empty() {
            let first = Key::new(namespace, "");
            let start = after.filter(|after| **after > first).cloned().unwrap_or(first);
            let after = after.cloned();
            let range = self.state.objects.range(start..);
            let range = range
                .take_while(move |(key, _)| namespace.is_empty() || key.namespace == namespace)
                .filter(move |(key, _)| after.as_ref().is_none_or(|after| ***key > *after));
            return Ok(Box::new(range.map(move |found| Some(found).filter(&selected))));
        }
        let smallest = matching.swap_remove(smallest(&matching));
        let all = move |(key, _): &(&'a Arc<Key>, _)| matching.iter().all(|other| other.has(key));
        Ok(Box::new(smallest.map(move |found| Some(found).filter(&all).filter(&selected))))
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

/// Which of them ends first, at the cost of its length.
fn smallest(matching: &[Matching<'_>]) -> usize {
    let mut racing: Vec<_> = matching.iter().map(Matching::again).collect();
    if racing.len() < 2 {
        return 0;
    }
    loop {
        if let Some(first) = racing.iter_mut().position(|range| range.next().is_none()) {
            return first;
        }
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
