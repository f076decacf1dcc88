//! What may change from one state of an object to the next, and what counts as a change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};

/// Takes from the new state only what the subresource covers.
pub(crate) fn confine(kind: &Kind, subresource: &str, current: &Json, mut new: Json) -> Json {
    let only = |path: &[&str], mut new: Json| {
        let mut confined = current.clone();
        match object::remove(&mut new, path) {
            Some(value) => object::set(&mut confined, path, value),
            None => {
                object::remove(&mut confined, path);
            }
        }
        // An applied state brings its managers along.
        if let Some(managers) = object::meta(&new, "managedFields") {
            object::set(&mut confined, &["metadata", "managedFields"], managers.clone());
        }
        confined
    };
    match subresource {
        "status" if !kind.is_custom() && !resets_metadata(kind) => with_status(kind, current, new),
        "status" | "approval" => only(&["status"], new),
        "ephemeralcontainers" => only(&["spec", "ephemeralContainers"], new),
        "resize" => resized(current, new),
        "finalize" => only(&["spec", "finalizers"], new),
        _ => {
            if kind.has_status {
                match current.get("status") {
                    Some(status) => new.insert("status".to_owned(), status.clone()),
                    None => new.remove("status"),
                };
            }
            match object::at(current, &["spec", "finalizers"]) {
                // They are `finalize`'s.
                Some(finalizers) if kind.is("", "namespaces") => {
                    object::set(&mut new, &["spec", "finalizers"], finalizers.clone());
                }
                _ => {}
            }
            new
        }
    }
}

/// The groups of the built-in kinds whose statuses come without any other metadata, as those of custom resources.
fn resets_metadata(kind: &Kind) -> bool {
    const GROUPS: &[&str] = &[
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "resource.k8s.io",
        "storage.k8s.io",
    ];
    GROUPS.contains(&kind.group.as_str())
}

/// The metadata that a status does not come with.
fn kept_metadata(kind: &Kind) -> Option<&'static str> {
    match kind.kind.as_str() {
        "Pod" => Some("ownerReferences"),
        "Deployment" => Some("labels"),
        _ => None,
    }
}

/// Takes out of an applied status what it does not come with, so that nobody comes to own that.
pub(crate) fn confine_applied(kind: &Kind, applied: &mut Json) {
    applied.retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    let has_none = kind.is_custom() || resets_metadata(kind);
    object::edit_meta(applied, |meta| {
        meta.retain(|field, _| match field.as_str() {
            "name" | "namespace" | "uid" | "resourceVersion" => true,
            field => !has_none && kept_metadata(kind) != Some(field),
        });
    });
}

/// Of the new state, the status and the metadata, but for what of it the kind keeps.
fn with_status(kind: &Kind, current: &Json, mut new: Json) -> Json {
    let kept = kept_metadata(kind);
    let is_taken = |field: &str| matches!(field, "metadata" | "status");
    new.retain(|field, _| is_taken(field) || current.contains_key(field));
    // Who writes a status hands on the rest as it is, nearly always: to compare it costs less than a copy.
    for (field, value) in current.iter().filter(|(field, _)| !is_taken(field)) {
        if new.get(field) != Some(value) {
            new.insert(field.clone(), value.clone());
        }
    }
    if let Some(field) = kept {
        object::edit_meta(&mut new, |meta| match object::meta(current, field) {
            Some(value) => meta.insert(field.to_owned(), value.clone()),
            None => meta.remove(field),
        });
    }
    new
}

