//! From a component's code to a revision that is ready to take over: everything that can fail,
//! beside whatever runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use wheelhouse_cache::{CacheError, IndexFn, Informer, InformerFactory, Rest};
use wheelhouse_client::{ClientConfig, OwnWrites, PluginClient, Watched};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::spec::{FieldIndex, IndexSource};
use wheelhouse_core::{Gate, Kind, Object, Spec};
use wheelhouse_sandbox::{Compiled, DescribeError, Revision, RevisionSetup, Sandbox};

/// What all plugins of a host share. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    /// Compiles and runs.
    pub sandbox: Sandbox,
    /// Watches.
    pub informers: InformerFactory,
    /// Writes.
    pub client: Rest,
    /// Of each plugin.
    pub limits: Limits,
    /// How long a kind's first list may take.
    pub sync_timeout: Duration,
}

/// Why code does not become a revision.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its description.
    #[error(transparent)]
    Describe(#[from] DescribeError),
    /// A kind that the cluster lacks, or that cannot be watched.
    #[error("plugin {plugin} needs {kind}: {source}")]
    Kind {
        /// The plugin.
        plugin: String,
        /// The kind.
        kind: Kind,
        /// Why not.
        source: CacheError,
    },
    /// A list that does not come.
    #[error(
        "plugin {plugin}: the first list of {kinds} was not complete within {timeout:?}; is the host allowed to list and watch it?"
    )]
    Sync {
        /// The plugin.
        plugin: String,
        /// The kinds.
        kinds: String,
        /// The time.
        timeout: Duration,
    },
}

impl PrepareError {
    /// Whether the same component may succeed later without a change of its own: when the cluster
    /// has changed.
    pub fn waits_for_cluster(&self) -> bool {
        matches!(self, Self::Kind { .. } | Self::Sync { .. })
    }
}

/// A revision, ready to take over.
pub struct Prepared {
    pub(crate) revision: Arc<Revision>,
    pub(crate) client: Arc<PluginClient>,
    pub(crate) informers: HashMap<Kind, Informer>,
    /// Of the reconciled kind; among `informers` too.
    pub(crate) reconciled: Informer,
    /// Indexes by the plugin's own function: they go with the revision.
    own_indexes: Vec<(Informer, String)>,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for (informer, name) in &self.own_indexes {
            informer.remove_index(name);
        }
    }
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
}

impl Runtime {
    /// Describes a component, watches what it needs, and waits until that has synced. `own_writes`
    /// are those of the plugin's other revisions, too.
    ///
    /// # Errors
    /// The first step that fails; nothing of it stays.
    pub async fn prepare(
        &self,
        compiled: &Compiled,
        config: &str,
        own_writes: &OwnWrites,
    ) -> Result<Prepared, PrepareError> {
        let spec = Arc::new(compiled.describe(config, &self.limits).await?);

        let informer = async |kind: &Kind| {
            let failed =
                |source| PrepareError::Kind { plugin: spec.name.clone(), kind: kind.clone(), source };
            self.informers.informer(kind).await.map_err(failed)
        };
        let reconciled = informer(&spec.reconciles.kind).await?;
        let mut informers = HashMap::new();
        for kind in spec.kinds() {
            let informer = informer(&kind).await?;
            informers.insert(kind, informer);
        }

        let indexes: Vec<Named> = spec.indexes.iter().map(Named::new).collect();
        let watched = informers.iter().map(|(kind, informer)| {
            let of_kind = indexes.iter().filter(|named| named.index.kind == *kind);
            let indexes = of_kind.map(|named| (named.index.name.clone(), named.name.clone())).collect();
            Watched { informer: informer.clone(), indexes }
        });
        let client = Arc::new(PluginClient::new(
            self.client.clone(),
            &self.informers,
            watched,
            own_writes,
            ClientConfig::default(),
        ));
        let gate = Arc::new(Gate::new(&spec.name, spec.all_permissions()));
        let revision = Arc::new(compiled.start(RevisionSetup {
            spec: Arc::clone(&spec),
            config: config.into(),
            gate,
            cluster: Arc::clone(&client) as Arc<_>,
            limits: self.limits.clone(),
        }));
        let mut prepared = Prepared { revision, client, informers, reconciled, own_indexes: Vec::new() };
        for named in &indexes {
            named.add(&mut prepared);
        }
        self.wait_synced(&spec, &prepared.informers).await?;
        Ok(prepared)
    }

    async fn wait_synced(
        &self,
        spec: &Spec,
        informers: &HashMap<Kind, Informer>,
    ) -> Result<(), PrepareError> {
        let all = async {
            for informer in informers.values() {
                informer.wait_synced().await;
            }
        };
        if tokio::time::timeout(self.sync_timeout, all).await.is_ok() {
            return Ok(());
        }
        let mut late: Vec<&str> = informers
            .iter()
            .filter(|(_, informer)| !informer.synced())
            .map(|(kind, _)| kind.as_str())
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

    fn add(&self, prepared: &mut Prepared) {
        // `Spec::check` has seen to it that the kind is watched.
        let Some(informer) = prepared.informers.get(&self.index.kind) else { return };
        let function = match &self.index.source {
            IndexSource::Field(path) => IndexFn::field(path.clone()),
            IndexSource::Plugin => {
                prepared.own_indexes.push((informer.clone(), self.name.clone()));
                own_index(self.index.name.clone(), &prepared.revision)
            }
        };
        informer.add_index(&self.name, function);
    }
}

/// An index by the plugin's own function. A call that fails leaves the object out of the index, which
/// harms this plugin alone.
fn own_index(name: String, revision: &Arc<Revision>) -> IndexFn {
    // Weak: the informer may outlive the revision.
    let revision = Arc::downgrade(revision);
    IndexFn::from_fn(move |object: &Object| {
        let Some(revision) = revision.upgrade() else { return Vec::new() };
        // The informer asks from within its own task, and waits; other tasks move to other threads.
        let called =
            tokio::task::block_in_place(|| Handle::current().block_on(revision.index(&name, object)));
        called.unwrap_or_else(|error| {
            let plugin = revision.spec().name.as_str();
            tracing::warn!(plugin, index = %name, object = %object.key(), "index() failed, the object is left out: {error}");
            Vec::new()
        })
    })
}
