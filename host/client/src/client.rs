//! The plugin's client: who answers what.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wheelhouse_cache::{Informer, InformerFactory, ResourceMap, Rest};
use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::event::RecordEvent;
use wheelhouse_core::request::{Get, List, Synced, Write};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Fields, Kind, Object, Permitted};

use crate::events::{EventRecorder, EventStats};
use crate::overlay::OwnWrites;
use crate::read::CachedKind;
use crate::reads::{OwnReads, ReadMetrics};
use crate::trace;
use crate::view::{Found, View};

/// The bounds of what a request to the API server may take.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// One request, from sending it to the end of its answer.
    pub timeout: Duration,
    /// How often a read is tried.
    pub tries: u32,
    /// How long the pauses between the tries of a read may be, together.
    pub patience: Duration,
    /// The first pause, where the server asks for none. It doubles.
    pub pause: Duration,
    /// Bytes of all pages of a live list, which is put together in the host. A list of more is an error.
    pub list_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            tries: 3,
            patience: Duration::from_secs(5),
            pause: Duration::from_millis(100),
            list_bytes: 256 << 20,
        }
    }
}

/// A kind that the plugin reads from the cache.
#[derive(Clone)]
pub struct Watched {
    /// Its informers: one for each namespace, or one for all. At least one, and all with the same fields.
    pub informers: Vec<Informer>,
    /// The plugin's name of an index, and the informers'. An index of a field path goes there by the path.
    pub indexes: Vec<(String, String)>,
}

/// What a client has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Reads of watched kinds that went to the API server, since the cache had not synced:
    /// `wheelhouse_cache_fallback_total{kind}`.
    pub fallbacks: Vec<(Kind, u64)>,
    /// Own writes that the watch has not brought yet.
    pub own_writes: u64,
    /// Own writes that it had not brought after the longest time that they are remembered.
    pub own_writes_expired: u64,
    /// Of all the plugin's revisions.
    pub events: EventStats,
}

/// One plugin revision's way to the cluster.
pub struct PluginClient {
    pub(crate) rest: Rest,
    pub(crate) resources: ResourceMap,
    pub(crate) kinds: HashMap<Kind, CachedKind>,
    pub(crate) own_writes: OwnWrites,
    pub(crate) reads: OwnReads,
    pub(crate) usage: Arc<Usage>,
    pub(crate) events: EventRecorder,
    pub(crate) config: ClientConfig,
    fallbacks: Mutex<BTreeMap<Kind, u64>>,
}

impl PluginClient {
    /// `own_writes` and `usage` are shared by the plugin's revisions, `reads` by all plugins.
    pub fn new(
        rest: Rest,
        factory: &InformerFactory,
        watched: impl IntoIterator<Item = Watched>,
        own_writes: &OwnWrites,
        usage: &Arc<Usage>,
        reads: &ReadMetrics,
        config: ClientConfig,
    ) -> Self {
        let watched = watched.into_iter().filter_map(|Watched { informers, indexes }| {
            let kind = informers.first()?.kind().clone();
            let mut views: Vec<View> = Vec::with_capacity(informers.len());
            for informer in informers {
                // Those of several namespaces may be one, which has them all.
                if !views.iter().any(|view| view.informer.id() == informer.id()) {
                    views.push(View::new(informer, own_writes));
                }
            }
            let (indexes, reads) = (indexes.into_iter().collect(), reads.of(&kind));
            Some((kind, CachedKind { views, indexes, reads, warned: AtomicBool::new(false) }))
        });
        let kinds: HashMap<Kind, CachedKind> = watched.collect();
        let of_watched = kinds.iter().map(|(kind, cached)| (kind.clone(), Arc::clone(&cached.reads)));
        let reads = OwnReads::new(reads, of_watched.collect());
        Self {
            rest,
            resources: factory.resources().clone(),
            kinds,
            own_writes: own_writes.clone(),
            reads,
            usage: Arc::clone(usage),
            events: EventRecorder::default(),
            config,
            fallbacks: Mutex::default(),
        }
    }

