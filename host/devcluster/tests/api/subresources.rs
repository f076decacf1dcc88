//! Which part of an object each subresource covers, and what of it is checked.

use serde_json::json;

use crate::support::{CRDS, DEPLOYMENTS, PODS, WIDGETS, deployment, pod, start, widget, widget_definition};

const STRATEGIC: &str = "strategic-merge-patch+json";
const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

#[tokio::test]
async fn ephemeral_containers_come_by_their_subresource_and_bring_nothing_else() {
    let server = start().await;
    server.post(PODS, pod("p")).await.ok();
    let patch = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "hostNetwork": true,
        "containers": [{ "name": "app", "image": "nginx:9" }],
        "ephemeralContainers": [{ "name": "debug", "image": "busybox" }] } });
    let path = format!("{PODS}/p/ephemeralcontainers");
    let patched = server.patch(&path, STRATEGIC, patch).await.ok();
    assert_eq!(patched["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(patched["spec"]["containers"][0]["image"], "nginx:1");
    assert_eq!((patched["spec"].get("hostNetwork"), patched["metadata"].get("labels")), (None, None));
}

#[tokio::test]
async fn a_resize_changes_the_resources_of_containers_and_nothing_else() {
    let server = start().await;
    let path = format!("{PODS}/p/resize");
    let mut asking = pod("p");
    asking["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": "1" } });
    server.post(PODS, asking).await.ok();
    let resources = json!({ "requests": { "cpu": "2" } });
    let patch = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "nodeName": "n", "containers": [
        { "name": "app", "image": "nginx:9", "resources": resources }] } });
    let patched = server.patch(&path, STRATEGIC, patch).await.ok();
    let container = &patched["spec"]["containers"][0];
    assert_eq!((&container["image"], &container["resources"]), (&json!("nginx:1"), &resources));
    assert_eq!((patched["spec"].get("nodeName"), patched["metadata"].get("labels")), (None, None));
    let limits =
        json!({ "requests": { "cpu": "2", "memory": "1Gi" }, "limits": { "cpu": "2", "memory": "1Gi" } });
    let policy = json!([{ "resourceName": "cpu", "restartPolicy": "NotRequired" }]);
    for (container, field, message) in [
        (
            json!({ "name": "more", "image": "more", "resources": resources }),
            "spec.containers",
            "Forbidden: containers may not be added or removed on resize",
        ),
        (
            json!({ "name": "app", "resources": limits }),
            "spec",
            "Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
        ),
        (
            json!({ "name": "app", "resizePolicy": policy }),
            "spec",
            "Forbidden: only cpu and memory resources are mutable",
        ),
    ] {
        let patch = json!({ "spec": { "containers": [container] } });
        let status = server.patch(&path, STRATEGIC, patch).await.refused(422, "Invalid");
        let cause = &status["details"]["causes"][0];
        assert_eq!((&cause["field"], &cause["message"]), (&json!(field), &json!(message)));
    }
}

#[tokio::test]
async fn a_status_of_a_built_in_kind_brings_its_metadata_along() {
    let server = start().await;
    let meta = json!({ "annotations": { "a": "b" }, "labels": { "l": "m" }, "ownerReferences": [
        { "apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u" }] });
    let patch = json!({ "metadata": meta, "spec": { "nodeName": "n" }, "status": { "phase": "Failed" } });
    server.post(PODS, pod("p")).await.ok();
    let patched = server.merge(&format!("{PODS}/p/status"), patch).await.ok();
    let meta = &patched["metadata"];
    assert_eq!((&meta["annotations"]["a"], &meta["labels"]["l"]), (&json!("b"), &json!("m")));
    assert_eq!((meta.get("ownerReferences"), patched["spec"].get("nodeName")), (None, None));
    assert_eq!(patched["status"]["phase"], "Failed");
    // A Deployment's labels are its own even so.
    let mut held = deployment("web");
    held["spec"]["replicas"] = json!(0);
    server.post(DEPLOYMENTS, held).await.ok();
    let patch = json!({ "metadata": { "annotations": { "a": "b" }, "labels": { "l": "m" } }, "spec": { "replicas": 7 } });
    let patched = server.merge(&format!("{DEPLOYMENTS}/web/status"), patch).await.ok();
    assert_eq!(
        (&patched["metadata"]["annotations"]["a"], &patched["spec"]["replicas"]),
        (&json!("b"), &json!(0))
    );
    assert_eq!(patched["metadata"].get("labels"), None);
}

#[tokio::test]
async fn a_status_of_a_custom_resource_brings_nothing_along() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let patch = json!({ "metadata": { "labels": { "l": "m" } }, "status": { "replicas": 3 } });
    let patched = server.merge(&format!("{WIDGETS}/w/status"), patch).await.ok();
    assert_eq!((patched["metadata"].get("labels"), &patched["status"]["replicas"]), (None, &json!(3)));
}

#[tokio::test]
async fn of_a_custom_resource_a_status_is_judged_by_the_schema_of_statuses() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let patch = json!([
        { "op": "add", "path": format!("{SCHEMA}/required"), "value": ["extra"] },
        { "op": "add", "path": format!("{SCHEMA}/properties/extra"), "value": { "type": "string" } },
        { "op": "add", "path": format!("{SCHEMA}/properties/spec/minProperties"), "value": 9 },
        { "op": "add", "path": format!("{SCHEMA}/properties/status/properties/replicas/maximum"), "value": 5 }]);
    server.patch(DEFINITION, "json-patch+json", patch).await.ok();
    let path = format!("{WIDGETS}/w/status");
    server.merge(&path, json!({ "status": { "replicas": 2 } })).await.ok();
    let status = server.merge(&path, json!({ "status": { "replicas": 7 } })).await.refused(422, "Invalid");
    let causes = status["details"]["causes"].as_array().unwrap();
    assert_eq!((causes.len(), &causes[0]["field"]), (1, &json!("status.replicas")));
    server.merge(&format!("{WIDGETS}/w"), json!({ "spec": { "size": "m" } })).await.refused(422, "Invalid");
}
