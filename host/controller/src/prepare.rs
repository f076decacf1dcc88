//! From a component's code to a revision that is ready to take over: everything that can fail,
//! beside whatever runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use wheelhouse_cache::{CacheError, IndexFn, Informer, InformerFactory, Interest, Rest};
use wheelhouse_client::{ClientConfig, EventRecorder, OwnWrites, PluginClient, ReadMetrics, Watched};
use wheelhouse_core::gate::Permission;
use wheelhouse_core::limits::Limits;
use wheelhouse_core::request::Watch;
use wheelhouse_core::series::OwnMetrics;
use wheelhouse_core::spec::{FieldIndex, IndexSource};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Fence, Fields, Gate, Grant, Granted, Kind, Object, Permitted, Scope, Spec};
use wheelhouse_sandbox::{Compiled, Revision, RevisionSetup, Sandbox};

use crate::error::{NotGranted, PrepareError};
use crate::patience::{Patience, Slowness};
use crate::report::{Failed, Reports};
use crate::ticks::{self, Schedule};
use crate::tracking::Dependencies;

/// What all plugins of a host share. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    /// Compiles and runs.
    pub sandbox: Sandbox,
    /// Watches.
    pub informers: InformerFactory,
    /// Writes.
    pub client: Rest,
    /// Counts reads, of all plugins.
    pub reads: ReadMetrics,
    /// Of each plugin.
    pub limits: Limits,
    /// How long a kind's first list may take.
    pub sync_timeout: Duration,
}

/// What the revisions of one plugin share. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    /// What it has written and the watch has not brought yet.
    pub own_writes: OwnWrites,
    /// What it has used of its limits.
    pub usage: Arc<Usage>,
    /// What was said of its failures.
    pub reports: Arc<Reports>,
    /// How long its index functions have kept watches waiting.
    pub(crate) slowness: Slowness,
    /// When what it wants to be asked for every so often is due.
    pub(crate) ticks: Schedule,
    /// What it has recorded of objects.
    pub events: EventRecorder,
    /// What it counts of its own.
    pub metrics: Arc<OwnMetrics>,
    /// What its operator grants: nothing at first.
    pub granted: Arc<Granted>,
    /// What its reconciles have read, if it tracks that.
    pub(crate) dependencies: Arc<Dependencies>,
    /// Until when it may write.
    pub fence: Fence,
}

impl Shared {
    /// Of a plugin that has done nothing yet, and writes as long as the fence is open.
    pub fn new(limits: &Limits, fence: Fence) -> Self {
        let usage = Arc::new(Usage::new(limits));
        Self {
            own_writes: OwnWrites::default(),
            reports: Arc::new(Reports::new(&usage)),
            slowness: Slowness::new(Instant::now()),
            usage,
            ticks: Schedule::default(),
            events: EventRecorder::default(),
            metrics: Arc::default(),
            granted: Arc::default(),
            dependencies: Arc::default(),
            fence,
        }
    }
}

/// What of a plugin's sources is not granted: without all of it, it cannot run.
pub(crate) fn ungranted_sources(gate: &Gate, spec: &Spec) -> Vec<Permission> {
    let sources: Vec<_> = spec
        .sources()
        .map(|source| (Permission::of_source(source), source.field_selector.required_name()))
        .collect();
    gate.lacks(sources.iter().map(|(permission, name)| (permission, name.unwrap_or_default())))
}

fn enough(gate: &Gate, spec: &Spec) -> Result<(), NotGranted> {
    match ungranted_sources(gate, spec) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(NotGranted { plugin: spec.name.clone(), missing }),
    }
}

/// A revision, ready to take over.
pub struct Prepared {
    pub(crate) revision: Arc<Revision>,
    pub(crate) client: Arc<PluginClient>,
    /// Of each kind: one for each namespace, or one for all.
    pub(crate) informers: HashMap<Kind, Vec<Informer>>,
    /// Whether the reconciled kind's objects are in namespaces.
    pub(crate) namespaced: bool,
    pub(crate) shared: Shared,
    pub(crate) gate: Arc<Gate>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prepared({} {})", self.revision.spec().name, self.revision.digest())
    }
}

impl Prepared {
    /// What the plugin is and needs.
    pub fn spec(&self) -> &Arc<Spec> {
        self.revision.spec()
    }

    /// The digest of its component.
    pub fn digest(&self) -> &str {
        self.revision.digest()
    }

