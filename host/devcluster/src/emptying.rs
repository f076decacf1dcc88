//! Namespaces and definitions that are being deleted: first their content goes, then they.
//!
//! The content is listed when the deletion begins. From then on nothing new can come, so that each later
//! deletion only has to ask whether it was the last one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::collector::delete_place;
use crate::delete::{self, Propagation};
use crate::history::{Change, Event};
use crate::object::{self, Json, Object};
use crate::store::{Extent, Key};
use crate::{crd, kind};

pub(crate) const NAMESPACES: &str = "namespaces";
/// Holds a namespace back until its content is gone.
pub(crate) const FINALIZER: &str = "kubernetes";

/// What still is in a namespace: objects by resource, and how many of them have which finalizer.
#[derive(Debug, Default)]
struct Remaining {
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

/// Deletes what is in a terminating namespace, and the namespace once nothing is.
pub(crate) fn namespace(cluster: &Cluster, name: &str) {
    let mut remaining = Remaining::default();
    let served = cluster.registry.served();
    for kind in served.storages().filter(|kind| kind.namespaced) {
        let extent = || Extent { namespace: Some(name), ..Extent::default() };
        let list = || cluster.store.snapshot(&kind.storage, extent()).map(|snapshot| snapshot.objects);
        for object in list().unwrap_or_default() {
            dismiss(cluster, &kind.storage, &object);
        }
        let left = list().unwrap_or_default();
        if !left.is_empty() {
            remaining.resources.insert(format!("{}.{}", kind.plural, kind.group), left.len());
        }
        for finalizer in left.iter().flat_map(|object| object::finalizers(&object.json)) {
            let count = remaining.finalizers.entry(finalizer.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
    }
    if cluster.store.is_namespace_empty(name) {
        return release(cluster, name);
    }
    cluster.edit(&NAMESPACES.into(), &Key::new("", name), |json| {
        if object::is_deleting(json) {
            let conditions = conditions(&remaining, json);
            object::set(json, &["status", "conditions"], conditions);
        }
    });
}

/// Deletes an object unless only its finalizers hold it back.
fn dismiss(cluster: &Cluster, storage: &kind::ResourceId, object: &Object) {
    if !object::is_deleting(&object.json) || delete::grace_of(&object.json) > 0 {
        let place = (storage.clone(), Key::of(&object.json));
        delete_place(cluster, &place, object::uid(&object.json), None, Propagation::Background);
    }
}

/// Its content is gone: it waits for others at most.
fn release(cluster: &Cluster, namespace: &str) {
    cluster.edit(&NAMESPACES.into(), &Key::new("", namespace), |json| {
        let finalizers = object::at(json, &["spec", "finalizers"]).and_then(Value::as_array).cloned();
        let mut left = finalizers.unwrap_or_default();
        left.retain(|finalizer| finalizer.as_str() != Some(FINALIZER));
        if object::is_deleting(json) {
            object::set(json, &["spec", "finalizers"], left.into());
        }
    });
}

/// The conditions that say what a terminating namespace waits for.
fn conditions(remaining: &Remaining, namespace: &Json) -> Value {
    let list = |counts: &BTreeMap<String, usize>, unit: &str| {
        let lines: Vec<String> =
            counts.iter().map(|(what, n)| format!("{what} {unit} {n} resource instances")).collect();
        lines.join(", ")
    };
    let (content, held) = (!remaining.resources.is_empty(), !remaining.finalizers.is_empty());
    let content_message = match content {
        true => format!("Some resources are remaining: {}", list(&remaining.resources, "has")),
        false => "All content successfully removed".to_owned(),
    };
    let held_message = match held {
        true => format!(
            "Some content in the namespace has finalizers remaining: {}",
            list(&remaining.finalizers, "in")
        ),
        false => "All content-preserving finalizers finished".to_owned(),
    };
    let discovered = "All resources successfully discovered";
    let parsed = "All legacy kube types successfully parsed";
    let deleted = "All content successfully deleted, may be waiting on finalization";
    let before = object::at(namespace, &["status", "conditions"]).and_then(Value::as_array);
    let rows = [
        ("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", discovered),
        ("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", parsed),
        ("NamespaceDeletionContentFailure", false, "ContentDeleted", deleted),
        (
            "NamespaceContentRemaining",
            content,
            if content { "SomeResourcesRemain" } else { "ContentRemoved" },
            content_message.as_str(),
        ),
        (
            "NamespaceFinalizersRemaining",
            held,
            if held { "SomeFinalizersRemain" } else { "ContentHasNoFinalizers" },
            held_message.as_str(),
        ),
    ];
    let condition = |(of_type, is_true, reason, message): (&str, bool, &str, &str)| {
        let status = if is_true { "True" } else { "False" };
        let same = before.into_iter().flatten().find(|condition| {
            condition.get("type") == Some(&json!(of_type)) && condition.get("status") == Some(&json!(status))
        });
        let since = same.and_then(|condition| condition.get("lastTransitionTime")).cloned();
        json!({ "type": of_type, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": since.unwrap_or_else(|| object::now().into()) })
    };
    rows.into_iter().map(condition).collect()
}

/// Deletes the objects of a definition that is being deleted, and the definition once none is left.
pub(crate) fn definition(cluster: &Cluster, key: &Key, definition: &Json) {
    let storage = crd::storage_of(definition);
    for object in cluster.store.list_all(&storage) {
        dismiss(cluster, &storage, &object);
    }
    finish_definition(cluster, key, &storage);
}

fn finish_definition(cluster: &Cluster, key: &Key, storage: &str) {
    if cluster.store.is_empty(storage) {
        cluster.edit(&crd::STORAGE.into(), key, |json| {
            if object::is_deleting(json) {
                delete::set_finalizer(json, crd::FINALIZER, false);
            }
        });
        return;
    }
    // Each object that goes comes by here, and a definition may be large.
    let definition = cluster.store.get(crd::STORAGE, key);
    if !definition.is_some_and(|definition| crd::has_begun_to_go(&definition.json)) {
        cluster.edit(&crd::STORAGE.into(), key, |json| {
            if object::is_deleting(json) {
                crd::set_terminating(json, true);
            }
        });
    }
}

/// An object is gone: perhaps it was the last one that its namespace or definition waited for. Or one
/// came while its definition went.
pub(crate) fn follow(cluster: &Cluster, event: &Event) {
    let is_terminating = |storage: &str, name: &str| {
        let found = cluster.store.get(storage, &Key::new("", name));
        found.is_some_and(|object| object::is_deleting(&object.json))
    };
    let namespace = &event.key.namespace;
    match event.change {
        Change::Deleted => {
            if !namespace.is_empty()
                && cluster.store.is_namespace_empty(namespace)
                && is_terminating(NAMESPACES, namespace)
            {
                release(cluster, namespace);
            }
            if is_terminating(crd::STORAGE, &event.storage) {
                finish_definition(cluster, &Key::new("", &event.storage), &event.storage);
            }
        }
        Change::Added if is_terminating(crd::STORAGE, &event.storage) => {
            dismiss(cluster, &event.storage, &event.object);
        }
        Change::Added | Change::Modified => {}
    }
}
