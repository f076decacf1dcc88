//! Definitions that a cluster refuses, and those that did not get their names and are mended.

use serde_json::{Value, json};

use crate::support::{CRDS, Server, WIDGETS, start, widget, widget_definition};

const SCHEMA: &str = "spec.versions[0].schema.openAPIV3Schema";

async fn refusals(server: &Server, definition: Value) -> Vec<(String, String)> {
    let status = server.post(CRDS, definition).await.refused(422, "Invalid");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let causes = status["details"]["causes"].as_array().unwrap();
    causes.iter().map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect()
}

fn with_field(schema: &Value) -> Value {
    let mut definition = widget_definition();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["x"] =
        schema.clone();
    definition
}

#[tokio::test]
async fn schemas_that_say_too_little_or_too_much_are_refused() {
    let server = start().await;
    let text = json!({ "type": "string" });
    let mixed = "must be false if x-kubernetes-int-or-string is true";
    for (schema, path, why) in [
        (json!({ "type": "array" }), ".items", "Required value: must be specified".to_owned()),
        (
            json!({ "type": "object", "additionalProperties": text, "x-kubernetes-embedded-resource": true,
                "x-kubernetes-preserve-unknown-fields": true }),
            ".additionalProperties",
            "Forbidden: must not be used if x-kubernetes-embedded-resource is set".to_owned(),
        ),
        (
            json!({ "x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true }),
            ".x-kubernetes-preserve-unknown-fields",
            format!("Invalid value: true: {mixed}"),
        ),
        (
            json!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "string" }, { "type": "integer" }] }),
            ".anyOf[0].type",
            "Forbidden: must be empty to be structural".to_owned(),
        ),
        (
            json!({ "x-kubernetes-int-or-string": true, "allOf": [{ "type": "string" }] }),
            ".allOf[0].type",
            "Forbidden: must be empty to be structural".to_owned(),
        ),
    ] {
        let found = refusals(&server, with_field(&schema)).await;
        let expected = (format!("{SCHEMA}.properties[spec].properties[x]{path}"), why);
        assert!(found.contains(&expected), "{schema}: {found:?}");
    }
    for schema in [
        json!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] }),
        json!({ "x-kubernetes-int-or-string": true,
            "allOf": [{ "anyOf": [{ "type": "integer" }, { "type": "string" }] }, { "pattern": "a" }] }),
    ] {
        server.post(&format!("{CRDS}?dryRun=All"), with_field(&schema)).await.ok();
    }
}

#[tokio::test]
async fn the_root_of_a_schema_is_an_object_with_known_fields() {
    let server = start().await;
    for (field, value, why) in [
        ("nullable", json!(true), "Forbidden: nullable cannot be true at the root"),
        ("additionalProperties", json!({ "type": "string" }), "Forbidden: must not be used at the root"),
    ] {
        let mut definition = widget_definition();
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"][field] = value;
        let found = refusals(&server, definition).await;
        assert!(found.contains(&(format!("{SCHEMA}.{field}"), why.to_owned())), "{found:?}");
    }
}

#[tokio::test]
async fn groups_of_the_community_need_its_approval_and_all_names_are_labels() {
    let server = start().await;
    let mut definition = widget_definition();
    definition["metadata"]["name"] = json!("widgets.test.k8s.io");
    definition["spec"]["group"] = json!("test.k8s.io");
    let found = refusals(&server, definition.clone()).await;
    let why = "Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
               https://github.com/kubernetes/enhancements/pull/1111";
    assert_eq!(found, [("metadata.annotations[api-approved.kubernetes.io]".to_owned(), why.to_owned())]);
    definition["metadata"]["annotations"] = json!({ "api-approved.kubernetes.io": "unapproved, for a test" });
    server.post(&format!("{CRDS}?dryRun=All"), definition).await.ok();
    let mut definition = widget_definition();
    definition["spec"]["names"]["shortNames"] = json!(["wd", "Wd"]);
    definition["spec"]["names"]["categories"] = json!(["1st"]);
    let fields: Vec<String> =
        refusals(&server, definition).await.into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["spec.names.shortNames[1]", "spec.names.categories[0]"]);
}

