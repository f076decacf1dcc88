//! Dependency tracking: notes what each reconcile reads, on the way to the client, and requests its
//! object again when that changes.
//!
//! It promises:
//!
//! - only what the gate has let through is noted, since nothing else can be read;
//! - what is noted is noted before it is read. The store is newer than what a pump is told, so a change
//!   is either in what is read, or its reader is in the book when the change is told, and is requested
//!   again, after the run that is under way;
//! - what cannot be followed is said once for each kind.
//!
//! A plugin that does not ask for it has none of this: no book, no subscriptions, and the client itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use wheelhouse_cache::{Delta, Informer, Subscription};
use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::event::RecordEvent;
use wheelhouse_core::request::{Get, List, Synced, Write};
use wheelhouse_core::{ApiError, ClusterAccess, Key, Kind, Object, Outcome, Permitted, Scope, Spec};
use wheelhouse_queue::{Priority, WorkQueue};

use crate::dependencies::{Book, Change, Query};
use crate::mapping::selects;

/// Keys that are requested without a break.
const AT_ONCE: usize = 256;

/// The book of one plugin, which its revisions share: what an object's reconcile by the last one has read
/// counts until the next one has reconciled it.
#[derive(Default)]
pub(crate) struct Dependencies(Mutex<Book>);

impl Dependencies {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        // Outside the lock: there may be many.
        let forgotten = std::mem::take(&mut *self.book());
        drop(forgotten);
    }

    /// How many dependencies there are, and how often a kind was followed as a whole for want of room.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let book = self.book();
        (book.len() as u64, book.coarsened())
    }
}

/// What one revision's reads are noted with.
pub(crate) struct Tracking {
    spec: Arc<Spec>,
    cluster: Arc<dyn ClusterAccess>,
    dependencies: Arc<Dependencies>,
    /// Of each kind that can be followed.
    informers: HashMap<Kind, Vec<Informer>>,
    /// What the sources select of it.
    scopes: HashMap<Kind, Vec<Scope>>,
    /// Kinds of which it was said that not all that is read can be followed.
    warned: Mutex<HashSet<Kind>>,
}

impl Tracking {
    pub(crate) fn new(
        spec: &Arc<Spec>,
        cluster: Arc<dyn ClusterAccess>,
        dependencies: &Arc<Dependencies>,
        informers: &HashMap<Kind, Vec<Informer>>,
    ) -> Arc<Self> {
        let scopes = informers.iter().map(|(kind, informers)| {
            let resources = informers.iter().filter_map(Informer::resource);
            let namespaced = resources.map(|resource| resource.namespaced).next().unwrap_or(true);
            (kind.clone(), spec.scopes(kind, namespaced))
        });
        Arc::new(Self {
            spec: Arc::clone(spec),
            cluster,
            scopes: scopes.collect(),
            dependencies: Arc::clone(dependencies),
            informers: informers.clone(),
            warned: Mutex::default(),
        })
    }

    /// A reconcile of this key begins.
    pub(crate) fn begin(self: &Arc<Self>, key: &Key) -> Run {
        let key = Arc::new(key.clone());
        self.dependencies.book().begin(&key);
        Run { tracking: Arc::clone(self), key }
    }

    /// Whether the object is in the cache, and one that is reconciled: the informer may be shared with plugins
    /// that watch more of the kind.
    fn is_there(&self, key: &Key) -> bool {
        let reconciles = &self.spec.reconciles;
        let stores = self.informers.get(&reconciles.kind).into_iter().flatten().map(Informer::store);
        let mut there = stores.map(|store| match store.get(key) {
            Some(object) => selects(reconciles, key, &object),
            None => store.unreadable(key).is_some(),
        });
        there.any(|there| there)
    }

    fn warn(&self, kind: &Kind, what: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() < 64 && !warned.contains(kind) {
            warned.insert(kind.clone());
            let plugin = self.spec.name.as_str();
            tracing::warn!(plugin, %kind, "it tracks dependencies, and {what}: no change of that requests anything; declare all that is read of it under caches");
        }
    }

    fn notes_object(&self, reader: &Arc<Key>, kind: &Kind, key: &Key) {
        let own = *kind == self.spec.reconciles.kind && *key == **reader;
        if own || !key.is_possible() {
            return;
        }
        let Some(informers) = self.informers.get(kind) else {
            return self.warn(kind, "reads objects of a kind that it does not cache");
        };
        self.dependencies.book().reads_object(reader, kind, key);
        let mut scopes = informers.iter().map(Informer::scope);
        let within = match scopes.find(|scope| scope.has_namespace(&key.namespace)) {
            Some(scope) if scope.selects_all() => true,
            Some(_) => has(informers, key),
            None => false,
        };
        if !within {
            self.warn(kind, "reads an object that its sources of the kind do not select");
        }
    }

    fn notes_list(&self, reader: &Arc<Key>, list: &List) {
        let Some(informers) = self.informers.get(&list.kind) else {
            return self.warn(&list.kind, "lists a kind that it does not cache");
        };
        let query = Query::of(list, &self.spec.indexes);
        self.dependencies.book().reads_query(reader, &list.kind, query);
        let covers = |informer: &Informer| {
            let scope = informer.scope();
            scope.has_namespace(&list.namespace)
                && scope.labels.covers(&list.selector)
                && scope.fields.covers(&list.field_selector)
        };
        if !informers.iter().any(covers) {
            self.warn(&list.kind, "lists more than its sources of the kind select");
        }
    }

