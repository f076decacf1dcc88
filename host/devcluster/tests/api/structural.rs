//! What the schemas of definitions must look like, and what else definitions are refused for.

use serde_json::{Value, json};

use crate::support::{CRDS, Server, start, widget_definition};

const VERSION: &str = "/spec/versions/0";
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// Field and message of each cause for which a definition is refused that has this in its place.
async fn refusals(server: &Server, place: &str, value: Value) -> Vec<(String, String)> {
    refusals_of(server, widget_definition(), place, value).await
}

async fn refusals_of(
    server: &Server,
    mut definition: Value,
    place: &str,
    value: Value,
) -> Vec<(String, String)> {
    let patch = json!([{ "op": "add", "path": place, "value": value }]);
    json_patch::patch(&mut definition, &serde_json::from_value::<json_patch::Patch>(patch).unwrap()).unwrap();
    let status = server.post(CRDS, definition).await.refused(422, "Invalid");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let causes = status["details"]["causes"].as_array().unwrap();
    causes.iter().map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect()
}

/// The only refusal of a schema for the field `spec.x`, as path below that field and message.
async fn refusal(server: &Server, schema: Value) -> (String, String) {
    let place = format!("{SCHEMA}/properties/spec/properties/x");
    // A kube-apiserver of 1.36 panics as it looks for selectable fields in some schemas that it has refused.
    let mut definition = widget_definition();
    definition["spec"]["versions"][0]["selectableFields"] = json!([]);
    let mut found = refusals_of(server, definition, &place, schema.clone()).await;
    assert_eq!(found.len(), 1, "{schema}: {found:?}");
    let (field, message) = found.remove(0);
    let prefix = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[x]";
    (field.strip_prefix(prefix).unwrap_or(&field).to_owned(), message)
}

#[tokio::test]
async fn every_level_of_a_schema_has_a_type() {
    let server = start().await;
    let required = |why: &str| format!("Required value: must not be empty for specified {why}");
    let (field, message) = refusal(&server, json!({ "description": "?" })).await;
    assert_eq!((field.as_str(), message), (".type", required("object fields")));
    let (field, message) = refusal(&server, json!({ "type": "array", "items": {} })).await;
    assert_eq!((field.as_str(), message), (".items.type", required("array items")));
    let found =
        refusals(&server, &format!("{SCHEMA}/properties/spec/properties/x"), json!({ "type": "null" })).await;
    let messages: Vec<&str> = found.iter().map(|(_, message)| message.as_str()).collect();
    let types = "\"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"";
    let unknown = format!("Unsupported value: \"null\": supported values: {types}");
    let why = "Forbidden: type cannot be set to null, use nullable as an alternative";
    assert_eq!(messages, [unknown.as_str(), why]);
    let found = refusals(&server, &format!("{SCHEMA}/type"), json!("string")).await;
    let root = "spec.versions[0].schema.openAPIV3Schema.type".to_owned();
    // A cluster says the same of the status subresource, too.
    assert!(
        found.contains(&(root, "Invalid value: \"string\": must be object at the root".to_owned())),
        "{found:?}"
    );
}

#[tokio::test]
async fn restrictions_add_nothing_to_the_structure() {
    let server = start().await;
    for (inner, path) in [
        (json!({ "anyOf": [{ "type": "string" }] }), ".anyOf[0].type"),
        (json!({ "oneOf": [{ "default": "a" }] }), ".oneOf[0].default"),
        (json!({ "allOf": [{ "nullable": true }] }), ".allOf[0].nullable"),
        (json!({ "not": { "description": "text" } }), ".not.description"),
        (
            json!({ "not": { "anyOf": [{ "additionalProperties": true }] } }),
            ".not.anyOf[0].additionalProperties",
        ),
    ] {
        let mut schema = inner.clone();
        schema["type"] = json!("string");
        let (field, message) = refusal(&server, schema).await;
        assert_eq!(field, path, "{inner}");
        assert!(message.starts_with("Forbidden: must be "), "{message}");
    }
}

