//! OpenAPI v3: the schemas of all kinds, and as much of the paths as clients look for to apply and to explain.

mod builtin;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kind::Kind;
use crate::object::Json;
use crate::registry::Served;
use crate::{patch, types};

/// `/openapi/v3`: where the document of each group and version is. The hash changes with what may change: the
/// definitions of custom resources.
pub(crate) fn index(cluster: &Cluster, served: &Served) -> Value {
    let mut paths = Json::new();
    let has_custom = |of: &Kind| {
        served
            .kinds
            .iter()
            .any(|kind| kind.is_custom() && kind.group == of.group && kind.version == of.version)
    };
    for kind in &served.kinds {
        let path = match kind.group.as_str() {
            "" => format!("api/{}", kind.version),
            group => format!("apis/{group}/{}", kind.version),
        };
        if paths.contains_key(&path) {
            continue;
        }
        let generation = if has_custom(kind) { served.generation } else { 0 };
        let url = format!("/openapi/v3/{path}?hash={}-{generation}", cluster.instance);
        paths.insert(path, json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

/// The document of one group and version.
pub(crate) fn document(served: &Served, group: &str, version: &str) -> Option<Value> {
    let is_in = |kind: &&Kind| kind.group == group && kind.version == version;
    let kinds: Vec<&Kind> = served.kinds.iter().map(|kind| &**kind).filter(is_in).collect();
    if kinds.is_empty() {
        return None;
    }
    let mut paths = Json::new();
    let mut schemas = builtin::schemas(&kinds);
    // What each object has is as any built-in kind has it.
    let model = kinds.iter().any(|kind| kind.is_custom()).then(|| {
        let mut of_all = builtin::schemas(&builtin::model().iter().collect::<Vec<_>>());
        let model = of_all.remove(MODEL).unwrap_or_default();
        schemas.extend(of_all);
        model
    });
    for kind in kinds {
        let name = types::definition_name(kind).unwrap_or_else(|| custom_name(kind));
        if let Some(model) = model.as_ref().filter(|_| kind.is_custom()) {
            schemas.insert(name.clone(), custom_schema(kind, model));
        }
        let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let prefix = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        let collection = format!("{prefix}/{version}{scope}/{}", kind.plural);
        let create = operation(kind, "post", &name, &["dryRun", "fieldManager", "fieldValidation"]);
        let mut item = Json::new();
        if !kind.is_virtual {
            item.insert("get".to_owned(), operation(kind, "get", &name, &[]));
            item.insert("put".to_owned(), operation(kind, "put", &name, WRITE_PARAMETERS));
            item.insert("patch".to_owned(), patch_operation(kind, &name));
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
    Some(json!({ "openapi": "3.0.0", "info": { "title": TITLE, "version": "v1" },
        "paths": paths, "components": { "schemas": schemas } }))
}

/// A built-in kind with nothing that other objects do not have, but for data.
const MODEL: &str = "io.k8s.api.core.v1.ConfigMap";

/// `/openapi/v2`, without any definitions: clients that have found no schema in v3 go on without one then, as with the
/// items of a `List`.
pub(crate) fn v2() -> Value {
    json!({ "swagger": "2.0", "info": { "title": TITLE, "version": "v1" }, "paths": {} })
}

/// The same as the protobuf message that kubectl asks for.
pub(crate) fn v2_in_protobuf() -> Vec<u8> {
    let text = |number: u8, text: &[u8]| {
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        [&[(number << 3) | 2, length], text].concat()
    };
    let info = [text(1, TITLE.as_bytes()), text(2, b"v1")].concat();
    [text(1, b"2.0"), text(2, &info)].concat()
}

const TITLE: &str = "Wheelhouse development cluster";

const WRITE_PARAMETERS: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH_PARAMETERS: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];

fn group_version_kind(kind: &Kind) -> Value {
    json!({ "group": kind.group, "version": kind.version, "kind": kind.kind })
}

/// Reversed DNS, as the real server names the schemas of custom resources.
fn custom_name(kind: &Kind) -> String {
    let mut parts: Vec<&str> = kind.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{}", parts.join("."), kind.version, kind.kind)
}

fn custom_schema(kind: &Kind, model: &Value) -> Value {
    let mut schema = match kind.schema() {
        Some(schema) => schema.json().clone(),
        None => json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("x-kubernetes-group-version-kind".to_owned(), json!([group_version_kind(kind)]));
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            for field in ["apiVersion", "kind", "metadata"] {
                let common = model.get("properties").and_then(|fields| fields.get(field)).cloned();
                properties.insert(field.to_owned(), common.unwrap_or_default());
            }
        }
    }
    schema
}

/// A patch, with the forms that it may have: clients look for that of strategic merge patches.
fn patch_operation(kind: &Kind, schema: &str) -> Value {
    let forms = [patch::APPLY, patch::JSON, patch::MERGE, patch::STRATEGIC];
    let forms = forms.into_iter().filter(|form| !kind.is_custom() || *form != patch::STRATEGIC);
    let any = json!({ "schema": { "type": "object" } });
    let content: Json = forms.map(|form| (form.to_owned(), any.clone())).collect();
    let mut operation = operation(kind, "patch", schema, PATCH_PARAMETERS);
    if let Some(operation) = operation.as_object_mut() {
        operation.insert("requestBody".to_owned(), json!({ "content": content, "required": true }));
    }
    operation
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
