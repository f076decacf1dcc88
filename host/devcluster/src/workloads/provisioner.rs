//! The provisioner and the binder of volumes: each claim gets a PersistentVolume of its own, with nothing behind it, which
//! goes when the claim does.
//!
//! A claim that names a volume itself, or asks for none to be made (the class `""`), waits for whoever binds it.

use serde_json::{Value, json};

use super::act::{self, CONTROLLER, Subject};
use super::{CLAIMS, VOLUMES};
use crate::object::{self, Json};
use crate::store::{Key, Place};

const BY: &str = "pv.kubernetes.io/provisioned-by";
const PROVISIONER: &str = "wheelhouse.dev/nothing";
const CLASS: &[&str] = &["spec", "storageClassName"];

/// Where the volume is that a claim is bound to.
pub(super) fn volume_of(claim: &Json) -> Place {
    (VOLUMES.into(), Key::new("", object::text(claim, &["spec", "volumeName"])))
}

/// Brings a claim one step closer to being bound.
pub(super) fn bind(claim: &Subject<'_>) {
    let is_pending = object::text(claim.json, &["status", "phase"]) == "Pending";
    if !is_pending || object::at(claim.json, CLASS).is_some_and(|class| class == "") {
        return;
    }
    let name = format!("pvc-{}", claim.uid());
    match object::text(claim.json, &["spec", "volumeName"]) {
        "" => match act::make(claim.cluster, VOLUMES, "", volume(claim, &name)) {
            Err(error) if error.reason != "AlreadyExists" => claim.log(&error),
            _ => name_volume(claim, &name),
        },
        named if named == name => finish(claim, &name),
        _ => {}
    }
}

fn name_volume(claim: &Subject<'_>, name: &str) {
    claim.edit(|json| {
        object::set(json, &["spec", "volumeName"], name.into());
        for annotation in ["pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"] {
            object::set(json, &["metadata", "annotations", annotation], "yes".into());
        }
    });
}

fn finish(claim: &Subject<'_>, name: &str) {
    let place: Place = (VOLUMES.into(), Key::new("", name));
    let Some(volume) = claim.cluster.store.get(&place.0, &place.1) else { return };
    act::change(claim.cluster, &place, object::uid(&volume.json), (CONTROLLER, "status"), |json| {
        object::set(json, &["status", "phase"], "Bound".into());
    });
    let mut status = Json::new();
    status.insert("phase".to_owned(), "Bound".into());
    for field in ["accessModes", "capacity"] {
        if let Some(value) = object::at(&volume.json, &["spec", field]) {
            status.insert(field.to_owned(), value.clone());
        }
    }
    claim.set_status(CONTROLLER, status);
}

fn volume(claim: &Subject<'_>, name: &str) -> Json {
    let of_claim = |path: &[&str]| object::at(claim.json, path).cloned();
    let reference = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(),
        "name": claim.name(), "uid": claim.uid() });
    let mut volume = Json::new();
    volume.insert("apiVersion".to_owned(), "v1".into());
    volume.insert("kind".to_owned(), "PersistentVolume".into());
    volume.insert("metadata".to_owned(), json!({ "name": name, "annotations": { BY: PROVISIONER } }));
    let spec = json!({
        "capacity": { "storage": of_claim(&["spec", "resources", "requests", "storage"]) },
        "claimRef": reference,
        "csi": { "driver": PROVISIONER, "volumeHandle": name },
        "persistentVolumeReclaimPolicy": "Delete",
    });
    volume.insert("spec".to_owned(), spec);
    for field in ["accessModes", "storageClassName", "volumeMode"] {
        if let Some(value) = of_claim(&["spec", field]) {
            object::set(&mut volume, &["spec", field], value);
        }
    }
    volume
}

/// Takes a volume of the provisioner away whose claim is gone.
pub(super) fn reclaim(volume: &Subject<'_>) {
    let is_ours = object::meta(volume.json, "annotations").and_then(|all| all.get(BY))
        == Some(&Value::from(PROVISIONER));
    let claim = volume.cluster.store.by_uid(object::text(volume.json, &["spec", "claimRef", "uid"]));
    if is_ours && claim.is_none_or(|((storage, _), _)| &*storage != CLAIMS) {
        volume.delete(VOLUMES, volume.json);
    }
}
