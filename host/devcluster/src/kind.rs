//! What the server knows about one served kind: its names, its scope, its subresources.

use std::sync::Arc;

use serde_json::Value;

use crate::schema::Schema;

/// Names the storage that all versions of a kind share: `plural.group`, or `plural` in the core group.
pub(crate) type ResourceId = Arc<str>;

/// The kinds that an update creates where there is none: their strategies have `AllowCreateOnUpdate`.
const CREATED_ON_UPDATE: &[(&str, &str)] = &[
    ("", "endpoints"),
    ("", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("node.k8s.io", "runtimeclasses"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
];

/// One kind in one version.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) storage: ResourceId,
    pub(crate) has_status: bool,
    pub(crate) has_generation: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// Subresources beyond `status` and `scale`, such as `eviction`.
    pub(crate) extra: &'static [&'static str],
    /// A kind that is answered and not stored, such as SelfSubjectAccessReview.
    pub(crate) is_virtual: bool,
    /// What a CustomResourceDefinition adds.
    pub(crate) custom: Option<Custom>,
}

/// What a CustomResourceDefinition says about one version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Custom {
    pub(crate) schema: Option<Arc<Schema>>,
    /// That of the version that objects are stored in, if it is another one.
    pub(crate) stored: Option<Arc<Schema>>,
    /// Counts the specifications of the definition.
    pub(crate) generation: u64,
    pub(crate) columns: Vec<Value>,
    /// JSON paths that field selectors may use, such as `.spec.color`.
    pub(crate) selectable: Vec<String>,
    /// The definition is being deleted: objects may only go.
    pub(crate) terminating: bool,
    /// What those are warned of who still use this version.
    pub(crate) deprecation: Option<String>,
}

/// Where the replica counts of a scalable kind are, as field names below the root.
#[derive(Debug, Clone)]
pub(crate) struct ScalePaths {
    pub(crate) spec: Vec<String>,
    pub(crate) status: Vec<String>,
    pub(crate) selector: Option<Vec<String>>,
}

impl Kind {
    /// `group/version`, or `version` in the core group.
    pub(crate) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `plural.group`, or `plural` in the core group: the name used in messages.
    pub(crate) fn qualified(&self) -> &str {
        match self.group.as_str() {
            "" => &self.plural,
            _ => &self.storage,
        }
    }

    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    /// Whether an update creates an object that there is none of.
    pub(crate) fn is_created_by_updates(&self) -> bool {
        !self.is_custom() && CREATED_ON_UPDATE.contains(&(self.group.as_str(), self.plural.as_str()))
    }

    /// Whether who creates an object says what its status is.
    pub(crate) fn is_created_with_status(&self) -> bool {
        !self.has_status || self.is("", "nodes")
    }

    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.custom.as_ref()?.schema.as_deref()
    }

    pub(crate) fn deprecation(&self) -> Option<&str> {
        self.custom.as_ref()?.deprecation.as_deref()
    }

    /// Whether another state of this kind is of the same definition, or of one that says the same.
    pub(crate) fn shows_as(&self, other: &Self) -> bool {
        let generation = |kind: &Self| kind.custom.as_ref().map(|custom| custom.generation);
        self.kind == other.kind && self.list_kind == other.list_kind && generation(self) == generation(other)
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }
}

/// The storage of a plural in a group.
pub(crate) fn resource_id(group: &str, plural: &str) -> ResourceId {
    match group {
        "" => plural.into(),
        group => format!("{plural}.{group}").into(),
    }
}
