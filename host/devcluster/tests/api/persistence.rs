//! What a server keeps on disk, and what one that is started anew makes of it.

use std::path::Path;

use serde_json::json;
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::support::{Server, start_with};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";

fn config(folder: &Path) -> DevClusterConfig {
    DevClusterConfig { data_dir: Some(folder.to_owned()), ..DevClusterConfig::default() }
}

async fn server(folder: &Path) -> Server {
    start_with(config(folder)).await
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
    first.post("/api/v1/namespaces", json!({"metadata": {"name": "leaving"}})).await.ok();
    let within = "/api/v1/namespaces/leaving/configmaps";
    first.post(within, json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}})).await.ok();
    first.delete("/api/v1/namespaces/leaving").await.ok();
    first.cluster.shutdown().await;

    let second = server(folder.path()).await;
    let held = format!("{within}/held");
    second
        .eventually(&held, "it is on its way out", |answer| {
            answer.body["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    second.merge(&held, json!({"metadata": {"finalizers": null}})).await.ok();
    second.eventually("/api/v1/namespaces/leaving", "it is gone", |answer| answer.code == 404).await;
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
