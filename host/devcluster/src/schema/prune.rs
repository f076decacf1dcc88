//! What a schema does to an object: unknown fields go, absent ones get their defaults.

use serde_json::Value;

use super::{field_schema, is_true, is_type_meta, metadata};
use crate::object::Json;
use crate::strict::StrictErrors;
use crate::types::Path;

/// Removes what the schema does not know below an object.
pub(super) fn prune_map(
    schema: &Value,
    map: &mut Json,
    path: &Path<'_>,
    is_object_root: bool,
    dropped: &mut StrictErrors,
) {
    let keeps_unknown = is_true(schema, "x-kubernetes-preserve-unknown-fields");
    map.retain(|name, value| {
        let is_root = matches!(path, Path::Root);
        let path = Path::Field(path, name);
        if is_object_root && is_type_meta(name) {
            if let (false, "metadata", Some(metadata)) = (is_root, name.as_str(), value.as_object_mut()) {
                metadata::prune(metadata, &path, dropped);
            }
            return true;
        }
        match field_schema(schema, name) {
            Some(field) => {
                // A null where none is allowed reads as absent, so that a default can take its place.
                if value.is_null() && !is_true(field, "nullable") {
                    return false;
                }
                prune_value(field, value, &path, dropped);
                true
            }
            None if keeps_unknown || is_true(schema, "additionalProperties") => true,
            None => {
                dropped.add(format_args!("unknown field \"{path}\""));
                false
            }
        }
    });
}

pub(super) fn prune_value(schema: &Value, value: &mut Value, path: &Path<'_>, dropped: &mut StrictErrors) {
    match value {
        Value::Object(map) => {
            // A value without a described structure, such as `type: object` alone, loses all its fields.
            prune_map(schema, map, path, is_true(schema, "x-kubernetes-embedded-resource"), dropped);
        }
        Value::Array(items) => {
            if let Some(item_schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    prune_value(item_schema, item, &Path::Index(path, index), dropped);
                }
            }
        }
        _ => {}
    }
}

/// Fills in defaults below an object.
pub(super) fn default_map(schema: &Value, map: &mut Json) {
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let (false, Some(default)) = (map.contains_key(name), field.get("default")) {
            map.insert(name.clone(), default.clone());
        }
    }
    for (name, value) in map.iter_mut() {
        if let Some(field) = field_schema(schema, name) {
            default_value(field, value);
        }
    }
}

pub(super) fn default_value(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => default_map(schema, map),
        Value::Array(items) => {
            if let Some(item_schema) = schema.get("items") {
                items.iter_mut().for_each(|item| default_value(item_schema, item));
            }
        }
        _ => {}
    }
}

/// Whether neither pruning nor defaulting would change anything below an object.
pub(super) fn is_map_settled(schema: &Value, map: &Json, is_object_root: bool) -> bool {
    let mut fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    if fields.any(|(name, field)| field.get("default").is_some() && !map.contains_key(name)) {
        return false;
    }
    let keeps_unknown =
        is_true(schema, "x-kubernetes-preserve-unknown-fields") || is_true(schema, "additionalProperties");
    map.iter().filter(|(name, _)| !(is_object_root && is_type_meta(name))).all(|(name, value)| {
        match field_schema(schema, name) {
            Some(field) => (!value.is_null() || is_true(field, "nullable")) && is_settled(field, value),
            None => keeps_unknown,
        }
    })
}

fn is_settled(schema: &Value, value: &Value) -> bool {
    match value {
        Value::Object(map) => is_map_settled(schema, map, is_true(schema, "x-kubernetes-embedded-resource")),
        Value::Array(items) => {
            schema.get("items").is_none_or(|schema| items.iter().all(|item| is_settled(schema, item)))
        }
        _ => true,
    }
}
