//! What a plugin declares of itself: see [`Reconciler::describe`](crate::Reconciler::describe).

use std::time::Duration;

use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::{ObjectKey, Permission, Predicate};

/// What a plugin is, watches and needs.
///
/// ```
/// use wheelhouse_sdk::{Index, Permission, Predicate, Source, Spec, Verb, Watch};
///
/// Spec::new("node-census", env!("CARGO_PKG_VERSION"))
///     .reconciles(Source::of("v1/Node").when(Predicate::generation_changed()))
///     .owns(Source::of("v1/ConfigMap").in_namespaces(["default"]))
///     .watches(Watch::of(Source::of("v1/Pod").with_fields(["status.phase"])).by_field(".spec.nodeName"))
///     .indexes(Index::field("v1/Pod", ".spec.nodeName"))
///     .needs(Permission::to([Verb::Patch, Verb::Delete], "v1/ConfigMap"));
/// ```
#[derive(Clone, Debug)]
pub struct Spec(wit::Spec);

impl Spec {
    /// A plugin's name, a DNS label, which is also its field manager, and its version. What it
    /// [reconciles](Self::reconciles) must be said, everything else may be.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self(wit::Spec {
            name: name.into(),
            version: version.into(),
            reconciles: Source::of("").0,
            owns: Vec::new(),
            watches: Vec::new(),
            caches: Vec::new(),
            ticks: Vec::new(),
            indexes: Vec::new(),
            permissions: Vec::new(),
            options: wit::Options {
                concurrency: 1,
                resync_ms: None,
                timeout_ms: None,
                track_dependencies: false,
            },
        })
    }

    /// The kind that is reconciled. Every object of it is a request, and so is every change that its
    /// source lets through.
    pub fn reconciles(mut self, source: impl Into<Source>) -> Self {
        self.0.reconciles = source.into().0;
        self
    }

    /// A kind whose objects have a controller owner reference to a reconciled object: a change of
    /// theirs is a request for their owner.
    pub fn owns(self, source: impl Into<Source>) -> Self {
        self.owns_by(source.into(), false)
    }

    /// A kind whose objects have owner references to reconciled objects, not just the controller's: a change
    /// of theirs is a request for each owner. So do objects that several share.
    pub fn owns_any(self, source: impl Into<Source>) -> Self {
        self.owns_by(source.into(), true)
    }

    fn owns_by(mut self, source: Source, any_owner: bool) -> Self {
        self.0.owns.push(wit::Owned { source: source.0, any_owner });
        self
    }

    /// Another kind whose changes are requests.
    pub fn watches(mut self, watch: Watch) -> Self {
        self.0.watches.push(watch.0);
        self
    }

    /// A kind that is only read, or a wider part of one of the others: it is kept in the cache, and no
    /// request comes of its events, unless [dependencies are tracked](Self::tracking_dependencies). It must
    /// not have a [predicate](Source::when).
    ///
    /// ```
    /// # use wheelhouse_sdk::{Source, Spec};
    /// // The Pods of every namespace are read, and those of one are watched.
    /// Spec::new("pod-count", "1.0.0")
    ///     .reconciles(Source::of("v1/Pod").in_namespaces(["default"]).with_fields(["metadata"]))
    ///     .caches(Source::of("v1/Pod").with_fields(["spec.nodeName"]))
    ///     .caches("v1/Node");
    /// ```
    pub fn caches(mut self, source: impl Into<Source>) -> Self {
        self.0.caches.push(source.into().0);
        self
    }

    /// Requests these objects of the reconciled kind this often, without an event, whether or not they exist:
    /// for what no event tells of. The name must be unique among the plugin's ticks; in the next revision, one
    /// of the same name goes on in its time.
    ///
    /// The first request comes after one period, which has up to a tenth added at random; what was missed is
    /// not made up for. They go behind requests of live changes. At most 16 ticks of 64 objects each, and at
    /// least a second between two.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wheelhouse_sdk::{ObjectKey, Spec};
    /// // The ConfigMap is made by the reconciler, if it is not there.
    /// Spec::new("prices", "1.0.0")
    ///     .reconciles("v1/ConfigMap")
    ///     .ticks("hourly", Duration::from_secs(3600), [ObjectKey::new("default", "prices")]);
    /// ```
    pub fn ticks(
        mut self,
        name: impl Into<String>,
        every: Duration,
        keys: impl IntoIterator<Item = ObjectKey>,
    ) -> Self {
        let keys = keys.into_iter().collect();
        self.0.ticks.push(wit::Tick { name: name.into(), every_ms: millis(every), keys });
        self
    }

    /// An index, for [`List::matching`](crate::objects::List::matching) and for selectors. Its kind
    /// must be reconciled, owned, watched or cached.
    pub fn indexes(mut self, index: Index) -> Self {
        self.0.indexes.push(index.0);
        self
    }

    /// What the plugin needs to be allowed. To get, list and watch what it reconciles, owns, watches
    /// or caches need not be said.
    pub fn needs(mut self, permission: Permission) -> Self {
        self.0.permissions.push(permission.0);
        self
    }

    /// The most reconciles at once, never two of one object; 1 if not said.
    pub fn concurrency(mut self, reconciles: u32) -> Self {
        self.0.options.concurrency = reconciles;
        self
    }

    /// Reconciles every object this often, without an event.
    pub fn resync(mut self, every: Duration) -> Self {
        self.0.options.resync_ms = Some(millis(every));
        self
    }

    /// Has the host remember what each reconcile read, also what it looked for and did not find, and
    /// request the same object again when any of that changes. With it, a kind that is read needs to be
    /// [cached](Self::caches), and needs no watch and no mapping.
    ///
    /// What is followed: [`get`](crate::objects::get), [`list`](crate::objects::list) and its `count`, and
    /// live reads, of kinds that are reconciled, owned, watched or cached, within what their sources
    /// select and in the fields that they declare. Changes of the requested object itself are left to
    /// [`reconciles`](Self::reconciles) and its predicates. What is written and not read is not followed.
    ///
    /// ```
    /// # use wheelhouse_sdk::Spec;
    /// // A reconcile of a Service reads the ConfigMap that the Service names, and runs again when that
    /// // ConfigMap comes, changes or goes.
    /// Spec::new("service-notes", "1.0.0")
    ///     .reconciles("v1/Service")
    ///     .caches("v1/ConfigMap")
    ///     .tracking_dependencies();
    /// ```
    pub fn tracking_dependencies(mut self) -> Self {
        self.0.options.track_dependencies = true;
        self
    }

    /// The most time that one reconcile may take; the host's own limit if not said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.options.timeout_ms = Some(millis(timeout));
        self
    }

    pub(crate) fn into_wit(self) -> wit::Spec {
        self.0
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn strings<S: Into<String>>(strings: impl IntoIterator<Item = S>) -> Vec<String> {
    strings.into_iter().map(Into::into).collect()
}

/// Objects of a kind that the host is to have at hand, and (but for [`Spec::caches`]) whose events lead
/// to requests. A kind's name alone is one, too.
///
/// All sources of a kind together decide what the host watches and keeps of it: the namespaces of all of
/// them, what their selectors have in common, and the fields of all of them. A read beyond what is
/// watched is answered by the API server, live. So narrow every source of a kind, or none.
#[derive(Clone, Debug)]
pub struct Source(wit::Source);

impl Source {
    /// Every object of a kind: `apps/v1/Deployment`, `v1/Pod`.
    pub fn of(kind: impl Into<String>) -> Self {
        Self(wit::Source {
            kind: kind.into(),
            namespaces: Vec::new(),
            label_selector: String::new(),
            field_selector: String::new(),
            fields: Vec::new(),
            predicate: String::new(),
        })
    }

    /// Only objects in these namespaces.
    pub fn in_namespaces<S: Into<String>>(mut self, namespaces: impl IntoIterator<Item = S>) -> Self {
        self.0.namespaces = strings(namespaces);
        self
    }

    /// Only objects that this label selector selects, before or after the change.
    pub fn labelled(mut self, selector: impl Into<String>) -> Self {
        self.0.label_selector = selector.into();
        self
    }

    /// Only objects that this field selector selects, before or after the change:
    /// `spec.nodeName=n1,status.phase!=Failed`. Fields that the API server selects by (`metadata.name` and
    /// `metadata.namespace` of every kind, some others of its own kinds) narrow the watch; by others, all
    /// of the kind is watched, and the host drops what is not selected.
    pub fn where_field(mut self, selector: impl Into<String>) -> Self {
        self.0.field_selector = selector.into();
        self
    }

    /// The plugin reads these fields alone, with all that is below them: what no plugin reads is not
    /// kept, and the host's memory goes by what is. Besides them come `apiVersion`, `kind` and
    /// `metadata`, so that `["metadata"]` asks for nothing else, and what the plugin's field selectors,
    /// predicates, mappings and field indexes of the kind name.
    ///
    /// Whatever was not declared reads as absent, so do not forget any.
    ///
    /// ```
    /// # use wheelhouse_sdk::Source;
    /// Source::of("v1/Pod").with_fields(["spec.containers[*].image", "status.phase"]);
    /// ```
    pub fn with_fields<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.0.fields = strings(paths);
        self
    }

    /// Only changes of which this holds; every change, if it is not said.
    pub fn when(mut self, predicate: Predicate) -> Self {
        self.0.predicate = predicate.to_string();
        self
    }
}

