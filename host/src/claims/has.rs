//! What a plugin has to itself, and whose claim counts more.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wheelhouse_core::Spec;

use crate::plugin_id::PluginId;

/// Whose claim counts more: the smaller. Files are first come, first served on a host that is alone; what is the whole cluster's comes before
/// what is a namespace's, and the older resource before the younger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Rank {
    File,
    Cluster(Age),
    Namespace(Age),
}

/// Of a resource: when it was created, and its UID.
pub(crate) type Age = (String, String);

/// A kind, in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Has {
    pub(super) rank: Rank,
    /// Where the plugin is from, for people.
    pub(super) of: String,
    /// `GROUP/VERSION/KIND`.
    pub(super) kind: String,
    /// All if empty.
    pub(super) namespaces: Vec<String>,
    /// Whether another may reconcile the same.
    pub(super) shares: bool,
}

impl Has {
    pub(super) fn new(id: &PluginId, spec: &Spec, age: Age, shares: bool) -> Self {
        let rank = match (id.file(), id.namespace()) {
            (Some(_), _) => Rank::File,
            (None, None) => Rank::Cluster(age),
            (None, Some(_)) => Rank::Namespace(age),
        };
        let (kind, namespaces) = (spec.reconciles.kind.to_string(), spec.reconciles.namespaces.clone());
        Self { rank, of: id.to_string(), kind, namespaces, shares }
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        let everywhere = self.namespaces.is_empty() || other.namespaces.is_empty();
        self.kind == other.kind
            && (everywhere || self.namespaces.iter().any(|namespace| other.namespaces.contains(namespace)))
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        let has = |namespace| self.namespaces.contains(namespace);
        let everywhere = self.namespaces.is_empty();
        self.kind == other.kind
            && (everywhere || (!other.namespaces.is_empty() && other.namespaces.iter().all(has)))
    }

    pub(super) fn shares_with(&self, other: &Self) -> bool {
        self.shares || other.shares
    }
}

/// What the plugin of this name has, as its host notes it for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(super) plugin: String,
    #[serde(flatten)]
    pub(super) has: Has,
}

impl Note {
    /// None if it makes no sense here.
    pub(crate) fn read(note: &Value) -> Option<Self> {
        Self::deserialize(note).ok()
    }
}

/// Where several hosts run plugins, none of which knows what came first: the smaller counts more. A plugin has the same
/// name on each, whatever its file's path is.
pub(super) fn place<'a>(plugin: &'a str, has: &'a Has) -> (&'a Rank, &'a str) {
    (&has.rank, plugin)
}
