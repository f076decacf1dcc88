//! What a plugin declares of itself: the answer of `describe`, checked.

use std::time::Duration;

use crate::gate::Permission;
use crate::scope::Scope;
use crate::tick::{self, Tick};
use crate::{FieldPath, FieldSelector, Fields, Key, Kind, LabelSelector, Predicate};

/// Objects of a kind that the plugin wants in the cache, and (unless it is among [`Spec::caches`]) which
/// of their events lead to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The kind.
    pub kind: Kind,
    /// All if empty.
    pub namespaces: Vec<String>,
    /// Of the objects' labels.
    pub selector: LabelSelector,
    /// Of the objects' fields.
    pub field_selector: FieldSelector,
    /// What the plugin reads of them.
    pub fields: Fields,
    /// Which of their changes count.
    pub predicate: Predicate,
}

/// A kind whose objects are owned by reconciled ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The kind, and which events of it.
    pub source: Source,
    /// Whether all owners are requested, and not the controller alone.
    pub any_owner: bool,
}

/// How an object of a watched kind names the objects to reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// By this label's value.
    Label(String),
    /// By this annotation's value.
    Annotation(String),
    /// By the values at this path.
    Field(FieldPath),
    /// By the plugin's `map`.
    Plugin,
}

/// A watched kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The plugin's name for it.
    pub name: String,
    /// The kind, and which events of it.
    pub source: Source,
    /// Which requests they lead to.
    pub mapping: Mapping,
}

/// Where an index's values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexSource {
    /// The values at this path.
    Field(FieldPath),
    /// The plugin's `index`.
    Plugin,
}

/// The index that every cached kind has without being told: the UIDs of an object's owners.
pub const OWNER_INDEX: &str = "metadata.ownerReferences.uid";

/// A field index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldIndex {
    /// The kind.
    pub kind: Kind,
    /// Unique among the plugin's indexes of the kind.
    pub name: String,
    /// Its values.
    pub source: IndexSource,
}

/// How the plugin wants to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// At least 1.
    pub concurrency: u32,
    /// Without events.
    pub resync: Option<Duration>,
    /// Of one reconcile.
    pub timeout: Option<Duration>,
    /// Whether a change of what a reconcile has read requests its object again.
    pub track_dependencies: bool,
}

/// What a plugin is and needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// A DNS label.
    pub name: String,
    /// For people.
    pub version: String,
    /// The kind whose objects are requests.
    pub reconciles: Source,
    /// Kinds whose objects are owned by those.
    pub owns: Vec<Owned>,
    /// Other kinds.
    pub watches: Vec<Watch>,
    /// What is only read.
    pub caches: Vec<Source>,
    /// What is requested every so often, whatever happens.
    pub ticks: Vec<Tick>,
    /// Field indexes.
    pub indexes: Vec<FieldIndex>,
    /// What it says that it needs, without what its sources imply.
    pub permissions: Vec<Permission>,
    /// How to run it.
    pub options: Options,
}

