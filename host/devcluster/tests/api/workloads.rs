//! The opt-in stand-ins for the workload controllers.

use serde_json::json;
use wheelhouse_devcluster::DevClusterConfig;

use crate::support::{DEPLOYMENTS, deployment, start, start_with};

#[tokio::test]
async fn a_deployment_becomes_available_after_each_change() {
    let server = start_with(DevClusterConfig { workloads: true, ..Default::default() }).await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    server.merge(&path, json!({ "spec": { "replicas": 4 } })).await.ok();
    let is_ready = |body: &serde_json::Value| {
        body["status"]["observedGeneration"] == 2 && body["status"]["availableReplicas"] == 4
    };
    let deployment = server.eventually(&path, "it is available", |answer| is_ready(&answer.body)).await.body;
    assert_eq!(deployment["status"]["updatedReplicas"], 4);
    assert_eq!(deployment["status"]["readyReplicas"], 4);
    let conditions = deployment["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "Available" && c["status"] == "True"));
}

#[tokio::test]
async fn without_the_option_nobody_reports_for_a_deployment() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    assert_eq!(server.get(&format!("{DEPLOYMENTS}/web")).await.ok().get("status"), None);
}
