//! Reads from the cache, with the plugin's own writes over it.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wheelhouse_cache::{OWNER_INDEX, Pager, Query, Scan, Snapshot};
use wheelhouse_core::access::Page;
use wheelhouse_core::field_selector::FieldRequirement;
use wheelhouse_core::request::{Get, List};
use wheelhouse_core::{ApiError, Fields, Key, Object};

use crate::breaks::{PROJECTION, in_turns};
use crate::reads::KindReads;
use crate::view::{Found, View};

/// How often it is looked whether a store has caught up.
const LOOK: Duration = Duration::from_millis(5);
/// Conditions of one query on indexes and fields. Each of them costs something for each object.
const CONDITIONS: usize = 64;

/// A kind that the plugin reads from the cache.
pub(crate) struct CachedKind {
    /// One for each namespace, or one for all.
    pub(crate) views: Vec<View>,
    /// The plugin's name of an index, and the informers'.
    pub(crate) indexes: HashMap<String, String>,
    pub(crate) reads: Arc<KindReads>,
    /// It was said that a list is wider than what is cached.
    pub(crate) warned: AtomicBool,
}

/// What a list asks of a store.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    /// By the informers' names.
    matches: Vec<(&'a str, &'a str)>,
    /// What no index answers.
    fields: Vec<&'a FieldRequirement>,
}

impl<'a> Plan<'a> {
    pub(crate) fn query<'b>(&'b self, request: &'b List) -> Query<'b> {
        Query {
            namespace: &request.namespace,
            selector: &request.selector,
            fields: &self.fields,
            matches: &self.matches,
            limit: request.limit as usize,
            bytes: request.bytes,
            after: request.after.as_ref(),
        }
    }

    /// What is looked at for each object, at most.
    pub(crate) fn conditions(&self) -> usize {
        1 + self.matches.len() + self.fields.len()
    }

    /// Once, however often it is asked for.
    fn add_match(&mut self, index: &'a str, value: &'a str) -> Result<(), ApiError> {
        if self.matches.contains(&(index, value)) {
            return Ok(());
        }
        self.matches.push((index, value));
        self.check()
    }

    /// Likewise.
    fn add_field(&mut self, requirement: &'a FieldRequirement) -> Result<(), ApiError> {
        if self.fields.contains(&requirement) {
            return Ok(());
        }
        self.fields.push(requirement);
        self.check()
    }

    fn check(&self) -> Result<(), ApiError> {
        if self.matches.len() + self.fields.len() <= CONDITIONS {
            return Ok(());
        }
        Err(ApiError::BadRequest(format!(
            "the query has more than {CONDITIONS} conditions on indexes and fields: ask for less at once"
        )))
    }
}

/// Without indexes: of a kind that is not cached.
pub(crate) fn plan_without_indexes(request: &List) -> Result<Plan<'_>, ApiError> {
    if let Some(first) = request.matches.first() {
        return Err(undeclared(&first.index, request));
    }
    let mut plan = Plan::default();
    request.field_selector.requirements().iter().try_for_each(|requirement| plan.add_field(requirement))?;
    Ok(plan)
}

impl CachedKind {
    /// Whether reads may come from the cache now.
    pub(crate) fn ready(&self) -> bool {
        self.views.iter().all(View::ready)
    }

