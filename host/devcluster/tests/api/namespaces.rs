//! Namespaces: their finalizers, and how they go.

use serde_json::{Value, json};

use crate::support::{CRDS, start, widget, widget_definition};

const NAMESPACES: &str = "/api/v1/namespaces";
const TEAM: &str = "/api/v1/namespaces/team";

#[tokio::test]
async fn the_finalizers_of_a_namespace_are_changed_by_finalize_alone() {
    let server = start().await;
    server.team().await;
    let merged = server.merge(TEAM, json!({ "spec": { "finalizers": ["example.com/mine"] } })).await.ok();
    assert_eq!(merged["spec"]["finalizers"], json!(["kubernetes"]));
    let mut body = server.get(TEAM).await.ok();
    body["spec"]["finalizers"] = json!(["example.com/mine", "kubernetes"]);
    let finalized = server.put(&format!("{TEAM}/finalize"), body).await.ok();
    assert_eq!(finalized["spec"]["finalizers"], json!(["example.com/mine", "kubernetes"]));
}

#[tokio::test]
async fn a_finalizer_of_ones_own_holds_a_namespace_back_when_its_content_is_gone() {
    let server = start().await;
    let own = json!({ "metadata": { "name": "team" }, "spec": { "finalizers": ["example.com/mine"] } });
    let made = server.post(NAMESPACES, own).await.ok();
    assert_eq!(made["spec"]["finalizers"], json!(["example.com/mine", "kubernetes"]));
    server.delete(TEAM).await.ok();
    let is_emptied = |body: &Value| body["spec"]["finalizers"] == json!(["example.com/mine"]);
    let emptied = server.eventually(TEAM, "it waits for one", |answer| is_emptied(&answer.body)).await;
    let mut body = emptied.body;
    body["spec"]["finalizers"] = json!([]);
    server.put(&format!("{TEAM}/finalize"), body).await.ok();
    server.eventually_gone(TEAM).await;
}

#[tokio::test]
async fn a_definition_that_serves_nothing_goes_and_so_does_a_namespace_with_its_objects() {
    let server = start().await;
    server.team().await;
    server.post(CRDS, widget_definition()).await.ok();
    for namespace in ["team", "default"] {
        let path = format!("/apis/example.com/v1/namespaces/{namespace}/widgets");
        server.post(&path, widget("w", json!({ "size": "s" }))).await.ok();
    }
    let path = format!("{CRDS}/widgets.example.com");
    let unserved = json!([
        { "op": "replace", "path": "/spec/versions/0/served", "value": false },
        { "op": "replace", "path": "/spec/versions/1/served", "value": false },
    ]);
    server.patch(&path, "json-patch+json", unserved).await.ok();
    server.delete(TEAM).await.ok();
    server.eventually_gone(TEAM).await;
    server.delete(&path).await.ok();
    server.eventually_gone(&path).await;
    assert_eq!(server.get("/apis/example.com").await.code, 404);
}
