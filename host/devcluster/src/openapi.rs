//! OpenAPI v3: as much as clients need to apply with validation, and the schemas of custom resources.
//!
//! The built-in kinds are objects of unknown structure here: the documents promise no more than the
//! server checks. `kubectl explain` therefore works for custom resources only.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kind::Kind;
use crate::object::Json;
use crate::registry::Served;

/// `/openapi/v3`: where the document of each group and version is. The hash changes with the content.
pub(crate) fn index(cluster: &Cluster, served: &Served) -> Value {
    let mut paths = Json::new();
    for kind in &served.kinds {
        let path = match kind.group.as_str() {
            "" => format!("api/{}", kind.version),
            group => format!("apis/{group}/{}", kind.version),
        };
        let url = format!("/openapi/v3/{path}?hash={}-{}", cluster.instance, served.generation);
        paths.insert(path, json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

/// The document of one group and version.
pub(crate) fn document(served: &Served, group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<_> = served.kinds.iter().filter(|k| k.group == group && k.version == version).collect();
    if kinds.is_empty() {
        return None;
    }
    let (mut paths, mut schemas) = (Json::new(), Json::new());
    for kind in kinds {
        let name = schema_name(kind);
        schemas.insert(name.clone(), schema(kind));
        let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let prefix = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        let collection = format!("{prefix}/{version}{scope}/{}", kind.plural);
        let create = operation(kind, "post", &name, &["dryRun", "fieldManager", "fieldValidation"]);
        let mut item = Json::new();
        if !kind.is_virtual {
            item.insert("get".to_owned(), operation(kind, "get", &name, &[]));
            item.insert("put".to_owned(), operation(kind, "put", &name, WRITE_PARAMETERS));
            item.insert("patch".to_owned(), operation(kind, "patch", &name, PATCH_PARAMETERS));
            item.insert(
                "delete".to_owned(),
                operation(kind, "delete", &name, &["dryRun", "propagationPolicy"]),
            );
        }
        paths.insert(
            collection.clone(),
            json!({ "get": operation(kind, "list", &name, &[]), "post": create }),
        );
        paths.insert(format!("{collection}/{{name}}"), Value::Object(item));
    }
    Some(json!({ "openapi": "3.0.0", "info": { "title": "Wheelhouse development cluster", "version": "v1" },
        "paths": paths, "components": { "schemas": schemas } }))
}

const WRITE_PARAMETERS: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH_PARAMETERS: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];

fn group_version_kind(kind: &Kind) -> Value {
    json!({ "group": kind.group, "version": kind.version, "kind": kind.kind })
}

/// Reversed DNS, as the real server names the schemas of custom resources.
fn schema_name(kind: &Kind) -> String {
    let mut parts: Vec<&str> = match kind.group.as_str() {
        "" => vec!["core", "api", "k8s", "io"],
        group => group.split('.').collect(),
    };
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), kind.version, kind.kind)
}

fn schema(kind: &Kind) -> Value {
    let mut schema = match kind.schema() {
        Some(schema) => schema.json().clone(),
        None => json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("x-kubernetes-group-version-kind".to_owned(), json!([group_version_kind(kind)]));
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            for (field, of_type, about) in [
                ("apiVersion", "string", "The version of the schema of this object."),
                ("kind", "string", "The kind of this object."),
                ("metadata", "object", "The object's metadata."),
            ] {
                properties.insert(field.to_owned(), json!({ "type": of_type, "description": about }));
            }
        }
    }
    schema
}

fn operation(kind: &Kind, action: &str, schema: &str, parameters: &[&str]) -> Value {
    let reference = json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } });
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } }))
        .collect();
    json!({
        "operationId": format!("{action}{}", kind.kind),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": group_version_kind(kind),
        "parameters": parameters,
        "responses": { "200": { "description": "OK", "content": { "application/json": reference } } },
    })
}
