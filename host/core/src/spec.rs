//! What a plugin declares of itself: the answer of `describe`, checked.

use std::time::Duration;

use crate::gate::Permission;
use crate::{FieldPath, Kind, LabelSelector, Value};

/// What makes an update worth a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// `metadata.generation`.
    GenerationChanged,
    /// `metadata.labels`.
    LabelsChanged,
    /// `metadata.annotations`.
    AnnotationsChanged,
}

impl Predicate {
    /// Whether the update of `old` to `new` is one.
    pub fn holds(self, old: Value<'_>, new: Value<'_>) -> bool {
        let field = match self {
            Self::GenerationChanged => "generation",
            Self::LabelsChanged => "labels",
            Self::AnnotationsChanged => "annotations",
        };
        old.at(&["metadata", field]) != new.at(&["metadata", field])
    }
}

/// A kind whose events lead to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The kind.
    pub kind: Kind,
    /// All if empty.
    pub namespaces: Vec<String>,
    /// Of the objects.
    pub selector: LabelSelector,
    /// Any of them makes an update count; all updates do if there are none.
    pub predicates: Vec<Predicate>,
}

/// How an object of a watched kind names the objects to reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// By this label's value.
    Label(String),
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
    pub owns: Vec<Source>,
    /// Other kinds.
    pub watches: Vec<Watch>,
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
        /// Watch or index.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A kind that is indexed and not watched.
    #[error("index {index:?} is on {kind}, which the plugin neither reconciles, owns nor watches")]
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
}

impl Spec {
    /// Every source, the reconciled kind's first.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.reconciles).chain(&self.owns).chain(self.watches.iter().map(|w| &w.source))
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

    /// Checks what its types cannot say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), SpecError> {
        if !is_dns_label(&self.name) {
            return Err(SpecError::Name(self.name.chars().take(100).collect()));
        }
        for (what, count, max) in [
            ("kinds", self.sources().count(), 64),
            ("indexes", self.indexes.len(), 64),
            ("permissions", self.permissions.len(), 256),
        ] {
            if count > max {
                return Err(SpecError::TooMany { what, count, max });
            }
        }
        let twice = |what, name: &str| Err(SpecError::Twice { what, name: name.to_owned() });
        for (i, watch) in self.watches.iter().enumerate() {
            if self.watches.iter().take(i).any(|earlier| earlier.name == watch.name) {
                return twice("watch", &watch.name);
            }
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

fn is_dns_label(name: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 63
        && ends(name.as_bytes().first())
        && ends(name.as_bytes().last())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