impl<S: Into<String>> From<S> for Source {
    fn from(kind: S) -> Self {
        Self::of(kind)
    }
}

/// A watched kind, and how its objects name those to reconcile.
#[derive(Clone, Debug)]
pub struct Watch(wit::Watch);

impl Watch {
    /// Of this source; the plugin's own [`map`](crate::Reconciler::map) names the requests, unless
    /// something else is said.
    pub fn of(source: impl Into<Source>) -> Self {
        let source = source.into().0;
        Self(wit::Watch { name: source.kind.clone(), source, mapping: wit::Mapping::Plugin })
    }

    /// By the values at a field path, before and after the change: names, in the object's own
    /// namespace if the reconciled kind has any. A value may be `namespace/name`, too: so a cluster-scoped
    /// object, or one of another namespace, names a namespaced one.
    ///
    /// What can be no name, or is outside of the namespaces of what is reconciled, requests nothing.
    pub fn by_field(mut self, path: impl Into<String>) -> Self {
        self.0.mapping = wit::Mapping::Field(path.into());
        self
    }

    /// By the value of an annotation, likewise: one name, or `namespace/name`.
    pub fn by_annotation(mut self, annotation: impl Into<String>) -> Self {
        self.0.mapping = wit::Mapping::Annotation(annotation.into());
        self
    }

