//! The controllers without which an API server is no cluster: garbage collection by owner references
//! and (in `emptying`) the removal of what is in a namespace or of a definition.
//!
//! One task works through every committed change in order. It promises what the real garbage collector
//! does: a dependent goes when its last owner is gone (or goes in the foreground), never before; one with an owner that
//! nobody can look for stays. It judges by what there is when it looks, not by what there was when the change was made.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::cluster::Cluster;
use crate::delete::{self, DeleteOptions, Propagation};
use crate::expiry::{self, Expiry};
use crate::history::{Change, Event};
use crate::object::{self, Json, Object, OwnerRef};
use crate::store::{Key, Place};
use crate::{crd, emptying};

/// Holds an owner back until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner back until its dependents have forgotten it.
pub(crate) const ORPHAN: &str = "orphan";

/// How many owners that are gone are remembered, as by the real collector.
const REMEMBERED: usize = 500;
/// How many changes are worked through at once.
const BATCH: usize = 256;

/// Works until the cluster is dropped, stops or cannot keep what is written.
pub(crate) async fn run(cluster: Arc<Cluster>, mut events: UnboundedReceiver<Arc<Event>>) {
    let mut stopping = cluster.stopping.subscribe();
    let mut collector = Collector::new(cluster);
    let mut expiry = Expiry::default();
    let mut interval = tokio::time::interval(expiry::INTERVAL);
    let mut kinds = collector.cluster.registry.changes();
    let mut batch = Vec::new();
    loop {
        let is_over = tokio::select! {
            count = events.recv_many(&mut batch, BATCH) => count == 0,
            changed = kinds.changed() => {
                collector.reconsider();
                changed.is_err()
            }
            _ = interval.tick() => false,
            _ = stopping.wait_for(|stop| *stop) => true,
        };
        for event in batch.drain(..) {
            collector.handle(&event);
            expiry.note(&event);
        }
        expiry.sweep(&collector.cluster);
        if is_over || !collector.cluster.store.kept(None).await {
            return;
        }
    }
}

struct Collector {
    cluster: Arc<Cluster>,
    /// Owners that went and had dependents, by uid and namespace. When a definition goes, its kind can be gone before its
    /// objects' dependents are judged.
    gone: VecDeque<(String, String)>,
    /// Dependents whose owner nobody could look for, by uid: they are looked at again when other kinds are served.
    undecided: HashSet<String>,
}

/// What there is of an owner.
enum Standing {
    Solid,
    /// It goes once its dependents are gone.
    Waiting,
    Dangling,
}

