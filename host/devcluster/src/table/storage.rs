//! The rows of volumes, claims and storage classes.

use serde_json::{Value, json};

use super::builtin::joined;
use super::text::{items, text_or};
use crate::object::{self, Json};

/// Access modes in short, each once and in the usual order.
fn modes(json: &Json, path: &[&str]) -> Value {
    const SHORT: &[(&str, &str)] = &[
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| items(json, path).iter().any(|item| item.as_str() == Some(mode));
    let found: Vec<&str> = SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    json!(found.join(","))
}

fn phase(json: &Json) -> Value {
    match object::is_deleting(json) {
        true => json!("Terminating"),
        false => json!(object::text(json, &["status", "phase"])),
    }
}

pub(super) fn volume(json: &Json, age: Value) -> Vec<Value> {
    let text = |path: &[&str]| json!(object::text(json, path));
    let claim = |name: &str| object::text(json, &["spec", "claimRef", name]);
    let claim = match claim("name") {
        "" => String::new(),
        name => format!("{}/{name}", claim("namespace")),
    };
    vec![
        text(&["spec", "capacity", "storage"]),
        modes(json, &["spec", "accessModes"]),
        text(&["spec", "persistentVolumeReclaimPolicy"]),
        phase(json),
        json!(claim),
        text(&["spec", "storageClassName"]),
        text_or(json, &["spec", "volumeAttributesClassName"], "<unset>"),
        text(&["status", "reason"]),
        age,
        text_or(json, &["spec", "volumeMode"], "<unset>"),
    ]
}

pub(super) fn claim(json: &Json, age: Value) -> Vec<Value> {
    let volume = object::text(json, &["spec", "volumeName"]);
    let (capacity, modes) = match volume {
        "" => (json!(""), json!("")),
        _ => (
            json!(object::text(json, &["status", "capacity", "storage"])),
            modes(json, &["status", "accessModes"]),
        ),
    };
    vec![
        phase(json),
        json!(volume),
        capacity,
        modes,
        json!(object::text(json, &["spec", "storageClassName"])),
        text_or(json, &["spec", "volumeAttributesClassName"], "<unset>"),
        age,
        text_or(json, &["spec", "volumeMode"], "<unset>"),
    ]
}

/// A whole row: the name says which class is the default.
pub(super) fn class(json: &Json, age: Value) -> Vec<Value> {
    let is_default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|name| object::text(json, &["metadata", "annotations", name]) == "true");
    let name = object::name(json);
    let name = if is_default { format!("{name} (default)") } else { name.to_owned() };
    vec![
        json!(name),
        json!(object::text(json, &["provisioner"])),
        text_or(json, &["reclaimPolicy"], "Delete"),
        text_or(json, &["volumeBindingMode"], "Immediate"),
        json!(object::at(json, &["allowVolumeExpansion"]) == Some(&Value::Bool(true))),
        age,
    ]
}

/// A CSI driver: what it needs, and for which volumes it is.
pub(super) fn driver(json: &Json, age: Value) -> Vec<Value> {
    let is = |field: &str| json!(object::at(json, &["spec", field]) == Some(&Value::Bool(true)));
    let audiences: Vec<&str> = object::items(json, &["spec", "tokenRequests"])
        .iter()
        .map(|request| object::field(request, "audience"))
        .collect();
    let has_tokens = object::at(json, &["spec", "tokenRequests"]).is_some();
    let modes = joined(json, &["spec", "volumeLifecycleModes"]);
    let or_unset = |text: String, is_set: bool| if is_set { json!(text) } else { json!("<unset>") };
    vec![
        is("attachRequired"),
        is("podInfoOnMount"),
        is("storageCapacity"),
        or_unset(audiences.join(","), has_tokens),
        is("requiresRepublish"),
        or_unset(modes.clone(), !modes.is_empty()),
        age,
    ]
}

/// Where a volume is attached.
pub(super) fn attachment(json: &Json, age: Value) -> Vec<Value> {
    let text = |path: &[&str]| json!(object::text(json, path));
    vec![
        text(&["spec", "attacher"]),
        text(&["spec", "source", "persistentVolumeName"]),
        text(&["spec", "nodeName"]),
        json!(object::at(json, &["status", "attached"]) == Some(&Value::Bool(true))),
        age,
    ]
}
