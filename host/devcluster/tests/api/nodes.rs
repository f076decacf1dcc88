//! What the server makes of Nodes, and the generations of the Pods that are put on them.

use serde_json::{Value, json};

use crate::support::{PODS, pod, start};

const NODES: &str = "/api/v1/nodes";
/// A name that no other test gives.
const NAME: &str = "n.example.com";

fn node(spec: Value, status: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NAME }, "spec": spec, "status": status })
}

#[tokio::test]
async fn a_new_node_keeps_its_status_and_an_update_leaves_it_to_its_subresource() {
    let server = start().await;
    let address = json!([{ "type": "InternalIP", "address": "192.0.2.1" }]);
    let status = json!({ "capacity": { "cpu": "4" }, "addresses": address });
    let made = server.post(NODES, node(json!({ "podCIDR": "10.1.0.0/24" }), status)).await.ok();
    assert_eq!(made["spec"]["podCIDRs"], json!(["10.1.0.0/24"]));
    assert_eq!(made["status"]["capacity"], json!({ "cpu": "4" }));
    assert_eq!(made["status"]["allocatable"], json!({ "cpu": "4" }));
    assert_eq!(made["status"]["addresses"], address);
    let owned = &made["metadata"]["managedFields"];
    assert_eq!(owned.as_array().unwrap().len(), 1);
    assert_eq!(owned[0]["fieldsV1"].get("f:status"), None, "nobody owns it yet");
    let path = format!("{NODES}/{NAME}");
    let less = json!({ "capacity": { "cpu": "1" }, "allocatable": { "cpu": "1" } });
    let spec = json!({ "podCIDR": "10.1.0.0/24" });
    let updated = server.put(&path, node(spec.clone(), less.clone())).await.ok();
    assert_eq!(updated["status"]["capacity"], json!({ "cpu": "4" }));
    let updated = server.put(&format!("{path}/status"), node(spec, less)).await.ok();
    assert_eq!(updated["status"]["capacity"], json!({ "cpu": "1" }));
    server.delete(&path).await.ok();
}

#[tokio::test]
async fn the_first_network_of_a_node_is_its_network() {
    let server = start().await;
    let path = format!("{NODES}?dryRun=All");
    let made = server.post(&path, node(json!({ "podCIDRs": ["10.2.0.0/24"] }), json!({}))).await.ok();
    assert_eq!(made["spec"]["podCIDR"], "10.2.0.0/24");
    let status = json!({ "capacity": { "cpu": "4", "memory": "1Gi" }, "allocatable": { "cpu": "2" } });
    let made = server.post(&path, node(json!({}), status)).await.ok();
    assert_eq!(made["status"]["allocatable"], json!({ "cpu": "2" }));
}

#[tokio::test]
async fn the_generation_of_a_pod_counts_what_it_is_and_not_where() {
    let server = start().await;
    let generation = |pod: Value| pod["metadata"]["generation"].clone();
    let made = server.post(PODS, pod("p")).await.ok();
    assert_eq!(made["spec"]["enableServiceLinks"], json!(true));
    assert_eq!(generation(made), 1);
    let path = format!("{PODS}/p");
    let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "p" },
        "target": { "kind": "Node", "name": "n" } });
    server.post(&format!("{path}/binding"), binding).await.ok();
    assert_eq!(generation(server.get(&path).await.ok()), 1);
    let image = json!([{ "op": "replace", "path": "/spec/containers/0/image", "value": "nginx:2" }]);
    assert_eq!(generation(server.patch(&path, "json-patch+json", image).await.ok()), 2);
    assert_eq!(generation(server.delete(&path).await.ok()), 3);
    let templates = "/api/v1/namespaces/default/podtemplates";
    let template = json!({ "metadata": { "name": "t" }, "template": pod("p") });
    let made = server.post(templates, template).await.ok();
    assert_eq!(made["template"]["spec"]["dnsPolicy"], "ClusterFirst");
    assert_eq!(made["template"]["spec"].get("enableServiceLinks"), None, "which is left to its Pods");
    assert_eq!(generation(made), 1);
}
