//! The shared informer factory: one informer per kind, however many ask for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wheelhouse_core::Kind;

use crate::error::CacheError;
use crate::informer::{Informer, Sink, WeakInformer};
use crate::kube_list_watch::KubeListWatch;
use crate::list_watch::ListWatch;
use crate::reflector::{Reflector, ReflectorConfig};
use crate::resource::{ApiResource, ResourceMap};
use crate::rest::Rest;
use crate::stats::InformerStats;

type Source = dyn Fn(&Kind) -> Arc<dyn ListWatch> + Send + Sync;

struct Inner {
    resources: ResourceMap,
    source: Box<Source>,
    config: ReflectorConfig,
    informers: Mutex<HashMap<Kind, WeakInformer>>,
}

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct InformerFactory {
    inner: Arc<Inner>,
}

impl InformerFactory {
    /// Informers of this cluster.
    pub fn new(rest: Rest) -> Self {
        let resources = ResourceMap::new(rest.clone());
        let known = resources.clone();
        let source = move |kind: &Kind| -> Arc<dyn ListWatch> {
            Arc::new(KubeListWatch::new(rest.clone(), known.clone(), kind))
        };
        Self::with_source(resources, source, ReflectorConfig::default())
    }

    /// Informers of anything that can be listed and watched.
    pub fn with_source(
        resources: ResourceMap,
        source: impl Fn(&Kind) -> Arc<dyn ListWatch> + Send + Sync + 'static,
        config: ReflectorConfig,
    ) -> Self {
        let inner = Inner { resources, source: Box::new(source), config, informers: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// How the cluster serves its kinds.
    pub fn resources(&self) -> &ResourceMap {
        &self.inner.resources
    }

    fn informers(&self) -> MutexGuard<'_, HashMap<Kind, WeakInformer>> {
        self.inner.informers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kind's informer; its watch begins if this is the first handle. Call it within a tokio
    /// runtime.
    ///
    /// # Errors
    /// If the cluster does not serve the kind, or discovery fails.
    pub async fn informer(&self, kind: &Kind) -> Result<Informer, CacheError> {
        if let Some(running) = self.running(kind) {
            return Ok(running);
        }
        let resource = self.inner.resources.resolve(kind).await?;
        Ok(self.start(kind, Some(resource)))
    }

    /// Likewise, whether the cluster serves the kind yet or not: the informer syncs once it does.
    pub async fn informer_when_served(&self, kind: &Kind) -> Informer {
        if let Some(running) = self.running(kind) {
            return running;
        }
        let resource = self.inner.resources.resolve(kind).await.ok();
        self.start(kind, resource)
    }

    /// The kind's informer, if somebody holds one.
    pub fn running(&self, kind: &Kind) -> Option<Informer> {
        self.informers().get(kind).and_then(WeakInformer::upgrade)
    }

    fn start(&self, kind: &Kind, resource: Option<Arc<ApiResource>>) -> Informer {
        let mut informers = self.informers();
        if let Some(running) = informers.get(kind).and_then(WeakInformer::upgrade) {
            return running;
        }
        let sink = Arc::new(Sink::new(kind));
        let source = (self.inner.source)(kind);
        let reflector = Reflector::new(Arc::clone(&sink), source, self.inner.config.clone());
        let task = tokio::spawn(reflector.run()).abort_handle();
        let informer = Informer::new(sink, resource, task);
        informers.retain(|_, other| other.upgrade().is_some());
        informers.insert(kind.clone(), informer.downgrade());
        informer
    }

    /// Every running informer's counts, by kind.
    pub fn stats(&self) -> Vec<InformerStats> {
        let running: Vec<Informer> = self.informers().values().filter_map(WeakInformer::upgrade).collect();
        let mut stats: Vec<InformerStats> = running.iter().map(Informer::stats).collect();
        stats.sort_by(|a, b| a.kind.cmp(&b.kind));
        stats
    }
}