#[tokio::test]
async fn what_structural_schemas_cannot_have_is_refused_at_its_place() {
    let server = start().await;
    let text = json!({ "type": "string" });
    for (schema, path, message) in [
        (
            json!({ "type": "array", "items": text, "uniqueItems": true }),
            ".uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            json!({ "type": "object", "properties": { "a": text }, "additionalProperties": text }),
            ".additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (json!({ "type": "string", "$ref": "#/definitions/a" }), ".$ref", "Forbidden: $ref is not supported"),
        (
            json!({ "type": "object", "properties": { "a": text }, "default": { "b": "c" } }),
            ".default",
            "Invalid value: {\"b\":\"c\"}: must not have unknown fields",
        ),
        (
            json!({ "type": "object", "x-kubernetes-embedded-resource": true }),
            ".properties",
            "Required value: must not be empty if x-kubernetes-embedded-resource is true without \
             x-kubernetes-preserve-unknown-fields",
        ),
        (
            json!({ "type": "string", "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true }),
            ".type",
            "Invalid value: \"string\": must be object if x-kubernetes-embedded-resource is true",
        ),
        (
            json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": false }),
            ".x-kubernetes-preserve-unknown-fields",
            "Invalid value: false: must be true or undefined",
        ),
    ] {
        let found = refusal(&server, schema.clone()).await;
        assert_eq!(found, (path.to_owned(), message.to_owned()), "{schema}");
    }
    for (schema, path) in [
        (json!({ "type": "string", "default": 5 }), ".default"),
        (json!({ "type": "integer", "minimum": 3, "default": 1 }), ".default"),
        (json!({ "type": "object", "properties": { "a": text }, "default": { "a": 1 } }), ".default.a"),
    ] {
        assert_eq!(refusal(&server, schema.clone()).await.0, path, "{schema}");
    }
    let (field, message) = refusal(&server, json!({ "type": "string", "pattern": "[" })).await;
    let start = "Invalid value: \"[\": must be a valid regular expression, but isn't: ";
    assert!(field == ".pattern" && message.starts_with(start), "{message}");
    let untyped =
        json!({ "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true });
    let why = "Required value: must be object if x-kubernetes-embedded-resource is true";
    assert_eq!(refusal(&server, untyped).await, (".type".to_owned(), why.to_owned()));
}

#[tokio::test]
async fn the_keys_of_a_list_are_scalars_that_every_item_has() {
    let server = start().await;
    let list = |keys: Value, items: Value| json!({ "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, "items": items });
    let items = |a: Value| {
        json!({ "type": "object", "required": ["b"], "properties": {
        "a": a, "b": { "type": "string" } } })
    };
    for (schema, path) in [
        (list(json!(["a"]), items(json!({ "type": "string" }))), ".items.properties[a].default"),
        (list(json!(["b", "c"]), items(json!({ "type": "string" }))), ".x-kubernetes-list-map-keys"),
        (list(json!(["b", "b"]), items(json!({ "type": "string" }))), ".x-kubernetes-list-map-keys"),
        (list(json!([]), items(json!({ "type": "string" }))), ".x-kubernetes-list-map-keys"),
        (list(json!(["a"]), json!({ "type": "string" })), ".items.type"),
        (
            json!({ "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "bag" }),
            ".x-kubernetes-list-type",
        ),
        (json!({ "type": "string", "x-kubernetes-list-type": "set" }), ".type"),
        (
            json!({ "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "object" } }),
            ".items.x-kubernetes-map-type",
        ),
    ] {
        assert_eq!(refusal(&server, schema.clone()).await.0, path, "{schema}");
    }
}

#[tokio::test]
async fn metadata_may_only_be_restricted_in_its_names() {
    let server = start().await;
    let labels = json!({ "type": "object", "properties": { "labels": { "type": "object" } } });
    let found = refusals(&server, &format!("{SCHEMA}/properties/metadata"), labels).await;
    assert_eq!(found[0].0, "spec.versions[0].schema.openAPIV3Schema.properties[metadata]");
    let why =
        "must not specify anything other than name and generateName, but metadata is implicitly specified";
    assert_eq!(found[0].1, format!("Forbidden: {why}"));
}

#[tokio::test]
async fn versions_scale_paths_and_selectable_fields_are_checked() {
    let server = start().await;
    let versions = |name: &str, storage: bool| {
        let mut version = widget_definition()["spec"]["versions"][0].clone();
        (version["name"], version["storage"]) = (json!(name), json!(storage));
        version
    };
    let text = "must have exactly one version marked as storage version";
    let found =
        refusals(&server, "/spec/versions", json!([versions("v1", true), versions("v2", true)])).await;
    assert!(found[0].0 == "spec.versions" && found[0].1.ends_with(text), "{found:?}");
    let found =
        refusals(&server, "/spec/versions", json!([versions("v1", true), versions("v1", false)])).await;
    assert!(found[0].0 == "spec.versions" && found[0].1.ends_with("must contain unique version names"));
    let fields = |path: &str| json!([{ "jsonPath": path }]);
    let nine: Vec<Value> = (0..9).map(|n| json!({ "jsonPath": format!(".spec.f{n}") })).collect();
    for (place, value, field) in [
        (
            "subresources/scale/specReplicasPath",
            json!(".status.replicas"),
            "subresources.scale.specReplicasPath",
        ),
        (
            "subresources/scale/statusReplicasPath",
            json!(".spec.replicas"),
            "subresources.scale.statusReplicasPath",
        ),
        ("subresources/scale/labelSelectorPath", json!(".other"), "subresources.scale.labelSelectorPath"),
        ("selectableFields", fields(".spec.parts[0]"), "selectableFields[0].jsonPath"),
        ("selectableFields", fields(".spec.parts"), "selectableFields[0].jsonPath"),
        ("selectableFields", fields(".spec.unknown"), "selectableFields[0].jsonPath"),
        ("selectableFields", json!(nine), "selectableFields[8].jsonPath"),
        ("name", json!("V1"), "name"),
        ("deprecationWarning", json!("old"), "deprecationWarning"),
    ] {
        let found = refusals(&server, &format!("{VERSION}/{place}"), value).await;
        let expected = format!("spec.versions[0].{field}");
        assert!(found.iter().any(|(field, _)| *field == expected), "{found:?}");
    }
}

#[tokio::test]
async fn a_version_that_objects_may_be_stored_in_cannot_go() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let path = format!("{CRDS}/widgets.example.com");
    let gone = json!([{ "op": "remove", "path": "/spec/versions/0" },
        { "op": "replace", "path": "/spec/versions/0/storage", "value": true }]);
    let status = server.patch(&path, "json-patch+json", gone).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "status.storedVersions[0]");
    let scope = json!({ "spec": { "scope": "Cluster" } });
    let status = server.merge(&path, scope).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.scope");
}

#[tokio::test]
async fn the_definitions_of_this_project_are_accepted() {
    let server = start().await;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in ["deploy/crds.yaml", "examples/webapp/manifests/crd.yaml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let mut count = 0;
        for document in
            text.split("\n---").filter(|document| document.contains("kind: CustomResourceDefinition"))
        {
            let document = document.trim_start_matches("---");
            // Tried alone: their names are those of the whole cluster.
            let path = format!("{CRDS}?dryRun=All");
            server.send("POST", &path, &[("content-type", "application/yaml")], document).await.ok();
            count += 1;
        }
        assert!(count > 0, "{file}");
    }
}