    /// Its Events are those of the plugin's other revisions, too.
    #[must_use]
    pub fn recording(mut self, events: &EventRecorder) -> Self {
        self.events = events.clone();
        self
    }

    /// What it has done.
    pub fn stats(&self) -> ClientStats {
        let fallbacks = self.fallbacks.lock().unwrap_or_else(PoisonError::into_inner);
        ClientStats {
            fallbacks: fallbacks.iter().map(|(kind, count)| (kind.clone(), *count)).collect(),
            own_writes: self.views().map(|view| view.overlay.len()).sum(),
            own_writes_expired: self.views().map(|view| view.overlay.expired()).sum(),
            events: self.events.stats(),
        }
    }

    fn views(&self) -> impl Iterator<Item = &View> {
        self.kinds.values().flat_map(|kind| &kind.views)
    }

    fn fell_back(&self, kind: &Kind) {
        let mut fallbacks = self.fallbacks.lock().unwrap_or_else(PoisonError::into_inner);
        *fallbacks.entry(kind.clone()).or_default() += 1;
    }

    /// The kind's cache, if reads may come from it now. If it is watched and they may not, that is
    /// counted.
    fn cache(&self, kind: &Kind) -> Option<&CachedKind> {
        let cached = self.kinds.get(kind)?;
        if cached.ready() {
            return Some(cached);
        }
        self.fell_back(kind);
        None
    }
}

impl ClusterAccess for PluginClient {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        let span = trace::of_get("get", &request);
        if let Some(cached) = self.cache(&request.kind) {
            let answer = cached.reads.of_cache(|| match cached.get(&request) {
                Ok(Found::Object(object)) => Some(Ok(Some(object))),
                Ok(Found::Absent) => Some(Ok(None)),
                Ok(Found::Unknown) => None,
                Err(error) => Some(Err(error)),
            });
            if let Some(answer) = answer {
                trace::cached(&span, &answer);
                return Box::pin(ready(answer));
            }
        }
        Box::pin(trace::live(span, async move {
            let object = self.live_get(&request).await?;
            Ok(object.map(|object| self.declared(&request.kind).project(&object)))
        }))
    }

    fn list(&self, request: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        let span = trace::of_list("list", &request);
        if let Some(cached) = self.cache(&request.kind)
            && let Some(view) = cached.view_for(&request)
        {
            return Box::pin(async move {
                let answer = cached.reads.of_cache_in_turns(cached.list(view, &request)).await;
                trace::cached(&span, &answer);
                answer
            });
        }
        Box::pin(trace::live(span, async move { self.live_list(&request).await }))
    }

    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        let span = trace::of_list("count", &request);
        if let Some(cached) = self.cache(&request.kind)
            && let Some(view) = cached.view_for(&request)
        {
            return Box::pin(async move {
                let answer = cached.reads.of_cache_in_turns(cached.count(view, &request)).await;
                trace::cached(&span, &answer);
                answer
            });
        }
        Box::pin(trace::live(span, async move { self.live_count(&request).await }))
    }

    fn synced(&self, request: Permitted<Synced>) -> bool {
        self.kinds.get(&request.kind).is_some_and(CachedKind::ready)
    }

    fn wait_synced(&self, request: Permitted<Synced>, within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.kinds.get(&request.kind) {
                Some(cached) => cached.wait_ready(within).await,
                None => false,
            }
        })
    }

    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        let span = trace::of_get("get", &request);
        Box::pin(trace::live(span, async move { self.live_get(&request).await }))
    }

    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        let span = trace::of_write(&request);
        Box::pin(trace::within(span, async move { self.carry_out(&request).await }))
    }

    fn record(&self, request: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move { self.record_event(request).await })
    }
}

impl PluginClient {
    /// What the plugin has declared that it reads of a kind: a read that had to be live shows no more
    /// than a cached one.
    pub(crate) fn declared(&self, kind: &Kind) -> Fields {
        self.kinds.get(kind).map(CachedKind::fields).unwrap_or_default()
    }
}