/// A declaration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The name is used as a field manager, a label and a metric's label.
    #[error(
        "the plugin's name {0:?} is no DNS label: use at most 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"
    )]
    Name(String),
    /// Two of one name.
    #[error("{what} {name:?} is declared twice")]
    Twice {
        /// Watch, index or tick.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// An index by the name of the built-in one.
    #[error(
        "index {OWNER_INDEX:?} on {0} is built in: leave it out of the declaration, or give yours another name"
    )]
    BuiltInIndex(Kind),
    /// Nothing comes of the events of what is only read.
    #[error(
        "{0} is among caches, of whose events no request comes, and has a predicate: leave it out, or declare a watch"
    )]
    CacheWithPredicate(Kind),
    /// A kind that is indexed and not cached.
    #[error("index {index:?} is on {kind}, which the plugin neither reconciles, owns, watches nor caches")]
    IndexWithoutSource {
        /// Its name.
        index: String,
        /// Its kind.
        kind: Kind,
    },
    /// More than the host handles.
    #[error("{what}: {count} are declared, at most {max} may be")]
    TooMany {
        /// Sources, indexes, ...
        what: &'static str,
        /// Declared.
        count: usize,
        /// Allowed.
        max: usize,
    },
    /// Ticks that would keep the plugin busy with itself.
    #[error("tick {tick:?} is every {every:?}: at least {:?} must lie between two", tick::SHORTEST)]
    TickPeriod {
        /// Its name.
        tick: String,
        /// As declared.
        every: Duration,
    },
    /// A tick for an object that cannot be.
    #[error("tick {tick:?} requests {key:?}, and no object can be called so")]
    TickKey {
        /// Its name.
        tick: String,
        /// As far as it can be shown.
        key: String,
    },
    /// A tick for an object that is not among those that are reconciled.
    #[error(
        "tick {tick:?} requests {key}, and what is reconciled is in namespaces {namespaces}: leave the key out, or add its namespace to the source"
    )]
    TickNamespace {
        /// Its name.
        tick: String,
        /// The key.
        key: Key,
        /// Of the reconciled source.
        namespaces: String,
    },
}

/// How much there is of a declaration: it can be told before any of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Sources.
    pub kinds: usize,
    /// Sources in namespaces: one that names none counts once.
    pub places: usize,
    /// Indexes.
    pub indexes: usize,
    /// Permissions.
    pub permissions: usize,
    /// Ticks.
    pub ticks: usize,
}

impl Counts {
    /// Checks that it is not too much.
    ///
    /// # Errors
    /// What there is too much of.
    pub fn check(&self) -> Result<(), SpecError> {
        for (what, count, max) in [
            ("kinds", self.kinds, 64),
            // Each is a watch, and a task of its own.
            ("kinds in namespaces", self.places, 512),
            ("indexes", self.indexes, 64),
            ("permissions", self.permissions, 256),
            ("ticks", self.ticks, tick::MOST),
        ] {
            if count > max {
                return Err(SpecError::TooMany { what, count, max });
            }
        }
        Ok(())
    }
}

impl Spec {
    /// As a plugin of one namespace has it: of nothing beyond, and by a name that is no other namespace's, with
    /// a dot, which is in no name that a plugin gives itself.
    ///
    /// # Errors
    /// If it wants objects of other namespaces requested.
    pub fn within(mut self, namespace: &str) -> Result<Self, SpecError> {
        self.name = format!("{namespace}.{}", self.name);
        let owned = self.owns.iter_mut().map(|owned| &mut owned.source);
        let watched = self.watches.iter_mut().map(|watch| &mut watch.source);
        let sources =
            std::iter::once(&mut self.reconciles).chain(owned).chain(watched).chain(&mut self.caches);
        let permissions = self.permissions.iter_mut().map(|permission| &mut permission.namespaces);
        for namespaces in sources.map(|source| &mut source.namespaces).chain(permissions) {
            if namespaces.is_empty() {
                namespaces.push(namespace.to_owned());
            }
        }
        for tick in &self.ticks {
            tick.check(&self.reconciles.namespaces)?;
        }
        Ok(self)
    }

