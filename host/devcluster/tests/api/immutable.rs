//! Fields of the built-in kinds that no update changes.

use serde_json::{Value, json};

use crate::support::{CRDS, PODS, Server, pod, start, widget_definition};

const CORE: &str = "/api/v1/namespaces/default";

/// The first cause of the refusal of a merge patch.
async fn refusal(server: &Server, path: &str, patch: Value) -> (String, String) {
    let status = server.merge(path, patch).await.refused(422, "Invalid");
    let text = |field: &str| status["details"]["causes"][0][field].as_str().unwrap().to_owned();
    (text("field"), text("message"))
}

async fn make(server: &Server, list: &str, body: Value) -> String {
    let name = body["metadata"]["name"].as_str().unwrap().to_owned();
    server.post(list, body).await.ok();
    format!("{list}/{name}")
}

#[tokio::test]
async fn of_a_pod_little_but_the_images_changes() {
    let server = start().await;
    let path = make(&server, PODS, pod("p")).await;
    let image = json!([{ "op": "replace", "path": "/spec/containers/0/image", "value": "nginx:2" }]);
    server.patch(&path, "json-patch+json", image).await.ok();
    let one = json!([{ "key": "a", "operator": "Exists" }]);
    let tolerates = json!({ "spec": { "activeDeadlineSeconds": 9, "tolerations": one } });
    server.merge(&path, tolerates).await.ok();
    let (field, message) = refusal(&server, &path, json!({ "spec": { "hostNetwork": true } })).await;
    assert_eq!(field, "spec");
    assert!(message.starts_with("Forbidden: pod updates may not change fields other than"), "{message}");
    refusal(&server, &path, json!({ "spec": { "tolerations": [] } })).await;
    refusal(&server, &path, json!({ "spec": { "nodeName": "n1" } })).await;
    let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n1" } });
    server.post(&format!("{path}/binding"), binding).await.ok();
}

#[tokio::test]
async fn the_address_of_a_service_stays() {
    let server = start().await;
    let service = json!({ "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80 }] } });
    let path = make(&server, &format!("{CORE}/services"), service).await;
    let other = json!({ "spec": { "clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"] } });
    let (field, message) = refusal(&server, &path, other).await;
    assert_eq!(field, "spec.clusterIPs[0]");
    assert_eq!(message, "Invalid value: [\"10.96.9.9\"]: may not change once set");
}

#[tokio::test]
async fn a_bound_claim_may_grow_and_nothing_else() {
    let server = start().await;
    let class = json!({ "metadata": { "name": "grows.example.com" }, "provisioner": "p", "allowVolumeExpansion": true });
    make(&server, "/apis/storage.k8s.io/v1/storageclasses", class).await;
    let claim = json!({ "metadata": { "name": "c" }, "spec": { "storageClassName": "grows.example.com", "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": "1Gi" } } } });
    let path = make(&server, &format!("{CORE}/persistentvolumeclaims"), claim).await;
    let size = |size: &str| json!({ "spec": { "resources": { "requests": { "storage": size } } } });
    let (field, message) = refusal(&server, &path, size("2Gi")).await;
    assert_eq!(field, "spec");
    assert!(message.starts_with("Forbidden: spec is immutable after creation except"), "{message}");
    let bound = json!({ "status": { "phase": "Bound", "capacity": { "storage": "1Gi" } } });
    server.merge(&format!("{path}/status"), bound).await.ok();
    server.merge(&path, size("2Gi")).await.ok();
    let (field, message) = refusal(&server, &path, size("500Mi")).await;
    assert_eq!(field, "spec.resources.requests.storage");
    assert_eq!(message, "Forbidden: field can not be less than status.capacity");
    refusal(&server, &path, json!({ "spec": { "accessModes": ["ReadOnlyMany"] } })).await;
}

#[tokio::test]
async fn of_a_job_neither_template_nor_completions_change() {
    let server = start().await;
    let job = json!({ "metadata": { "name": "j" }, "spec": { "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } } } });
    let path = make(&server, "/apis/batch/v1/namespaces/default/jobs", job).await;
    let (field, message) = refusal(&server, &path, json!({ "spec": { "completions": 3 } })).await;
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("spec.completions", "Invalid value: 3: field is immutable")
    );
    let patch = json!({ "spec": { "template": { "spec": { "restartPolicy": "OnFailure" } } } });
    assert_eq!(refusal(&server, &path, patch).await.0, "spec.template");
    server.merge(&path, json!({ "spec": { "parallelism": 3, "suspend": true } })).await.ok();
}

#[tokio::test]
async fn of_a_stateful_set_the_service_name_stays() {
    let server = start().await;
    let set = json!({ "metadata": { "name": "s" }, "spec": { "serviceName": "s",
        "selector": { "matchLabels": { "a": "b" } }, "template": { "metadata": { "labels": { "a": "b" } },
            "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
    let path = make(&server, "/apis/apps/v1/namespaces/default/statefulsets", set).await;
    server.merge(&path, json!({ "spec": { "replicas": 4, "minReadySeconds": 1 } })).await.ok();
    let (field, message) = refusal(&server, &path, json!({ "spec": { "serviceName": "t" } })).await;
    assert_eq!(field, "spec");
    assert!(message.starts_with("Forbidden: updates to statefulset spec for fields other than"), "{message}");
}

#[tokio::test]
async fn classes_keep_what_others_rely_on() {
    let server = start().await;
    let class =
        json!({ "metadata": { "name": "fast.example.com" }, "provisioner": "a", "reclaimPolicy": "Delete" });
    let path = make(&server, "/apis/storage.k8s.io/v1/storageclasses", class).await;
    let (field, message) = refusal(&server, &path, json!({ "provisioner": "b" })).await;
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("provisioner", "Invalid value: \"b\": field is immutable")
    );
    let class = json!({ "metadata": { "name": "high.example.com" }, "value": 10 });
    let path = make(&server, "/apis/scheduling.k8s.io/v1/priorityclasses", class).await;
    let (field, message) = refusal(&server, &path, json!({ "value": 11 })).await;
    assert_eq!((field.as_str(), message.as_str()), ("value", "Forbidden: may not be changed in an update."));
    let class = json!({ "metadata": { "name": "r.example.com" }, "handler": "runc" });
    let path = make(&server, "/apis/node.k8s.io/v1/runtimeclasses", class).await;
    let (field, message) = refusal(&server, &path, json!({ "handler": "kata" })).await;
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("handler", "Invalid value: \"kata\": field is immutable")
    );
}

#[tokio::test]
async fn a_definition_keeps_its_scope_and_its_kind() {
    let server = start().await;
    let path = make(&server, CRDS, widget_definition()).await;
    let (field, message) = refusal(&server, &path, json!({ "spec": { "scope": "Cluster" } })).await;
    assert_eq!(
        (field.as_str(), message.as_str()),
        ("spec.scope", "Invalid value: \"Cluster\": field is immutable")
    );
    let renamed = json!({ "spec": { "names": { "kind": "Gadget", "listKind": "GadgetList" } } });
    assert_eq!(refusal(&server, &path, renamed).await.0, "spec.names.kind");
}
