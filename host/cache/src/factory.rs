//! The shared informer factory: one informer per kind and scope, however many ask for it; and who asks
//! for less than one that runs shares that.

use std::collections::HashMap;
use std::sync::Arc;

use wheelhouse_core::{Kind, Scope};

use crate::error::CacheError;
use crate::informer::{Informer, WeakInformer};
use crate::interest::Interest;
use crate::kube_list_watch::KubeListWatch;
use crate::leases::Lease;
use crate::list_watch::ListWatch;
use crate::reflector::{Reflector, ReflectorConfig};
use crate::resource::{ApiResource, ResourceMap};
use crate::rest::Rest;
use crate::sink::Sink;
use crate::stats::InformerStats;
use crate::sync::{Mutex, MutexGuard, PoisonError};

type Source = dyn Fn(&Kind, &Scope) -> Arc<dyn ListWatch> + Send + Sync;

struct Inner {
    resources: ResourceMap,
    source: Box<Source>,
    config: ReflectorConfig,
    informers: Mutex<HashMap<(Kind, Scope), WeakInformer>>,
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
        let source = move |kind: &Kind, scope: &Scope| -> Arc<dyn ListWatch> {
            Arc::new(KubeListWatch::new(rest.clone(), known.clone(), kind, scope))
        };
        Self::with_source(resources, source, ReflectorConfig::default())
    }

    /// Informers of anything that can be listed and watched.
    pub fn with_source(
        resources: ResourceMap,
        source: impl Fn(&Kind, &Scope) -> Arc<dyn ListWatch> + Send + Sync + 'static,
        config: ReflectorConfig,
    ) -> Self {
        let inner = Inner { resources, source: Box::new(source), config, informers: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// How the cluster serves its kinds.
    pub fn resources(&self) -> &ResourceMap {
        &self.inner.resources
    }

    fn informers(&self) -> MutexGuard<'_, HashMap<(Kind, Scope), WeakInformer>> {
        self.inner.informers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An informer of at least what is wanted; its watch begins if none that runs is. Call it within a
    /// tokio runtime.
    ///
    /// # Errors
    /// If the cluster does not serve the kind, or discovery fails.
    pub async fn informer(&self, interest: impl Into<Interest>) -> Result<Informer, CacheError> {
        let interest = interest.into();
        if let Some(running) = self.running(&interest) {
            return Ok(running);
        }
        let resource = self.inner.resources.resolve(interest.kind()).await?;
        Ok(self.start(interest, Some(resource)))
    }

    /// Likewise, whether the cluster serves the kind yet or not: the informer syncs once it does.
    pub async fn informer_when_served(&self, interest: impl Into<Interest>) -> Informer {
        let interest = interest.into();
        if let Some(running) = self.running(&interest) {
            return running;
        }
        let resource = self.inner.resources.resolve(interest.kind()).await.ok();
        self.start(interest, resource)
    }

    /// An informer of at least what is wanted, if there is one.
    pub fn running(&self, interest: &Interest) -> Option<Informer> {
        Self::sharing(&self.informers(), interest)
    }

    /// The one of just this scope, or the narrowest that covers it.
    fn sharing(informers: &HashMap<(Kind, Scope), WeakInformer>, interest: &Interest) -> Option<Informer> {
        let (mut narrowest, mut found) = (None::<&Scope>, None);
        for ((kind, scope), informer) in informers {
            let covers = kind == interest.kind() && scope.covers(interest.scope());
            if covers && informer.is_alive() && narrowest.is_none_or(|narrowest| narrowest.covers(scope)) {
                (narrowest, found) = (Some(scope), Some(informer));
            }
        }
        found?.upgrade(interest.fields())
    }

    fn start(&self, interest: Interest, resource: Option<Arc<ApiResource>>) -> Informer {
        let kind = interest.kind().clone();
        let mut scope = interest.scope().clone();
        if resource.as_ref().is_some_and(|resource| !resource.namespaced) {
            // A kind that has no namespaces has nothing to choose from.
            scope.namespace.clear();
        }
        let interest = interest.scoped(scope);
        let mut informers = self.informers();
        if let Some(running) = Self::sharing(&informers, &interest) {
            return running;
        }
        let sink = Arc::new(Sink::new(&kind, interest.scope(), interest.fields()));
        let lease = Lease::new(&sink, interest.fields());
        let source = (self.inner.source)(&kind, interest.scope());
        let reflector = Reflector::new(Arc::clone(&sink), source, self.inner.config.clone());
        let task = tokio::spawn(reflector.run()).abort_handle();
        let informer = Informer::new(sink, lease, resource, task);
        informers.retain(|_, other| other.is_alive());
        informers.insert((kind, interest.scope().clone()), informer.downgrade());
        informer
    }

    /// Every running informer's counts, by kind and scope.
    pub fn stats(&self) -> Vec<InformerStats> {
        let mut stats: Vec<InformerStats> =
            self.informers().values().filter_map(WeakInformer::stats).collect();
        stats.sort_by_key(|stats| (stats.kind.clone(), stats.scope.to_string()));
        stats
    }
}
