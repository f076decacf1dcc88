//! Which objects belong to a workload: those that it controls and its selector still selects, and those
//! that it selects and nobody controls, which it adopts. What it controls and no longer selects it lets go.

use std::sync::Arc;

use serde_json::{Value, json};

use super::act::{self, CONTROLLER, Subject};
use super::selector;
use crate::object::{self, Json, Object};
use crate::store::{Extent, Key, Place};

/// The uid of the owner that manages an object.
pub(super) fn controller(json: &Json) -> Option<&str> {
    let owners = object::meta(json, "ownerReferences").and_then(Value::as_array)?;
    let managing = owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    managing.get("uid").and_then(Value::as_str)
}

/// The subject's dependents of one kind that are not being deleted, oldest first.
pub(super) fn claim(subject: &Subject<'_>, storage: &str) -> Vec<Arc<Object>> {
    let extent = Extent { namespace: Some(subject.namespace()), ..Extent::default() };
    let Ok(snapshot) = subject.cluster.store.snapshot(storage, extent) else { return Vec::new() };
    let mut claimed: Vec<Arc<Object>> =
        snapshot.objects.into_iter().filter(|object| belongs(subject, storage, &object.json)).collect();
    claimed.sort_by(|a, b| age_key(&a.json).cmp(&age_key(&b.json)));
    claimed
}

/// What a workload's Pods are that count: those that have not ended.
pub(super) fn active(pods: &[Arc<Object>]) -> Vec<&Json> {
    pods.iter().map(|pod| &pod.json).filter(|json| !has_ended(json)).collect()
}

/// Whether all that a Pod does is done, well or not.
pub(super) fn has_ended(pod: &Json) -> bool {
    matches!(object::text(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

fn age_key(json: &Json) -> (&str, &str) {
    (object::meta_text(json, "creationTimestamp"), object::name(json))
}

/// Whether the subject may still become an owner: it may be on its way out by now.
fn is_alive(subject: &Subject<'_>) -> bool {
    let current = subject.cluster.store.get(&subject.place.0, &subject.place.1);
    current.is_some_and(|current| {
        object::uid(&current.json) == subject.uid() && !object::is_deleting(&current.json)
    })
}

fn belongs(subject: &Subject<'_>, storage: &str, json: &Json) -> bool {
    let selected = selector::selects(subject.json, json);
    let place: Place = (storage.into(), Key::of(json));
    let edit = |edit: &dyn Fn(&mut Vec<Value>)| {
        act::change(subject.cluster, &place, object::uid(json), (CONTROLLER, ""), |json| {
            object::edit_meta(json, |meta| {
                let mut owners = match meta.remove("ownerReferences") {
                    Some(Value::Array(owners)) => owners,
                    _ => Vec::new(),
                };
                edit(&mut owners);
                if !owners.is_empty() {
                    meta.insert("ownerReferences".to_owned(), Value::Array(owners));
                }
            });
        });
    };
    match controller(json) {
        _ if object::is_deleting(json) => false,
        Some(uid) if uid == subject.uid() => {
            if !selected {
                edit(&|owners| owners.retain(|owner| owner.get("uid") != Some(&json!(subject.uid()))));
            }
            selected
        }
        Some(_) => false,
        None if selected && is_alive(subject) => {
            edit(&|owners| owners.push(subject.reference()));
            // Counted once it is the subject's: the adoption is an event of its own.
            false
        }
        None => false,
    }
}
