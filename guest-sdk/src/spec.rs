//! What a plugin declares of itself: see [`Reconciler::describe`](crate::Reconciler::describe).

use std::time::Duration;

pub use crate::bindings::exports::wheelhouse::controller::reconciler::{Predicate, Verb};

use crate::bindings::exports::wheelhouse::controller::reconciler as wit;

/// What a plugin is, watches and needs.
///
/// ```
/// use wheelhouse_sdk::{Index, Permission, Predicate, Source, Spec, Verb, Watch};
///
/// Spec::new("node-census", env!("CARGO_PKG_VERSION"))
///     .reconciles("v1/Node")
///     .owns(Source::of("v1/ConfigMap").in_namespaces(["default"]))
///     .watches(Watch::of("v1/Pod").by_field(".spec.nodeName"))
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
            indexes: Vec::new(),
            permissions: Vec::new(),
            options: wit::Options { concurrency: 1, resync_ms: None, timeout_ms: None },
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
    pub fn owns(mut self, source: impl Into<Source>) -> Self {
        self.0.owns.push(source.into().0);
        self
    }

    /// Another kind whose changes are requests.
    pub fn watches(mut self, watch: Watch) -> Self {
        self.0.watches.push(watch.0);
        self
    }

    /// A field index, for [`List::matching`](crate::objects::List::matching). Its kind must be
    /// reconciled, owned or watched.
    pub fn indexes(mut self, index: Index) -> Self {
        self.0.indexes.push(index.0);
        self
    }

    /// What the plugin needs to be allowed. To get, list and watch what it reconciles, owns or
    /// watches need not be said.
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

/// A kind whose events lead to requests, and which of them. A kind's name alone is one, too.
#[derive(Clone, Debug)]
pub struct Source(wit::Source);

impl Source {
    /// Every object of a kind: `apps/v1/Deployment`, `v1/Pod`.
    pub fn of(kind: impl Into<String>) -> Self {
        Self(wit::Source {
            kind: kind.into(),
            namespaces: Vec::new(),
            label_selector: String::new(),
            predicates: Vec::new(),
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

    /// Only updates of which this holds, or another one that is said so. Creations and deletions
    /// always count.
    pub fn when(mut self, predicate: Predicate) -> Self {
        self.0.predicates.push(predicate);
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
    /// namespace if the reconciled kind has any.
    pub fn by_field(mut self, path: impl Into<String>) -> Self {
        self.0.mapping = wit::Mapping::Field(path.into());
        self
    }

    /// By the value of a label, likewise.
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

/// A field index.
#[derive(Clone, Debug)]
pub struct Index(wit::FieldIndex);

impl Index {
    /// By the values at a field path, which is also its name: `.spec.nodeName`,
    /// `.spec.containers[*].image`, `.metadata.labels['app.kubernetes.io/name']`.
    pub fn field(kind: impl Into<String>, path: impl Into<String>) -> Self {
        let path = path.into();
        let source = wit::IndexSource::Field(path.clone());
        Self(wit::FieldIndex { kind: kind.into(), name: path, source })
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

/// Something that a plugin needs to be allowed.
#[derive(Clone, Debug)]
pub struct Permission(wit::Permission);

impl Permission {
    /// These verbs on a kind's objects. A server-side apply is a `Patch`.
    pub fn to(verbs: impl IntoIterator<Item = Verb>, kind: impl Into<String>) -> Self {
        Self(wit::Permission {
            verbs: verbs.into_iter().collect(),
            kind: kind.into(),
            subresource: String::new(),
            namespaces: Vec::new(),
        })
    }

    /// On this subresource, and not on the objects themselves.
    pub fn subresource(mut self, name: impl Into<String>) -> Self {
        self.0.subresource = name.into();
        self
    }

    /// In these namespaces only.
    pub fn in_namespaces<S: Into<String>>(mut self, namespaces: impl IntoIterator<Item = S>) -> Self {
        self.0.namespaces = strings(namespaces);
        self
    }
}