impl Collector {
    fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, gone: VecDeque::new(), undecided: HashSet::new() }
    }

    fn handle(&mut self, event: &Event) {
        let store = &self.cluster.store;
        let uid = object::uid(&event.object.json);
        if event.change == Change::Deleted {
            let dependents = store.dependents(uid);
            if !dependents.is_empty() {
                self.gone.truncate(REMEMBERED.saturating_sub(1));
                self.gone.push_front((uid.to_owned(), event.key.namespace.clone()));
            }
            for (place, dependent) in dependents {
                self.judge_dependent(&place, &dependent);
            }
        } else if let Some((place, object)) = store.by_uid(uid) {
            // As it is now: it may have changed since, and another may have its name.
            self.judge_dependent(&place, &object);
            if object::is_deleting(&object.json) {
                self.judge_owner(&place, &object.json);
                match &*place.0 {
                    emptying::NAMESPACES => emptying::namespace(&self.cluster, &place.1.name),
                    crd::STORAGE => emptying::definition(&self.cluster, &place.1, &object.json),
                    _ => {}
                }
            }
        }
        // An owner may wait for what was deleted or no longer depends on it.
        for json in event.previous.iter().map(|previous| &previous.json) {
            for owner in object::owners(json) {
                let found = self.cluster.store.by_uid(owner.uid);
                if let Some((place, owner)) = found.filter(|(_, owner)| object::is_deleting(&owner.json)) {
                    self.judge_owner(&place, &owner.json);
                }
            }
        }
        emptying::follow(&self.cluster, event);
    }

    /// Other kinds are served now: among them may be those of owners that nobody could look for.
    fn reconsider(&mut self) {
        for uid in std::mem::take(&mut self.undecided) {
            if let Some((place, object)) = self.cluster.store.by_uid(&uid) {
                self.judge_dependent(&place, &object);
            }
        }
    }

    /// What there is of an owner, who is looked for where a reference says; `None` if nobody can look there: the kind is
    /// not served, or is namespaced and the dependent is not.
    fn standing(&self, dependent: &Place, owner: &OwnerRef<'_>) -> Option<Standing> {
        let own_namespace = dependent.1.namespace.as_str();
        let within_reach = |namespace: &str| namespace.is_empty() || namespace == own_namespace;
        if self.gone.iter().any(|(uid, namespace)| uid == owner.uid && within_reach(namespace)) {
            return Some(Standing::Dangling);
        }
        let kind = self.cluster.registry.served().of_kind(owner.api_version, owner.kind)?;
        let namespace = match (kind.namespaced, own_namespace) {
            (true, "") => return None,
            (true, namespace) => namespace,
            (false, _) => "",
        };
        let found = self.cluster.store.get(&kind.storage, &Key::new(namespace, owner.name));
        Some(match found.filter(|found| object::uid(&found.json) == owner.uid) {
            None => Standing::Dangling,
            Some(found) if waits_for_dependents(&found.json) => Standing::Waiting,
            Some(_) => Standing::Solid,
        })
    }

    /// Deletes a dependent that has no owner left, or drops the owners that are gone from its references.
    fn judge_dependent(&mut self, place: &Place, dependent: &Object) {
        let json = &dependent.json;
        if object::is_deleting(json) {
            return;
        }
        let (mut is_solid, mut is_awaited, mut gone) = (false, false, Vec::new());
        for owner in object::owners(json) {
            match self.standing(place, &owner) {
                // As long as one owner cannot be told, nothing is decided.
                None => {
                    self.undecided.insert(object::uid(json).to_owned());
                    return;
                }
                Some(Standing::Solid) => is_solid = true,
                Some(standing) => {
                    is_awaited |= matches!(standing, Standing::Waiting);
                    gone.push(owner.uid.to_owned());
                }
            }
        }
        match (gone.is_empty(), is_solid) {
            (true, _) => {}
            (false, true) => self.edit(place, object::uid(json), |json| drop_owners(json, &gone)),
            (false, false) => self.collect(place, dependent, is_awaited),
        }
    }

    /// Deletes a dependent: in the foreground if its owner waits for it, or else as it says itself.
    fn collect(&self, place: &Place, dependent: &Object, is_awaited: bool) {
        let uid = object::uid(&dependent.json);
        let dependents = self.cluster.store.dependents(uid);
        if !is_awaited || dependents.is_empty() {
            let has = |wanted: &str| object::finalizers(&dependent.json).any(|finalizer| finalizer == wanted);
            let propagation = match (has(ORPHAN), has(FOREGROUND)) {
                (true, _) => Propagation::Orphan,
                (_, true) => Propagation::Foreground,
                _ => Propagation::Background,
            };
            return delete_place(&self.cluster, place, uid, Some(dependent.version), propagation);
        }
        // Owners that wait for each other would wait for ever.
        if dependents.iter().any(|(_, dependent)| waits_for_dependents(&dependent.json)) {
            self.edit(place, uid, unblock_owners);
        }
        let current = self.cluster.store.by_uid(uid).map(|(_, current)| current.version);
        delete_place(&self.cluster, place, uid, current, Propagation::Foreground);
    }

    /// Lets an owner go that waited for its dependents, once it need not wait any more.
    fn judge_owner(&mut self, place: &Place, owner: &Json) {
        let uid = object::uid(owner).to_owned();
        let cluster = self.cluster.clone();
        let dependents = || cluster.store.dependents(&uid);
        let has = |wanted: &str| object::finalizers(owner).any(|finalizer| finalizer == wanted);
        if has(ORPHAN) {
            for (place, dependent) in dependents() {
                let forget = |json: &mut Json| drop_owners(json, std::slice::from_ref(&uid));
                self.edit(&place, object::uid(&dependent.json), forget);
            }
            self.edit(place, &uid, |json| delete::set_finalizer(json, ORPHAN, false));
        }
        if has(FOREGROUND) {
            for (place, dependent) in dependents() {
                self.judge_dependent(&place, &dependent);
            }
            let blocks = |dependent: &Object| {
                object::owners(&dependent.json).any(|owner| owner.uid == uid && owner.blocks)
            };
            if !dependents().iter().any(|(_, dependent)| blocks(dependent)) {
                self.edit(place, &uid, |json| delete::set_finalizer(json, FOREGROUND, false));
            }
        }
    }

    /// Edits an object, unless another has its place.
    fn edit(&self, place: &Place, uid: &str, edit: impl Fn(&mut Json)) {
        self.cluster.edit(&place.0, &place.1, |json| {
            if object::uid(json) == uid {
                edit(json);
            }
        });
    }
}

