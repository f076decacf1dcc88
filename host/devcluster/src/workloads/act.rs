//! The writes of the stand-ins: made as any client's, under the names that the real controllers have, so
//! that managed fields, generations and versions come out as they do in a cluster.

use std::cell::Cell;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{PODS, events};
use crate::cluster::Cluster;
use crate::delete::{self, DeleteOptions};
use crate::error::ApiError;
use crate::object::{self, Json, Object};
use crate::store::{Key, Place};
use crate::write::{self, Write};

pub(super) const CONTROLLER: &str = "kube-controller-manager";
/// How many Pods a workload gets in one go, as from the real controllers of ReplicaSets and Jobs.
pub(super) const AT_ONCE: i64 = 500;

/// An object that is looked at, as it was when the look began.
pub(super) struct Subject<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) place: &'a Place,
    pub(super) json: &'a Json,
}

impl Subject<'_> {
    pub(super) fn namespace(&self) -> &str {
        &self.place.1.namespace
    }

    pub(super) fn name(&self) -> &str {
        &self.place.1.name
    }

    pub(super) fn uid(&self) -> &str {
        object::uid(self.json)
    }

    pub(super) fn generation(&self) -> Value {
        object::meta(self.json, "generation").cloned().unwrap_or_else(|| json!(1))
    }

    /// `spec.replicas`, as defaulted.
    pub(super) fn replicas(&self) -> i64 {
        number(self.json, &["spec", "replicas"], 1)
    }

    /// Replaces the status, if it is another one and the object is as it was: a change since brings another look.
    /// Tells whether it did.
    pub(super) fn set_status(&self, manager: &str, status: Json) -> bool {
        let status = Value::Object(status);
        if self.json.get("status") == Some(&status) {
            return false;
        }
        let is_set = Cell::new(false);
        change(self.cluster, self.place, self.uid(), (manager, "status"), |json| {
            let is_as_it_was =
                object::meta(json, "resourceVersion") == object::meta(self.json, "resourceVersion");
            is_set.set(is_as_it_was);
            if is_as_it_was {
                json.insert("status".to_owned(), status.clone());
            }
        });
        is_set.get()
    }

    /// Edits everything but the status.
    pub(super) fn edit(&self, edit: impl Fn(&mut Json)) {
        change(self.cluster, self.place, self.uid(), (CONTROLLER, ""), edit);
    }

    /// Creates a dependent in the subject's namespace.
    pub(super) fn create(&self, storage: &str, mut dependent: Json) -> Result<Arc<Object>, ApiError> {
        let owner = self.reference();
        object::edit_meta(&mut dependent, |meta| {
            meta.insert("ownerReferences".to_owned(), json!([owner]));
        });
        make(self.cluster, storage, self.namespace(), dependent)
    }

    /// Creates a Pod, and tells of it; the error says why it cannot be had, which is told, too. A later event tries
    /// again.
    pub(super) fn create_pod(&self, pod: Json) -> Result<(), ApiError> {
        let is_named = self.is("StatefulSet");
        let (kind, name) = (object::text(self.json, &["kind"]), self.name());
        let wanted = object::name(&pod).to_owned();
        let prefix = object::text(&pod, &["metadata", "generateName"]).to_owned();
        let mut error = match self.create(PODS, pod) {
            Ok(created) => {
                let pod = object::name(&created.json);
                let what = match is_named {
                    true => format!("Create Pod {pod} in {kind} {name} successful"),
                    false => format!("Created pod: {pod}"),
                };
                events::normal(self, "SuccessfulCreate", &what);
                return Ok(());
            }
            Err(error) => error,
        };
        self.log(&error);
        if is_passing(&error) {
            return Ok(());
        }
        if !is_named {
            error.message = as_asked(&error.message, &prefix);
        }
        let what = match is_named {
            true => format!("create Pod {wanted} in {kind} {name} failed error: {}", error.message),
            false => format!("Error creating: {}", error.message),
        };
        events::warning(self, "FailedCreate", &what);
        Err(error)
    }

    fn is(&self, kind: &str) -> bool {
        object::text(self.json, &["kind"]) == kind
    }

    /// Tells whoever runs the server why the subject does not get what it is to have: once, as nothing but a change of it
    /// may help. What only has to be waited for is no news.
    pub(super) fn log(&self, error: &ApiError) {
        let (kind, name) = (object::text(self.json, &["kind"]), self.name());
        match !is_passing(error) && self.cluster.failures.note(self.json) {
            true => {
                tracing::warn!(%error, kind, namespace = self.namespace(), name, "cannot make what it is to have")
            }
            false => tracing::debug!(%error, kind, namespace = self.namespace(), name, "not created"),
        }
    }

    /// The owner reference that a dependent of the subject has.
    pub(super) fn reference(&self) -> Value {
        json!({ "apiVersion": object::text(self.json, &["apiVersion"]),
            "kind": object::text(self.json, &["kind"]), "name": self.name(), "uid": self.uid(),
            "controller": true, "blockOwnerDeletion": true })
    }

    /// Deletes an object that is still the one that was looked at.
    pub(super) fn delete(&self, storage: &str, json: &Json) {
        let Some(kind) = self.cluster.kind_of(storage) else { return };
        let options = DeleteOptions { uid: Some(object::uid(json).to_owned()), ..DeleteOptions::default() };
        if let Err(error) = delete::delete(self.cluster, &kind, &Key::of(json), &options) {
            tracing::debug!(%error, storage, name = object::name(json), "not deleted");
            return;
        }
        if storage == PODS {
            let pod = object::name(json);
            let what = match self.is("StatefulSet") {
                true => format!("Delete Pod {pod} in StatefulSet {} successful", self.name()),
                false => format!("Deleted pod: {pod}"),
            };
            events::normal(self, "SuccessfulDelete", &what);
        }
    }
}

