//! Reads from the host's cache. They cost microseconds and no request to the API server.
//!
//! No read shows a part of a list, or "absent" for what was merely not seen yet, or an object older
//! than this plugin's last write to it. An object may well be older than the API server's.

use std::sync::Arc;

use wheelhouse_core::encoding::ListReader;

use crate::bindings::wheelhouse::controller::objects as host;
use crate::{ApiError, Object, ObjectKey};

/// The object, or `None` if it does not exist. `kind` is `group/version/Kind`, or `v1/Pod` for the
/// core group.
///
/// # Errors
/// [`Denied`](ApiError::Denied) without the permission to get it; what a live read may return while
/// the kind is not synced.
pub fn get(kind: &str, key: &ObjectKey) -> Result<Option<Object>, ApiError> {
    Ok(host::get(kind, key)?.map(Object::from_encoded))
}

/// The objects of a kind; say which with [`List`]'s methods, then iterate or [count](List::count).
///
/// ```no_run
/// # use wheelhouse_sdk::{ApiError, objects};
/// # fn f() -> Result<(), ApiError> {
/// for pod in objects::list("v1/Pod").matching(".spec.nodeName", "node-1") {
///     println!("{}", pod?.name());
/// }
/// # Ok(()) }
/// ```
pub fn list(kind: &str) -> List {
    List {
        kind: kind.to_owned(),
        query: host::Query {
            namespace: String::new(),
            label_selector: String::new(),
            matches: Vec::new(),
            limit: 0,
            continue_: None,
        },
    }
}

/// Whether reads of this kind are answered from the cache now.
///
/// # Errors
/// [`Denied`](ApiError::Denied) without the permission to read it.
pub fn synced(kind: &str) -> Result<bool, ApiError> {
    Ok(host::synced(kind)?)
}

/// A query of a kind's objects. Iterating fetches it page by page, as it goes, ordered by namespace
/// and name; each item is read in place in its page.
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is iterated over or counted"]
pub struct List {
    kind: String,
    query: host::Query,
}

impl List {
    /// Only objects of this namespace.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.query.namespace = namespace.into();
        self
    }

    /// Only objects that this label selector selects: `app=web,tier in (a,b),!canary`. By itself it
    /// costs a look at each object of the namespace.
    pub fn labelled(mut self, selector: impl Into<String>) -> Self {
        self.query.label_selector = selector.into();
        self
    }

    /// Only objects with this value in this field index, which `describe` must have declared. It
    /// costs what it finds. Several must all match; they are answered from one snapshot.
    pub fn matching(mut self, index: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.matches.push(host::IndexMatch { index: index.into(), value: value.into() });
        self
    }

    /// The most objects to fetch at once; left to the host by default, which knows how large they are.
    pub fn page_size(mut self, objects: u32) -> Self {
        self.query.limit = objects;
        self
    }

    /// How many objects match; none is fetched.
    ///
    /// # Errors
    /// As iterating.
    pub fn count(&self) -> Result<u64, ApiError> {
        Ok(host::count(&self.kind, &self.query)?)
    }
}

impl IntoIterator for List {
    type Item = Result<Object, ApiError>;
    type IntoIter = Items;

    fn into_iter(self) -> Items {
        Items { list: self, page: Arc::default(), next: 0, more: true }
    }
}

/// The objects of a [`List`]. After an error it ends.
#[derive(Debug)]
pub struct Items {
    list: List,
    page: Arc<Vec<u8>>,
    next: usize,
    more: bool,
}

impl Iterator for Items {
    type Item = Result<Object, ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(range) = ListReader::new(&self.page).range(self.next) {
                self.next += 1;
                return Some(Ok(Object::part_of(&self.page, range)));
            }
            if !self.more {
                return None;
            }
            match host::list(&self.list.kind, &self.list.query) {
                Ok(page) => {
                    self.more = page.continue_.is_some();
                    self.list.query.continue_ = page.continue_;
                    self.page = Arc::new(page.items);
                    self.next = 0;
                }
                Err(error) => {
                    self.more = false;
                    return Some(Err(error.into()));
                }
            }
        }
    }
}