fn waits_for_dependents(owner: &Json) -> bool {
    object::is_deleting(owner) && object::finalizers(owner).any(|finalizer| finalizer == FOREGROUND)
}

fn unblock_owners(json: &mut Json) {
    object::edit_meta(json, |meta| {
        let owners = meta.get_mut("ownerReferences").and_then(Value::as_array_mut);
        for owner in owners.into_iter().flatten().filter_map(Value::as_object_mut) {
            owner.insert("blockOwnerDeletion".to_owned(), false.into());
        }
    });
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

/// Deletes an object for the server's own reasons, if it still has this uid and version; without a grace period, as no
/// kubelet would end it.
pub(crate) fn delete_place(
    cluster: &Cluster,
    (storage, key): &Place,
    uid: &str,
    version: Option<u64>,
    propagation: Propagation,
) {
    let Some(kind) = cluster.kind_of(storage) else { return };
    let options = DeleteOptions {
        uid: Some(uid.to_owned()),
        resource_version: version.map(|version| version.to_string()),
        propagation: Some(propagation),
        grace: Some(0),
        ..DeleteOptions::default()
    };
    if let Err(error) = delete::delete(cluster, &kind, key, &options) {
        // Somebody else changed, deleted or replaced it: its own event brings whatever is left to do.
        tracing::debug!(%error, storage = &**storage, name = key.name, "not collected");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn create(cluster: &Cluster, storage: &str, json: &Value) {
        let json = json.as_object().unwrap();
        cluster.store.create(&storage.into(), &Key::of(json), json.clone(), false).unwrap();
    }

    fn collector(cluster: &Arc<Cluster>) -> Collector {
        Collector::new(cluster.clone())
    }

    fn namespace(uid: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team", "uid": uid } })
    }

    #[test]
    fn what_has_changed_since_is_judged_as_it_is_now() {
        let cluster = Cluster::open(None);
        create(&cluster, "namespaces", &namespace("n"));
        let mut events = cluster.store.subscribe();
        let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "g" });
        let metadata =
            json!({ "name": "child", "namespace": "team", "uid": "c", "ownerReferences": [owner] });
        create(&cluster, "configmaps", &json!({ "metadata": metadata }));
        let key = Key::new("team", "child");
        cluster.edit(&"configmaps".into(), &key, |json| drop_owners(json, &["g".to_owned()]));
        collector(&cluster).handle(&events.try_recv().unwrap());
        assert!(cluster.store.get("configmaps", &key).is_some());
    }

    #[test]
    fn a_namespace_that_was_made_again_keeps_what_is_in_it() {
        let cluster = Cluster::open(None);
        create(&cluster, "namespaces", &namespace("first"));
        let mut events = cluster.store.subscribe();
        let (storage, key) = ("namespaces".into(), Key::new("", "team"));
        cluster.edit(&storage, &key, |json| {
            object::set(json, &["metadata", "finalizers"], json!(["example.com/hold"]));
            object::set(json, &["metadata", "deletionTimestamp"], object::now().into());
        });
        cluster.edit(&storage, &key, |json| delete::set_finalizer(json, "example.com/hold", false));
        create(&cluster, "namespaces", &namespace("second"));
        create(
            &cluster,
            "configmaps",
            &json!({ "metadata": { "name": "a", "namespace": "team", "uid": "a" } }),
        );
        collector(&cluster).handle(&events.try_recv().unwrap());
        assert!(cluster.store.get("configmaps", &Key::new("team", "a")).is_some());
        let team = cluster.store.get("namespaces", &key).unwrap();
        assert_eq!(object::at(&team.json, &["status", "conditions"]), None);
    }
}