/// Of the new state of a Pod, the resources of its containers, and how they are changed; and which it has.
fn resized(current: &Json, new: Json) -> Json {
    let mut confined = current.clone();
    for field in ["containers", "initContainers"] {
        let wanted = object::at(&new, &["spec", field]).and_then(Value::as_array).into_iter().flatten();
        let wanted: BTreeMap<&str, &Value> =
            wanted.filter_map(|container| Some((container.get("name")?.as_str()?, container))).collect();
        if wanted.len() != object::items(current, &["spec", field]).len() {
            // It is refused as it is.
            object::set(&mut confined, &["spec", field], Value::from(object::items(&new, &["spec", field])));
            continue;
        }
        let containers = confined.get_mut("spec").and_then(|spec| spec.get_mut(field));
        for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
            let name = container.get("name").and_then(Value::as_str);
            let Some(wanted) = name.and_then(|name| wanted.get(name)) else { continue };
            let Some(container) = container.as_object_mut() else { continue };
            for field in ["resources", "resizePolicy"] {
                match wanted.get(field) {
                    Some(value) => container.insert(field.to_owned(), value.clone()),
                    None => container.remove(field),
                };
            }
        }
    }
    if let Some(managers) = object::meta(&new, "managedFields") {
        object::set(&mut confined, &["metadata", "managedFields"], managers.clone());
    }
    confined
}

/// Keeps the metadata that no client may change.
pub(crate) fn keep_metadata(current: &Json, new: &mut Json) {
    const KEPT: &[&str] = &[
        "uid",
        "name",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "selfLink",
    ];
    object::edit_meta(new, |meta| {
        for field in KEPT {
            match object::meta(current, field) {
                Some(value) => meta.insert((*field).to_owned(), value.clone()),
                None => meta.remove(*field),
            };
        }
    });
}

/// Who deletes an object says when, and nobody else.
pub(crate) fn check_deletion(kind: &Kind, current: &Json, new: &Json) -> Result<(), ApiError> {
    let time = Some("deletionTimestamp").filter(|_| !object::is_deleting(current));
    let mut causes = Vec::new();
    for field in time.into_iter().chain(["deletionGracePeriodSeconds"]) {
        let given = object::meta(new, field).filter(|value| !value.is_null());
        if let Some(value) = given.filter(|value| object::meta(current, field) != Some(value)) {
            causes.push(Cause::invalid(format!("metadata.{field}"), value, "field is immutable"));
        }
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(kind, object::name(current), &causes)),
    }
}

/// An object that is being deleted may lose finalizers, and not gain any.
pub(crate) fn check_finalizers(kind: &Kind, current: &Json, new: &Json) -> Result<(), ApiError> {
    if !object::is_deleting(current) {
        return Ok(());
    }
    let before: BTreeSet<&str> = object::finalizers(current).collect();
    let added: BTreeSet<&str> =
        object::finalizers(new).filter(|finalizer| !before.contains(finalizer)).collect();
    if added.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = added.iter().map(|finalizer| format!("{finalizer:?}")).collect();
    let message = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers \
         []string{{{}}}",
        named.join(", ")
    );
    let cause = Cause { reason: "FieldValueForbidden", field: "metadata.finalizers".to_owned(), message };
    Err(ApiError::invalid(kind, object::name(current), &[cause]))
}

/// Whether a change counts as a new generation. Those of a Deployment's annotations do, too, but by its status.
pub(crate) fn counts(kind: &Kind, subresource: &str, old: &Json, new: &Json) -> bool {
    // A Pod is the same on whichever node it is.
    if subresource == "binding" {
        return false;
    }
    let annotated = subresource.is_empty()
        && kind.is("apps", "deployments")
        && object::meta(old, "annotations") != object::meta(new, "annotations");
    annotated || spec_changed(kind, old, new)
}

/// Whether anything differs but metadata, and status where that is no part of the specification.
pub(crate) fn spec_changed(kind: &Kind, old: &Json, new: &Json) -> bool {
    let counts_status = kind.is_custom() && !kind.has_status;
    let is_spec = |field: &str| match field {
        "metadata" | "apiVersion" | "kind" => false,
        "status" => counts_status,
        _ => true,
    };
    let fields = |json: &Json| json.keys().filter(|field| is_spec(field)).count();
    fields(old) != fields(new)
        || new.iter().any(|(field, value)| is_spec(field) && old.get(field) != Some(value))
}
