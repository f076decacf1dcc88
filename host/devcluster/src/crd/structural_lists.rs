//! What the schemas of lists must say about how their items are told apart.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{is_true, strings, text};
use crate::error::Cause;

/// Adds a cause for all that is wrong with how a list, or a map, says that it is to be merged.
pub(super) fn check(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let list_type = text(schema, "x-kubernetes-list-type");
    let of_type = text(schema, "type");
    if !list_type.is_empty() {
        let field = format!("{path}.x-kubernetes-list-type");
        if !["atomic", "map", "set"].contains(&list_type) {
            let supported = [json!("atomic"), json!("set"), json!("map")];
            causes.push(Cause::unsupported(field, &json!(list_type), &supported));
        } else if of_type != "array" {
            let why = "must be array if x-kubernetes-list-type is specified";
            causes.push(Cause::invalid(format!("{path}.type"), &json!(of_type), why));
        }
    }
    let map_type = text(schema, "x-kubernetes-map-type");
    if !map_type.is_empty() {
        if !["atomic", "granular"].contains(&map_type) {
            let supported = [json!("atomic"), json!("granular")];
            causes.push(Cause::unsupported(
                format!("{path}.x-kubernetes-map-type"),
                &json!(map_type),
                &supported,
            ));
        } else if of_type != "object" {
            let why = "must be object if x-kubernetes-map-type is specified";
            causes.push(Cause::invalid(format!("{path}.type"), &json!(of_type), why));
        }
    }
    let keys = strings(schema.get("x-kubernetes-list-map-keys"));
    if !keys.is_empty() && list_type != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        let field = format!("{path}.x-kubernetes-list-type");
        causes.push(match list_type {
            "" => Cause::required(field, why),
            other => Cause::invalid(field, &json!(other), why),
        });
    }
    match (list_type, schema.get("items")) {
        ("map", items) => keyed(items, &keys, path, causes),
        ("set", Some(items)) => set(items, &format!("{path}.items"), causes),
        _ => {}
    }
}

fn keyed(items: Option<&Value>, keys: &[String], path: &str, causes: &mut Vec<Cause>) {
    let keys_path = format!("{path}.x-kubernetes-list-map-keys");
    if keys.is_empty() {
        causes.push(Cause::required(keys_path.clone(), "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = items else {
        let why = "must have a schema if x-kubernetes-list-type is map";
        causes.push(Cause::required(format!("{path}.items"), why));
        return;
    };
    let of_type = text(items, "type");
    if of_type != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        causes.push(Cause::invalid(format!("{path}.items.type"), &json!(of_type), why));
        return;
    }
    let required = strings(items.get("required"));
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            causes.push(Cause::invalid(
                keys_path.as_str(),
                &json!(keys),
                "must not contain duplicate entries",
            ));
            continue;
        }
        let Some(field) = items.get("properties").and_then(|fields| fields.get(key)) else {
            let why = "entries must all be names of item properties";
            causes.push(Cause::invalid(keys_path.as_str(), &json!(keys), why));
            continue;
        };
        let path = format!("{path}.items.properties[{key}]");
        let of_type = text(field, "type");
        if matches!(of_type, "array" | "object") {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            causes.push(Cause::invalid(format!("{path}.type"), &json!(of_type), why));
        }
        if is_true(field, "nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            causes.push(Cause::forbidden(format!("{path}.nullable"), why));
        }
        if field.get("default").is_none() && !required.contains(key) {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                       required property";
            causes.push(Cause::required(format!("{path}.default"), why));
        }
    }
}

fn set(items: &Value, path: &str, causes: &mut Vec<Cause>) {
    if is_true(items, "nullable") {
        let why = "cannot be nullable when x-kubernetes-list-type is set";
        causes.push(Cause::forbidden(format!("{path}.nullable"), why));
    }
    let (field, is_atomic) = match text(items, "type") {
        "object" => ("x-kubernetes-map-type", text(items, "x-kubernetes-map-type") == "atomic"),
        "array" => {
            let list_type = text(items, "x-kubernetes-list-type");
            ("x-kubernetes-list-type", matches!(list_type, "" | "atomic"))
        }
        _ => return,
    };
    if !is_atomic {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        causes.push(Cause::invalid(format!("{path}.{field}"), &json!(text(items, field)), why));
    }
}
