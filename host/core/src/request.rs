//! What a plugin can ask of the cluster. The gate turns a request into a [`Permitted`] one, and
//! nothing else is ever carried out.
//!
//! [`Permitted`]: crate::gate::Permitted

use std::sync::Arc;
use std::time::Duration;

use crate::gate::{Access, Verb};
use crate::granted::Granted;
use crate::owners_stay::OwnersStay;
use crate::ownership;
use crate::{ApiError, FieldSelector, Key, Kind, LabelSelector, Scope};

/// Something that a plugin asks for, and that the gate can judge.
pub trait Asks {
    /// Which permission it takes.
    fn access(&self) -> Access<'_>;

    /// Judges what else there is to it, once the permission is there; `allows` says what else is permitted.
    ///
    /// # Errors
    /// What the request must not say.
    fn judge(
        &self,
        _plugin: &str,
        _allows: &dyn Fn(&Access<'_>) -> bool,
        _granted: &Arc<Granted>,
    ) -> Result<Option<OwnersStay>, ApiError> {
        Ok(None)
    }
}

/// How new a cached answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Not older than what this plugin itself wrote or read live last.
    #[default]
    OwnWrites,
    /// What the watch has brought, as every plugin sees it.
    Cached,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Its kind.
    pub kind: Kind,
    /// Which.
    pub key: Key,
    /// "" for the object itself; only a live read may have one.
    pub subresource: String,
    /// Of a cached read.
    pub consistency: Consistency,
}

impl Asks for Get {
    fn access(&self) -> Access<'_> {
        Access {
            verb: Verb::Get,
            kind: &self.kind,
            subresource: &self.subresource,
            namespace: &self.key.namespace,
            name: &self.key.name,
        }
    }
}

/// The value that an index must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexMatch {
    /// The index's name.
    pub index: String,
    /// The value.
    pub value: String,
}

/// Some objects of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Their kind.
    pub kind: Kind,
    /// "" for all.
    pub namespace: String,
    /// Of their labels.
    pub selector: LabelSelector,
    /// Of their fields: `metadata.name`, `metadata.namespace`, and those with an index.
    pub field_selector: FieldSelector,
    /// All must match.
    pub matches: Vec<IndexMatch>,
    /// Objects in a page, at most.
    pub limit: u32,
    /// Bytes of a page: it ends at the object that reaches them.
    pub bytes: usize,
    /// The key after which the page starts.
    pub after: Option<Key>,
    /// Of a cached read.
    pub consistency: Consistency,
}

impl Asks for List {
    fn access(&self) -> Access<'_> {
        Access {
            verb: Verb::List,
            kind: &self.kind,
            subresource: "",
            namespace: &self.namespace,
            name: self.field_selector.required_name().unwrap_or_default(),
        }
    }
}

impl List {
    /// Whether an object of this key may be among them, as far as its key tells.
    pub fn may_have(&self, key: &Key) -> bool {
        (self.namespace.is_empty() || self.namespace == key.namespace) && self.field_selector.may_have(key)
    }
}

/// All that is in a scope, now and from now on. It takes `watch`, and [`List`]s of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The kind.
    pub kind: Kind,
    /// Which of its objects.
    pub scope: Scope,
}

impl Asks for Watch {
    fn access(&self) -> Access<'_> {
        Access {
            verb: Verb::Watch,
            kind: &self.kind,
            subresource: "",
            namespace: &self.scope.namespace,
            name: self.scope.fields.required_name().unwrap_or_default(),
        }
    }

    fn judge(
        &self,
        plugin: &str,
        allows: &dyn Fn(&Access<'_>) -> bool,
        _granted: &Arc<Granted>,
    ) -> Result<Option<OwnersStay>, ApiError> {
        let list = Access { verb: Verb::List, ..self.access() };
        if allows(&list) {
            return Ok(None);
        }
        Err(ApiError::Forbidden(format!("plugin {plugin} may watch {}, and not list it", self.kind)))
    }
}

/// Whether a kind's reads come from the cache. It is no [`Asks`], since it takes a permission anywhere: see
/// [`Gate::permit_synced`](crate::Gate::permit_synced).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The kind.
    pub kind: Kind,
}

/// How the bytes of a patch are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own.
    Strategic,
}

/// What becomes of the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// POST of this JSON.
    Create(Vec<u8>),
    /// PUT of this JSON.
    Update(Vec<u8>),
    /// PATCH with this body.
    Patch(PatchType, Vec<u8>),
    /// Server-side apply of this JSON.
    Apply {
        /// The object.
        object: Vec<u8>,
        /// Take over others' fields.
        force: bool,
    },
    /// DELETE.
    Delete {
        /// The kind's default if none.
        propagation: Option<Propagation>,
        /// The kind's default if none.
        grace_period: Option<Duration>,
        /// Precondition.
        uid: Option<String>,
        /// Precondition.
        resource_version: Option<String>,
    },
}

impl Change {
    /// The verb that it takes.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Create(_) => Verb::Create,
            Self::Update(_) => Verb::Update,
            Self::Patch(..) | Self::Apply { .. } => Verb::Patch,
            Self::Delete { .. } => Verb::Delete,
        }
    }
}

/// A write of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its kind.
    pub kind: Kind,
    /// Which; the name is "" where the server is to make one.
    pub key: Key,
    /// "" for the object itself.
    pub subresource: String,
    /// Check, answer and store nothing.
    pub dry_run: bool,
    /// Who writes.
    pub field_manager: String,
    /// What.
    pub change: Change,
}

impl Asks for Write {
    fn access(&self) -> Access<'_> {
        Access {
            verb: self.change.verb(),
            kind: &self.kind,
            subresource: &self.subresource,
            namespace: &self.key.namespace,
            name: &self.key.name,
        }
    }

    fn judge(
        &self,
        plugin: &str,
        allows: &dyn Fn(&Access<'_>) -> bool,
        granted: &Arc<Granted>,
    ) -> Result<Option<OwnersStay>, ApiError> {
        ownership::judge(self, plugin, allows, granted)
    }
}
