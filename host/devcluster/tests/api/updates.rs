//! What an update must say, what it may not change, and what counts as a change.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, CRDS, PODS, WIDGETS, config_map, pod, start, widget, widget_definition};

const NO_VERSION: &str = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";

#[tokio::test]
async fn a_custom_resource_a_definition_and_a_lease_are_not_replaced_without_their_version() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let status = server.put(&format!("{WIDGETS}/w"), widget("w", json!({ "size": "m" }))).await;
    let status = status.refused(422, "Invalid");
    assert_eq!(status["message"], format!("widgets.example.com \"w\" is invalid: {NO_VERSION}"));
    assert_eq!(status["details"]["kind"], "widgets");
    let path = format!("{CRDS}/widgets.example.com");
    server.put(&path, widget_definition()).await.refused(422, "Invalid");
    let lease =
        json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "l" } });
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    server.put(path, lease.clone()).await.ok();
    server.put(path, lease).await.refused(422, "Invalid");
    server.merge(&format!("{WIDGETS}/w"), json!({ "spec": { "size": "m" } })).await.ok();
}

#[tokio::test]
async fn a_pod_and_a_config_map_are_replaced_without_their_version() {
    let server = start().await;
    let mut made = server.post(PODS, pod("p")).await.ok();
    made["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    server.put(&format!("{PODS}/p"), made).await.ok();
    server.config_map("a", json!({})).await;
    server.put(&format!("{CONFIG_MAPS}/a"), config_map("a", json!({ "k": "1" }))).await.ok();
}

#[tokio::test]
async fn without_a_status_subresource_a_status_counts_as_a_change() {
    let server = start().await;
    let mut definition = widget_definition();
    for version in definition["spec"]["versions"].as_array_mut().unwrap() {
        version.as_object_mut().unwrap().remove("subresources");
    }
    server.post(CRDS, definition).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let changed = server.merge(&format!("{WIDGETS}/w"), json!({ "status": { "replicas": 1 } })).await.ok();
    assert_eq!(changed["metadata"]["generation"], 2);
    let labelled = json!({ "metadata": { "labels": { "a": "b" } } });
    let same = server.merge(&format!("{WIDGETS}/w"), labelled).await.ok();
    assert_eq!(same["metadata"]["generation"], 2);
}

#[tokio::test]
async fn an_update_needs_the_name_and_namespace_of_its_address() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let message = |answer: Value| answer["message"].as_str().unwrap().to_owned();
    let answer = server.put(&path, config_map("b", json!({}))).await.refused(400, "BadRequest");
    assert_eq!(message(answer), "the name of the object (b) does not match the name on the URL (a)");
    let nameless = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {} });
    let answer = server.put(&path, nameless).await.refused(400, "BadRequest");
    assert_eq!(
        message(answer),
        "the name of the object (a based on URL) was undeterminable: name must be provided"
    );
    let moved = json!({ "metadata": { "namespace": "kube-system" } });
    let answer = server.merge(&path, moved).await.refused(400, "BadRequest");
    assert_eq!(
        message(answer),
        "the namespace of the provided object does not match the namespace sent on the request"
    );
}

#[tokio::test]
async fn a_patch_of_the_uid_is_invalid() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let patch = json!({ "metadata": { "uid": "other" } });
    let status = server.merge(&format!("{CONFIG_MAPS}/a"), patch).await.refused(422, "Invalid");
    let cause = &status["details"]["causes"][0];
    assert_eq!(cause["field"], "metadata.uid");
    assert_eq!(cause["message"], "Invalid value: \"other\": field is immutable");
}

#[tokio::test]
async fn a_patch_that_takes_the_version_from_a_custom_resource_is_refused() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let patch = json!({ "metadata": { "resourceVersion": null }, "spec": { "size": "m" } });
    let status = server.merge(&format!("{WIDGETS}/w"), patch).await.refused(422, "Invalid");
    assert!(status["message"].as_str().unwrap().ends_with(NO_VERSION), "{status}");
}

#[tokio::test]
async fn some_kinds_are_created_by_an_update() {
    let server = start().await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role_ref = |kind: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "r" });
    for (list, rest) in [
        ("/api/v1/namespaces/default/services", json!({ "spec": { "ports": [{ "port": 80 }] } })),
        ("/api/v1/namespaces/default/endpoints", json!({})),
        ("/api/v1/namespaces/default/limitranges", json!({ "spec": { "limits": [{ "type": "Pod" }] } })),
        ("/apis/node.k8s.io/v1/runtimeclasses", json!({ "handler": "runc" })),
        (&format!("{rbac}/namespaces/default/roles"), json!({ "rules": [] })),
        (&format!("{rbac}/clusterroles"), json!({ "rules": [] })),
        (&format!("{rbac}/namespaces/default/rolebindings"), json!({ "roleRef": role_ref("Role") })),
        (&format!("{rbac}/clusterrolebindings"), json!({ "roleRef": role_ref("ClusterRole") })),
    ] {
        let mut body = rest;
        // What is of the whole cluster has a name that no other test gives.
        let name = if list.contains("/namespaces/") { "new" } else { "new.example.com" };
        body["metadata"] = json!({ "name": name });
        let path = format!("{list}/{name}");
        assert_eq!(server.put(&path, body).await.code, 201, "{list}");
        server.get(&path).await.ok();
        // Some are for the whole cluster, which others may use as well.
        server.delete(&path).await.ok();
    }
    server.put(&format!("{CONFIG_MAPS}/new"), config_map("new", json!({}))).await.refused(404, "NotFound");
}