    /// Whether its plugin is granted what its sources need, by now.
    ///
    /// # Errors
    /// What is missing.
    pub fn is_granted(&self) -> Result<(), NotGranted> {
        enough(&self.gate, self.spec())
    }
}

impl Runtime {
    /// Asks a component what it is and needs, without any authority, on the account of its plugin.
    ///
    /// # Errors
    /// If it does not say, or not what makes sense.
    pub async fn describe(
        &self,
        compiled: &Compiled,
        config: &str,
        limits: &Limits,
        shared: &Shared,
    ) -> Result<Arc<Spec>, PrepareError> {
        Ok(Arc::new(compiled.describe_within(config, limits, &shared.usage).await?))
    }

    /// The gate of what is prepared for a plugin, if that is granted what its sources need.
    ///
    /// # Errors
    /// What is missing.
    pub fn gate(&self, spec: &Spec, grant: Grant) -> Result<Gate, NotGranted> {
        let gate = Gate::new(&spec.name, spec.all_permissions(), Arc::new(Granted::new(grant)));
        enough(&gate, spec)?;
        Ok(gate)
    }

    /// Watches what a component needs, as far as `gate` permits that, and waits until that has synced. `shared`
    /// is the plugin's, and its other revisions' too: what is granted to those is left as it is.
    ///
    /// # Errors
    /// The first step that fails; nothing of it stays.
    pub async fn prepare(
        &self,
        compiled: &Compiled,
        spec: Arc<Spec>,
        config: &str,
        limits: &Limits,
        shared: &Shared,
        gate: &Gate,
    ) -> Result<Prepared, PrepareError> {
        let mut informers = HashMap::new();
        let mut namespaced = false;
        let mut namespaced_kinds = Vec::new();
        for kind in spec.kinds() {
            let failed =
                |source| PrepareError::Kind { plugin: spec.name.clone(), kind: kind.clone(), source };
            let resource = self.informers.resources().resolve(&kind).await.map_err(failed)?;
            let mut of_kind: Vec<Informer> = Vec::new();
            for scope in spec.scopes(&kind, resource.namespaced) {
                let wider = |source| PrepareError::Watch {
                    plugin: spec.name.clone(),
                    kind: kind.clone(),
                    scope: scope.clone(),
                    source,
                };
                let watch = Watch { kind: kind.clone(), scope: scope.clone() };
                let watch = gate.permit(watch).map_err(wider)?;
                let informer = self.informer(&watch, spec.fields(&kind)).await.map_err(failed)?;
                // Those of several namespaces may be one, which has them all.
                if !of_kind.iter().any(|other| other.id() == informer.id()) {
                    of_kind.push(informer);
                }
            }
            namespaced |= kind == spec.reconciles.kind && resource.namespaced;
            namespaced_kinds.extend(resource.namespaced.then(|| kind.clone()));
            informers.insert(kind, of_kind);
        }
        if let Some((tick, key)) = ticks::misplaced(&spec, namespaced) {
            let (plugin, kind) = (spec.name.clone(), spec.reconciles.kind.clone());
            return Err(PrepareError::Tick {
                plugin,
                tick: tick.name.clone(),
                key: key.clone(),
                kind,
                namespaced,
            });
        }

        let indexes: Vec<Named> = spec.indexes.iter().map(Named::new).collect();
        let watched = informers.iter().map(|(kind, informers)| {
            let of_kind = indexes.iter().filter(|named| named.index.kind == *kind);
            let indexes = of_kind.map(|named| (named.index.name.clone(), named.name.clone())).collect();
            Watched { informers: informers.clone(), indexes }
        });
        let client = PluginClient::new(
            self.client.fenced(&shared.fence),
            &self.informers,
            watched,
            &shared.own_writes,
            &shared.usage,
            &self.reads,
            ClientConfig::default(),
        );
        let client = Arc::new(client.recording(&shared.events));
        let gate = Arc::new(Gate::new(&spec.name, spec.all_permissions(), Arc::clone(&shared.granted)));
        let revision = Arc::new(compiled.start(RevisionSetup {
            spec: Arc::clone(&spec),
            config: config.into(),
            gate: Arc::clone(&gate),
            cluster: Arc::clone(&client) as Arc<_>,
            limits: limits.clone(),
            usage: Arc::clone(&shared.usage),
            metrics: Arc::clone(&shared.metrics),
        }));
        for named in &indexes {
            let kind = &named.index.kind;
            let scopes = spec.scopes(kind, namespaced_kinds.contains(kind));
            named.add(informers.get(kind).into_iter().flatten(), &scopes, &revision, shared);
        }
        self.wait_synced(&spec, &informers).await?;
        Ok(Prepared { revision, client, informers, namespaced, shared: shared.clone(), gate })
    }