#[tokio::test]
async fn a_definition_that_did_not_get_its_names_may_ask_for_others() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let mut rival = widget_definition();
    rival["metadata"]["name"] = json!("gadgets.example.com");
    rival["spec"]["names"] =
        json!({ "plural": "gadgets", "kind": "Widget", "listKind": "GadgetList", "singular": "gadget" });
    server.post(CRDS, rival).await.ok();
    let path = format!("{CRDS}/gadgets.example.com");
    let plural = json!({ "spec": { "names": { "plural": "widgets" } } });
    let status = server.merge(&path, plural).await.refused(422, "Invalid");
    let fields: Vec<&str> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["field"].as_str().unwrap())
        .collect();
    assert!(fields.contains(&"spec.names.plural"), "{fields:?}");
    let mended = json!({ "spec": { "scope": "Cluster", "names": { "kind": "Gadget" } } });
    server.merge(&path, mended).await.ok();
    server.get("/apis/example.com/v1/gadgets").await.ok();
    let again = json!({ "spec": { "names": { "kind": "Thing" } } });
    let status = server.merge(&path, again).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"].as_array().unwrap().len(), 1, "{status}");
}

#[tokio::test]
async fn definitions_are_refused_in_the_words_of_a_cluster() {
    let server = start().await;
    let label = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                 character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                 validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let mixed =
        format!("Invalid value: \"Wid_get\": may have mixed case, but should otherwise match: {label}");
    let warning = "w".repeat(300);
    let column = "/spec/versions/0/additionalPrinterColumns/0";
    let types = "must be one of boolean,date,integer,number,string";
    for (changes, field, message) in [
        (json!([{ "op": "add", "path": "/spec/names/kind", "value": "Wid_get" }]), "spec.names.kind", mixed),
        (
            json!([{ "op": "add", "path": "/spec/versions/0/deprecated", "value": true },
                { "op": "add", "path": "/spec/versions/0/deprecationWarning", "value": warning }]),
            "spec.versions[0].deprecationWarning",
            format!("Invalid value: {warning:?}: must be <= 256 characters long"),
        ),
        (
            json!([{ "op": "remove", "path": format!("{column}/type") }]),
            "spec.versions[0].additionalPrinterColumns[0].type",
            format!("Required value: {types}"),
        ),
        (
            json!([{ "op": "remove", "path": format!("{column}/jsonPath") }]),
            "spec.versions[0].additionalPrinterColumns[0].JSONPath",
            "Required value".to_owned(),
        ),
        (
            json!([{ "op": "add", "path": "/spec/conversion", "value": {} }]),
            "spec.conversion.strategy",
            "Required value".to_owned(),
        ),
        (
            json!([{ "op": "add", "path": "/spec/versions/0/deprecated", "value": true },
                { "op": "add", "path": "/spec/versions/0/deprecationWarning", "value": "" }]),
            "spec.versions[0].deprecationWarning",
            "Invalid value: \"\": must not be an empty string".to_owned(),
        ),
        (
            json!([{ "op": "replace", "path": "/spec/versions", "value": [] }]),
            "spec.versions",
            "Invalid value: []: must have exactly one version marked as storage version".to_owned(),
        ),
        (
            json!([{ "op": "replace", "path": "/spec/versions/0/storage", "value": false }]),
            "status.storedVersions",
            "Invalid value: null: must have at least one stored version".to_owned(),
        ),
        (
            json!([{ "op": "replace", "path": "/spec/versions/0/name", "value": "V1" }]),
            "spec.version",
            format!("Invalid value: \"V1\": {label}"),
        ),
        (
            json!([{ "op": "remove", "path": "/spec/names" }, { "op": "add", "path": "/spec/names", "value": {} }]),
            "spec.names.listKind",
            "Required value".to_owned(),
        ),
        (
            json!([{ "op": "add", "path": format!("{column}/format"), "value": "x" }]),
            "spec.versions[0].additionalPrinterColumns[0].format",
            "Invalid value: \"x\": must be one of byte,date,date-time,double,float,int32,int64,password"
                .to_owned(),
        ),
        (
            json!([{ "op": "replace", "path": format!("{column}/jsonPath"), "value": "x" }]),
            "spec.versions[0].additionalPrinterColumns[0].JSONPath",
            "Invalid value: \"x\": must be a simple json path starting with .".to_owned(),
        ),
        (
            json!([{ "op": "add", "path": "/spec/conversion", "value": { "strategy": "Magic" } }]),
            "spec.conversion.strategy",
            "Unsupported value: \"Magic\": supported values: \"None\", \"Webhook\"".to_owned(),
        ),
    ] {
        let mut definition = widget_definition();
        let patch: json_patch::Patch = serde_json::from_value(changes).unwrap();
        json_patch::patch(&mut definition, &patch).unwrap();
        let found = refusals(&server, definition).await;
        assert!(found.contains(&(field.to_owned(), message)), "{found:?}");
    }
    server.post(CRDS, widget_definition()).await.ok();
    let gone = json!([{ "op": "remove", "path": "/spec/versions/0" },
        { "op": "replace", "path": "/spec/versions/0/storage", "value": true }]);
    let path = format!("{CRDS}/widgets.example.com");
    let status = server.patch(&path, "json-patch+json", gone).await.refused(422, "Invalid");
    let why = "missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a \
               storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions";
    assert_eq!(status["details"]["causes"][0]["message"], format!("Invalid value: \"v1\": {why}"));
}

