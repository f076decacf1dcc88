//! The plugin's client: who answers what.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wheelhouse_cache::{Informer, InformerFactory, ResourceMap, Rest};
use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::request::{Get, List, Write};
use wheelhouse_core::{ApiError, ClusterAccess, Kind, Object, Permitted};

use crate::overlay::{Overlay, OwnWrites};

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
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            tries: 3,
            patience: Duration::from_secs(5),
            pause: Duration::from_millis(100),
        }
    }
}

/// A kind that the plugin reads from the cache.
#[derive(Clone)]
pub struct Watched {
    /// Its informer.
    pub informer: Informer,
    /// The plugin's name of an index, and the informer's.
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
}

pub(crate) struct WatchedKind {
    pub(crate) informer: Informer,
    pub(crate) indexes: HashMap<String, String>,
    pub(crate) overlay: Arc<Overlay>,
    /// The newest version that was read live instead: until the store has seen it, its objects would
    /// be older than what the plugin knows.
    pub(crate) floor: Mutex<String>,
    /// The store is synced and has seen the floor; so that a read looks at one flag.
    pub(crate) ready: AtomicBool,
}

/// One plugin revision's way to the cluster.
pub struct PluginClient {
    pub(crate) rest: Rest,
    pub(crate) resources: ResourceMap,
    pub(crate) kinds: HashMap<Kind, WatchedKind>,
    pub(crate) config: ClientConfig,
    fallbacks: Mutex<BTreeMap<Kind, u64>>,
}

impl PluginClient {
    /// `own_writes` is shared by the plugin's revisions.
    pub fn new(
        rest: Rest,
        factory: &InformerFactory,
        watched: impl IntoIterator<Item = Watched>,
        own_writes: &OwnWrites,
        config: ClientConfig,
    ) -> Self {
        let watched = watched.into_iter().map(|Watched { informer, indexes }| {
            let kind = informer.kind().clone();
            let overlay = own_writes.of(&kind);
            let indexes = indexes.into_iter().collect();
            (
                kind,
                WatchedKind {
                    informer,
                    indexes,
                    overlay,
                    floor: Mutex::default(),
                    ready: AtomicBool::new(false),
                },
            )
        });
        Self {
            rest,
            resources: factory.resources().clone(),
            kinds: watched.collect(),
            config,
            fallbacks: Mutex::default(),
        }
    }

    /// What it has done.
    pub fn stats(&self) -> ClientStats {
        let fallbacks = self.fallbacks.lock().unwrap_or_else(PoisonError::into_inner);
        ClientStats {
            fallbacks: fallbacks.iter().map(|(kind, count)| (kind.clone(), *count)).collect(),
            own_writes: self.kinds.values().map(|kind| kind.overlay.len()).sum(),
            own_writes_expired: self.kinds.values().map(|kind| kind.overlay.expired()).sum(),
        }
    }

    fn fell_back(&self, kind: &Kind) {
        let mut fallbacks = self.fallbacks.lock().unwrap_or_else(PoisonError::into_inner);
        *fallbacks.entry(kind.clone()).or_default() += 1;
    }

    /// The kind's cache, if reads may come from it now. If it is watched and they may not, that is
    /// counted.
    fn cache(&self, kind: &Kind) -> Option<&WatchedKind> {
        let watched = self.kinds.get(kind)?;
        if watched.ready() {
            return Some(watched);
        }
        self.fell_back(kind);
        None
    }
}

impl ClusterAccess for PluginClient {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        match self.cache(&request.kind) {
            Some(watched) => Box::pin(ready(watched.get(&request))),
            None => Box::pin(async move { self.live_get(&request).await }),
        }
    }

    fn list(&self, request: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        match self.cache(&request.kind) {
            Some(watched) => Box::pin(ready(watched.list(&request))),
            None => Box::pin(async move { self.live_list(&request).await }),
        }
    }

    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        match self.cache(&request.kind) {
            Some(watched) => Box::pin(ready(watched.count(&request))),
            None => Box::pin(async move { self.live_count(&request).await }),
        }
    }

    fn synced(&self, kind: &Kind) -> bool {
        self.kinds.get(kind).is_some_and(WatchedKind::ready)
    }

    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        Box::pin(async move { self.live_get(&request).await })
    }

    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        Box::pin(async move { self.carry_out(&request).await })
    }
}
