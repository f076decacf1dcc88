//! The scale subresource, and what it asks of the objects that have one.

use serde_json::{Value, json};

use crate::support::{CRDS, DEPLOYMENTS, Server, WIDGETS, deployment, start, widget, widget_definition};

/// A cluster whose widgets say little about their replicas.
async fn with_widget(spec: Value) -> Server {
    let server = start().await;
    let mut definition = widget_definition();
    let properties = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    properties["spec"]["properties"]["replicas"] = json!({ "x-kubernetes-preserve-unknown-fields": true });
    server.post(CRDS, definition).await.ok();
    server.post(WIDGETS, widget("w", spec)).await.ok();
    server
}

#[tokio::test]
async fn a_count_that_is_none_is_refused_where_the_definition_says_that_it_is() {
    let server = with_widget(json!({ "size": "s" })).await;
    for (value, why) in [
        (json!(-1), "Invalid value: -1: should be a non-negative integer"),
        (json!(3_000_000_000_u32), "Invalid value: 3000000000: should be less than or equal to 2147483647"),
    ] {
        let answer = server.merge(&format!("{WIDGETS}/w"), json!({ "spec": { "replicas": value } })).await;
        let status = answer.refused(422, "Invalid");
        let cause = &status["details"]["causes"][0];
        assert_eq!((&cause["field"], &cause["message"]), (&json!(".spec.replicas"), &json!(why)));
    }
    let answer = server.post(WIDGETS, widget("x", json!({ "size": "s", "replicas": "many" }))).await;
    let status = answer.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], ".spec.replicas");
}

#[tokio::test]
async fn an_object_without_a_count_has_no_scale_until_it_is_given_one() {
    let server = with_widget(json!({ "size": "s" })).await;
    let path = format!("{WIDGETS}/w/scale");
    let status = server.get(&path).await.refused(500, "InternalError");
    let text = "Internal error occurred: the spec replicas field \".spec.replicas\" does not exist";
    assert_eq!(status["message"], text);
    let scale = server.merge(&path, json!({ "spec": { "replicas": 2 } })).await.ok();
    assert_eq!(scale["spec"]["replicas"], 2);
    assert_eq!(server.get(&path).await.ok()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_negative_scale_makes_an_invalid_object_and_an_unknown_patch_is_none() {
    let server = with_widget(json!({ "size": "s", "replicas": 1 })).await;
    let path = format!("{WIDGETS}/w/scale");
    let status = server.merge(&path, json!({ "spec": { "replicas": -1 } })).await.refused(422, "Invalid");
    let why = "Invalid value: -1: should be a non-negative integer";
    assert_eq!(status["message"], format!("Widget.example.com \"w\" is invalid: .spec.replicas: {why}"));
    server.patch(&path, "fancy-patch+json", json!({})).await.refused(415, "UnsupportedMediaType");
    server.patch(&path, "strategic-merge-patch+json", json!({})).await.refused(415, "UnsupportedMediaType");
}

#[tokio::test]
async fn a_scale_that_replaces_another_is_of_the_same_object() {
    let server = start().await;
    let mut held = deployment("web");
    held["spec"]["replicas"] = json!(0);
    let created = server.post(DEPLOYMENTS, held).await.ok();
    let path = format!("{DEPLOYMENTS}/web/scale");
    let scale = |meta: Value, kind: &str| json!({ "apiVersion": "autoscaling/v1", "kind": kind, "metadata": meta, "spec": { "replicas": 0 } });
    let status =
        server.put(&path, scale(json!({ "name": "other" }), "Scale")).await.refused(400, "BadRequest");
    assert_eq!(status["message"], "the name of the object (other) does not match the name on the URL (web)");
    server.put(&path, scale(json!({ "name": "web" }), "Deployment")).await.refused(400, "BadRequest");
    let other = json!({ "name": "web", "uid": "other" });
    let status = server.put(&path, scale(other, "Scale")).await.refused(409, "Conflict");
    assert!(status["message"].as_str().unwrap().contains("UID in precondition: other"), "{status}");
    let same = json!({ "name": "web", "uid": created["metadata"]["uid"] });
    server.put(&path, scale(same, "Scale")).await.ok();
}

#[tokio::test]
async fn a_scale_is_a_table_of_its_own_and_says_nothing_of_none() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web/scale");
    let table = server.get_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io").await.ok();
    let columns = table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["name"].clone());
    assert_eq!(columns.collect::<Vec<_>>(), ["Name", "Desired", "Available", "Age"]);
    assert_eq!(table["rows"][0]["cells"][1], 2, "{table}");
    let none = server.merge(&path, json!({ "spec": { "replicas": 0 } })).await.ok();
    assert_eq!(none["spec"], json!({}));
    assert_eq!(server.get(&format!("{DEPLOYMENTS}/web")).await.ok()["spec"]["replicas"], 0);
}

#[tokio::test]
async fn a_scale_is_of_what_its_address_says() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web/scale");
    let mut other = server.get(&path).await.ok();
    other["metadata"]["name"] = json!("other");
    server.put(&path, other.clone()).await.refused(400, "BadRequest");
    server.merge(&path, json!({ "metadata": { "name": "other" } })).await.refused(400, "BadRequest");
    let uid = json!({ "metadata": { "uid": "another" }, "spec": { "replicas": 5 } });
    server.merge(&path, uid).await.refused(409, "Conflict");
    other["metadata"].as_object_mut().unwrap().remove("name");
    server.put(&path, other.clone()).await.refused(400, "BadRequest");
    other["metadata"]["name"] = json!("web");
    other["spec"]["replicas"] = json!("5");
    let status = server.put(&path, other).await.refused(400, "BadRequest");
    let why = "json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32";
    assert!(status["message"].as_str().unwrap().ends_with(why), "{status}");
}
