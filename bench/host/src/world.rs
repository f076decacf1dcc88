//! What is read: an informer that was filled as a real one is, and plugins on it.
//!
//! The way of a read is the host's own, all of it: the sandbox, the gate, the delegating client, the
//! store. Only the API server is played, by a list that makes its Pods as it goes.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use wheelhouse_cache::{
    ApiResource, BoxFuture, EventStream, Failure, IndexFn, Informer, InformerFactory, ListPage, ListRequest,
    ListWatch, ReflectorConfig, ResourceMap, Rest, WatchRequest, rest,
};
use wheelhouse_client::{ClientConfig, OwnWrites, PluginClient, ReadMetrics, Watched};
use wheelhouse_core::encoding::EncodeOptions;
use wheelhouse_core::limits::Limits;
use wheelhouse_core::outcome::Request;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Gate, Key, Kind, Object, Outcome};
use wheelhouse_sandbox::{Compiled, Revision, RevisionSetup};

const POD: &str = include_str!("../../../host/core/tests/data/pod.json");
/// The Pods that one value of the index finds.
pub(crate) const PER_NODE: usize = 100;

pub(crate) const NODE: &str = ".spec.nodeName";

/// The Pod with this number, among so many, as the API server would send it.
pub(crate) fn pod_json(number: usize, pods: usize) -> String {
    let nodes = pods.div_ceil(PER_NODE);
    POD.trim().replacen(r#""name":"POD_NAME""#, &format!(r#""name":"pod-{number:06}""#), 1).replacen(
        r#""nodeName":"node-17""#,
        &format!(r#""nodeName":"node-{:06}""#, number % nodes),
        1,
    )
}

pub(crate) fn pod_key(number: usize) -> Key {
    Key::new("default", format!("pod-{number:06}"))
}

/// Lists so many Pods, and then has no more to say.
#[derive(Clone, Copy)]
pub(crate) struct Pods(pub(crate) usize);

impl ListWatch for Pods {
    fn list<'a>(&'a self, request: ListRequest<'a>) -> BoxFuture<'a, Result<ListPage, Failure>> {
        let start: usize = request.continue_token.parse().unwrap_or(0);
        let end = self.0.min(start + request.limit as usize);
        let options = EncodeOptions { fields: request.fields.clone(), ..EncodeOptions::default() };
        let object = |number| Object::from_json(pod_json(number, self.0).as_bytes(), &options).ok();
        let page = ListPage {
            objects: (start..end).filter_map(object).collect(),
            resource_version: "123456".to_owned(),
            continue_token: if end < self.0 { end.to_string() } else { String::new() },
            unreadable: Vec::new(),
        };
        Box::pin(async { Ok(page) })
    }

    fn watch<'a>(&'a self, _: WatchRequest<'a>) -> BoxFuture<'a, Result<EventStream, Failure>> {
        Box::pin(async { Ok(Box::pin(futures::stream::pending()) as EventStream) })
    }
}

/// An informer of Pods from somewhere, with the index.
async fn watched(source: impl ListWatch + Clone) -> Result<(InformerFactory, Informer)> {
    let kind: Kind = "v1/Pod".parse()?;
    let resource =
        ApiResource { kind: kind.clone(), plural: "pods".into(), namespaced: true, subresources: vec![] };
    let factory = InformerFactory::with_source(
        ResourceMap::fixed([resource]),
        move |_, _| Arc::new(source.clone()) as Arc<dyn ListWatch>,
        ReflectorConfig { streaming: false, ..ReflectorConfig::default() },
    );
    let informer = factory.informer(&kind).await?;
    informer.add_index(NODE, IndexFn::field(NODE.parse()?));
    Ok((factory, informer))
}

/// Likewise, alone.
pub(crate) async fn informer_of(source: impl ListWatch + Clone) -> Result<Informer> {
    Ok(watched(source).await?.1)
}

/// A cache of Pods.
pub(crate) struct World {
    pub(crate) factory: InformerFactory,
    pub(crate) informer: Informer,
    pub(crate) pods: usize,
}

impl World {
    /// With so many Pods, an index of their nodes, and the store's own index of owners.
    pub(crate) async fn filled(pods: usize) -> Result<Self> {
        let (factory, informer) = watched(Pods(pods)).await?;
        informer.wait_synced().await;
        anyhow::ensure!(informer.store().len() == pods, "the store has {} Pods", informer.store().len());
        Ok(Self { factory, informer, pods })
    }

    /// The bench's plugin on this cache, with a client and a gate as the host gives it.
    pub(crate) async fn plugin(&self, compiled: &Compiled, limits: Limits) -> Result<Plugin> {
        // Nobody listens there, and nobody asks: every read is answered from the cache.
        self.plugin_of(compiled, limits, nowhere()?).await
    }

    /// The configuration of the bench's plugin on this cache.
    pub(crate) fn config(&self) -> serde_json::Value {
        serde_json::json!({"pods": self.pods, "nodes": self.pods.div_ceil(PER_NODE)})
    }

    /// Likewise, with an API server.
    pub(crate) async fn plugin_of(
        &self,
        compiled: &Compiled,
        limits: Limits,
        server: Rest,
    ) -> Result<Plugin> {
        let config = self.config().to_string();
        let spec =
            compiled.describe(&config, &limits).await.context("the plugin does not describe itself")?;
        let indexes = vec![(NODE.to_owned(), NODE.to_owned())];
        let watched = Watched { informers: vec![self.informer.clone()], indexes };
        let (own_writes, usage) = (OwnWrites::default(), Arc::new(Usage::new(&limits)));
        let client = PluginClient::new(
            server,
            &self.factory,
            [watched],
            &own_writes,
            &usage,
            &ReadMetrics::default(),
            ClientConfig::default(),
        );
        let gate = Gate::granting(&spec.name, spec.all_permissions());
        let revision = compiled.start(RevisionSetup {
            spec: Arc::new(spec),
            config: config.into(),
            gate: Arc::new(gate),
            cluster: Arc::new(client),
            usage,
            metrics: Default::default(),
            limits,
        });
        Ok(Plugin { revision: Arc::new(revision) })
    }
}

/// An API server that is not there.
pub(crate) fn nowhere() -> Result<Rest> {
    Ok(Rest::new(rest::connect(kube::Config::new("http://127.0.0.1:9".parse()?))?))
}

/// A plugin that can be told to measure.
pub(crate) struct Plugin {
    revision: Arc<Revision>,
}

impl Plugin {
    /// What one of the host's workers does: once in the background, it stays there while the plugin is
    /// greedy, and there is more to do.
    pub(crate) async fn worker_turn(
        &self,
        scenario: &'static str,
        argument: &'static str,
        more: bool,
    ) -> Result<()> {
        let call = move |revision: Arc<Revision>| async move {
            let request = Request {
                key: Key::new(scenario, argument),
                reconcile_id: "bench".into(),
                attempt: 1,
                first_seen: std::time::SystemTime::UNIX_EPOCH,
            };
            revision.reconcile(request).await
        };
        if !self.revision.is_greedy() {
            call(Arc::clone(&self.revision)).await?;
            return Ok(());
        }
        let revision = Arc::clone(&self.revision);
        let turn = async move {
            loop {
                let ended = call(Arc::clone(&revision)).await;
                if ended.is_err() || !more || !revision.is_greedy() {
                    return ended;
                }
            }
        };
        self.revision.in_background(turn).await.context("there is no background")??;
        Ok(())
    }

    /// Calls the guest; what a call with nothing to do costs is the time of `run("nothing", 0)`.
    pub(crate) async fn run(&self, scenario: &str, times: usize) -> Result<Vec<u64>> {
        let request = Request {
            key: Key::new(scenario, times.to_string()),
            reconcile_id: "bench".into(),
            attempt: 1,
            first_seen: std::time::SystemTime::UNIX_EPOCH,
        };
        let outcome = self.revision.reconcile(request).await;
        let outcome = outcome.with_context(|| format!("scenario {scenario} did not end"))?;
        match outcome {
            Outcome::Done => Ok(Vec::new()),
            Outcome::Terminal(said) => {
                let nanos = said.strip_prefix("nanoseconds: ");
                let nanos = nanos.with_context(|| format!("scenario {scenario} failed: {said}"))?;
                nanos.split(' ').map(|nanos| Ok(nanos.parse()?)).collect()
            }
            other => anyhow::bail!("scenario {scenario} ended with {other:?}"),
        }
    }
}
