//! A schema that became stricter, and the objects that were there before.

use serde_json::{Value, json};

use crate::support::{CRDS, Server, WIDGETS, start, widget, widget_definition};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// A widget, in a cluster whose schema was then changed below `spec`.
async fn tightened(spec: Value, changes: &[(&str, Value)]) -> (Server, String) {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", spec)).await.ok();
    tighten(&server, changes).await;
    (server, format!("{WIDGETS}/w"))
}

async fn tighten(server: &Server, changes: &[(&str, Value)]) {
    let patch: Vec<Value> = changes
        .iter()
        .map(|(path, value)| json!({ "op": "add", "path": format!("{SPEC}{path}"), "value": value }))
        .collect();
    server.patch(DEFINITION, "json-patch+json", json!(patch)).await.ok();
}

#[tokio::test]
async fn a_value_that_no_longer_fits_may_stay_as_it_is() {
    let (server, path) = tightened(json!({ "size": "s" }), &[("/properties/size/enum", json!(["xl"]))]).await;
    server.merge(&path, json!({ "spec": { "replicas": 3 } })).await.ok();
    let status = server.merge(&path, json!({ "spec": { "size": "m" } })).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.size");
    server.apply(&path, "m", widget("w", json!({ "size": "s" }))).await.ok();
    server.merge(&path, json!({ "spec": { "size": "xl" } })).await.ok();
    server.merge(&path, json!({ "spec": { "size": "s" } })).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_stricter_schema_blocks_neither_status_nor_finalizers_nor_deletion() {
    let changes = [("/properties/size/enum", json!(["xl"])), ("/required", json!(["size", "free"]))];
    let (server, path) = tightened(json!({ "size": "s" }), &changes).await;
    server.merge(&format!("{path}/status"), json!({ "status": { "replicas": 2 } })).await.ok();
    server.merge(&path, json!({ "metadata": { "finalizers": ["example.com/hold"] } })).await.ok();
    server.delete(&path).await.ok();
    server.merge(&path, json!({ "metadata": { "finalizers": null } })).await.ok();
    assert_eq!(server.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_field_that_became_required_is_missed_once_its_parent_changes() {
    let (server, path) = tightened(json!({ "size": "s" }), &[("/required", json!(["size", "free"]))]).await;
    server.merge(&path, json!({ "metadata": { "labels": { "a": "b" } } })).await.ok();
    let status = server.merge(&path, json!({ "spec": { "replicas": 3 } })).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.free");
}

#[tokio::test]
async fn the_items_of_a_keyed_list_are_compared_by_their_keys() {
    let parts = json!([{ "id": "a", "weight": 1 }, { "id": "b", "weight": 2 }]);
    let minimum = ("/properties/parts/items/properties/weight/minimum", json!(5));
    let (server, path) = tightened(json!({ "size": "s", "parts": parts }), &[minimum]).await;
    let moved = json!([{ "id": "c", "weight": 9 }, { "id": "b", "weight": 2 }, { "id": "a", "weight": 1 }]);
    server.merge(&path, json!({ "spec": { "parts": moved } })).await.ok();
    let added = json!([{ "id": "a", "weight": 1 }, { "id": "d", "weight": 1 }]);
    let status = server.merge(&path, json!({ "spec": { "parts": added } })).await.refused(422, "Invalid");
    let causes = status["details"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 1, "{status}");
    assert_eq!(causes[0]["field"], "spec.parts[1].weight");
}

#[tokio::test]
async fn the_items_of_another_list_are_judged_anew_when_the_list_changes() {
    let server = start().await;
    let mut definition = widget_definition();
    let tags = json!({ "type": "array", "items": { "type": "string" } });
    *definition.pointer_mut(&format!("{SPEC}/properties")).unwrap() =
        json!({ "size": { "type": "string" }, "tags": tags });
    server.post(CRDS, definition).await.ok();
    let path = format!("{WIDGETS}/w");
    server.post(WIDGETS, widget("w", json!({ "size": "s", "tags": ["a", "bb"] }))).await.ok();
    tighten(&server, &[("/properties/tags/items/minLength", json!(2))]).await;
    server.merge(&path, json!({ "spec": { "size": "m" } })).await.ok();
    let longer = json!({ "spec": { "tags": ["a", "bb", "cc"] } });
    let status = server.merge(&path, longer).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.tags[0]");
}

#[tokio::test]
async fn a_rule_that_came_later_warns_of_what_is_as_it_was_even_below_lists_without_keys() {
    let server = start().await;
    let mut definition = widget_definition();
    let item = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    *definition.pointer_mut(&format!("{SPEC}/properties")).unwrap() =
        json!({ "size": { "type": "string" }, "tags": { "type": "array", "items": item } });
    server.post(CRDS, definition).await.ok();
    let path = format!("{WIDGETS}/w");
    server.post(WIDGETS, widget("w", json!({ "size": "s", "tags": [{ "n": 1 }] }))).await.ok();
    let rule = json!([{ "rule": "self.n > 5" }]);
    tighten(&server, &[("/properties/tags/items/x-kubernetes-validations", rule)]).await;
    let answer = server.merge(&path, json!({ "spec": { "size": "m" } })).await;
    let warned = "299 - \"spec.tags[0]: Invalid value: failed rule: self.n > 5\"";
    assert_eq!((answer.code, answer.warnings), (200, vec![warned.to_owned()]));
    let longer = json!({ "spec": { "tags": [{ "n": 1 }, { "n": 9 }] } });
    let status = server.merge(&path, longer).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.tags[0]");
}