    /// Whom a change concerns.
    fn concerned(&self, kind: &Kind, delta: &Delta, folded: bool) -> Vec<Arc<Key>> {
        // What was there before, or is told once more, is no change.
        if !delta.cause.is_live() || (!folded && looks_the_same(delta)) {
            return Vec::new();
        }
        let Delta { key, old, new, .. } = delta;
        let scopes = self.scopes.get(kind).map(Vec::as_slice).unwrap_or_default();
        let selects = |object: &Object| scopes.iter().any(|scope| scope.contains(object));
        let selected = [old, new].into_iter().flatten().any(selects);
        let change = Change { kind, key, old: old.as_ref(), new: new.as_ref(), folded, selected };
        self.dependencies.book().concerned(&self.spec.reconciles.kind, &change)
    }
}

/// What is there and cannot be read is there.
fn has(informers: &[Informer], key: &Key) -> bool {
    informers
        .iter()
        .map(Informer::store)
        .any(|store| store.get(key).is_some() || store.unreadable(key).is_some())
}

/// Whether an update is none as far as the plugin's fields show: such as one of a status that it does not
/// read.
fn looks_the_same(delta: &Delta) -> bool {
    let states = delta.old.as_ref().zip(delta.new.as_ref());
    states.is_some_and(|(old, new)| old.differs_at_most_in(new, &[]))
}

/// A reconcile whose reads are noted.
pub(crate) struct Run {
    tracking: Arc<Tracking>,
    key: Arc<Key>,
}

impl Run {
    /// What its reads go through.
    pub(crate) fn access(&self) -> Arc<dyn ClusterAccess> {
        Arc::new(Noting { tracking: Arc::clone(&self.tracking), reader: Arc::clone(&self.key) })
    }

    /// It has ended so; none if it did not get to its end. What it read stays in the book as long as its
    /// object is there, or it wants to come back.
    pub(crate) fn end(self, outcome: Option<&Outcome>) {
        let whole = matches!(outcome, Some(Outcome::Done | Outcome::RequeueAfter(_)));
        let over = matches!(outcome, Some(Outcome::Done | Outcome::Terminal(_)));
        let gone = over && !self.tracking.is_there(&self.key);
        let mut book = self.tracking.dependencies.book();
        if gone {
            book.forget(&self.key);
        } else {
            book.end(&self.key, whole);
        }
    }
}

/// The client, as a reconcile sees it whose reads are noted.
struct Noting {
    tracking: Arc<Tracking>,
    reader: Arc<Key>,
}

impl ClusterAccess for Noting {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.tracking.notes_object(&self.reader, &request.kind, &request.key);
        self.tracking.cluster.get(request)
    }

    fn list(&self, request: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        self.tracking.notes_list(&self.reader, &request);
        self.tracking.cluster.list(request)
    }

    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        self.tracking.notes_list(&self.reader, &request);
        self.tracking.cluster.count(request)
    }

    fn synced(&self, request: Permitted<Synced>) -> bool {
        self.tracking.cluster.synced(request)
    }

    fn wait_synced(&self, request: Permitted<Synced>, within: Duration) -> BoxFuture<'_, bool> {
        self.tracking.cluster.wait_synced(request, within)
    }

    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.tracking.notes_object(&self.reader, &request.kind, &request.key);
        self.tracking.cluster.get_live(request)
    }

    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.tracking.cluster.write(request)
    }

    fn record(&self, request: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>> {
        self.tracking.cluster.record(request)
    }
}

/// Turns one informer's deltas into requests of those who have read what they change.
pub(crate) struct Follower {
    tracking: Arc<Tracking>,
    queue: WorkQueue<Key>,
    requeues: prometheus_client::metrics::counter::Counter,
    retired: watch::Receiver<bool>,
}

impl Follower {
    pub(crate) fn new(
        tracking: &Arc<Tracking>,
        queue: &WorkQueue<Key>,
        requeues: &prometheus_client::metrics::counter::Counter,
        retired: watch::Receiver<bool>,
    ) -> Self {
        Self { tracking: Arc::clone(tracking), queue: queue.clone(), requeues: requeues.clone(), retired }
    }

    /// One for each informer: those of several sources of a kind are the same.
    pub(crate) fn subscriptions(tracking: &Tracking) -> Vec<Subscription> {
        tracking.informers.values().flatten().map(Informer::subscribe).collect()
    }

    pub(crate) async fn run(mut self, mut subscription: Subscription) {
        let kind = subscription.informer().kind().clone();
        loop {
            let delta = tokio::select! {
                biased;
                _ = self.retired.wait_for(|retired| *retired) => break,
                delta = subscription.next() => delta,
            };
            self.request(&kind, &delta, subscription.folded()).await;
        }
        while let Some(delta) = subscription.try_next() {
            self.request(&kind, &delta, subscription.folded()).await;
        }
    }

    async fn request(&self, kind: &Kind, delta: &Delta, folded: bool) {
        for (added, key) in self.tracking.concerned(kind, delta, folded).into_iter().enumerate() {
            self.requeues.inc();
            self.queue.add(Key::clone(&key), Priority::High);
            // Very many may have read one object.
            if added % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
