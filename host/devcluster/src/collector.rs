//! The controllers without which an API server is no cluster: garbage collection by owner references
//! and (in `emptying`) the removal of what is in a namespace or of a definition.
//!
//! One task works through every committed change in order. It promises what the real garbage collector
//! does: a dependent goes when its last owner is gone (or goes in the foreground), never before.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::cluster::Cluster;
use crate::delete::{self, DeleteOptions, Propagation};
use crate::history::{Change, Event};
use crate::object::{self, Json, Object};
use crate::store::Place;
use crate::{crd, emptying};

/// Holds an owner back until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner back until its dependents have forgotten it.
pub(crate) const ORPHAN: &str = "orphan";

/// Works until the cluster is dropped or stops.
pub(crate) async fn run(cluster: Arc<Cluster>, mut events: UnboundedReceiver<Arc<Event>>) {
    let mut stopping = cluster.stopping.subscribe();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => handle(&cluster, &event),
                None => return,
            },
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

fn handle(cluster: &Cluster, event: &Event) {
    let place: Place = (event.storage.clone(), event.key.clone());
    let json = &event.object.json;
    if event.change == Change::Deleted {
        for (place, dependent) in cluster.store.dependents(object::uid(json)) {
            judge_dependent(cluster, &place, &dependent);
        }
    } else {
        judge_dependent(cluster, &place, &event.object);
        if object::is_deleting(json) {
            judge_owner(cluster, &place, json);
            match &*event.storage {
                emptying::NAMESPACES => emptying::namespace(cluster, &event.key.name),
                crd::STORAGE => emptying::definition(cluster, &event.key, json),
                _ => {}
            }
        }
    }
    // An owner may wait for what was deleted or no longer depends on it.
    for json in event.previous.iter().map(|previous| &previous.json) {
        for owner in object::owners(json) {
            if let Some((place, owner)) =
                cluster.store.by_uid(owner.uid).filter(|(_, o)| object::is_deleting(&o.json))
            {
                judge_owner(cluster, &place, &owner.json);
            }
        }
    }
    emptying::follow(cluster, event);
}

/// Deletes a dependent that has no owner left, or drops the owners that are gone from its references.
fn judge_dependent(cluster: &Cluster, place: &Place, dependent: &Object) {
    let json = &dependent.json;
    let (mut solid, mut dangling, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for owner in object::owners(json) {
        let found = cluster.store.by_uid(owner.uid).filter(|((_, key), _)| {
            // An owner is cluster-scoped or in the dependent's own namespace.
            key.namespace.is_empty() || key.namespace == place.1.namespace
        });
        match found {
            None => dangling.push(owner.uid.to_owned()),
            Some((_, owner)) if waits_for_dependents(&owner.json) => {
                waiting.push(object::uid(&owner.json).to_owned())
            }
            Some((_, owner)) => solid.push(object::uid(&owner.json).to_owned()),
        }
    }
    if dangling.is_empty() && waiting.is_empty() {
        return;
    }
    if !solid.is_empty() {
        let gone: Vec<String> = dangling.into_iter().chain(waiting).collect();
        cluster.edit(&place.0, &place.1, |json| drop_owners(json, &gone));
        return;
    }
    if object::is_deleting(json) {
        return;
    }
    let has_dependents = !cluster.store.dependents(object::uid(json)).is_empty();
    let propagation = match !waiting.is_empty() && has_dependents {
        true => Propagation::Foreground,
        false => Propagation::Background,
    };
    delete_place(cluster, place, object::uid(json), Some(propagation));
}

fn waits_for_dependents(owner: &Json) -> bool {
    object::is_deleting(owner) && object::finalizers(owner).any(|finalizer| finalizer == FOREGROUND)
}

/// Lets an owner go that waited for its dependents, once it need not wait any more.
fn judge_owner(cluster: &Cluster, place: &Place, owner: &Json) {
    let uid = object::uid(owner).to_owned();
    let has = |wanted: &str| object::finalizers(owner).any(|finalizer| finalizer == wanted);
    if has(ORPHAN) {
        for (place, _) in cluster.store.dependents(&uid) {
            cluster.edit(&place.0, &place.1, |json| drop_owners(json, std::slice::from_ref(&uid)));
        }
        cluster.edit(&place.0, &place.1, |json| delete::set_finalizer(json, ORPHAN, false));
    }
    if has(FOREGROUND) {
        for (place, dependent) in cluster.store.dependents(&uid) {
            judge_dependent(cluster, &place, &dependent);
        }
        let is_blocked = cluster.store.dependents(&uid).iter().any(|(_, dependent)| {
            object::owners(&dependent.json).any(|owner| owner.uid == uid && owner.blocks)
        });
        if !is_blocked {
            cluster.edit(&place.0, &place.1, |json| delete::set_finalizer(json, FOREGROUND, false));
        }
    }
}

fn drop_owners(json: &mut Json, uids: &[String]) {
    object::edit_meta(json, |meta| {
        let Some(Value::Array(owners)) = meta.get_mut("ownerReferences") else { return };
        owners.retain(|owner| {
            !owner.get("uid").and_then(Value::as_str).is_some_and(|uid| uids.iter().any(|gone| gone == uid))
        });
        if owners.is_empty() {
            meta.remove("ownerReferences");
        }
    });
}

/// Deletes an object for the server's own reasons; without a grace period, as no kubelet would end it.
pub(crate) fn delete_place(
    cluster: &Cluster,
    (storage, key): &Place,
    uid: &str,
    propagation: Option<Propagation>,
) {
    let Some(kind) = cluster.kind_of(storage) else { return };
    let options =
        DeleteOptions { uid: Some(uid.to_owned()), propagation, grace: Some(0), ..DeleteOptions::default() };
    if let Err(error) = delete::delete(cluster, &kind, key, &options) {
        // Somebody else deleted or replaced it: its own event brings whatever is left to do.
        tracing::debug!(%error, storage = &**storage, name = key.name, "not collected");
    }
}