/// A refusal that calls a Pod by what was asked for, so that it is the same for each.
fn as_asked(message: &str, prefix: &str) -> String {
    let quoted = format!("\"{prefix}");
    match message.split_once(&quoted).and_then(|(before, after)| Some((before, after.split_once('"')?.1))) {
        Some((before, after)) => format!("{before}{quoted}\"{after}"),
        None => message.to_owned(),
    }
}

/// Whether an error is one that only has to be waited for.
fn is_passing(error: &ApiError) -> bool {
    matches!(error.reason, "AlreadyExists" | "NotFound") || error.is_of_ending_namespace()
}

/// Creates an object.
pub(super) fn make(
    cluster: &Cluster,
    storage: &str,
    namespace: &str,
    json: Json,
) -> Result<Arc<Object>, ApiError> {
    let key = Key::new(namespace, object::name(&json));
    let write = write_of(cluster, storage, key, (CONTROLLER, ""))?;
    write::create(cluster, &write, json).map(|written| written.object)
}

/// The number at a path, or what it is by default.
pub(super) fn number(json: &Json, path: &[&str], default: i64) -> i64 {
    object::at(json, path).and_then(Value::as_i64).unwrap_or(default)
}

/// How many of something there are, as it is written into a status.
pub(super) fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

/// Edits an object as a manager, unless it has been replaced by another one.
pub(super) fn change(
    cluster: &Cluster,
    (storage, key): &Place,
    uid: &str,
    writer: (&str, &str),
    edit: impl Fn(&mut Json),
) {
    let result = write_of(cluster, storage, key.clone(), writer).and_then(|write| {
        write::change(cluster, &write, |current| {
            let mut json = current.clone();
            if object::uid(current) == uid {
                edit(&mut json);
            }
            Ok(json)
        })
    });
    if let Err(error) = result {
        tracing::debug!(%error, storage = &**storage, name = key.name, "not changed");
    }
}

fn write_of(
    cluster: &Cluster,
    storage: &str,
    key: Key,
    (manager, subresource): (&str, &str),
) -> Result<Write, ApiError> {
    let kind = cluster.kind_of(storage).ok_or_else(ApiError::no_such_path)?;
    Ok(Write::by(kind, key, manager, subresource))
}