    /// By the value of a label, likewise, but for the namespace: a label's value has no slash.
    pub fn by_label(mut self, label: impl Into<String>) -> Self {
        self.0.mapping = wit::Mapping::Label(label.into());
        self
    }

    /// What `map` is called with; the kind if not said.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }
}

/// An index: what it finds costs no look at what it does not find.
#[derive(Clone, Debug)]
pub struct Index(wit::FieldIndex);

impl Index {
    /// By the values at a field path, which is also its name: `.spec.nodeName`,
    /// `.spec.containers[*].image`. A [field selector](crate::objects::List::where_field) may name the
    /// field, and uses it. The owners' UIDs are indexed [already](crate::objects::List::owned_by).
    pub fn field(kind: impl Into<String>, path: impl Into<String>) -> Self {
        let path = path.into();
        let source = wit::IndexSource::Field(path.clone());
        Self(wit::FieldIndex { kind: kind.into(), name: path, source })
    }

    /// By the value of a label, which is also its name. A [label selector](crate::objects::List::labelled)
    /// that requires one value of the label uses it: `app=web`.
    ///
    /// ```
    /// # use wheelhouse_sdk::Index;
    /// Index::label("v1/Pod", "app.kubernetes.io/name");
    /// ```
    pub fn label(kind: impl Into<String>, label: impl Into<String>) -> Self {
        let label = label.into();
        let source = wit::IndexSource::Label(label.clone());
        Self(wit::FieldIndex { kind: kind.into(), name: label, source })
    }

    /// By what the plugin's own [`index`](crate::Reconciler::index) says.
    pub fn plugin(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self(wit::FieldIndex { kind: kind.into(), name: name.into(), source: wit::IndexSource::Plugin })
    }

    /// What queries call it.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_source_is_declared() {
        let source = Source::of("v1/Pod")
            .labelled("app=web")
            .where_field("status.phase!=Failed")
            .with_fields([".spec.nodeName", "metadata"]);
        let spec = Spec::new("p", "1").reconciles("v1/Node").caches(source).caches("v1/Service").into_wit();
        let [pods, services] = spec.caches.as_slice() else { panic!("{:?}", spec.caches) };
        assert_eq!(pods.label_selector, "app=web");
        assert_eq!(pods.field_selector, "status.phase!=Failed");
        assert_eq!(pods.fields, [".spec.nodeName", "metadata"]);
        assert_eq!((services.kind.as_str(), services.fields.len()), ("v1/Service", 0));
    }

    #[test]
    fn what_leads_to_requests_is_declared() {
        let shared = Source::of("v1/Secret").when(Predicate::created() | Predicate::deleted());
        let spec = Spec::new("p", "1")
            .reconciles("v1/ConfigMap")
            .owns("v1/Pod")
            .owns_any(shared)
            .watches(Watch::of("v1/Node").by_annotation("example.com/of"))
            .ticks("often", Duration::from_millis(1500), [ObjectKey::new("a", "b")])
            .into_wit();
        assert_eq!(spec.owns.iter().map(|owned| owned.any_owner).collect::<Vec<_>>(), [false, true]);
        assert_eq!(spec.owns[1].source.predicate, "created || deleted");
        assert_eq!(spec.watches[0].mapping, wit::Mapping::Annotation("example.com/of".to_owned()));
        let [tick] = spec.ticks.as_slice() else { panic!("{:?}", spec.ticks) };
        assert_eq!((tick.name.as_str(), tick.every_ms, tick.keys.len()), ("often", 1500, 1));
    }

    #[test]
    fn an_index_by_a_label_has_its_name_unless_it_is_given_another() {
        let Index(index) = Index::label("v1/Pod", "app");
        assert_eq!((index.name.as_str(), index.source), ("app", wit::IndexSource::Label("app".to_owned())));
        assert_eq!(Index::label("v1/Pod", "app").named("by-app").0.name, "by-app");
    }
}
