//! Reads from the cache, with the plugin's own writes over it.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use wheelhouse_cache::{Query, Scan, Snapshot, page, version};
use wheelhouse_core::access::Page;
use wheelhouse_core::request::{Get, List};
use wheelhouse_core::{ApiError, Key, Object};

use crate::client::WatchedKind;

impl WatchedKind {
    /// Whether the store is synced and not older than what was read while it was not.
    pub(crate) fn ready(&self) -> bool {
        if self.ready.load(Ordering::Acquire) {
            return true;
        }
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.informer.snapshot();
        let ready = now.synced() && !version::older(now.seen(), &floor);
        if ready {
            floor.clear();
        }
        self.ready.store(ready, Ordering::Release);
        ready
    }

    /// Remembers that the plugin has read this while the store was not ready.
    pub(crate) fn raise_floor<'a>(&self, read: impl Iterator<Item = &'a Object>) {
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        for object in read {
            if floor.is_empty() || version::older(&floor, object.resource_version()) {
                floor.clear();
                floor.push_str(object.resource_version());
            }
        }
        self.ready.store(false, Ordering::Release);
    }

    /// A namespace given for a kind that has none is refused, not ignored: the gate judged the
    /// request by it, and a grant for one namespace covers no cluster-scoped object.
    fn check_scope(&self, namespace: &str) -> Result<(), ApiError> {
        match self.informer.resource() {
            Some(resource) if !resource.namespaced && !namespace.is_empty() => {
                Err(in_no_namespace(resource.kind.as_str()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn get(&self, request: &Get) -> Result<Option<Object>, ApiError> {
        if !request.subresource.is_empty() {
            return Err(ApiError::BadRequest(format!(
                "subresource {:?} can only be read live",
                request.subresource
            )));
        }
        self.check_scope(&request.key.namespace)?;
        let store = self.informer.store();
        if self.overlay.is_empty() {
            return Ok(store.get(&request.key));
        }
        Ok(self.overlay.get(&request.key, store))
    }

    /// The informer's names for the request's matches.
    pub(crate) fn matches<'a>(&'a self, request: &'a List) -> Result<Vec<(&'a str, &'a str)>, ApiError> {
        let name = |index: &String| self.indexes.get(index).ok_or_else(|| undeclared(index, request));
        request.matches.iter().map(|m| Ok((name(&m.index)?.as_str(), m.value.as_str()))).collect()
    }

    pub(crate) fn list(&self, request: &List) -> Result<Page, ApiError> {
        self.check_scope(&request.namespace)?;
        let matches = self.matches(request)?;
        let query = query(request, &matches);
        let (now, newer) = self.look();
        let scan = now.scan(&query).map_err(|unknown| undeclared(&unknown.0, request))?;
        if newer.is_empty() {
            return Ok(page(scan.map(|(_, object)| object), &query));
        }
        Ok(page(overlaid(scan, &newer, &now, &query), &query))
    }

    pub(crate) fn count(&self, request: &List) -> Result<u64, ApiError> {
        self.check_scope(&request.namespace)?;
        let matches = self.matches(request)?;
        let query = Query { after: None, ..query(request, &matches) };
        let (now, newer) = self.look();
        let unknown = |unknown: wheelhouse_cache::UnknownIndex| undeclared(&unknown.0, request);
        if newer.is_empty() {
            return now.count(&query).map_err(unknown);
        }
        let scan = now.scan(&query).map_err(unknown)?;
        Ok(overlaid(scan, &newer, &now, &query).count() as u64)
    }

    fn look(&self) -> (Snapshot, BTreeMap<Key, Option<Object>>) {
        let store = self.informer.store();
        if self.overlay.is_empty() {
            (store.snapshot(), BTreeMap::new())
        } else {
            self.overlay.snapshot(store)
        }
    }
}

pub(crate) fn undeclared(index: &str, request: &List) -> ApiError {
    ApiError::UndeclaredIndex { index: index.to_owned(), kind: request.kind.to_string() }
}

pub(crate) fn in_no_namespace(kind: &str) -> ApiError {
    ApiError::BadRequest(format!("{kind} is cluster-scoped: leave the namespace empty"))
}

pub(crate) fn query<'a>(request: &'a List, matches: &'a [(&'a str, &'a str)]) -> Query<'a> {
    Query {
        namespace: &request.namespace,
        selector: &request.selector,
        matches,
        limit: request.limit as usize,
        bytes: request.bytes,
        after: request.after.as_ref(),
    }
}

/// Whether an object is one that a query is for, by the index functions of a snapshot.
pub(crate) fn answers(object: &Object, now: &Snapshot, query: &Query<'_>) -> bool {
    (query.namespace.is_empty() || object.namespace() == query.namespace)
        && query.selector.matches(object.value())
        && query.matches.iter().all(|(index, value)| {
            now.index_fn(index).is_some_and(|index| index.values(object).iter().any(|v| v == value))
        })
}

/// A scan's objects and the newer ones, in one order.
fn overlaid<'a>(
    scan: Scan<'a>,
    newer: &'a BTreeMap<Key, Option<Object>>,
    now: &'a Snapshot,
    query: &Query<'a>,
) -> impl Iterator<Item = &'a Object> {
    let query = *query;
    let mut stored = scan.filter(|(key, _)| !newer.contains_key(key.as_ref())).peekable();
    let mut known = newer
        .iter()
        .filter_map(|(key, object)| Some((key, object.as_ref()?)))
        .filter(move |(key, object)| {
            query.after.is_none_or(|after| *key > after) && answers(object, now, &query)
        })
        .peekable();
    std::iter::from_fn(move || match (stored.peek(), known.peek()) {
        (Some((stored_key, _)), Some((known_key, _))) if stored_key.as_ref() < *known_key => {
            stored.next().map(|(_, o)| o)
        }
        (_, Some(_)) => known.next().map(|(_, o)| o),
        (_, None) => stored.next().map(|(_, o)| o),
    })
}