    /// An informer of at least what the gate permits to watch.
    async fn informer(&self, watch: &Permitted<Watch>, fields: Fields) -> Result<Informer, CacheError> {
        self.informers.informer(Interest::from(&watch.kind).scoped(watch.scope.clone()).reading(fields)).await
    }

    async fn wait_synced(
        &self,
        spec: &Spec,
        informers: &HashMap<Kind, Vec<Informer>>,
    ) -> Result<(), PrepareError> {
        let all = async {
            for informer in informers.values().flatten() {
                informer.wait_synced().await;
            }
        };
        if tokio::time::timeout(self.sync_timeout, all).await.is_ok() {
            return Ok(());
        }
        let mut late: Vec<String> = informers
            .values()
            .flatten()
            .filter(|informer| !informer.synced())
            .map(|informer| match informer.scope().namespace.as_str() {
                "" => informer.kind().to_string(),
                namespace => format!("{} in namespace {namespace}", informer.kind()),
            })
            .collect();
        late.sort_unstable();
        Err(PrepareError::Sync {
            plugin: spec.name.clone(),
            kinds: late.join(", "),
            timeout: self.sync_timeout,
        })
    }
}

/// A declared index, and what its informer calls it.
struct Named<'a> {
    index: &'a FieldIndex,
    name: String,
}

impl<'a> Named<'a> {
    /// Equal field paths are one index, whoever declares them; a plugin's own function is one for
    /// each of its revisions.
    fn new(index: &'a FieldIndex) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = match &index.source {
            IndexSource::Field(path) => path.to_string(),
            IndexSource::Plugin => format!("{}#{}", index.name, NEXT.fetch_add(1, Ordering::Relaxed)),
        };
        Self { index, name }
    }

    fn add<'i>(
        &self,
        informers: impl Iterator<Item = &'i Informer>,
        scopes: &[Scope],
        revision: &Arc<Revision>,
        shared: &Shared,
    ) {
        for informer in informers {
            let function = match &self.index.source {
                IndexSource::Field(path) => IndexFn::field(path.clone()),
                IndexSource::Plugin => {
                    own_index(self.index.name.clone(), scopes.to_vec(), informer.fields(), revision, shared)
                }
            };
            informer.add_index(&self.name, function);
        }
    }
}

/// An index by the plugin's own function, which sees the fields that the plugin declared. A call that
/// fails leaves the object out of the index, which harms this plugin alone; and one that fails or is slow
/// again and again is not made for a while ([`Patience`]).
///
/// The informer may be shared with plugins that watch more of the kind: what this one does not watch, its
/// function is not shown.
fn own_index(
    name: String,
    scopes: Vec<Scope>,
    fields: &Fields,
    revision: &Arc<Revision>,
    shared: &Shared,
) -> IndexFn {
    // Weak: the informer may outlive the revision.
    let revision = Arc::downgrade(revision);
    let (fields, reports) = (fields.clone(), Arc::clone(&shared.reports));
    let call = format!("index {name}");
    let patience = Mutex::new(Patience::new(shared.slowness.clone()));
    IndexFn::from_fn(move |object: &Object| {
        let Some(revision) = revision.upgrade() else { return Vec::new() };
        if !scopes.iter().any(|scope| scope.contains(object)) {
            return Vec::new();
        }
        let patience = || patience.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        if !patience().may_ask(begun) {
            return Vec::new();
        }
        let object = fields.project(object);
        // The informer asks from within its own task, and waits; other tasks move to other threads.
        let called =
            tokio::task::block_in_place(|| Handle::current().block_on(revision.index(&name, &object)));
        let plugin = revision.spec().name.as_str();
        if patience().note(begun.elapsed(), called.is_err(), Instant::now()) {
            tracing::error!(plugin, index = %name, "index() has failed or been slow again and again: for a minute it is not asked, and what changes meanwhile is not in the index");
        }
        called.unwrap_or_else(|error| {
            let (object, then) = (&object.key(), "the object is left out");
            reports.failed(&revision, &Failed { call: &call, object, reconcile_id: "", then }, &error);
            Vec::new()
        })
    })
}