#[tokio::test]
async fn conditions_of_others_stay_in_the_status_of_a_definition() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let path = format!("{CRDS}/widgets.example.com");
    let condition = json!({ "type": "Reviewed", "status": "True", "reason": "Done", "message": "",
        "lastTransitionTime": "2024-01-01T00:00:00Z" });
    let add = json!([{ "op": "add", "path": "/status/conditions/-", "value": condition }]);
    server.patch(&format!("{path}/status"), "json-patch+json", add).await.ok();
    server.merge(&path, json!({ "metadata": { "labels": { "a": "b" } } })).await.ok();
    let conditions = server.get(&path).await.ok()["status"]["conditions"].clone();
    let types: Vec<&str> =
        conditions.as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(types.len(), 3);
    assert!(types.contains(&"Reviewed"), "{types:?}");
}

#[tokio::test]
async fn what_all_versions_share_is_judged_in_one_place() {
    let server = start().await;
    let mut only = with_field(&json!({ "type": "array" }));
    only["spec"]["versions"].as_array_mut().unwrap().truncate(1);
    let path = "spec.validation.openAPIV3Schema.properties[spec].properties[x].items";
    let found = refusals(&server, only).await;
    assert_eq!(found, [(path.to_owned(), "Required value: must be specified".to_owned())]);
    let mut fields_alone = widget_definition();
    fields_alone["spec"]["versions"][1]["selectableFields"] = json!([{ "jsonPath": ".spec.size" }]);
    let why = "Invalid value: \"\": may only be set when validations.schema is included";
    assert_eq!(refusals(&server, fields_alone).await, [("spec.selectableFields".to_owned(), why.to_owned())]);
    let mut schema_alone = widget_definition();
    schema_alone["spec"]["versions"][1]["schema"] = schema_alone["spec"]["versions"][0]["schema"].clone();
    let why = "Invalid value: \"\": may only be set when `version.schema.openAPIV3Schema` is not included";
    let expected = [("spec.versions[0].selectableFields".to_owned(), why.to_owned())];
    assert_eq!(refusals(&server, schema_alone).await, expected);
}

#[tokio::test]
async fn a_definition_that_goes_says_what_it_waits_for() {
    let server = start().await;
    server.define(widget_definition()).await;
    let path = format!("{CRDS}/widgets.example.com");
    let mut held = widget("a", json!({ "size": "s" }));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(WIDGETS, held).await.ok();
    server.delete(&path).await.ok();
    let terminating = |body: &Value| {
        let conditions = body["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == "Terminating").unwrap_or_default()
    };
    let is_so = |body: &Value| terminating(body)["reason"] == "InstanceDeletionInProgress";
    let going = server.eventually(&path, "its objects are deleted", |answer| is_so(&answer.body)).await.body;
    let condition = terminating(&going);
    assert_eq!(condition["status"], "True");
    assert_eq!(condition["message"], "CustomResource deletion is in progress");
    let metadata = &going["metadata"];
    assert!(metadata["deletionTimestamp"].is_string());
    assert_eq!((metadata.get("deletionGracePeriodSeconds"), &metadata["generation"]), (None, &json!(1)));
    server.merge(&format!("{WIDGETS}/a"), json!({ "metadata": { "finalizers": null } })).await.ok();
    server.eventually_gone(&path).await;
}

#[tokio::test]
async fn a_format_that_nobody_knows_is_a_warning_once() {
    let server = start().await;
    let mut definition = widget_definition();
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition.pointer_mut(fields).unwrap();
    fields["a"] = json!({ "type": "string", "format": "foo" });
    fields["b"] = json!({ "type": "array", "items": { "type": "integer", "format": "int64" } });
    let answer = server.post(CRDS, definition).await;
    assert_eq!(answer.warnings, ["299 - \"unrecognized format \\\"foo\\\"\""], "{}", answer.body);
    let categories = json!({ "spec": { "names": { "categories": ["other"] } } });
    let again = server.merge(&format!("{CRDS}/widgets.example.com"), categories).await;
    assert!(again.code == 200 && again.warnings.is_empty(), "{:?}", again.warnings);
}
