//! What a server keeps on disk, and what one that is started anew makes of it.

use std::path::Path;

use serde_json::json;
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::support::{Answer, DEPLOYMENTS, Server, deployment, start_with};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";

fn config(folder: &Path) -> DevClusterConfig {
    DevClusterConfig { data_dir: Some(folder.to_owned()), ..DevClusterConfig::default() }
}

async fn server(folder: &Path) -> Server {
    start_with(config(folder)).await
}

async fn alive(folder: &Path) -> Server {
    start_with(DevClusterConfig { workloads: true, ..config(folder) }).await
}

fn definition() -> serde_json::Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

#[tokio::test]
async fn objects_and_definitions_are_there_again_and_versions_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path()).await;
    let kept = first.config_map("kept", json!({"a": "1"})).await;
    first.config_map("gone", json!({})).await;
    first.delete(&format!("{CONFIG_MAPS}/gone")).await.ok();
    first.post(CRDS, definition()).await.ok();
    let thing = first.post(THINGS, json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"x": 1}})).await.ok();
    first.cluster.shutdown().await;

    let second = server(folder.path()).await;
    assert_eq!(second.get(&format!("{CONFIG_MAPS}/kept")).await.ok(), kept);
    second.get(&format!("{CONFIG_MAPS}/gone")).await.refused(404, "NotFound");
    assert_eq!(second.get(&format!("{THINGS}/t")).await.ok(), thing);
    // What was before is not remembered, and no version is given twice.
    let version = |object: &serde_json::Value| {
        object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let old = version(&thing);
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={old}");
    let mut watch = second.watch(&path).await;
    assert_eq!(watch.next().await.unwrap()["object"]["code"], 410);
    let new = second.config_map("new", json!({})).await;
    assert!(version(&new) > old + 1000, "{new}");
    assert_eq!(second.get("/api/v1/namespaces").await.ok()["items"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn what_was_under_way_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path()).await;
    // Left alone as long as nobody makes anything of it.
    let deployment = first.post(DEPLOYMENTS, deployment("web")).await.ok();
    assert_eq!(deployment["status"], json!({}));
    first.cluster.shutdown().await;

    let second = alive(folder.path()).await;
    // Nothing has happened to it since: it is the restored state that is taken up.
    let path = format!("{DEPLOYMENTS}/web");
    let is_available = |answer: &Answer| answer.body["status"]["availableReplicas"] == 2;
    second.eventually(&path, "it is available", is_available).await;
}

#[tokio::test]
async fn what_changes_nothing_is_answered_after_a_start_too() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path()).await;
    let kept = first.config_map("kept", json!({"a": "1"})).await;
    first
        .merge(&format!("{CONFIG_MAPS}/kept"), json!({"metadata": {"finalizers": ["example.com/hold"]}}))
        .await
        .ok();
    first.delete(&format!("{CONFIG_MAPS}/kept")).await.ok();
    first.cluster.shutdown().await;

    let second = server(folder.path()).await;
    let review =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}});
    second.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await.ok();
    let path = format!("{CONFIG_MAPS}/kept");
    second.merge(&path, json!({"data": {"a": "1"}})).await.ok();
    second.merge(&format!("{path}?dryRun=All"), json!({"data": {"a": "2"}})).await.ok();
    let again = second.delete(&path).await.ok();
    assert_eq!(again["metadata"]["uid"], kept["metadata"]["uid"]);
}

#[tokio::test]
async fn each_start_has_versions_of_its_own_even_if_nothing_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let server = server(folder.path()).await;
        let list = server.get(CONFIG_MAPS).await.ok();
        let version: u64 = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(version > last + 1000, "{version} after {last}");
        last = version;
        server.cluster.shutdown().await;
    }
}

#[tokio::test]
async fn a_node_that_has_no_status_yet_gets_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path()).await;
    let node = first.post("/api/v1/nodes", json!({"metadata": {"name": "dev"}})).await.ok();
    first.cluster.shutdown().await;
    for _ in 0..2 {
        let server = alive(folder.path()).await;
        let has_status = |answer: &Answer| answer.body["status"]["conditions"].is_array();
        let found = server.eventually("/api/v1/nodes/dev", "it is ready", has_status).await.body;
        assert_eq!(found["metadata"]["uid"], node["metadata"]["uid"]);
        server.cluster.shutdown().await;
    }
}

#[tokio::test]
async fn a_name_with_a_zero_in_it_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let first = server(folder.path()).await;
    let made = first.post(roles, json!({"metadata": {"name": "a\0b"}, "rules": []})).await;
    // Whether there may be such a name is not what this is about.
    let code = made.code;
    first.cluster.shutdown().await;
    let second = server(folder.path()).await;
    let found = second.get(&format!("{roles}/a%00b")).await;
    assert_eq!(found.code, if code == 201 { 200 } else { 404 }, "{}", found.body);
}

#[tokio::test]
async fn a_folder_is_one_servers_and_says_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(folder.path()).await;
    let error = DevCluster::start(config(folder.path())).await.unwrap_err().to_string();
    assert!(error.contains("another server uses it") && error.contains(folder.path().to_str().unwrap()));
    drop(first);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = DevCluster::start(config(&file)).await.unwrap_err().to_string();
    assert!(error.contains("file: "), "{error}");
}

#[tokio::test]
async fn an_address_stays_a_services_from_one_start_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let services = "/api/v1/namespaces/default/services";
    let asking = |name: &str, address: &serde_json::Value| json!({"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}});
    let first = server(folder.path()).await;
    let made = first.post(services, asking("a", &json!(""))).await.ok();
    first.cluster.shutdown().await;
    let second = server(folder.path()).await;
    let address = &made["spec"]["clusterIP"];
    second.post(services, asking("b", address)).await.refused(422, "Invalid");
    second.delete(&format!("{services}/a")).await.ok();
    assert_eq!(second.post(services, asking("b", address)).await.ok()["spec"]["clusterIP"], *address);
}
