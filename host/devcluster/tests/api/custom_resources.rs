//! CustomResourceDefinitions and their objects.

use serde_json::json;

use crate::support::{CRDS, WIDGETS, start, widget, widget_definition};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";

#[tokio::test]
async fn a_definition_is_established_and_served_at_once() {
    let server = start().await;
    let created = server.define(widget_definition()).await;
    let conditions = created["status"]["conditions"].as_array().unwrap();
    for wanted in ["Established", "NamesAccepted"] {
        assert!(conditions.iter().any(|c| c["type"] == wanted && c["status"] == "True"), "{wanted}");
    }
    assert_eq!(created["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(server.get(WIDGETS).await.ok()["kind"], "WidgetList");
}

#[tokio::test]
async fn defaults_are_filled_in_and_unknown_fields_pruned_with_a_warning() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let spec = json!({ "size": "s", "colour": "red", "free": { "any": { "thing": 1 } } });
    let answer = server.post(WIDGETS, widget("w", spec.clone())).await;
    assert_eq!(answer.body["spec"], json!({ "size": "s", "replicas": 1, "free": { "any": { "thing": 1 } } }));
    assert_eq!(answer.warnings, ["299 - \"unknown field \\\"spec.colour\\\"\""]);
    let strict = server.post(&format!("{WIDGETS}?fieldValidation=Strict"), widget("x", spec)).await;
    let status = strict.refused(400, "BadRequest");
    let why = "strict decoding error: unknown field \"spec.colour\"";
    assert_eq!(status["message"], format!("Widget in version \"v1\" cannot be handled as a Widget: {why}"));
}

#[tokio::test]
async fn an_object_that_breaks_the_schema_is_invalid_with_a_cause_per_field() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let status = server.post(WIDGETS, widget("w", json!({ "size": "xl", "replicas": -1 }))).await;
    let status = status.refused(422, "Invalid");
    assert_eq!(status["details"]["kind"], "Widget");
    let causes = status["details"]["causes"].as_array().unwrap();
    let mut fields: Vec<_> = causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    // A cluster judges the fields of a map in any order.
    fields[..2].sort_unstable();
    assert_eq!(fields, ["spec.replicas", "spec.size", ".spec.replicas"]);
    let status = server.post(WIDGETS, widget("w", json!({}))).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired");
}

#[tokio::test]
async fn every_served_version_shows_the_same_objects() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let old = server.get("/apis/example.com/v1beta1/namespaces/default/widgets/w").await.ok();
    assert_eq!(old["apiVersion"], "example.com/v1beta1");
    assert_eq!(old["spec"]["size"], "s");
}

#[tokio::test]
async fn status_and_scale_are_subresources() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let mut body = widget("w", json!({ "size": "s" }));
    body["status"] = json!({ "replicas": 3 });
    assert_eq!(server.post(WIDGETS, body).await.ok().get("status"), None);
    let status = json!({ "spec": { "size": "m" }, "status": { "replicas": 3 } });
    let reported = server.merge(&format!("{WIDGETS}/w/status"), status).await.ok();
    assert_eq!((&reported["spec"]["size"], &reported["metadata"]["generation"]), (&json!("s"), &json!(1)));
    let scale = server.merge(&format!("{WIDGETS}/w/scale"), json!({ "spec": { "replicas": 5 } })).await.ok();
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(5), &json!(3)));
    assert_eq!(server.get(&format!("{WIDGETS}/w")).await.ok()["metadata"]["generation"], 2);
}

#[tokio::test]
async fn deleting_a_definition_deletes_its_objects_and_tells_the_watchers() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let mut watch = server.watch(&format!("{WIDGETS}?watch=true")).await;
    watch.expect("ADDED", "w").await;
    server.delete(DEFINITION).await.ok();
    watch.expect("DELETED", "w").await;
    assert_eq!(watch.next().await, None);
    server.eventually_gone(DEFINITION).await;
    assert_eq!(server.get(WIDGETS).await.code, 404);
    server.post(CRDS, widget_definition()).await.ok();
    assert_eq!(server.get(WIDGETS).await.ok()["items"], json!([]));
}

#[tokio::test]
async fn a_definition_waits_for_objects_with_finalizers_and_takes_no_new_ones() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let mut held = widget("w", json!({ "size": "s" }));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(WIDGETS, held).await.ok();
    server.delete(DEFINITION).await.ok();
    let path = format!("{WIDGETS}/w");
    server
        .eventually(&path, "deletion begins", |a| a.body["metadata"]["deletionTimestamp"].is_string())
        .await;
    let late = server.post(WIDGETS, widget("x", json!({ "size": "s" }))).await.refused(403, "Forbidden");
    let why = "create not allowed while custom resource definition is terminating";
    assert_eq!(late["message"], format!("widgets.example.com \"x\" is forbidden: {why}"));
    assert_eq!(late["details"], json!({ "group": "example.com", "kind": "widgets", "name": "x" }));
    server.merge(&path, json!({ "metadata": { "finalizers": [] } })).await.ok();
    server.eventually_gone(DEFINITION).await;
}

#[tokio::test]
async fn a_definition_with_a_wrong_name_is_invalid() {
    let server = start().await;
    let mut body = widget_definition();
    body["metadata"]["name"] = json!("other.example.com");
    let status = server.post(CRDS, body).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name");
}

#[tokio::test]
async fn a_conversion_webhook_is_refused() {
    let server = start().await;
    let mut body = widget_definition();
    body["spec"]["conversion"] = json!({ "strategy": "Webhook" });
    let status = server.post(CRDS, body).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.conversion.strategy");
}

#[tokio::test]
async fn a_changed_schema_takes_effect_at_once() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let sizes = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/enum";
    let patch = json!([{ "op": "replace", "path": sizes, "value": ["xl"] }]);
    server.patch(DEFINITION, "json-patch+json", patch).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.refused(422, "Invalid");
    server.post(WIDGETS, widget("w", json!({ "size": "xl" }))).await.ok();
}