    pub(crate) async fn wait_ready(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        for view in &self.views {
            if !view.informer.wait_synced_within(deadline.saturating_duration_since(Instant::now())).await {
                return false;
            }
        }
        while !self.ready() {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
        true
    }

    /// The view of a namespace's objects.
    pub(crate) fn view(&self, namespace: &str) -> Option<&View> {
        self.views.iter().find(|view| view.informer.scope().has_namespace(namespace))
    }

    /// The view that has all that a list is for. If none has, it is said once: that may be a surprise.
    pub(crate) fn view_for(&self, request: &List) -> Option<&View> {
        let view = self.views.iter().find(|view| view.answers(request));
        if view.is_none() && !self.warned.swap(true, Ordering::Relaxed) {
            let cached: Vec<String> =
                self.views.iter().map(|view| view.informer.scope().to_string()).collect();
            tracing::warn!(
                kind = %request.kind, cached = cached.join(" | "), namespace = request.namespace,
                selector = %request.selector, field_selector = %request.field_selector,
                "a list asks for more than the plugin's sources select, and so for more than is cached: it is read live, at the cost of a list at the API server; give it the sources' selectors, or declare what else is to be cached"
            );
        }
        view
    }

    /// What the plugin has declared that it reads.
    pub(crate) fn fields(&self) -> Fields {
        self.views.first().map(|view| view.informer.fields().clone()).unwrap_or_default()
    }

    /// A namespace given for a kind that has none is refused, not ignored: the gate judged the
    /// request by it, and a grant for one namespace covers no cluster-scoped object.
    fn check_scope(&self, namespace: &str) -> Result<(), ApiError> {
        match self.views.first().and_then(|view| view.informer.resource()) {
            Some(resource) if !resource.namespaced && !namespace.is_empty() => {
                Err(in_no_namespace(resource.kind.as_str()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn get(&self, request: &Get) -> Result<Found, ApiError> {
        if !request.subresource.is_empty() {
            return Err(ApiError::BadRequest(format!(
                "subresource {:?} can only be read live",
                request.subresource
            )));
        }
        self.check_scope(&request.key.namespace)?;
        if request.key.namespace.is_empty()
            && let Some(resource) = self.views.first().and_then(|view| view.informer.resource())
            && resource.namespaced
        {
            return Err(in_a_namespace(resource.kind.as_str()));
        }
        match self.view(&request.key.namespace) {
            Some(view) => view.get(&request.key, request.consistency),
            None => Ok(Found::Unknown),
        }
    }

    /// What indexes answer of a request, and what is looked at object by object.
    pub(crate) fn plan<'a>(&'a self, request: &'a List) -> Result<Plan<'a>, ApiError> {
        self.check_scope(&request.namespace)?;
        let mut plan = Plan::default();
        for wanted in &request.matches {
            let index: &str = match self.indexes.get(&wanted.index) {
                Some(index) => index,
                None if wanted.index == OWNER_INDEX => OWNER_INDEX,
                None => return Err(undeclared(&wanted.index, request)),
            };
            plan.add_match(index, &wanted.value)?;
        }
        for requirement in request.field_selector.requirements() {
            let path = requirement.path.to_string();
            if matches!(path.as_str(), ".metadata.name" | ".metadata.namespace") {
                plan.add_field(requirement)?;
                continue;
            }
            let Some(index) = self.indexes.values().find(|index| **index == path) else {
                return Err(undeclared(path.trim_start_matches('.'), request));
            };
            // An index has no entry for a field that is absent.
            if requirement.equal && !requirement.is_of_absent_fields() {
                plan.add_match(index, &requirement.value)?;
            } else {
                plan.add_field(requirement)?;
            }
        }
        Ok(plan)
    }

    pub(crate) async fn list(&self, view: &View, request: &List) -> Result<Page, ApiError> {
        let plan = self.plan(request)?;
        let query = plan.query(request);
        let (now, newer) = view.look(request.consistency);
        let scan = now.scan(&query).map_err(|unknown| undeclared(&unknown.0, request))?;
        let mut pager = Pager::new(&query);
        let narrowed = view.informer.narrowed(&now);
        let work = plan.conditions() + request.selector.len() + narrowed.map_or(0, |_| PROJECTION);
        in_turns(overlaid(scan, &newer, &now, &query), work, |found| match (found, narrowed) {
            (None, _) => ControlFlow::Continue(()),
            (Some(object), None) => pager.take(object),
            (Some(object), Some(fields)) => pager.take(&fields.project(object)),
        })
        .await;
        let mut found = pager.page;
        now.name_unreadable(&mut found, &query);
        found.unreadable.retain(|key| request.may_have(key));
        Ok(found)
    }

    pub(crate) async fn count(&self, view: &View, request: &List) -> Result<u64, ApiError> {
        let plan = self.plan(request)?;
        let query = Query { after: None, ..plan.query(request) };
        let (now, newer) = view.look(request.consistency);
        if let Some(all) = now.count_at_once(&query).filter(|_| newer.is_empty()) {
            return Ok(all);
        }
        let scan = now.scan(&query).map_err(|unknown| undeclared(&unknown.0, request))?;
        let mut count = 0;
        let work = plan.conditions() + request.selector.len();
        in_turns(overlaid(scan, &newer, &now, &query), work, |found| {
            count += u64::from(found.is_some());
            ControlFlow::Continue(())
        })
        .await;
        Ok(count)
    }
}

pub(crate) fn undeclared(index: &str, request: &List) -> ApiError {
    ApiError::UndeclaredIndex { index: index.to_owned(), kind: request.kind.to_string() }
}

pub(crate) fn in_a_namespace(kind: &str) -> ApiError {
    ApiError::BadRequest(format!("{kind} is namespaced: give the namespace"))
}

pub(crate) fn in_no_namespace(kind: &str) -> ApiError {
    ApiError::BadRequest(format!("{kind} is cluster-scoped: leave the namespace empty"))
}

/// Whether an object is one that a query is for, by the index functions of a snapshot.
pub(crate) fn answers(object: &Object, now: &Snapshot, query: &Query<'_>) -> bool {
    (query.namespace.is_empty() || object.namespace() == query.namespace)
        && query.selects(object)
        && query.matches.iter().all(|(index, value)| {
            now.index_fn(index).is_some_and(|index| index.values(object).iter().any(|v| v == value))
        })
}

/// A scan's objects and the newer ones, in one order; and none for each that does not match.
#[allow(clippy::large_enum_variant, reason = "the large one is the usual one, and is there once")]
enum Overlaid<'a> {
    /// There are no newer ones.
    Stored(Scan<'a>),
    Both(Box<dyn Iterator<Item = Option<&'a Object>> + Send + 'a>),
}

impl<'a> Iterator for Overlaid<'a> {
    type Item = Option<&'a Object>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Stored(scan) => scan.next().map(|found| found.map(|(_, object)| object)),
            Self::Both(both) => both.next(),
        }
    }
}

fn overlaid<'a>(
    scan: Scan<'a>,
    newer: &'a BTreeMap<Key, Option<Object>>,
    now: &'a Snapshot,
    query: &Query<'a>,
) -> Overlaid<'a> {
    if newer.is_empty() {
        return Overlaid::Stored(scan);
    }
    let query = *query;
    let mut stored = scan.map(|found| found.filter(|(key, _)| !newer.contains_key(key.as_ref()))).peekable();
    let mut known = newer
        .iter()
        .filter_map(|(key, object)| Some((key, object.as_ref()?)))
        .filter(move |(key, object)| {
            query.after.is_none_or(|after| *key > after) && answers(object, now, &query)
        })
        .peekable();
    Overlaid::Both(Box::new(std::iter::from_fn(move || {
        let first = match (stored.peek(), known.peek()) {
            (Some(Some((stored_key, _))), Some((known_key, _))) => stored_key.as_ref() < *known_key,
            (stored, _) => stored.is_some(),
        };
        if first {
            stored.next().map(|found| found.map(|(_, o)| o))
        } else {
            known.next().map(|(_, o)| Some(o))
        }
    })))
}
