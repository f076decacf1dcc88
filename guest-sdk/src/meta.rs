//! Owner references and finalizers.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{ApiError, Object, client, warn};

/// `metadata.ownerReferences[]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Whether it is the one owner that manages the object: what [`Spec::owns`](crate::Spec::owns)
    /// goes by.
    #[serde(default)]
    pub controller: bool,
    /// Whether the owner's foreground deletion waits for the object. To set it takes the permission to
    /// `update` the owner, or its subresource `finalizers`.
    #[serde(default)]
    pub block_owner_deletion: bool,
}

impl OwnerReference {
    /// The reference by which `owner` is the controller of another object, which is then deleted with
    /// it. It must be in the owner's namespace, unless the owner is cluster-scoped.
    pub fn controller(kind: &str, owner: &Object) -> Self {
        let (api_version, kind) = kind.rsplit_once('/').unwrap_or(("", kind));
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: owner.name().to_owned(),
            uid: owner.uid().to_owned(),
            controller: true,
            block_owner_deletion: false,
        }
    }
}

/// Where an object with a finalizer of ours is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is to be kept as it says; the finalizer is there, or was added just now.
    Live,
    /// Its deletion was asked for: clean up, then [`remove_finalizer`].
    CleanUp,
    /// Its deletion was asked for, and our finalizer is gone: nothing is left to do.
    Released,
}

/// Puts a finalizer on an object that is not being deleted, and says what to do. Nothing is
/// written if it is there already.
///
/// # Errors
/// [`Conflict`](ApiError::Conflict) if the object has changed since it was read; what a patch may
/// return.
pub fn ensure_finalizer(kind: &str, object: &Object, finalizer: &str) -> Result<Stage, ApiError> {
    let present = finalizers(object).any(|name| name == finalizer);
    match (object.is_being_deleted(), present) {
        (true, true) => Ok(Stage::CleanUp),
        (true, false) => Ok(Stage::Released),
        (false, true) => Ok(Stage::Live),
        (false, false) => {
            if !finalizer.contains('/') {
                warn!(finalizer = finalizer, "a finalizer's name should have a domain: example.com/name");
            }
            set_finalizers(kind, object, finalizers(object).chain([finalizer]).collect())?;
            Ok(Stage::Live)
        }
    }
}

/// Takes a finalizer off, which lets an object go that is being deleted. An object that is gone, or
/// that has no such finalizer, is left as it is.
///
/// # Errors
/// [`Conflict`](ApiError::Conflict) if the object has changed since it was read; what a patch may
/// return.
pub fn remove_finalizer(kind: &str, object: &Object, finalizer: &str) -> Result<(), ApiError> {
    let left: Vec<&str> = finalizers(object).filter(|name| *name != finalizer).collect();
    if left.len() == finalizers(object).count() {
        return Ok(());
    }
    match set_finalizers(kind, object, left) {
        Err(ApiError::NotFound(_)) => Ok(()),
        result => result,
    }
}

fn finalizers(object: &Object) -> impl Iterator<Item = &str> {
    object
        .at(&["metadata", "finalizers"])
        .into_iter()
        .flat_map(|list| list.items())
        .filter_map(|v| v.as_str())
}

/// The list is replaced as a whole, so only on the version that was read.
fn set_finalizers(kind: &str, object: &Object, finalizers: Vec<&str>) -> Result<(), ApiError> {
    let patch = json!({
        "metadata": {"finalizers": finalizers, "resourceVersion": object.resource_version()},
    });
    client::merge_patch(kind, &object.key(), &patch).send().map(drop)
}