    /// Every source, the reconciled kind's first.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let watched = self.watches.iter().map(|watch| &watch.source);
        let owned = self.owns.iter().map(|owned| &owned.source);
        std::iter::once(&self.reconciles).chain(owned).chain(watched).chain(&self.caches)
    }

    /// What of a kind has to be watched for all of its sources: one scope for each namespace, or one for
    /// all of them. In a cluster-scoped kind there is none to choose.
    pub fn scopes(&self, kind: &Kind, namespaced: bool) -> Vec<Scope> {
        let mut sources = self.sources().filter(|source| source.kind == *kind);
        let Some(first) = sources.next() else { return Vec::new() };
        let mut namespaces = first.namespaces.clone();
        let mut scope = Scope {
            namespace: String::new(),
            labels: first.selector.clone(),
            fields: first.field_selector.clone(),
        };
        for source in sources {
            scope.labels = scope.labels.hull(&source.selector);
            scope.fields = scope.fields.hull(&source.field_selector);
            if namespaces.is_empty() || source.namespaces.is_empty() {
                namespaces.clear();
            } else {
                namespaces.extend(source.namespaces.iter().cloned());
            }
        }
        if namespaces.is_empty() || !namespaced {
            return vec![scope];
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        namespaces.into_iter().map(|namespace| Scope { namespace, ..scope.clone() }).collect()
    }

    /// What is read of a kind's objects: what its sources declare, and what selectors, predicates, mappings
    /// and indexes look at.
    pub fn fields(&self, kind: &Kind) -> Fields {
        let mut paths = Vec::new();
        let mut fields = Fields::of([]);
        for source in self.sources().filter(|source| source.kind == *kind) {
            fields = fields.union(&source.fields);
            paths.extend(source.field_selector.requirements().iter().map(|requirement| &requirement.path));
            paths.extend(source.predicate.paths());
        }
        for watch in self.watches.iter().filter(|watch| watch.source.kind == *kind) {
            if let Mapping::Field(path) = &watch.mapping {
                paths.push(path);
            }
        }
        for index in self.indexes.iter().filter(|index| index.kind == *kind) {
            if let IndexSource::Field(path) = &index.source {
                paths.push(path);
            }
        }
        fields.union(&Fields::of(paths))
    }

    /// Every kind that has to be watched, once each, in order of declaration.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = Vec::new();
        for source in self.sources() {
            if !kinds.contains(&source.kind) {
                kinds.push(source.kind.clone());
            }
        }
        kinds
    }

    /// What the gate lets through: the declared permissions, and what the sources imply.
    pub fn all_permissions(&self) -> Vec<Permission> {
        self.sources().map(Permission::of_source).chain(self.permissions.iter().cloned()).collect()
    }

    fn counts(&self) -> Counts {
        Counts {
            kinds: self.sources().count(),
            places: self.sources().map(|source| source.namespaces.len().max(1)).sum(),
            indexes: self.indexes.len(),
            permissions: self.permissions.len(),
            ticks: self.ticks.len(),
        }
    }

    /// Checks what its types cannot say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), SpecError> {
        if !is_dns_label(&self.name) {
            return Err(SpecError::Name(crate::printable::excerpt(&self.name)));
        }
        self.counts().check()?;
        if let Some(cached) = self.caches.iter().find(|source| !source.predicate.is_every_change()) {
            return Err(SpecError::CacheWithPredicate(cached.kind.clone()));
        }
        if let Some(index) = self.indexes.iter().find(|index| index.name == OWNER_INDEX) {
            return Err(SpecError::BuiltInIndex(index.kind.clone()));
        }
        let twice = |what, name: &str| Err(SpecError::Twice { what, name: name.to_owned() });
        for (i, watch) in self.watches.iter().enumerate() {
            if self.watches.iter().take(i).any(|earlier| earlier.name == watch.name) {
                return twice("watch", &watch.name);
            }
        }
        for (i, tick) in self.ticks.iter().enumerate() {
            if self.ticks.iter().take(i).any(|earlier| earlier.name == tick.name) {
                return twice("tick", &tick.name);
            }
            tick.check(&self.reconciles.namespaces)?;
        }
        for (i, index) in self.indexes.iter().enumerate() {
            if self.indexes.iter().take(i).any(|e| (&e.kind, &e.name) == (&index.kind, &index.name)) {
                return twice("index", &index.name);
            }
            if !self.sources().any(|source| source.kind == index.kind) {
                return Err(SpecError::IndexWithoutSource {
                    index: index.name.clone(),
                    kind: index.kind.clone(),
                });
            }
        }
        Ok(())
    }
}

pub(crate) fn is_dns_label(name: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 63
        && ends(name.as_bytes().first())
        && ends(name.as_bytes().last())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests;
