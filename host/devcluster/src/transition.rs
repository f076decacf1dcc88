//! What may change from one state of an object to the next, and what counts as a change.

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
        "status" | "approval" => only(&["status"], new),
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

/// Keeps the metadata that no client may change.
pub(crate) fn keep_metadata(current: &Json, new: &mut Json) {
    const KEPT: &[&str] = &[
        "uid",
        "name",
        "namespace",
        "generateName",
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

/// An object that is being deleted may lose finalizers, and not gain any.
pub(crate) fn check_finalizers(kind: &Kind, current: &Json, new: &Json) -> Result<(), ApiError> {
    if !object::is_deleting(current) {
        return Ok(());
    }
    let before: Vec<&str> = object::finalizers(current).collect();
    let added: Vec<&str> = object::finalizers(new).filter(|finalizer| !before.contains(finalizer)).collect();
    if added.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
    );
    let cause = Cause { reason: "FieldValueForbidden", field: "metadata.finalizers".to_owned(), message };
    Err(ApiError::invalid(kind, object::name(current), &[cause]))
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
