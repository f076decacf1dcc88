//! The schemas of the built-in kinds, as OpenAPI v3 has them.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::Json;
use crate::shape::ListType;
use crate::types;

const SCHEMAS: &str = "#/components/schemas/";
const DEFINITIONS: &str = "#/$defs/";

/// Fields that have a value where they are absent.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "cachingMode", "ReadWrite"),
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "fsType", "ext4"),
    ("io.k8s.api.core.v1.AzureDiskVolumeSource", "kind", "Shared"),
    ("io.k8s.api.core.v1.ContainerPort", "protocol", "TCP"),
    ("io.k8s.api.core.v1.GRPCAction", "service", ""),
    ("io.k8s.api.core.v1.ISCSIPersistentVolumeSource", "iscsiInterface", "default"),
    ("io.k8s.api.core.v1.ISCSIVolumeSource", "iscsiInterface", "default"),
    ("io.k8s.api.core.v1.LocalObjectReference", "name", ""),
    ("io.k8s.api.core.v1.RBDPersistentVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("io.k8s.api.core.v1.RBDPersistentVolumeSource", "pool", "rbd"),
    ("io.k8s.api.core.v1.RBDPersistentVolumeSource", "user", "admin"),
    ("io.k8s.api.core.v1.RBDVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("io.k8s.api.core.v1.RBDVolumeSource", "pool", "rbd"),
    ("io.k8s.api.core.v1.RBDVolumeSource", "user", "admin"),
    ("io.k8s.api.core.v1.ScaleIOPersistentVolumeSource", "fsType", "xfs"),
    ("io.k8s.api.core.v1.ScaleIOPersistentVolumeSource", "storageMode", "ThinProvisioned"),
    ("io.k8s.api.core.v1.ScaleIOVolumeSource", "fsType", "xfs"),
    ("io.k8s.api.core.v1.ScaleIOVolumeSource", "storageMode", "ThinProvisioned"),
    ("io.k8s.api.core.v1.ServicePort", "protocol", "TCP"),
    ("io.k8s.api.resource.v1.DeviceToleration", "operator", "Equal"),
];

/// The schemas of these kinds and of all that they refer to, by name.
pub(super) fn schemas(kinds: &[&Kind]) -> Json {
    let mut schemas = types::definitions(kinds.iter().copied());
    for (name, schema) in &mut schemas {
        if let Some(schema) = schema.as_object_mut() {
            structure(name, schema);
        }
    }
    for kind in kinds {
        let schema = types::definition_name(kind).and_then(|name| schemas.get_mut(&name)?.as_object_mut());
        if let Some(schema) = schema {
            let names = json!([super::group_version_kind(kind)]);
            schema.insert("x-kubernetes-group-version-kind".to_owned(), names);
            // Whoever leaves it out has an object without a name, for which it is refused.
            if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
                required.retain(|field| field != "metadata");
            }
        }
    }
    schemas
}

/// The kind whose schema has what each object has.
pub(super) fn model() -> Option<Kind> {
    crate::builtin::kinds().into_iter().find(|kind| kind.is("", "configmaps"))
}

fn structure(name: &str, schema: &mut Json) {
    refer(schema);
    if types::is_atomic(name) {
        schema.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (field, schema) in properties.into_iter().flatten() {
        let Some(schema) = schema.as_object_mut() else { continue };
        merging(name, field, schema);
        if let Some(values) = types::values(name, field) {
            match schema.get_mut("items").and_then(Value::as_object_mut) {
                Some(items) => items.insert("enum".to_owned(), json!(values)),
                None => schema.insert("enum".to_owned(), json!(values)),
            };
        }
        let default = DEFAULTS.iter().find(|(of, at, _)| *of == name && at == field);
        if let Some((_, _, value)) = default {
            schema.insert("default".to_owned(), (*value).into());
        }
    }
}

/// Says how a field merges, as the API reference does.
fn merging(name: &str, field: &str, schema: &mut Json) {
    let merging = types::merging(name, field);
    let mut extend = |extension: &str, value: Value| {
        schema.insert(format!("x-kubernetes-{extension}"), value);
    };
    if let Some(key) = merging.patch_key {
        extend("patch-merge-key", key.into());
    }
    if !merging.patch_strategy.is_empty() {
        extend("patch-strategy", merging.patch_strategy.into());
    }
    if let Some(is_atomic) = merging.is_atomic {
        extend("map-type", if is_atomic { "atomic" } else { "granular" }.into());
    }
    match merging.list {
        ListType::Map(keys) => {
            extend("list-map-keys", keys.into_iter().map(|(key, _)| key).collect());
            extend("list-type", "map".into());
        }
        ListType::Set => extend("list-type", "set".into()),
        ListType::Atomic if schema.get("type").is_some_and(|of_type| of_type == "array") => {
            schema.insert("x-kubernetes-list-type".to_owned(), "atomic".into());
        }
        ListType::Atomic => {}
    }
}

/// From references as JSON Schema has them to those of OpenAPI, which stand alone.
fn refer(schema: &mut Json) {
    if schema.remove("x-kubernetes-int-or-string").is_some() {
        let is_quantity = schema
            .get("description")
            .and_then(Value::as_str)
            .is_some_and(|about| about.starts_with("Quantity"));
        let number = if is_quantity { "number" } else { "integer" };
        schema.insert("oneOf".to_owned(), json!([{ "type": "string" }, { "type": number }]));
        if !is_quantity {
            schema.insert("format".to_owned(), "int-or-string".into());
        }
    }
    let target =
        schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(DEFINITIONS));
    if let Some(target) = target.map(|name| json!(format!("{SCHEMAS}{name}"))) {
        schema.remove("$ref");
        match schema.is_empty() {
            true => schema.insert("$ref".to_owned(), target),
            false => schema.insert("allOf".to_owned(), json!([{ "$ref": target }])),
        };
    }
    for field in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(field).and_then(Value::as_object_mut) {
            refer(inner);
        }
    }
    for field in ["oneOf", "properties"] {
        match schema.get_mut(field) {
            Some(Value::Object(inner)) => inner.values_mut().filter_map(Value::as_object_mut).for_each(refer),
            Some(Value::Array(inner)) => inner.iter_mut().filter_map(Value::as_object_mut).for_each(refer),
            _ => {}
        }
    }
}
